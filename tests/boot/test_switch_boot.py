# SPDX-License-Identifier: MIT
"""Context switches in the kernel under interrupts: at random distances, on several CPUs at once,
and after each single instruction of every form (deeds_switch.c)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import guest  # noqa: E402
import machines  # noqa: E402
from probe_kernel import kernel  # noqa: E402

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
EXACT = machines.MACHINES["exact"]
VARIANTS = ("classic", "classic_fxsave", "classic_xsave", "full", "windowed", "floor")
FORMS = ("inline", "jmp", "ret")
FUNCTIONS = 4  # those that keep registers by themselves are tried once more
SWITCHES = 10**7 if SOAK else 10**5  # of each variant in each form
CONTEXTS = 3


def boot(deed: str, cpus: int, arguments: str = "", cpu: str = "max") -> guest.Guest:
    """Several CPUs, and time that passes as the emulator runs."""
    command = [
        {"max": cpu}.get(word, word)
        for word in EXACT.command(str(kernel()))
        if word not in ("-icount", "shift=0,sleep=off")
    ]
    command[command.index("-smp") + 1] = str(cpus)
    words = f"clock=emulated {arguments} do={deed}"
    return guest.run(command, words, timeout=7200 if SOAK else 90)


def boot_exact(deed: str, arguments: str = "") -> guest.Guest:
    words = " ".join([*EXACT.arguments(), arguments, f"do={deed}"])
    return guest.run(EXACT.command(str(kernel())), words, timeout=90)


def numbers(done: guest.Guest, prefix: str) -> dict[str, int]:
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-600:]
    pairs = ((key.partition("."), value) for key, value in done.facts.items())
    return {name: int(value) for (first, _, name), value in pairs if first == prefix}


@pytest.mark.parametrize(
    ("cpus", "count"), [(1, SWITCHES), (2, SWITCHES // 10)] + [(8, SWITCHES // 10)] * SOAK
)
def test_interrupts_at_random_moments_change_nothing_that_a_switch_keeps(
    cpus: int, count: int
) -> None:
    said = numbers(boot("switch_storm", cpus, f"count={count}"), "switch")
    rounds = (len(VARIANTS) * len(FORMS) + FUNCTIONS) * (count // CONTEXTS)
    assert (said["cpus"], said["xsave"], said["changed"]) == (cpus, 1, 0)
    # A context that was left last counts when it is come back to.
    assert said["switches"] >= cpus * (rounds * CONTEXTS - 100)
    assert said["interrupts_least"] > 100


def test_what_does_not_need_xsave_works_without_it() -> None:
    said = numbers(boot("switch_storm", 1, "count=900", cpu="max,-xsave"), "switch")
    assert (said["xsave"], said["changed"]) == (0, 0)
    assert said["switches"] > 900 * 15 - 100


def instructions(start: int, length: int) -> set[int]:
    """Where the instructions of the function at `start` begin, from there; but not UD2, with which
    a compiler ends a function that does not return as it knows it."""
    words = ["objdump", "-d", f"--start-address={start:#x}", f"--stop-address={start + length:#x}"]
    text = subprocess.run([*words, str(kernel())], capture_output=True, text=True, check=True)
    rows = re.findall(r"^ *([0-9a-f]+):\t[0-9a-f ]+\t(\w+)", text.stdout, re.M)
    return {int(at, 16) - start for at, word in rows if word != "ud2"}


def test_an_interrupt_after_each_single_instruction_changes_nothing() -> None:
    done = boot_exact("switch_steps")
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-600:]
    lengths = {start: size for start, size, _ in guest.image_of(kernel()).functions}
    seen = {}
    for key, value in done.facts.items():
        if not key.startswith("step."):
            continue
        start, steps, changed, *words = value.split()
        assert int(changed) == 0, key
        assert 100 < int(steps) < 8000, key  # until the timer comes too late
        hits = sum(int(word, 16) << 64 * i for i, word in enumerate(words))
        code = int(start, 16)
        seen[key] = {i for i in range(1024) if hits >> i & 1}
        assert instructions(code, lengths[code]) - seen[key] == set(), key
    assert len(seen) == len(VARIANTS) * len(FORMS) + FUNCTIONS


@pytest.mark.parametrize("xsave", [0, 1])
def test_vector_state_that_is_handed_over_at_the_first_use_is_the_thread_s_own(xsave: int) -> None:
    count = 300000 if SOAK else 6000
    said = numbers(boot("vectors_lazy", 1, f"count={count} xsave={xsave}"), "lazy")
    assert (said["xsave"], said["changed"]) == (xsave, 0)
    assert said["uses"] > count and said["interrupts"] > 20
    # Each use but that of a thread that comes after itself, the one in between using none.
    assert count <= said["handed"] <= said["uses"] + 4


def test_thread_that_needs_more_stack_than_it_has_is_named() -> None:
    done = boot("thread_overflow", 1, "session=20240609 output=framed")
    assert done.exit_code == machines.FAILURE_EXIT, done.line[-600:]
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == 14
    assert panic.reason.startswith("stack overflow of thread deep: ")
    assert set(guest.image_of(kernel()).backtrace(panic)) == {"deeds_descend"}
