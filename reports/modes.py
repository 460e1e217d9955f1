# SPDX-License-Identifier: MIT
"""How many modes a row's samples have: around which costs they gather.

The rule, the same for every row and with no seed:

1. Bins are whole steps of the clock wide, so that each holds equally many values that a window can
   have: as many steps as Freedman and Diaconis ask for, 2 IQR / n^(1/3), and no less than 1 % of
   the median, since what lies closer together makes no difference to anybody.
2. A peak is a bin, or several neighbours of one height, with lower bins on both sides. Peaks are
   taken from the highest down; the depth of a peak is its height less the highest valley floor that
   must be crossed on the way to a higher one. A bin without samples is a valley down to 0.
3. A peak is a mode if its depth is at least half its height, and at least 4 times the square root
   of its height, which chance alone does not dig (so there are 16 samples in its highest bin), and
   if its hill, down to that valley, holds at least 1 % of all samples.

The highest peak is a mode always, so there is one at the least.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy

from reports.store import Row

SAMPLES_LEAST = 100
NARROWEST = 0.01  # bins, of the median
DEPTH = 0.5
CHANCE = 4.0
SHARE_LEAST = 0.01


def modes_of(row: Row, step: int) -> tuple[float, ...] | None:
    """The costs of one operation at which a row has its modes, the cheapest first; `step` is that
    of the clock, in its ticks. None: too few samples, or rounds of different windows, whose
    grids do not match."""
    if not row.rounds or len({r.operations for r in row.rounds}) > 1:
        return None
    samples = numpy.concatenate([r.samples for r in row.rounds])
    if len(samples) < SAMPLES_LEAST:
        return None
    return tuple(mode / row.operations for mode in modes(samples, max(step, 1)))


def modes(samples: numpy.ndarray, step: int) -> list[float]:
    """Where whole numbers gather, ascending; bins are made of whole steps."""
    first = int(samples.min())
    width = bin_width(samples, step)
    places, counts = numpy.unique((samples - first) // width, return_counts=True)
    chosen = peaks(places.tolist(), counts.tolist())
    # The middle of the values that a bin can hold: of a bin of one step, its value.
    return [first + places[i] * width + (width - step) / 2 for i in sorted(chosen)]


def bin_width(samples: numpy.ndarray, step: int) -> int:
    """Freedman and Diaconis's width or the narrowest that matters, rounded up to whole steps."""
    low, middle, high = numpy.percentile(samples, (25, 50, 75))
    wanted = max(2 * (high - low) / len(samples) ** (1 / 3), NARROWEST * middle)
    return step * max(1, ceil(wanted / step - 1e-9))


def peaks(places: list[int], counts: list[int]) -> list[int]:
    """Which of the occupied bins, in order of their places, are modes.

    The water falls from the highest bin down. A bin that appears alone begins a hill; one between
    two hills joins them, and the lower hill's depth is then known.
    """
    hill: dict[int, int] = {}  # bin -> a bin of the same hill, its top in the end
    holds = list(counts)  # of a top: the samples of its hill
    found = []

    def top(i: int) -> int:
        while hill[i] != i:
            hill[i] = hill[hill[i]]
            i = hill[i]
        return i

    def weigh(peak: int, valley: int) -> None:
        if deep(counts[peak], valley) and holds[peak] >= SHARE_LEAST * sum(counts):
            found.append(peak)

    order = sorted(range(len(counts)), key=lambda i: (-counts[i], i))
    for i in order:
        hill[i] = i
        for j in (i - 1, i + 1):
            if j not in hill or abs(places[j] - places[i]) > 1:
                continue
            high, low = sorted((top(i), top(j)), key=lambda t: (-counts[t], t))
            if high != low:
                weigh(low, counts[i])
                hill[low] = high
                holds[high] += holds[low]
    # What was never joined stands alone, above empty bins.
    for i in order:
        if hill[i] == i and i != order[0]:
            weigh(i, 0)
    return [order[0], *found]


def deep(height: int, valley: int) -> bool:
    """Is what lies between a peak and a higher one deep enough?"""
    return height - valley >= max(DEPTH * height, CHANCE * sqrt(height))
