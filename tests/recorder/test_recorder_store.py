# SPDX-License-Identifier: MIT
"""What is stored stays whole, whoever stops when."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import wire_encoder as wire
from recorder_run import SESSION, SUCCESS, Recorder, alive, gone_soon, recorder_path, send


def complete(recorder: Recorder, target: wire.Target, **options: Any) -> int:
    return recorder.bench([send(target.complete()), ["exit", SUCCESS]], **options)


def big(target: wire.Target) -> wire.Target:
    """A run whose rows take some megabytes in the store."""
    values = tuple(random.Random(1).choices(range(1000), k=5000))
    rows = tuple(wire.Row(f"suite/case/v{i}", values=(values,) * 2) for i in range(20))
    return target.variant(clock=wire.TSC, rows=rows)


def test_run_that_exists_is_refused(recorder: Recorder, target: wire.Target) -> None:
    assert complete(recorder, target) == 0
    before = (recorder.results / "history.db").read_bytes()
    recorder.pid_file.unlink()
    assert complete(recorder, target) == 2
    assert len(recorder.errors.splitlines()) == 1 and "choose another run=" in recorder.errors
    assert not recorder.pid_file.exists()
    assert (recorder.results / "history.db").read_bytes() == before
    assert complete(recorder, target, machine="other") == 0
    assert complete(recorder, target, run="r2") == 0
    assert len(recorder.digests()) == 3
    assert (recorder.results / "latest").readlink() == Path("runs/r2")


def test_digest_covers_what_was_measured(recorder: Recorder, target: wire.Target) -> None:
    assert complete(recorder, target) == 0
    recorder.check_store()
    for change in ("UPDATE round SET cold = cold + 1", "UPDATE run SET commit_id = 'ab'",
                   "UPDATE round SET tags = x'010000'", "DELETE FROM counter",
                   "UPDATE bench_row SET operations = 11",
                   "UPDATE fact SET value = 'x' WHERE key = 'host.cpu'"):  # fmt: skip
        copy = (recorder.results / "history.db").read_bytes()
        with sqlite3.connect(recorder.results / "history.db") as db:
            db.execute(change)
        with pytest.raises(AssertionError):
            recorder.check_store()
        (recorder.results / "history.db").write_bytes(copy)


def test_two_writers_at_once_are_both_stored(recorder: Recorder, target) -> None:
    steps = [send(big(target).complete()), ["exit", SUCCESS]]
    writers = [
        subprocess.Popen(recorder.words(steps, run=run, machine=machine), stdout=subprocess.DEVNULL)
        for run, machine in (("r1", "exact"), ("r1", "smp"), ("r2", "exact"), ("r3", "exact"))
    ]
    assert [writer.wait(30) for writer in writers] == [0] * 4
    assert len(recorder.digests()) == 4
    recorder.check_store()


def test_the_same_run_twice_at_once_is_stored_once(recorder: Recorder, target) -> None:
    steps = [send(target.complete()), ["sleep", 0.3], ["exit", SUCCESS]]
    writers = [subprocess.Popen(recorder.words(steps), stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for _ in range(2)]  # fmt: skip
    assert sorted(writer.wait(30) for writer in writers)[0] == 0
    assert sorted(writer.returncode for writer in writers)[1] in (2, 40)
    assert len(recorder.digests()) == 1
    recorder.check_store()


# ---- stopped -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_target_and_stores_nothing(recorder, target, number: signal.Signals) -> None:
    process = recorder.start([send(target.hello()), ["child", 60], ["sleep", 60]])
    time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert len(errors.splitlines()) == 1 and "nothing was stored" in errors
    assert gone_soon(recorder.target_pid)
    assert recorder.query("SELECT count(*) FROM sqlite_schema") == [(0,)]


def test_no_process_outlives_the_run(recorder: Recorder, target: wire.Target) -> None:
    """A child of the target dies with it, however the target ends."""
    assert recorder.bench([["child", 61.25], send(target.complete()), ["exit", SUCCESS]]) == 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = [entry for entry in Path("/proc").glob("[0-9]*/cmdline")
                 if b"time.sleep(61.25)" in read(entry) and alive(int(entry.parent.name))
                 ]  # fmt: skip
        if not found:
            return
        time.sleep(0.02)
    raise AssertionError(found)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_recorder_killed_while_the_target_runs(recorder: Recorder, target) -> None:
    assert complete(recorder, target, run="before") == 0
    before = recorder.digests()
    process = recorder.start([send(target.complete()[:900]), ["sleep", 60]])
    time.sleep(0.1)
    process.kill()
    process.communicate()
    assert gone_soon(recorder.target_pid)
    assert recorder.digests() == before
    recorder.check_store()
    assert recorder.rebuild() == 0
    assert "of a run that was stopped" in recorder.done.stdout
    assert recorder.digests() == before
    assert complete(recorder, target, run="after") == 0


def test_recorder_killed_at_any_moment(recorder: Recorder, target: wire.Target) -> None:
    """Somewhere between the target's last word and the end: all of a run or nothing of it."""
    data = big(target).complete()
    began = time.monotonic()
    assert recorder.bench([send(data), ["exit", SUCCESS]], run="whole") == 0
    took = time.monotonic() - began
    killed = 0
    for i in range(10):
        process = recorder.start([send(data), ["exit", SUCCESS]], run=f"killed{i}")
        time.sleep(took * i / 10)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        recorder.check_store()
    rows = recorder.query("SELECT run, count(*) FROM bench_row GROUP BY run")
    assert len(rows) == len(recorder.digests())
    assert {count for _, count in rows} == {20}
    assert killed > 0
    assert recorder.rebuild() == 0
    recorder.check_store()


