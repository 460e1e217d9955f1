# SPDX-License-Identifier: MIT
"""The distribution of one case: for every cost, the share of samples that cost no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from reports.claims import variant_of
from reports.looks import Looks, look_of, looks_of
from reports.measure import nearest_rank, ordered_samples, status_of
from reports.plot import INCH, Plot, Scale, linear, log_tick_places, logarithmic, steps
from reports.store import Row
from reports.text import number

WIDTH, HEIGHT = 4.1, 2.4
CROWDED, CROWD = 6, 0.17  # curves that have room; what each further one's label needs
POINTS_MOST = 160
CHARACTER = 0.0168  # width of a character of a label, as a share of the axes


@dataclass(frozen=True)
class Curve:
    """One row: the cost at each share, how it is drawn."""

    name: str
    role: str
    cost: numpy.ndarray
    share: numpy.ndarray
    colour: str
    line: Any
    middle: float

    def at(self, share: float) -> float:
        return float(self.cost[min(int(numpy.searchsorted(self.share, share)), len(self.cost) - 1)])


def curves_of(rows: list[Row], looks: Looks | None = None) -> list[Curve]:
    """The rows that can be drawn: those with samples above resolution, the cheapest first."""
    curves: list[Curve] = []
    looks = looks_of(rows) if looks is None else looks
    for row in rows:
        ordered = ordered_samples(row) if status_of(row) == "ok" else numpy.empty(0)
        middle = nearest_rank(ordered, 0.5) if len(ordered) else 0.0
        if middle <= 0:
            continue
        colour, line = look_of(row, looks)
        cost, share = thin(ordered)
        curves.append(Curve(variant_of(row.id), row.role, cost, share, colour, line, middle))
    return sorted(curves, key=lambda curve: (curve.middle, curve.name))


def thin(ordered: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The ECDF at so many points at the most; the smallest and the largest sample always stay.

    Samples at or below resolution have no place on a logarithmic axis: the curve starts above 0.
    """
    n = len(ordered)
    cost, first = numpy.unique(ordered[::-1], return_index=True)
    share = (n - first) / n
    above = cost > 0
    cost, share = cost[above], share[above]
    if len(cost) > POINTS_MOST:
        keep = numpy.unique(numpy.linspace(0, len(cost) - 1, POINTS_MOST).astype(int))
        cost, share = cost[keep], share[keep]
    return cost, share


def ecdf_plot(rows: list[Row], looks: Looks | None = None) -> Plot | None:
    """The plot of one case on one machine, or None if there is nothing to draw."""
    curves = curves_of(rows, looks)
    if not curves:
        return None
    unit = next(row.unit for row in rows)
    if all(row.clock == "insn" for row in rows):
        return _counts(unit, curves)
    plot = Plot(WIDTH, HEIGHT + CROWD * max(len(curves) - CROWDED, 0))
    left, right = 0.125 * plot.width, 0.985 * plot.width
    top, bottom = 0.02 * plot.height, plot.height - 0.42 * INCH
    low, high = _limits(curves)
    x, y = logarithmic(low, high, left, right), linear(0, 1.06, bottom, top)
    plot.x_axis(_ticks_inside(low, high), x, top, bottom)
    for share, words in ((0, "0"), (0.5, "½"), (1, "1")):
        plot.line([(left, y(share)), (right, y(share))], "grid", 0.8)
        plot.text(left - 4, y(share), words, anchor="end")
    plot.text((left + right) / 2, bottom + 21, f"{unit} for one operation", anchor="middle")
    plot.text(8, (top + bottom) / 2, "share that takes no more", anchor="middle", turned=True)
    for curve in curves:
        _draw(plot, curve, x, y, high)
    _label(plot, curves, x, y, low, high)
    return plot


