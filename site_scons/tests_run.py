# SPDX-License-Identifier: MIT
"""Running what tests_build.py built: Check programs side by side, then pytest, and what each part
of Tickmark's tests costs, held to a limit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, NamedTuple

SOAK_REPEATS = 25  # each with new seeds, printed by the programs
AT_ONCE_MOST = 4  # Check programs: many of them run several threads themselves

# Programs that nothing else may run beside. Empty: those that look at real time (test_tsc_sync,
# test_sched_storm) only ask that it goes on, and tests with a bound allow for a busy machine.
ALONE: frozenset[str] = frozenset()

# ---- parts --------------------------------------------------------------------------------------


class Part(NamedTuple):
    """`most` is seconds of CPU, all processes together: generous, to find a part that explodes. A
    machine that others use takes longer, but not much more CPU. `words` are those of the names of
    files that belong to it; the first part that has one of a name's words has the file."""

    name: str
    most: int
    words: frozenset[str]


def part(name: str, most: int, words: str = "") -> Part:
    return Part(name, most, frozenset(words.split()))


PARTS = (
    part("reports", 240, "reports report"),
    part("traces", 240, "trace traces perfetto"),
    part("drivers", 240, "block driver drivers nvme scratch uring virtio"),
    part("bare metal", 300, "baremetal metal image"),
    part("switch and scheduler", 360, "sched switch switches thread fiber"),
    part("ipc", 480, "ring rings ipc"),
    part(
        "memory",
        400,
        "address anonymous buddy frame frames heap kmalloc memory page pages paging peers"
        " shootdown slob slub",
    ),
    part(
        "machine",
        900,
        "acpi apic boot cpus disturb ioapic kernel machine machines numa pci pmu protection ruler"
        " smp tsc",
    ),
    part("foundation", 1200),
)


def part_of(path: str) -> str:
    """The part of a Check program or of a file of tests."""
    words = set(re.split(r"[/_.]", path))
    return next(one.name for one in PARTS if one.words & words or not one.words)


def table(spent: dict[str, float], built: float) -> str:
    """A line for each part that took part, and one for what was built."""
    lines = ["seconds of CPU by part        took    most"]
    for one in reversed(PARTS):
        if one.name in spent:
            lines.append(f"  {one.name:24} {spent[one.name]:7.0f} {one.most:7}")
    return "\n".join([*lines, f"  {'building':24} {built:7.0f}"])


def overrun(spent: dict[str, float]) -> list[str]:
    """A line for each part that took more than it may."""
    return [
        f"tickmark: the tests of {one.name} took {spent[one.name]:.0f} s of CPU, more than"
        f" {one.most} (site_scons/tests_run.py): see what takes so long"
        for one in PARTS
        if spent.get(one.name, 0) > one.most
    ]


def cpu_seconds() -> float:
    """Of this process and all that it started and waited for."""
    return sum(os.times()[:4])


# ---- Check programs -----------------------------------------------------------------------------


class Done(NamedTuple):
    program: str
    status: int
    cpu: float
    output: str


def run_one(program: str, environment: dict[str, str]) -> Done:
    """Runs a program to its end; what it and its children print is kept together."""
    output: IO[bytes]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [program], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Done(program, process.returncode, used.ru_utime + used.ru_stime, text)


def run_programs(programs: list[str], environment: dict[str, str]) -> Iterator[Done]:
    """Several at a time, given back in order."""
    together = [program for program in programs if os.path.basename(program) not in ALONE]
    at_once = min(os.cpu_count() or 1, AT_ONCE_MOST)
    with ThreadPoolExecutor(at_once) as pool:
        waiting: list[Future[Done]] = [pool.submit(run_one, p, environment) for p in together]
        try:
            for one in waiting:
                yield one.result()
        finally:
            for one in waiting:
                one.cancel()
    for program in programs:
        if os.path.basename(program) in ALONE:
            yield run_one(program, environment)


def say(text: str) -> None:
    print(text, flush=True)


def told(done: Done) -> str:
    """All that a program printed when it failed, seeds among it; else its closing line and what it
    skipped."""
    lines = done.output.splitlines(keepends=True)
    if done.status == 0:
        lines = [line for line in lines if "SKIPPED" in line or "%: Checks: " in line]
    return "".join(lines)


def failure(done: Done) -> str:
    """Which program, and the first that Check says of what does not hold."""
    wrong = re.search(r"^[^:\n]+:\d+:[EF]:.*", done.output, re.MULTILINE)
    found = f": {wrong[0]}" if wrong else ""
    return f"tickmark: {done.program} failed with status {done.status}{found}"


def check_programs(
    programs: list[str], soak: bool, environment: dict[str, str], spent: dict[str, float]
) -> list[str]:
    """Runs them all, in a soak again and again until one fails; a line for each that failed."""
    failed = []
    for turn in range(SOAK_REPEATS if soak else 1):
        for done in run_programs(programs, environment):
            say(f"tickmark: {done.program}" + (f", {turn + 1} of {SOAK_REPEATS}" if soak else ""))
            print(told(done), end="", flush=True)
            spent[part_of(done.program)] += done.cpu
            if done.status != 0:
                failed.append(failure(done))
                say(failed[-1])
        if failed:
            break
    return failed


# ---- all of it ----------------------------------------------------------------------------------


def pytest(environment: dict[str, str], spent: dict[str, float]) -> bool:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += ["-n", "2", "--dist", "loadgroup", "tests"]  # tests/conftest.py
    with tempfile.NamedTemporaryFile("r", suffix=".json") as times:
        good = subprocess.call(words, env={**environment, "TICKMARK_TEST_TIMES": times.name}) == 0
        text = times.read()
    for path, cpu in json.loads(text or "{}").items():
        spent[part_of(path.removeprefix("tests/"))] += cpu
    return good


def run_tests(programs: list[str], soak: bool, variants: str) -> bool:
    """Check programs, then pytest and a table of what all took; with `variants`, somebody's folder,
    no pytest: it does not look at that. A soak is held to no limit. What failed is told at the end
    once more."""
    built = cpu_seconds()
    environment = {
        **os.environ,
        "CK_VERBOSITY": "normal",
        "CK_TIMEOUT_MULTIPLIER": "4",  # the machine may be busy with something else
        "TSAN_OPTIONS": "halt_on_error=1",
        "TICKMARK_SOAK": "1" if soak else "0",
        "TICKMARK_PROBE": os.path.abspath("build/probe/tickmark.elf"),
        "TICKMARK_RECORDER": os.path.abspath("build/recorder"),
    }
    spent: dict[str, float] = defaultdict(float)
    failed = check_programs(programs, soak, environment, spent)
    if variants:
        if not failed:
            say(f"tickmark: the variants of {variants} pass, beside those from here")
        return not failed
    good = pytest(environment, spent)
    say(table(spent, built))
    late = [] if soak else overrun(spent)
    for line in failed + late:
        say(line)
    return good and not failed and not late
