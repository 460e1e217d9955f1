# SPDX-License-Identifier: MIT
"""Small plots straight as SVG. A page of some hundred rows has hundreds of them, and making axes of
matplotlib takes sixty times as long as drawing what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from math import log
from typing import Any

from reports.figure import svg_head
from reports.text import number

INCH = 72.0  # points
LETTER = 8.5  # points; what stands beside a plot's axes
# Of matplotlib's line styles, which the looks of rows are told in, in widths of the line.
_DASHES: dict[str, tuple[float, ...]] = {"-": (), "--": (3.7, 1.6)}
_TICK_STEPS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))

Scale = Callable[[float], float]
Place = tuple[float, float]


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """From values to places between start and end."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """The same for values above 0."""
    return lambda value: start + log(value / low) / log(high / low) * (end - start)


def log_tick_places(low: float, high: float, most: int = 7) -> list[float]:
    """Where a logarithmic axis is ticked: at 1, 2, 5; on a short one at even numbers."""
    ticks: list[float] = []
    for steps in _TICK_STEPS:
        ticks = [
            s * 10.0**e for e in range(-12, 16) for s in steps if low <= s * 10.0**e <= high
        ]
        if len(ticks) <= most:
            break
    while len(ticks) > most:
        ticks = ticks[::2]
    return ticks if len(ticks) >= 3 else even_ticks(low, high, 4)


def even_ticks(low: float, high: float, most: int) -> list[float]:
    """At most so many multiples of 1, 2, 2.5 or 5 times a power of ten, and one more."""
    span = high - low
    if not span > 0:
        return [low]
    step = 10.0 ** int(log(span / most, 10) // 1)
    step *= next((s for s in (1, 2, 2.5, 5, 10) if span / (step * s) <= most), 10)
    first = -int(-low / step // 1)
    return [i * step for i in range(first, int(high / step // 1) + 1)]


class Plot:
    """A drawing of so many inches. Colours are names of the page's; y grows downwards."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width * INCH, height * INCH
        self.parts: list[str] = []
        self.texts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = LETTER,
        anchor: str = "start",
        colour: str = "muted",
        bold: bool = False,
        halo: bool = False,
        turned: bool = False,
    ) -> None:
        """Words whose middle is at height y. `halo`: what lies behind them is kept off."""
        self.texts.append(words)
        weight = "bold " if bold else ""
        style = f"font:{weight}{size:g}px 'DejaVu Sans';fill:var(--{colour})"
        if halo:
            style += ";paint-order:stroke;stroke:var(--panel);stroke-width:3px"
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        side = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y + 0.35 * size:.1f}"{side}{turn} style="{style}">'
            f"{escape(words, quote=False)}</text>"
        )

    def line(
        self, places: Iterable[Place], colour: str, width: float, dash: Any = "-", clip: str = ""
    ) -> None:
        """Through these places. `dash` as in the looks of rows."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lengths = _DASHES[dash] if isinstance(dash, str) else dash[1]
        more = ""
        if lengths:
            more = f';stroke-dasharray:{" ".join(f"{width * part:.2f}" for part in lengths)}'
        self.parts.append(
            f'<polyline points="{path}"{clip} style="fill:none;stroke:var(--{colour});'
            f'stroke-width:{width:g}{more}"/>'
        )

    def dot(self, x: float, y: float, size: float, colour: str, hollow: bool = False) -> None:
        """A disc of that diameter."""
        fill = "panel" if hollow else colour
        ring = f";stroke:var(--{colour});stroke-width:1.6" if hollow else ""
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size / 2:g}" style="fill:var(--{fill}){ring}"/>'
        )

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f' style="fill:var(--{colour})"/>'
        )

    def x_axis(
        self,
        ticks: Iterable[float],
        scale: Scale,
        top: float,
        bottom: float,
        say: Callable[[float], str] = number,
    ) -> None:
        """Grid lines from top to bottom with numbers under them."""
        for tick in ticks:
            x = scale(tick)
            self.line([(x, top), (x, bottom)], "grid", 0.8)
            self.text(x, bottom + 8, say(tick), anchor="middle")

    def svg(self, name: str, title: str, description: str) -> str:
        """Inline SVG with a name that is unique within the page."""
        box = f'viewBox="0 0 {self.width:g} {self.height:g}"'
        return svg_head(box, self.width, name, title, description) + "".join(self.parts) + "</svg>"


def steps(cost: Iterable[float], share: Iterable[float]) -> list[Place]:
    """The corners of a curve that goes on level and then jumps."""
    corners: list[Place] = []
    for x, y in zip(cost, share):
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners
