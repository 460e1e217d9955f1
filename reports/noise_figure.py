# SPDX-License-Identifier: MIT
"""The baseline against itself: a dot and an interval for each case."""

from __future__ import annotations

from reports.noise import SelfTest, signed_percent
from reports.plot import INCH, Plot, even_ticks, linear


def noise_plot(tests: list[SelfTest], narrow: bool = False) -> Plot | None:
    """One line a case, in per cent of the baseline; None if nothing ran against itself."""
    if not tests:
        return None
    plot = Plot(3.6 if narrow else 5.0, 0.62 + len(tests) * 0.3)
    longest = max(len(test.case) for test in tests)
    left = min((0.2 + 0.075 * longest) * INCH, 0.5 * plot.width)
    right, top, bottom = plot.width - 0.15 * INCH, 0.06 * INCH, plot.height - 0.5 * INCH
    reach = 1.15 * max(max(test.reach for test in tests), 0.05)
    x, y = linear(-reach, reach, left, right), linear(-0.6, len(tests) - 0.4, top, bottom)
    ends = [tick for tick in even_ticks(0, reach, 2) if 0 < tick]
    ticks = [*(-tick for tick in ends[::-1]), 0.0, *ends]
    plot.x_axis(ticks, x, top, bottom, signed_percent)
    plot.line([(x(0), top), (x(0), bottom)], "ink", 1)
    plot.text((left + right) / 2, bottom + 22, "baseline against itself", anchor="middle")
    for i, test in enumerate(tests):
        plot.text(left - 5, y(i), test.case, anchor="end", colour="ink")
        plot.line([(x(-test.reach), y(i)), (x(test.reach), y(i))], "band", 7)
        plot.line([(x(test.low), y(i)), (x(test.high), y(i))], "blue", 2.2)
        plot.dot(x(test.middle), y(i), 5.5, "blue")
    return plot
