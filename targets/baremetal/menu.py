# SPDX-License-Identifier: MIT
"""The boot menu: its presets as data, and the GRUB script they become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

KERNEL, SELF_TEST = "tickmark.elf", "selftest.elf"
TIMEOUT_SECONDS = 5
ASK_SECONDS = 2  # for Esc over the line
RECORDER_SECONDS = 30  # for one that looks for the machine at another speed, too
# A real machine: its counter is proven before anything is measured. The last of several wins.
COMMON = "clock=tsc"
# What GRUB's script language hands on as it stands.
LITERAL = re.compile(r"[A-Za-z0-9_=,./*:+ -]*")


@dataclass(frozen=True)
class Preset:
    """An entry of the menu. `key` chooses it; e and c are GRUB's own."""

    name: str
    key: str
    what: str
    words: str
    kernel: str = KERNEL


PRESETS = (
    # Booted without a key: after a reset in the middle of a run nobody is there to press one.
    Preset(
        "auto",
        "a",
        "a recorder at the serial port if there is one, or else quick",
        f"output=text size=quick wait={RECORDER_SECONDS}",
    ),
    Preset("quick", "q", "every row in minutes, tables as text", "output=text size=quick"),
    Preset("full", "f", "every row for longer, tables as text", "output=text size=full"),
    Preset("screen", "b", "quick, and the tables on this screen as well", "output=both size=quick"),
    # machines.py knows it by its key and the beginning of its text.
    Preset("host", "h", "what a recorder asks for at the serial port", "output=framed"),
    Preset(
        "emulated",
        "m",
        "quick, where the counter is an emulator's: times to look at, no more",
        "clock=emulated output=text size=quick",
    ),
    Preset("self-test", "s", "what the kernel needs of this machine", "", SELF_TEST),
)

# What it says on the line, and takes Esc for.
ASK, ASK_AGAIN = "Press Esc to choose over this line", "Press Esc once more"

# A recorder, and what it sent just before a reset and somebody's buffers kept, must choose nothing
# and stop no countdown: any byte would. So keys of the line are taken only from who presses Esc
# when asked, and once more after a second in which the line was quiet.
HEAD = """\
# Tickmark {image}. Each entry can be edited before it is booted: press e.
set default=auto
set timeout={timeout}
function ask_line {{
    terminal_input console serial
    set keys=console
    echo "Tickmark {image}: {ask} (or on the keyboard)."
    if sleep --interruptible {ask_seconds}; then
        true
    else
        set quiet=
        for turn in 1 2 3 4 5; do
            if sleep --interruptible 1; then
                set quiet=1
                break
            fi
        done
        if [ -n "$quiet" ]; then
            echo "{ask_again}."
            if sleep --interruptible 5; then
                true
            else
                set keys="console serial"
            fi
        fi
    fi
    terminal_input $keys
}}
if [ -z "$tickmark_terminals" ]; then
    set tickmark_terminals=1
    for unit in 0 1 2 3; do
        if serial --unit=$unit --speed=115200 --word=8 --parity=no --stop=1; then
            terminal_output console serial
            ask_line
            break
        fi
    done
fi
function tell {{
    echo "Tickmark {image}: $1"
    echo "Results go to the first serial port (line=com2: to another), 115200 8N1,"
    echo "and to this screen where there is none (output=both: to both)."
}}
"""

ENTRY = """\
{indent}menuentry "{title}" --id {name} --hotkey={key} {{
{indent}    tell "{name}"
{indent}    multiboot2 $prefix/{kernel} {words}
{indent}}}
"""

# `read` takes a line; unquoted, it becomes words again.
TAIL = """\
menuentry "w  words: type them, for instance suites=heap,ipc size=full" --id words --hotkey=w {{
    echo "Words of the command line (docs/baremetal.md), then Enter:"
    read words
    tell "$words"
    multiboot2 $prefix/{kernel} {common} $words
}}
menuentry "r  reboot" --id reboot --hotkey=r {{
    reboot
}}
"""


def entry(preset: Preset, indent: str = "") -> str:
    words = f"{COMMON} {preset.words}".strip()
    if not LITERAL.fullmatch(words):
        raise ValueError(f"GRUB does not hand on as they stand: {words}")
    return ENTRY.format(
        indent=indent,
        title=f"{preset.key}  {preset.name}: {preset.what}",
        name=preset.name,
        key=preset.key,
        kernel=preset.kernel,
        words=words,
    )


def suite_presets(suites: Sequence[str]) -> list[Preset]:
    """One for each suite, chosen by 1, 2, ... in their order, and by letters when these run out."""
    keys = "123456789abdfghijklmnopqrstuvwxyz"
    if len(suites) > len(keys):
        raise ValueError(f"more than {len(keys)} suites: the menu has no keys for them")
    return [
        Preset(name, key, "this suite only", f"output=text suites={name}")
        for name, key in zip(suites, keys)
    ]


def script(suites: Sequence[str], image: str) -> str:
    """grub.cfg. The kernels stand beside it, wherever that is: $prefix."""
    head = HEAD.format(
        image=image,
        timeout=TIMEOUT_SECONDS,
        ask=ASK,
        ask_again=ASK_AGAIN,
        ask_seconds=ASK_SECONDS,
    )
    parts = [head, *map(entry, PRESETS)]
    parts += ['submenu "o  one suite ..." --id one --hotkey=o {\n']
    parts += [entry(preset, "    ") for preset in suite_presets(suites)]
    parts += ["}\n", TAIL.format(kernel=KERNEL, common=COMMON)]
    return "".join(parts)
