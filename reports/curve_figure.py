# SPDX-License-Identifier: MIT
"""A curve drawn: one line for each row, told apart by colour, by marker and by dash."""

from __future__ import annotations

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from reports.curves import Curve, Line
from reports.figure import Palette, log_ticks, new_figure
from reports.looks import Look, Looks, look_of, looks_of
from reports.points import Point
from reports.text import number

WIDTH, PLOT_HEIGHT = 4.1, 2.1
LEGEND_LINE = 0.19  # inches
LEGEND_COLUMNS = 3
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
MARKED_MOST = 9  # of a line: more would hide it
LOG_SPAN = 50.0  # of values above 0: what spans more is drawn on a logarithm
PREFIXES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def is_geometric(xs: list[int]) -> bool:
    """Whether the x stand more evenly on a logarithm than on a line."""
    if len(xs) < 3 or xs[0] <= 0:
        return False

    def unevenness(values: NDArray[numpy.float64]) -> float:
        gaps = numpy.diff(values)
        return float(gaps.std() / gaps.mean())

    places = numpy.asarray(xs, dtype=float)
    return unevenness(numpy.log(places)) < unevenness(places)


def curve_figure(curve: Curve, palette: Palette, looks: Looks | None = None) -> Figure | None:
    """The figure of one curve of a case, or None if there is nothing to draw."""
    if not curve.lines:
        return None
    legend = LEGEND_LINE * -(-len(curve.lines) // LEGEND_COLUMNS) + 0.08
    height = PLOT_HEIGHT + legend
    figure, axes = new_figure(WIDTH, height, palette)
    figure.subplots_adjust(
        left=0.62 / WIDTH, right=1 - 0.26 / WIDTH, top=1 - legend / height, bottom=0.42 / height
    )
    scale, unit = scaled(curve)
    looks = looks_of(line.row for line in curve.lines) if looks is None else looks
    for i, line in enumerate(curve.lines):
        colour, dash = look_of(line.row, looks)
        _draw(axes, line, scale, (palette[colour], dash), i)
    _x_axis(axes, curve)
    _y_axis(axes, [value / scale for _, value in _points(curve)], palette)
    axes.set_ylabel(
        f"{curve.title}, {unit}" if unit else curve.title,
        fontsize=8.5,
        color=palette["muted"],
        labelpad=1,
    )
    drawn = figure.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.02 / height),
        ncol=LEGEND_COLUMNS,
        frameon=False,
        fontsize=8.5,
        handlelength=2.4,
        columnspacing=1.2,
        borderaxespad=0.0,
    )
    for text in drawn.get_texts():
        text.set_color(palette["ink"])
    return figure


def scaled(curve: Curve) -> tuple[float, str]:
    """What values are divided by so that they are read with ease, and the unit that makes."""
    if curve.unit == "bytes":
        high = max(value for _, value in _points(curve))
        return next(((s, u) for s, u in PREFIXES if high >= 10 * s), (1.0, "bytes"))
    return 1.0, {"percent": "%", "count": "", "ratio": "×"}.get(curve.unit, curve.unit)


def _points(curve: Curve) -> list[Point]:
    return [point for line in curve.lines for point in line.points]


def _draw(axes: Axes, line: Line, scale: float, look: Look, place: int) -> None:
    xs = [float(x) for x, _ in line.points]
    # Lines that lie on one another are marked at different points.
    step = max(-(-len(xs) // MARKED_MOST), 1)
    axes.plot(
        xs,
        [value / scale for _, value in line.points],
        color=look[0],
        linewidth=2.0 if line.row.role == "product" else 1.4,
        linestyle=look[1],
        marker=MARKERS[place % len(MARKERS)],
        markersize=4.5,
        markevery=(place % step, step),
        label=line.name,
        zorder=3 if line.row.role == "product" else 2,
    )


def _x_axis(axes: Axes, curve: Curve) -> None:
    xs = curve.xs
    if is_geometric(xs):
        log_ticks(axes, xs[0] / 1.1, xs[-1] * 1.1, most=6)
    else:
        span = max(xs[-1] - xs[0], 1)
        axes.set_xlim(xs[0] - 0.03 * span, xs[-1] + 0.03 * span)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.set_xlabel(curve.over, fontsize=8.5)


def _y_axis(axes: Axes, values: list[float], palette: Palette) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > LOG_SPAN:
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.set_ylim(0 if low >= 0 else None, high * 1.08 if high > 0 else None)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
    axes.grid(True, axis="y", color=palette["grid"], linewidth=0.8)
