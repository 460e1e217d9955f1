# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus_virtio again: disks of each shape that are read, in the form that
virtio_storm.h takes, and such as misbehave in each way."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus_virtio"
MISDEEDS = 18  # of enum misdeed
MISDEED, SUBMIT, WORK, LOOK, SCRIBBLE, STATUS, INTERRUPT = 0, 1, 3, 4, 5, 6, 7  # steps
READINGS = 24
QUEUES = 4


def reads(count: int) -> bytes:
    """number, blocks, first (two bytes), pieces; then the disk works and somebody looks."""
    steps = [bytes([SUBMIT, i % READINGS, i, 17 * i % 256, i % 8, i]) for i in range(count)]
    looks = [bytes([LOOK, queue]) for queue in range(QUEUES)]
    return b"".join([*steps, bytes([WORK, INTERRUPT]), *looks])


def shape(number: int, size: int = 6, queues: int = 3) -> int:
    """Tables of their own or not, events or not; the queues' size; how many are wanted."""
    return number | size << 2 | queues << 5


def inputs() -> dict[str, bytes]:
    made = {f"shape_{i}": bytes([shape(i)]) + reads(30) for i in range(4)}
    made |= {f"size_{i}": bytes([shape(i % 2, i)]) + reads(20) for i in range(8)}
    for misdeed in range(1, MISDEEDS):
        wrong = bytes([MISDEED, misdeed, 5])
        made[f"misdeed_{misdeed}"] = bytes([shape(0)]) + reads(5) + wrong + reads(9) + reads(3)
    scribble = bytes([SCRIBBLE, 0, 1, 3, 4, 0, 0, 2, 8, 0, 0, 3, 12, 0, 0, 1, 2])
    made["scribbles"] = bytes([shape(0)]) + (reads(4) + scribble) * 3
    made["statuses"] = bytes([shape(2)]) + (reads(3) + bytes([STATUS, 0x4F])) * 3
    return made


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    for name, content in inputs().items():
        (CORPUS / f"{name}.bin").write_bytes(content)


main()
