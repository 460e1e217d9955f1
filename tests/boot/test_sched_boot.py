# SPDX-License-Identifier: MIT
"""The scheduler on the machine's CPUs: its timer, kicks, HLT and preemption (deeds_sched*.c)."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import bochs  # noqa: E402
import guest  # noqa: E402
import machines  # noqa: E402
from configurations import iso_for  # noqa: E402
from probe_kernel import kernel  # noqa: E402

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
EXACT = machines.MACHINES["exact"]
POLICIES = ("fifo", "predictive", "deadline")
TIMEOUT = 7200 if SOAK else 90
MS = 1_000_000  # ns


@cache
def image() -> guest.Image:
    return guest.Image(kernel())


def boot(deed: str, cpus: int, arguments: str = "") -> guest.Guest:
    """Several CPUs, and time that passes as the emulator runs."""
    words = [w for w in EXACT.command(str(kernel())) if w not in ("-icount", "shift=0,sleep=off")]
    words[words.index("-smp") + 1] = str(cpus)
    return guest.run(words, f"clock=emulated {arguments} do={deed}", timeout=TIMEOUT)


def boot_exact(deed: str, arguments: str = "") -> guest.Guest:
    words = " ".join([*EXACT.arguments(), arguments, f"do={deed}"])
    return guest.run(EXACT.command(str(kernel())), words, timeout=TIMEOUT)


def said(done: guest.Guest) -> dict[str, int]:
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-600:]
    return counts(done.facts)


def counts(facts: dict[str, str]) -> dict[str, int]:
    rows = {key[6:]: value for key, value in facts.items() if key.startswith("sched.")}
    return {key: int(value) for key, value in rows.items() if value.isdigit()}


def check_meeting(found: dict[str, int], count: int) -> None:
    """Eight threads take turns in pairs; 8 times 4 others end and are waited for."""
    for policy in POLICIES:
        assert found[f"{policy}.met"] == 8 * count
        assert found[f"{policy}.ended"] == found[f"{policy}.joined"] == 32
        assert found[f"{policy}.early"] == 0
        assert found[f"{policy}.idle"] == 1


# ---- what threads ask for -----------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [2, 8] + [64] * SOAK)
def test_threads_block_wake_sleep_end_and_are_waited_for(cpus: int) -> None:
    check_meeting(said(boot("sched_meet", cpus, "count=100")), 100)


def test_nothing_comes_when_the_last_cpu_has_left() -> None:
    found = said(boot_exact("sched_meet", "count=50"))
    check_meeting(found, 50)
    assert found["interrupts_afterwards"] == 0


def test_interrupts_that_were_asked_for_before_go_on_afterwards() -> None:
    found = said(boot_exact("sched_meet", "count=20 disturb=1000"))
    check_meeting(found, 20)
    assert 18 <= found["interrupts_afterwards"] <= 21  # in 20 ms


@pytest.mark.parametrize(("cpus", "count"), [(2, 500), (8, 100)] + [(8, 100000)] * SOAK)
def test_no_wake_up_is_lost_and_no_thread_runs_twice(cpus: int, count: int) -> None:
    found = said(boot("sched_storm", cpus, f"count={count}"))
    assert found["cpus"] == cpus
    for policy in POLICIES:
        for strict in ("", "strict_"):
            assert found[f"{policy}.{strict}rounds"] >= count
            assert found[f"{policy}.{strict}wrong"] == 0
            assert found[f"{policy}.{strict}migrations"] > 0
        assert found[f"{policy}.preemptions"] + found[f"{policy}.strict_preemptions"] > 0


# ---- preemption ---------------------------------------------------------------------------------


def test_thread_that_never_yields_is_preempted_under_each_policy() -> None:
    found = said(boot_exact("sched_greedy", "count=20"))
    for policy in POLICIES:
        assert found[f"{policy}.changed"] == 0
        assert found[f"{policy}.preemptions_least"] >= 18  # the last one is alone at the end
        # Three threads, slices of 1 ms; the deadline policy lets one have several in a row.
        assert found[f"{policy}.waited_most_ns"] < (2 if policy != "deadline" else 5) * 1.1 * MS


def test_preemption_in_a_leaf_waits_for_the_rest_of_it_and_no_longer() -> None:
    found = said(boot_exact("sched_leaf"))
    # 20 times with each of five lengths, in slices of 1 ms.
    assert found["leaf_preemptions"] >= 100
    for length in (100, 200, 500, 1000, 3000):
        late = found[f"leaf_waited_ns.{length}"] - MS
        # Each instruction that is left costs an exception of some hundred.
        assert 0 < late < 3000 + 200 * length, length


def test_preemption_that_had_to_wait_comes_as_soon_as_it_may() -> None:
    found = said(boot_exact("sched_late"))
    # Of 8 each; the policy lets the running one go on now and then.
    for way in ("open", "masked", "disabled", "leaf", "handler"):
        assert found[f"at_once.{way}"] >= 6 and found[f"too_early.{way}"] == 0, way


def test_a_preemption_after_each_single_instruction_changes_nothing() -> None:
    done = boot_exact("sched_steps", "all=1" if SOAK else "")
    found = said(done)
    assert (found["steps_changed"], found["steps_wrong"]) == (0, 0)
    steps = {key: n for key, n in found.items() if ".steps." in key}
    assert len(steps) == 4 * (6 if SOAK else 4)
    assert all(500 < n < 20000 for n in steps.values()), steps  # until one came too late
    assert sum(steps.values()) - found["steps_came"] <= len(steps)
    assert found["fifo.preemptions.crowd_block"] > found["fifo.steps.crowd_block"]
    assert found["steps_joined"] >= sum(n for key, n in steps.items() if key.endswith("join"))
    places = [int(word, 16) for word in done.facts["sched.places"].split()]
    names = {image().name(place) for place in places}
    assert len(places) > 300
    asked = {"sched_pass", "sched_wake", "sched_block", "sched_sleep_until", "sched_join"}
    assert (asked | {"sched_create", "sched_start", "thread_main", "idle"}) - names == set()


# ---- time ---------------------------------------------------------------------------------------


def test_timer_interrupts_only_who_shares_a_cpu_or_waits_for_a_time() -> None:
    found = said(boot_exact("sched_ticks"))
    assert found["ticks_alone"] == found["ticks_alone_again"] == 0
    assert 8 <= found["ticks_together"] <= 14  # 10 ms of one, in slices of 1 ms
    # Ten sleeps of each length; the shortest are over before they begin.
    assert found["sleeps"] == 60
    assert found["ticks_asleep"] <= 60 and found["early"] == 0
    assert 0 < found["late_most_ns"] < 5000
    # HLT: each wait lasts until an interrupt, and the time is the idle thread's.
    assert 40 <= found["idles"] <= found["ticks_asleep"]
    assert 110000 < found["idle_us"] < 112000


@pytest.mark.parametrize("cpus", [1])
def test_sleep_is_never_too_short_by_a_clock_that_runs(cpus: int) -> None:
    found = said(boot("sched_ticks", cpus))
    assert (found["sleeps"], found["early"]) == (60, 0)
    assert found["idles"] <= found["ticks_asleep"] + 5


# ---- stacks -------------------------------------------------------------------------------------


def test_thread_that_needs_more_stack_than_it_has_is_named() -> None:
    done = boot("sched_overflow", 1, "session=20240609 output=framed")
    assert done.exit_code == machines.FAILURE_EXIT, done.line[-600:]
    assert b"probe sched.modest=2" in done.line
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == 14
    assert panic.reason.startswith("stack overflow of thread greedy: ")
    assert set(image().backtrace(panic)) == {"deeds_descend"}


# ---- another machine ----------------------------------------------------------------------------


@pytest.mark.skipif(bochs.problem() is not None, reason=str(bochs.problem()))
@pytest.mark.parametrize("deed", ["sched_meet"] + ["sched_leaf"] * SOAK)
def test_threads_run_by_deadlines_of_the_time_stamp_counter(deed: str, tmp_path: Path) -> None:
    iso = iso_for(kernel(), tmp_path, f"clock=emulated apic=x2 count=10 do={deed}")
    done = bochs.run(iso, tmp_path, b"probe end=1\n", cpus=2)
    assert done.ended and done.complaints == [], done.line[-500:]
    assert done.facts["apic.deadline"] == "yes" and done.facts["cpus.running"] == "2"
    found = counts(done.facts)
    if deed == "sched_meet":
        check_meeting(found, 10)
    else:
        assert found["leaf_preemptions"] >= 50
