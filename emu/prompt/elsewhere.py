"""What gdb and pwndbg have and there is not here, with what to type instead; settings that mean nothing here."""

from typing import Final

_FRESH: Final = "`run [ARGS...]` starts the program anew, `quit` leaves"
_OUTSIDE: Final = "the program is the one that `emu debug PROG` names"
_TYPES: Final = "types and names of variables are not read; `print *(int *)ADDRESS`, `x/4gx ADDRESS`, `info frame`"
_FINDS: Final = "`dump ADDRESS, LENGTH` shows memory, `who-wrote ADDRESS` who stored what is there"
_ALWAYS: Final = "every run can be gone back in: `reverse-stepi`, `reverse-continue`, `goto TIME`"
_SCREEN: Final = "the full screen is `emu debug --tui PROG`; `context` shows registers, code and stack here"
_OUTPUT: Final = "what is printed goes to standard output: redirect that, with --batch and -x FILE"

_ELSEWHERE: Final[dict[str, str]] = {
    "kill": _FRESH,
    "k": _FRESH,
    "detach": _FRESH,
    "attach": _OUTSIDE,
    "file": _OUTSIDE,
    "exec-file": _OUTSIDE,
    "symbol-file": _OUTSIDE,
    "add-symbol-file": _OUTSIDE,
    "core-file": _OUTSIDE,
    "target": "`emu gdb PROG --port N` serves a real gdb",
    "monitor": "its commands are commands here: `why`, `vtop`, `pt`, `info maps`, `info ledger`",
    "call": "functions of the program cannot be called; `set $rip = PLACE` or `jump PLACE` goes to one",
    "ptype": _TYPES,
    "whatis": _TYPES,
    "explore": _TYPES,
    "record": _ALWAYS,
    "stop": _ALWAYS,
    "generate-core-file": "`emu run --record FILE` keeps a run, `emu debug --replay FILE` goes over it",
    "gcore": "`emu run --record FILE` keeps a run, `emu debug --replay FILE` goes over it",
    "queue-signal": "signals come from the program: `catch signal NAME` stops at one",
    "shell": "use another terminal",
    "make": "use another terminal",
    "pwd": "use another terminal",
    "cd": "use another terminal",
    "define": "files of commands do that: `source FILE`, and `commands N` for the stops of a point",
    "document": "files of commands do that: `source FILE`",
    "python": "emu.debug is the same debugger as a library",
    "pi": "emu.debug is the same debugger as a library",
    "guile": "emu.debug is the same debugger as a library",
    "pipe": _OUTPUT,
    "thbreak": "`tbreak PLACE`: there are as many breakpoints as one likes",
    "rbreak": "`break NAME` for each; names are completed",
    "tui": _SCREEN,
    "layout": _SCREEN,
    "focus": _SCREEN,
    "winheight": _SCREEN,
    "find": _FINDS,
    "search": _FINDS,
    "forward-search": "`list PLACE` shows lines",
    "directory": "sources are found below the program's directory and the present one",
    "edit": "`list PLACE` shows lines",
    "catchpoint": "`catch KIND`",
    "stepping": "`stepi`, `step`, `step-block`",
    "skip": "`next` and `finish` go over functions, `step` goes into those with lines",
    "tstart": "`emu run --trace FILE` traces",
    "trace": "`emu run --trace FILE` traces; `log` shows what has happened",
    "got": "programs are static here",
    "plt": "programs are static here",
    "heap": "`info maps` shows [heap], `x/8gx ADDRESS` what is in it",
    "vis_heap_chunks": "`x/8gx ADDRESS` shows what is in a chunk",
    "checksec": "`info maps` has the rights of each area",
    "xinfo": "`why ADDRESS` tells all about an address",
    "probeleak": "`x/8ga ADDRESS` names what words point to",
    "canary": "it is at fs:0x28: `x/gx $fs_base + 0x28`",
    "compile": "`set` changes registers and memory",
    "add-inferior": _OUTSIDE,
}

#: Settings of gdb that are as they should be, or mean nothing here.
HARMLESS: Final = frozenset(
    (
        "pagination", "confirm", "width", "height", "print", "history", "style", "debuginfod", "verbose", "logging",
        "can-use-hw-watchpoints", "startup-with-shell", "backtrace", "step-mode", "prompt", "detach-on-fork",
        "disable-randomization", "breakpoint", "auto-load", "sysroot", "architecture", "osabi", "language",
        "complaints", "max-value-size", "schedule-multiple", "follow-exec-mode", "exec-wrapper",
    )
)  # fmt: skip


def elsewhere(word: str) -> str | None:
    """What to type instead of a command that is only elsewhere."""
    return _ELSEWHERE.get(word)
