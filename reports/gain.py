# SPDX-License-Identifier: MIT
"""Claims against measurements: gains beside the bands claimed, bounds beside their limits."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from reports.claims import Claim, claimed
from reports.document import Report
from reports.figure import VERDICT_COLOURS, Palette, dress, log_ticks, new_figure
from reports.judge import VERDICTS, Judgement, best, counts, sentence
from reports.text import interval, quantity, several

WIDE, NARROW = 11.4, 3.7  # inches
MARKERS = ("o", "D", "s", "^", "v", "P")
_HOLLOW = ("not judged here",)


@dataclass(frozen=True)
class Line:
    """One claim of a plot with everything measured for it.

    With a `bound`, what is drawn is the part of the bound that is used up: measured / bound of an
    at_most, bound / measured of an at_least; so 1 and less holds.
    """

    claim: Claim
    judgements: tuple[Judgement, ...]
    bound: float | None = None

    def drawn(self, value: float) -> float:
        """Where a measured value, above 0, stands on the axis."""
        if self.bound is None:
            return value
        return self.bound / value if self.claim.kind == "at_least" else value / self.bound

    def ends(self, judgement: Judgement) -> list[float]:
        """Value and interval of a judgement as drawn, without what a logarithm cannot show."""
        found = (judgement.value, judgement.low, judgement.high)
        return [self.drawn(v) for v in found if v is not None and v > 0]

    @property
    def measured(self) -> list[Judgement]:
        return [j for j in self.judgements if j.value is not None and j.value > 0]


def gain_lines(report: Report) -> list[Line]:
    """All ratio claims, those with data first; the order of the claims file within each."""
    lines = [
        Line(claim, report.verdicts.of(claim.id))
        for claim in report.claims.claims
        if claim.kind == "ratio"
    ]
    return sorted(lines, key=lambda line: not line.measured)


def limit_lines(report: Report) -> list[Line]:
    """Claims of a bound with something above 0 measured in the unit of the claim."""
    lines = []
    for claim in report.claims.claims:
        if claim.kind in ("at_most", "at_least") and claim.high > 0:
            fitting = [j for j in report.verdicts.of(claim.id) if j.unit == claim.unit]
            limit = claim.high if claim.kind == "at_most" else claim.low
            line = Line(claim, tuple(fitting), limit)
            if line.measured:
                lines.append(line)
    return lines


def gain_finding(lines: list[Line]) -> str:
    """What the gain plot shows, in words."""
    shown = [sentence(j) for line in lines for j in line.measured]
    missing = [line.claim.id for line in lines if not line.measured]
    text = "; ".join(shown) + "." if shown else "None of these claims has data in this run."
    return text + (f" No data for {', '.join(missing)}." if missing else "")


def limit_finding(lines: list[Line]) -> str:
    """What the plot of bounds shows, in words."""
    inside = [line for line in lines if best(line.judgements) in ("met", "exceeded")]
    names = ", ".join(line.claim.id for line in lines if line not in inside)
    text = f"{len(inside)} of {several(len(lines), 'bound')} with data hold."
    return text + (f" Not held, or not judged: {names}." if names else "")


def machines_of(report: Report) -> dict[str, str]:
    """A marker for each machine."""
    return {m.name: MARKERS[i % len(MARKERS)] for i, m in enumerate(report.intact)}


def gain_figure(report: Report, palette: Palette, narrow: bool = False) -> Figure | None:
    """Every ratio claim: the band claimed, the rival's, and what was measured."""
    lines = gain_lines(report)
    if not lines:
        return None
    height = 0.95 + len(lines) * (0.62 if narrow else 0.5)
    figure, axes = new_figure(NARROW if narrow else WIDE, height, palette)
    draw_gains(axes, lines, machines_of(report), palette, narrow)
    top = 1 - (0.42 if not narrow else 0.62) / height
    left = 0.03 if narrow else 0.19
    figure.subplots_adjust(left=left, right=0.97, top=top, bottom=0.36 / height)
    return figure


