# SPDX-License-Identifier: MIT
"""Both targets from the command line to the store: planted truths and lies, and ways to die."""

from __future__ import annotations

import os
import re
import sqlite3
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from system_run import ROOT, Bench, scons

TARGETS = ["qemu", "host"]


def rows(bench: Bench) -> dict[tuple[str, int], str]:
    """(id, aa) -> status, from the store."""
    database = sqlite3.connect(bench.results / "history.db")
    return {
        (row, aa): status
        for row, aa, status in database.execute("SELECT id, aa, status FROM bench_row")
    }


def outcome(bench: Bench) -> tuple[str, str]:
    database = sqlite3.connect(bench.results / "history.db")
    (found,) = database.execute("SELECT outcome, detail FROM run").fetchall()
    return found


def samples(bench: Bench, row: str) -> list[int]:
    database = sqlite3.connect(bench.results / "history.db")
    found: list[int] = []
    for (blob,) in database.execute("SELECT samples FROM round WHERE id = ?", (row,)):
        found += struct.unpack(f"<{len(blob) // 8}q", blob)
    return found


# ---- planted ------------------------------------------------------------------------------------


def test_known_body_reads_exactly_its_length(bench: Bench) -> None:
    assert bench.run("qemu", "filter=planted/known", "planted", boots="2") == 0, bench.output
    assert set(samples(bench, "planted/known/base")) == {1000}
    assert set(samples(bench, "planted/known/longer")) == {1001}


@pytest.mark.parametrize("target", TARGETS)
def test_lies_are_caught_and_fail_the_run(bench: Bench, target: str) -> None:
    words = "filter=planted/*e* rounds=2 samples=3"
    assert bench.run(target, words, "planted") == 40, bench.output
    found = rows(bench)
    assert found["planted/deleted/base", 0] == "work deleted"
    if target == "qemu":
        assert found["planted/unsteady/base", 0] == "not deterministic"
    assert outcome(bench)[0] != "complete" or "deleted" in bench.output


def test_wrong_checksum_is_caught(bench: Bench) -> None:
    assert bench.run("qemu", "filter=planted/wrong", "planted") == 40
    assert rows(bench) == {("planted/wrong/base", 0): "checksum wrong"}


