# SPDX-License-Identifier: MIT
"""The look into a trace: what is read back, which moment is shown, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from build import Store, noisy
from conftest import ROOT
from judged import TICKS, claims_of, report_of

from reports.figure import PICTURE
from reports.store import Machine
from reports.trace_picture import CAPTION, trace_figure
from reports.trace_read import Slice, TracedRow, traced_rows
from reports.trace_summary import Summary
from reports.trace_view import (
    View,
    best_moment,
    moment_finding,
    operations_table,
    paths,
    view_from,
    view_of,
)

GOLDEN = ROOT / "tests" / "trace" / "golden"

SOAK = os.environ.get("TICKMARK_SOAK") == "1"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.perfetto-trace").read_bytes()


@pytest.fixture
def store_with_trace(store: Store) -> Store:
    """A run on two machines; both left a trace."""
    for name, trace in (("qemu-exact", "one_row"), ("host-native", "two_cpus")):
        machine = store.machine(name)
        machine.row("heap/pair_64/hybrid", noisy(100, 1) if name[0] == "h" else [100] * 4)
        machine.seal()
        folder = store.results / "runs" / "r1" / name
        folder.mkdir(parents=True)
        (folder / "trace.perfetto-trace").write_bytes(golden(trace))
    return store


def machine_of(store: Store, tmp_path: Path, name: str) -> Machine:
    return next(m for m in report_of(store, claims_of(tmp_path, TICKS)).intact if m.name == name)


def test_a_row_is_read_back_as_it_was_recorded() -> None:
    (row,) = traced_rows(golden("one_row"))
    assert (row.name, row.suite, row.threads) == ("heap/pair_64/hybrid", "heap", ["heap/hybrid"])
    assert [(p.name, p.begin, p.end) for p in row.phases] == [
        ("prepare", 1990, 2040),
        ("run", 2040, 2100),
    ]
    assert row.phases[1].notes == {"operations": 3, "p50": "12.5 ticks"}
    assert [(s.depth, s.name, s.begin, s.end) for s in row.slices] == [
        (0, "allocate", 2000, 2010),
        (1, "refill", 2001, 2008),
        (2, "pages", 2002, 2007),
        (0, "allocate", 2050, 2060),
        (0, "release", 2070, 2074),
        (0, "allocate", 2080, 2090),
        (1, "refill", 2081, 2088),
    ]
    assert {c.name: list(zip(c.times, c.values)) for c in row.counters} == {
        "objects in use": [(2010, 1), (2060, 2), (2074, 1), (2090, 2)],
        "bytes in use": [(2010, 64), (2060, 128), (2074, 64), (2090, 2112)],
    }


def test_flows_join_the_slices_of_two_threads() -> None:
    (row,) = traced_rows(golden("two_cpus"))
    assert row.threads == ["ipc/producer", "ipc/consumer"] and len(row.flows) == 3
    for source, target in row.flows:
        assert (source.name, target.name) == ("send", "receive")
        assert source.notes["message"] == target.notes["message"]
        assert row.threads[source.thread] == "ipc/producer"
        assert row.threads[target.thread] == "ipc/consumer"


def test_damage_never_stops_the_reader() -> None:
    whole = golden("two_cpus")
    for cut in range(0, len(whole), 7 if SOAK else 41):
        list(traced_rows(whole[:cut]))
        list(traced_rows(whole[:cut] + b"\xff" + whole[cut + 1 :]))
    assert list(traced_rows(b"")) == [] and list(traced_rows(b"no trace")) == []


def row_of(*slices: tuple[str, int, int, int], flows: int = 0) -> TracedRow:
    made = [Slice(name, begin, end, depth) for name, begin, end, depth in slices]
    phases = [Slice("prepare", 0, 100, 0), Slice("run", 100, 100_000, 0)]
    tops = [s for s in made if s.depth == 0]
    return TracedRow(
        "heap/x/hybrid",
        "heap",
        ["heap/hybrid"],
        phases,
        made,
        [],
        list(zip(tops, tops[1:]))[:flows],
    )


def test_the_moment_with_the_most_kinds_of_operations_is_shown() -> None:
    plain = [("allocate", 100 + 10 * i, 109 + 10 * i, 0) for i in range(20)]
    rich = [("allocate", 5000, 5090, 0), ("refill", 5010, 5080, 1), ("release", 5092, 5099, 0)]
    after = [("allocate", 5100 + 10 * i, 5109 + 10 * i, 0) for i in range(9)]
    found = best_moment(row_of(*plain, *rich, *after))
    assert found is not None
    moment = found[1]
    assert moment.phase.name == "run" and {s.name for s in moment.slices} >= {"refill", "release"}
    assert moment.begin > 4900, "not where operations were left out between"


def test_preparing_is_shown_only_where_nothing_else_was_drawn() -> None:
    early = [("allocate", 10, 19, 0), ("refill", 11, 18, 1), ("pages", 12, 13, 2)]
    found = best_moment(row_of(*early, ("release", 200, 210, 0)))
    assert found is not None and found[1].phase.name == "run"
    found = best_moment(row_of(*early))
    assert found is not None and found[1].phase.name == "prepare"
    assert best_moment(row_of()) is None


def test_operations_are_counted_by_their_path() -> None:
    (row,) = traced_rows(golden("one_row"))
    assert paths(row) == {
        "allocate": [10, 10, 10],
        "allocate > refill": [7, 7],
        "allocate > refill > pages": [5],
        "release": [4],
    }


def test_an_exact_clocks_trace_is_preferred_and_told_in_instructions(
    store_with_trace: Store, tmp_path: Path
) -> None:
    report = report_of(store_with_trace, claims_of(tmp_path, TICKS))
    view = view_of(report.run, store_with_trace.results / "runs")
    assert view is not None and (view.machine.name, view.unit) == ("qemu-exact", "instructions")
    (moment,) = view.moments
    text = moment_finding(view, moment)
    assert text.startswith("heap/pair_64/hybrid on qemu-exact, instructions of traced code:")
    assert "prepare 50, run 60" in text and "allocate > refill" in text
    table = operations_table(view, moment)
    assert [cell.text for cell in table.rows[0]] == ["allocate", "3", "10", "10", "10"]
    (store_with_trace.results / "runs/r1/qemu-exact/trace.perfetto-trace").unlink()
    other = view_of(report.run, store_with_trace.results / "runs")
    assert other is not None and (other.machine.name, other.unit) == ("host-native", "ns")
    assert "from a sender to its receiver" in moment_finding(other, other.moments[0])


def test_no_name_in_the_store_leads_out_of_the_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "trace.perfetto-trace").write_bytes(golden("one_row"))
    for run, name in (("..", ".."), ("r1/../..", "x"), ("/", "x"), ("r2", "../..")):
        machine = store.machine(name, run, clock="insn")
        machine.row("heap/pair_64/hybrid", [100] * 4)
        machine.seal()
        report = report_of(store, claims_of(tmp_path, TICKS), run)
        assert view_of(report.run, tmp_path / "results" / "runs") is None


def test_the_picture_has_the_lanes_the_trace_has(store_with_trace: Store, tmp_path: Path) -> None:
    machine = machine_of(store_with_trace, tmp_path, "host-native")
    view = view_from(machine, golden("one_row"))
    figure = trace_figure(view, PICTURE)
    assert figure is not None
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert "thread heap/hybrid" in texts and any(t.startswith("allocate") for t in texts)
    assert any(t.startswith("bytes in use") for t in texts)
    assert any("Benchmarks" in text.get_text() for text in figure.texts)
    both = view_from(machine, golden("two_cpus"))
    figure = trace_figure(both, PICTURE)
    assert figure is not None
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"thread ipc/producer", "thread ipc/consumer"} <= texts
    assert any(text.get_text().endswith(CAPTION) for text in figure.texts)
    assert trace_figure(View(machine, (), 0, Summary()), PICTURE) is None
    assert "not a screenshot" in CAPTION
