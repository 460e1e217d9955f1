# SPDX-License-Identifier: MIT
"""The machines the kernel is booted on by tests, each as a point of a few factors, and what the
kernel must have found there.

A new thing that the kernel finds out about its machine is a line in `FACTS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from zlib import crc32

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import machines  # noqa: E402
import pairwise  # noqa: E402
from make_iso import make_iso  # noqa: E402

MIB = 1 << 20
ARENA_MOST_MIB = 512  # main.c
OVMF = Path("/usr/share/OVMF/OVMF_CODE.fd")
SMP = machines.MACHINES["smp"]

# Firmware and loader: how the kernel gets into memory.
WAYS = {
    "pvh": ("none", "pvh"),
    "bios-cd": ("seabios", "cd"),
    "bios-usb": ("seabios", "usb"),
    "uefi-cd": ("ovmf", "cd"),
    "uefi-usb": ("ovmf", "usb"),
}


@dataclass(frozen=True)
class Configuration:
    """One machine: a type of QEMU's, or bochs (bochs.py runs it). `memory` is in MiB; `hpet` False:
    the machine has none."""

    machine: str = "q35"
    way: str = "pvh"
    cpus: int = 1
    memory: int = 512
    numa: int = 1
    hpet: bool = True
    clock: str = "emulated"

    @property
    def firmware(self) -> str:
        return WAYS[self.way][0]

    @property
    def loader(self) -> str:
        return WAYS[self.way][1]

    @property
    def name(self) -> str:
        hpet = "hpet" if self.hpet else "nohpet"
        parts = f"{self.cpus}cpu-{self.memory}M-{self.numa}node-{hpet}"
        return f"{self.machine}-{self.way}-{parts}"

    def arguments(self, more: str = "") -> str:
        return f"clock={self.clock} {more}".strip()

    def command(self, kernel: Path, iso: Path) -> list[str]:
        """For guest.run. `iso` is what a loader reads; without one QEMU loads the kernel."""
        base = ["-machine", self.machine, "-machine", f"hpet={'on' if self.hpet else 'off'}"]
        made = replace(SMP, words=(*base, *SMP.words[2:]))
        values = {"cpus": str(self.cpus), "memory": str(self.memory), "numa": str(self.numa)}
        words = made.command(str(kernel), values)
        if self.loader == "pvh":
            return words
        return [*words[: words.index("-kernel")], *self.firmware_words(), *self.medium_words(iso)]

    def firmware_words(self) -> list[str]:
        if self.firmware == "seabios":
            return []  # what these machines have anyway
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}"]

    def medium_words(self, iso: Path) -> list[str]:
        """The medium with GRUB and the kernel, the first to be booted from."""
        backend = f"if=none,id=medium,format=raw,readonly=on,file={iso}"
        if self.loader == "cd":
            return ["-drive", backend, "-device", "ide-cd,drive=medium,bootindex=0"]
        stick = "usb-storage,drive=medium,bootindex=0"
        return ["-drive", backend, "-device", "qemu-xhci", "-device", stick]


@cache
def iso_for(kernel: Path, folder: Path, arguments: str) -> Path:
    """An image that boots `kernel` with these arguments; made once for each."""
    iso = folder / f"boot-{crc32(f'{kernel} {arguments}'.encode()):08x}.iso"
    make_iso(kernel, iso, arguments)
    return iso


# ---- which there are ----------------------------------------------------------------------------

FACTORS: dict[str, tuple[object, ...]] = {
    "machine": ("pc", "q35"),
    "way": ("pvh", "bios-cd", "uefi-cd"),
    "cpus": (1, 2, 4, 8),
    "memory": (64, 256, 1024, 8192),
    "numa": (1, 2, 4),
    "hpet": (True, False),
}
# UEFI takes many times longer than the rest, and all that ran before leaves its mark in the memory.
COSTS = {"pvh": 1.0, "bios-cd": 1.2, "uefi-cd": 2.0}


def cost(choice: pairwise.Choice) -> float:
    return COSTS[str(choice[list(FACTORS).index("way")])]


def configurations(choices: list[pairwise.Choice]) -> list[Configuration]:
    return [Configuration(**dict(zip(FACTORS, choice))) for choice in choices]  # type: ignore


def matrix(whole: bool) -> list[Configuration]:
    """The whole product, or so many of it that every two values meet."""
    chosen = pairwise.all_choices(FACTORS) if whole else pairwise.covering(FACTORS, cost)
    return configurations(chosen)


def is_soak() -> bool:
    return os.environ.get("TICKMARK_SOAK") == "1"


# ---- what the kernel must say -------------------------------------------------------------------

Predicate = Callable[[str], bool]


def equals(value: object) -> Predicate:
    return lambda said: said == str(value)


def between(low: float, high: float) -> Predicate:
    return lambda said: said.isdecimal() and low <= int(said) <= high


def memory_reserved(c: Configuration) -> float:
    """MiB that the firmware keeps at the most: UEFI's runtime services take some of their own."""
    return 12 if c.firmware == "ovmf" else 1


# A fact and what it must be on a configuration; None: it must not be there.
FACTS: dict[str, Callable[[Configuration], Predicate | None]] = {
    "arguments": lambda c: lambda said: said.split() == c.arguments().split(),
    "boot.protocol": lambda c: equals("pvh" if c.loader == "pvh" else "multiboot2"),
    "hypervisor": lambda c: equals("none" if c.machine == "bochs" else "TCGTCGTCGTCG"),
    "memory.bytes": lambda c: between((c.memory - memory_reserved(c)) * MIB, c.memory * MIB),
    "arena.start": lambda c: lambda said: int(said) % (2 * MIB) == 0 and int(said) > 0,
    "arena.bytes": lambda c: between(16 * MIB, min(c.memory, ARENA_MOST_MIB) * MIB),
    "arena.dirty_pages": lambda c: equals(0),
    "arena.same": lambda c: equals(1),
    "clock.class": lambda c: equals({"tsc": 0, "insn": 1, "emulated": 2}[c.clock]),
    # A second source of time beside the counter, where there is one: 2 MHz to 20 GHz.
    "clock.ns_of_2m_ticks": lambda c: between(10**5, 10**9) if c.hpet else equals(0),
    "end": lambda c: equals(1),
}


def expected_facts(configuration: Configuration) -> dict[str, Predicate]:
    """The facts that the self-test record of this machine must have, and how each must be."""
    found = {key: expect(configuration) for key, expect in FACTS.items()}
    return {key: predicate for key, predicate in found.items() if predicate is not None}


def wrong_facts(configuration: Configuration, facts: dict[str, str]) -> dict[str, str]:
    """What is missing, not as expected, or there although it must not be."""
    expected = expected_facts(configuration)
    wrong = {
        key: facts.get(key, "missing")
        for key, predicate in expected.items()
        if key not in facts or not predicate(facts[key])
    }
    unwanted = {key: facts[key] for key in FACTS if key not in expected and key in facts}
    return {**wrong, **unwanted}
