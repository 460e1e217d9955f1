# SPDX-License-Identifier: MIT
"""Trends over nights: what each row cost, night by night, and where that stepped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

from reports.ledger import NIGHT, Night, NightRow
from reports.steps import Segment, segments_of


class Point(NamedTuple):
    """A row in a night; `night` counts the machine's nights from 0."""

    night: int
    row: NightRow


@dataclass(frozen=True)
class Trend:
    """A row of a machine over its nights, as far back as the same was asked. `steps` are segments
    of `points`; their levels are costs."""

    machine: str
    clock: str
    id: str
    points: tuple[Point, ...]
    steps: tuple[Segment, ...]

    @property
    def unit(self) -> str:
        return self.points[-1].row.unit


@dataclass(frozen=True)
class Line:
    """From here on a machine was another: what changed, as (fact, before, now)."""

    night: int
    changes: tuple[tuple[str, str, str], ...]


def machines_of(nights: Iterable[Night]) -> dict[str, list[Night]]:
    """The nights of each machine in order, re-runs left out, machines sorted."""
    found: dict[str, list[Night]] = {}
    for night in nights:
        if night.kind == NIGHT:
            found.setdefault(night.machine, []).append(night)
    return dict(sorted(found.items()))


def environment_changes(before: Night, now: Night) -> tuple[tuple[str, str, str], ...]:
    """The facts that differ; one that is not there is unknown."""
    keys = sorted(set(before.environment) | set(now.environment))
    pairs = ((k, before.environment.get(k, "-"), now.environment.get(k, "-")) for k in keys)
    return tuple((key, a, b) for key, a, b in pairs if a != b)


def lines_of(nights: Sequence[Night]) -> tuple[Line, ...]:
    """Where the environment of a machine changed."""
    found = [Line(i + 1, environment_changes(a, b)) for i, (a, b) in enumerate(_pairs(nights))]
    return tuple(line for line in found if line.changes)


def _pairs(nights: Sequence[Night]) -> Iterable[tuple[Night, Night]]:
    return zip(nights, nights[1:])


def asked(definition: str) -> str:
    """The half of a definition that says what was asked: where it differs, nothing can be
    compared."""
    return definition[:8]


def same_question(a: NightRow, b: NightRow) -> bool:
    if a.unit != b.unit:
        return False
    return a.definition == b.definition or asked(a.definition) == asked(b.definition)


def points_of(nights: Sequence[Night], row: str) -> tuple[Point, ...]:
    """A row as far back as the same was asked."""
    found: list[Point] = []
    last: NightRow | None = None
    for i in range(len(nights) - 1, -1, -1):
        here = nights[i].rows.get(row)
        if here is None:
            continue
        if last is not None and not same_question(here, last):
            break
        found.append(Point(i, here))
        last = here
    return tuple(reversed(found))


def trends_of(nights: Sequence[Night], rows: Iterable[str] | None = None) -> list[Trend]:
    """The trends of one machine's nights: of the rows of the last, or of some of them. Emulated
    times have none: they are judged never."""
    if not nights or nights[-1].clock == "emulated":
        return []
    exact = nights[-1].exact
    wanted = sorted(nights[-1].rows if rows is None else set(rows) & set(nights[-1].rows))
    points = [points_of(nights, row) for row in wanted]
    values = [[p.row.value for p in one] for one in points]
    if not exact:
        values = [[log(value) for value in one] for one in values]
    found = []
    for row, one, steps in zip(wanted, points, segments_of(values, exact)):
        costs = tuple(_as_cost(step, one) for step in steps)
        found.append(Trend(nights[-1].machine, nights[-1].clock, row, one, costs))
    return found


def _as_cost(step: Segment, points: tuple[Point, ...]) -> Segment:
    """The segment with the median of its costs in place of that of their logarithms."""
    values = sorted(point.row.value for point in points[step.start : step.end])
    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return Segment(step.start, step.end, middle, step.provisional)


def habits_of(nights: Sequence[Night], row: str) -> list[float]:
    """A row's changes from night to night, as logarithms, the latest last; without those at which
    the environment changed."""
    cut = {line.night for line in lines_of(nights)}
    points = points_of(nights, row)
    return [
        log(b.row.value / a.row.value)
        for a, b in zip(points, points[1:])
        if not any(a.night < line <= b.night for line in cut)
    ]