# ---- no room -----------------------------------------------------------------------------------


def limit(size: int) -> Callable[[], None]:
    """Files may not grow beyond `size`: what a full disk does, for one process."""

    def set_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return set_limit


@pytest.mark.parametrize("size", [0, 100, 3000, 30000, 150000])
def test_full_disk_is_told_and_nothing_is_lost(recorder, target, size: int) -> None:
    assert complete(recorder, target, run="before") == 0
    before = recorder.digests()
    recorder.pid_file.unlink()
    words = recorder.words([send(big(target).complete()), ["sleep", 0.1], ["exit", SUCCESS]])
    assert recorder.call(words, preexec_fn=limit(size)) == 40
    assert "make room" in recorder.errors
    if recorder.pid_file.exists() and recorder.pid_file.read_text():
        assert gone_soon(recorder.target_pid)
    assert recorder.digests() == before
    recorder.check_store()
    assert list(recorder.results.glob(".latest*")) == []


def test_store_that_is_full_can_be_rebuilt(recorder: Recorder, target) -> None:
    """The capture has room, the store has not: nothing needs to be measured again."""
    steps = [send(big(target).complete()), ["exit", SUCCESS]]
    assert recorder.bench(steps, run="before") == 0
    size = (recorder.results / "runs/before/qemu-exact/stream.bin").stat().st_size
    assert recorder.call(recorder.words(steps), preexec_fn=limit(size + 50000)) == 40
    assert "recorder rebuild" in recorder.errors
    assert len(recorder.digests()) == 1
    assert recorder.rebuild() == 0
    assert len(recorder.digests()) == 2
    recorder.check_store()


# ---- rebuilt -----------------------------------------------------------------------------------


def runs_of_every_kind(recorder: Recorder, target: wire.Target) -> dict[tuple[str, str], str]:
    second = target.variant(boot=1, session=SESSION + 1)
    assert recorder.bench([send(target.complete()), ["exit", SUCCESS]],
                          [send(second.complete()), ["exit", SUCCESS]], run="two") == 0  # fmt: skip
    assert recorder.bench([send(target.hello() + target.panic(1, 2)), ["exit", 99]], run="p") == 40
    assert recorder.bench([["exit", 1]], run="nothing") == 30
    stream = target.stream()
    cut = target.hello() + b"".join(target.data(stream)[:-2])
    assert recorder.bench([send(cut), ["exit", 0]], run="cut") == 40
    assert recorder.bench([send(big(target).complete()), ["exit", SUCCESS]], run="big") == 0
    return recorder.digests()


def test_rebuilt_store_has_equal_digests(recorder: Recorder, target: wire.Target) -> None:
    before = runs_of_every_kind(recorder, target)
    assert len(before) == 5
    assert recorder.rebuild() == 0
    assert "5 runs as they were, 0 changed, 0 added" in recorder.done.stdout
    (recorder.results / "history.db").unlink()
    assert recorder.rebuild() == 0
    assert "0 runs as they were, 0 changed, 5 added" in recorder.done.stdout
    assert recorder.digests() == before
    recorder.check_store()


def test_rebuild_mends_what_was_altered_and_keeps_what_has_no_capture(recorder, target) -> None:
    assert complete(recorder, target) == 0
    assert complete(recorder, target, run="r2") == 0
    before = recorder.digests()
    with sqlite3.connect(recorder.results / "history.db") as db:
        db.execute("UPDATE run SET digest = 'other' WHERE run = 'r1'")
        db.execute("UPDATE round SET cold = 5 WHERE run = 'r1'")
    (recorder.results / "runs/r2/qemu-exact/stream.bin").unlink()
    assert recorder.rebuild() == 0
    assert "1 changed" in recorder.done.stdout
    assert recorder.digests() == before
    recorder.check_store()


