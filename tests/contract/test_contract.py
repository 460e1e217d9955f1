# SPDX-License-Identifier: MIT
"""The contract of the platform seam (targets/platform.h) on every target and machine there is, and
platforms that break it, each of which must turn its check red."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/boot"), str(ROOT / "targets/qemu")]

import bochs  # noqa: E402
import guest  # noqa: E402
import machines  # noqa: E402
from configurations import Configuration, iso_for  # noqa: E402

KERNEL = ROOT / "build/contract/tickmark.elf"
PROGRAM = ROOT / "build/contract/tickmark"
LAST = b"# contract-end\n"
NOTE = "note=a/b:c.d"
SECONDS = 180


@dataclass(frozen=True)
class Result:
    line: bytes
    code: int | None  # None: the machine cannot say
    success: int

    @property
    def rows(self) -> list[str]:
        return self.line.decode("latin-1").replace("\r", "").splitlines()

    def checks(self) -> dict[str, str]:
        """Name to ok, SKIP or what is wrong, after a look at the plan."""
        assert self.rows.count("KTAP version 1") == 1 and self.rows[-1] == LAST.decode().strip()
        (planned,) = (int(row[3:]) for row in self.rows if row.startswith("1.."))
        found = [re.fullmatch(r"(ok|not ok) (\d+) (\w+)(?: # (.*))?", row) for row in self.rows]
        told = [match for match in found if match]
        assert [int(match[2]) for match in told] == list(range(1, planned + 1))
        assert planned >= 17
        return {match[3]: match[4] or "ok" for match in told}

    def red(self) -> set[str]:
        self.checks()
        return {row.split()[3] for row in self.rows if row.startswith("not ok ")}


def on_host(arguments: str) -> Result:
    done = subprocess.run([PROGRAM, arguments], capture_output=True, timeout=SECONDS)
    return Result(done.stdout, done.returncode, 0)


def on_machine(name: str, arguments: str) -> Result:
    machine = machines.MACHINES[name]
    words = " ".join([*machine.arguments(), arguments])
    done = guest.run(machine.command(str(KERNEL)), words, timeout=SECONDS)
    return Result(done.line, done.exit_code, machines.SUCCESS_EXIT)


def on_configuration(configuration: Configuration, arguments: str, media: Path) -> Result:
    words = configuration.arguments(arguments)
    iso = media if configuration.loader == "pvh" else iso_for(KERNEL, media, words)
    done = guest.run(configuration.command(KERNEL, iso), words, timeout=SECONDS)
    return Result(done.line, done.exit_code, machines.SUCCESS_EXIT)


def check_holds(result: Result, image: Path, arguments: str, skipped: set[str]) -> None:
    checks = result.checks()
    assert {name for name, said in checks.items() if said not in ("ok", "SKIP")} == set()
    alone = {EVERY_CPU} if "# cpus 1" in result.rows else set()
    alone |= {WHOLE, EVERY_THREAD} if "# scheduler none" in result.rows else set()
    assert {name for name, said in checks.items() if said == "SKIP"} <= skipped | alone
    assert result.code in (None, result.success)
    # What only somebody outside can know.
    (words,) = (row[12:] for row in result.rows if row.startswith("# arguments "))
    assert words.split() == arguments.split()
    (build_id,) = (row[11:] for row in result.rows if row.startswith("# build_id "))
    assert build_id == guest.image_of(image).build_id
    long = next(row for row in result.rows if row.startswith("# line "))
    assert long[7:] == "".join(chr(ord("a") + i % 26) for i in range(7, 4095))


COUNTER = "clock_agrees_with_the_counter"
CONFIGURATIONS = [
    Configuration("q35", "pvh", 2, 256, 2),
    Configuration("pc", "pvh", 1, 64, hpet=False),
    Configuration("pc", "bios-cd", 2, 256),
    Configuration("q35", "uefi-cd", 1, 256),
]


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


def test_it_holds_in_a_linux_process() -> None:
    result = on_host(NOTE)
    check_holds(result, PROGRAM, NOTE, set())
    assert "# scheduler host" in result.rows


@pytest.mark.parametrize("name", machines.DEFAULT_MACHINES)
def test_it_holds_on_machines_of_qemu(name: str) -> None:
    arguments = " ".join([*machines.MACHINES[name].arguments(), NOTE])
    result = on_machine(name, NOTE)
    # exact derives every clock from the counter.
    skipped = {COUNTER, "clock_moves_on"} if name == "exact" else {COUNTER}
    check_holds(result, KERNEL, arguments, skipped)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: c.name)
def test_it_holds_whatever_booted_it(configuration: Configuration, media: Path) -> None:
    result = on_configuration(configuration, NOTE, media)
    # Without HPET there is no second clock.
    skipped = {COUNTER} if configuration.hpet else {COUNTER, "clock_moves_on"}
    check_holds(result, KERNEL, configuration.arguments(NOTE), skipped)


@pytest.mark.skipif(bochs.problem() is not None, reason=str(bochs.problem()))
def test_it_holds_in_bochs(media: Path, tmp_path: Path) -> None:
    arguments = Configuration("bochs", "bios-cd").arguments(NOTE)
    done = bochs.run(iso_for(KERNEL, media, arguments), tmp_path, LAST)
    check_holds(Result(done.line, None, 0), KERNEL, arguments, {COUNTER})
    assert done.complaints == []


# ---- the checks themselves ----------------------------------------------------------------------

EVERY_CPU = "every_cpu_does_what_it_is_given"
WHOLE = "scheduler_is_whole_and_stays"
EVERY_THREAD = "scheduler_runs_threads_on_every_cpu"
REFUSED = "cpu_that_is_busy_or_not_there_is_refused"
PLANTS = {
    "clock_backwards": "clock_never_runs_backwards",
    "clock_comes_and_goes": "clock_never_runs_backwards",
    "clock_stuck": "clock_moves_on clock_agrees_with_the_counter",
    "clock_fast": "clock_agrees_with_the_counter",
    "class_changes": "clock_class_is_known_and_stays",
    "class_unknown": "clock_class_is_known_and_stays",
    "hz_changes": "clock_hz_stays clock_agrees_with_the_counter",
    "write_drops": "line_drops_nothing",
    "read_noise": "line_reads_nothing_when_nothing_came",
    "read_scribbles": "line_reads_nothing_when_nothing_came",
    "arena_dirty": "arena_is_zeroed",
    "arena_moves": "arena_stays_and_keeps_what_was_written",
    "arena_unaligned": "arena_is_large_and_aligned",
    "arena_short": "arena_is_large_and_aligned",
    "arena_cleared_again": "arena_stays_and_keeps_what_was_written",
    "memory_moves": "memory_map_is_sound_and_stays",
    "memory_changes": "memory_map_is_sound_and_stays",
    "memory_overlaps": "memory_map_is_sound_and_stays",
    "memory_without_ram": "memory_map_is_sound_and_stays",
    "memory_of_the_arena": "memory_map_is_sound_and_stays",
    "arguments_move": "arguments_stay_and_can_be_printed",
    "arguments_control": "arguments_stay_and_can_be_printed",
    "id_overflows": "build_id_stays_and_fits_into_its_buffer",
    "id_longer_than_asked": "build_id_stays_and_fits_into_its_buffer",
    "id_changes": "build_id_stays_and_fits_into_its_buffer",
    "id_none": "build_id_stays_and_fits_into_its_buffer",
    "describe_bad_key": "facts_are_names_with_values_and_stay",
    "describe_bad_value": "facts_are_names_with_values_and_stay",
    "describe_empty_value": "facts_are_names_with_values_and_stay",
    "describe_twice": "facts_are_names_with_values_and_stay",
    "describe_changes": "facts_are_names_with_values_and_stay",
    "describe_nothing": "facts_are_names_with_values_and_stay",
    "describe_to_nobody": "facts_are_names_with_values_and_stay",
    "events_backwards": "events_are_never_fewer",
    "disable_twice": "preemption_nests",
    "disable_never": "preemption_nests",
    "local_copy": "cpu_base_points_at_itself",
    "local_second": "cpu_base_points_at_itself",
    "local_traced": "cpu_base_points_at_itself",
    "no_cpus": "cpus_are_counted_and_stay",
    "cpus_change": "cpus_are_counted_and_stay",
    "start_nothing": f"{EVERY_CPU} {REFUSED}",
    "start_something_else": EVERY_CPU,
    "start_here": f"{EVERY_CPU} {REFUSED}",
    "start_whatever": REFUSED,
    "start_busy": REFUSED,
    "sched_without_kicks": WHOLE,
    "sched_moves": WHOLE,
    "sched_backwards": WHOLE,
    "sched_forgets": WHOLE,
    "sched_idles": EVERY_THREAD,
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_platform_that_breaks_it_turns_red(plant: str) -> None:
    # What CPUs do to each other takes two of them.
    alone = len(os.sched_getaffinity(0)) == 1 and "cpu_" in PLANTS[plant]
    result = on_machine("smp", f"plant={plant}") if alone else on_host(f"plant={plant}")
    assert result.red() == set(PLANTS[plant].split())
    assert result.code != result.success


def test_every_plant_is_tried_and_every_check_has_one() -> None:
    source = (ROOT / "tests/contract/plants.c").read_text()
    assert set(re.findall(r'PLANT\("(\w+)"', source)) == set(PLANTS)
    # The last one says that it came back: what breaks it never does.
    broken = {name for names in PLANTS.values() for name in names.split()}
    assert set(on_host("").checks()) - broken == {"unknown_way_to_die_returns"}


def test_a_plant_turns_the_kernel_s_run_red_as_well() -> None:
    result = on_machine("exact", "plant=hz_changes")
    assert result.red() == {"clock_hz_stays"}
    assert result.code == machines.FAILURE_EXIT


def test_a_plant_that_does_not_exist_is_no_success() -> None:
    result = on_host("plant=nothing")
    assert result.code != 0 and "Bail out! plant=nothing: no such plant" in result.rows


@pytest.mark.parametrize("place", ["host", *machines.DEFAULT_MACHINES])
def test_a_panic_says_why_and_is_no_success(place: str) -> None:
    result = on_host("do=panic") if place == "host" else on_machine(place, "do=panic")
    assert result.code not in (None, result.success)
    assert any("asked to" in row for row in result.rows), result.rows[-3:]
    assert LAST not in result.line
