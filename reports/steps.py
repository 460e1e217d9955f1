# SPDX-License-Identifier: MIT
"""Steps in a series of nights: the L1 Potts functional, solved exactly.

A series is cut into segments so that the sum of |value - level| plus a price for each cut is least
(Potts with an L1 distance, as in Weinmann, Storath and Demaret, "The L1-Potts functional for robust
jump-sparse reconstruction", 2015). The best level of a segment is a median of it, so one of the
values of the series: a Viterbi walk over these is exact. A segment lasts SEGMENT_LEAST nights or
more, but for the one that the last night is in, which may have just begun: it is provisional.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median

import numpy

SEGMENT_LEAST = 3  # nights
JUMP_LEAST = log(1.05)  # 5 %
JUMP_SIGMAS = 3.0
# Of a normal distribution, the median of |x| times this is its standard deviation.
MAD_TO_SIGMA = 1.4826
_CHUNK = 32  # series at a time: the walk remembers nights x series x levels


@dataclass(frozen=True)
class Segment:
    """Nights `start` to `end`, the latter excluded, with their median as level (a logarithm for
    sampled clocks). `provisional`: its beginning lies within the last two nights."""

    start: int
    end: int
    level: float
    provisional: bool = False


def sigma_of(values: Sequence[float]) -> float:
    """How much a night differs for no reason: from the differences of neighbours, which a few
    steps among them do not disturb."""
    if len(values) < 2:
        return 0.0
    differences = numpy.abs(numpy.diff(numpy.asarray(values, dtype=float)))
    return float(MAD_TO_SIGMA * numpy.median(differences) / numpy.sqrt(2))


def least_jump(values: Sequence[float], exact: bool) -> float:
    """What a step must be at least: of exact series anything, else max(5 %, 3 sigma), in
    logarithms."""
    return 0.0 if exact else max(JUMP_LEAST, JUMP_SIGMAS * sigma_of(values))


def segments(values: Sequence[float], exact: bool) -> tuple[Segment, ...]:
    """The segments of one series; of an exact one as they are, else of logarithms."""
    return segments_of([values], exact)[0]


def segments_of(many: Sequence[Sequence[float]], exact: bool) -> list[tuple[Segment, ...]]:
    """The segments of series that may differ in length. Sampled series are logarithms."""
    found: list[tuple[Segment, ...]] = [()] * len(many)
    by_length: dict[int, list[int]] = {}
    for i, values in enumerate(many):
        if len(values) and min(values) == max(values):
            found[i] = (Segment(0, len(values), float(values[0])),)
        else:
            by_length.setdefault(len(values), []).append(i)
    for length, members in by_length.items():
        for at in range(0, len(members) if length else 0, _CHUNK):
            part = members[at : at + _CHUNK]
            table = numpy.array([many[i] for i in part], dtype=float)
            jumps = [least_jump(many[i], exact) for i in part]
            prices, walked = _prices(table, jumps), table
            if not exact:  # half the memory to walk through, and far finer than any jump
                walked = (table - table.mean(axis=1, keepdims=True)).astype(numpy.float32)
            for i, row, jump, cuts in zip(part, table, jumps, _cuts(walked, prices)):
                found[i] = _finished(row, cuts, jump)
    return found


def _prices(table: numpy.ndarray, jumps: Sequence[float]) -> numpy.ndarray:
    """What a cut costs: as much as one night off by the least jump. A step that lasts pays for it
    within two nights. Of exact series a cut costs next to nothing."""
    spread = table.max(axis=1) - table.min(axis=1)
    return numpy.where(numpy.asarray(jumps) > 0, jumps, 1e-6 * spread)


def _cuts(table: numpy.ndarray, prices: numpy.ndarray) -> list[list[int]]:
    """Where segments begin, night 0 left out, in each series (a row of the table)."""
    series, nights = table.shape
    distance = numpy.abs(table[:, :, None] - table[:, None, :])  # series, night, level
    ages = SEGMENT_LEAST
    # cost[a]: the least for a segment of a + 1 nights so far (of `ages` nights or more: the last).
    cost = numpy.full((ages, series, nights), numpy.inf, dtype=table.dtype)
    prices = prices.astype(table.dtype)
    cost[0] = distance[:, 0]
    came = numpy.zeros((nights, series), dtype=numpy.int32)  # the level before a cut
    stayed = numpy.zeros((nights, series, nights), dtype=bool)  # in the last age, from itself
    for night in range(1, nights):
        ripe = cost[-1]
        came[night] = ripe.argmin(axis=1)
        begun = ripe[numpy.arange(series), came[night]] + prices
        grown = cost[-2] if ages > 1 else cost[-1]
        stayed[night] = ripe <= grown
        new = numpy.empty_like(cost)
        new[-1] = numpy.minimum(ripe, grown)
        for age in range(1, ages - 1):
            new[age] = cost[age - 1]
        new[0] = numpy.broadcast_to(begun[:, None], (series, nights))
        cost = new + distance[:, night]
    return [_walk_back(cost[:, i], came[:, i], stayed[:, i]) for i in range(series)]


def _walk_back(cost: numpy.ndarray, came: numpy.ndarray, stayed: numpy.ndarray) -> list[int]:
    age, level = (int(i) for i in numpy.unravel_index(int(cost.argmin()), cost.shape))
    cuts, oldest = [], len(cost) - 1
    for night in range(len(came) - 1, 0, -1):
        if age == 0:
            cuts.append(night)
            age, level = oldest, int(came[night])
        elif age < oldest or not stayed[night, level]:
            age -= 1
    return cuts[::-1]


def _finished(row: numpy.ndarray, cuts: list[int], jump: float) -> tuple[Segment, ...]:
    """Segments with their levels; neighbours that are less than a jump apart are one, and so is one
    that fewer nights bear out than make a segment: a neighbour's nights only fill it up."""
    parts = [[start, end] for start, end in zip([0, *cuts], [*cuts, len(row)])]
    while len(parts) > 1:
        levels = [float(numpy.median(row[start:end])) for start, end in parts]
        apart = [abs(b - a) for a, b in zip(levels, levels[1:])]
        least = min(range(len(apart)), key=apart.__getitem__)
        if apart[least] >= jump and apart[least] > 0:
            weak = [i for i in range(len(parts) - 1) if not _borne_out(row, parts[i], levels, i)]
            if not weak:
                break
            left = weak[0] > 0 and apart[weak[0] - 1] <= apart[weak[0]]
            least = weak[0] - left
        parts[least : least + 2] = [[parts[least][0], parts[least + 1][1]]]
    made = tuple(Segment(s, e, float(median(row[s:e].tolist()))) for s, e in parts)
    last = made[-1]
    if len(made) > 1 and last.end - last.start < SEGMENT_LEAST:
        made = (*made[:-1], replace(last, provisional=True))
    return made


def _borne_out(row: numpy.ndarray, part: list[int], levels: list[float], place: int) -> bool:
    """Are enough nights of a segment nearer to its level than to a neighbour's?"""
    values = row[part[0] : part[1]]
    own = numpy.abs(values - levels[place])
    others = [levels[i] for i in (place - 1, place + 1) if 0 <= i < len(levels)]
    nearest = numpy.min([numpy.abs(values - level) for level in others], axis=0)
    return int(numpy.count_nonzero(own < nearest)) >= SEGMENT_LEAST
