# SPDX-License-Identifier: MIT
"""The baseline against itself: a dot and an interval for each case."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.figure import Palette, new_figure
from reports.noise import SelfTest, signed_percent


def noise_figure(tests: list[SelfTest], palette: Palette, narrow: bool = False) -> Figure | None:
    """One line a case, in per cent of the baseline; None if nothing ran against itself."""
    if not tests:
        return None
    width = 3.6 if narrow else 5.0
    height = 0.62 + len(tests) * 0.3
    figure, axes = new_figure(width, height, palette)
    longest = max(len(test.case) for test in tests)
    figure.subplots_adjust(
        left=min((0.2 + 0.075 * longest) / width, 0.5),
        right=1 - 0.15 / width,
        top=1 - 0.06 / height,
        bottom=0.5 / height,
    )
    reach = 1.15 * max(max(test.reach for test in tests), 0.05)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(tests) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 5, symmetric=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: signed_percent(x)))
    axes.axvline(0, color=palette["ink"], linewidth=1, zorder=1)
    axes.set_yticks(range(len(tests)), [test.case for test in tests])
    axes.tick_params(axis="y", labelcolor=palette["ink"], labelsize=8.5)
    axes.set_xlabel("baseline against itself", fontsize=8.5)
    for y, test in enumerate(tests):
        axes.plot([-test.reach, test.reach], [y, y], color=palette["band"], linewidth=7, zorder=2)
        axes.plot([test.low, test.high], [y, y], color=palette["blue"], linewidth=2.2, zorder=3)
        axes.plot([test.middle], [y], "o", color=palette["blue"], markersize=5.5, zorder=4)
    return figure