def test_a_clock_that_does_not_count_instructions_is_refused(bench: Bench) -> None:
    command = bench.command("qemu", "qemu", "suites=ipc")
    at = command.index("-icount")
    del command[at : at + 2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 30
    assert "clock proof failed" in done.stdout + done.stderr
    assert outcome(bench)[0] == "target could not start"


# ---- what disturbs, what the processor counts ---------------------------------------------------


def facts(bench: Bench) -> dict[str, str]:
    database = sqlite3.connect(bench.results / "history.db")
    return dict(database.execute("SELECT key, value FROM fact"))


CAUSES = ["interrupts", "page_faults", "migrations", "preemptions", "nmis", "smis", "steal_ns"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_cause_is_counted_or_said_not_to_be(bench: Bench, target: str) -> None:
    assert bench.run(target, "filter=ipc/pair_0 rounds=2 trace=off") == 0, bench.output
    found = facts(bench)
    counted = found["guest.events.counted"].split(", ")
    others = found["guest.events.not_counted"].split(", ")
    assert len(counted) + len(others) == len(CAUSES) and not set(counted) & set(others)
    for cause in CAUSES:
        total = found[f"guest.events.{cause}_total"]
        name = {"nmis": "NMI", "smis": "SMI", "steal_ns": "steal"}.get(cause, cause[:-1])
        if name.replace("_", " ") in counted:
            assert total.isdigit(), cause
        else:
            assert total == "not counted here" or (cause, target) == ("steal_ns", "host")


@pytest.mark.parametrize("target", TARGETS)
def test_rows_have_cycles_where_the_processor_counts_them_and_else_the_run_says_why(
    bench: Bench, target: str
) -> None:
    assert bench.run(target, "filter=ipc/pair_0 rounds=2 trace=off") == 0, bench.output
    database = sqlite3.connect(bench.results / "history.db")
    units = set(database.execute("SELECT name, unit FROM counter WHERE unit NOT IN"
                                 " ('percent', 'count', 'bytes', 'ratio')"))  # fmt: skip
    pmu = facts(bench)["guest.pmu"]
    if pmu.startswith("not available: "):
        assert units == set() and len(pmu) > 20
    else:
        assert units == {("core_cycles", "cycles"), ("instructions", "instructions")}
    if target == "qemu":
        assert pmu.startswith("not available: ")


# ---- exact is exact -----------------------------------------------------------------------------


SOAK = os.environ.get("TICKMARK_SOAK") == "1"


def test_exact_rows_are_identical_over_runs_under_load(bench: Bench, tmp_path: Path) -> None:
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            sum(i * i for i in range(10000))

    words = "" if SOAK else "filter=ipc/pair_*"
    boots = 20 if SOAK else 2
    assert bench.run("qemu", words, boots=str(boots)) == 0, bench.output
    other = Bench(tmp_path / "other")
    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert other.run("qemu", words) == 0, other.output
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for row, _ in rows(bench):
        quiet, loaded = samples(bench, row), samples(other, row)
        assert quiet == loaded * boots, row
        assert len(set(quiet)) >= 1 and min(quiet) > 0


def test_no_product_is_below_the_floor_of_its_case(whole: Callable[[str], Bench]) -> None:
    bench = whole("qemu")
    cases: dict[str, dict[str, float]] = {}
    for row, _ in rows(bench):
        case, variant = row.rsplit("/", 1)
        cases.setdefault(case, {})[variant] = sum(samples(bench, row))
        if variant == "fusion_spsc_in_place":  # copies nothing, and the floor of messages does
            del cases[case][variant]
    floors = {case: costs["floor"] for case, costs in cases.items() if "floor" in costs}
    assert len(floors) > 8
    below = {case for case, floor in floors.items() if floor > min(cases[case].values())}
    # house.ring.many asks for less than the floor of many: that one is a measure, not a bound.
    assert below <= {"ipc/many_56"}


def test_a_batch_is_sent_without_a_locked_instruction() -> None:
    words = ["objdump", "-d", "--no-show-raw-insn", "--disassemble=ring_fusion_spsc_send_batch"]
    done = subprocess.run(
        [*words, str(ROOT / "build/portable_plain.o")], capture_output=True, text=True, check=True
    )
    assert "ring_fusion_spsc_send_batch" in done.stdout
    assert re.findall(r"\b(?:lock|xchg|mfence)\b", done.stdout.replace("xchg   %ax,%ax", "")) == []


# ---- ways to die --------------------------------------------------------------------------------

DEATHS = [
    ("qemu", "panic", "guest panic", "main.c"),
    ("qemu", "triple", "triple fault", "die.c"),
    ("qemu", "fault", "guest panic", "ffff800000dead00"),
    ("qemu", "overflow", "guest panic", "stack overflow"),
    ("qemu", "hang", "hang", "run_case"),
    ("qemu", "exit", "target died", "END"),
    ("host", "panic", "guest panic", "main.c"),
    ("host", "triple", "target died", "signal 9"),
    ("host", "fault", "guest panic", "ffff800000dead00"),
    ("host", "overflow", "guest panic", "stack overflow"),
    ("host", "hang", "hang", "heap/pair_64"),
    ("host", "exit", "target died", "END"),
]


@pytest.mark.parametrize(
    "target,kind,expected,detail", DEATHS, ids=lambda v: str(v).replace(" ", "-")
)
def test_every_death_is_told_apart(
    bench: Bench, target: str, kind: str, expected: str, detail: str
) -> None:
    status = bench.run(target, f"filter=heap/pair_64 die={kind}")
    assert status == 40, bench.output
    found, text = outcome(bench)
    assert found == expected
    assert detail in text
    assert set(rows(bench).values()) == {"missing"}


@pytest.mark.parametrize("kind", ["panic", "fault", "overflow", "triple", "hang"])
def test_backtrace_names_functions_and_lines(bench: Bench, kind: str) -> None:
    bench.run("qemu", f"filter=heap/pair_64 die={kind}")
    trace = [line for line in bench.output.splitlines() if line.startswith("#")]
    assert len(trace) >= 2
    text = "\n".join(trace)
    assert all(".c:" in line or ".S:" in line or ".h:" in line for line in trace), text
    if kind != "overflow":
        assert "run_case" in text and "kernel_main targets/qemu/main.c" in text


def test_killed_qemu_is_named_and_leaves_nothing_behind(bench: Bench) -> None:
    command = bench.command("qemu", "qemu", "filter=heap/pair_64 die=hang")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 20
    child = ""
    while not child and time.monotonic() < deadline:
        found = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "--", "-kernel"], capture_output=True, text=True
        )
        child = found.stdout.strip()
        time.sleep(0.05)
    time.sleep(0.7)
    subprocess.run(["kill", "-9", child], check=True)
    process.communicate(timeout=30)
    assert process.returncode in (30, 40)
    assert outcome(bench)[0] in ("target died", "target could not start")
    assert not Path(f"/proc/{child}").exists()