def _counts(unit: str, curves: list[Curve]) -> Plot:
    """Exact rows have no distribution: a dot each, and a line where windows do other work."""
    plot = Plot(WIDTH, 0.55 + 0.3 * len(curves))
    left, right = 0.03 * plot.width, 0.985 * plot.width
    top, bottom = 0.02 * INCH, plot.height - 0.46 * INCH
    low, high = _limits(curves)
    x, y = logarithmic(low, high, left, right), linear(-0.5, len(curves) - 0.5, top, bottom)
    plot.x_axis(_ticks_inside(low, high), x, top, bottom)
    same = all(len(curve.cost) == 1 for curve in curves)
    said = "the same every time" if same else "a line: from window to window"
    words = f"{unit} for one operation; {said}"
    plot.text((left + right) / 2, bottom + 21, words, anchor="middle")
    for i, curve in enumerate(curves):
        at, side = _beside(curve, low, high)
        ends = [(x(float(cost)), y(i)) for cost in curve.cost[[0, -1]]]
        plot.line(ends, curve.colour, 2.5)
        plot.dot(x(curve.middle), y(i), 7, curve.colour)
        plot.text(
            x(at) + 9 * side,
            y(i) - (0 if side else 8),
            _text(curve),
            9,
            {-1: "end", 0: "middle", 1: "start"}[side],
            "ink",
            curve.role == "product",
        )
    return plot


def _beside(curve: Curve, low: float, high: float) -> tuple[float, int]:
    """Where the label of a range stands and on which side of it (1 right, -1 left): beyond its end,
    clear of the line; above its middle (0) where there is no room at either."""
    need = len(_text(curve)) * CHARACTER * 1.15 + 0.03  # it may be bold
    ends = [float(cost) for cost in curve.cost[[0, -1]]]
    first, last = (float(numpy.log(end / low) / numpy.log(high / low)) for end in ends)
    if last + need <= 1:
        return ends[1], 1
    if first - need >= 0:
        return ends[0], -1
    middle = min(max((first + last) / 2, need / 2), 1 - need / 2)
    return low * (high / low) ** middle, 0


def _ticks_inside(low: float, high: float) -> list[float]:
    """Without ticks at the right whose numbers would be cut off with the figure."""

    def inside(tick: float) -> bool:
        place = float(numpy.log(tick / low) / numpy.log(high / low))
        return place + len(number(tick)) * CHARACTER / 2 <= 1.01

    return [tick for tick in log_tick_places(low, high) if inside(tick)]


def _limits(curves: list[Curve]) -> tuple[float, float]:
    """Room for the curves, and for their labels beside them."""
    low = min(float(curve.cost[0]) for curve in curves)
    # A lone sample far out (a first fault, an interrupt) must not squeeze everything else.
    far = max(curve.at(0.995) for curve in curves)
    decades = max(float(numpy.log10(far / low)), 0.18)
    left = max(len(_text(curves[0])) * CHARACTER + 0.03, 0.08)
    right = max(len(_text(curves[-1])) * CHARACTER + 0.03, 0.08) if len(curves) > 1 else 0.1
    whole = decades / max(1 - left - right, 0.25)
    return low * 10 ** (-whole * left), low * 10 ** (whole * (1 - left))


def _draw(plot: Plot, curve: Curve, x: Scale, y: Scale, high: float) -> None:
    width = 2.4 if curve.role == "product" else 1.7
    # What lies beyond the axis leaves at the right.
    inside = int(numpy.searchsorted(curve.cost, high, "right"))
    cost, share = curve.cost[:inside].tolist(), curve.share[:inside].tolist()
    cost, share = [cost[0], *cost], [0.0, *share]
    if inside < len(curve.cost):
        cost, share = [*cost, high], [*share, share[-1]]
    corners = steps((x(value) for value in cost), (y(value) for value in share))
    plot.line(corners, curve.colour, width, curve.line)
    plot.dot(x(curve.middle), y(0.5), 5, curve.colour)


def _text(curve: Curve) -> str:
    return f"{curve.name} {number(curve.middle)}"


def _label(plot: Plot, curves: list[Curve], x: Scale, y: Scale, low: float, high: float) -> None:
    """A label beside each curve, stepped down so that neighbours keep clear of one another."""
    step = 0.8 / max(len(curves), 1)
    for i, curve in enumerate(curves):
        share = 0.9 - step * i if len(curves) > 1 else 0.7
        at = min(curve.at(share), high)
        place = numpy.log(at / low) / numpy.log(high / low)
        leftmost = i == 0 or place > 0.97 - len(_text(curve)) * CHARACTER
        plot.text(
            x(at) + (-6 if leftmost else 6),
            y(share),
            _text(curve),
            9,
            "end" if leftmost else "start",
            "ink",
            curve.role == "product",
            halo=True,
        )
