# SPDX-License-Identifier: MIT
"""Tails as curves: for every cost, the share of samples that take more, on two logarithmic axes."""

from __future__ import annotations

from math import ceil

import numpy

from reports.claims import case_of, variant_of
from reports.looks import Looks, look_of, looks_of
from reports.measure import ordered_samples
from reports.plot import INCH, Plot, Scale, log_tick_places, logarithmic, steps
from reports.store import Row
from reports.tails import Tail
from reports.text import number

WIDTH, COLUMNS = 3.9, 2
FOOT, PANEL = 0.26, 1.55  # inches
POINTS_MOST = 70
FAR_LEAST, FAR_MOST = 2.0, 100.0
NEAR = 0.8

Drawn = tuple[Tail, numpy.ndarray, numpy.ndarray]  # cost and share of its curve


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


def tail_plot(tails: list[Tail], looks: Looks | None = None) -> Plot | None:
    """A small plot for each case of a suite, all on the same axes; None if there is nothing."""
    drawn = [tail for tail in tails if tail.summary.p50]
    cases: dict[str, list[Drawn]] = {}
    looks = looks_of(tail.row for tail in drawn) if looks is None else looks
    for tail in drawn:
        cases.setdefault(case_of(tail.row.id), []).append((tail, *exceeding(tail)))
    if not cases:
        return None
    head = 0.16 * ceil(len({variant_of(tail.row.id) for tail in drawn}) / COLUMNS) + 0.3
    plot = Plot(WIDTH, head + FOOT + ceil(len(cases) / COLUMNS) * PANEL)
    _legend(plot, drawn, looks)
    left, gap = 0.62 * INCH, 0.2 * INCH
    width = (plot.width - left - 0.12 * INCH - gap * (COLUMNS - 1)) / COLUMNS
    far = _far([curve for curves in cases.values() for curve in curves])
    least = min(1 / tail.summary.n for tail in drawn)
    for i, (case, curves) in enumerate(cases.items()):
        row, column = divmod(i, COLUMNS)
        x0, y0 = left + column * (width + gap), (head + row * PANEL) * INCH
        x = logarithmic(NEAR, far * 1.15, x0, x0 + width)
        y = logarithmic(least / 1.4, 1.3, y0 + (PANEL - 0.45) * INCH, y0)
        plot.text(x0, y0 - 8, case.partition("/")[2], 9, colour="ink")
        _panel(plot, curves, x, y, (far, least), looks, column == 0)
    unit = "cost of a sample, as a multiple of its row's median"
    plot.text(plot.width / 2, plot.height - 9, unit, anchor="middle")
    words, middle = "share that takes more", (head * INCH + plot.height - FOOT * INCH) / 2
    plot.text(8, middle, words, anchor="middle", turned=True)
    return plot


def _far(curves: list[Drawn]) -> float:
    """How far the axis goes: to the samples that one in a thousand exceeds. A lone one far out may
    leave at the right; the table has it."""
    far = FAR_LEAST
    for _, cost, share in curves:
        far = max(far, float(cost[min(int(numpy.argmax(share <= 0.001)), len(cost) - 1)]))
    return min(far, FAR_MOST)


def _panel(
    plot: Plot,
    curves: list[Drawn],
    x: Scale,
    y: Scale,
    ends: tuple[float, float],
    looks: Looks,
    first: bool,
) -> None:
    """One case. `ends`: how far the x axis goes, and the least share of the y axis."""
    far, least = ends[0] * 1.15, ends[1]
    floor = least / 1.4
    ticks = log_tick_places(NEAR, far, 4)
    plot.x_axis(ticks, x, y(1.3), y(floor), lambda tick: number(tick) + "×")
    for exponent in range(0, -7, -1):
        share = 10.0**exponent
        if share >= floor:
            plot.line([(x(NEAR), y(share)), (x(far), y(share))], "grid", 0.8)
            if first:
                plot.text(x(NEAR) - 4, y(share), f"{number(100 * share)}\u00a0%", anchor="end")
    plot.line([(x(1), y(1.3)), (x(1), y(floor))], "muted", 0.8, (0, (2, 2)))
    for tail, costs, shares in reversed(curves):
        colour, dash = look_of(tail.row, looks)
        keep = (costs >= NEAR) & (costs <= far)
        shown, level = costs[keep].tolist(), shares[keep].tolist()
        if not shown:
            continue
        # The last step goes down to what no sample exceeds, which a logarithm puts at the bottom.
        levels = [1.0, *(max(value, floor) for value in level)]
        corners = steps(map(x, [shown[0], *shown]), map(y, levels))
        plot.line(corners, colour, 1.9 if tail.row.role == "product" else 1.3, dash)


def _legend(plot: Plot, tails: list[Tail], looks: Looks) -> None:
    seen: dict[str, Row] = {}
    for tail in tails:
        seen.setdefault(variant_of(tail.row.id), tail.row)
    for i, (name, row) in enumerate(seen.items()):
        line, column = divmod(i, COLUMNS)
        x, y = column * plot.width / 2, (0.1 + 0.16 * line) * INCH
        colour, dash = look_of(row, looks)
        plot.line([(x, y), (x + 17, y)], colour, 2, dash)
        words = f"{name} ({row.role})" if name != row.role else name
        plot.text(x + 22, y, words, colour="ink")
