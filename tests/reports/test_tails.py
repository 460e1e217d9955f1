# SPDX-License-Identifier: MIT
"""Tails and modes: what is said of samples beyond their median, and what is not."""

from pathlib import Path

import numpy
import pytest
from build import Store, noisy
from judged import TICKS, claims_of, report_of

from reports import tails
from reports.modes import modes, peaks
from reports.store import Machine
from reports.tail_figure import exceeding, tail_plot

STEP = 26


def grid(values: numpy.ndarray) -> numpy.ndarray:
    """Values as a clock of so many ticks a step reads them."""
    return (numpy.round(values / STEP) * STEP).astype(int)


def machine_of(store: Store, tmp_path: Path) -> Machine:
    (machine,) = report_of(store, claims_of(tmp_path, TICKS)).intact
    return machine


@pytest.mark.parametrize("n", [100, 3000])
@pytest.mark.parametrize("shape", ["normal", "narrow", "exponential", "uniform", "lognormal"])
def test_one_hill_is_one_mode(n: int, shape: str) -> None:
    for seed in range(20):
        random = numpy.random.default_rng(seed)
        made = {
            "normal": lambda: random.normal(100_000, 30_000, n),
            "narrow": lambda: random.normal(100_000, 20, n),
            "exponential": lambda: 1000 + random.exponential(3000, n),
            "uniform": lambda: random.uniform(1000, 4000, n),
            "lognormal": lambda: random.lognormal(9, 0.5, n),
        }[shape]()
        assert len(modes(grid(made), STEP)) == 1, f"seed {seed}"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_two_hills_are_two_modes_and_lie_where_they_were_put(share: float) -> None:
    for seed in range(20):
        random = numpy.random.default_rng(seed)
        low, high = random.normal(1000, 60, 3000), random.normal(2000, 60, 3000)
        made = numpy.where(random.random(3000) < share, high, low)
        found = modes(grid(made), STEP)
        middles = [pytest.approx(1000, abs=100), pytest.approx(2000, abs=100)]
        assert found == middles, f"seed {seed}"


def test_a_constant_is_one_mode_at_its_value() -> None:
    assert modes(numpy.full(500, 7 * STEP), STEP) == [7 * STEP]


def test_a_handful_of_samples_far_out_is_a_tail_and_no_mode() -> None:
    made = numpy.concatenate([numpy.full(2980, 1000), numpy.full(20, 9000)])
    assert len(modes(made, 1)) == 1, "20 of 3000 are less than one in a hundred"
    made = numpy.concatenate([numpy.full(2900, 1000), numpy.full(100, 9000)])
    assert modes(made, 1) == [pytest.approx(1000, abs=10), pytest.approx(9000, abs=10)]


def test_a_valley_must_be_deep_and_deeper_than_chance() -> None:
    places = [0, 1, 2]
    assert peaks(places, [100, 60, 100]) == [0], "more than half as high"
    assert sorted(peaks(places, [100, 40, 100])) == [0, 2]
    assert peaks(places, [100, 40, 60]) == [0], "20 of 60 are no half"
    assert peaks(places, [12, 0, 11]) == [0], "chance digs 11 deep"
    assert sorted(peaks([0, 5], [100, 100])) == [0, 1], "nothing lies between them"
    assert sorted(peaks([0, 1, 2, 3, 4], [50, 5, 200, 5, 50])) == [0, 2, 4]


def test_rounds_of_different_windows_have_no_modes(store: Store, tmp_path: Path) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", noisy(1000, 1))
    host.row("heap/pair_64/floor", noisy(1000, 1, count=4))
    store.connection.execute("UPDATE round SET operations = 2 WHERE round = 3 AND id LIKE '%d'")
    host.seal()
    found = {t.name: t.modes for t in tails.tails_of(machine_of(store, tmp_path), "heap")}
    assert found["pair_64/hybrid"] is None
    assert found["pair_64/floor"] is None, "80 samples are too few"


