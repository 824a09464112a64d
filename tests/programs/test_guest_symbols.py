"""Which program's names a report uses: those of the file that runs, whatever the process calls itself."""

from collections.abc import Mapping

from program_lab import assemble

from emu.boot import Options, System
from emu.program import Program
from emu.render.fault import fault_report

FAULTS = """
{label}:
    xor eax, eax
    mov rbx, [rax]
"""
RENAMED = (
    """
_start:
    mov eax, SYS_prctl
    mov edi, 15                 # PR_SET_NAME
    lea rsi, [rip + name]
    syscall
"""
    + FAULTS.format(label="renamed_fault")
    + """
.data
name: .asciz "other"
"""
)
EXECS = (
    """
_start:
    mov eax, SYS_execve
    lea rdi, [rip + path]
    xor esi, esi
    xor edx, edx
    syscall
"""
    + FAULTS.format(label="first_fault")
    + """
.data
path: .asciz "{path}"
"""
)
SECOND = "_start:\n    nop\n" + FAULTS.format(label="second_fault")


def report(source: str, files: Mapping[str, bytes]) -> str:
    """The fault report of a program called `prog`."""
    with System(Program("prog", "", assemble(source), None), (), Options(memory=16 << 20)) as system:
        for path, data in files.items():
            system.put_file(path, data, 0o755)
        system.run()
        return "".join(fault_report(record, system.symbols.at(record.exe_path)) for record in system.records)


def test_a_process_that_renames_itself_keeps_its_names() -> None:
    found = report(RENAMED, {})
    assert "(other) was killed" in found
    assert "renamed_fault" in found


def test_the_names_of_a_program_that_was_executed_are_its_own() -> None:
    """Even if it has the first one's name: elsewhere, or cut off to it."""
    for path in ("/opt/prog", "/bin/pro", "/bin/prog2"):
        found = report(EXECS.replace("{path}", path), {path: assemble(SECOND)})
        assert "second_fault" in found, path
        assert "first_fault" not in found, path


def test_nothing_is_known_of_a_file_that_is_gone() -> None:
    """It was executed, and then unlinked."""
    source = SECOND.replace(
        "xor eax, eax", "mov eax, SYS_unlink\n    lea rdi, [rip + path]\n    syscall\n    xor eax, eax"
    )
    found = report(EXECS.replace("{path}", "/opt/x"), {"/opt/x": assemble(source + '.data\npath: .asciz "/opt/x"\n')})
    assert "(x) was killed" in found
    assert "fault" not in found.partition("registers")[0].replace("page fault", "").replace("fault,", "")
