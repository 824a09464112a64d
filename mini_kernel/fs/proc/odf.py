"""What of a process can be written: use_odf, the switch of on-demand fork, comm and oom_score_adj."""

import re
from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.fs.proc.node import SubjectFile
from mini_kernel.fs.proc.status import comm
from mini_kernel.fs.proc.views import ProcessView
from mini_kernel.uapi.errno import EINVAL, ERANGE, ESRCH
from mini_kernel.uapi.misc import OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN

_OFF, _ARMED = 0, 1  # task.ODF_OFF, task.ODF_ARMED
_INTEGER: Final = re.compile(rb"([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")
_INT_MAX: Final = (1 << 31) - 1
_DIGITS: Final = 33  # more digits than any int has, in every base


def parse_int(data: bytes) -> int:
    """An `int` in any base of C with blanks around it (Linux kstrtoint of a stripped string, base 0).

    Raises SysError: EINVAL if it is none, ERANGE if it is too large.
    """
    match = _INTEGER.fullmatch(data.split(b"\0", 1)[0].strip())
    if match is None:
        raise SysError(EINVAL)
    sign, *digits = match.groups()
    text, base = next((text, base) for text, base in zip(digits, (16, 8, 10), strict=True) if text is not None)
    text = text.lstrip(b"0") or b"0"
    value = int(text[:_DIGITS], base) if len(text) <= _DIGITS else _INT_MAX + 2
    value = -value if sign == b"-" else value
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise SysError(ERANGE)
    return value


class UseOdf(SubjectFile):
    """/proc/PID/use_odf (F4, F5, F6). Armed, the process's next fork is on-demand, and all that follow."""

    volatile = True

    def _process(self) -> ProcessView:
        """Raises SysError(ESRCH) once it is dead, waited for or not: it will not fork again."""
        if self.require_subject().task is None:
            raise SysError(ESRCH)
        return self.subject.process

    def text(self) -> bytes:
        return b"1\n" if self._process().odf else b"0\n"

    def store(self, data: bytes) -> None:
        value = parse_int(data)
        process = self._process()
        if value == 0:
            process.odf = _OFF
        elif value == 1 and process.odf == _OFF:
            process.odf = _ARMED


class OomScoreAdj(SubjectFile):
    """/proc/PID/oom_score_adj: how much the OOM killer prefers (above 0) or spares (below) the process; -1000 never."""

    def text(self) -> bytes:
        return b"%d\n" % self.require_subject().process.oom_score_adj

    def store(self, data: bytes) -> None:
        value = parse_int(data)
        if not OOM_SCORE_ADJ_MIN <= value <= OOM_SCORE_ADJ_MAX:
            raise SysError(EINVAL)
        if self.require_subject().task is None:
            raise SysError(ESRCH)
        self.subject.process.oom_score_adj = value


class Comm(SubjectFile):
    """/proc/PID/comm: its own threads may rename it."""

    def text(self) -> bytes:
        return comm(self.require_subject())

    def store(self, data: bytes) -> None:
        task, current = self.require_subject().task, self.subject.system.sched.current
        if task is None:
            raise SysError(ESRCH)
        if current is not None and current.process is not self.subject.process:
            raise SysError(EINVAL)
        name = data[:15].split(b"\0", 1)[0]
        task.name = name.decode("utf-8", "replace")
