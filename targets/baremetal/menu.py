# SPDX-License-Identifier: MIT
"""The boot menu: its presets as data, and the GRUB script they become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

KERNEL, SELF_TEST = "tickmark.elf", "selftest.elf"
TIMEOUT_SECONDS = 10
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

HEAD = """\
# Tickmark {image}. Each entry can be edited before it is booted: press e.
set default=quick
set timeout={timeout}
if [ -z "$tickmark_terminals" ]; then
    set tickmark_terminals=1
    for unit in 0 1 2 3; do
        if serial --unit=$unit --speed=115200 --word=8 --parity=no --stop=1; then
            terminal_input console serial
            terminal_output console serial
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


def script(suites: Sequence[str], image: str, timeout: int = TIMEOUT_SECONDS) -> str:
    """grub.cfg. The kernels stand beside it, wherever that is: $prefix."""
    parts = [HEAD.format(image=image, timeout=timeout), *map(entry, PRESETS)]
    parts += ['submenu "o  one suite ..." --id one --hotkey=o {\n']
    parts += [entry(preset, "    ") for preset in suite_presets(suites)]
    parts += ["}\n", TAIL.format(kernel=KERNEL, common=COMMON)]
    return "".join(parts)
