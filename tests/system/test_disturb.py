# SPDX-License-Identifier: MIT
"""`disturb=US`: a timer interrupts the benchmarks on purpose. On the machine that counts
instructions it can be told to the instruction what that did to a sample."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy
import pytest

from system_run import ROOT, Bench

sys.path.insert(0, str(ROOT))
from reports import measure, store  # noqa: E402
from reports.perfetto_check import check  # noqa: E402
from reports.trace_outliers import look, outlier_link  # noqa: E402
from reports.trace_read import traced_rows  # noqa: E402

INTERRUPT = 1  # RECORD_TAG_INTERRUPT
ROW = "heap/pair_64/hybrid"


def rows(results: Path) -> dict[str, store.Row]:
    with store.open_store(results / "history.db") as connection:
        (machine,) = store.load_run(connection, "test").machines
    return {row.id: row for row in machine.rows.values() if not row.aa}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, word in (("quiet", "trace=off"), ("disturbed", "disturb=400")):
        found[name] = tmp_path_factory.mktemp(name)
        bench = Bench(found[name])
        words = f"{word} filter=heap/pair_64 samples=32"
        assert bench.run("qemu", words, boots="2") == 0, bench.output
        assert "complete" in bench.output
    return found


@pytest.fixture(scope="module")
def runs(places: dict[str, Path]) -> dict[str, dict[str, store.Row]]:
    return {name: rows(place) for name, place in places.items()}


def test_disturbed_samples_are_tagged_and_cost_whole_interrupts(
    runs: dict[str, dict[str, store.Row]],
) -> None:
    (clean,) = numpy.unique(numpy.concatenate([r.samples for r in runs["quiet"][ROW].rounds]))
    row = runs["disturbed"][ROW]
    samples = numpy.concatenate([r.samples for r in row.rounds])
    tags = numpy.concatenate([r.tags for r in row.rounds])
    assert set(tags) == {0, INTERRUPT}  # some of each
    more = samples - clean
    # One interrupt takes the same number of instructions wherever it comes.
    one = more[more > 0].min()
    assert 50 < one < 1000
    assert set(more[tags == 0]) == {0}
    # Events are counted around the window, so one may fall between the count and the window.
    assert (more >= 0).all() and (more % one == 0).all()
    assert (more > 0).sum() > len(more) / 10


def test_clean_differs_from_all_by_exactly_the_tagged(
    runs: dict[str, dict[str, store.Row]],
) -> None:
    row = runs["disturbed"][ROW]
    every, clean = measure.summarise(row), measure.summarise_clean(row)
    assert every is not None and clean is not None
    assert every.n - clean.n == measure.disturbances(row)["interrupt"] > 0
    costs = measure.clean_costs(row)
    assert len(costs) == clean.n
    assert costs.min() == costs.max() == clean.p50 == every.high_clean == every.low < every.high


def test_interrupts_do_not_disturb_the_proof_of_the_clock(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert (
        bench.run("qemu", "disturb=20 filter=heap/refill trace=off", boots="2") == 0
    ), bench.output


def test_quiet_run_has_no_tags(runs: dict[str, dict[str, store.Row]]) -> None:
    assert not any(r.tags.any() for row in runs["quiet"].values() for r in row.rounds)


# The timer comes every 400 us, which is longer than a window: what it overlaps is slower than every
# other window of its round, by what the handler takes.
def test_the_slowest_window_is_where_the_link_leads_and_the_interrupt_has_its_name(
    places: dict[str, Path],
) -> None:
    data = (places["disturbed"] / "runs/test/qemu-exact/trace.perfetto-trace").read_bytes()
    assert check(data).findings == []
    traced = {row.name: row for row in traced_rows(data)}
    with store.open_store(places["disturbed"] / "history.db") as connection:
        (machine,) = store.load_run(connection, "test").machines
    assert set(machine.outliers) == set(traced) == set(machine.rows and rows(places["disturbed"]))
    hit = 0
    for name, (outlier,) in machine.outliers.items():
        row = traced[name]
        assert outlier.name == "max" and outlier.sample >= outlier.least
        # The moment is a slice of the trace, and the link shows it whole.
        (slow,) = row.slow
        assert (slow.begin, slow.end) == (outlier.begin, outlier.end)
        run = next(phase for phase in row.phases if phase.name == "run")
        assert run.begin <= slow.begin and slow.end <= run.end
        shown = re.search(
            r"visStart=(\d+)&visEnd=(\d+)", outlier_link("test", "qemu-exact", "x", outlier)
        )
        assert shown is not None
        assert int(shown[1]) <= slow.begin and slow.end <= int(shown[2])
        found = look(outlier, row)
        if not outlier.tags & INTERRUPT:
            assert found.interrupts == ()
            continue
        # Counted around the window: one in a hundred falls between the count and the window.
        if not found.interrupts:
            continue
        hit += 1
        (timer,) = found.interrupts
        assert timer.name == "timer" and timer.count == 1
        assert outlier.sample - outlier.least >= timer.longest
        assert slow.notes["overlapped by"] == "interrupt"
        assert found.causes[0].startswith("interrupt timer (")
    assert hit >= 1
