# SPDX-License-Identifier: MIT
"""The distribution of one case: for every cost, the share of samples that cost no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from reports.claims import variant_of
from reports.figure import Palette, log_ticks, new_figure
from reports.looks import Looks, look_of, looks_of
from reports.measure import nearest_rank, ordered_samples, status_of
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


def ecdf_figure(rows: list[Row], palette: Palette, looks: Looks | None = None) -> Figure | None:
    """The figure of one case on one machine, or None if there is nothing to draw."""
    curves = curves_of(rows, looks)
    if not curves:
        return None
    if all(row.clock == "insn" for row in rows):
        return _counts(rows, curves, palette)
    height = HEIGHT + CROWD * max(len(curves) - CROWDED, 0)
    figure, axes = new_figure(WIDTH, height, palette)
    bottom = 0.42 / height
    figure.subplots_adjust(left=0.125, right=0.985, top=0.98, bottom=bottom)
    low, high = _limits(curves)
    log_ticks(axes, low, high)
    _ticks_inside(axes, low, high)
    axes.set_ylim(0, 1.06)
    axes.set_yticks([0, 0.5, 1], ["0", "½", "1"])
    axes.grid(True, axis="y", color=palette["grid"], linewidth=0.8)
    unit = next(row.unit for row in rows)
    axes.set_xlabel(f"{unit} for one operation", fontsize=8.5)
    axes.set_ylabel("share that takes no more", fontsize=8.5, color=palette["muted"], labelpad=1)
    for curve in curves:
        _draw(axes, curve, palette)
    _label(axes, curves, low, high, palette)
    return figure


def _counts(rows: list[Row], curves: list[Curve], palette: Palette) -> Figure:
    """Exact rows have no distribution: a dot each, and a line where windows do other work."""
    height = 0.55 + 0.3 * len(curves)
    figure, axes = new_figure(WIDTH, height, palette)
    figure.subplots_adjust(left=0.03, right=0.985, top=1 - 0.02 / height, bottom=0.46 / height)
    low, high = _limits(curves)
    log_ticks(axes, low, high)
    _ticks_inside(axes, low, high)
    axes.set_ylim(len(curves) - 0.5, -0.5)
    axes.set_yticks([])
    unit = next(row.unit for row in rows)
    same = all(len(curve.cost) == 1 for curve in curves)
    said = "the same every time" if same else "a line: from window to window"
    axes.set_xlabel(f"{unit} for one operation; {said}", fontsize=8.5)
    for y, curve in enumerate(curves):
        at, side = _beside(curve, low, high)
        colour = palette[curve.colour]
        axes.plot(curve.cost[[0, -1]], [y, y], color=colour, linewidth=2.5, zorder=2)
        axes.plot([curve.middle], [y], "o", color=colour, markersize=7, zorder=3)
        axes.annotate(
            _text(curve),
            (at, y),
            xytext=(9 * side, 0 if side else 8),
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[side],
            va="center",
            color=palette["ink"],
            fontsize=9,
            fontweight="bold" if curve.role == "product" else "normal",
        )
    return figure


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


def _ticks_inside(axes: Axes, low: float, high: float) -> None:
    """Without ticks at the right whose numbers would be cut off with the figure."""

    def inside(tick: float) -> bool:
        place = float(numpy.log(tick / low) / numpy.log(high / low))
        return place + len(number(tick)) * CHARACTER / 2 <= 1.01

    ticks = [float(tick) for tick in axes.xaxis.get_majorticklocs() if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if inside(tick)]))


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


def _draw(axes: Axes, curve: Curve, palette: Palette) -> None:
    width = 2.4 if curve.role == "product" else 1.7
    colour = palette[curve.colour]
    cost = numpy.concatenate([curve.cost[:1], curve.cost])
    share = numpy.concatenate([[0.0], curve.share])
    axes.step(cost, share, where="post", color=colour, linewidth=width, linestyle=curve.line)
    axes.plot([curve.middle], [0.5], "o", color=colour, markersize=5, zorder=4)


def _text(curve: Curve) -> str:
    return f"{curve.name} {number(curve.middle)}"


def _label(axes: Axes, curves: list[Curve], low: float, high: float, palette: Palette) -> None:
    """A label beside each curve, stepped down so that neighbours keep clear of one another."""
    step = 0.8 / max(len(curves), 1)
    for i, curve in enumerate(curves):
        share = 0.9 - step * i if len(curves) > 1 else 0.7
        x = curve.at(share)
        place = numpy.log(x / low) / numpy.log(high / low)
        leftmost = i == 0 or place > 0.97 - len(_text(curve)) * CHARACTER
        axes.annotate(
            _text(curve),
            (x, share),
            xytext=(-6 if leftmost else 6, 0),
            textcoords="offset points",
            ha="right" if leftmost else "left",
            va="center",
            color=palette["ink"],
            fontsize=9,
            fontweight="bold" if curve.role == "product" else "normal",
            bbox={"facecolor": palette["panel"], "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
            zorder=5,
        )