@pytest.mark.parametrize("where", [0, 3, 10, 0.3, 0.6, 0.9, -1, -8, -16])
def test_altered_byte_of_a_capture_is_noticed(recorder, target, where: float) -> None:
    assert complete(recorder, target) == 0
    before = recorder.digests()
    path = recorder.place / "stream.bin"
    data = bytearray(path.read_bytes())
    at = int(where * len(data)) if 0 < where < 1 else int(where)
    data[at] ^= 0x20
    path.write_bytes(data)
    assert recorder.rebuild() == 40
    assert "stream.bin" in recorder.errors
    assert recorder.digests() == before
    (recorder.results / "history.db").unlink()
    recorder.rebuild()
    assert recorder.query("SELECT count(*) FROM run") == [(0,)]


def test_capture_of_another_run_is_not_taken(recorder: Recorder, target: wire.Target) -> None:
    assert complete(recorder, target) == 0
    before = recorder.digests()
    (recorder.results / "runs/r1").rename(recorder.results / "runs/r9")
    assert recorder.rebuild() == 40
    assert "is of run r1" in recorder.errors
    assert recorder.digests() == before


def test_show_prints_every_layer(recorder: Recorder, target: wire.Target) -> None:
    evil = target.variant(log=(b"\x1b[31mwords\n",))
    assert complete(recorder, evil) == 0
    assert recorder.call([recorder_path(), "show", str(recorder.place / "stream.bin")]) == 0
    shown = recorder.done.stdout
    for words in ("capture=1", "run=r1", f"boot 0 session {SESSION}", "frame hello", "plan 3 2",
                  "plan row 0 'heap/pair_64/linked_list'", "samples 0 0 10", "finish 0 0",
                  "frame end", "ended: complete", "end: whole"):  # fmt: skip
        assert words in shown
    assert "words" in shown and "\x1b" not in shown


# ---- other people's files, and wrong words -----------------------------------------------------


def test_database_of_another_program_is_left_alone(recorder: Recorder, target) -> None:
    recorder.results.mkdir()
    with sqlite3.connect(recorder.results / "history.db") as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    before = (recorder.results / "history.db").read_bytes()
    assert complete(recorder, target) == 40
    assert "another program" in recorder.errors
    assert not recorder.pid_file.exists()
    assert (recorder.results / "history.db").read_bytes() == before


def test_file_that_is_no_database_is_left_alone(recorder: Recorder, target) -> None:
    recorder.results.mkdir()
    (recorder.results / "history.db").write_bytes(b"diary " * 1000)
    assert complete(recorder, target) == 40
    assert "recorder rebuild" in recorder.errors
    assert (recorder.results / "history.db").read_bytes() == b"diary " * 1000


USAGE = {
    "boots": "0", "dirty": "2", "success-exit": "256", "target": "toaster", "machine": "a/b",
    "run": "../up", "clock": "sundial", "commit": "HEAD", "size": "huge", "session": "0",
    "arguments": "a\nb", "start-seconds": "0", "nonesuch": "1", "fact:a b": "x",
}  # fmt: skip


@pytest.mark.parametrize("name", USAGE)
def test_wrong_word_is_one_line(recorder: Recorder, name: str) -> None:
    assert recorder.bench([["exit", 0]], **{name: USAGE[name]}) == 2
    assert len(recorder.errors.splitlines()) == 1
    assert name.split(":")[0] in recorder.errors
    assert not recorder.results.exists()


@pytest.mark.parametrize(
    "words",
    [[], ["nonesuch"], ["bench"], ["show"], ["rebuild"], ["rebuild", "results=/nonesuch"],
     ["show", "/nonesuch"]],
    ids=" ".join,
)  # fmt: skip
def test_wrong_command_is_one_line(recorder: Recorder, words: list[str]) -> None:
    assert recorder.call([recorder_path(), *words]) == 2
    assert len(recorder.errors.splitlines()) == 1


@pytest.mark.parametrize("command", [["true"], ["true", "{line}"], ["true", "{arguments}"]],
                         ids=" ".join)  # fmt: skip
def test_command_must_take_line_and_arguments(recorder: Recorder, command: list[str]) -> None:
    assert recorder.bench([], command=command) == 2
    assert "{line} and {arguments}" in recorder.errors


def test_full_standard_output_is_no_crash(recorder: Recorder, target: wire.Target) -> None:
    words = recorder.words([send(target.complete()), ["exit", SUCCESS]])
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code = subprocess.run(words, stdout=full, stderr=subprocess.DEVNULL).returncode
    finally:
        os.close(full)
    assert code == 0
    recorder.check_store()