def test_the_table_has_every_row_of_a_suite_and_dashes_where_n_is_small(
    store: Store, tmp_path: Path
) -> None:
    host = store.machine()
    host.fact("guest.clock.step", "1")
    host.row("heap/pair_64/linked_list", noisy(5000, 1, 100), rounds=20)
    host.row("heap/pair_64/hybrid", noisy(500, 2, 30), rounds=20)
    host.row("heap/pair_64/hybrid", noisy(500, 3, 30), aa=1)
    host.row("heap/lifo_64/hybrid", noisy(500, 3, 100), rounds=1, boots=1)
    host.row("ipc/pair_0/hybrid", [1] * 5)
    host.row("heap/lifo_64/floor", [1], status="failed")
    host.seal()
    machine = machine_of(store, tmp_path)
    table = tails.tails_table(machine, "heap", tails.tails_of(machine, "heap"))
    assert "p50 p90 p99 p99.9 max cold" in " ".join(table.columns)
    assert [c for c in table.columns if "mean" in c] == ["mean, no headline"]
    cells = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert list(cells) == ["lifo_64/hybrid", "pair_64/hybrid", "pair_64/linked_list"]
    assert table.firsts == frozenset([1])
    at = {name: table.columns.index(name) for name in ("n", "p90", "p99", "p99.9")}
    dashes = {name: [cells[name][at[p]] == "–" for p in ("p90", "p99", "p99.9")] for name in cells}
    assert dashes["lifo_64/hybrid"] == [False, True, True], "100 samples"
    assert dashes["pair_64/hybrid"] == [False, True, True], "600 samples"
    assert dashes["pair_64/linked_list"] == [False, False, True], "2000 samples"
    for word in ("ten samples", "10\u202f000", "never a headline"):
        assert word in tails.RULE


def test_the_finding_names_the_longest_tail(store: Store, tmp_path: Path) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", [10] * 98 + [40] * 2, rounds=10)
    host.row("heap/lifo_64/hybrid", [10] * 98 + [15] * 2, rounds=10)
    host.row("heap/lifo_64/floor", [10] * 99 + [900], rounds=10, tags=lambda b, r: [0] * 99 + [8])
    host.seal()
    machine = machine_of(store, tmp_path)
    text = tails.tails_finding(machine, "heap", tails.tails_of(machine, "heap"))
    assert text == (
        "heap on host-native: at p99 the longest tail is pair_64/hybrid, 4 times its median; the"
        " shortest is lifo_64/floor, 1 times. The largest sample of all, against its row's median,"
        " is one of lifo_64/floor, 90 times and disturbed. 2 of 3 rows have more than one mode."
    )


def test_rows_below_resolution_have_no_largest_sample(store: Store, tmp_path: Path) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", [-1] * 50 + [0] * 50, rounds=10)
    host.row("heap/lifo_64/hybrid", [0] * 99 + [26], rounds=10)
    host.seal()
    machine = machine_of(store, tmp_path)
    text = tails.tails_finding(machine, "heap", tails.tails_of(machine, "heap"))
    assert text.startswith("No row of heap on host-native has a median above resolution.")
    assert "times" not in text and "\u2013" not in text


def test_an_exact_machine_says_that_its_rows_are_constant(store: Store, tmp_path: Path) -> None:
    exact = store.machine("qemu-exact", boots=2)
    for case in ("pair_64", "lifo_64", "alloc_64"):
        exact.row(f"heap/{case}/hybrid", [500] * 4, boots=2, rounds=2)
    exact.row("heap/random_1000/hybrid", [1000, 1010], boots=2, rounds=2)
    exact.row("heap/random_1000/floor", lambda boot, r: [boot], boots=2, rounds=2)
    exact.seal()
    machine = machine_of(store, tmp_path)
    assert tails.is_exact(machine)
    text = tails.exact_sentence(machine)
    assert text.startswith("3 of 4 rows of qemu-exact are constant") and "In 1 row " in text
    (row,) = tails.varying_table(machine).rows
    assert [cell.text for cell in row][:4] == [
        "heap/random_1000/hybrid",
        "2",
        "1\u202f000.00",
        "1\u202f005.00",
    ]
    assert row[-1].text == "1.00\u00a0%"


def test_the_curve_is_the_share_of_samples_above(store: Store, tmp_path: Path) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", list(range(1, 101)), rounds=10)
    host.seal()
    (tail,) = tails.tails_of(machine_of(store, tmp_path), "heap")
    cost, share = exceeding(tail)
    assert len(cost) == len(share) <= 70 and (numpy.diff(cost) > 0).all()
    assert cost[-1] == 2 and share[-1] == 0, "the largest sample is twice the median"
    for c, s in zip(cost, share):
        assert s == pytest.approx(1 - round(c * 50) / 100)
    plot = tail_plot([tail])
    assert plot is not None and plot.texts.count("pair_64") == 1
    assert tail_plot([]) is None
