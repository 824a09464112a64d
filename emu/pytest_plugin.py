"""pytest plugin: tests written in assembly files and cases.toml, and fixtures that run guest programs.

Collected are `test_*.asm`, `test_*.nasm`, `test_*.s`, `test_*.S` with EXPECT or RUN lines (emu.testing.grammar), and
`cases.toml` with a [[case]] (emu.testing.cases). Fixtures: `emulate`, `machine`, `fork_kind`, `schedule`, `ram_size`.
Nothing of the laboratory is imported before a test needs it; `-p no:emu` leaves the plugin out.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from emu.boot import System
    from emu.testing import Plan, Variant
    from emu.testing.emulate import Emulate

_SOURCES = (".asm", ".nasm", ".s", ".S")
_LINE = rb"^\s*(?:#|;|//)\s*(?:EXPECTS?|RUN)\b"
_CASE = rb"^\s*\[\[?\s*case\b"


def _leave_assertions_alone() -> None:
    """pytest rewrites the assertions of every module of a distribution that has a plugin, which is for plugins with
    helpers; here it would be the whole laboratory, at several seconds an import and some speed of each kernel entry."""
    for finder in sys.meta_path:
        names: object = getattr(finder, "_must_rewrite", None)
        if isinstance(names, set):
            names.difference_update([name for name in names if str(name).split(".")[0] in _PACKAGES])  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
            getattr(finder, "_marked_for_rewrite_cache", {}).clear()


_PACKAGES = ("emu", "mini_kernel", "userland")
_leave_assertions_alone()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all in a group of their own."""
    group = parser.getgroup("emu", "guest programs (cr3lab)")
    group.addoption("--emu-update", action="store_true", help="keep the traces of this run as the golden ones")
    group.addoption("--schedules", type=int, default=0, metavar="N", help="run each guest test under N interleavings")
    group.addoption("--emu-seed", type=int, default=None, metavar="SEED", help="run under this interleaving only")
    group.addoption("--emu-fork", default="", metavar="KINDS", help="classic,odf,sfork: tests that do not say")
    group.addoption("--emu-cov", default="", metavar="DIR", help="write the coverage of guest programs into DIR")
    group.addoption("--emu-mem", default="", metavar="SIZES", help="64M,1G: guest RAM of tests that do not say")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what an option cannot be, before anything runs."""
    _forks(config)
    _memories(config)


def _option(config: pytest.Config, name: str) -> Any:
    return config.getoption(name)


def _seeds(config: pytest.Config) -> list[int]:
    seed = _option(config, "emu_seed")
    return [seed] if seed is not None else list(range(1, _option(config, "schedules") + 1))


def _forks(config: pytest.Config) -> list[str]:
    kinds = [kind.strip() for kind in _option(config, "emu_fork").split(",") if kind.strip()]
    if wrong := [kind for kind in kinds if kind not in ("classic", "odf", "sfork")]:
        raise pytest.UsageError(f"--emu-fork: {wrong[0]} is none of classic, odf, sfork")
    return kinds


def _memories(config: pytest.Config) -> list[int]:
    text = _option(config, "emu_mem")
    if not text:
        return []
    from emu.testing.values import number

    sizes = [number(part.strip()) for part in text.split(",")]
    if None in sizes:
        raise pytest.UsageError(f"--emu-mem: {text} is no list of sizes such as 64M,1G")
    return [size for size in sizes if size is not None]


def _keep_programs(config: pytest.Config) -> None:
    """Programs that are assembled are kept in pytest's cache."""
    from emu.testing.loading import keep_in

    if _KEEPS not in config.stash:
        cache = getattr(config, "cache", None)
        directory: Path | None = None
        with contextlib.suppress(OSError):  # pytest itself says that its cache cannot be written
            directory = cache.mkdir("cr3lab") if cache is not None else None
        config.stash[_KEEPS] = True
        keep_in(directory)


_KEEPS = pytest.StashKey[bool]()


def _make(kind: Any, parent: pytest.Collector, **arguments: Any) -> Any:
    """`kind.from_parent`, whose types pytest leaves open."""
    return kind.from_parent(parent, **arguments)


