"""The report of `emu bench` with made-up rows: JSON, table, ratios, verdicts, pictures."""

import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from emu.bench import Report, Row, to_html, to_json, to_svg, to_table
from emu.bench.cases import ABOUT, BARS, BENCHES, SEEDS, Lab, fork, sfork
from emu.bench.guest import Guests
from emu.bench.host import Host
from emu.bench.plot import Scale
from emu.bench.report import Bar, Case, Seed, case_text, number, ratio, row, times

SVG = "{http://www.w3.org/2000/svg}"


def made(bench: str, where: str, value: float, unit: str = "us", **case: str | int) -> Row:
    """A row whose best run is 10% below its median and whose worst 20% above."""
    return Row(bench, {**case, "where": where}, unit, value, value * 0.9, value * 1.2, 7)


def report(
    *rows: Row, bars: tuple[Bar, ...] = (), skipped: tuple[str, ...] = (), seeds: tuple[Seed, ...] = ()
) -> Report:
    about = {"fork": "Fork <by> policy."}
    return Report({"cpu": "a <fast> one", "versions": {"numpy": "2"}}, rows, skipped, bars, seeds, about)


def line(text: str, *words: str) -> str:
    """The one line of a table that starts with these words."""
    found = [entry for entry in text.splitlines() if entry.split()[: len(words)] == list(words)]
    assert len(found) == 1, text
    return found[0]


def test_a_row_holds_median_extremes_and_number_of_runs() -> None:
    assert row("cpu", {"where": "emu"}, "MIPS", [5.0, 1.0, 3.0, 9.0]) == Row(
        "cpu", {"where": "emu"}, "MIPS", 4.0, 1.0, 9.0, 4
    )


def test_json_has_the_published_shape() -> None:
    emu = made("fork", "emu", 14.2, policy="odf", mib=1024)
    document = json.loads(to_json(report(emu, skipped=("fork on the host: no C compiler",))))
    assert document["schema"] == 1
    assert document["machine"]["cpu"] == "a <fast> one"
    assert document["skipped"] == ["fork on the host: no C compiler"]
    assert document["rows"] == [
        {
            "bench": "fork",
            "case": {"policy": "odf", "mib": 1024, "where": "emu"},
            "unit": "us",
            "median": 14.2,
            "min": 14.2 * 0.9,
            "max": 14.2 * 1.2,
            "runs": 7,
        }
    ]


def test_an_emu_row_is_compared_with_the_same_case_elsewhere_and_no_other() -> None:
    emu = made("fork", "emu", 10, policy="classic", mib=64)
    host = made("fork", "host", 40, policy="classic", mib=64)
    others = made("fork", "host", 1, policy="classic", mib=65), made("switch", "host", 1, policy="classic", mib=64)
    whole = report(*others, emu, host)
    assert whole.yardsticks(emu) == [host]
    assert whole.yardsticks(host) == []
    assert ratio(emu, host) == 0.25
    assert "0.25x host" in to_table(whole)


def test_a_yardstick_of_zero_gives_no_infinite_ratio() -> None:
    assert ratio(made("cpu", "emu", 1), made("cpu", "raw", 0)) == 0


@pytest.mark.parametrize(
    ("value", "bar", "verdict"),
    [
        (24, Bar("switch", {"what": "pipe"}, 25), "PASS"),
        (25, Bar("switch", {"what": "pipe"}, 25), "PASS"),
        (27, Bar("switch", {"what": "pipe"}, 25), "over (best run passes)"),
        (30, Bar("switch", {"what": "pipe"}, 25), "over"),
        (40, Bar("switch", {"what": "pipe"}, 4, against="raw"), "PASS"),
        (41, Bar("switch", {"what": "pipe"}, 4, against="raw"), "over"),
        (9, Bar("switch", {"what": "pipe"}, 0.9, against="raw", at_least=True), "PASS"),
        (8, Bar("switch", {"what": "pipe"}, 0.9, against="raw", at_least=True), "over"),
        (26, Bar("switch", {"what": "other"}, 25), ""),
        (26, Bar("switch", {"what": "pipe"}, 1, against="host"), ""),
    ],
)
def test_the_table_says_whether_the_median_reaches_the_bar(value: float, bar: Bar, verdict: str) -> None:
    """The yardstick raw is 10; a bar of another case, or with no yardstick measured, gives no verdict."""
    rows = made("switch", "emu", value, what="pipe"), made("switch", "raw", 10, what="pipe")
    text = line(to_table(report(*rows, bars=(bar,))), "switch", "pipe", "emu")
    found = next((v for v in ("over (best run passes)", "over", "PASS") if text.endswith(v)), "")
    assert found == verdict


