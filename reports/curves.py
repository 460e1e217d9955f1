# SPDX-License-Identifier: MIT
"""Curves: counters named NAME@X, the points of a row's curve NAME, beside those of its rivals.

A curve that is called WHAT_by_X says what its x is.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.claims import variant_of
from reports.points import Point, points_of
from reports.store import Machine, Row
from reports.tables import Cell, Table, rows_of
from reports.text import DASH, number, quantity


EXACT = "Exact, the same in every boot."
UNIT_WORDS = {"percent": "%", "ratio": "×"}


@dataclass(frozen=True)
class Line:
    """A row's points of one curve, by x."""

    row: Row
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        return variant_of(self.row.id)


@dataclass(frozen=True)
class Curve:
    """One curve of a case, of all rows that have it, in the order of the case's rows."""

    name: str
    unit: str
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        return words(self.name.partition("_by_")[0])

    @property
    def heading(self) -> str:
        """With the unit, and what it is drawn over."""
        unit = f", {UNIT_WORDS.get(self.unit, self.unit)}" if self.unit != "count" else ""
        return f"{self.title}{unit}, by {self.over}"

    @property
    def over(self) -> str:
        """What x is, as far as the name tells."""
        return words(self.name.partition("_by_")[2]) or "x"

    @property
    def xs(self) -> list[int]:
        return sorted({x for line in self.lines for x, _ in line.points})


def words(name: str) -> str:
    """A counter's name as one reads it."""
    return name.replace("_", " ").strip()


def curves_of(machine: Machine, case: str) -> list[Curve]:
    """The curves of a case, by name."""
    found: dict[tuple[str, str], list[Line]] = {}
    for row in rows_of(machine, case):
        for key, points in points_of(machine.counters.get(row.id, {})).items():
            found.setdefault(key, []).append(Line(row, points))
    return [Curve(*key, tuple(lines)) for key, lines in sorted(found.items())]


def curve_table(machine: Machine, case: str, curve: Curve) -> Table:
    """A line for each x, a column for each row."""
    by_x = [dict(line.points) for line in curve.lines]
    rows = tuple(
        (Cell(number(x)), *(_value(points.get(x), curve.unit) for points in by_x)) for x in curve.xs
    )
    columns = (curve.over, *(line.name for line in curve.lines))
    title = f"{curve.title} of {case} on {machine.name}"
    unit = f"In {curve.unit}. " if curve.unit not in ("count", "observed") else ""
    exact = "Measured, the mean of all boots." if curve.unit == "observed" else EXACT
    note = f"{unit}{exact}"
    return Table(title, columns, rows, frozenset(range(1, len(columns))), note=note)


def _value(value: float | None, unit: str) -> Cell:
    if value is None:
        return Cell(DASH, "number")
    return Cell(quantity(value, unit) if unit == "ratio" else number(value), "number")


def curve_finding(machine: Machine, curve: Curve) -> str:
    """What a curve shows, in words: where each row begins and ends, and its extreme between. Rows
    that are alike are told together."""
    xs = curve.xs
    first, last = (number(x) for x in (xs[0], xs[-1]))
    span = f"from {curve.over} {first} to {last}" if len(xs) > 1 else f"at {curve.over} {first}"
    courses: dict[str, list[str]] = {}
    ends: dict[float, list[str]] = {}
    for line in curve.lines:
        courses.setdefault(_course(line, curve.unit), []).append(line.name)
        if line.points[-1][0] == xs[-1]:
            ends.setdefault(line.points[-1][1], []).append(line.name)
    said = "; ".join(f"{_listed(names)} {course}" for course, names in courses.items())
    text = f"{curve.title} on {machine.name}, {span}: {said}."
    if len(ends) > 1:
        lowest, highest = _listed(ends[min(ends)]), _listed(ends[max(ends)])
        text += f" At the end lowest: {lowest}; highest: {highest}."
    return text


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _course(line: Line, unit: str) -> str:
    begin, end = line.points[0][1], line.points[-1][1]
    top = max(line.points, key=lambda point: point[1])
    low = min(line.points, key=lambda point: point[1])
    if top[1] == low[1]:
        return f"stays at {quantity(begin, unit)}"
    text = f"from {quantity(begin, unit)} to {quantity(end, unit)}"
    if top[1] > max(begin, end):
        text += f", highest {quantity(top[1], unit)} at {number(top[0])}"
    if low[1] < min(begin, end):
        text += f", lowest {quantity(low[1], unit)} at {number(low[0])}"
    return text
