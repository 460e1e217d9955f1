# SPDX-License-Identifier: MIT
"""One run over a bad line, and what it must come to: the store holds what the target said, or
names what is missing."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wire_decoder
import wire_encoder as wire
from recorder_run import ROOT, SESSION, Recorder

PROXY = ROOT / "tests/line/proxy.py"
TARGET = ROOT / "build/test/line_target"
SECONDS = 120


@dataclass
class Line:
    """A run's files and what became of it."""

    folder: Path
    recorder: Recorder
    seed: int
    code: int = -1
    printed: str = ""
    sent: wire_decoder.Decoded = field(default_factory=wire_decoder.Decoded)
    passed: wire_decoder.Decoded = field(default_factory=wire_decoder.Decoded)

    @property
    def said(self) -> wire_decoder.Rows:
        """What the target said, taken before anything happened to it."""
        return wire_decoder.rows(wire_decoder.results(self.sent.frames, SESSION))

    def facts(self) -> dict[str, str]:
        return dict(self.recorder.query("SELECT key, value FROM fact"))

    def lost_log_frames(self) -> int:
        """By what the proxy let through."""
        frames = [
            {frame.sequence for frame in stream.frames if frame.channel == wire.LOG}
            for stream in (self.sent, self.passed)
        ]
        return len(frames[0] - frames[1])


def run_line(
    folder: Path,
    seed: int,
    to_host: dict[str, Any],
    to_target: dict[str, Any],
    *,
    command: list[str] | None = None,
    arguments: str = "",
    **options: Any,
) -> Line:
    """Runs a target over a bad line. `command` has the place holders of the recorder."""
    folder.mkdir(parents=True)
    line = Line(folder, Recorder(folder), seed)
    faults = folder / "faults.json"
    faults.write_text(
        json.dumps(
            {"to_host": {"seed": seed, **to_host}, "to_target": {"seed": ~seed, **to_target}}
        )
    )
    start = command or [str(TARGET), "{line}", "{arguments}"]
    words = line.recorder.words(
        command=[
            *(sys.executable, str(PROXY), str(faults), "{line}"),
            *(word.replace("{line}", "@line@") for word in start),
        ],
        arguments=arguments or f"seed={seed % 2**32}",
        **{"success-exit": 0, **options},
    )
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    line.code, line.printed = done.returncode, done.stdout + done.stderr
    for name in ("sent", "passed"):
        path = folder / f"{name}.bin"
        if path.exists():
            setattr(line, name, wire_decoder.decode(path.read_bytes()))
    return line


def check_honest(line: Line) -> str:
    """What is stored is what was said, what is not stored is named, and the outcome says which.
    Returns the outcome."""
    about = f"seed {line.seed} in {line.folder}\n{line.printed[-2000:]}"
    recorder, said = line.recorder, line.said
    recorder.check_store()
    outcome, detail = recorder.outcome()
    assert (line.code == 0) == (outcome == "complete"), about
    stored = recorder.query(
        "SELECT id, aa, round, operations, overhead, cold, samples, tags FROM round"
    )
    for row, aa, number, operations, overhead, cold, samples, tags in stored:
        values = list(struct.unpack(f"<{len(samples) // 8}q", samples))
        found = (operations, overhead, cold, values, list(tags))
        assert said.rounds[row, aa, number] == found, f"{row} {number}: {about}"
    for row, name, *counter in recorder.query(
        "SELECT id, name, numerator, denominator, unit FROM counter"
    ):
        assert said.counters[row, name] == tuple(counter), about
    statuses = recorder.query("SELECT id, aa, status FROM bench_row")
    if outcome == "complete":
        assert len(stored) == len(said.rounds) and len(statuses) == len(said.ids), about
        assert {status for *_, status in statuses} == {"ok"}, about
    else:
        assert detail, about
        missing = [row for row, _, status in statuses if status == "missing"]
        for row in missing[:20]:
            assert f"{row}: missing" in line.printed, about
    return outcome
