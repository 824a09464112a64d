"""/proc looks like Linux's: the same program prints the host's files and ours, and one grammar reads both.

Values differ, and so does which lines there are: Linux has some that are not known here. What is there must have the
names, the order, the columns and the units of the host's.
"""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, in_lab, natively

SOURCE = Path(__file__).parent / "proc" / "print.c"
FILES = (
    "/proc/self/maps", "/proc/self/smaps", "/proc/self/smaps_rollup", "/proc/self/status", "/proc/self/statm",
    "/proc/self/stat", "/proc/self/comm", "/proc/self/cmdline", "/proc/self/mounts", "/proc/meminfo", "/proc/stat",
    "/proc/uptime", "/proc/loadavg", "/proc/version", "/proc/filesystems", "/proc/cpuinfo",
    "/proc/sys/kernel/pid_max", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/max_map_count", "/proc/sys/vm/nr_hugepages",
)  # fmt: skip

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)

AREA = re.compile(
    r"[0-9a-f]{8,16}-[0-9a-f]{8,16} [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]{2}:[0-9a-f]{2} \d+ *(?P<name> \S.*)?"
)
KILOBYTES = re.compile(r"(\w+): +\d+ kB")

#: One pattern for each line of a file; a dictionary: by the line's name.
STATUS = {
    "Name": r"\S+", "Umask": r"0[0-7]{3}", "State": r"[RSDTZX] \([a-z ]+\)", "Uid": r"\d+\t\d+\t\d+\t\d+",
    "Gid": r"\d+\t\d+\t\d+\t\d+", "Groups": r"(\d+ )* ?", "SigQ": r"\d+/\d+", "Cpus_allowed_list": r"[\d,-]+",
    "Mems_allowed_list": r"[\d,-]+", "Cpus_allowed": r"[0-9a-f,]+", "Mems_allowed": r"[0-9a-f,]+",
    "untag_mask": r"0x[0-9a-f]{16}", "Speculation_Store_Bypass": r"[a-z ]+", "SpeculationIndirectBranch": r"[a-z ]+",
    "x86_Thread_features": r".*", "x86_Thread_features_locked": r".*",
    **dict.fromkeys(("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"), r"[0-9a-f]{16}"),
    **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), r"[0-9a-f]{16}"),
}  # fmt: skip


@cache
def _program(directory: Path) -> Path:
    return compile_c(SOURCE, directory / "print")


@pytest.fixture(scope="session")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """(the host's, ours): content by path."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = _program(tmp_path_factory.mktemp("proc"))
    return _split(natively(path, FILES).stdout), _split(in_lab(path.read_bytes(), FILES, name="print").stdout)


def _split(output: bytes) -> dict[str, str]:
    parts = re.split(r"\n=== (\S+)\n", output.decode())[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def in_order(ours: list[str], theirs: list[str]) -> None:
    """Every name of ours is one of theirs, in the same order."""
    assert set(ours) <= set(theirs), set(ours) - set(theirs)
    places = [theirs.index(name) for name in ours]
    assert places == sorted(places), [ours[i : i + 2] for i, (a, b) in enumerate(pairwise(places)) if a > b]


def test_every_file_is_there(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """None is empty, and none fails to open."""
    for files in printed:
        assert list(files) == list(FILES)
        assert [path for path, text in files.items() if not text or text.startswith("errno")] == []


def test_maps_has_the_columns_of_the_hosts(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """The same line grammar; names begin in the same column; a line without a name ends in a blank."""
    for files in printed:
        for line in files["/proc/self/maps"].splitlines():
            match = AREA.fullmatch(line)
            assert match, line
            if match["name"]:
                assert line.index(match["name"].strip()) == 73 or len(line.split(" /")[0]) > 72
            else:
                assert line.endswith(" 0 ")
    host, ours = (files["/proc/self/maps"] for files in printed)
    for name in ("[heap]", "[stack]", "/dev/zero (deleted)", "/tmp/cr3lab-proc-data (deleted)"):
        assert name in host
        assert name in ours
    for text in (host, ours):
        assert re.search(r" rw-s 00000000 00:\w\w \d+ +/dev/zero", text)


def _areas(text: str) -> list[list[str]]:
    """The lines of each area of smaps."""
    return [area.splitlines() for area in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)[1:]]


def test_smaps_has_the_lines_of_the_hosts(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """A line of maps, then names and sizes in the same order and columns, then two-letter flags."""
    names: list[list[str]] = []
    for files in printed:
        areas = _areas(files["/proc/self/smaps"])
        assert [area[0] for area in areas] == files["/proc/self/maps"].splitlines()
        for area in areas:
            assert all(KILOBYTES.fullmatch(line) and line[24:] == " kB" for line in area[1:-2]), area
            assert re.fullmatch(r"VmFlags: ([a-z?]{2} )*", area[-1]), area[-1]
        names.append([re.split(": +", line)[0] for line in areas[0][1:]])
    host, ours = names
    in_order(ours, host)
    assert set(host) - set(ours) <= {"KSM", "ProtectionKey"}
    lines = [[line for line in _areas(files["/proc/self/smaps"])[0] if line.startswith("THP")] for files in printed]
    assert lines[0] == lines[1]


def test_smaps_says_the_same_about_the_same_memory(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """A locked page that a fork shares, shared memory, a file: the sizes are the host's, and so are the flags."""

    def about(files: dict[str, str], what: str) -> dict[str, str]:
        area = next(area for area in _areas(files["/proc/self/smaps"]) if re.search(what, "\n".join(area)))
        return dict(re.split(": +", line, maxsplit=1) for line in area[1:])

    compared = (
        "Locked",
        "Size",
        "Rss",
        "Pss",
        "Shared_Clean",
        "Shared_Dirty",
        "Private_Clean",
        "Private_Dirty",
        "Anonymous",
    )
    for what in ("rw-s .*/dev/zero", "r--s .*cr3lab-proc-data", r"VmFlags: .*\blo\b"):
        host, ours = (about(files, what) for files in printed)
        assert {name: ours[name] for name in compared} == {name: host[name] for name in compared}
    wanted = [{"rd", "wr", "mr", "mw", "me", "dc"}, {"rd", "wr", "mr", "mw", "me", "lo"}, {"mr", "mw", "me"}]
    for files in printed:
        flags = [set(area[-1].split()[1:]) - {"ac", "sd", "?"} for area in _areas(files["/proc/self/smaps"])]
        assert all(one in flags for one in wanted), flags


