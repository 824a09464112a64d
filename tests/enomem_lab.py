"""Memory runs out at the n-th frame, for every n: the machinery, and what a test says about an operation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mm_helpers import FakeFile, check_all, mapping_of, state_of

from mini_kernel.errors import SysError
from mini_kernel.mm import fault, teardown
from mini_kernel.mm.frame import K_CACHE
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi.errno import ENOMEM
from mini_kernel.uapi.signal import SIGKILL


@dataclass
class Case:
    """A machine prepared for one operation that needs frames."""

    call: Callable[[], Any]
    mms: list[Mm]
    files: list[FakeFile] = field(default_factory=list)
    errno: int = ENOMEM
    partial: bool = False  # Linux documents or implies that what was done before the failure stays
    claims: bool = False  # PTE tables that were claimed before the failure stay so: nobody can tell by any access
    silent: bool = False  # the failure is not reported at all


def fault_call(mm: Mm, address: int, error: int) -> Callable[[], None]:
    """A fault as an operation: running out of memory must be the SIGKILL of class "oom"."""

    def call() -> None:
        try:
            fault.handle(mm, address, error)
        except fault.BadAccess as bad:
            assert (bad.signal, bad.fault_class) == (SIGKILL, "oom")
            raise SysError(ENOMEM) from None

    return call


def at_every_frame(build: Callable[[], Case], least: int = 1) -> None:
    """Refuse the n-th frame, for every n, and check what the case promises; the operation must need `least` frames."""
    n = 0
    while not _refuse(build, n):
        n += 1
        assert n < 64
    assert n >= least, f"the operation allocates {n} frames only"


def _refuse(build: Callable[[], Case], n: int) -> bool:
    """Refuse the allocation after n frames; True if the operation needed no more than n."""
    case = build()
    frames = case.mms[0].frames
    check_all(*case.mms)
    before, view = _state(case), view_of(*case.mms)
    frames.refuse_after = n
    try:
        case.call()
        refused = case.silent and not _enough(build, n)
    except SysError as error:
        assert error.errno == case.errno
        refused = True
        if case.claims:
            assert view_of(*case.mms) == view
        elif not case.partial:
            assert _state(case) == before
    frames.refuse_after = -1
    check_all(*case.mms)
    if refused:
        case.call()
        check_all(*case.mms)
    _check_nothing_leaked(case)
    return not refused


def _enough(build: Callable[[], Case], n: int) -> bool:
    """Whether the operation, left alone, allocates at most n frames."""
    case = build()
    frames = case.mms[0].frames
    before = frames.allocated
    case.call()
    return frames.allocated - before <= n


def _state(case: Case) -> dict[str, Any]:
    """The whole state, owners of PTE tables included.

    A page read into a page cache may stay there, so such frames count as free while unmapped.
    """
    state = state_of(*case.mms)
    frames = case.mms[0].frames
    idle = [pfn for pfn, count in state["counts"].items() if count == 1 and frames.kind[pfn] & K_CACHE]
    for pfn in idle:
        del state["counts"][pfn]
    state["free"] += len(idle)
    state["owners"] = [[int(frames.owner[r.table]) for r in mm.pt.tables_in(0, 1 << 47)] for mm in case.mms]
    state["unclaimed"] = [mm.pt.unclaimed for mm in case.mms]
    return state


def view_of(*mms: Mm) -> list[Any]:
    """What the processes can find out: areas, and rights (but for W) and content of each page."""
    return [
        (
            [vma.key() for vma in mm.vmas],
            (mm.start_brk, mm.brk),
            {
                va: (rights.replace("w", ""), mm.frames.ram.pages[pfn].tobytes())
                for va, (pfn, rights) in mapping_of(mm).items()
            },
        )
        for mm in mms
    ]


def _check_nothing_leaked(case: Case) -> None:
    frames = case.mms[0].frames
    for pfn in [pfn for pfn, n in frames.pins.items() for _ in range(n)]:
        frames.unpin(pfn)
    for mm in case.mms:
        teardown.destroy(mm)
    for file in case.files:
        file.cache.drop()
    assert frames.used().tolist() == [frames.zero_page]
