# SPDX-License-Identifier: MIT
"""Trends as small multiples: a panel for each row, its nights as dots, its steps as levels."""

from __future__ import annotations

from math import ceil

from reports.claims import variant_of
from reports.history import Line, Trend
from reports.plot import INCH, Plot, linear
from reports.text import number

COLUMNS, GAP = 3, 0.28
WIDTH, NARROW = 11.0, 3.7  # inches
PANEL, HEAD, FOOT = 1.05, 0.3, 0.3
PANELS_MOST = 48
STEADY = 0.02  # an axis shows that much at least, so that noise does not look like news


def chosen(trends: list[Trend], alarming: set[str], claimed: set[str]) -> list[Trend]:
    """Which trends are drawn where there are many: those with an alarm, with a step (the largest
    first), and those that claims are about. All of them are in the table."""

    def order(trend: Trend) -> tuple[bool, bool, float, bool, str]:
        return (
            trend.id not in alarming,
            len(trend.steps) < 2,
            -largest_step(trend),
            trend.id not in claimed,
            trend.id,
        )

    return sorted(trends, key=order)[:PANELS_MOST]


def largest_step(trend: Trend) -> float:
    """As a share: 0.05 for a step of five per cent either way."""
    levels = [step.level for step in trend.steps]
    return max((abs(b / a - 1) for a, b in zip(levels, levels[1:]) if a > 0), default=0.0)


def trend_plot(
    trends: list[Trend], lines: tuple[Line, ...], nights: list[str], narrow: bool = False
) -> Plot | None:
    """`nights`: the dates of the machine's nights; `lines`: where its environment changed."""
    if not trends or len(nights) < 2:
        return None
    columns = 1 if narrow else COLUMNS
    plot = Plot(NARROW if narrow else WIDTH, ceil(len(trends) / columns) * (PANEL + HEAD) + FOOT)
    width = (plot.width - GAP * INCH * (columns - 1)) / columns
    for i, trend in enumerate(trends):
        row, column = divmod(i, columns)
        left = column * (width + GAP * INCH)
        _panel(plot, trend, lines, nights, (left, (row * (PANEL + HEAD) + HEAD) * INCH, width))
    return plot


def _panel(
    plot: Plot,
    trend: Trend,
    lines: tuple[Line, ...],
    nights: list[str],
    place: tuple[float, float, float],
) -> None:
    left, top, width = place
    values = [point.row.value for point in trend.points]
    low, high = min(values), max(values)
    room = max(0.12 * (high - low), STEADY * abs(high) / 2)
    bottom = top + (PANEL - 0.24) * INCH
    x = linear(-0.5, len(nights) - 0.5, left + 4, left + width - 4)
    y = linear(low - room, high + room, bottom, top + 4)
    case = trend.id.rpartition("/")[0]
    plot.text(left, top - 9, f"{case} {variant_of(trend.id)}", 9, colour="ink", bold=True)
    words = f"{number(trend.steps[-1].level)} {trend.unit}"
    plot.text(left + width, top + 3, words, 8.5, "end", "muted", halo=True)
    plot.line([(left, bottom), (left + width, bottom)], "grid", 0.8)
    for line in lines:
        at = x(line.night - 0.5)
        plot.line([(at, top), (at, bottom)], "muted", 1, (0, (2, 2)))
    if len(set(values)) > 1:
        dots = [(x(point.night), y(point.row.value)) for point in trend.points]
        plot.line(dots, "muted", 0.7)
    for step in trend.steps:
        first, last = trend.points[step.start].night, trend.points[step.end - 1].night
        ends = [(x(first - 0.4), y(step.level)), (x(last + 0.4), y(step.level))]
        dash = (0, (2, 1)) if step.provisional else "-"
        plot.line(ends, "orange" if step.provisional else "blue", 2.2, dash)
    plot.text(left, bottom + 8, nights[0])
    plot.text(left + width, bottom + 8, nights[-1], anchor="end")
