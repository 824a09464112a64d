"""What the debugger says a fault will come to is what the kernel then does."""

from pathlib import Path

import pytest

from emu.boot import Options, System
from emu.debug import BeforeFault, Debugger, Ended
from emu.debug.events import Faulted
from emu.program import load_program

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PROGRAMS = (
    "demand_zero", "mappings", "fork_cow", "odf_first_write", "odf_last_user", "odf_generations", "odf_mprotect",
    "odf_then_classic", "sfork_lazy", "sfork_on_demand", "signal_repair", "stack_overflow", "execute_nx",
)  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_verdict_before_a_fault_is_the_class_it_gets(name: str) -> None:
    program = load_program(str(EXAMPLES / f"{name}.asm"))
    seen = 0
    with System(program, (), Options(memory=1 << 30, debug=True)) as system:
        d = Debugger(system)
        while not isinstance(stop := d.step_fault(), Ended):
            if isinstance(stop, BeforeFault) and stop.verdict is not None:
                told, at = stop.verdict, len(d.log)
                d.step()
                done = next(e for e in d.log[at:] if isinstance(e, Faulted))
                assert (done.address, done.fault_class) == (stop.address, told.fault_class)
                seen += 1
    assert seen
