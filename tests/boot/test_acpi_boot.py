# SPDX-License-Identifier: MIT
"""What the kernel finds in the tables of the firmware: those of QEMU's machines, and broken ones.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import acpi_tables as acpi  # noqa: E402
import guest  # noqa: E402
import machines  # noqa: E402
from probe_kernel import kernel  # noqa: E402

EXACT = machines.MACHINES["exact"]
SEED = int(os.environ.get("SEED", time.time_ns() % 2**31))
MACHINES = ["pc", "q35"]
GIB = 1 << 30


def boot(words: list[str], machine: str = "pc", arguments: str = "") -> guest.Guest:
    """Without instruction counting, which needs a single CPU."""
    command = EXACT.command(str(kernel()))
    at = command.index("-icount")
    del command[at : at + 2]
    command[command.index("pc,accel=tcg")] = f"{machine},accel=tcg"
    return guest.run([*command, *words], f"clock=emulated {arguments}", timeout=90)


def log(done: guest.Guest) -> list[str]:
    lines = done.line.decode("latin-1").splitlines()
    return [line for line in lines if line.startswith("acpi: ")]


def described(done: guest.Guest) -> dict[str, str]:
    """The facts of a boot that went on to its end."""
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-2000:]
    assert done.facts["end"] == "1"
    assert len(log(done)) == int(done.facts["acpi.problems"])
    return done.facts


def nodes(*sizes: int) -> list[str]:
    """That many nodes of so many MiB, with a CPU each, in the order of their numbers."""
    words = ["-smp", str(len(sizes)), "-m", f"{sum(sizes)}M"]
    for node, size in enumerate(sizes):
        words += ["-object", f"memory-backend-ram,id=m{node},size={size}M"]
        words += ["-numa", f"node,nodeid={node},memdev=m{node},cpus={node}"]
    return words


# ---- QEMU's own tables --------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_cpus_nodes_and_devices_are_those_qemu_was_asked_for(machine: str) -> None:
    distances = {(0, 1): 17, (0, 2): 29, (1, 2): 255, (0, 3): 30, (1, 3): 31, (2, 3): 32}
    words = nodes(256, 128, 64, 64)
    for (a, b), value in distances.items():
        words += ["-numa", f"dist,src={a},dst={b},val={value}"]
    facts = described(boot(words, machine))
    assert facts["acpi.problems"] == "0"
    assert facts["cpus.described"] == "4"
    assert facts["numa.nodes"] == "4"
    rows = [
        " ".join(str(10 if a == b else distances[min(a, b), max(a, b)]) for b in range(4))
        for a in range(4)
    ]
    assert facts["numa.distances"] == ";".join(rows)
    assert facts["hpet.address"] == "fed00000"
    assert facts["pm_timer"] == "port 608, 24 bits"
    tables = facts["acpi.tables"].split(",")
    assert {"FACP", "APIC", "HPET", "SRAT", "SLIT"} <= set(tables)
    assert ("MCFG" in tables) == (machine == "q35")
    assert facts["acpi.root"].endswith(", told by the loader")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("cpus", [1, 8])
def test_a_machine_without_nodes_has_one(machine: str, cpus: int) -> None:
    facts = described(boot(["-smp", f"{cpus},maxcpus=12", "-no-hpet"], machine))
    assert (facts["acpi.problems"], facts["cpus.described"]) == ("0", str(cpus))
    assert (facts["numa.nodes"], facts["numa.distances"]) == ("1", "10")
    assert facts["hpet.address"] == "none"


def test_more_cpus_than_there_is_room_for_are_a_line_in_the_log() -> None:
    done = boot(["-smp", "70"], "q35")
    assert described(done)["cpus.described"] == "64"
    assert log(done) == ["acpi: APIC: 6 CPUs are left out: there are more than 64"]


def test_without_tables_one_line_says_so() -> None:
    done = boot(["-no-acpi"])
    facts = described(done)
    assert log(done) == ["acpi: no root pointer: no table is read, one CPU is assumed"]
    assert (facts["acpi.tables"], facts["acpi.root"]) == ("none", "none")
    assert (facts["cpus.described"], facts["numa.nodes"]) == ("0", "1")


# ---- broken tables ------------------------------------------------------------------------------

CPUS = acpi.madt(*(acpi.local_apic(i) for i in range(3)))
NODES = acpi.srat(
    acpi.cpu_on(7, 0), acpi.cpu_on(2, 1), acpi.cpu_on(7, 2),
    acpi.memory_on(7, 0, GIB), acpi.memory_on(2, GIB, GIB),
)  # fmt: skip
DISTANCES = acpi.slit(*(bytes(10 if a == b else 20 + a for b in range(8)) for a in range(8)))
WHOLE = [acpi.fadt(), CPUS, NODES, DISTANCES, acpi.hpet()]
WHOLE_FACTS = {
    "acpi.tables": "RSDT,FACP,APIC,SRAT,SLIT,HPET",
    "cpus.described": "3",
    "numa.nodes": "2",
    "numa.distances": "10 27;22 10",
    "hpet.address": "fed00000",
    "pm_timer": "port 608, 24 bits",
}
NO_DISTANCES = {"numa.distances": "10 20;20 10"}
NO_CPUS = {"cpus.described": "0"}
NO_NODES = {"numa.nodes": "1", "numa.distances": "10"}


def replaced(index: int, table: bytes) -> acpi.Firmware:
    return acpi.Firmware([*WHOLE[:index], table, *WHOLE[index + 1 :]])


def without(name: str) -> dict[str, str]:
    return {"acpi.tables": ",".join(n for n in WHOLE_FACTS["acpi.tables"].split(",") if n != name)}


# name -> (firmware, what else the facts say, what is in the log)
BROKEN: dict[str, tuple[acpi.Firmware, dict[str, str], list[str]]] = {
    "nothing": (acpi.Firmware(WHOLE), {}, []),
    "checksum of the MADT": (
        replaced(1, acpi.damaged(CPUS, 20, b"!")),
        NO_CPUS | without("APIC"),
        ["TICK: wrong checksum", "no table of the CPUs (APIC): one is assumed"],
    ),
    "length 0 of an entry of the MADT": (
        replaced(1, acpi.damaged(CPUS, 44 + 8 + 1, b"\0", mend=True)),
        {"cpus.described": "1"},
        ["APIC: the entry at byte 52 is broken"],
    ),
    "length of the SRAT": (
        replaced(2, acpi.damaged(NODES, 4, b"\xff\xff\xff\xff")),
        NO_NODES | without("SRAT"),
        ["SRAT at ", ": wrong length"],
    ),
    "SRAT longer than memory": (
        replaced(2, acpi.damaged(NODES, 4, b"\0\0\x3f\0")),
        NO_NODES | without("SRAT"),
        ["SRAT at "],
    ),
    "size of the SLIT": (
        replaced(3, acpi.damaged(DISTANCES, 36, b"\x09", mend=True)),
        NO_DISTANCES,
        ["SLIT: 9 localities do not fit 108 bytes"],
    ),
    "HPET at a port": (
        replaced(4, acpi.hpet(space=1)),
        {"hpet.address": "none"},
        ["HPET: registers at fed00000 in space 1"],
    ),
    "PM timer at no port": (
        replaced(0, acpi.fadt(0xFFFFFF)),
        {"pm_timer": "none"},
        ["FACP: a timer of 4 bytes at port ffffff"],
    ),
    "pointers to nowhere": (
        acpi.Firmware(WHOLE, pointers=(0, 0xFFFFFFF0)),
        {},
        ["???? at fffffff0", "1 pointers of the RSDT are empty"],
    ),
    "checksum of the RSDT": (
        acpi.Firmware(WHOLE, root_damaged=True),
        NO_CPUS | NO_NODES | {"acpi.tables": "none", "hpet.address": "none", "pm_timer": "none"},
        ["RSDT at ", "TICK: wrong checksum", "no table of the CPUs"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_a_line_in_the_log_and_the_boot_goes_on(
    tmp_path: Path, name: str
) -> None:
    firmware, differing, said = BROKEN[name]
    done = boot(firmware.words(tmp_path))
    facts = described(done)
    expected = WHOLE_FACTS | differing
    assert {key: facts[key] for key in expected} == expected
    assert [part for part in said if not any(part in line for line in log(done))] == []
    assert bool(log(done)) == bool(said), log(done)


def test_a_table_given_to_qemu_on_its_command_line_is_not_believed(tmp_path: Path) -> None:
    """As anybody would try it; QEMU makes the checksum right."""
    path = tmp_path / "srat.bin"
    path.write_bytes(acpi.damaged(NODES, 48 + 1, b"\0"))
    done = boot(["-acpitable", f"file={path}"])
    facts = described(done)
    assert log(done) == ["acpi: SRAT: the entry at byte 48 is broken: no more of it is read"]
    assert (facts["numa.nodes"], facts["cpus.described"]) == ("1", "1")


def test_broken_tables_do_not_disturb_the_frames(tmp_path: Path) -> None:
    firmware = BROKEN["checksum of the MADT"][0]
    done = boot(firmware.words(tmp_path), arguments="output=framed session=7 do=fault")
    told = [value for key, value in done.facts.items() if key.startswith("boot.log.")]
    assert len([value for value in told if value.startswith("acpi")]) == 2
    assert log(done) == []
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.cr2 == 0xFFFF800000DEAD00


@pytest.mark.parametrize("turn", range(20 if os.environ.get("TICKMARK_SOAK") == "1" else 2))
def test_any_bytes_in_the_tables_leave_a_machine_that_boots(tmp_path: Path, turn: int) -> None:
    print(f"SEED={SEED}")
    chance = random.Random(SEED + turn)
    tables = WHOLE[:1]  # the firmware itself believes the FADT, and waits by its timer
    for whole in WHOLE[1:]:
        table = whole
        for _ in range(3):
            at = chance.choice([4, 5, *range(acpi.HEADER_BYTES, len(table))])
            table = acpi.damaged(table, at, chance.randbytes(1), mend=chance.random() < 0.8)
        tables.append(table)
    described(boot(acpi.Firmware(tables).words(tmp_path)))
