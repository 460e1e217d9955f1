# SPDX-License-Identifier: MIT
"""Counters named NAME@X: drawn as curves, every point in a table, and what they show in words."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from build import MachineMaker, Store
from judged import COUNTED, claims_of, judged, report_of
from page_check import Tree, lacking
from test_outputs import HOSTILE

from reports.claims import load_claims
from reports.curve_figure import MARKERS, curve_figure, is_geometric
from reports.curves import curve_finding, curve_table, curves_of
from reports.document import Report
from reports.export import to_json, to_markdown
from reports.figure import OKABE_ITO, PICTURE, to_png
from reports.html import to_html
from reports.points import points_of, split
from reports.tables import counters_table
from reports.terminal import print_report

CASE = "heap/fragmentation"
XS = range(1000, 33000, 1000)


def put(machine: MachineMaker, variant: str, curve: str, points: dict[int, int], unit: str) -> None:
    for x, value in points.items():
        machine.counter(f"{CASE}/{variant}", f"{curve}@{x}", value, 1, unit)


@pytest.fixture
def report(store: Store) -> Report:
    """A case of two rows with a curve each of 32 points, one of them with a second curve of 4."""
    machine = store.machine()
    for variant in ("hybrid", "linked_list"):
        machine.row(f"{CASE}/{variant}", [15])
        scale = 1 if variant == "hybrid" else 3
        points = {x: 2000 + scale * x - (9000 if x == 5000 else 0) for x in XS}
        put(machine, variant, "held_by_operations", points, "bytes")
        machine.counter(f"{CASE}/{variant}", "served", 7, 1)
    put(machine, "hybrid", "largest_by_size", {8: 1, 64: 40, 512: 2000, 4096: 90000}, "count")
    machine.seal()
    return report_of(store, load_claims())


def test_a_name_is_a_point_or_a_plain_counter() -> None:
    assert split("external@0") == ("external", 0)
    assert split("a.b/c@9223372036854775807") == ("a.b/c", 2**63 - 1)
    for name in ("external", "@1", "a@", "a@01", "a@-1", "a@1.5", "a@1@2", "a@1 ", "a@\u0661"):
        assert split(name) is None


def test_points_are_in_the_order_of_x_whatever_the_order_they_came_in(report: Report) -> None:
    (machine,) = report.intact
    points = points_of(machine.counters[f"{CASE}/hybrid"])
    assert sorted(points) == [("held_by_operations", "bytes"), ("largest_by_size", "count")]
    assert [x for x, _ in points["held_by_operations", "bytes"]] == list(XS)
    assert dict(points["held_by_operations", "bytes"])[5000] == -2000


def test_a_curve_has_all_rows_of_its_case_the_products_first(report: Report) -> None:
    held, largest = curves_of(report.intact[0], CASE)
    assert [line.name for line in held.lines] == ["hybrid", "linked_list"]
    assert (held.title, held.over, held.unit) == ("held", "operations", "bytes")
    assert [line.name for line in largest.lines] == ["hybrid"]
    assert curves_of(report.intact[0], "heap/none") == []


def test_the_table_has_every_point_and_a_dash_where_there_is_none(store: Store) -> None:
    machine = store.machine()
    for variant, points in (("hybrid", {1: 5, 2: 6}), ("linked_list", {2: 70, 4: 80})):
        machine.row(f"{CASE}/{variant}", [15])
        put(machine, variant, "held", points, "count")
    machine.seal()
    (host,) = report_of(store, load_claims()).intact
    (curve,) = curves_of(host, CASE)
    table = curve_table(host, CASE, curve)
    assert table.columns == ("x", "hybrid", "linked_list")
    shown = [tuple(cell.text for cell in row) for row in table.rows]
    assert shown == [("1", "5", "–"), ("2", "6", "70"), ("4", "–", "80")]


def test_the_finding_says_where_each_row_begins_and_ends_and_turns(report: Report) -> None:
    held, largest = curves_of(report.intact[0], CASE)
    text = curve_finding(report.intact[0], held).replace("\u202f", "").replace("\u00a0", " ")
    assert text == (
        "held on host-native, from operations 1000 to 32000: hybrid from 3000 bytes to 34000 bytes,"
        " lowest -2000 bytes at 5000; linked_list from 5000 bytes to 98000 bytes. At the end"
        " lowest: hybrid; highest: linked_list."
    )
    assert "At the end" not in curve_finding(report.intact[0], largest)


def test_rows_that_are_alike_are_told_together(store: Store) -> None:
    machine = store.machine()
    for name in ("a", "b", "c", "floor"):
        machine.row(f"{CASE}/{name}", [15])
        put(machine, name, "held", {1: 5, 2: 6 if name == "floor" else 7}, "count")
    machine.seal()
    (host,) = report_of(store, load_claims()).intact
    (curve,) = curves_of(host, CASE)
    assert curve_finding(host, curve) == (
        "held on host-native, from x 1 to 2: a, b and c from 5 to 7; floor from 5 to 6."
        " At the end lowest: floor; highest: a, b and c."
    )


def test_a_curve_that_does_not_move_says_so(store: Store) -> None:
    machine = store.machine()
    machine.row(f"{CASE}/hybrid", [15])
    put(machine, "hybrid", "held", {1: 5, 2: 5}, "count")
    machine.seal()
    (host,) = report_of(store, load_claims()).intact
    (curve,) = curves_of(host, CASE)
    assert curve_finding(host, curve) == "held on host-native, from x 1 to 2: hybrid stays at 5."


def test_x_is_logarithmic_where_it_grows_by_factors() -> None:
    assert is_geometric([8, 16, 64, 4096]) and is_geometric([1, 10, 100])
    assert not is_geometric(list(XS)) and not is_geometric([0, 10, 100])
    assert not is_geometric([1, 1000]) and not is_geometric([5])


def test_lines_differ_in_colour_or_dash_and_in_their_marker(store: Store) -> None:
    machine = store.machine()
    roles = {"linked_list": "baseline", "floor": "floor", "a": "product", "b": "product"}
    names = [*roles, *(f"peer{i}" for i in range(6))]
    for i, name in enumerate(names):
        machine.row(f"{CASE}/{name}", [15], role=roles.get(name, "peer"))
        put(machine, name, "held", {x: x * (i + 1) for x in XS}, "bytes")
    machine.seal()
    (curve,) = curves_of(report_of(store, load_claims()).intact[0], CASE)
    figure = curve_figure(curve, PICTURE)
    assert figure is not None
    lines = figure.axes[0].get_lines()
    assert len(lines) == len(names) <= len(MARKERS)
    assert len({line.get_marker() for line in lines}) == len(names)
    assert {line.get_color() for line in lines} <= {*OKABE_ITO.values(), PICTURE["muted"]}
    drawn = {line.get_label(): line for line in lines}
    assert drawn["floor"].get_linestyle() == "--"
    assert drawn["a"].get_color() == OKABE_ITO["blue"] != drawn["b"].get_color()
    assert drawn["linked_list"].get_color() == OKABE_ITO["vermillion"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [line.name for line in curve.lines]


@pytest.mark.parametrize(
    "points",
    [{5: 0}, {0: 1, 2**63 - 1: 2**62}, {1: 0, 2: 0}, {1: 1, 2: 10**9}, {1: -5, 2: -7}],
)
@pytest.mark.parametrize("unit", ["count", "percent", "bytes", "ratio"])
def test_every_curve_can_be_drawn(store: Store, points: dict[int, int], unit: str) -> None:
    machine = store.machine()
    machine.row(f"{CASE}/hybrid", [15])
    put(machine, "hybrid", "held", points, unit)
    machine.seal()
    (curve,) = curves_of(report_of(store, load_claims()).intact[0], CASE)
    figure = curve_figure(curve, PICTURE)
    assert figure is not None and to_png(figure).startswith(b"\x89PNG")


def test_the_page_has_a_plot_for_each_curve_with_words_and_table(report: Report) -> None:
    page = to_html(report)
    assert lacking(page) == []
    root = Tree(page).root
    (article,) = [
        node
        for node in root.all("article")
        if node.attributes["aria-labelledby"] == "m0-host-native-0-h"
    ]
    plots = article.all("figure")
    assert len(plots) == 3, "the distribution and two curves"
    assert [node.text() for node in article.all("h4")] == [
        "held, bytes, by operations",
        "largest, by size",
    ]
    sizes = [len(body.all("tr")) for body in article.all("tbody")]
    assert sizes == [2, 32, 4]
    without = re.sub(r'(<desc id="[^"]*-curve0-d">)[^<]*', r"\1", page)
    assert "m0-host-native-0-curve0-t: no finding in its text alternative" in lacking(without)


def test_programs_and_mails_get_every_point(report: Report) -> None:
    rows = {row["id"]: row for row in json.loads(to_json(report))["rows"]}
    row = rows[f"{CASE}/hybrid"]
    assert row["counters"] == {"served": {"value": 7, "unit": "count"}}
    curve = row["curves"]["held_by_operations"]
    assert curve["unit"] == "bytes" and len(curve["points"]) == 32
    assert curve["points"][:2] == [[1000, 3000], [2000, 4000]]
    text = to_markdown(report)
    assert "**held of heap/fragmentation on host-native**" in text
    assert len(re.findall(r"^\| [\d\u202f]+ \| [-\d\u202f]+ \| [-\d\u202f]+ \|$", text, re.M)) == 32
    assert "At the end lowest: hybrid; highest: linked\\_list." in text


def test_lists_of_counters_have_a_line_for_a_curve_not_for_a_point(report: Report) -> None:
    out = io.StringIO()
    print_report(report, "heap/*", stream=out)
    shown = out.getvalue()
    assert "@" not in shown
    for text in (shown, " ".join(c.text for r in counters_table(report.intact[0]).rows for c in r)):
        text = text.replace("\u202f", "").replace("\u00a0", " ")
        assert text.count("held_by_operations") == 2 and text.count("largest_by_size") == 1
        assert "3000 bytes … 34000 bytes" in text and "32 points, x 1000 … 32000" in text


def test_a_claim_may_stand_on_one_point(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [15])
    machine.counter("heap/pair_64/hybrid", "hit_rate@100", 95, 100, "percent")
    machine.seal()
    claim = {**COUNTED, "statistic": '"counter:hit_rate@100"'}
    assert judged(store, tmp_path, claim).verdict == "met"


def test_a_hostile_curve_does_nothing(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row(f"heap/{HOSTILE}/hybrid", [1])
    machine.counter(f"heap/{HOSTILE}/hybrid", f"{HOSTILE}@1", 1, 2, HOSTILE)
    machine.counter(f"heap/{HOSTILE}/hybrid", f"{HOSTILE}@2", 1, 2, HOSTILE)
    machine.seal()
    report = report_of(store, claims_of(tmp_path, COUNTED))
    out = io.StringIO()
    print_report(report, "heap/*", stream=out)
    page = to_html(report)
    for text in (out.getvalue(), to_markdown(report), page):
        assert "\x1b" not in text and "\u202e" not in text
    assert "<script" not in page and "<script" not in to_markdown(report)
    assert lacking(page) == []
