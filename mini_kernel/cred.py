"""Who a task is: user and group ids, capabilities, and how they change (credentials(7), capabilities(7)).

The machine has one user name space and no file capabilities. What files ask is `FsContext`, which follows `fsuid` and
`fsgid` here; of capabilities, files know only those that user 0 has.
"""

from dataclasses import dataclass, replace
from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.uapi.capability import (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_LAST_CAP,
    CAP_LINUX_IMMUTABLE,
    CAP_MAC_OVERRIDE,
    CAP_MKNOD,
    CAP_SETGID,
    CAP_SETPCAP,
    CAP_SETUID,
    SECBIT_KEEP_CAPS,
    SECBIT_NO_SETUID_FIXUP,
    SECBIT_NOROOT,
)
from mini_kernel.uapi.errno import EINVAL, EPERM

ALL: Final = (1 << CAP_LAST_CAP + 1) - 1
KEEP: Final = 0xFFFF_FFFF  # -1, an id that stays as it is
#: What goes with fsuid 0 (Linux CAP_FS_SET).
_FILES: Final = sum(
    1 << cap
    for cap in (
        CAP_CHOWN, CAP_MKNOD, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_LINUX_IMMUTABLE,
        CAP_MAC_OVERRIDE,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Credentials:
    """One identity. Never changed, only replaced, so that tasks can share it. Capabilities are bit sets."""

    ruid: int = 0
    euid: int = 0
    suid: int = 0
    fsuid: int = 0
    rgid: int = 0
    egid: int = 0
    sgid: int = 0
    fsgid: int = 0
    groups: tuple[int, ...] = ()
    permitted: int = ALL
    effective: int = ALL
    inheritable: int = 0
    bounding: int = ALL
    ambient: int = 0
    securebits: int = 0

    def can(self, capability: int) -> bool:
        """True with this capability in force."""
        return bool(self.effective >> capability & 1)

    @property
    def uids(self) -> tuple[int, int, int]:
        """Real, effective, saved."""
        return self.ruid, self.euid, self.suid

    @property
    def gids(self) -> tuple[int, int, int]:
        """Real, effective, saved."""
        return self.rgid, self.egid, self.sgid


def _require(condition: bool) -> None:
    if not condition:
        raise SysError(EPERM)


def _new_uids(old: Credentials, ruid: int, euid: int, suid: int) -> Credentials:
    """Other user ids, and what that does to capabilities (Linux cap_emulate_setxuid)."""
    new = replace(old, ruid=ruid, euid=euid, suid=suid, fsuid=euid)
    if old.securebits & SECBIT_NO_SETUID_FIXUP:
        return new
    permitted, effective, ambient = new.permitted, new.effective, new.ambient
    if 0 in old.uids and 0 not in new.uids:
        if not old.securebits & SECBIT_KEEP_CAPS:
            permitted = effective = 0
        ambient = 0
    if old.euid == 0 != euid:
        effective = 0
    if old.euid != 0 == euid:
        effective = permitted
    return replace(new, permitted=permitted, effective=effective, ambient=ambient)


def _new_gids(old: Credentials, rgid: int, egid: int, sgid: int) -> Credentials:
    return replace(old, rgid=rgid, egid=egid, sgid=sgid, fsgid=egid)


# -- setuid and kin: the new identity, or SysError(EPERM), (EINVAL) ----------------------------------


def _set(ids: tuple[int, int, int], privileged: bool, wanted: int) -> tuple[int, int, int]:
    """setuid(2), setgid(2)."""
    if wanted == KEEP:
        raise SysError(EINVAL)
    if privileged:
        return wanted, wanted, wanted
    _require(wanted in (ids[0], ids[2]))
    return ids[0], wanted, ids[2]


def _set_re(ids: tuple[int, int, int], privileged: bool, real: int, effective: int) -> tuple[int, int, int]:
    """setreuid(2), setregid(2)."""
    old_real, old_effective, saved = ids
    _require(privileged or real in (KEEP, old_real, old_effective))
    _require(privileged or effective in (KEEP, old_real, old_effective, saved))
    new_real = old_real if real == KEEP else real
    new_effective = old_effective if effective == KEEP else effective
    if real != KEEP or effective not in (KEEP, old_real):
        saved = new_effective
    return new_real, new_effective, saved


def _set_res(ids: tuple[int, int, int], privileged: bool, wanted: tuple[int, int, int]) -> tuple[int, int, int]:
    """setresuid(2), setresgid(2)."""
    _require(privileged or all(new == KEEP or new in ids for new in wanted))
    real, effective, saved = (old if new == KEEP else new for old, new in zip(ids, wanted, strict=True))
    return real, effective, saved


def set_uid(c: Credentials, uid: int) -> Credentials:
    """setuid(2)."""
    return _new_uids(c, *_set(c.uids, c.can(CAP_SETUID), uid))


def set_gid(c: Credentials, gid: int) -> Credentials:
    """setgid(2)."""
    return _new_gids(c, *_set(c.gids, c.can(CAP_SETGID), gid))


def set_reuid(c: Credentials, ruid: int, euid: int) -> Credentials:
    """setreuid(2)."""
    return _new_uids(c, *_set_re(c.uids, c.can(CAP_SETUID), ruid, euid))


def set_regid(c: Credentials, rgid: int, egid: int) -> Credentials:
    """setregid(2)."""
    return _new_gids(c, *_set_re(c.gids, c.can(CAP_SETGID), rgid, egid))


def set_resuid(c: Credentials, ruid: int, euid: int, suid: int) -> Credentials:
    """setresuid(2)."""
    return _new_uids(c, *_set_res(c.uids, c.can(CAP_SETUID), (ruid, euid, suid)))


def set_resgid(c: Credentials, rgid: int, egid: int, sgid: int) -> Credentials:
    """setresgid(2)."""
    return _new_gids(c, *_set_res(c.gids, c.can(CAP_SETGID), (rgid, egid, sgid)))


def set_fsuid(c: Credentials, uid: int) -> Credentials:
    """setfsuid(2), which fails in silence."""
    if uid not in (*c.uids, c.fsuid) and not c.can(CAP_SETUID):
        return c
    effective = c.effective
    if not c.securebits & SECBIT_NO_SETUID_FIXUP:
        if c.fsuid == 0 != uid:
            effective &= ~_FILES
        elif c.fsuid != 0 == uid:
            effective |= c.permitted & _FILES
    return replace(c, fsuid=uid, effective=effective)


def set_fsgid(c: Credentials, gid: int) -> Credentials:
    """setfsgid(2), which fails in silence."""
    return replace(c, fsgid=gid) if gid in (*c.gids, c.fsgid) or c.can(CAP_SETGID) else c


def set_groups(c: Credentials, groups: tuple[int, ...]) -> Credentials:
    """setgroups(2)."""
    _require(c.can(CAP_SETGID))
    return replace(c, groups=tuple(sorted(groups)))


def set_capabilities(c: Credentials, effective: int, permitted: int, inheritable: int) -> Credentials:
    """capset(2)."""
    effective, permitted, inheritable = effective & ALL, permitted & ALL, inheritable & ALL
    _require(c.can(CAP_SETPCAP) or not inheritable & ~(c.inheritable | c.permitted))
    _require(not inheritable & ~(c.inheritable | c.bounding))
    _require(not permitted & ~c.permitted and not effective & ~permitted)
    ambient = c.ambient & permitted & inheritable
    return replace(c, effective=effective, permitted=permitted, inheritable=inheritable, ambient=ambient)


def after_exec(c: Credentials, owner: int | None, group: int | None) -> Credentials:
    """Who a new program is: `owner` and `group` are those of a set-user-ID and set-group-ID file (execve(2))."""
    euid = c.euid if owner is None else owner
    egid = c.egid if group is None else group
    ambient = 0 if euid != c.euid or egid != c.egid else c.ambient
    permitted = effective = ambient
    if not c.securebits & SECBIT_NOROOT and 0 in (c.ruid, euid):
        permitted = c.inheritable | c.bounding
        effective = permitted if euid == 0 else ambient
    return replace(
        c, euid=euid, suid=euid, fsuid=euid, egid=egid, sgid=egid, fsgid=egid, permitted=permitted, effective=effective,
        ambient=ambient, securebits=c.securebits & ~SECBIT_KEEP_CAPS,
    )  # fmt: skip