def draw_gains(
    axes: Axes, lines: list[Line], markers: dict[str, str], palette: Palette, narrow: bool = False
) -> None:
    """The gain plot on given axes."""
    low, high = _range(lines)
    log_ticks(axes, low / 1.25, high * (1.25 if narrow else 4.6), "×", 6 if narrow else 8)
    axes.axvline(1, color=palette["muted"], linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    _names(axes, lines, palette, narrow)
    for i, line in enumerate(lines):
        _band(axes, line.claim, i, palette)
        _points(axes, line, i, markers, palette)
        if narrow:
            continue
        text = _verdicts(line) if line.measured else "no data"
        x = max([line.claim.high, *(j.high or 0 for j in line.measured)])
        x = max(x, line.claim.rival[1] if line.claim.rival else 0)
        colour = palette["ink" if line.measured else "muted"]
        axes.annotate(
            text,
            (x, i),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            linespacing=1.25,
        )
    _legend(axes, lines, markers, palette, narrow)


def limit_figure(report: Report, palette: Palette, narrow: bool = False) -> Figure | None:
    """Every bound with data, as a share of what is allowed (or asked for)."""
    lines = limit_lines(report)
    if not lines:
        return None
    height = 0.8 + len(lines) * (0.52 if narrow else 0.33)
    figure, axes = new_figure(NARROW if narrow else WIDE, height, palette)
    draw_limits(axes, lines, machines_of(report), palette, narrow)
    left, right = (0.03, 0.97) if narrow else (0.245, 0.68)
    figure.subplots_adjust(left=left, right=right, top=1 - 0.08 / height, bottom=0.5 / height)
    return figure


def draw_limits(
    axes: Axes, lines: list[Line], markers: dict[str, str], palette: Palette, narrow: bool = False
) -> None:
    """The plot of bounds on given axes."""
    values = [v for line in lines for j in line.measured for v in line.ends(j)]
    low, high = min([0.4, *values]), max([1.6, *values])
    if narrow:  # texts stand beside the line, across from their points: room on both sides
        low, high = min(low, 1 / high**0.5), 2.2 / 1.2 * max(high, 1 / low)
    log_ticks(axes, low / 1.2, high * 1.2, "×", 6)
    axes.axvline(1, color=palette["ink"], linewidth=1.2, zorder=1)
    axes.set_xlabel("part of the bound that is used up; left of 1 holds", fontsize=8.5)
    _names(axes, lines, palette, narrow)
    for i, line in enumerate(lines):
        _points(axes, line, i, markers, palette)
        ends = [v for j in line.measured for v in line.ends(j)]
        text = " and ".join(dict.fromkeys(quantity(j.value, j.unit) for j in line.measured))
        text += ", " if narrow else f" of {claimed(line.claim)}: "
        # Wide: a column beside the plot, where no point and no name can be.
        beyond = narrow and min(ends) > 1
        axes.annotate(
            text + best(line.judgements),
            ((1.0 if beyond else max(*ends, 1.0)) if narrow else 1.0, i),
            xycoords="data" if narrow else axes.get_yaxis_transform(),
            xytext=(-9 if beyond else 9, 0),
            textcoords="offset points",
            ha="right" if beyond else "left",
            va="center",
            color=palette["ink"],
            fontsize=8.5,
        )


def overview_figure(report: Report, palette: Palette) -> Figure:
    """One picture for a README: the verdicts as tiles, the gains below."""
    lines = gain_lines(report)
    designs = [d for d in report.claims.designs if any(c.design == d for c in report.claims.claims)]
    upper, lower = 0.28 * len(designs) + 0.75, 0.5 * len(lines) + 0.95
    figure, axes = new_figure(9.0, upper + lower, palette)
    whole = upper + lower
    axes.set_position((0.265, 1 - (upper - 0.12) / whole, 0.72, (upper - 0.62) / whole))
    _tiles(axes, report, designs, palette)
    total = sum(counts(report.claims, report.verdicts, house=False).values())
    met = counts(report.claims, report.verdicts, house=False)["met"]
    names = ", ".join(f"{m.name} ({m.clock})" for m in report.intact)
    figure.text(
        0.02,
        1 - 0.3 / whole,
        f"{met} of {total} claims met on {names}" if names else "no intact data",
        color=palette["ink"],
        fontsize=12,
        fontweight="bold",
    )
    if lines:
        gains = dress(figure.add_subplot(), palette)
        gains.set_position((0.265, 0.36 / whole, 0.705, (lower - 0.85) / whole))
        draw_gains(gains, lines, machines_of(report), palette)
    return figure


def _tiles(axes: Axes, report: Report, designs: list[str], palette: Palette) -> None:
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    most = 0
    for y, design in enumerate(designs):
        reads = sorted(
            (
                best(report.verdicts.of(claim.id))
                for claim in report.claims.claims
                if claim.design == design
            ),
            key=VERDICTS.index,
        )
        most = max(most, len(reads))
        for x, verdict in enumerate(reads):
            empty = verdict == "no data"
            colour = palette["grid"] if empty else palette[VERDICT_COLOURS[verdict]]
            axes.add_patch(Rectangle((x + 0.06, y - 0.38), 0.88, 0.76, facecolor=colour))
    axes.set_xlim(0, max(most, 1) + 6)
    axes.set_ylim(len(designs) - 0.4, -0.6)
    axes.set_xticks([])
    titles = [report.claims.designs[design] for design in designs]
    names = [title if len(title) <= 36 else title.partition(":")[0] for title in titles]
    axes.set_yticks(range(len(designs)), names, color=palette["ink"])
    handles = [
        Patch(facecolor=palette["grid" if v == "no data" else VERDICT_COLOURS[v]], label=v)
        for v in VERDICTS
    ]
    legend = axes.legend(handles=handles, loc="center right", frameon=False, fontsize=8.5)
    _ink(legend, palette)


def _ink(legend: object, palette: Palette) -> None:
    for text in legend.get_texts():  # type: ignore[attr-defined]
        text.set_color(palette["ink"])


def _range(lines: list[Line]) -> tuple[float, float]:
    values = [1.0]
    for line in lines:
        values += [line.claim.low, line.claim.high, *(line.claim.rival or ())]
        values += [v for j in line.measured for v in line.ends(j)]
    return min(values), max(values)


def _names(axes: Axes, lines: list[Line], palette: Palette, narrow: bool) -> None:
    axes.set_ylim(len(lines) - 0.45, -0.75 if narrow else -0.55)
    if not narrow:
        axes.set_yticks(range(len(lines)), [line.claim.id for line in lines])
        axes.tick_params(axis="y", labelcolor=palette["ink"], labelsize=9)
        return
    axes.set_yticks([])
    backing = {"facecolor": palette["panel"], "edgecolor": "none", "pad": 0.8}
    for i, line in enumerate(lines):
        # Above its line, because a narrow page has no room beside it.
        texts = [(0.0, "left", line.claim.id, "bold")]
        if line.bound is None:
            best_first = sorted(line.measured, key=lambda j: VERDICTS.index(j.verdict))
            texts.append(
                (1.0, "right", _said(best_first[0]) if best_first else "no data", "normal")
            )
        for x, side, text, weight in texts:
            axes.text(
                x,
                i - 0.42,
                text,
                transform=axes.get_yaxis_transform(),
                color=palette["ink"],
                fontsize=8.5,
                fontweight=weight,
                ha=side,
                va="center",
                bbox=backing,
                zorder=2,
            )


def _band(axes: Axes, claim: Claim, y: int, palette: Palette) -> None:
    if claim.low == claim.high:
        axes.plot([claim.low] * 2, [y - 0.3, y + 0.3], color=palette["band"], linewidth=5)
    else:
        axes.barh(y, claim.high - claim.low, left=claim.low, height=0.52, color=palette["band"])
    if claim.rival:
        axes.plot(claim.rival, [y + 0.36] * 2, color=palette["rival"], linewidth=3)


def _points(axes: Axes, line: Line, y: int, markers: dict[str, str], palette: Palette) -> None:
    shown = line.measured
    for k, judgement in enumerate(shown):
        at = y + (k - (len(shown) - 1) / 2) * 0.26
        colour = palette[VERDICT_COLOURS[judgement.verdict]]
        hollow = judgement.verdict in _HOLLOW
        ends = line.ends(judgement)
        axes.plot(
            [min(ends), max(ends)],
            [at, at],
            color=colour,
            linewidth=2.2,
            solid_capstyle="butt",
            zorder=3,
        )
        axes.plot(
            ends[:1],
            [at],
            markers[judgement.machine],
            color=colour,
            markersize=7,
            markerfacecolor=palette["panel"] if hollow else colour,
            markeredgewidth=1.8,
            zorder=4,
        )


def _verdicts(line: Line) -> str:
    return "\n".join(_said(judgement) for judgement in line.measured)


def _said(judgement: Judgement) -> str:
    ends = interval(judgement.low, judgement.high)
    shown = (quantity(judgement.value, judgement.unit), ends, judgement.verdict)
    return " ".join(filter(None, shown))


def _legend(
    axes: Axes, lines: list[Line], markers: dict[str, str], palette: Palette, narrow: bool
) -> None:
    handles: list[Line2D | Patch] = [Patch(facecolor=palette["band"], label="claimed")]
    if any(line.claim.rival for line in lines):
        handles.append(Line2D([], [], color=palette["rival"], linewidth=3, label="rival claims"))
    for name, marker in markers.items():
        if any(j.machine == name for line in lines for j in line.measured):
            handles.append(
                Line2D([], [], color=palette["muted"], marker=marker, linestyle="", label=name)
            )
    handles.append(
        Line2D(
            [],
            [],
            color=palette["sky"],
            marker="o",
            linestyle="",
            markerfacecolor=palette["panel"],
            markeredgewidth=1.8,
            label="not judged here",
        )
    )
    legend = axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncol=3 if narrow else 6,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.4,
    )
    _ink(legend, palette)
