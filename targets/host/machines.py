# SPDX-License-Identifier: MIT
"""The one machine of this target: the process itself (targets/README.md)."""

from __future__ import annotations

import os
from dataclasses import dataclass

SUMMARY = "the same object code in a Linux process"
IMAGE = "tickmark"
SUCCESS_EXIT = 0
DEFAULT_MACHINES = ("native",)
OPTIONS = frozenset({"disk"})


def disk_words(values: dict[str, str]) -> list[str]:
    """Where its scratch file goes; an image is for others."""
    place = values.get("disk", "")
    return [f"disk={place}"] if os.path.isdir(place) else []


@dataclass(frozen=True)
class Machine:
    """The process, pinned to one CPU."""

    name: str = "native"
    summary: str = "one pinned thread"
    clock: str = "tsc"
    boots: int = 3
    options: frozenset[str] = frozenset({"disk"})

    def problem(self) -> str | None:
        return None

    def arguments(self) -> list[str]:
        return []

    def facts(self, values: dict[str, str]) -> dict[str, str]:
        return {}

    def command(self, image: str, values: dict[str, str]) -> list[str]:
        return [image, "line={line}", *disk_words(values), "{arguments}"]

    def command_for_a_person(self, image: str, values: dict[str, str], line: str) -> list[str]:
        return [image, *disk_words(values), "{arguments}"]


MACHINES = {"native": Machine()}
