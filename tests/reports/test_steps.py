# SPDX-License-Identifier: MIT
"""Step detection on synthetic nights: what was planted is found, where it was planted."""

from __future__ import annotations

from itertools import combinations
from math import exp, log

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.steps import (
    JUMP_LEAST,
    SEGMENT_LEAST,
    least_jump,
    segments,
    segments_of,
    sigma_of,
)


def noise(nights: int, spread: float, seed: int) -> list[float]:
    made = numpy.random.default_rng(seed).standard_normal(nights) * spread
    return [float(value) for value in made]


def starts(values: list[float], exact: bool = False) -> list[int]:
    return [segment.start for segment in segments(values, exact)]


def potts_cost(values: list[float], cuts: tuple[int, ...], price: float) -> float:
    ends = [0, *cuts, len(values)]
    parts = [values[a:b] for a, b in zip(ends, ends[1:])]
    return len(cuts) * price + sum(
        float(numpy.abs(numpy.array(part) - numpy.median(part)).sum()) for part in parts
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=9))
def test_the_walk_finds_the_least_of_all_cuts(whole: list[int]) -> None:
    from reports.steps import _cuts

    values = [float(value) for value in whole]
    price = 2.5
    (found,) = _cuts(numpy.array([values]), numpy.array([price]))
    inner = range(SEGMENT_LEAST, len(values))
    allowed = [
        cuts
        for count in range(len(values))
        for cuts in combinations(inner, count)
        if all(b - a >= SEGMENT_LEAST for a, b in zip((0, *cuts), cuts))
    ]
    best = min(potts_cost(values, cuts, price) for cuts in allowed)
    assert potts_cost(values, tuple(found), price) == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-3, 3, allow_nan=False), min_size=1, max_size=40),
    st.booleans(),
)
def test_segments_cover_all_nights_and_are_long_enough(values: list[float], exact: bool) -> None:
    found = segments(values, exact)
    assert found[0].start == 0 and found[-1].end == len(values)
    assert all(a.end == b.start for a, b in zip(found, found[1:]))
    for segment in found[:-1]:
        assert segment.end - segment.start >= SEGMENT_LEAST and not segment.provisional
    last = found[-1]
    short = last.end - last.start < SEGMENT_LEAST
    assert last.provisional == (short and len(found) > 1)
    for a, b in zip(found, found[1:]):
        assert abs(b.level - a.level) >= least_jump(values, exact) - 1e-12


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.5, 2, allow_nan=False), min_size=6, max_size=20),
    st.floats(-5, 5, allow_nan=False),
)
def test_a_shift_of_all_nights_moves_no_cut(values: list[float], shift: float) -> None:
    rounded = [round(value, 3) for value in values]
    moved = [value + round(shift, 3) for value in rounded]
    assert [round(s.level - round(shift, 3), 6) for s in segments(moved, False)] == [
        round(s.level, 6) for s in segments(rounded, False)
    ]


@pytest.mark.parametrize("share", [0.07, 0.2, -0.07, -0.2])
def test_a_planted_step_is_found_where_it_is_in_both_directions(share: float) -> None:
    found = 0
    for seed in range(40):
        values = noise(60, 0.01, seed)
        for night in range(30, 60):
            values[night] += log(1 + share)
        (*_, last) = segments(values, False)
        found += last.start == 30 and abs(exp(last.level) - 1 - share) < 0.02
    assert found >= 38, f"{found} of 40"


def test_series_of_mere_noise_have_no_steps() -> None:
    quiet = [noise(365, 0.01, seed) for seed in range(60)]
    stepped = sum(len(found) > 1 for found in segments_of(quiet, False))
    assert stepped <= 1, f"{stepped} of 60 years stepped"


def test_a_step_is_provisional_for_two_nights_and_then_confirmed() -> None:
    before = noise(40, 0.005, 3)
    for nights, provisional in ((1, True), (2, True), (3, False)):
        values = before + [0.2 + value for value in noise(nights, 0.005, 4)]
        (*_, last) = segments(values, False)
        assert (last.start, last.provisional) == (40, provisional), nights


def test_a_lone_night_far_out_is_no_step() -> None:
    values = noise(40, 0.005, 5)
    values[20] += 0.5
    values[21] += 0.5
    assert starts(values) == [0], "two nights make no segment, except at the end"


def test_a_step_smaller_than_the_least_jump_is_none() -> None:
    values = [0.0] * 20 + [0.04] * 20
    assert starts(values) == [0] and JUMP_LEAST > 0.04
    noisy = noise(200, 0.03, 6)
    assert least_jump(noisy, False) == pytest.approx(3 * sigma_of(noisy))


def test_of_exact_rows_one_instruction_is_a_step() -> None:
    values = [1000.0] * 10 + [1001.0] * 4 + [1000.0] * 5 + [1002.0]
    found = segments(values, True)
    assert [(s.start, s.level) for s in found] == [(0, 1000), (10, 1001), (14, 1000), (19, 1002)]
    assert [s.provisional for s in found] == [False, False, False, True]


def test_many_series_are_cut_as_each_alone() -> None:
    many = [noise(n, 0.02, n) for n in (5, 40, 40, 17, 1)] + [[], [2.0, 2.0]]
    assert segments_of(many, False) == [segments(values, False) for values in many]
