"""The report of `emu bench` with made-up rows: JSON, table, ratios, verdicts, pictures."""

import json
import xml.etree.ElementTree as ET

import pytest

from emu.bench import Report, Row, to_html, to_json, to_svg, to_table
from emu.bench.cases import BARS
from emu.bench.plot import Scale
from emu.bench.report import Bar, case_text, number, ratio, row

SVG = "{http://www.w3.org/2000/svg}"


def made(bench: str, where: str, value: float, unit: str = "us", **case: str | int) -> Row:
    """A row whose best run is 10% below its median and whose worst 20% above."""
    return Row(bench, {**case, "where": where}, unit, value, value * 0.9, value * 1.2, 7)


def report(*rows: Row, bars: tuple[Bar, ...] = (), skipped: tuple[str, ...] = ()) -> Report:
    return Report({"cpu": "a <fast> one", "versions": {"numpy": "2"}}, rows, skipped, bars)


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


def test_cases_read_as_words() -> None:
    assert case_text({"policy": "classic", "mib": 64, "what": "call"}) == "classic 64 MiB call"
    assert case_text({"what": "boot", "gib": 64}) == "boot 64 GiB"


def test_the_projects_bars_are_each_about_one_case_of_one_bench() -> None:
    """A bar spelled unlike its case would never be judged: each must apply to the row its own case makes."""
    for bar in BARS:
        assert bar.applies(Row(bar.bench, {**bar.subject, "where": "emu"}, "us", 1, 1, 1, 1))
        assert not bar.applies(Row(bar.bench, {**bar.subject, "where": "host"}, "us", 1, 1, 1, 1))


def sweep() -> Report:
    rows = [made("fork", w, n * f, policy="classic", mib=n) for n in (64, 1024) for w, f in (("emu", 1), ("host", 9))]
    touched = made("fork", "emu", 600, policy="classic", mib=64, what="all & <more>")
    return report(*rows, touched, made("cpu", "emu", 5000, "MIPS", loop="x"), made("cpu", "raw", 0, "MIPS", loop="x"))


def test_the_picture_is_well_formed_and_has_a_line_per_sweep_and_a_bar_per_other_row() -> None:
    root = ET.fromstring(to_svg(sweep()))
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    assert len(list(root.iter(f"{SVG}circle"))) == 4
    assert len(list(root.iter(f"{SVG}rect"))) == 1 + 3
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "classic 64 MiB all & <more> emu" in texts
    assert "1024 MiB" in texts


def test_nothing_is_drawn_outside_the_picture() -> None:
    root = ET.fromstring(to_svg(sweep()))
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
    assert "all &amp; &lt;more&gt;" in page
    assert "<fast>" not in page
    assert "<svg" in page
    assert "<script" not in page
    assert "href=" not in page
    assert "src=" not in page