def test_a_row_passes_only_if_it_reaches_all_its_bars() -> None:
    bars = Bar("boot", {}, 10), Bar("boot", {}, 1, against="host")
    rows = made("boot", "emu", 9, "ms"), made("boot", "host", 5, "ms")
    text = line(to_table(report(*rows, bars=bars)), "boot", "emu")
    assert "<= 10 ms, <= 1x host" in text
    assert text.endswith("over")


ODF = {"policy": "odf", "mib": 1024}
CLASSIC = {"policy": "classic"}


@pytest.mark.parametrize(
    ("value", "bar", "verdict"),
    [
        (10, Bar("fork", ODF, 100, against=CLASSIC, faster=True), "PASS"),
        (12, Bar("fork", ODF, 100, against=CLASSIC, faster=True), "over"),
        (3000, Bar("fork", ODF, 3, against=CLASSIC, at_least=True), "PASS"),
        (2000, Bar("fork", ODF, 3, against=CLASSIC, at_least=True), "over"),
        (500, Bar("fork", ODF, 0.5, against=CLASSIC), "PASS"),
        (10, Bar("fork", ODF, 100, against={"policy": "shm"}, faster=True), ""),
        (10, Bar("fork", ODF, 100, against={"mib": 2048}, faster=True), ""),
    ],
)
def test_a_bar_can_be_a_ratio_between_two_policies_of_one_bench(value: float, bar: Bar, verdict: str) -> None:
    """Classic takes 1000; a ratio to what was not measured gives no verdict."""
    rows = made("fork", "emu", value, policy="odf", mib=1024), made("fork", "emu", 1000, policy="classic", mib=1024)
    text = line(to_table(report(*rows, bars=(bar,))), "fork", "odf")
    found = next((v for v in ("over", "PASS") if text.endswith(v)), "")
    assert found == verdict


def test_bars_say_in_words_what_they_ask_for() -> None:
    assert Bar("fork", ODF, 60).text("us") == "<= 60 us"
    assert Bar("fork", ODF, 65, against=CLASSIC, faster=True).text("us") == ">= 65x faster than classic"
    assert Bar("fork", ODF, 3, against=CLASSIC, at_least=True).text("/s") == ">= 3x classic"
    assert Bar("fork", ODF, 4, against="raw").text("ns") == "<= 4x raw"


@pytest.mark.parametrize(("policy", "baseline"), [("odf", "classic"), ("sfork-lazy", "shm"), ("sfork-populate", "shm")])
def test_a_policy_is_compared_with_the_one_it_replaces(policy: str, baseline: str) -> None:
    mine, other = (made("fork", "emu", value, policy=name, mib=64) for value, name in ((5, policy), (100, baseline)))
    whole = report(mine, other, made("fork", "emu", 1, policy=baseline, mib=65))
    assert whole.baseline(mine) == other
    assert whole.baseline(other) is None
    assert f"1/20 of {baseline}" in line(to_table(whole), "fork", policy, "64")


def test_ratios_read_as_factors_or_fractions() -> None:
    found = [times(value, "host") for value in (0, 0.05, 0.1, 1, 12.34)]
    assert found == ["0x host", "1/20 of host", "0.1x host", "1x host", "12.3x host"]


