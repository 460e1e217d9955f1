# SPDX-License-Identifier: MIT
"""A real machine. It is no command that could be started: a person boots the image there
(docs/baremetal.md), so there is no machine in the sense of targets/README.md yet."""

from __future__ import annotations

SUMMARY = "the same kernel on a real machine, from an image that a person boots"
IMAGE = "tickmark.elf"
SUCCESS_EXIT = 0
DEFAULT_MACHINES: tuple[str, ...] = ()
OPTIONS: frozenset[str] = frozenset()
MACHINES: dict[str, object] = {}
COMMANDS_NOT_HERE = {
    "bench": "recording from a serial port is not there yet; `scons target=baremetal image` makes"
    " an image whose tables a terminal program shows (docs/baremetal.md)",
    "list": "its rows are those of target=qemu",
    "debug": "only target=qemu",
}
