"""One test, from program to verdict."""

from dataclasses import replace
from pathlib import Path

from emu.testing.evidence import Cover, run_variant
from emu.testing.explain import explain, trace_lines
from emu.testing.golden import GoldenMismatch, compare_golden, golden_path
from emu.testing.loading import load_variant
from emu.testing.variants import NO_SFORK, Variant


class Unasked(Exception):
    """The run says nothing about what the command line wants to know; the message says why."""


def judge(variant: Variant, test: Path, update: bool, cover: Cover | None = None) -> list[str]:
    """What is wrong, in lines; empty when all is as expected. Raises EmuError where the program cannot be run.

    A run under sfork without a child by sfork has tested something else: a mistake, where a line asks for it. Where
    only the command line does, Unasked is raised.
    """
    plan = load_variant(variant).plan
    evidence = run_variant(variant, plan.wanted(), cover)
    failed = [expectation for expectation in plan.expectations if not expectation.holds(evidence)]
    if not plan.expectations and not plan.goldens and (evidence.signal is not None or evidence.exit):
        return ["no line says what is expected, so exit status 0 is", *explain(variant, evidence, [])]
    report: list[str] = []
    if failed:
        title = f"{len(failed)} of {len(plan.expectations)} expectations failed"
        report = [f"{title} ({variant.id})" if variant.id else title, *explain(variant, evidence, failed)]
    for golden in plan.goldens if variant.as_written else ():
        try:
            lines = trace_lines(variant, golden.filter)
            compare_golden(golden_path(test, _name(golden.name, variant)), lines, update, golden.filter)
        except GoldenMismatch as mismatch:
            report += [f"{golden.where}: EXPECT golden", str(mismatch)]
    if not report and variant.fork == "sfork" and not evidence.forks.get("sfork"):
        if not plan.forks:
            raise Unasked(NO_SFORK)
        report = [f"{plan.forks_where}: RUN fork sfork", f"    {NO_SFORK}"]
    return report


def _name(name: str, variant: Variant) -> str:
    """Each variant that the lines make has a trace of its own."""
    own = variant.id if variant.plan.memories else replace(variant, memory=None).id
    return f"{name}.{own}" if own else name
