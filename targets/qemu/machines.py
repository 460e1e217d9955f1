# SPDX-License-Identifier: MIT
"""The QEMU machines, as data: what each is for, and the words of its command (targets/README.md).

A command is a template for the recorder: `{line}` and `{qmp}` stand for the numbers of inherited
socket descriptors, `{arguments}` for the kernel's command line.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SUMMARY = "a freestanding kernel in QEMU"
IMAGE = "tickmark.elf"
DEFAULT_MACHINES = ("exact", "smp")
OPTIONS = frozenset({"machine", "memory", "cpus", "numa", "disk", "disturb"})
PROGRAM = "qemu-system-x86_64"
MEMORY_MIB = 512
MEMORY_LEAST, MEMORY_MOST = 64, 64 << 10  # MiB
CPUS_DEFAULT, CPUS_MOST = 4, 64
NODES_MOST = 8
LOCAL_DISTANCE = 10  # of a node to itself (ACPI 6.5, 5.2.17)
SCRATCH_BYTES = 256 << 20
# Of the pattern on each scratch disk, another one: twelve digits, told by the serial number.
GENERATIONS = (314159265358, 271828182845)
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

# ---- KVM ----------------------------------------------------------------------------------------

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


# ---- what a machine is made of ------------------------------------------------------------------


def shares(total: int, parts: int) -> list[int]:
    """`total` in equal parts; the last ones get what does not divide."""
    return [total // parts + (i >= parts - total % parts) for i in range(parts)]


def distance(i: int, j: int) -> int:
    """Between NUMA nodes: they stand in a line, and each step to a neighbour costs the same."""
    return LOCAL_DISTANCE * (1 + abs(i - j))


@dataclass(frozen=True)
class Topology:
    """CPUs and memory (MiB) in `nodes` equal shares. With one, no firmware table speaks of nodes;
    a node may have no CPU."""

    cpus: int
    memory: int
    nodes: int = 1

    def __post_init__(self) -> None:
        assert 1 <= self.cpus <= CPUS_MOST
        assert MEMORY_LEAST <= self.memory <= MEMORY_MOST
        assert 1 <= self.nodes <= NODES_MOST

    def words(self) -> list[str]:
        """For the command. Memory that the guest never touches is not asked of the computer."""
        words = ["-smp", str(self.cpus), "-m", f"{self.memory}M"]
        for node, size in enumerate(shares(self.memory, self.nodes)):
            words += ["-object", f"memory-backend-ram,id=ram{node},size={size}M,reserve=off"]
        if self.nodes == 1:
            return [*words, "-machine", "memory-backend=ram0"]
        first = 0
        for node, count in enumerate(shares(self.cpus, self.nodes)):
            cpus = f",cpus={first}-{first + count - 1}" if count else ""
            words += ["-numa", f"node,nodeid={node},memdev=ram{node}{cpus}"]
            first += count
        # One direction: QEMU takes it for both, and knows what a node is from itself.
        for i in range(self.nodes):
            for j in range(i + 1, self.nodes):
                words += ["-numa", f"dist,src={i},dst={j},val={distance(i, j)}"]
        return words


def disk_image(values: dict[str, str]) -> str:
    """The image that was given; a folder is for others."""
    place = values.get("disk", "")
    return "" if os.path.isdir(place) else place


def pattern_disks(kernel: str) -> list[str]:
    """The disks that were built with this kernel (pattern_disk.py), if they were."""
    folder = os.path.dirname(kernel)
    paths = [os.path.join(folder, f"disk{i}.img") for i in range(len(GENERATIONS))]
    return paths if all(map(os.path.isfile, paths)) else []


def disk_words(image: str = "", patterns: Sequence[str] = ()) -> list[str]:
    """An NVMe and a virtio disk: both show `image`, read-only, or are scratch.

    A scratch disk has the words of its pattern at the start of each boot, and a serial number that
    says which, or is empty, zeros. What is written goes to a sparse temporary file that QEMU
    unlinks once it is open: nothing is left behind, however the run ends.
    """
    words = []
    for i, device in enumerate(("nvme", "virtio-blk-pci")):
        serial = "tickmark"
        if image:
            path = image.replace(",", ",,")  # or QEMU would take what follows for another option
            backend = f"format=raw,readonly=on,file={path}"
        elif patterns:
            path = patterns[i].replace(",", ",,")
            backend = f"format=raw,snapshot=on,cache=unsafe,file={path}"
            serial = f"pattern-{GENERATIONS[i]}"
        else:
            backend = f"driver=null-co,size={SCRATCH_BYTES},read-zeroes=on,snapshot=on"
        words += ["-drive", f"if=none,id=disk{i},{backend}"]
        words += ["-device", f"{device},serial={serial},drive=disk{i}"]
    return words


def default_cpus() -> int:
    """More than this computer has would wait for each other; fewer than two are not several."""
    return min(CPUS_DEFAULT, max(2, os.cpu_count() or 1))


def _usable() -> str | None:
    return None


# ---- the machines -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """One configuration. `clock` is the class of clock the kernel is told it has (platform.h)."""

    name: str
    summary: str
    clock: str
    words: tuple[str, ...]
    boots: int = 1
    options: frozenset[str] = frozenset({"memory"})
    problem: Callable[[], str | None] = _usable  # why it cannot be used here, None if it can

    def topology(self, values: Mapping[str, str]) -> Topology:
        """What of cpus=, memory= and numa= applies here."""
        return Topology(1, int(values.get("memory", MEMORY_MIB)))

    def parts(self, values: Mapping[str, str], image: str = "") -> list[str]:
        """Words that depend on options, and on what was built beside `image`."""
        return ["-m", f"{self.topology(values).memory}M"]

    def facts(self, values: Mapping[str, str]) -> dict[str, str]:
        """What the run carries about the machine, beside the command itself."""
        made = self.topology(values)
        return {
            "machine.cpus": str(made.cpus),
            "machine.memory_mib": str(made.memory),
            "machine.numa_nodes": str(made.nodes),
        }

    def command(self, image: str, values: Mapping[str, str] | None = None) -> list[str]:
        """The words of the command that boots `image`, with the recorder's place holders."""
        return [
            *(PROGRAM, *self.words, *self.parts(values or {}, image), *COMMON),
            *("-kernel", image, "-append", "{arguments}"),
        ]

    def command_for_a_person(
        self, image: str, values: Mapping[str, str], line: str = "stdio"
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


@dataclass(frozen=True)
class MultiMachine(Machine):
    """Several CPUs, perhaps in NUMA nodes, and disks."""

    options: frozenset[str] = frozenset({"memory", "cpus", "numa", "disk"})

    def topology(self, values: Mapping[str, str]) -> Topology:
        return Topology(
            int(values.get("cpus", default_cpus())),
            int(values.get("memory", MEMORY_MIB)),
            int(values.get("numa", 1)),
        )

    def parts(self, values: Mapping[str, str], image: str = "") -> list[str]:
        disks = disk_words(disk_image(dict(values)), pattern_disks(image))
        return [*self.topology(values).words(), *disks]


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
        # q35: it has PCI Express, whose configuration space lies in memory. A thread of this
        # computer for each CPU: they interleave as they like, and so do the times.
        MultiMachine(
            name="smp",
            summary="several CPUs, NUMA nodes and disks, emulated: times are shown, never judged",
            clock="emulated",
            words=("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
        ),
    )
}
