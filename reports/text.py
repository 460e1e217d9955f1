# SPDX-License-Identifier: MIT
"""Text: what may be shown of a foreign string, and how numbers read."""

import math
import unicodedata

BELOW = "below resolution"
DASH = "–"

# Control, format, surrogate, private, unassigned: none of them belongs in one line of a table, and
# some (ESC, bidirectional overrides) would let a name rewrite the screen around it.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn")


def clean(text: str, most: int = 300) -> str:
    """One harmless line: hidden characters become visible escapes, the length is bounded."""
    shown = "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) in _HIDDEN or c in "\u2028\u2029" else c
        for c in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def number(value: float | None) -> str:
    """Three significant digits, whole from 100 up, grouped by thousands."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}".replace(",", "\u202f")
    digits = 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    if size >= 0.0995 or value == 0:
        # What a few digits say exactly, as 1.5 or 20, takes no zeros; what is rounded keeps them.
        return f"{value:.{digits}f}" if round(value, digits) != value else f"{value:g}"
    return f"{value:.3g}"


def exactly(value: float) -> str:
    """A count for one operation with all its digits: of exact rows every one is right."""
    return f"{value:.10g}"


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers that differ, with as many digits as it takes to see that they do."""
    shown = number(a), number(b)
    for digits in range(4, 18):
        if shown[0] != shown[1]:
            break
        shown = f"{a:.{digits}g}", f"{b:.{digits}g}"
    return shown


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit: 12.3×, 90 %, 14 ticks."""
    if value is None:
        return DASH
    if unit == "ratio":
        return number(value) + "×"
    if unit == "percent":
        return _percent(value) + "\u00a0%"
    return f"{number(value)}\u00a0{unit_name(unit, value)}" if unit != "count" else number(value)


def _percent(value: float) -> str:
    # One miss in ten thousand is not 100 %.
    if 99.5 <= value < 100:
        return f"{min(math.floor(value * 100) / 100, 99.99):g}"
    return number(value)


def unit_name(unit: str, value: float) -> str:
    """Ticks, or one tick."""
    singular = {"ticks": "tick", "bytes": "byte", "instructions": "instruction"}
    return singular.get(unit, unit) if value == 1 else unit


def interval(low: float | None, high: float | None) -> str:
    """[low, high], or nothing where there is none or it is a single point."""
    if low is None or high is None or low == high:
        return ""
    return f"[{number(low)}, {number(high)}]"


def several(count: int, singular: str, plural: str = "") -> str:
    """1 boot, 2 boots."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def percent_level(level: float) -> str:
    """A confidence level as 95 % or 99.95 %."""
    return f"{math.floor(level * 1e4) / 1e2:g} %"


def utc(moment: str) -> str:
    """An ISO time stamp as a person reads it."""
    return moment.replace("T", " ").replace("Z", " UTC")
