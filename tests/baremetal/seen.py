# SPDX-License-Identifier: MIT
"""What stands on a machine's screen, as rows of text: from the memory of a VGA's text mode, or by
looking for the kernel's glyphs in a picture."""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path

from screenless import Booted

ROOT = Path(__file__).resolve().parents[2]
CELL_WIDTH, CELL_HEIGHT = 8, 16
VGA_TEXT, VGA_COLUMNS, VGA_ROWS = 0xB8000, 80, 25
STEP_SECONDS = 1.0


@cache
def glyphs() -> dict[tuple[bytes, ...], str]:
    """By the eight dots of each of its sixteen lines; also dark on light."""
    source = (ROOT / "kernel/hardware/screen_font.c").read_text()
    rows = re.findall(r"\{((?:0x[0-9a-f]{2}(?:, )?){8})\}", source)
    found = {}
    for i, row in enumerate(rows):
        lines = [int(word, 16) for word in row.split(", ")]
        dots = [[line >> (5 - x) & 1 if 1 <= x <= 5 else 0 for x in range(8)] for line in lines]
        upright = tuple(bytes(line) for line in dots for _ in range(2))
        found[upright] = chr(32 + i)
        found[tuple(bytes(1 - dot for dot in line) for line in upright)] = chr(32 + i)
    return found


def of_picture(picture: bytes) -> list[str]:
    """From a P6 file; a cell that is no glyph is a tilde-like mark no text has."""
    kind, size, _, pixels = picture.split(b"\n", 3)
    assert kind == b"P6"
    width, height = map(int, size.split())
    dots = bytes(value > 0 for value in pixels[::3])
    rows = []
    for top in range(0, height - CELL_HEIGHT + 1, CELL_HEIGHT):
        row = ""
        for left in range(0, width - CELL_WIDTH + 1, CELL_WIDTH):
            starts = [(top + y) * width + left for y in range(CELL_HEIGHT)]
            row += glyphs().get(tuple(dots[at : at + CELL_WIDTH] for at in starts), "\0")
        rows.append(row.rstrip())
    return rows


def of_text_mode(memory: bytes) -> list[str]:
    text = memory[::2].decode("latin-1")
    return [text[at : at + VGA_COLUMNS].rstrip() for at in range(0, len(text), VGA_COLUMNS)]


def screen(booted: Booted, folder: Path, pixels: bool) -> list[str]:
    path = folder / "screen"
    if pixels:
        booted.ask("screendump", filename=str(path))
        return of_picture(path.read_bytes())
    booted.ask("pmemsave", val=VGA_TEXT, size=2 * VGA_COLUMNS * VGA_ROWS, filename=str(path))
    return of_text_mode(path.read_bytes())


def wait_for(booted: Booted, folder: Path, pixels: bool, text: str, seconds: float) -> list[str]:
    """Until a row of the screen has `text`; returns all of them."""
    end = time.monotonic() + seconds
    while True:
        rows = screen(booted, folder, pixels)
        if any(text in row for row in rows):
            return rows
        assert time.monotonic() < end and not booted.ended(), "\n".join(rows)
        booted.wait(STEP_SECONDS)
