# SPDX-License-Identifier: MIT
"""The recorder under test: its commands on a results folder, and fake targets."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

BUILD_ID = bytes(range(20))
SESSION = 77
SUCCESS = 33


def recorder_path() -> str:
    path = os.environ.get("TICKMARK_RECORDER", "")
    assert path and os.access(path, os.X_OK), "TICKMARK_RECORDER must name the built recorder"
    return path


def tiny_elf(build_id: bytes) -> bytes:
    """The least ELF file with a build id: a header, one PT_NOTE segment, the note."""
    note = struct.pack("<III4s", 4, len(build_id), 3, b"GNU\0") + build_id
    header = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1,
                         0, 64, 0, 0, 64, 56, 1, 64, 0, 0)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(note), len(note), 4)
    return header + segment + note


class Recorder:
    """A results folder and the recorder's commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.image = folder / "image.elf"
        self.image.write_bytes(tiny_elf(BUILD_ID))
        self.pid_file = folder / "pid"
        self.done = subprocess.CompletedProcess[str]([], 0, "", "")

    def words(self, *boots: list[list[Any]], command: list[str] | None = None,
              qmp: bool = False, **options: Any) -> list[str]:  # fmt: skip
        name = f"steps-{len(list(self.folder.glob('steps-*')))}.json"
        steps = self.folder / name
        steps.write_text(json.dumps({"pid": str(self.pid_file), "boots": boots}))
        fake = [sys.executable, str(HERE / "fake_target.py"), str(steps), "{line}", "{arguments}"]
        given = {
            "run": "r1", "target": "qemu", "machine": "exact", "image": self.image,
            "results": self.results, "boots": len(boots) or 1, "session": SESSION,
            "commit": "unknown", "dirty": 0, "size": "quick", "success-exit": SUCCESS,
        }  # fmt: skip
        given.update({key.replace("_", "-"): value for key, value in options.items()})
        return [
            recorder_path(), "bench", *(f"{key}={value}" for key, value in given.items()), "--",
            *(command or [*fake, *(["{qmp}"] if qmp else [])]),
        ]  # fmt: skip

    def bench(self, *boots: list[list[Any]], **options: Any) -> int:
        """Runs a bench to its end; returns the exit code."""
        return self.call(self.words(*boots, **options))

    def call(self, words: list[str], **how: Any) -> int:
        self.done = subprocess.run(words, capture_output=True, text=True, timeout=30, **how)
        return self.done.returncode

    def rebuild(self) -> int:
        return self.call([recorder_path(), "rebuild", f"results={self.results}"])

    def start(self, *boots: list[list[Any]], **options: Any) -> subprocess.Popen[str]:
        """Starts a bench and waits until its target plays."""
        self.pid_file.unlink(missing_ok=True)
        process = subprocess.Popen(self.words(*boots, **options), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        deadline = time.monotonic() + 10
        while not (self.pid_file.exists() and self.pid_file.read_text()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        return process

    @property
    def target_pid(self) -> int:
        return int(self.pid_file.read_text())

    @property
    def place(self) -> Path:
        return self.results / "runs/r1/qemu-exact"

    @property
    def errors(self) -> str:
        return self.done.stderr

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.results / "history.db") as db:
            return db.execute(sql, values).fetchall()

    def outcome(self) -> tuple[str, str]:
        """Outcome and detail of the only run."""
        ((outcome, detail),) = self.query("SELECT outcome, detail FROM run")
        return outcome, detail

    def statuses(self) -> dict[str, str]:
        return dict(self.query("SELECT id, status FROM bench_row"))

    def digests(self) -> dict[tuple[str, str], str]:
        return {(run, machine): digest
                for run, machine, digest in self.query("SELECT run, machine, digest FROM run")
                }  # fmt: skip

    def check_store(self) -> None:
        """The file is sound, and each run's digest is that of its rows, computed here."""
        assert self.query("PRAGMA integrity_check") == [("ok",)]
        sql = (ROOT / "bench/recorder/digest.sql").read_text()
        for (run, machine), digest in self.digests().items():
            lines = self.query(sql, run, machine)
            text = "".join(line + "\n" for (line,) in lines)
            assert hashlib.sha256(text.encode()).hexdigest() == digest


def send(*pieces: bytes) -> list[Any]:
    return ["send", b"".join(pieces).hex()]


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)