def test_smaps_rollup_has_the_lines_of_the_hosts(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """The whole range, without rights, and the sums."""
    names: list[list[str]] = []
    for files in printed:
        head, *lines = files["/proc/self/smaps_rollup"].splitlines()
        assert re.fullmatch(r"[0-9a-f]{8,}-[0-9a-f]{8,} ---p 00000000 00:00 0 +\[rollup\]", head)
        assert head.index("[rollup]") == 73
        assert all(KILOBYTES.fullmatch(line) and line[24:] == " kB" for line in lines)
        names.append([line.split(":")[0] for line in lines])
    in_order(names[1], names[0])


def test_status_has_the_lines_of_the_hosts(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """Name, tab, value, each of the same form; the names in the same order."""
    names: list[list[str]] = []
    for files in printed:
        lines = files["/proc/self/status"].splitlines()
        for line in lines:
            name, value = line.split(":\t")
            size = name.startswith(("Vm", "Rss", "Huge"))
            pattern = r"[ \d]{8} kB" if size else STATUS.get(name, r"-?\d+")
            assert re.fullmatch(pattern, value), line
        names.append([line.split(":")[0] for line in lines])
    in_order(names[1], names[0])
    assert set(names[1]) >= {"VmSize", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmData", "VmStk", "VmPTE", "Threads"}


def test_status_says_the_same_about_the_same_memory(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """What the program itself decides is the same: shared pages, locked pages, signals, threads, rights."""
    host, ours = (
        dict(re.split(":\t *", line) for line in files["/proc/self/status"].splitlines()) for files in printed
    )
    for name in (
        "Name",
        "State",
        "VmLck",
        "RssShmem",
        "VmSwap",
        "HugetlbPages",
        "Threads",
        "SigPnd",
        "SigBlk",
        "SigCgt",
    ):
        assert ours[name] == host[name], name


@pytest.mark.parametrize("file", ["/proc/self/statm", "/proc/self/stat", "/proc/uptime", "/proc/loadavg"])
def test_lines_of_numbers_have_as_many(printed: tuple[dict[str, str], dict[str, str]], file: str) -> None:
    """Same number of fields, each of the same form: a number, one with a fraction, a name in parentheses, a pair."""

    def form(text: str) -> list[str]:
        return [re.sub(r"-?\d+", "n", field) for field in text.split()]

    host, ours = (form(files[file]) for files in printed)
    assert ours == host
    assert all(files[file].count("\n") == 1 for files in printed)


@pytest.mark.parametrize("file", ["/proc/self/comm", "/proc/self/cmdline"])
def test_files_that_say_the_same(printed: tuple[dict[str, str], dict[str, str]], file: str) -> None:
    """The name, the arguments (the first is a path, which differs)."""
    host, ours = (files[file].split("\0")[1 if "cmdline" in file else 0 :] for files in printed)
    assert ours == host


def test_files_about_the_system_have_known_lines(printed: tuple[dict[str, str], dict[str, str]]) -> None:
    """meminfo and stat: names of the host's, in its order and columns; the rest by their form."""
    names: list[list[str]] = []
    for files in printed:
        lines = files["/proc/meminfo"].splitlines()
        assert all(
            re.fullmatch(r"[\w()]+: +\d+( kB)?", line) and len(line.removesuffix(" kB")) == 24 for line in lines[:20]
        )
        names.append([line.split(":")[0] for line in lines])
        assert re.fullmatch(r"Linux version \S+ \(.*\) #1 .*\n", files["/proc/version"])
        assert all(re.fullmatch(r"(nodev)?\t\w+", line) for line in files["/proc/filesystems"].splitlines())
        assert all(re.fullmatch(r"\S+ /\S* \S+ \S+ 0 0", line) for line in files["/proc/self/mounts"].splitlines())
        assert all(re.fullmatch(r"(\w[\w ]{0,15}\t{0,2}: ?.*)?", line) for line in files["/proc/cpuinfo"].splitlines())
        assert re.fullmatch(r"\d+\n", files["/proc/sys/kernel/pid_max"])
    in_order(names[1], names[0])
    kinds = [
        [line.split()[0] for line in files["/proc/stat"].splitlines() if not line.startswith("cpu1")]
        for files in printed
    ]
    in_order(kinds[1], kinds[0])
    assert [len(files["/proc/stat"].splitlines()[0].split()) for files in printed] == [11, 11]