def test_the_seeds_figure_stands_beside_ours_and_nowhere_else() -> None:
    seed = Seed("fork", ODF, "65x <seed>", "a paper")
    rows = [made("fork", where, 10, policy="odf", mib=mib) for where in ("emu", "host") for mib in (64, 1024)]
    text = to_table(report(*rows, seeds=(seed,)))
    ours = line(text, "fork", "odf", "1024", "MiB", "emu")
    assert [entry for entry in text.splitlines() if "65x <seed>" in entry] == [ours]
    page = to_html(report(*rows, seeds=(seed,)))
    assert page.count("65x &lt;seed&gt;") == 1
    assert "seed: as reported in a paper." in page


def test_the_table_names_what_was_skipped() -> None:
    assert to_table(report(skipped=("cpu on the host: no C compiler",))).endswith(
        "\nskipped: cpu on the host: no C compiler\n"
    )


def test_columns_line_up() -> None:
    text = to_table(report(made("cpu", "emu", 12345, "MIPS", loop="x"), made("cpu", "raw", 1, "MIPS", loop="x")))
    header, rule, *rest = text.splitlines()
    at = header.index("unit")
    assert all(entry[at : at + 4] == "MIPS" for entry in rest)
    assert set(rule) == {"-", " "}


def test_numbers_keep_three_digits_or_all_before_the_point() -> None:
    assert [number(v) for v in (0, 0.12345, 1.5, 12.345, 123.4, 51200)] == ["0", "0.123", "1.5", "12.3", "123", "51200"]


def test_each_bench_has_a_table_of_its_own() -> None:
    text = to_table(report(made("cpu", "emu", 1, loop="x"), made("fork", "emu", 1, policy="odf", mib=64)))
    first, second = text.split("\n\n")
    assert [table.splitlines()[2].split()[0] for table in (first, second)] == ["cpu", "fork"]
    assert first.splitlines()[0].split() == second.splitlines()[0].split()


def test_cases_read_as_words() -> None:
    assert case_text({"policy": "odf", "order": "spread", "touched": 25}) == "odf spread 25%"
    assert case_text({"policy": "classic", "mib": 64, "what": "call"}) == "classic 64 MiB call"
    assert case_text({"what": "boot", "gib": 64}) == "boot 64 GiB"


@pytest.fixture(scope="module")
def published() -> set[tuple[str, tuple[tuple[str, str | int], ...]]]:
    """(bench, case) of every row of emu's that a full run makes, on a host with memory to spare."""
    with Guests() as guests, Host() as host, pytest.MonkeyPatch.context() as patch:
        for module in (fork, sfork):
            patch.setattr(module, "available_memory", lambda: 1 << 40)
        lab = Lab(guests, host)
        made = [m for bench in BENCHES.values() for m in bench(lab)]
    return {
        (m.bench, tuple((k, v) for k, v in sorted(case.items()) if k != "where"))
        for m in made
        for case, _unit in m.series
        if case["where"] == "emu"
    }


def key(bench: str, subject: Case) -> tuple[str, tuple[tuple[str, str | int], ...]]:
    return bench, tuple(sorted(subject.items()))


def test_every_bar_and_every_seed_is_about_a_row_that_a_full_run_makes(
    published: set[tuple[str, tuple[tuple[str, str | int], ...]]],
) -> None:
    """As is the row that a bar compares with here. One spelled unlike its case would never be judged, or shown."""
    wanted = {key(entry.bench, entry.subject) for entry in (*BARS, *SEEDS)}
    wanted |= {key(bar.bench, {**bar.subject, **bar.against}) for bar in BARS if not isinstance(bar.against, str)}
    assert wanted <= published


def test_every_bench_is_explained() -> None:
    assert list(ABOUT) == list(BENCHES)


def test_the_projects_bars_are_each_about_one_case_of_one_bench() -> None:
    for bar in BARS:
        assert bar.applies(Row(bar.bench, {**bar.subject, "where": "emu"}, "us", 1, 1, 1, 1))
        assert not bar.applies(Row(bar.bench, {**bar.subject, "where": "host"}, "us", 1, 1, 1, 1))


def sweep() -> Report:
    rows = [made("fork", w, n * f, policy="classic", mib=n) for n in (64, 1024) for w, f in (("emu", 1), ("host", 9))]
    touched = made("fork", "emu", 600, policy="classic", mib=64, what="all & <more>")
    return report(*rows, touched, made("cpu", "emu", 5000, "MIPS", loop="x"), made("cpu", "raw", 0, "MIPS", loop="x"))