def test_missing_qemu_names_the_package(bench: Bench) -> None:
    command = [
        word.replace("qemu-system-x86_64", "qemu-system-not-there")
        for word in bench.command("qemu", "qemu", "")
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 30
    assert "qemu-system-not-there" in done.stdout + done.stderr
    assert outcome(bench)[0] == "target could not start"


@pytest.mark.parametrize(
    "words,hint",
    [
        ("suites=hepa", "heap"),
        ("filter=no/such/row", "list"),
        ("rounds=0", "1024"),
        ("nonsense=1", "suites"),
    ],
)
def test_bad_words_are_refused_by_the_target_itself(bench: Bench, words: str, hint: str) -> None:
    assert bench.run("host", words) == 30
    assert hint in bench.output
    assert outcome(bench)[0] == "target could not start"


# ---- smoke --------------------------------------------------------------------------------------


def test_every_benchmark_runs_sanitised_with_invariants_on() -> None:
    done = subprocess.run(
        [str(ROOT / "build/test/tickmark_sanitised"), "output=text smoke=1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    listed = subprocess.run(
        [str(ROOT / "build/host/tickmark"), "output=list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    planned = [
        line.split()[0]
        for line in listed.splitlines()
        if line.startswith("  ")
        and "/" in line.split()[0]
        and line.split()[1] != "peer"
        and not line.split()[0].endswith("_called")  # ours, in the file of a peer's
    ]
    ran = [line.split(" - ")[1] for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sorted(ran) == sorted(planned) and len(ran) > 20


def test_text_output_is_ktap_with_closed_values(bench: Bench) -> None:
    done = subprocess.run(
        [str(ROOT / "build/host/tickmark"), "output=text filter=ipc/pair_0 rounds=2"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    values = [line for line in lines if line.startswith("# bench ")]
    assert len(values) > 2 and f"1..{len(values)}" in lines and lines[-1] == "# bench-end"
    assert all(line.endswith(" ;") for line in values)
    assert sum(line.startswith("ok ") for line in lines) == len(values)


def test_traced_pass_writes_a_trace_that_passes_its_check(bench: Bench) -> None:
    assert bench.run("qemu", "filter=heap/mixed_100k trace=on") == 0, bench.output
    file = bench.results / "runs/test/qemu-exact/trace.perfetto-trace"
    assert file.stat().st_size > 1000
    done = scons("-Q", "trace", f"check={file}")
    assert done.returncode == 0, done.stdout + done.stderr
