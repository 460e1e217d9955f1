# SPDX-License-Identifier: MIT
"""Several CPUs, interrupts and the reports of both: the probe's kernel made to fail and to be
interrupted (deeds*.c) in QEMU with several processors."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import acpi_tables  # noqa: E402
import guest  # noqa: E402
import machines  # noqa: E402
from probe_kernel import kernel  # noqa: E402

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
SESSION = 20240608
NO_VECTOR = 256


def boot(
    deed: str,
    cpus: int = 4,
    arguments: str = "",
    timeout: float = 60,
    monitor: tuple[str, ...] = (),
) -> guest.Guest:
    command = [
        word
        for word in machines.MACHINES["exact"].command(str(kernel()))
        if word not in ("-icount", "shift=0,sleep=off")
    ]
    command[command.index("-smp") + 1] = str(cpus)
    words = f"clock=emulated {arguments} do={deed}"
    return guest.run(command, words, timeout=timeout, monitor=monitor)


def report(deed: str, cpus: int = 4, monitor: tuple[str, ...] = (), words: str = "") -> guest.Panic:
    """The one report of a run that must end in one."""
    done = boot(deed, cpus, f"session={SESSION} output=framed {words}", monitor=monitor)
    assert done.exit_code == machines.FAILURE_EXIT, done.line[-600:]
    panics = [f for f in guest.frames(done.line) if f.type == guest.PANIC]
    assert len(panics) == 3 and len({f.payload for f in panics}) == 1
    panic = guest.read_panic(done.line)
    assert panic is not None
    return panic


def finished(deed: str, cpus: int = 4, arguments: str = "") -> dict[str, int]:
    """What a deed says that does not end the run."""
    done = boot(deed, cpus, arguments, timeout=600 if SOAK else 60)
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-600:]
    keys = ("storm", "once", "threads", "line", "unexpected", "spurious", "all", "msr")
    serial = ("line", "line.fastest", "line.flow", "line.speed")  # of every run
    return {
        k: int(v) for k, v in done.facts.items() if k.partition(".")[0] in keys and k not in serial
    }


# ---- reports ------------------------------------------------------------------------------------

# By the real thing, or, where this kernel cannot be brought into the exception, by its entry,
# called as the CPU would. Vector 2 has tests of its own.
ERROR_CODES = {10: 0x18, 11: 0x28, 12: 0x28, 14: 2, 17: 0x11, 21: 0x21, 29: 0x29, 30: 0x30}
NAMES = {
    1: "debug exception",
    3: "breakpoint",
    4: "overflow exception",
    5: "bound range exceeded",
    6: "invalid opcode",
    7: "device not available",
    8: "double fault",
    10: "invalid TSS",
    11: "segment not present",
    12: "stack fault",
    13: "general protection",
    14: "page fault",
    16: "x87 exception",
    17: "alignment check",
    18: "machine check",
    19: "SIMD exception",
    20: "virtualization exception",
    21: "control protection",
}
ON_BOOT_CPU = [v for v in range(32) if v not in (0, 2)]
ON_OTHER_CPU = ON_BOOT_CPU if SOAK else [3, 8, 10, 14]


@pytest.mark.parametrize(
    ("vector", "cpu"), [(v, 0) for v in ON_BOOT_CPU] + [(v, 3) for v in ON_OTHER_CPU]
)
def test_every_exception_is_reported_with_its_cpu(vector: int, cpu: int) -> None:
    panic = report(f"vector{vector}" + (f"@{cpu}" if cpu else ""))
    assert (panic.vector, panic.cpu) == (vector, cpu)
    assert panic.error == ERROR_CODES.get(vector, 0)
    assert NAMES.get(vector, "exception") in panic.reason
    assert len(panic.stack) > 0


@pytest.mark.parametrize("cpu", [0, 1, 3])
def test_nmi_nobody_announced_is_reported(cpu: int) -> None:
    panic = report("nmi" + (f"@{cpu}" if cpu else ""))
    assert (panic.vector, panic.cpu) == (2, cpu)
    assert "non-maskable interrupt" in panic.reason


@pytest.mark.parametrize("cpus", [1, 4])
def test_nmi_of_the_machine_reaches_a_cpu_that_masks_interrupts(cpus: int) -> None:
    panic = report("masked", cpus, monitor=("nmi",))
    assert panic.vector == 2 and panic.cpu < cpus


@pytest.mark.parametrize("cpu", [0, 1, 2, 3])
def test_stack_overflow_names_its_cpu(cpu: int) -> None:
    panic = report("overflow" + (f"@{cpu}" if cpu else ""))
    assert (panic.vector, panic.cpu) == (14, cpu)
    assert f"stack overflow of CPU {cpu}" in panic.reason
    assert panic.cr2 < panic.stack_at and len(panic.stack) == 8192
    image = guest.image_of(kernel())
    assert set(image.backtrace(panic)) == {"recurse"}


def test_write_of_a_register_that_faults_is_refused_and_changes_nothing() -> None:
    facts = finished("msr", 1)
    expected = {"msr.taken": 1, "msr.refused": 1, "msr.read": 1, "msr.after": 0x5000}
    assert {key: facts[key] for key in expected} == expected


@pytest.mark.parametrize(("deed", "function"), [("masked", "spin_masked"), ("spin", "spin")])
def test_cpu_that_never_finishes_is_shown_where_it_is(deed: str, function: str) -> None:
    panic = report(f"{deed}@2")
    assert panic.cpu == 2 and panic.reason == "CPU 2 does not finish"
    image = guest.image_of(kernel())
    trace = image.backtrace(panic)
    assert function in trace[0] or trace[0] == "fail"
    assert trace[-1] == "smp_entry"


@pytest.mark.parametrize("cpus", [2, 4, 8])
def test_when_all_cpus_panic_at_once_one_reports(cpus: int) -> None:
    panic = report("together", cpus)
    assert panic.vector == NO_VECTOR and panic.reason.endswith("all at once")
    assert panic.cpu < cpus
    trace = guest.image_of(kernel()).backtrace(panic)
    assert trace[:2] == ["platform_panic", "panic_together"]


def test_report_gets_through_while_another_cpu_writes() -> None:
    panic = report("amid_line")
    assert panic.cpu == 1 and panic.reason.endswith("while another CPU writes")


def test_fault_inside_the_report_ends_at_once_also_with_other_cpus() -> None:
    done = boot("panic_in_panic", 4, f"session={SESSION} output=framed")
    assert done.exit_code == machines.FAILURE_EXIT
    assert guest.frames(done.line) == []


# ---- at every stage of the start ----------------------------------------------------------------

MAIN = HERE.parents[1] / "targets/qemu/main.c"
STEPS = re.findall(r'\{"(\w+)", \w+\}', MAIN.read_text().partition("} steps[] = {")[2])
WAYS = {"panic": NO_VECTOR, "fault": 14, "overflow": 14, "divide": 0}
# Each step once, each way several times; all of them in the long campaign.
STAGES = [
    (step, way)
    for i, step in enumerate(["arguments", *STEPS])
    for k, way in enumerate(WAYS)
    if SOAK or (i + k) % len(WAYS) in (0, 2)
]


def test_the_steps_were_found() -> None:
    assert len(STEPS) >= 7 and {"map", "cpus"} < set(STEPS)


@pytest.mark.parametrize(("step", "way"), STAGES)
def test_report_comes_at_every_stage_of_the_start(step: str, way: str) -> None:
    words = f"session={SESSION} output=framed die_after={step} die={way}"
    done = boot("nothing", 2, words)
    assert done.exit_code == machines.FAILURE_EXIT, done.line[-600:]
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == WAYS[way]
    assert ("stack overflow of CPU 0" in panic.reason) == (way == "overflow")
    assert len(panic.stack) > 0
    if way != "overflow":
        assert guest.image_of(kernel()).backtrace(panic)[-2:] == ["kernel_main", "start_64"]


# ---- interrupts ---------------------------------------------------------------------------------

COUNT = 10**6 if SOAK else 10**4


def test_timer_storm_changes_no_register() -> None:
    facts = finished("timer_storm", 1, f"count={COUNT} period=20000")
    assert facts["storm.timer"] >= COUNT
    assert facts["storm.counted"] == facts["storm.timer"]
    assert facts["storm.changed"] == 0


def test_timer_set_once_fires_once_and_never_early() -> None:
    assert finished("timer_once", 2, "count=50") == {"once.fired": 50, "once.early": 0}


def test_ipi_storm_loses_none_and_changes_no_register() -> None:
    facts = finished("ipi_storm", 2, f"count={COUNT}")
    assert facts["storm.sent"] == facts["storm.calls"] == COUNT
    # the work itself is one more, the wake-up
    assert facts["storm.counted"] == COUNT + 1
    assert facts["storm.changed"] == 0


@pytest.mark.parametrize("cpus", [2, 4] if not SOAK else [2, 4, 8])
def test_cpus_that_interrupt_each_other_do_no_harm(cpus: int) -> None:
    facts = finished("mutual_storm", cpus, f"count={COUNT // 10}")
    assert facts == {"storm.cpus": cpus, "storm.failed": 0, "storm.changed": 0}


def test_another_processor_is_cpu_0_if_it_is_asked_for() -> None:
    done = boot("mutual_storm", 4, f"count={COUNT // 20} cpu=2")
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-600:]
    assert done.facts["cpu.measured"] == "APIC id 2: asked for by cpu=2"
    assert done.facts["storm.cpus"] == "4" and done.facts["cpus.running"] == "4"
    assert (done.facts["storm.failed"], done.facts["storm.changed"]) == ("0", "0")
    # One that is kept from answering is left out of the comparison.
    assert re.match("[1-3] CPUs at most ", done.facts["tsc.synchrony"])
    # The one that firmware had started has its place.
    panic = report("masked@2", 4, words="cpu=2")
    assert panic.cpu == 2 and panic.reason == "CPU 2 does not finish"


def test_a_processor_that_is_not_there_cannot_be_asked_for() -> None:
    done = boot("mutual_storm", 2, "cpu=2")
    assert done.exit_code == machines.FAILURE_EXIT
    assert b"REFUSED: cpu= is none of this machine's CPUs" in done.line


def test_interrupts_nobody_claimed_are_counted() -> None:
    assert finished("unclaimed") == {"unexpected": 2, "spurious": 2, "all": 4}


def test_line_of_a_device_arrives_through_the_io_apic_until_it_is_masked() -> None:
    facts = finished("line", 2, "count=50")
    assert facts["line.status_ok"] == 1
    assert facts["line.seen"] >= 50 and facts["line.seen_masked"] == 0
    assert facts["line.counted"] == facts["line.seen"]


def test_timer_switches_threads_unless_preemption_is_off() -> None:
    facts = finished("threads", 1)
    assert facts["threads.switches_while_disabled"] == 0
    assert facts["threads.switches"] > 10
    assert facts["threads.rounds"] == 3 * 400
    assert facts["threads.changed"] == 0


# ---- tables that name what is not there ---------------------------------------------------------


def boot_with(tables: list[bytes], cpus: int, deed: str, folder: Path) -> guest.Guest:
    command = [
        word
        for word in machines.MACHINES["exact"].command(str(kernel()))
        if word not in ("-icount", "shift=0,sleep=off")
    ]
    command[command.index("-smp") + 1] = str(cpus)
    words = acpi_tables.Firmware(tables).words(folder)
    return guest.run([*command, *words], f"clock=emulated do={deed}", timeout=60)


def cpus_of(*numbers: int) -> list[bytes]:
    return [acpi_tables.local_apic(number) for number in numbers]


@pytest.mark.parametrize("address", [0xFED00000, 0xFEE00000])
def test_io_apic_where_another_device_is_is_not_touched(address: int, tmp_path: Path) -> None:
    wrong = acpi_tables.io_apic(0, address)
    right = acpi_tables.io_apic(1, 0xFEC00000)
    again = acpi_tables.io_apic(2, 0xFEC00000, 24)
    madt = acpi_tables.madt(*cpus_of(0, 1), wrong, right, again)
    done = boot_with([madt, acpi_tables.hpet()], 2, "nothing", tmp_path)
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-500:]
    assert done.facts["ioapics"] == "1 with 24 lines"
    said = [value for key, value in done.facts.items() if key.startswith("boot.log.")]
    assert f"IO-APIC 0: another device is at {address:x}" in said
    assert "IO-APIC 2: another device is at fec00000" in said
    assert done.facts["cpus.running"] == "2"


def test_cpu_the_tables_forget_costs_no_other_one(tmp_path: Path) -> None:
    done = boot_with([acpi_tables.madt(*cpus_of(1, 2, 3))], 4, "nothing", tmp_path)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["cpus.running"] == "4"


def test_cpus_that_are_not_there_are_left_out_soon(tmp_path: Path) -> None:
    done = boot_with([acpi_tables.madt(*cpus_of(*range(40)))], 2, "nothing", tmp_path)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["cpus.running"] == "2" and done.facts["cpus.described"] == "40"
    said = [value for value in done.facts.values() if "is left out: it does not answer" in value]
    assert len(said) > 20


# ---- how many -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 16])
def test_all_cpus_come_up(cpus: int) -> None:
    done = boot("nothing", cpus)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["cpus.running"] == done.facts["cpus.described"] == str(cpus)
    compared = "one CPU" if cpus == 1 else f"{cpus - 1} CPUs at most "
    assert done.facts["tsc.synchrony"].startswith(compared)
    assert b"could not be compared" not in done.line


def test_cpus_beyond_the_64th_are_left_out_and_said_so() -> None:
    done = boot("nothing", 66)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["cpus.running"] == "64"
    assert b"2 CPUs" in done.line or b"left out" in done.line
