# SPDX-License-Identifier: MIT
"""The statistics: known intervals, coverage, ties, pairing, replication."""

import math
import os

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.intervals import above, at_least, miss, rank, same, sign_interval
from reports.measure import Unusable, log_gains, nearest_rank, replicates, supports
from reports.store import Row

ALPHA = 0.05
# Ranks from published tables of the sign test at 95 %: n, k.
KNOWN_RANKS = [(5, 0), (6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8), (30, 10)]


@pytest.mark.parametrize("n,k", KNOWN_RANKS)
def test_ranks_are_those_of_the_tables(n: int, k: int) -> None:
    assert rank(n, ALPHA) == k


def test_interval_of_twelve_values_is_third_to_tenth_at_its_exact_level() -> None:
    found = sign_interval([12, 1, 11, 2, 10, 3, 9, 4, 8, 5, 7, 6], ALPHA)
    assert (found.low, found.middle, found.high, found.n) == (3, 6.5, 10, 12)
    assert found.level == 1 - 2 * (1 + 12 + 66) / 4096


def test_sixty_three_claims_need_twelve_boots() -> None:
    assert rank(12, ALPHA / 63) == 1
    assert rank(11, ALPHA / 63) == 0


def test_too_few_values_give_the_widest_interval_and_its_level() -> None:
    found = sign_interval([3.0, 1.0, 2.0], ALPHA)
    assert (found.low, found.high, found.level) == (1.0, 3.0, 0.75)


def test_one_value_has_no_confidence() -> None:
    assert sign_interval([5.0], ALPHA).level == 0.0


def test_ties_that_differ_by_rounding_do_not_shrink_the_interval() -> None:
    values = [1.0, 1.0 + 4e-16, 1.0 + 2e-16, 1.0, 2.0, 3.0, 3.0 - 4e-16, 3.0, 3.0]
    found = sign_interval(values, ALPHA)
    assert found.low == 1.0 and found.high == 3.0


def test_a_tie_widens_either_end_to_the_outermost_of_the_equal() -> None:
    # The 2nd smallest and the 2nd largest of nine; their equals beyond them differ by rounding.
    low, high = 1.0, 3.0
    values = [low - 4e-16, low, 1.5, 1.7, 2.0, 2.2, 2.5, high, high + 4e-16]
    assert rank(len(values), ALPHA) == 2
    found = sign_interval(values, ALPHA)
    assert values[0] != values[1] and values[-1] != values[-2]
    assert found.low == values[0] and found.high == values[-1]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(1e-6, 0.5))
@settings(max_examples=80, deadline=None)
def test_interval_holds_its_median_and_keeps_its_promise(values: list[float], alpha: float) -> None:
    found = sign_interval(values, alpha)
    assert min(values) <= found.low <= found.middle <= found.high <= max(values)
    assert rank(len(values), alpha) == 0 or 1 - found.level <= alpha
    k = rank(len(values), alpha)
    assert k == len(values) // 2 or miss(len(values), k + 1) > alpha


@given(st.lists(st.integers(1, 5), min_size=2, max_size=40), st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_interval_follows_scale_and_shift(values: list[int], scale: float) -> None:
    plain = sign_interval([float(v) for v in values], ALPHA)
    moved = sign_interval([v * scale + 7 for v in values], ALPHA)
    assert same(moved.low, plain.low * scale + 7) and same(moved.high, plain.high * scale + 7)


@pytest.mark.parametrize("n", [6, 12, 20, 37])
def test_coverage_is_what_the_level_says(n: int) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    random = numpy.random.default_rng(seed)
    draws, held = 3000, 0
    for _ in range(draws):
        # Skewed, with a median of ln 2: nothing here may lean on symmetry.
        found = sign_interval(random.exponential(1.0, n).tolist(), ALPHA)
        held += found.low <= math.log(2) <= found.high
    level = sign_interval(list(range(n)), ALPHA).level
    error = math.sqrt(level * (1 - level) / draws)
    assert abs(held / draws - level) < 5 * error, f"seed {seed}: {held / draws} for {level}"


def test_end_points_compare_with_a_tolerance() -> None:
    assert at_least(1 - 1e-12, 1) and not above(1 + 1e-12, 1)
    assert not at_least(1 - 1e-6, 1) and above(1 + 1e-6, 1)


def test_rounds_pair_only_within_their_boot() -> None:
    baseline = {(0, 0): 10.0, (0, 1): 20.0, (1, 0): 40.0}
    variant = {(0, 0): 5.0, (1, 0): 10.0, (1, 1): 1.0}
    gains = log_gains(baseline, variant)
    assert {key: round(math.exp(gain), 9) for key, gain in gains.items()} == {(0, 0): 2, (1, 0): 4}


def test_values_below_resolution_give_no_gain() -> None:
    for bad in (0.0, -3.0):
        with pytest.raises(Unusable, match="below resolution"):
            log_gains({(0, 0): 10.0}, {(0, 0): bad})
    with pytest.raises(Unusable, match="no round"):
        log_gains({(0, 0): 10.0}, {(1, 0): 5.0})


def test_boots_replicate_from_twelve_on_and_rounds_below() -> None:
    series = {(boot, number): float(boot) for boot in range(12) for number in range(3)}
    assert replicates(series) == ([float(b) for b in range(12)], "12 boot medians")
    few, how = replicates({key: v for key, v in series.items() if key[0] < 11})
    assert len(few) == 33 and how == "33 rounds, pooled over 11 boots"
    assert replicates({(0, 0): 1.0, (0, 1): 2.0})[1] == "2 rounds, within one boot only"


def test_percentiles_are_samples_that_were_measured() -> None:
    ordered = numpy.arange(1, 1001)
    assert nearest_rank(ordered, 0.999) == 999
    assert nearest_rank(ordered, 0.5) == 500
    assert nearest_rank(ordered[:1], 0.99) == 1
    # In binary 0.07 * 100 is 7.000000000000001 and 0.56 * 100 is 56.00000000000001.
    assert 0.07 * 100 > 7 and nearest_rank(ordered[:100], 0.07) == 7
    assert 0.56 * 100 > 56 and nearest_rank(ordered[:100], 0.56) == 56
    assert nearest_rank(ordered[:100], 0.5601) == 57


@pytest.mark.parametrize("share,enough", [(0.9, 100), (0.99, 1000), (0.999, 10_000)])
def test_a_percentile_wants_ten_samples_beyond_it(share: float, enough: int) -> None:
    row = Row("heap/a/b", 0, "product", "", "ticks", "", "ok", ())
    for n, known in ((enough - 1, False), (enough, True), (enough + 1, True)):
        assert supports(row, n, share, constant=True) is known
        assert supports(row, n, share, constant=False) is known
