# SPDX-License-Identifier: MIT
"""What disturbed samples, and what the processor counted: `clean` beside `all`, in every output."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy
import pytest
from build import Store
from judged import COUNTED, GAIN, TICKS, claims_of, judged, report_of

from reports.export import to_json, to_markdown
from reports.html import to_html
from reports.measure import nearest_rank
from reports.store import TAGS
from reports.tables import Table, counters_table, disturbed_text, facts_table, rows_table
from reports.terminal import print_report

ROW = "heap/pair_64/hybrid"
OUTPUTS = ["html", "markdown", "terminal"]


def output(report, kind: str) -> str:
    if kind == "terminal":
        out = io.StringIO()
        print_report(report, stream=out)
        return out.getvalue()
    return to_html(report) if kind == "html" else to_markdown(report)


def cells(table: Table, variant: str) -> dict[str, str]:
    """A row of a table by its columns."""
    (row,) = [row for row in table.rows if row[0].text == variant]
    return {column: cell.text for column, cell in zip(table.columns, row)}


@pytest.mark.parametrize("seed", range(5))
def test_clean_and_all_differ_by_exactly_the_tagged_samples(
    store: Store, tmp_path: Path, seed: int
) -> None:
    """Against numbers made here, from samples and tags by chance."""
    chance = numpy.random.default_rng(seed)
    samples = chance.integers(50, 5000, (2, 6, 40))
    tags = chance.integers(0, 128, (2, 6, 40)) * (chance.random((2, 6, 40)) < 0.3)
    machine = store.machine(boots=2)
    machine.row(
        ROW,
        lambda boot, number: samples[boot, number].tolist(),
        boots=2,
        rounds=6,
        tags=lambda boot, number: tags[boot, number].tolist(),
        operations=10,
    )
    machine.seal()
    (row,) = json.loads(to_json(report_of(store, claims_of(tmp_path, TICKS))))["rows"]
    everything, clean = numpy.sort(samples.ravel()) / 10, numpy.sort(samples[tags == 0]) / 10
    assert 0 < len(clean) < len(everything)
    assert row["n"] - row["n_clean"] == row["disturbed"]["in all"] == (tags != 0).sum()
    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        for column, of in ((name, everything), (f"{name}_clean", clean)):
            told = share == 0.5 or len(of) * (1 - share) >= 10 - 1e-9  # ten samples beyond it
            assert row[column] == (nearest_rank(of, share) if told else None), column
    assert (row["max"], row["max_clean"]) == (everything[-1], clean[-1])
    assert row["disturbed"] == {
        "in all": (tags != 0).sum(),
        **{name: (tags & bit != 0).sum() for bit, name in TAGS.items()},
    }


def test_every_cause_has_its_name(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row(ROW, [10] * 8, rounds=1, tags=lambda b, r: [0, 1, 2, 4, 8, 16, 32, 64])
    machine.seal()
    report = report_of(store, claims_of(tmp_path, TICKS))
    causes = "interrupt", "page fault", "migration", "preemption", "NMI", "SMI", "steal"
    named = ", ".join(f"1 {cause}" for cause in causes)
    assert named in to_html(report)
    assert disturbed_text(report.run.machines[0]) == f"7 of 8: {named}"
    (run,) = json.loads(to_json(report))["runs"]
    assert run["disturbed"] == {"samples": 8, "in all": 7, **dict.fromkeys(causes, 1)}


def test_the_median_of_clean_samples_stands_beside_that_of_all(
    store: Store, tmp_path: Path
) -> None:
    machine = store.machine()
    machine.row(ROW, [10, 90, 91, 92], rounds=4, tags=lambda b, r: [0, 1, 1, 1])
    machine.row("heap/pair_64/linked_list", [20, 21], rounds=4, tags=lambda b, r: [1, 2])
    machine.row("heap/pair_64/floor", [-3, 50], rounds=4, tags=lambda b, r: [0, 1])
    machine.row("heap/pair_64/bad", [5], rounds=4, status="failed")
    machine.seal()
    found = report_of(store, claims_of(tmp_path, TICKS)).run.machines[0]
    table = rows_table(found, "heap/pair_64", None)
    assert table.columns.index("p50 clean") == table.columns.index("p50") + 1
    seen = {row[0].text: cells(table, row[0].text) for row in table.rows}
    assert (seen["hybrid"]["p50"], seen["hybrid"]["p50 clean"]) == ("90", "10")
    assert seen["linked_list"]["p50 clean"] == "–", "no sample is clean"
    assert seen["floor"]["p50 clean"] == "below resolution"
    assert seen["bad"]["p50 clean"] == "–"
    assert table.numeric == frozenset(range(1, len(table.columns)))
    names = {table.columns[i] for i in table.minor}
    assert names == {"p90", "p99.9", "clean max", "mean"}
    facts = {row[0].text: row[1].text for row in facts_table(found).rows}
    # 12 + 8 + 4 of 16 + 8 + 8 + 4 samples; the failed row's are among them.
    assert facts["samples disturbed"] == "24 of 36: 20 interrupt, 4 page fault"


@pytest.mark.parametrize("kind", OUTPUTS)
def test_judged_is_all_whatever_was_disturbed(store: Store, tmp_path: Path, kind: str) -> None:
    """Leaving out the slow samples would meet the bound."""
    machine = store.machine()
    machine.row(ROW, [15, 90, 91, 92], tags=lambda b, r: [0, 1, 1, 1])
    machine.seal()
    assert judged(store, tmp_path, TICKS).verdict == "not met"
    assert "p50 clean" in output(report_of(store, claims_of(tmp_path, TICKS)), kind)


# ---- the processor's counters -------------------------------------------------------------------


def counted(store: Store) -> None:
    machine = store.machine()
    machine.row(ROW, [100], operations=10)
    machine.row("heap/pair_64/linked_list", [200], operations=10)
    machine.row("heap/lifo_64/hybrid", [100], operations=10)
    machine.counter(ROW, "core_cycles", 1234, 100, "cycles")
    machine.counter(ROW, "instructions", 4567, 100, "instructions")
    machine.counter(ROW, "hit_rate", 9, 10, "percent")
    machine.fact("guest.pmu", "fixed 3x48")
    machine.seal()


def test_cycles_and_instructions_are_columns_where_a_row_has_them(
    store: Store, tmp_path: Path
) -> None:
    counted(store)
    report = report_of(store, claims_of(tmp_path, TICKS))
    table = rows_table(report.run.machines[0], "heap/pair_64", None)
    hybrid, other = cells(table, "hybrid"), cells(table, "linked_list")
    assert (hybrid["core cycles"], hybrid["instructions"]) == ("12.3", "45.7")
    assert (other["core cycles"], other["instructions"]) == ("–", "–")
    without = rows_table(report.run.machines[0], "heap/lifo_64", None)
    assert not {"core cycles", "instructions"} & set(without.columns)
    rows = {row["id"]: row for row in json.loads(to_json(report))["rows"]}
    assert (rows[ROW]["core_cycles"], rows[ROW]["instructions"]) == (12.34, 45.67)
    assert rows["heap/lifo_64/hybrid"]["core_cycles"] is None


def test_only_exact_counters_are_listed_as_exact(store: Store, tmp_path: Path) -> None:
    counted(store)
    found = report_of(store, claims_of(tmp_path, TICKS)).run.machines[0]
    table = counters_table(found)
    assert [row[1].text for row in table.rows] == ["hit_rate"] and table.note == ""


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_machine_without_performance_counters_says_why(
    store: Store, tmp_path: Path, kind: str
) -> None:
    machine = store.machine()
    machine.row(ROW, [100])
    machine.counter(ROW, "hit_rate", 9, 10, "percent")
    machine.fact("guest.pmu", "not available: this machine shows no performance counters")
    machine.seal()
    text = output(report_of(store, claims_of(tmp_path, TICKS)), kind)
    shown = " ".join(text.split())
    assert "No performance counters on this machine: not available: this machine shows" in shown
    assert "core cycles</th>" not in text


def test_what_is_measured_is_not_judged_as_exact(store: Store, tmp_path: Path) -> None:
    counted(store)
    claim = {**COUNTED, "unit": '"count"', "statistic": '"counter:core_cycles"'}
    found = judged(store, tmp_path, claim)
    assert found.verdict == "no data" and "is measured" in found.note
    assert judged(store, tmp_path, {**COUNTED}).verdict == "met"
    assert judged(store, tmp_path, {**GAIN}).value == 2
