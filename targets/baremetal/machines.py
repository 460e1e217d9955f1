# SPDX-License-Identifier: MIT
"""Real machines. No command starts one: a person boots the image there, and the recorder waits at
a serial port for it to call (docs/baremetal.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SUMMARY = "the same kernel on a real machine, from an image that a person boots"
IMAGE = "tickmark.elf"
SUCCESS_EXIT = 0
DEFAULT_MACHINES = ("metal",)
ATTACHED = frozenset({"port", "speed", "flow"})
OPTIONS = ATTACHED | {"machine"}
COMMANDS_NOT_HERE = {
    "list": "its rows are those of target=qemu",
    "debug": "only target=qemu",
}
# Of the menu (menu.py): what of the entry for a recorder is surely seen, and the key.
MENU_TEXT, MENU_KEY = "host: what a recorder asks for", "h"
BOOT_SECONDS = 86400  # a slow line and the full size


@dataclass(frozen=True)
class Machine:
    """What is known of one whose parts nobody here has chosen."""

    name: str
    summary: str
    clock: str
    boots: int = 1
    options: frozenset[str] = ATTACHED

    def problem(self) -> str | None:
        return None

    def facts(self, values: Mapping[str, str]) -> dict[str, str]:
        return {"line.port": values["port"]}

    def arguments(self) -> list[str]:
        return [f"clock={self.clock}"]

    def attachment(self, values: Mapping[str, str]) -> list[str]:
        """The recorder's words for a target that it does not start."""
        given = {name: values[name] for name in sorted(ATTACHED & set(values))}
        given |= {"menu-text": MENU_TEXT, "menu-key": MENU_KEY}
        given |= {"boot-seconds": str(BOOT_SECONDS)}
        return [f"{name}={value}" for name, value in given.items()]


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("metal", "the machine at the other end of port=", "tsc"),
        Machine(
            "emulated",
            "the same if that is an emulator: times to look at, judged never",
            "emulated",
        ),
    )
}
