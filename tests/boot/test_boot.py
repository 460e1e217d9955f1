# SPDX-License-Identifier: MIT
"""The freestanding kernel in QEMU, with tests/boot/probe.c in place of the benchmarks.

TICKMARK_PROBE is the path of that kernel.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import guest  # noqa: E402
import machines  # noqa: E402
from make_iso import make_iso  # noqa: E402
from probe_kernel import kernel  # noqa: E402

EXACT = machines.MACHINES["exact"]
SESSION = 20240607
FRAMED = f"session={SESSION} output=framed "
PAGE_FAULT, DIVIDE, INVALID_OPCODE, NO_VECTOR = 14, 0, 6, 256
MIB = 1 << 20


@cache
def image() -> guest.Image:
    return guest.image_of(kernel())


def boot(arguments: str = "", **options: object) -> guest.Guest:
    words = " ".join([*EXACT.arguments(), arguments])
    return guest.run(EXACT.command(str(kernel())), words, **options)  # type: ignore[arg-type]


def boot_with(replacements: dict[str, str], arguments: str) -> guest.Guest:
    command = [replacements.get(word, word) for word in EXACT.command(str(kernel()))]
    return guest.run(command, arguments)


def panicked(arguments: str) -> guest.Panic:
    done = boot(FRAMED + arguments)
    assert done.exit_code == machines.FAILURE_EXIT
    control = [f for f in guest.frames(done.line) if f.channel == 0]
    assert {f.session for f in control} == {SESSION}
    assert [f.sequence for f in control] == [0x80000000 + i for i in range(len(control))]
    panic = guest.read_panic(done.line)
    assert panic is not None
    assert panic.registers["rsp"] == panic.rsp
    assert len(panic.stack) <= 8192
    assert f"panic: {panic.reason}\n".encode() in done.line
    return panic


def check_facts(facts: dict[str, str], protocol: str) -> None:
    assert facts["boot.protocol"] == protocol
    assert facts["build_id"] == image().build_id
    assert facts["cpu.vendor"].isalnum()
    assert facts["acpi.root"].endswith(", told by the loader")
    assert (facts["acpi.problems"], facts["cpus.described"]) == ("0", "1")
    assert (facts["hpet.address"], facts["numa.nodes"]) == ("fed00000", "1")
    start, length = int(facts["arena.start"]), int(facts["arena.bytes"])
    assert start % (2 * MIB) == 0 and length % (2 * MIB) == 0
    assert start > 16 * MIB and start + length <= 512 * MIB
    assert length > 400 * MIB
    assert 500 * MIB < int(facts["memory.bytes"]) <= 512 * MIB
    assert (facts["arena.dirty_pages"], facts["arena.same"]) == ("0", "1")
    assert facts["end"] == "1"


def test_pvh_boots_and_every_instruction_is_one_tick() -> None:
    done = boot("note=a/b:c.d")
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.first_byte_seconds < 5  # 0.07 s on a quiet machine; the goal is 0.4 s
    check_facts(done.facts, "pvh")
    assert done.facts["arguments"] == "clock=insn note=a/b:c.d"
    assert done.facts["hypervisor"] == "TCGTCGTCGTCG"
    assert done.facts["clock.class"] == "1"
    assert done.facts["clock.hz"] == "1000000000"
    assert done.facts["clock.ns_of_2m_ticks"] == "0"
    assert 100 <= int(done.facts["clock.ticks_of_100"]) < 110


def test_what_cannot_be_counted_is_not_none() -> None:
    """An emulated CPU has no counters of its own, and under a hypervisor SMIs are not asked for."""
    facts = boot().facts
    assert facts["pmu"] == "not available: CPUID 0Ah names no performance counters"
    assert facts["counters"] == "0"
    interrupts, page_faults, migrations, preemptions, nmis = 1, 2, 4, 8, 16
    assert int(facts["events.known"]) == interrupts + page_faults + migrations + preemptions + nmis
    assert facts["events.of_run_known"] == facts["events.known"]
    assert facts["events.smis"] == facts["events.steal_ns"] == "0"


def test_two_boots_say_the_same() -> None:
    assert boot().line == boot().line


def test_emulated_clock_has_a_second_source() -> None:
    command = [w for w in EXACT.command(str(kernel())) if w not in ("-icount", "shift=0,sleep=off")]
    done = guest.run(command, "clock=emulated")
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["clock.class"] == "2"
    # 2 million ticks of a host's counter, 0.2 to 20 GHz
    assert 10**5 < int(done.facts["clock.ns_of_2m_ticks"]) < 10**8


def test_failure_of_the_benchmarks_is_the_exit_code() -> None:
    done = boot("do=fail")
    assert done.exit_code == machines.FAILURE_EXIT
    assert done.facts["end"] == "1"


def test_unknown_way_to_die_returns() -> None:
    assert boot("do=nothing_known").exit_code == machines.SUCCESS_EXIT


# ---- ways to die --------------------------------------------------------------------------------


def test_fault_names_address_and_place() -> None:
    panic = panicked("do=fault")
    assert (panic.vector, panic.error) == (PAGE_FAULT, 2)
    assert panic.cr2 == 0xFFFF800000DEAD00
    assert "write to ffff800000dead00, not mapped" in panic.reason
    assert image().backtrace(panic)[-3:] == ["bench_main_plain", "kernel_main", "start_64"]
    assert "die" in image().backtrace(panic)[0]


def test_divide_error() -> None:
    panic = panicked("do=divide")
    assert panic.vector == DIVIDE
    assert "divide error" in panic.reason


def test_stack_overflow_is_reported_on_another_stack() -> None:
    panic = panicked("do=overflow")
    assert panic.vector == PAGE_FAULT
    assert "stack overflow" in panic.reason and "boot stack" in panic.reason
    assert panic.cr2 < panic.stack_at
    assert len(panic.stack) == 8192
    trace = image().backtrace(panic)
    assert len(trace) > 20 and set(trace) == {"recurse"}


def test_triple_fault_leaves_the_registers() -> None:
    done = boot(FRAMED + "do=triple")
    shutdowns = [m for m in done.qmp if m.get("event") == "SHUTDOWN"]
    assert shutdowns[0]["data"] == {"guest": True, "reason": "guest-reset"}
    assert guest.frames(done.line) == []
    rip = re.search(r"RIP=([0-9a-f]{16})", done.registers)
    assert rip is not None
    assert image().name(int(rip[1], 16)) in ("die_triple", "platform_die")
    assert done.exit_code == 0  # that of the quit command: it says nothing about the guest


def test_exit_without_end() -> None:
    done = boot(FRAMED + "do=exit")
    assert done.exit_code == machines.SUCCESS_EXIT
    assert guest.frames(done.line) == []
    assert "end" not in done.facts


def test_failed_assertion_unwinds_to_the_entry() -> None:
    panic = panicked("do=panic")
    assert panic.vector == NO_VECTOR
    assert re.fullmatch(r"\S*probe\.c:\d+: assertion failed: depth < 5", panic.reason)
    trace = image().backtrace(panic)
    assert trace[0] == "platform_panic"
    assert trace[1:] == ["fail_deeply"] * 6 + ["bench_main_plain", "kernel_main", "start_64"]


def test_text_is_read_only() -> None:
    panic = panicked("do=write_text")
    assert (panic.vector, panic.error) == (PAGE_FAULT, 3)
    assert "not permitted" in panic.reason


def test_data_is_not_executable() -> None:
    panic = panicked("do=execute_data")
    assert (panic.vector, panic.error) == (PAGE_FAULT, 0x11)
    assert panic.rip == panic.cr2


def test_null_call_is_reported_with_its_stack() -> None:
    panic = panicked("do=call_null")
    assert (panic.vector, panic.rip, panic.cr2) == (PAGE_FAULT, 0, 0)
    assert "null pointer" in panic.reason
    caller = int.from_bytes(panic.stack[:8], "little")
    assert image().name(caller - 1) in ("call_null", "bench_main_plain")


def test_lost_stack_is_reported_without_it() -> None:
    panic = panicked("do=lose_stack")
    assert panic.vector == INVALID_OPCODE
    assert panic.rsp == 0xFFFF8000BEEF0000
    assert panic.stack == b""


def test_fault_inside_the_report_ends_at_once() -> None:
    done = boot(FRAMED + "do=panic_in_panic")
    assert done.exit_code == machines.FAILURE_EXIT
    assert guest.frames(done.line) == []


def test_panic_without_frames_is_text() -> None:
    done = boot("do=fault")
    assert done.exit_code == machines.FAILURE_EXIT
    assert b"\npanic: page fault: write to ffff800000dead00, not mapped\n" in done.line
    assert b"\0" not in done.line


# ---- machines it must refuse --------------------------------------------------------------------


def the_refusal(done: guest.Guest) -> guest.Frame:
    """Said three times: nobody is there later to say it again."""
    frames = guest.frames(done.line)
    assert [(frame.type, frame.session) for frame in frames] == [(guest.REFUSED, SESSION)] * 3
    assert len({frame.payload for frame in frames}) == 1
    return frames[0]


def test_cpu_without_popcnt_is_refused_in_one_line() -> None:
    done = boot_with({"max": "qemu64"}, FRAMED)
    assert done.exit_code == machines.FAILURE_EXIT
    assert b"POPCNT" in the_refusal(done).payload
    done = boot_with({"max": "qemu64"}, "output=text")
    assert done.exit_code == machines.FAILURE_EXIT
    assert done.line.decode().strip().count("\n") == 0
    assert done.line.startswith(b"\nREFUSED: this CPU lacks POPCNT or BMI1")


@pytest.mark.parametrize(
    ("cpu", "what"), [("qemu64,-lm", b"no 64-bit mode"), ("qemu64,-nx", b"no no-execute pages")]
)
def test_cpu_that_is_too_old_is_refused(cpu: str, what: bytes) -> None:
    done = boot_with({"max": cpu}, "")
    assert done.exit_code == machines.FAILURE_EXIT
    assert done.line == b"\nREFUSED: this CPU has " + what + b"\n"


def test_too_little_memory_is_refused() -> None:
    done = boot_with({"512M": "24M"}, "")
    assert done.exit_code == machines.FAILURE_EXIT
    assert done.line == b"\nREFUSED: less than 16 MiB of memory in one piece\n"


def test_time_to_wait_for_a_recorder_that_is_none_is_refused() -> None:
    done = boot("wait=abc")
    assert done.exit_code == machines.FAILURE_EXIT
    assert done.line.endswith(b"\nREFUSED: wait= is seconds, 86400 at the most\n")


def test_command_line_that_is_too_long_is_refused() -> None:
    done = boot(FRAMED + "x" * 3000)
    assert done.exit_code == machines.FAILURE_EXIT
    assert b"command line" in the_refusal(done).payload


# ---- the line -----------------------------------------------------------------------------------


def test_line_reads_what_is_sent() -> None:
    sent = bytes(range(32, 127)) * 20 + b"\n"
    done = boot("do=echo", send=sent)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert sent in done.line


def test_line_loses_nothing_to_a_slow_reader() -> None:
    done = boot("do=flood", stall=0.5)
    assert done.exit_code == machines.SUCCESS_EXIT
    words = b"".join(i.to_bytes(4, "little") for i in range(65536))
    assert words in done.line


@pytest.mark.parametrize("clock", ["insn", "emulated"])
def test_line_is_given_up_when_nobody_reads(clock: str) -> None:
    icount = ("-icount", "shift=0,sleep=off") if clock == "emulated" else ()
    command = [word for word in EXACT.command(str(kernel())) if word not in icount]
    done = guest.run(command, f"clock={clock} do=flood", stall=60)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert 0.9 < done.stalled_seconds < 50
    assert 0 < len(done.line) < 256 * 1024  # what fits into the socket


# ---- Multiboot2 ---------------------------------------------------------------------------------


def boot_cd(tmp_path: Path, extra: list[str], arguments: str) -> guest.Guest:
    iso = tmp_path / "probe.iso"
    make_iso(kernel(), iso, arguments)
    command = EXACT.command("unused")
    at = command.index("-kernel")
    # Without instruction counting: the firmware's waits are real time here.
    command = [w for w in command[:at] if w not in ("-icount", "shift=0,sleep=off")]
    return guest.run([*command, *extra, "-cdrom", str(iso)], "", timeout=90)


def test_multiboot2_by_grub_under_bios(tmp_path: Path) -> None:
    done = boot_cd(tmp_path, [], "clock=emulated session=7 note=a/b:c$d*")
    assert done.exit_code == machines.SUCCESS_EXIT
    check_facts(done.facts, "multiboot2")
    assert done.facts["arguments"].split() == ["clock=emulated", "session=7", "note=a/b:c$d*"]


def test_multiboot2_by_grub_under_uefi(tmp_path: Path) -> None:
    firmware = Path("/usr/share/OVMF/OVMF_CODE.fd")
    assert firmware.exists(), "install ovmf and grub-efi-amd64-bin"
    drive = f"if=pflash,format=raw,readonly=on,file={firmware}"
    done = boot_cd(tmp_path, ["-drive", drive], "clock=emulated output=framed session=7 do=fault")
    check_facts(done.facts | {"end": "1"}, "multiboot2")
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.cr2 == 0xFFFF800000DEAD00
    assert done.exit_code == machines.FAILURE_EXIT


# ---- KVM ----------------------------------------------------------------------------------------


def test_kvm_problem_is_one_line_or_none(tmp_path: Path) -> None:
    assert "No such file" in str(machines.kvm_problem(str(tmp_path / "kvm")))
    assert "virtual machine" in str(machines.kvm_problem("/dev/null"))
    problem = machines.kvm_problem()
    assert problem is None or ("\n" not in problem and problem.startswith("/dev/kvm"))


@pytest.mark.skipif(machines.kvm_problem() is not None, reason=str(machines.kvm_problem()))
def test_kvm_boots_with_real_ticks() -> None:
    kvm = machines.MACHINES["kvm"]
    done = guest.run(kvm.command(str(kernel())), " ".join(kvm.arguments()))
    assert done.exit_code == machines.SUCCESS_EXIT
    check_facts(done.facts, "pvh")
    assert done.facts["clock.class"] == "0"
    hz, ns = int(done.facts["clock.hz"]), int(done.facts["clock.ns_of_2m_ticks"])
    assert 0.9 < hz * ns / 2e15 < 1.2
