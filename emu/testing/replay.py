"""The command that debugs what a test ran: `emu debug` with the same program, options, input and schedule."""

import shlex
import string
from pathlib import Path

from emu.program import is_source
from emu.testing.variants import Variant, size

_PLAIN = (string.ascii_letters + string.digits + " ,.:;-_/=+").encode()


def debug_command(variant: Variant) -> str | None:
    """For a shell, in the directory where the tests were run; None for what the command line cannot say."""
    plan, path = variant.plan, variant.plan.program or variant.plan.path
    if plan.failures or plan.refused or plan.files or plan.check or _depends_on_fork(path):
        return None
    words = ["emu", "debug", "--mem", size(variant.memory or plan.default_memory)]
    if variant.seed is not None:
        words += ["--schedule", str(variant.seed)]
    if variant.policy != "classic":
        words += ["--fork", variant.policy]
    for option, value, usual in (("--assembler", plan.assembler, "keystone"), ("--syntax", plan.syntax, "intel")):
        words += [option, value] if value != usual else []
    for name, value in {**plan.env, **variant.environment}.items():
        words += ["--env", f"{name}={value}"]
    head = shlex.join(words)
    if plan.stdin:
        head += f" --stdin <(printf {_printf(plan.stdin)})"
    return f"{head} {shlex.join([path, *plan.args])}"


def _depends_on_fork(path: str) -> bool:
    """True for a source with the symbol that only tests define (variants.FORK_CALLS)."""
    return is_source(path) and b"FORK_CALL" in Path(path).read_bytes()


def _printf(data: bytes) -> str:
    """A format of printf(1) for these bytes: what is not plain text in octal."""
    plain = (chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in data)
    return shlex.quote("".join(plain))
