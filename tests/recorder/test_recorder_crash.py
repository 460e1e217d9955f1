# SPDX-License-Identifier: MIT
"""Whole runs only: the recorder killed in every change it makes to the store, a disk that is full
or fails at every access, writers side by side; and rows that somebody altered are named.

build/test/faulty_store is the recorder over a disk that fails on purpose (faulty_store.c)."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import pytest
from recorder_run import ROOT, Recorder, recorder_path

from reports.cli import main

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
SEED = int(os.environ.get("SEED", time.time_ns() % 2**31))
FAULTY = ROOT / "build/test/faulty_store"
TARGET = ROOT / "build/test/line_target"
TOGETHER = 4


def words(recorder: Recorder, run: str, program: Path | str, samples: int = 2) -> list[str]:
    """The recorder, or its faulty twin, with a target that is done at once."""
    command = [str(TARGET), "{line}", "{arguments}"]
    made = recorder.words(
        command=command, run=run, arguments=f"seed=5 samples={samples}", **{"success-exit": 0}
    )
    return [str(program), *made[1:]]


@dataclass
class Crash:
    """A results folder with one whole run, and a second run into which something came."""

    recorder: Recorder
    before: dict[tuple[str, str], str]
    code: int
    errors: str

    def check(self, about: str) -> bool:
        """Whole runs only. True if the second is stored."""
        digests = self.recorder.digests()
        self.recorder.check_store()
        stored = set(digests) - set(self.before)
        assert {key: digests[key] for key in self.before} == self.before, about
        assert stored <= {("second", "qemu-exact")}, about
        rows = self.recorder.query("SELECT run, count(*) FROM bench_row GROUP BY run")
        assert rows == [(run, 24) for run in sorted({run for run, _ in digests})], about
        return bool(stored)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """One run, stored; copied for each crash."""
    recorder = Recorder(tmp_path_factory.mktemp("whole"))
    assert recorder.call(words(recorder, "first", recorder_path())) == 0
    return recorder


def crash(
    whole: Recorder, folder: Path, fault: str, limit: Callable[[], None] | None = None
) -> Crash:
    folder.mkdir(parents=True)
    shutil.copytree(whole.results, folder / "results", symlinks=True)
    recorder = Recorder(folder)
    environment = {**os.environ, "TICKMARK_FAULT": fault}
    environment["TICKMARK_FAULT_COUNT"] = str(folder / "count")
    recorder.call(words(recorder, "second", FAULTY), env=environment, preexec_fn=limit)
    return Crash(recorder, whole.digests(), recorder.done.returncode, recorder.errors)


def counts(whole: Recorder, folder: Path) -> tuple[int, int]:
    """Changes and accesses of an undisturbed second run."""
    done = crash(whole, folder, "count:0")
    assert done.code == 0 and done.check("undisturbed"), done.errors
    changes, accesses = (folder / "count").read_text().split()
    return int(changes), int(accesses)


def sweep(whole: Recorder, tmp_path: Path, kind: str, number: int) -> list[Crash]:
    """A crash for each moment."""

    def one(which: int) -> Crash:
        return crash(whole, tmp_path / str(which), f"{kind}:{which}")

    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(one, range(number)))


# ---- the store ----------------------------------------------------------------------------------


def test_killed_in_any_change_to_the_store_leaves_whole_runs(whole, tmp_path: Path) -> None:
    changes, _ = counts(whole, tmp_path / "count")
    assert changes > 10
    stored = []
    for which, done in enumerate(sweep(whole, tmp_path, "kill", changes)):
        assert done.code == -signal.SIGKILL, done.errors
        stored.append(done.check(f"killed in change {which}"))
        # The capture was whole before the store was touched: nothing is lost for good.
        assert done.recorder.rebuild() == 0
        assert done.check(f"rebuilt after {which}")
    # Once the run is there it stays: there is one moment at which it becomes stored.
    assert stored == sorted(stored) and not stored[0]


def test_a_disk_full_at_any_write_to_the_store_is_told(whole, tmp_path: Path) -> None:
    changes, _ = counts(whole, tmp_path / "count")
    told = 0
    for which, done in enumerate(sweep(whole, tmp_path, "full", changes)):
        assert (done.code == 0) == done.check(f"full at change {which}"), done.errors
        assert done.code in (0, 40)
        if done.code == 40:
            told += 1
            assert "make room" in done.errors and "recorder rebuild" in done.errors
            assert done.recorder.rebuild() == 0
            assert done.check(f"rebuilt after {which}")
    assert told > changes // 2


def test_an_access_that_fails_is_told_and_loses_nothing(whole, tmp_path: Path) -> None:
    _, accesses = counts(whole, tmp_path / "count")
    told = 0
    for which, done in enumerate(sweep(whole, tmp_path, "io", accesses)):
        stored = done.check(f"access {which} failed")
        assert done.code in (0, 40), done.errors
        assert done.code != 0 or stored, f"access {which}: told as stored"
        told += done.code == 40
        assert (done.code == 40) == (done.errors != ""), done.errors
    assert told > 10


# ---- the capture --------------------------------------------------------------------------------


def limit(size: int) -> Callable[[], None]:
    def set_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return set_limit


def boundaries(capture: bytes) -> list[int]:
    """Where each write to the capture begins or ends, and a byte to either side."""
    found, at = {0}, 0
    while at < len(capture):
        length = int.from_bytes(capture[at + 1 : at + 5], "little")
        for part in (5, length, 4):
            at += part
            found |= {at - 1, at, at + 1}
    return sorted(size for size in found if 0 <= size < len(capture))


def test_a_disk_full_at_any_write_of_the_capture_is_told(whole, tmp_path: Path) -> None:
    capture = (whole.results / "runs/first/qemu-exact/stream.bin").read_bytes()
    sizes = list(range(0, len(capture), 13)) if SOAK else boundaries(capture)[::2]
    assert len(sizes) > 10

    def one(size: int) -> Crash:
        return crash(whole, tmp_path / str(size), "count:0", limit(size))

    with ThreadPoolExecutor(TOGETHER) as pool:
        done = list(pool.map(one, sizes))
    for size, crashed in zip(sizes, done):
        assert crashed.code == 40, f"{size}: {crashed.errors}"
        assert not crashed.check(f"room for {size} bytes")
        assert "make room" in crashed.errors
        assert list(crashed.recorder.results.glob(".latest*")) == []


def test_killed_at_a_random_moment_leaves_whole_runs(whole, tmp_path: Path) -> None:
    """Anywhere, not only in the store."""
    print(f"SEED={SEED}")
    chance = random.Random(SEED)
    began = time.monotonic()
    counts(whole, tmp_path / "count")
    took = time.monotonic() - began
    moments = [chance.uniform(0, took) for _ in range(200 if SOAK else 12)]

    def one(which: int) -> Crash:
        folder = tmp_path / str(which)
        folder.mkdir()
        shutil.copytree(whole.results, folder / "results", symlinks=True)
        recorder = Recorder(folder)
        process = subprocess.Popen(
            words(recorder, "second", recorder_path(), 200),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moments[which])
        process.kill()
        return Crash(recorder, whole.digests(), process.wait(), "")

    with ThreadPoolExecutor(TOGETHER) as pool:
        for which, done in enumerate(pool.map(one, range(len(moments)))):
            done.check(f"killed after {moments[which]} s")


# ---- side by side -------------------------------------------------------------------------------


def test_a_writer_that_dies_in_its_transaction_does_not_harm_the_other(whole, tmp_path) -> None:
    changes, _ = counts(whole, tmp_path / "count")
    for which in range(0, changes, 1 if SOAK else max(1, changes // 6)):
        folder = tmp_path / f"both{which}"
        folder.mkdir()
        shutil.copytree(whole.results, folder / "results", symlinks=True)
        recorder = Recorder(folder)
        counted = folder / "count"
        environment = {
            **os.environ,
            "TICKMARK_FAULT": f"kill:{which}",
            "TICKMARK_FAULT_COUNT": str(counted),
        }
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        dies = subprocess.Popen(words(recorder, "dies", FAULTY), env=environment, **quiet)
        lives = subprocess.Popen(words(recorder, "lives", recorder_path()), **quiet)
        ended = dies.wait(60)
        assert lives.wait(60) == 0
        # With the other in its way, the one may need fewer changes than it needs alone: it may live
        # only if it made too few to reach its fault.
        if ended == 0:
            assert int(counted.read_text().split()[0]) <= which
        else:
            assert ended == -signal.SIGKILL and not counted.exists()
        runs = {run for run, _ in recorder.digests()}
        assert {"first", "lives"} <= runs <= {"first", "lives", "dies"}
        recorder.check_store()


# ---- altered ------------------------------------------------------------------------------------

ALTERED = [
    "UPDATE round SET samples = zeroblob(length(samples)) WHERE id LIKE '%one' AND round = 1",
    "UPDATE round SET cold = cold - 1",
    "DELETE FROM round WHERE round = 1",
    "DELETE FROM bench_row WHERE id LIKE '%two'",
    "UPDATE bench_row SET status = 'failed' WHERE id LIKE '%two'",
    "UPDATE counter SET numerator = numerator + 1",
    "UPDATE fact SET value = 'another computer' WHERE key = 'host.cpu'",
    "UPDATE run SET outcome = 'complete', detail = '.'",
]


@pytest.mark.parametrize("change", ALTERED, ids=lambda change: " ".join(change.split()[:4]))
def test_altered_rows_are_named_by_the_reports(
    whole, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: str
) -> None:
    results = tmp_path / "results"
    shutil.copytree(whole.results, results, symlinks=True)

    def table() -> tuple[int, str]:
        status = main(["table", f"results={results}"])
        return status, "".join(capfd.readouterr())

    status, said = table()
    assert status == 0 and "altered" not in said
    with sqlite3.connect(results / "history.db") as db:
        assert db.execute(change).rowcount > 0
    status, said = table()
    assert status == 40
    told = [line for line in said.splitlines() if "altered" in line]
    assert len(told) == 1 and "qemu-exact of run first" in told[0]
