# SPDX-License-Identifier: MIT
"""What all figures share: colours, axes, and SVG that a page can set in light and dark."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib

matplotlib.use("svg")  # no display, and no guess at one

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import (  # noqa: E402
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from reports.text import number  # noqa: E402

# Okabe and Ito's colours, told apart by colour-blind readers. The page lightens some for dark mode.
OKABE_ITO = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
}
PEER_COLOURS = ("green", "purple", "orange", "sky")
PEER_STYLES: tuple[Any, ...] = ("-", (0, (4, 1)), (0, (1, 1)))  # when the colours come round again


def peer_look(number: int) -> tuple[str, Any]:
    """The colour and the line of the peer of that number, from 0."""
    colours = len(PEER_COLOURS)
    return PEER_COLOURS[number % colours], PEER_STYLES[number // colours % len(PEER_STYLES)]


VERDICT_COLOURS = {
    "met": "green",
    "exceeded": "orange",
    "not met": "vermillion",
    "not shown": "purple",
    "not judged here": "sky",
    "no data": "muted",
}

SVG_SCALE_MOST = 1.45

NAMES = ("ink", "muted", "grid", "panel", "band", "rival", *OKABE_ITO)


@dataclass(frozen=True)
class Palette:
    """Colours by name: real ones for a picture, stand-ins that become CSS variables for a page."""

    colours: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.colours[name]


PAGE = Palette({name: f"#0{i:x}f0{i:x}e" for i, name in enumerate(NAMES)})
PICTURE = Palette(
    {
        "ink": "#1c2024",
        "muted": "#646c74",
        "grid": "#dfe3e7",
        "panel": "#ffffff",
        "band": "#b9d3e4",
        "rival": "#aab2ba",
        **OKABE_ITO,
    }
)

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.linewidth": 0.8,
    "path.simplify": True,
    "axes.unicode_minus": True,
    "figure.dpi": 72,
}


def bare_figure(width: float, height: float, palette: Palette) -> Figure:
    """A figure of so many inches without axes."""
    matplotlib.rcParams.update(_STYLE)
    figure = Figure(figsize=(width, height))
    figure.patch.set_visible(palette is PICTURE)
    figure.patch.set_facecolor(palette["panel"])
    return figure


def new_figure(width: float, height: float, palette: Palette) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    figure = bare_figure(width, height, palette)
    return figure, dress(figure.add_subplot(), palette)


def dress(axes: Axes, palette: Palette) -> Axes:
    """The house's axes: a light grid, no box."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette["grid"])
    axes.tick_params(colors=palette["muted"], length=0, labelsize=8.5)
    axes.xaxis.label.set_color(palette["muted"])
    axes.grid(True, axis="x", color=palette["grid"], linewidth=0.8)
    return axes


def log_ticks(axes: Axes, low: float, high: float, suffix: str = "", most: int = 7) -> None:
    """A logarithmic x axis from low to high (above 0), ticked at 1, 2, 5 with plain numbers."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            s * 10.0**e for e in range(-12, 16) for s in steps if low <= s * 10.0**e <= high
        ]
        if len(ticks) <= most:
            break
    while len(ticks) > most:
        ticks = ticks[::2]
    if len(ticks) < 3:
        ticks = [t for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x) + suffix))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def to_png(figure: Figure, dpi: int = 144) -> bytes:
    """A picture whose bytes depend on nothing but the figure."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    return out.getvalue()


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Inline SVG: scales with the page, takes its colours from it, and says what it shows.

    `name` must be unique within the page; title and description are escaped here.
    """
    out = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata=nothing)
    text = out.getvalue()
    _, text = text.split("<svg", 1)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour in NAMES:
        text = text.replace(PAGE[colour], f"var(--{colour})")
    text = _own_ids(text, name)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    head = svg_head(box.group(), float(box.group().split()[2]), name, title, description)
    return head + text.split(">", 1)[1].strip()


def svg_head(box: str, width: float, name: str, title: str, description: str) -> str:
    """The opening of an inline drawing of that width, with what it shows in words."""
    # Letters of a plot grow with it: no plot gets so wide that its words outgrow the page's.
    widest = round(width * SVG_SCALE_MOST)
    return (
        f'<svg {box} style="max-width:{widest}px" role="img"'
        f' aria-labelledby="{name}-t {name}-d"'
        f' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>'
    )


def _own_ids(text: str, name: str) -> str:
    """Ids that something refers to get the figure's name in front, all others go."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))

    def mend(match: re.Match[str]) -> str:
        return f' id="{name}-{match.group(1)}"' if match.group(1) in used else ""

    text = re.sub(r' id="([^"]+)"', mend, text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    return re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
