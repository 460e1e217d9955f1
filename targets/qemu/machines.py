# SPDX-License-Identifier: MIT
"""The QEMU machines, as data: what each is for, and the words of its command.

A command is a template for the recorder: `{line}` and `{qmp}` stand for the numbers of inherited
socket descriptors, `{arguments}` for the kernel's command line.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass

PROGRAM = "qemu-system-x86_64"
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


def kvm_problem(device: str = "/dev/kvm") -> str | None:
    """Why KVM cannot be used here, as one line; None if it can."""
    get_api_version, create_vm, api_version = 0xAE00, 0xAE01, 12  # linux/kvm.h
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{device}: {error.strerror}"
    try:
        version = fcntl.ioctl(kvm, get_api_version)
        if version != api_version:
            return f"{device} speaks version {version} of its interface, not {api_version}"
        os.close(fcntl.ioctl(kvm, create_vm, 0))
    except OSError as error:
        return f"{device} creates no virtual machine: {error.strerror}"
    finally:
        os.close(kvm)
    return None


def _usable() -> str | None:
    return None


def _no_smp() -> str | None:
    return "machine=smp arrives with the multi-CPU kernel"


@dataclass(frozen=True)
class Machine:
    """One configuration. `clock` is the class of clock the kernel is told it has (platform.h)."""

    name: str
    summary: str
    clock: str
    words: tuple[str, ...]
    problem: Callable[[], str | None] = _usable  # why it cannot be used here, None if it can

    def command(self, image: str, program: str = PROGRAM) -> list[str]:
        """The words of the command that boots `image`, with the recorder's place holders."""
        return [
            *(program, *self.words, *COMMON),
            *("-kernel", image, "-append", "{arguments}"),
        ]

    def arguments(self) -> list[str]:
        """Words the kernel's command line must have on this machine."""
        return [f"clock={self.clock}"]


MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (
        Machine(
            name="exact",
            summary="one CPU, every instruction counted: equal in every run",
            clock="insn",
            words=(
                *("-machine", "MACHINE,accel=tcg", "-cpu", "max"),
                *("-icount", "shift=0,sleep=off", "-m", "512M", "-smp", "1"),
            ),
        ),
        Machine(
            name="kvm",
            summary="one CPU of this machine, real ticks under a hypervisor",
            clock="tsc",
            words=(
                *("-machine", "MACHINE,accel=kvm", "-cpu", "host,migratable=off,+invtsc"),
                *("-m", "512M", "-smp", "1"),
            ),
            problem=kvm_problem,
        ),
        Machine(
            name="smp",
            summary="several CPUs, NUMA and real devices, emulated",
            clock="emulated",
            words=(),
            problem=_no_smp,
        ),
    )
}
