"""lcov's tracefile (geninfo(1)): what genhtml, editors and coverage services read."""

from collections.abc import Iterable

from emu.coverage.lines import Covered


def to_lcov(files: Iterable[Covered], test: str = "") -> str:
    """A section for each source file. `test` is the test's name, letters, digits and _ only, as lcov wants it."""
    name = "".join(letter if letter.isalnum() else "_" for letter in test)
    return "".join(f"TN:{name}\n{_section(file)}" for file in files)


def _section(file: Covered) -> str:
    functions = sorted(file.functions.items(), key=lambda item: (item[1][0], item[0]))
    lines = [f"SF:{file.file}"]
    lines += [f"FN:{line},{name}" for name, (line, _count) in functions]
    lines += [f"FNDA:{count},{name}" for name, (_line, count) in functions]
    lines += [f"FNF:{len(functions)}", f"FNH:{sum(1 for _n, (_l, count) in functions if count)}"]
    branches = sorted(file.branches)
    for branch in branches:  # "-": the jump was not reached, so that nothing is known of its condition
        for way, count in enumerate((branch.taken, branch.passed)):
            lines.append(f"BRDA:{branch.line},{branch.number},{way},{count if branch.reached else '-'}")
    hit = sum((branch.taken > 0) + (branch.passed > 0) for branch in branches)
    lines += [f"BRF:{2 * len(branches)}", f"BRH:{hit}"]
    lines += [f"DA:{line},{count}" for line, count in sorted(file.lines.items())]
    lines += [f"LF:{len(file.lines)}", f"LH:{sum(1 for count in file.lines.values() if count)}", "end_of_record"]
    return "".join(f"{line}\n" for line in lines)
