# SPDX-License-Identifier: MIT
"""Boots the image on a board that labgrid drives, chooses rows at the menu, and reads the results.

    LG_ISO=$PWD/build/baremetal/tickmark.iso \\
        pytest --lg-env targets/baremetal/farm/labgrid-qemu.yaml targets/baremetal/farm/run_board.py

What is measured stands in TICKMARK_WORDS, words of the kernel's command line.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

# The boot loader takes keys of the line from who presses Esc when it asks, and when it asks again.
# UEFI may take the first Esc for itself and hand it on late: then all keys come by that way.
QUESTIONS = ("Press Esc to choose over this line", "Press Esc once more")
MENU_SECONDS, RUN_SECONDS = 180, 4 * 3600
LETTER_SECONDS = 0.05
WORDS = os.environ.get("TICKMARK_WORDS", "suites=heap filter=heap/pair_64 rounds=1")
# `# bench ID UNIT VALUE ;`: the blank and the semicolon say that the number is whole.
ROW = re.compile(r"^# bench (\S+) ([a-z ]+) ([0-9.]+) ;\r?$", re.M)


def boot(target: Any) -> Any:
    """Switches the board on; its menu is on the line then."""
    power = target.get_driver("PowerProtocol")
    console = target.get_driver("ConsoleProtocol")
    power.cycle()
    menu = "one suite"
    console.expect(QUESTIONS[0], timeout=MENU_SECONDS)
    console.write(b"\x1b")
    if console.expect([QUESTIONS[1], menu], timeout=MENU_SECONDS)[0] == 0:
        console.write(b"\x1b")
        console.expect(menu, timeout=MENU_SECONDS)
    return console


def type_slowly(console: Any, text: str) -> None:
    """Letter by letter, each when the one before is seen: a boot loader loses what comes faster.
    Where firmware hands on what comes from the serial port as well (console redirection), letters
    that wait in both places would come in any order."""
    for letter in text:
        console.write(letter.encode())
        console.expect(re.escape(letter), timeout=MENU_SECONDS)
        time.sleep(LETTER_SECONDS)


def test_every_planned_row_has_a_number(target: Any) -> None:
    console = boot(target)
    console.write(b"w")
    console.expect("then Enter:", timeout=MENU_SECONDS)
    type_slowly(console, f"{target.env.config.get_target_option('main', 'words')} {WORDS}")
    console.write(b"\r")
    planned = int(console.expect(r"\n1\.\.([0-9]+)\r?\n", timeout=MENU_SECONDS)[2].group(1))
    _, before, _, _ = console.expect("# bench-end", timeout=RUN_SECONDS)
    text = before.decode("ascii", "replace")
    rows = {name: (float(value), unit) for name, unit, value in ROW.findall(text)}
    for name, (value, unit) in rows.items():
        print(f"{name}: {value} {unit}")
    assert re.findall(r"^not ok.*", text, re.M) == []
    assert len(re.findall(r"^ok [0-9]+ - ", text, re.M)) == planned
    assert rows and all(value > 0 for value, _ in rows.values())
