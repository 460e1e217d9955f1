# SPDX-License-Identifier: MIT
"""How `scons test` runs Check programs side by side, and what it says of the time they take."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site_scons"))
import tests_run  # noqa: E402


def program(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def run(programs: list[str], spent: dict[str, float]) -> list[str]:
    return tests_run.check_programs(programs, False, dict(os.environ), spent)


def zeros() -> dict[str, float]:
    return dict.fromkeys((one.name for one in tests_run.PARTS), 0.0)


def test_programs_run_at_once_and_tell_of_themselves_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each goes on when the other one has begun.
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    wait = "i=0; while [ ! -e {} ]; do i=$((i+1)); [ $i -gt 600 ] && exit 9; sleep 0.1; done"
    both = [
        program(tmp_path, name, f"echo {name} begins; touch {tmp_path}/{own}.here\n"
                + wait.format(f"{tmp_path}/{other}.here")
                + f"\nsleep {seconds}; echo {name} ends; echo 100%: Checks: {seconds}")
        for name, own, other, seconds in (("slow", 1, 2, 0.3), ("quick", 2, 1, 0))
    ]  # fmt: skip
    assert run(both, zeros()) == []
    assert capsys.readouterr().out == "".join(
        f"tickmark: {tmp_path}/{name}\n100%: Checks: {checks}\n"
        for name, checks in (("slow", 0.3), ("quick", 0))
    )


@pytest.mark.parametrize("script,status", [("exit 3", 3), ("kill -SEGV $$", -11)])
def test_of_a_failure_everything_is_told_and_the_others_run(
    script: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    wrong = "tests/test_a.c:7:F:all:adds:0: 2 is not 3"
    good = program(tmp_path, "good", "echo SEED=1; echo 100%: Checks: 3; echo 2 tests SKIPPED: no")
    bad = program(tmp_path, "bad", f"echo SEED=7 >&2; echo '{wrong}'; {script}")
    worse = program(tmp_path, "worse", "exit 1")
    closing = f"tickmark: {bad} failed with status {status}: {wrong}"
    last = f"tickmark: {worse} failed with status 1"
    assert run([good, bad, worse], zeros()) == [closing, last]
    assert capsys.readouterr().out.splitlines() == [
        f"tickmark: {good}",
        "100%: Checks: 3",
        "2 tests SKIPPED: no",
        f"tickmark: {bad}",
        "SEED=7",
        wrong,
        closing,
        f"tickmark: {worse}",
        last,
    ]


def test_a_soak_ends_with_the_turn_that_something_failed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "turns"
    bad = program(tmp_path, "bad", f"echo >> {mark}; [ $(wc -l < {mark}) -lt 3 ]")
    (line,) = tests_run.check_programs([bad], True, dict(os.environ), zeros())
    assert line == f"tickmark: {bad} failed with status 1"
    assert capsys.readouterr().out.count(f"tickmark: {bad}, ") == 3


def test_programs_that_must_be_alone_run_when_all_others_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tests_run, "ALONE", frozenset({"alone"}))
    mark = tmp_path / "running"
    alone = program(tmp_path, "alone", f"[ ! -e {mark} ] && echo 100%: Checks: alone")
    others = [program(tmp_path, "other", f"touch {mark}; sleep 0.3; rm {mark}")]
    assert run([alone, *others], zeros()) == []
    assert capsys.readouterr().out.endswith("alone\n100%: Checks: alone\n")


def test_cpu_of_a_program_s_children_counts_and_waiting_does_not(tmp_path: Path) -> None:
    spent = zeros()
    busy = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.5: pass'"
    began = time.monotonic()
    assert run([program(tmp_path, "test_heap_a", f"{busy}\nsleep 1.5"),
                program(tmp_path, "test_wire", "sleep 1")], spent) == []  # fmt: skip
    assert time.monotonic() - began >= 1.5
    assert 0.5 <= spent["memory"] < 1.5 and spent["foundation"] < 0.5


def test_files_belong_to_the_part_their_name_speaks_of() -> None:
    assert {path: tests_run.part_of(path) for path in (
        "build/test/test_heap_threads", "build/test/races_ring", "build/test/test_pci_msi",
        "build/test/test_sched_storm", "build/test/test_perfetto", "build/test/test_wire",
        "reports/test_trace_picture.py", "boot/test_boot.py", "boot/test_switch_boot.py",
        "system/test_traces.py", "recorder/test_recorder_store.py",
    )} == {
        "build/test/test_heap_threads": "memory",
        "build/test/races_ring": "ipc",
        "build/test/test_pci_msi": "machine",
        "build/test/test_sched_storm": "switch and scheduler",
        "build/test/test_perfetto": "traces",
        "build/test/test_wire": "foundation",
        "reports/test_trace_picture.py": "reports",
        "boot/test_boot.py": "machine",
        "boot/test_switch_boot.py": "switch and scheduler",
        "system/test_traces.py": "traces",
        "recorder/test_recorder_store.py": "foundation",
    }  # fmt: skip


def test_a_part_that_takes_too_long_is_one_line() -> None:
    spent = zeros()
    assert tests_run.overrun(spent) == []
    limits = {one.name: one.most for one in tests_run.PARTS}
    spent |= {"ipc": limits["ipc"], "memory": limits["memory"] + 1}
    (line,) = tests_run.overrun(spent)
    took = f"the tests of memory took {limits['memory'] + 1} s of CPU"
    assert took in line and f"more than {limits['memory']} " in line


def test_the_table_has_a_line_for_each_part_that_took_part() -> None:
    lines = tests_run.table({"ipc": 12.4, "foundation": 99.6}, 230.2).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["foundation", "100"],
        ["ipc", "12"],
        ["building", "230"],
    ]
