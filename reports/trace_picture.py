# SPDX-License-Identifier: MIT
"""A picture of a trace, drawn from its packets: phases, nested operations, counters, flows."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyArrowPatch, Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from reports.figure import Palette, bare_figure, dress
from reports.text import number
from reports.trace_read import Slice
from reports.trace_view import NARROW_OPERATIONS, Moment, View

CAPTION = "Drawn by Tickmark from the trace of this run; not a screenshot of Perfetto."

PHASE_COLOURS = {"prepare": "sky", "warm-up": "orange", "run": "green"}
OPERATION_COLOURS = ("blue", "vermillion", "green", "purple", "orange", "sky")
TINT = 0.34  # of a slice's colour, so that its name can be read in light and dark
LANE = 0.27  # inches
OVERVIEW, GAP, FOOT, HEAD = 0.3, 0.34, 0.46, 0.26
SIGN = 0.32
COUNTERS_MOST = 2
COUNTER, COUNTER_TEXT = 0.6, 0.18
CHARACTER = 0.073  # inches


def trace_figure(view: View, palette: Palette, narrow: bool = False) -> Figure | None:
    """All moments of a view in one figure, below one another, with the caption, because a picture
    goes where it likes; None if there are none."""
    figure = moments_figure(view, list(view.moments), palette, narrow, SIGN)
    if figure is not None:
        width, height = figure.get_size_inches()
        figure.text(
            0.12 / width,
            0.5 * SIGN / height,
            f"{view.machine.name}, run {view.machine.run}. {CAPTION}",
            color=palette["muted"],
            fontsize=8.5,
            va="center",
        )
    return figure


def moments_figure(
    view: View, moments: list[Moment], palette: Palette, narrow: bool = False, below: float = 0
) -> Figure | None:
    """Some moments of a view, with so many inches free below them."""
    if not moments:
        return None
    if narrow:
        moments = [moment.shorter(NARROW_OPERATIONS) for moment in moments]
    heights = [_height(moment, narrow) for moment in moments]
    width, height = 3.7 if narrow else 11.4, sum(heights) + below
    figure = bare_figure(width, height, palette)
    top = height
    for moment, own in zip(moments, heights):
        _Block(figure, view, moment, palette, narrow).draw(top)
        top -= own
    return figure


def _lanes(moment: Moment) -> dict[int, tuple[int, int]]:
    """Of each thread with operations in the window: its first lane, below the phase's, and how many
    it has."""
    deep: dict[int, int] = {}
    for s in moment.slices:
        deep[s.thread] = max(deep.get(s.thread, 0), s.depth + 1)
    lanes, at = {}, 1
    for thread in sorted(deep):
        lanes[thread] = at, deep[thread]
        at += deep[thread]
    return lanes


def _counters(moment: Moment) -> int:
    return min(len(moment.row.counters), COUNTERS_MOST)


def _height(moment: Moment, narrow: bool) -> float:
    """In inches."""
    head = _head(narrow) + OVERVIEW + GAP
    return head + _window(moment) + COUNTER * _counters(moment) + FOOT


def _head(narrow: bool) -> float:
    """The title, and where there is no room beside it, the colours below it; in inches."""
    return HEAD + (0.2 if narrow else 0)


def _window(moment: Moment) -> float:
    """The phase, the lanes of the threads, and room for arrows below them, in inches."""
    lanes = 1 + sum(count for _, count in _lanes(moment).values())
    return (lanes + (0.8 if moment.flows else 0)) * LANE


class _Block:
    """One moment: the whole row on top, the window below it."""

    def __init__(
        self, figure: Figure, view: View, moment: Moment, palette: Palette, narrow: bool
    ) -> None:
        self.figure, self.view, self.moment, self.palette = figure, view, moment, palette
        self.narrow = narrow
        self.width, self.height = figure.get_size_inches()
        self.left = 0.12 if narrow else 2.05
        names = dict.fromkeys(s.name for s in sorted(moment.row.slices, key=lambda s: s.depth))
        self.colours = {
            name: OPERATION_COLOURS[i % len(OPERATION_COLOURS)] for i, name in enumerate(names)
        }

    def axes(self, top: float, tall: float) -> Axes:
        """Axes over the whole width, `top` inches above the figure's lower edge."""
        wide = self.width - self.left - 0.12
        axes = dress(self.figure.add_subplot(), self.palette)
        axes.set_position(
            (
                self.left / self.width,
                (top - tall) / self.height,
                wide / self.width,
                tall / self.height,
            )
        )
        axes.set_yticks([])
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
        return axes

    def draw(self, top: float) -> None:
        row = self.moment.row
        self.title(top - 0.13)
        at = top - _head(self.narrow)
        overview = self.overview(at)
        window = self.window(at - OVERVIEW - GAP)
        self.zoom(overview, window)
        at -= OVERVIEW + GAP + _window(self.moment)
        last = window
        for counter in row.counters[:COUNTERS_MOST]:
            last = self.counter(counter.name, counter.times, counter.values, at)
            at -= COUNTER
        self.scale(last)

    def title(self, at: float) -> None:
        row = self.moment.row
        text = f"Benchmarks  ›  {row.suite}  ›  {row.name}"
        self.figure.text(
            0.12 / self.width,
            at / self.height,
            row.name if self.narrow else text,
            color=self.palette["ink"],
            fontsize=9.5,
            fontweight="bold",
            va="center",
        )
        self.legend(at - (0.21 if self.narrow else 0))

    def legend(self, at: float) -> None:
        """The colours of operations: a short slice has no room for its name."""
        handles = [
            Patch(facecolor=self.palette[colour], alpha=0.75, label=name)
            for name, colour in self.colours.items()
        ]
        side = 0.1 if self.narrow else self.width - 0.1
        legend = self.figure.legend(
            handles=handles,
            loc="center left" if self.narrow else "center right",
            bbox_to_anchor=(side / self.width, at / self.height),
            ncol=len(handles),
            frameon=False,
            fontsize=8.5,
            handlelength=0.8,
            handletextpad=0.4,
            columnspacing=0.9,
            borderpad=0,
            borderaxespad=0,
        )
        for text in legend.get_texts():
            text.set_color(self.palette["ink"])

    def label(self, axes: Axes, text: str, y: float) -> None:
        """The name of a lane, left of it; where there is no room slices have names enough."""
        if not self.narrow:
            axes.annotate(
                text,
                (0, y),
                xycoords=("axes fraction", "data"),
                xytext=(-8, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                color=self.palette["ink"],
                fontsize=8.5,
            )

    def box(self, axes: Axes, s: Slice, y: float, tall: float, colour: str, text: str) -> None:
        """A slice, with as much of its text as fits."""
        low, high = axes.get_xlim()
        begin, end = max(s.begin, low), min(s.end, high)
        shade = self.palette[colour]
        axes.add_patch(
            Rectangle((begin, y), end - begin, tall, facecolor=shade, alpha=TINT, edgecolor="none")
        )
        axes.add_patch(
            Rectangle((begin, y), end - begin, tall, fill=False, edgecolor=shade, linewidth=0.9)
        )
        inches = (end - begin) / (high - low) * (self.width - self.left - 0.12)
        for words in (text, s.name):
            if len(words) * CHARACTER < inches - 0.05:
                axes.text(
                    (begin + end) / 2,
                    y + tall / 2,
                    words,
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    color=self.palette["ink"],
                )
                return

    def overview(self, top: float) -> Axes:
        row = self.moment.row
        axes = self.axes(top, OVERVIEW)
        axes.set_xticks([])
        low, high = row.phases[0].begin, row.phases[-1].end
        axes.set_xlim(low, max(high, low + 1))
        axes.set_ylim(0, 1)
        for phase in row.phases:
            colour = PHASE_COLOURS.get(phase.name, "muted")
            text = f"{phase.name} {number(phase.length)}"
            self.box(axes, phase, 0.04, 0.92, colour, text)
        axes.add_patch(
            Rectangle(
                (self.moment.begin, 0),
                max(self.moment.end - self.moment.begin, (high - low) / 400),
                1,
                fill=False,
                edgecolor=self.palette["ink"],
                linewidth=1.6,
                zorder=5,
            )
        )
        self.label(axes, "whole pass", 0.5)
        return axes

    def window(self, top: float) -> Axes:
        moment = self.moment
        lanes = _window(moment) / LANE
        axes = self.axes(top, _window(moment))
        axes.set_xlim(moment.begin, moment.end)
        axes.set_ylim(lanes, 0)
        axes.set_xticks([])
        phase = moment.phase
        self.box(axes, phase, 0.06, 0.84, PHASE_COLOURS.get(phase.name, "muted"), phase.name)
        self.label(axes, "phase", 0.48)
        first = _lanes(moment)
        for s in moment.slices:
            text = f"{s.name} {number(s.length)}"
            at = first[s.thread][0] + s.depth + 0.06
            self.box(axes, s, at, 0.84, self.colours[s.name], text)
        for thread, (lane, _) in first.items():
            self.label(axes, f"thread {moment.row.threads[thread]}", lane + 0.48)
        for source, target in moment.flows:
            axes.add_patch(
                FancyArrowPatch(
                    ((source.begin + source.end) / 2, first[source.thread][0] + 0.9),
                    ((target.begin + target.end) / 2, first[target.thread][0] + 0.9),
                    connectionstyle="arc3,rad=0.35",
                    arrowstyle="-|>",
                    mutation_scale=9,
                    linewidth=1.3,
                    color=self.palette["ink"],
                    clip_on=False,
                    zorder=6,
                )
            )
        return axes

    def zoom(self, overview: Axes, window: Axes) -> None:
        """Lines from the window in the whole to the window."""
        for inside, edge in ((self.moment.begin, 0.0), (self.moment.end, 1.0)):
            self.figure.add_artist(
                ConnectionPatch(
                    (inside, 0),
                    (edge, 1),
                    coordsA=overview.transData,
                    coordsB=window.transAxes,
                    color=self.palette["muted"],
                    linewidth=0.8,
                    linestyle=(0, (3, 2)),
                )
            )

    def counter(self, name: str, times: list[int], values: list[int], top: float) -> Axes:
        """A counter as it stood at each moment of the window."""
        axes = self.axes(top - COUNTER_TEXT, COUNTER - COUNTER_TEXT)
        axes.set_xlim(self.moment.begin, self.moment.end)
        axes.set_xticks([])
        before = [v for t, v in zip(times, values) if t <= self.moment.begin]
        inside = [(t, v) for t, v in zip(times, values) if self.moment.begin < t < self.moment.end]
        held = before[-1] if before else 0
        steps = [(self.moment.begin, held), *inside]
        steps.append((self.moment.end, steps[-1][1]))
        most = max(v for _, v in steps)
        axes.set_ylim(0, max(most, 1) * 1.05)
        at, level = [t for t, _ in steps], [v for _, v in steps]
        axes.fill_between(at, level, step="post", color=self.palette["band"], linewidth=0)
        axes.step(at, level, where="post", color=self.palette["blue"], linewidth=1.4)
        said = f"{number(min(level))} to {number(most)}"
        self.label(axes, f"{name}\n{said}", max(most, 1) * 0.5)
        if self.narrow:
            axes.annotate(
                f"{name}, {said}",
                (0, 1),
                xycoords="axes fraction",
                xytext=(0, 2),
                textcoords="offset points",
                va="bottom",
                fontsize=8.5,
                color=self.palette["ink"],
            )
        return axes

    def scale(self, axes: Axes) -> None:
        """Time counts from the begin of the phase."""
        start = self.moment.phase.begin
        locator = MaxNLocator(4 if self.narrow else 9)
        low, high = self.moment.begin - start, self.moment.end - start
        edge = 0.04 * (high - low)  # nearer to it a number would be cut off
        ticks = locator.tick_values(low + edge, high - edge)
        ticks = [t + start for t in ticks if low + edge <= t <= high - edge]
        axes.spines["bottom"].set_visible(True)
        axes.set_xticks(ticks)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x - start)))
        name = self.moment.phase.name
        axes.set_xlabel(f"{self.view.unit} since the begin of {name}", fontsize=8.5)
