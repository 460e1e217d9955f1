# SPDX-License-Identifier: MIT
"""The QEMU machines, as data: what each is for, and the words of its command (targets/README.md).

A command is a template for the recorder: `{line}` and `{qmp}` stand for the numbers of inherited
socket descriptors, `{arguments}` for the kernel's command line.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

SUMMARY = "a freestanding kernel in QEMU"
IMAGE = "tickmark.elf"
DEFAULT_MACHINE = "exact"
OPTIONS = frozenset({"machine", "memory"})
PROGRAM = "qemu-system-x86_64"
MEMORY_MIB = "512"
SUCCESS_EXIT = 33  # isa-debug-exit: (0x10 << 1) | 1, see kernel.h
FAILURE_EXIT = 99  # (0x31 << 1) | 1

# Common to all machines.
# -nodefaults, -no-user-config: the machine is what stands here, nothing of the user's.
# -action: a triple fault would reset the machine. It shuts down instead, and a shutdown pauses, so
# that QMP can still read the registers of the fault; QEMU itself would exit with status 0.
# line, qmp: sockets inherited from the recorder: no ports, no names in the file system.
COMMON = (
    *("-nodefaults", "-no-user-config", "-display", "none"),
    *("-no-reboot", "-action", "reboot=shutdown,shutdown=pause"),
    *("-chardev", "socket,id=line,fd={line}", "-serial", "chardev:line"),
    *("-chardev", "socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"),
    *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
)


# linux/kvm.h
KVM_API_VERSION = 12
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_GET_SUPPORTED_CPUID = 0xC008AE05
CPUID_HEADER = struct.Struct("=II")  # entries, padding
CPUID_ENTRY = struct.Struct("=10I")  # function, index, flags, eax, ebx, ecx, edx, padding
CPUID_MOST = 256


def _missing_in_guests(kvm: int) -> list[str]:
    """Instructions the object code needs (cpu_has_baseline) that a guest would not have."""
    table = bytearray(CPUID_HEADER.size + CPUID_MOST * CPUID_ENTRY.size)
    CPUID_HEADER.pack_into(table, 0, CPUID_MOST, 0)
    fcntl.ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table)
    count, _ = CPUID_HEADER.unpack_from(table)
    rows = [
        CPUID_ENTRY.unpack_from(table, CPUID_HEADER.size + i * CPUID_ENTRY.size)
        for i in range(count)
    ]
    registers = {(row[0], row[1]): row[3:7] for row in rows}
    none = (0, 0, 0, 0)
    present = {
        "POPCNT": registers.get((1, 0), none)[2] >> 23 & 1,
        "BMI1": registers.get((7, 0), none)[1] >> 3 & 1,
    }
    return [name for name, bit in present.items() if not bit]


def kvm_problem(device: str = "/dev/kvm") -> str | None:
    """Why KVM cannot be used here, as one line; None if it can."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{device}: {error.strerror}"
    try:
        version = fcntl.ioctl(kvm, KVM_GET_API_VERSION)
        if version != KVM_API_VERSION:
            return f"{device} speaks version {version} of its interface, not {KVM_API_VERSION}"
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
        missing = _missing_in_guests(kvm)
    except OSError as error:
        return f"{device} creates no virtual machine: {error.strerror}"
    finally:
        os.close(kvm)
    if missing:
        return f"{device} gives its guests no {' and no '.join(missing)}"
    return None


def _usable() -> str | None:
    return None


@dataclass(frozen=True)
class Machine:
    """One configuration. `clock` is the class of clock the kernel is told it has (platform.h)."""

    name: str
    summary: str
    clock: str
    words: tuple[str, ...]
    boots: int = 1
    problem: Callable[[], str | None] = _usable  # why it cannot be used here, None if it can
    later: str = ""  # why it is only announced so far

    def command(self, image: str, values: dict[str, str] | None = None) -> list[str]:
        """The words of the command that boots `image`, with the recorder's place holders."""
        memory = (values or {}).get("memory", MEMORY_MIB)
        return [
            *(PROGRAM, *self.words, "-m", f"{memory}M", *COMMON),
            *("-kernel", image, "-append", "{arguments}"),
        ]

    def command_for_a_person(
        self, image: str, values: dict[str, str], line: str = "stdio"
    ) -> list[str]:
        """The same machine without recorder: no inherited sockets, the line where `line` says."""
        kept: list[str] = []
        words = iter(self.command(image, values))
        for word in words:
            if word in ("-chardev", "-serial", "-mon"):
                next(words)
            else:
                kept.append(word)
        return [*kept, "-serial", line]

    def arguments(self) -> list[str]:
        """Words the kernel's command line must have on this machine."""
        return [f"clock={self.clock}"]


MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (
        # pc: has the timers, PCI and ACPI later suites need, and the first line is out 0.07 s after
        # the start (q35: 0.5 s; microvm: 0.03 s, but that has no PCI by default).
        # max: every feature the emulator has and no warning about those it lacks, which the named
        # models give.
        # sleep=off: virtual time jumps over idling instead of waiting for real time.
        Machine(
            name="exact",
            summary="one CPU, every instruction counted: equal in every run",
            clock="insn",
            boots=2,
            words=(
                *("-machine", "pc,accel=tcg", "-cpu", "max"),
                *("-icount", "shift=0,sleep=off", "-smp", "1"),
            ),
        ),
        # invtsc makes QEMU tell the frequency of the counter (CPUID leaf 40000010h); it and
        # migration exclude each other.
        Machine(
            name="kvm",
            summary="one CPU of this machine, real ticks under a hypervisor",
            clock="tsc",
            words=(
                *("-machine", "pc,accel=kvm", "-cpu", "host,migratable=off,+invtsc"),
                *("-smp", "1"),
            ),
            problem=kvm_problem,
        ),
        Machine(
            name="smp",
            summary="several CPUs, NUMA and real devices, emulated",
            clock="emulated",
            words=(),
            later="arrives with the multi-CPU kernel",
        ),
    )
}
