# SPDX-License-Identifier: MIT
"""`disturb=US`: a timer interrupts the benchmarks on purpose. On the machine that counts
instructions it can be told to the instruction what that did to a sample."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest

from system_run import ROOT, Bench

sys.path.insert(0, str(ROOT))
from reports import measure, store  # noqa: E402

INTERRUPT = 1  # RECORD_TAG_INTERRUPT
ROW = "heap/pair_64/hybrid"


def rows(results: Path) -> dict[str, store.Row]:
    with store.open_store(results / "history.db") as connection:
        (machine,) = store.load_run(connection, "test").machines
    return {row.id: row for row in machine.rows.values() if not row.aa}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, store.Row]]:
    found = {}
    for name, word in (("quiet", ""), ("disturbed", "disturb=400")):
        results = tmp_path_factory.mktemp(name)
        bench = Bench(results)
        words = f"{word} filter=heap/pair_64 samples=32 trace=off"
        assert bench.run("qemu", words, boots="2") == 0, bench.output
        assert "complete" in bench.output
        found[name] = rows(results)
    return found


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