def grouped() -> Report:
    """Two groups, of two policies each, one of which was also measured on the host."""
    rows = [made("sfork", "emu", 5, "ms", policy=p, mib=m) for m in (32, 64) for p in ("shm", "sfork-lazy")]
    return report(*rows, made("sfork", "host", 2, "ms", policy="shm", mib=32))


def test_the_picture_is_well_formed_and_has_a_line_per_sweep_and_a_bar_per_other_row() -> None:
    root = ET.fromstring(to_svg(sweep()))
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    assert len(list(root.iter(f"{SVG}circle"))) == 4
    assert len(list(root.iter(f"{SVG}rect"))) == 1 + 3
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "64 MiB all & <more> classic" in texts
    assert {"64 MiB", "1 GiB", "classic", "classic host"} <= set(texts)


def test_bars_of_one_case_stand_together_by_policy_and_colour() -> None:
    root = ET.fromstring(to_svg(grouped()))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    labels = [text for text in texts if text and not text.replace(".", "").isdigit()]
    assert labels == ["sfork, ms", "32 MiB", "shm", "sfork-lazy", "shm host", "64 MiB", "shm", "sfork-lazy"]
    colours = [element.attrib["class"] for element in root.iter(f"{SVG}rect")]
    assert colours[1] == colours[4] != colours[2] == colours[5] != colours[3]


def test_labels_of_lines_that_end_together_do_not_cover_each_other() -> None:
    policies = ("classic", "odf", "sfork-lazy", "sfork-populate")
    rows = [made("fork", "emu", 100, policy=p, mib=m) for p in policies for m in (64, 1024)]
    root = ET.fromstring(to_svg(report(*rows)))
    heights = sorted(float(e.attrib["y"]) for e in root.iter(f"{SVG}text") if e.text in policies)
    assert all(b - a >= 11 for a, b in pairwise(heights))


@pytest.mark.parametrize("shown", [sweep(), grouped()], ids=["lines", "bars"])
def test_nothing_is_drawn_outside_the_picture(shown: Report) -> None:
    root = ET.fromstring(to_svg(shown))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter(f"{SVG}line"):
        assert all(0 <= float(element.attrib[name]) <= width for name in ("x1", "x2"))
        assert all(0 <= float(element.attrib[name]) <= height for name in ("y1", "y2"))


def test_an_empty_report_can_still_be_shown() -> None:
    ET.fromstring(to_svg(report()))
    assert to_table(report()).startswith("bench")
    assert "<h1>" in to_html(report())


def test_a_scale_spreads_decades_evenly_and_bears_zero() -> None:
    scale = Scale([1, 100], 0, 200)
    assert [scale.at(v) for v in (0, 1, 10, 100)] == [0, 0, 100, 200]
    assert scale.ticks() == [1, 10, 100]


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    page = to_html(sweep())
    assert "a &lt;fast&gt; one" in page
    assert "Fork &lt;by&gt; policy." in page
    assert "all &amp; &lt;more&gt;" in page
    assert "<fast>" not in page
    assert "<svg" in page
    assert "<script" not in page
    assert set(re.findall(r'href="(.)', page)) == {"#"}
    assert not re.search(r"src=|https?:|url\(|@import", page)


def test_each_bench_has_a_section_with_its_table_and_its_picture() -> None:
    page = to_html(sweep())
    sections = page.split("<section ")[1:]
    assert [section.split('"')[1] for section in sections] == ["fork", "cpu"]
    assert all(section.count("<table>") == section.count("<svg ") == 1 for section in sections)
    assert all(f'href="#{name}"' in page for name in ("fork", "cpu"))


def test_the_page_follows_the_readers_colours_and_fits_a_phone() -> None:
    page = to_html(sweep())
    assert 'name="viewport" content="width=device-width' in page
    assert page.count("prefers-color-scheme: dark") == 1
    assert page.count("prefers-color-scheme:dark") == 2, "one for each picture"
    assert "@media (max-width: 640px)" in page
