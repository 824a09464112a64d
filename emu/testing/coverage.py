"""What the tests of a session covered, by program and test; handed from worker to controller, and written."""

import pickle
from pathlib import Path

from emu.boot import System
from emu.coverage import Code, Collector, Counts, Covered, file_name, merged, summary, to_drcov, to_lcov
from emu.program import Program


class Store:
    """Counts of a session. Programs are told apart by path and content."""

    def __init__(self) -> None:
        self._programs: dict[tuple[str, int], Program] = {}
        self._counts: dict[tuple[str, int], dict[str, Counts]] = {}

    def listen(self, test: str, system: System) -> None:
        """Count what a system will do under this test."""
        collector = Collector(system)
        self._of(test, system.program, collector.counts)

    def _of(self, test: str, program: Program, counts: Counts) -> None:
        key = program.path or program.name, hash(program.data)
        self._programs.setdefault(key, program)
        tests = self._counts.setdefault(key, {})
        if test in tests:  # a second run under the same test: summed up at the end
            test = f"{test}#{len(tests)}"
        tests[test] = counts

    def dump(self) -> bytes:
        """Everything, for another process of the same session."""
        return pickle.dumps([(self._programs[key], tests) for key, tests in self._counts.items()])

    def merge(self, part: bytes) -> None:
        """Add what `dump` gave."""
        for program, tests in pickle.loads(part):
            for test, counts in tests.items():
                self._of(test, program, counts)

    def write(self, directory: Path) -> list[str]:
        """Write lcov.info, a file per test and one drcov file per program; lines for the terminal."""
        each = directory / "tests"
        each.mkdir(parents=True, exist_ok=True)
        every: list[Covered] = []
        by_test: dict[str, str] = {}
        for key, tests in sorted(self._counts.items(), key=lambda item: item[0]):
            program, total = self._programs[key], Counts()
            code = Code(program)
            for test, counts in sorted(tests.items()):
                total.add(counts)
                name = test.partition("#")[0]
                by_test[name] = by_test.get(name, "") + to_lcov(code.covered(counts), name)
            every += code.covered(total)
            (directory / f"{file_name(program.name)}.drcov").write_bytes(to_drcov(key[0], program.data, total))
        for test, text in by_test.items():
            (each / f"{file_name(test)}.info").write_text(text)
        files = merged(every)
        (directory / "lcov.info").write_text(to_lcov(files))
        return summary(files)