# -- files -----------------------------------------------------------------------------------------


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Sources that are tests, and cases.toml; files that only have such names belong to somebody else."""
    if file_path.name == "cases.toml":
        return _make(CasesFile, parent, path=file_path) if _holds(file_path, _CASE) else None
    if file_path.suffix in _SOURCES and file_path.name.startswith("test_") and _holds(file_path, _LINE):
        return _make(SourceFile, parent, path=file_path)
    return None


def _holds(path: Path, pattern: bytes) -> bool:
    """Also of a file that cannot be read: whoever reads it says so."""
    try:
        return re.search(pattern, path.read_bytes(), re.MULTILINE | re.IGNORECASE) is not None
    except OSError:
        return True


class _GuestFile(pytest.File):
    """A file of guest tests. A mistake in it is one line with its place, not a traceback."""

    def _items(self, name: str, plan: Plan) -> Iterator[GuestItem]:
        from emu.testing import variants

        config = self.config
        for variant in variants(plan, _seeds(config), _forks(config), _memories(config)):
            full = f"{name}[{variant.id}]" if variant.id else name
            yield _make(GuestItem, self, name=full, variant=variant)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The mistake as the command line shows it."""
        from emu.errors import EmuError

        return str(excinfo.value) if isinstance(excinfo.value, EmuError) else super().repr_failure(excinfo)


class SourceFile(_GuestFile):
    """A source file with EXPECT lines: one test for each combination of its RUN lines."""

    def collect(self) -> Iterable[GuestItem]:
        """Its tests."""
        from emu.testing import parse_source

        return self._items("run", parse_source(self.path))


class CasesFile(_GuestFile):
    """cases.toml."""

    def collect(self) -> Iterable[GuestItem]:
        """The tests of all cases."""
        from emu.testing.cases import parse_cases

        return (item for name, plan in parse_cases(self.path).items() for item in self._items(name, plan))


class GuestFailure(Exception):
    """A run was not as expected; the message is the report."""


class GuestItem(pytest.Item):
    """One run of a guest program."""

    def __init__(self, *, variant: Variant, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]  # pytest leaves it open
        self.variant = variant

    def runtest(self) -> None:
        """Run it, and compare. Raises GuestFailure."""
        from emu.testing.judge import Unasked, judge

        _keep_programs(self.config)
        cover = _cover(self.config, self.nodeid)
        try:
            report = judge(self.variant, self.path, _option(self.config, "emu_update"), cover)
        except Unasked as why:
            pytest.skip(str(why))
        if report:
            raise GuestFailure("\n".join([*report, *self._replay()]))

    def _replay(self) -> list[str]:
        from emu.testing.replay import debug_command

        seed, own = self.variant.seed, self.variant.plan.seeds
        if seed is None:
            return []
        how = f"'{self.nodeid}'" if own else f"--emu-seed {seed} '{self.nodeid}'"
        debug = debug_command(self.variant)
        again = [f"step by step, forward and back: {debug}"] if debug is not None else []
        return [f"the schedule's seed is {seed}; the same again: pytest {how}", *again]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report, without a traceback of ours."""
        from emu.errors import EmuError

        if isinstance(excinfo.value, GuestFailure | EmuError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the test is."""
        return self.path, 0, f"{self.path.name}: {self.name}"


# -- fixtures --------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Python tests that emulate run under each interleaving and size that the command line asks for."""
    names = metafunc.fixturenames
    if "schedule" in names or ("emulate" in names and _seeds(metafunc.config)):
        if "schedule" not in names:
            names.append("schedule")
        seeds = _seeds(metafunc.config) or [None]
        metafunc.parametrize("schedule", seeds, ids=lambda seed: "" if seed is None else f"seed{seed}")
    if "ram_size" in names or ("emulate" in names and _memories(metafunc.config)):
        if "ram_size" not in names:
            names.append("ram_size")
        metafunc.parametrize("ram_size", _memories(metafunc.config) or [1 << 30])


