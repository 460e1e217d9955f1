# SPDX-License-Identifier: MIT
"""What a person sees on the screen of a machine: results where there is no serial port, pages that
keys turn, and how a run ended; in text mode and as pixels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(ROOT / part) for part in ("tests/boot", "targets/qemu"))]

sys.path.append(str(ROOT / "targets/baremetal"))  # behind targets/qemu: both have machines.py

import bochs  # noqa: E402
import image  # noqa: E402
import menu  # noqa: E402
import seen  # noqa: E402
from configurations import Configuration  # noqa: E402
from make_iso import make_iso  # noqa: E402
from screenless import Booted  # noqa: E402

KERNEL = ROOT / "build/qemu/tickmark.elf"
PROBE = ROOT / "build/probe/tickmark.elf"
SECONDS = 180  # a computer may be busy with much else
ROW = "clock=emulated suites=heap filter=heap/pair_64/hybrid rounds=1"
LINE = ["-serial", "chardev:line"]
EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]


def without(words: list[str], gone: list[str]) -> list[str]:
    at = words.index(gone[-1]) - len(gone) + 1
    assert words[at : at + len(gone)] == gone
    return [*words[:at], *words[at + len(gone) :]]


def command(made: Configuration, iso: Path, line: bool) -> list[str]:
    """A machine with a screen, and without the port by which a run ends in QEMU: as on a desk."""
    words = [*without(made.command(KERNEL, iso), EXIT), "-device", "VGA"]
    return words if line else without(words, LINE)


def test_results_stay_on_the_screen_where_no_serial_port_is(tmp_path: Path) -> None:
    iso = tmp_path / "iso"
    make_iso(KERNEL, iso, f"{ROW} gaps=50")
    with Booted(command(Configuration("pc", "bios-cd", 2, 128), iso, line=False)) as booted:
        first = seen.wait_for(booted, tmp_path, False, "Tickmark: done: page 1 of", SECONDS)
        assert any(row.startswith("# cpu.brand: QEMU") for row in first), first
        pages = int(first[-1].split("page 1 of ")[1].split()[0])
        booted.press("end")
        last = seen.wait_for(booted, tmp_path, False, "# bench-end", SECONDS)
        booted.press("b")
        middle = seen.wait_for(booted, tmp_path, False, f"page {pages - 1} of", SECONDS)
        booted.press("home")
        assert seen.wait_for(booted, tmp_path, False, "page 1 of", SECONDS)[:5] == first[:5]
    # The last rows of all, whole: they are longer than the screen is wide.
    text = "".join(middle[:-1] + last)
    assert "# heap/pair_64/hybrid_out_of_line " in text and "  emulated ticks" in text
    assert "ok 2 - heap/pair_64/hybrid_out_of_line" in text


def test_a_panic_is_seen_on_a_screen_of_pixels_beside_the_line(tmp_path: Path) -> None:
    iso = tmp_path / "iso"
    make_iso(KERNEL, iso, f"{ROW} die=panic")
    with Booted(command(Configuration("q35", "uefi-cd", 1, 256), iso, line=True)) as booted:
        booted.wait_for(b"panic: CPU 0", SECONDS)
        rows = seen.wait_for(booted, tmp_path, True, "page 1 of 1", SECONDS)
    text = "\n".join(rows)
    assert rows[0] == "Results go to the serial port 3f8.", text
    assert "asked to (die=panic)" in text and "panic: CPU 0 rip" in text
    assert "\0" not in text, "something on the screen is no character"
    # Results are where they belong, and nothing else.
    assert "cpu.brand" not in text and b"# cpu.brand" in booted.line


def test_the_menu_has_an_entry_for_the_line_and_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pixels, under BIOS too: that is what the image's GRUB makes of it."""
    preset = next(preset for preset in menu.PRESETS if preset.name == "screen")
    monkeypatch.setattr(menu, "ASK_SECONDS", 0)  # the keyboard is enough
    image.make({menu.KERNEL: PROBE, menu.SELF_TEST: PROBE}, tmp_path, ["heap"], image.GRUB)
    made = Configuration("q35", "bios-usb", 1, 128)
    with Booted(command(made, tmp_path / image.ISO, line=True)) as booted:
        booted.wait_for(b"one suite ...", SECONDS)
        booted.press(preset.key)
        rows = seen.wait_for(booted, tmp_path, True, "Tickmark: done: page 1 of", SECONDS)
    text = "\n".join(rows)
    assert "probe screen=pixels, 1024 x 768, 32 bits" in text and "\0" not in text
    assert b"probe end=1" in booted.line


def test_a_refusal_is_seen_on_the_screen(tmp_path: Path) -> None:
    iso = tmp_path / "iso"
    said = "REFUSED: output=framed is for a serial port, and there is none"
    make_iso(KERNEL, iso, f"{ROW} output=framed")
    with Booted(command(Configuration("pc", "bios-cd", 1, 64), iso, line=False)) as booted:
        rows = seen.wait_for(booted, tmp_path, False, said, SECONDS)
    assert "not everything was measured" in rows[-1]


@pytest.mark.skipif(bochs.problem() is not None, reason=str(bochs.problem()))
def test_bochs_complains_of_nothing_that_the_screen_is_written_by(tmp_path: Path) -> None:
    iso = tmp_path / "iso"
    make_iso(PROBE, iso, "clock=emulated output=both gaps=1")
    done = bochs.run(iso, tmp_path, b"probe end=1\n")
    assert done.ended and done.complaints == [], done.line[-500:]
    assert done.facts["screen"] == "text, 80 x 25, 16 bits at b8000"
    # No hypervisor: the registers of this model are asked.
    assert done.facts["hypervisor"] == "none" and done.facts["cpu.microcode"] != "unknown"
    assert done.facts["gaps.largest_ns"].isdecimal()
