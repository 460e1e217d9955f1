# SPDX-License-Identifier: MIT
"""Intervals for a median from the order statistics of the sign test.

Distribution-free, without a seed, and exact at every n: the closed interval from the k-th smallest
to the k-th largest value misses the median with probability 2 P(Binomial(n, 1/2) < k) at the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

# Two end points closer than this, relative to their size, are the same number: rounding must
# neither decide a verdict nor shrink an interval at a tie.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Interval:
    """`level` is the confidence attained, which is below the one asked for when n is too small."""

    middle: float
    low: float
    high: float
    level: float
    n: int


def same(a: float, b: float) -> bool:
    """Equal within the tolerance."""
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))


def at_least(a: float, b: float) -> bool:
    """a >= b within the tolerance."""
    return a > b or same(a, b)


def above(a: float, b: float) -> bool:
    """a > b beyond the tolerance."""
    return a > b and not same(a, b)


def miss(n: int, k: int) -> float:
    """The probability that the interval from the k-th smallest to the k-th largest misses."""
    return 2 * sum(comb(n, i) for i in range(k)) / 2**n


def rank(n: int, alpha: float) -> int:
    """The largest k whose interval misses with probability <= alpha; 0 if there is none."""
    k, tail, whole = 0, 0, 2**n
    while k < n // 2:
        tail += comb(n, k)
        if 2 * tail / whole > alpha:
            break
        k += 1
    return k


def sign_interval(values: Sequence[float], alpha: float) -> Interval:
    """The interval for the median of at least one value, missing with probability <= alpha.

    If n allows no such interval it is the widest there is, and `level` tells.
    """
    ordered = sorted(values)
    n = len(ordered)
    k = max(rank(n, alpha), 1)
    low, high = ordered[k - 1], ordered[n - k]
    low = min(value for value in ordered if same(value, low))
    high = max(value for value in ordered if same(value, high))
    return Interval(median(ordered), low, high, max(1 - miss(n, k), 0.0), n)