@pytest.fixture(params=("classic", "odf", "sfork"))
def fork_kind(request: pytest.FixtureRequest) -> str:
    """What makes children: the same test under each. `emulate` and `machine` follow it by themselves.

    Under sfork a test that passes counts as skipped when none of the programs it emulates has made a child by sfork:
    see FORK_CALL in emu.testing.grammar.
    """
    return request.param


def _chosen(request: pytest.FixtureRequest, name: str, otherwise: Any) -> Any:
    return request.getfixturevalue(name) if name in request.fixturenames else otherwise


@pytest.fixture
def emulate(request: pytest.FixtureRequest) -> Emulate:
    """Runs a guest program: `emulate("prog.asm", args, stdin=b"...")` gives a Result, with `golden`."""
    from emu.testing.emulate import Emulate

    _keep_programs(request.config)
    return Emulate(
        request.path,
        _chosen(request, "fork_kind", None),
        _chosen(request, "schedule", None),
        _chosen(request, "ram_size", 1 << 30),
        _option(request.config, "emu_update"),
        _cover(request.config, request.node.nodeid),
    )


@pytest.fixture
def machine(emulate: Emulate) -> Iterator[Callable[..., System]]:
    """Boots a guest program: `machine("prog.asm")` gives a System before its first instruction; it is closed later."""
    systems: list[System] = []

    def boot(*arguments: Any, **options: Any) -> System:
        systems.append(emulate.boot(*arguments, **options))
        return systems[-1]

    yield boot
    for system in systems:
        system.close()


def _leave_ourselves_out(excinfo: pytest.ExceptionInfo[BaseException] | None) -> None:
    """A mistake that EmuError tells of is the test's or the program's: its traceback ends where the test calls us."""
    errors = sys.modules.get("emu.errors")
    if excinfo is None or errors is None or not isinstance(excinfo.value, errors.EmuError):
        return
    last: TracebackType | None = None
    entry: TracebackType | None = excinfo.tb
    while entry is not None:
        last = last if _HERE in Path(entry.tb_frame.f_code.co_filename).parents else entry
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None
    excinfo.value.__cause__, excinfo.value.__suppress_context__ = None, True


_HERE = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed Python test that emulated shows the fault reports of its guests; one that tested nothing is skipped."""
    _leave_ourselves_out(call.excinfo)
    report = yield
    funcargs: dict[str, Any] = getattr(item, "funcargs", {})
    emulated = funcargs.get("emulate")
    if emulated is not None and report.when == "call" and report.failed:
        for title, text in emulated.sections():
            report.sections.append((title, text))
    if emulated is not None and report.when == "call" and report.passed and (why := emulated.unasked()):
        path, line, _name = item.reportinfo()
        report.outcome, report.longrepr = "skipped", (str(path), (line or 0) + 1, f"Skipped: {why}")
    return report


# -- coverage --------------------------------------------------------------------------------------

_STORE = pytest.StashKey[Any]()


def _store(config: pytest.Config) -> Any:
    from emu.testing.coverage import Store

    return config.stash.setdefault(_STORE, Store())


def _cover(config: pytest.Config, test: str) -> Callable[[System], object] | None:
    """What a system is given to before it runs under a test, if coverage is wanted."""
    if not _option(config, "emu_cov"):
        return None
    store = _store(config)
    return lambda system: store.listen(test, system)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker of pytest-xdist has ended: what it covered."""
    part = getattr(node, "workeroutput", {}).get("emu_cov")
    if part:
        _store(node.config).merge(part)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the coverage over, from a worker."""
    output: Any = getattr(session.config, "workeroutput", None)
    if output is not None and _STORE in session.config.stash:
        output["emu_cov"] = session.config.stash[_STORE].dump()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write it, and say what there is."""
    directory = _option(config, "emu_cov")
    if directory and _STORE in config.stash:
        terminalreporter.section(f"coverage of guest programs, in {directory}")
        try:
            lines = config.stash[_STORE].write(Path(directory))
        except OSError as error:
            lines = [f"error: {error.filename} cannot be written: {error.strerror}"]
        for line in lines:
            terminalreporter.line(line)
