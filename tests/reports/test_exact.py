# SPDX-License-Identifier: MIT
"""Counts of instructions: what disturbed windows do to them, and what is not told of them."""

from pathlib import Path

import pytest
from build import Store
from judged import GAIN, TICKS, claims_of, judged, report_of

from reports import measure, tails
from reports.store import Machine
from reports.tables import rows_table

HYBRID, LIST = "heap/pair_64/hybrid", "heap/pair_64/linked_list"
INTERRUPT, DASH = 1, "\u2013"


def machine_of(store: Store, tmp_path: Path) -> Machine:
    (machine,) = report_of(store, claims_of(tmp_path, TICKS)).intact
    return machine


def disturbed_run(store: Store, rows: dict[str, list[int]], hit: dict[int, list[int]]) -> None:
    """Two rounds of an exact machine; `hit` says which windows of a round an interrupt met, each of
    which took 700 instructions more."""
    exact = store.machine("qemu-exact", boots=1)
    for row, counts in rows.items():
        exact.row(
            row,
            lambda b, r, c=counts: [n + 700 * (i in hit.get(r, [])) for i, n in enumerate(c)],
            rounds=2,
            tags=lambda b, r, c=counts: [INTERRUPT * (i in hit.get(r, [])) for i in range(len(c))],
        )
    exact.seal()


def table_cell(machine: Machine, row: int, column: str) -> str:
    table = rows_table(machine, "heap/pair_64", None)
    return table.rows[row][table.columns.index(column)].text


def test_an_exact_number_comes_from_clean_windows(store: Store, tmp_path: Path) -> None:
    # Every window of the first round was disturbed, two of three too few to outvote it.
    disturbed_run(store, {HYBRID: [100] * 3, LIST: [1200] * 3}, {0: [0, 1, 2], 1: [0]})
    ticks, gain = judged(store, tmp_path, TICKS), judged(store, tmp_path, GAIN)
    assert (ticks.value, ticks.low, ticks.high) == (100, 100, 100)
    assert gain.value == pytest.approx(12)
    machine = machine_of(store, tmp_path)
    assert table_cell(machine, 0, "p50 clean") == "100" and table_cell(machine, 0, "p50") == "800"


def test_a_window_disturbed_in_one_round_counts_as_much_as_any_other(
    store: Store, tmp_path: Path
) -> None:
    counts = [100, 110, 120, 130, 140]
    disturbed_run(store, {HYBRID: counts}, {0: [0, 1], 1: [1, 3]})
    # 110 was met in either round and is left out; 100 and 130 are told by one round each.
    found = judged(store, tmp_path, TICKS)
    assert found.value == 125
    row = machine_of(store, tmp_path).rows[HYBRID, 0]
    rounds = measure.undisturbed(row).rounds
    assert [r.samples.tolist() for r in rounds] == [[100, 120, 130, 140]] * 2
    clean = measure.summarise_clean(row)
    assert clean is not None and (clean.n, clean.p50) == (6, 120)


def test_the_clean_median_shown_is_the_one_that_is_judged(store: Store, tmp_path: Path) -> None:
    # All clean samples of both rounds together would have 110 in the middle.
    disturbed_run(store, {HYBRID: [100, 110, 120, 130, 140]}, {0: [3, 4]})
    found = judged(store, tmp_path, TICKS)
    assert found.value == 120
    assert table_cell(machine_of(store, tmp_path), 0, "p50 clean") == "120"


def test_an_exact_row_without_a_clean_window_has_no_number(store: Store, tmp_path: Path) -> None:
    disturbed_run(store, {HYBRID: [100] * 2, LIST: [1200] * 2}, {0: [0, 1], 1: [0, 1]})
    for claim in (TICKS, GAIN):
        found = judged(store, tmp_path, claim)
        assert found.verdict == "no data" and found.value is None
        assert found.note == f"{HYBRID}: every sample was disturbed"
    assert table_cell(machine_of(store, tmp_path), 0, "p50 clean") == DASH


def test_sampled_rows_keep_their_disturbed_samples(store: Store, tmp_path: Path) -> None:
    host = store.machine()
    host.row(HYBRID, [15, 15, 40], tags=lambda b, r: [0, 0, INTERRUPT])
    host.seal()
    row = machine_of(store, tmp_path).rows[HYBRID, 0]
    assert measure.undisturbed(row) is row


def test_percentiles_of_exact_rows_are_told_of_constants_only(store: Store, tmp_path: Path) -> None:
    exact = store.machine("qemu-exact", boots=2)
    exact.row(HYBRID, [100, 110], boots=2, rounds=2)
    exact.row("heap/pair_64/floor", [70, 70], boots=2, rounds=2)
    exact.seal()
    machine = machine_of(store, tmp_path)
    for column in ("p90", "p99", "p99.9"):
        assert table_cell(machine, 0, column) == DASH
        assert table_cell(machine, 1, column) == "70"
    by_name = {tail.name: tail.summary for tail in tails.tails_of(machine, "heap")}
    varies, constant = by_name["pair_64/hybrid"], by_name["pair_64/floor"]
    assert (varies.p90, varies.p99, varies.p999) == (None, None, None)
    assert (constant.p90, constant.p99, constant.p999) == (70, 70, 70)
    assert (varies.low, varies.high) == (100, 110)
