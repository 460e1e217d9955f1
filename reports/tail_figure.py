# SPDX-License-Identifier: MIT
"""Tails as curves: for every cost, the share of samples that take more, on two logarithmic axes."""

from __future__ import annotations

from math import ceil

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.claims import case_of, variant_of
from reports.figure import Palette, log_ticks, new_grid
from reports.looks import Looks, look_of, looks_of
from reports.measure import ordered_samples
from reports.tails import Tail
from reports.text import number

WIDTH, COLUMNS = 3.9, 2
POINTS_MOST = 70
FAR_LEAST, FAR_MOST = 2.0, 100.0
NEAR = 0.8


def exceeding(tail: Tail) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Costs, as multiples of the row's median, and the share of samples above each; thinned evenly
    in the logarithm of the share, the largest sample always stays."""
    ordered = ordered_samples(tail.row)
    n = len(ordered)
    above = numpy.unique(numpy.geomspace(1, n, POINTS_MOST).astype(int))[::-1]
    cost = ordered[n - above] / (tail.summary.p50 or 1.0)
    # Of equal costs the last counts: so many samples are above it.
    last = numpy.append(numpy.diff(cost) > 0, True)
    cost = cost[last]
    share = (
        1 - numpy.searchsorted(ordered, cost * (tail.summary.p50 or 1.0) * (1 + 1e-12), "right") / n
    )
    return cost, share


def tail_figure(tails: list[Tail], palette: Palette, looks: Looks | None = None) -> Figure | None:
    """A small plot for each case of a suite, all on the same axes; None if there is nothing."""
    drawn = [tail for tail in tails if tail.summary.p50]
    cases = list(dict.fromkeys(case_of(tail.row.id) for tail in drawn))
    if not cases:
        return None
    looks = looks_of(tail.row for tail in drawn) if looks is None else looks
    rows = ceil(len(cases) / COLUMNS)
    head, foot, panel = 0.54, 0.42, 1.55
    width, height = WIDTH, head + foot + rows * panel
    figure, grid = new_grid(width, height, rows, COLUMNS, palette)
    figure.subplots_adjust(
        left=0.62 / width,
        right=1 - 0.12 / width,
        top=1 - (head + 0.22) / height,
        bottom=foot / height,
        wspace=0.16,
        hspace=0.42,
    )
    far = _far(drawn)
    least = min(1 / tail.summary.n for tail in drawn)
    for i, axes in enumerate(grid):
        if i >= len(cases):
            axes.remove()
            continue
        _panel(
            axes, [t for t in drawn if case_of(t.row.id) == cases[i]], far, least, palette, looks
        )
        axes.set_title(
            cases[i].partition("/")[2], fontsize=9, loc="left", color=palette["ink"], pad=4
        )
        if i % COLUMNS:
            axes.tick_params(axis="y", labelleft=False)
    unit = "cost of a sample, as a multiple of its row's median"
    figure.text(0.5, 0.1 / height, unit, ha="center", fontsize=8.5, color=palette["muted"])
    figure.text(
        0.06 / width,
        (foot + height - head) / 2 / height,
        "share that takes more",
        rotation="vertical",
        va="center",
        fontsize=8.5,
        color=palette["muted"],
    )
    _legend(figure, drawn, height, palette, looks)
    return figure


def _far(tails: list[Tail]) -> float:
    """How far the axis goes: to the samples that one in a thousand exceeds. A lone one far out may
    leave at the right; the table has it."""
    ends = []
    for tail in tails:
        cost, share = exceeding(tail)
        ends.append(float(cost[min(int(numpy.argmax(share <= 0.001)), len(cost) - 1)]))
    return min(max(*ends, FAR_LEAST), FAR_MOST)


def _panel(
    axes: Axes, tails: list[Tail], far: float, least: float, palette: Palette, looks: Looks
) -> None:
    log_ticks(axes, NEAR, far * 1.15, "×", 4)
    axes.set_yscale("log")
    axes.set_ylim(least / 1.4, 1.3)
    decades = [10.0**e for e in range(0, -7, -1) if 10.0**e >= least / 1.4]
    axes.yaxis.set_major_locator(FixedLocator(decades))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{number(100 * y)}\u00a0%"))
    axes.grid(True, axis="y", color=palette["grid"], linewidth=0.8)
    axes.axvline(1, color=palette["muted"], linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    for tail in reversed(tails):
        cost, share = exceeding(tail)
        product = tail.row.role == "product"
        colour, line = look_of(tail.row, looks)
        cost = numpy.concatenate([cost[:1], cost])
        share = numpy.concatenate([[1.0], share])
        # The last step goes down to what no sample exceeds, which a logarithm puts at the bottom.
        axes.step(
            cost,
            numpy.maximum(share, least / 10),
            where="post",
            color=palette[colour],
            linewidth=1.9 if product else 1.3,
            linestyle=line,
        )


def _legend(
    figure: Figure, tails: list[Tail], height: float, palette: Palette, looks: Looks
) -> None:
    seen: dict[str, Line2D] = {}
    for tail in tails:
        name = variant_of(tail.row.id)
        colour, line = look_of(tail.row, looks)
        seen.setdefault(
            name,
            Line2D(
                [],
                [],
                color=palette[colour],
                linewidth=2,
                linestyle=line,
                label=f"{name} ({tail.row.role})" if name != tail.row.role else name,
            ),
        )
    legend = figure.legend(
        handles=list(seen.values()),
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.02 / height),
        ncol=2,
        frameon=False,
        fontsize=8.5,
        handlelength=2.0,
        columnspacing=1.6,
        borderaxespad=0.0,
    )
    for text in legend.get_texts():
        text.set_color(palette["ink"])
