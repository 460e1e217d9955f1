# SPDX-License-Identifier: MIT
"""Address spaces live in QEMU: the CPU's own walk through tables that were built, what CPUs still
remember after a change, storms of shootdowns, and memory that comes at the first touch.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import guest  # noqa: E402
import machines  # noqa: E402
from probe_kernel import kernel  # noqa: E402

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
PAGE, LAZY_PAGES = 4096, 256
PAGE_FAULT, NO_VECTOR = 14, 256
WRITE = 2  # error code


def boot(deed: str, cpus: int, words: str = "", cpu: str = "max") -> guest.Guest:
    machine = machines.MACHINES["exact" if cpus == 1 else "smp"]
    values = {"memory": "256"} if cpus == 1 else {"memory": "256", "cpus": str(cpus)}
    command = [cpu if w == "max" else w for w in machine.command(str(kernel()), values)]
    words = " ".join([*machine.arguments(), f"do={deed}", words])
    return guest.run(command, words, timeout=240)


def finished(deed: str, cpus: int, words: str = "", cpu: str = "max") -> dict[str, int]:
    done = boot(deed, cpus, words, cpu)
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-1000:]
    prefix = deed.removeprefix("paging_") + "."
    found = {key: int(value) for key, value in done.facts.items() if key.startswith(prefix)}
    assert found, done.line[-1000:]
    return {key.removeprefix(prefix): value for key, value in found.items()}


def seed() -> int:
    chosen = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={chosen}")
    return chosen


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("cpu", ["max", "qemu64"] if SOAK else ["max"])
def test_cpus_walk_the_tables_as_they_were_built_and_remember_nothing_else(
    cpus: int, cpu: str
) -> None:
    cpu = cpu if cpu == "max" else "qemu64,+popcnt,+bmi1"
    # Each question to the other CPU waits until the computer runs that one's thread.
    count = (3000 if cpus == 1 else 150) * (8 if SOAK else 1)
    facts = finished("paging_walk", cpus, f"count={count} seed={seed()}", cpu)
    assert facts["wrong"] == 0
    assert facts["accesses"] == 19 * count
    # each fault was answered, and each kind of answer came about
    assert facts["handled"] >= facts["faults"] > count
    assert 0 < facts["refused"] < count
    if cpus == 1:
        assert facts["shots"] == 0
    else:
        assert facts["shots"] == facts["received"] > count // 10


@pytest.mark.parametrize(("cpus", "count"), [(2, 400), (4, 80), (8, 20)])
def test_storms_of_shootdowns_end_and_leave_nothing_stale(cpus: int, count: int) -> None:
    facts = finished("paging_storm", cpus, f"count={count * (20 if SOAK else 1)}")
    assert facts["cpus"] == cpus
    assert facts["stale"] == facts["failed"] == facts["unanswered"] == 0
    assert facts["seen"] > 50 and facts["shots"] > 50 and facts["kernel_shots"] > 10
    assert facts["answered"] == facts["asked"]
    assert facts["kicks_more_than_shots"] == 0


def test_cpu_that_does_not_answer_is_named() -> None:
    done = boot("paging_late", 2, "session=7 output=framed")
    assert done.exit_code == machines.FAILURE_EXIT
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == NO_VECTOR and panic.cpu == 0
    assert "CPU 1 does not drop translations" in panic.reason
    assert "kernel_map_guard" in guest.image_of(kernel()).backtrace(panic)


@pytest.mark.parametrize("cpus", [1, 4])
def test_lazy_memory_comes_zeroed_at_the_first_touch_and_once(cpus: int) -> None:
    facts = finished("paging_lazy", cpus)
    assert facts["wrong"] == 0 and facts["sound"] == 1
    assert facts["faults"] == LAZY_PAGES
    assert facts["resident"] == LAZY_PAGES * PAGE and facts["resident_after"] == 0
    assert facts["handled_besides"] == 0


def test_fault_that_the_handler_refuses_is_a_panic() -> None:
    done = boot("paging_lazy_bad", 1, "session=7 output=framed")
    assert done.exit_code == machines.FAILURE_EXIT
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == PAGE_FAULT and panic.error == WRITE
    assert panic.reason == f"page fault: write to {panic.cr2:x}, not mapped"


def test_contexts_keep_apart_where_there_are_no_pcids() -> None:
    """TCG plays none; Bochs does (test_bochs.py)."""
    facts = finished("paging_contexts", 1, f"seed={seed()}")
    assert facts["pcid"] == facts["invpcid"] == facts["kept"] == facts["recycled"] == 0
    assert facts["wrong"] == 0 and facts["loads"] > 1000
