# SPDX-License-Identifier: MIT
"""Each way a run can end, told apart."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
from pathlib import Path

import pytest
import wire_encoder as wire
from recorder_run import BUILD_ID, SUCCESS, Recorder, gone_soon, send, tiny_elf


def begun(target: wire.Target, seconds: int = 60, rows: int = 2) -> bytes:
    """HELLO, plan and the first case begun; nothing finished."""
    stream = target.head() + wire.begin(0, "heap/pair_64", 0, rows, seconds)
    return target.hello() + b"".join(target.data(stream))


def test_complete_run_is_stored_whole(recorder: Recorder, target: wire.Target) -> None:
    assert recorder.bench([send(target.complete()), ["exit", SUCCESS]], clock="insn") == 0
    assert recorder.outcome() == ("complete", "")
    row = recorder.query("SELECT run, machine, target, clock, hz, dirty, size, boots FROM run")
    assert row == [("r1", "qemu-exact", "qemu", "insn", 10**9, 0, "quick", 1)]
    assert set(recorder.statuses().values()) == {"ok"}
    rounds = recorder.query(
        "SELECT boot, round, operations, overhead, cold, samples, tags FROM round"
        " WHERE id = 'heap/pair_64/linked_list' ORDER BY round"
    )
    blob = struct.pack("<3q", 100, 100, 101)
    assert rounds == [(0, 0, 10, 7, 250, blob, bytes(3)), (0, 1, 10, 7, 250, blob, bytes(3))]
    assert recorder.query("SELECT * FROM counter") == [
        ("r1", "qemu-exact", "ipc/pair_56/fusion_spsc", "hit_rate", 9, 10, "percent")
    ]
    described = recorder.query("SELECT role, what, unit, definition, operations FROM bench_row"
                               " WHERE id LIKE '%linked_list'")  # fmt: skip
    assert described == [
        ("baseline", "what heap/pair_64/linked_list does", "instructions", f"{0x1234:016x}", 10)
    ]
    assert (recorder.results / "latest").readlink() == Path("runs/r1")
    assert (recorder.place / "log.txt").read_text() == "first words\nmore words\n"
    assert (recorder.place / "tables.txt").read_text() == (
        "row  p50\nheap/pair_64/hybrid  2.0\n"
        "counter ipc/pair_56/fusion_spsc hit_rate 9/10 percent\n"
    )
    assert "hit_rate" not in recorder.done.stdout, "hundreds of lines that few look for"
    assert "row  p50" not in recorder.done.stdout, "the report's table follows, of all machines"
    assert "complete: 3 of 3 rows, 1 of 1 boots" in recorder.done.stdout.splitlines()[-1]
    recorder.check_store()


def test_facts_say_where_a_number_comes_from(recorder: Recorder, target: wire.Target) -> None:
    steps = [send(target.complete()), ["exit", SUCCESS]]
    assert recorder.bench(steps, commit="abc123", dirty=1, **{"fact:firmware": "none here"}) == 0
    facts = dict(recorder.query("SELECT key, value FROM fact"))
    assert facts["build.id"] == BUILD_ID.hex()
    assert facts["guest.cpu.brand"] == "a fake CPU"
    assert facts["firmware"] == "none here"
    assert facts["build.compiler"] == facts["build.flags"] == "unknown"
    assert "fake_target.py" in facts["command"] and "{line}" in facts["command"]
    for key in ("cpu", "family", "microcode", "mitigations", "smt", "turbo", "governor", "kernel",
                "hypervisor", "memory"):  # fmt: skip
        assert facts[f"host.{key}"]
    assert recorder.query("SELECT commit_id, dirty FROM run") == [("abc123", 1)]


def test_facts_of_a_real_program_name_compiler_and_flags(recorder: Recorder, target) -> None:
    source = recorder.folder / "program.c"
    source.write_text("int main(void) { return 0; }\n")
    image = recorder.folder / "program"
    subprocess.run(["gcc", "-g", "-O1", "-Wl,--build-id", "-o", image, source], check=True)
    assert recorder.bench([["exit", 0]], image=image) == 30
    facts = dict(recorder.query("SELECT key, value FROM fact"))
    assert facts["build.compiler"].startswith("GCC: ")
    assert "-O1" in facts["build.flags"]
    assert len(facts["build.id"]) == 40


def test_random_session_is_told_to_the_target(recorder: Recorder) -> None:
    steps = [["complete", BUILD_ID.hex()], ["exit", SUCCESS]]
    assert recorder.bench(steps, steps, session="random") == 0
    assert recorder.query("SELECT boots FROM run") == [(2,)]
    assert recorder.query("SELECT DISTINCT boot FROM round ORDER BY boot") == [(0,), (1,)]


# ---- boots together ----------------------------------------------------------------------------


def boots(recorder: Recorder, first: wire.Target, second: wire.Target, **options: object) -> int:
    second.boot, second.session = 1, first.session + 1
    return recorder.bench([send(first.complete()), ["exit", SUCCESS]],
                          [send(second.complete()), ["exit", SUCCESS]], **options)  # fmt: skip


def changed(target: wire.Target, index: int, **changes: object) -> wire.Target:
    rows = list(target.rows)
    rows[index] = wire.replace(rows[index], **changes)  # type: ignore[arg-type]
    return target.variant(rows=tuple(rows))


def test_equal_boots_are_complete(recorder: Recorder, target: wire.Target) -> None:
    assert boots(recorder, target, target.variant()) == 0
    assert recorder.outcome() == ("complete", "")


def test_what_the_processor_counted_adds_up_over_the_boots(recorder, target) -> None:
    """The rest of the row is exact: cycles that differ do not make it less so."""
    counters = [(("core_cycles", cycles, 10, "cycles"), ("hits", 1, 2, "ratio"))
                for cycles in (2**55, 70)]  # fmt: skip
    first = changed(target, 1, counters=counters[0])
    assert boots(recorder, first, changed(target, 1, counters=counters[1])) == 0
    assert recorder.outcome() == ("complete", "")
    assert recorder.query("SELECT name, numerator, denominator, unit FROM counter"
                          " WHERE id = 'heap/pair_64/hybrid' ORDER BY name") == [
        ("core_cycles", 2**55 + 70, 20, "cycles"), ("hits", 1, 2, "ratio")]  # fmt: skip


def test_curves_are_counters_that_name_their_x(recorder, target) -> None:
    """As many points as a row may have, beside counters of the same name and of others."""
    points = [(f"{'a' * 43}{c}@{x}", x, 3, "bytes")
              for c in range(8) for x in (*range(31), 2**63 - 1)]  # fmt: skip
    counters = (*points, ("a", 5, 1, "count"), *((f"c{i}", i, 7, "ratio") for i in range(63)))
    same = changed(target, 1, counters=counters)
    assert boots(recorder, same, same.variant()) == 0
    assert recorder.outcome() == ("complete", "")
    found = recorder.query("SELECT name, numerator, denominator, unit FROM counter"
                           " WHERE id = 'heap/pair_64/hybrid'")  # fmt: skip
    assert len(found) == 320 and sorted(found) == sorted(counters)


def test_a_point_that_differs_between_boots_is_not_deterministic(recorder, target) -> None:
    first = changed(target, 1, counters=(("a@1", 60, 10, "ratio"), ("a@2", 1, 1, "ratio")))
    second = changed(target, 1, counters=(("a@1", 61, 10, "ratio"), ("a@2", 1, 1, "ratio")))
    assert boots(recorder, first, second) == 40
    assert recorder.statuses()["heap/pair_64/hybrid"] == "not deterministic"


@pytest.mark.parametrize("other", ["count", "instructions"])
def test_a_counter_that_changes_its_unit_is_not_deterministic(recorder, target, other) -> None:
    first = changed(target, 1, counters=(("core_cycles", 60, 10, "cycles"),))
    second = changed(target, 1, counters=(("core_cycles", 60, 10, other),))
    assert boots(recorder, first, second) == 40
    assert recorder.statuses()["heap/pair_64/hybrid"] == "not deterministic"


DIFFERENCES = {
    "samples": (
        {"values": ((100, 100, 102), (100, 100, 102))},
        "window 3 takes 101 in round 2 of boot 1, 102 in round 1 of boot 2",
    ),
    "cold": ({"cold": 251}, "the first window of round 1 is 250 in boot 1, 251 in boot 2"),
    "overhead": ({"overhead": 8}, "the overhead of round 1 is 7 in boot 1, 8 in boot 2"),
    "count": (
        {"operations": 10, "values": ((100, 100), (100, 100))},
        "3 windows of 10 in boot 1, 2 of 10 in boot 2",
    ),
    "counter": (
        {"counters": (("hits", 1, 2, "ratio"),)},
        "hits is 1/3 in boot 1, 1/2 in boot 2",
    ),
    "unit": (
        {"counters": (("hits", 1, 3, "bytes"),)},
        "hits is 1/3 ratio in boot 1, 1/3 bytes in boot 2",
    ),
}


@pytest.mark.parametrize("change, why", DIFFERENCES.values(), ids=DIFFERENCES)
def test_boots_that_differ_are_not_deterministic(recorder, target, change, why) -> None:
    target = changed(target, 0, counters=(("hits", 1, 3, "ratio"),))
    other = changed(target, 0, **change)
    assert boots(recorder, target, other) == 40
    assert recorder.outcome() == (
        "rows rejected", f"heap/pair_64/linked_list: not deterministic: {why}")  # fmt: skip
    told = "SELECT value FROM fact WHERE key = 'rejected.heap/pair_64/linked_list'"
    assert recorder.query(told) == [(why,)]
    assert f"heap/pair_64/linked_list: not deterministic: {why}" in recorder.done.stdout
    assert recorder.statuses()["heap/pair_64/linked_list"] == "not deterministic"
    assert recorder.statuses()["heap/pair_64/hybrid"] == "ok"


def test_rounds_that_differ_are_not_deterministic(recorder: Recorder, target) -> None:
    other = changed(target, 1, values=((20, 20, 20), (20, 21, 20)))
    assert recorder.bench([send(other.complete()), ["exit", SUCCESS]]) == 40
    assert recorder.statuses()["heap/pair_64/hybrid"] == "not deterministic"


def test_sampled_clocks_may_differ(recorder: Recorder, target: wire.Target) -> None:
    first = target.variant(clock=wire.TSC)
    other = changed(first, 0, values=((3, -1, 2), (9, 9, 9)), cold=1)
    assert boots(recorder, first, other) == 0
    assert recorder.query("SELECT clock FROM run") == [("tsc",)]


@pytest.mark.parametrize(
    "change",
    [{"definition": 5}, {"id": "heap/pair_64/other"}, {"unit": "ticks"}, {"operations": 11}],
    ids=["definition", "id", "unit", "operations"],
)
def test_boots_with_other_plans_are_damage(recorder, target, change) -> None:
    assert boots(recorder, target, changed(target, 0, **change)) == 40
    outcome, detail = recorder.outcome()
    assert outcome == "stream damaged"
    assert "boot 2 of 2: boots planned different rows" in detail


def test_boots_stop_at_the_first_failure(recorder: Recorder, target: wire.Target) -> None:
    assert recorder.bench([send(begun(target)), ["exit", 1]], [["exit", 0]], boots=5) == 40
    assert recorder.query("SELECT boots FROM run") == [(1,)]
    assert recorder.outcome() == ("target died", "boot 1 of 5: exit code 1 during heap/pair_64")
    assert set(recorder.statuses().values()) == {"missing"}


# ---- died, panicked, hung ----------------------------------------------------------------------


def test_killed_target_is_named_with_its_signal(recorder: Recorder, target) -> None:
    assert recorder.bench([send(begun(target)), ["signal", int(signal.SIGKILL)]]) == 40
    assert recorder.outcome() == (
        "target died",
        "killed by signal 9 (Killed) during heap/pair_64",
    )


def test_success_code_without_end_is_no_success(recorder: Recorder, target) -> None:
    assert recorder.bench([send(begun(target)), ["exit", SUCCESS]]) == 40
    outcome, detail = recorder.outcome()
    assert outcome == "target died" and detail.startswith("ended without END")
    assert "heap/pair_64/hybrid: missing" in recorder.done.stdout


def test_end_with_another_exit_code_is_no_success(recorder: Recorder, target) -> None:
    assert recorder.bench([send(target.complete()), ["exit", 0]]) == 40
    assert recorder.outcome()[0] == "target died"
    assert "END says success" in recorder.outcome()[1]


def test_failed_row_is_named(recorder: Recorder, target: wire.Target) -> None:
    failing = changed(target, 1, status=wire.CHECKSUM, detail="1 instead of 2")
    stream = failing.stream()
    said = failing.hello() + b"".join(failing.data(stream)) + failing.end(stream, success=0)
    assert recorder.bench([send(said), ["exit", 99]]) == 40
    outcome, detail = recorder.outcome()
    assert outcome == "rows rejected"
    assert "heap/pair_64/hybrid: checksum wrong: 1 instead of 2" in detail
    assert recorder.statuses()["heap/pair_64/hybrid"] == "checksum wrong"
    assert recorder.statuses()["heap/pair_64/linked_list"] == "ok"


def test_target_that_plans_nothing_is_no_success(recorder: Recorder, target) -> None:
    assert recorder.bench([send(target.variant(rows=()).complete()), ["exit", SUCCESS]]) == 40
    assert "planned nothing" in recorder.outcome()[1]


def test_panic_tells_fault_place_and_case(recorder: Recorder, target: wire.Target) -> None:
    said = begun(target) + target.panic(0x100123, 0x8000, bytes(64))
    assert recorder.bench([send(said), ["exit", 99]]) == 40
    outcome, detail = recorder.outcome()
    assert outcome == "guest panic"
    assert "page fault (vector 14, error 2, cr2 dead000)" in detail
    assert "during heap/pair_64" in detail and "0x100123" in detail
    log = (recorder.place / "log.txt").read_text()
    assert "#0  0x0000000000100123" in log and "rsp 0000000000008000" in log


def test_panic_after_end_is_a_panic(recorder: Recorder, target: wire.Target) -> None:
    said = target.complete() + target.panic(0, 0)
    assert recorder.bench([send(said), ["exit", SUCCESS]]) == 40
    assert recorder.outcome()[0] == "guest panic"


SPINNER = """
#include <stdlib.h>
#include <unistd.h>
static const unsigned char words[] = {%s};
volatile int stop;
__attribute__((noinline)) int spin_here(int depth)
{
    while (!stop) {
    }
    return depth + stop;
}
__attribute__((noinline)) int call_spinner(int depth)
{
    return spin_here(depth + 1) + stop;
}
int main(int count, char **arguments)
{
    (void)count;
    if (write(atoi(arguments[1]), words, sizeof(words)) != sizeof(words))
        return 1;
    return call_spinner(2);
}
"""


def test_hang_of_a_process_is_named_by_function_and_line(recorder, target) -> None:
    said = begun(target.variant(build_id=b""), seconds=1)
    source, image = recorder.folder / "spinner.c", recorder.folder / "spinner"

    def compile(data: bytes) -> None:
        source.write_text(SPINNER % ",".join(map(str, data)))
        subprocess.run(["gcc", "-g", "-O1", "-no-pie", "-fomit-frame-pointer",
                        "-Wl,--build-id=0x" + BUILD_ID.hex(), "-o", image, source],
                       check=True)  # fmt: skip

    said = begun(target, seconds=1)
    compile(said)
    command = [str(image), "{line}", "{arguments}"]
    assert recorder.bench([], command=command, image=image, target="host", machine="native") == 40
    outcome, detail = recorder.outcome()
    assert outcome == "hang"
    assert "longer than the 1 s announced during heap/pair_64 at spin_here" in detail
    assert "spinner.c:8" in detail
    log = (recorder.results / "runs/r1/host-native/log.txt").read_text()
    assert [line.split()[2] for line in log.splitlines() if line.startswith("#")][:3] == [
        "spin_here", "call_spinner", "main"
    ]  # fmt: skip


def test_silence_between_cases_is_a_hang(recorder: Recorder, target: wire.Target) -> None:
    steps = [send(target.hello()), ["sleep", 60]]
    assert recorder.bench(steps, **{"idle-seconds": 1}) == 40
    assert recorder.outcome()[0] == "hang"
    assert gone_soon(recorder.target_pid)


def test_log_alone_does_not_put_off_the_watchdog(recorder: Recorder, target) -> None:
    spam = target.send(wire.LOG, wire.TEXT, b"still here\n")
    step = [send(spam), ["sleep", 0.1]]
    steps = [send(begun(target, seconds=1))] + step * 60
    assert recorder.bench(steps) == 40
    assert recorder.outcome()[0] == "hang"


def test_target_that_does_not_stop_after_end_hangs(recorder: Recorder, target) -> None:
    steps = [send(target.complete()), ["sleep", 60]]
    assert recorder.bench(steps, **{"idle-seconds": 1}) == 40
    assert recorder.outcome()[0] == "hang"
    assert "did not end" in recorder.outcome()[1]


GREETING = {"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}
REGISTERS = (
    "\r\nCPU#0\r\nRAX=0000000000000001 RBX=0000000000000002 RCX=0 RDX=0\r\n"
    "RSI=0 RDI=0 RBP=0 RSP=0000000000009000\r\nR8 =0000000000000008 R9 =0 R10=0 R11=0\r\n"
    "R12=0 R13=0 R14=0 R15=000000000000000f\r\nRIP=0000000000100777 RFL=00000046 [---Z-P-]\r\n"
    "CR0=80000011 CR2=0000000000000042 CR3=0000000000001000 CR4=00000020\r\n"
)


def test_triple_fault_is_found_through_qmp(recorder: Recorder, target: wire.Target) -> None:
    events = [GREETING, {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"}},
              {"event": "STOP"}]  # fmt: skip
    qmp = {"events": events, "info registers": REGISTERS,
           "x /": "0000000000009000: 0x0000000000000001 0x0000000000000002\r\n"}  # fmt: skip
    assert recorder.bench([send(begun(target)), ["qmp", qmp]], qmp=True) == 40
    outcome, detail = recorder.outcome()
    assert outcome == "triple fault" and "during heap/pair_64 at 0x100777" in detail
    log = (recorder.place / "log.txt").read_text()
    assert "rip 0000000000100777" in log and "r15 000000000000000f" in log


def test_triple_fault_without_pause_is_still_one(recorder: Recorder, target) -> None:
    """QEMU exits 0 after a triple fault, which must never pass for success."""
    event = {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"}}
    steps = [send(begun(target)), ["qmp_event", event], ["exit", 0]]
    assert recorder.bench(steps, qmp=True, **{"success-exit": 0}) == 40
    assert recorder.outcome()[0] == "triple fault"


def test_shutdown_without_end_is_a_death(recorder: Recorder, target: wire.Target) -> None:
    event = {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}}
    steps = [send(begun(target)), ["qmp_event", event], ["sleep", 60]]
    assert recorder.bench(steps, qmp=True) == 40
    assert recorder.outcome() == (
        "target died",
        "the machine shut down (guest-shutdown) without END",
    )


def test_hang_in_a_machine_is_read_through_qmp(recorder: Recorder, target) -> None:
    qmp = {"events": [GREETING], "info registers": REGISTERS, "x /": "9000: 0x1\r\n"}
    steps = [send(begun(target, seconds=1)), ["qmp", qmp]]
    assert recorder.bench(steps, qmp=True) == 40
    assert recorder.outcome()[0] == "hang"
    assert "0x100777" in recorder.outcome()[1]


# ---- could not start ---------------------------------------------------------------------------


def refused(recorder: Recorder, *words: str) -> None:
    outcome, detail = recorder.outcome()
    assert outcome == "target could not start"
    for word in words:
        assert word in detail
    assert recorder.query("SELECT count(*) FROM bench_row") == [(0,)]


def test_missing_qemu_names_the_package(recorder: Recorder) -> None:
    command = ["qemu-system-nonesuch", "{line}", "{arguments}"]
    assert recorder.bench([], command=command) == 30
    refused(recorder, "cannot run qemu-system-nonesuch", "qemu-system-x86")


def test_missing_program_is_named(recorder: Recorder) -> None:
    assert recorder.bench([], command=["./not-built", "{line}", "{arguments}"]) == 30
    refused(recorder, "cannot run ./not-built: No such file")


def test_image_without_build_id_is_refused(recorder: Recorder) -> None:
    recorder.image.write_bytes(tiny_elf(BUILD_ID)[:100])
    assert recorder.bench([["exit", 0]]) == 30
    refused(recorder, "no ELF file with a build id")
    assert not recorder.pid_file.exists()


def test_image_that_is_not_there_is_named(recorder: Recorder) -> None:
    assert recorder.bench([["exit", 0]], image="nowhere.elf") == 30
    refused(recorder, "nowhere.elf", "No such file")


def test_target_that_ends_at_once_is_quoted(recorder: Recorder) -> None:
    assert recorder.bench([["print", "no such \x1b[31mmachine"], ["exit", 1]]) == 30
    refused(recorder, "exit code 1", "no such .[31mmachine")


def test_silent_target_could_not_start(recorder: Recorder) -> None:
    assert recorder.bench([["sleep", 60]], **{"start-seconds": 1}) == 30
    refused(recorder, "no HELLO within 1 s")
    assert gone_soon(recorder.target_pid)


def test_frames_of_another_session_do_not_count(recorder: Recorder, target) -> None:
    other = target.variant(session=78)
    steps = [send(other.complete()), ["sleep", 60]]
    assert recorder.bench(steps, **{"start-seconds": 1}) == 30
    refused(recorder, "another session")
    foreign = recorder.query("SELECT value FROM fact WHERE key = 'line.foreign_frames'")
    assert int(foreign[0][0]) > 5


def test_refusal_is_told(recorder: Recorder, target: wire.Target) -> None:
    why = target.send(wire.CONTROL, wire.REFUSED, b"rounds=x: give a number\x07")
    assert recorder.bench([send(target.hello() + why), ["sleep", 60]]) == 30
    refused(recorder, "refused: rounds=x: give a number.")


def test_refusal_of_a_target_that_could_not_read_its_session(recorder, target) -> None:
    why = wire.frame(wire.CONTROL, wire.REFUSED, b"unknown option", session=0)
    assert recorder.bench([send(why), ["sleep", 60]]) == 30
    refused(recorder, "refused: unknown option")


def test_another_program_is_not_believed(recorder: Recorder, target: wire.Target) -> None:
    other = target.variant(build_id=bytes(20))
    assert recorder.bench([send(other.complete()), ["sleep", 60]]) == 30
    refused(recorder, "another program answered", BUILD_ID.hex())


def test_another_clock_is_not_believed(recorder: Recorder, target: wire.Target) -> None:
    other = target.variant(clock=wire.EMULATED)
    assert recorder.bench([send(other.complete()), ["sleep", 60]], clock="insn") == 30
    refused(recorder, "clock is emulated, not insn")
    assert recorder.query("SELECT clock FROM run") == [("unknown",)]


def test_later_protocol_is_refused(recorder: Recorder, target: wire.Target) -> None:
    assert recorder.bench([send(target.hello(version=2)), ["sleep", 60]]) == 30
    refused(recorder, "protocol version 2")


# ---- on a terminal -----------------------------------------------------------------------------


def test_terminal_shows_one_line_that_is_rewritten(recorder, target: wire.Target) -> None:
    ours, theirs = pty.openpty()
    hostile = target.variant(log=(b"log \x1b[31mred\n",))
    words = recorder.words([send(hostile.complete()), ["exit", SUCCESS]])
    process = subprocess.Popen(words, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait(10) == 0
    assert b"\r\x1b[Kboot 1/1  2 of 2  ipc/pair_56  0 s" in shown
    assert b"log .[31mred\r\n" in shown
    assert b"\x1b" not in shown.replace(b"\r\x1b[K", b"")
    assert shown.splitlines()[-1].replace(b"\r\x1b[K", b"").startswith(b"complete: 3 of 3 rows")
