# SPDX-License-Identifier: MIT
"""Points of curves among a row's counters: NAME@X is where the curve NAME stands at x = X."""

from __future__ import annotations

import re

from reports.store import Counter
from reports.text import number, quantity, several

_POINT = re.compile(r"([^@]+)@(0|[1-9][0-9]{0,18})")

Point = tuple[int, float]


def split(name: str) -> tuple[str, int] | None:
    """Curve and x of a point's name; None if it names no point."""
    found = _POINT.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def points_of(counters: dict[str, Counter]) -> dict[tuple[str, str], tuple[Point, ...]]:
    """The points of a row by curve and unit, each sorted by x."""
    found: dict[tuple[str, str], list[Point]] = {}
    for counter in counters.values():
        place = split(counter.name)
        if place is not None and (not counter.measured or counter.unit == "observed"):
            found.setdefault((place[0], counter.unit), []).append((place[1], counter.value))
    return {key: tuple(sorted(points)) for key, points in sorted(found.items())}


def plain(counters: dict[str, Counter]) -> list[Counter]:
    """The exact counters that are no points."""
    return [c for c in counters.values() if not c.measured and split(c.name) is None]


def summaries(counters: dict[str, Counter]) -> list[tuple[str, str, str]]:
    """For each curve of a row its name, its first and last value, and where those stand: what a
    list of counters says in place of every point."""
    return [
        (
            name,
            f"{quantity(points[0][1], unit)} … {quantity(points[-1][1], unit)}",
            f"{several(len(points), 'point')}, x {number(points[0][0])} … {number(points[-1][0])}",
        )
        for (name, unit), points in points_of(counters).items()
    ]
