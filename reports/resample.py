# SPDX-License-Identifier: MIT
"""The ratio of two medians of different runs, with an interval from the bootstrap.

Rounds of different runs cannot be paired. Each run is resampled by itself: its boots, and within
each the rounds. The seed is made of the data: the same data, the same interval.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import erfc, exp, sqrt

import numpy

from reports.measure import Series

TIMES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """b / a as a factor with its interval, and how likely so much is by chance."""

    value: float
    low: float
    high: float
    chance: float
    how: str


def ratio_of_medians(a: Series, b: Series) -> Ratio:
    """Of logarithms, one value a round, by boot and round."""
    seed = _seed(a, b)
    generator = numpy.random.default_rng(seed)
    ours, theirs = _boots(b), _boots(a)
    middle = float(numpy.median(numpy.concatenate(ours)) - numpy.median(numpy.concatenate(theirs)))
    drawn = _medians(ours, generator) - _medians(theirs, generator)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in numpy.percentile(drawn, [tail, 100 - tail]))
    spread = float(drawn.std())
    if spread == 0.0:
        chance = 1.0 if middle == 0.0 else 0.0
    else:
        # Of what has two modes a normal distribution says too little: as often as resampling itself
        # turns the sign, at the least. Where it never does, a thousand times tell no more.
        turned = numpy.count_nonzero(drawn <= 0 if middle > 0 else drawn >= 0)
        chance = min(max(erfc(abs(middle) / spread / sqrt(2)), 2 * float(turned) / TIMES), 1.0)
    how = f"bootstrap of {len(theirs)} and {len(ours)} boots, {len(a)} and {len(b)} rounds"
    return Ratio(exp(middle), exp(min(low, middle)), exp(max(high, middle)), chance, how)


def _boots(series: Series) -> list[numpy.ndarray]:
    found: dict[int, list[float]] = {}
    for (boot, _), value in sorted(series.items()):
        found.setdefault(boot, []).append(value)
    return [numpy.array(values) for values in found.values()]


def _medians(boots: list[numpy.ndarray], generator: numpy.random.Generator) -> numpy.ndarray:
    """The median of each resampling. Boots with the most rounds decide how many are drawn."""
    most = max(len(values) for values in boots)
    # A boot with fewer rounds is drawn from as it is: an index is taken modulo its length.
    lengths = numpy.array([len(values) for values in boots])
    table = numpy.array([numpy.resize(values, most) for values in boots])
    chosen = generator.integers(0, len(boots), (TIMES, len(boots)))
    rounds = generator.random((TIMES, len(boots), most))
    index = (rounds * lengths[chosen][:, :, None]).astype(int)
    drawn = table[chosen[:, :, None], index]
    return numpy.asarray(numpy.median(drawn.reshape(TIMES, -1), axis=1))


def _seed(a: Series, b: Series) -> int:
    text = repr((sorted(a.items()), sorted(b.items())))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
