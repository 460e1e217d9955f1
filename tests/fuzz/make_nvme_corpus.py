# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus_nvme again: controllers of each kind with reads, in the form fuzz_nvme.c
takes, honest ones and such as lie."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus_nvme"
HONEST, ENTRIES, IDENTIFY, STATUS, ABORTS = 0, 1, 2, 4, 8  # flags
DEEDS = 8  # of enum fake_deed
QUEUES = 2

# kind, block, count, offset: on both queues, alone and in batches, within a page and across some
READS = b"".join(
    bytes([16 * (i % QUEUES) + (12 if i > 12 else i % 4), 11 * i, 3 * i, 5 * i]) for i in range(20)
)


def controller(
    flags: int,
    *,
    block_log: int = 9,
    page: int = 0,
    stride: int = 0,
    mdts: int = 0,
    entries: int = 63,
    latency: int = 0,
    wrong: int = 0,
    deed: int = 0,
    abort: int | None = None,
) -> bytes:
    traits = [block_log - 8, page, stride, mdts, entries, 0, latency, wrong, deed]
    return bytes([flags, *traits, *([] if abort is None else [abort])])


def inputs() -> dict[str, bytes]:
    made = {
        "honest": controller(HONEST) + READS,
        "large_blocks": controller(HONEST, block_log=12, mdts=1) + READS,
        "large_pages": controller(HONEST, page=3, stride=4) + READS,
        "two_entries": controller(HONEST, entries=1) + READS,
        "slow": controller(HONEST, latency=100) + READS,
        "no_disk": controller(HONEST, block_log=13) + READS,
        "identify": controller(IDENTIFY) + b"\3\0\2\1" * 12 + READS,
        "status": controller(STATUS) + b"\0" * 40 + READS + b"\0\0\xd0\2" * 40,
        "entries": controller(ENTRIES) + b"\0" * 40 + READS + b"\0\0\0\xb5\3\0" * 40,
        "gone": controller(STATUS) + b"\0" * 40 + READS + b"\0" * 30 + b"\xff" * 200,
    }
    for deed in range(1, DEEDS):
        made[f"deed_{deed}"] = controller(HONEST, wrong=9, deed=deed) + READS
    for abort in range(4):
        made[f"abort_{abort}"] = controller(ABORTS, latency=200, abort=abort) + READS
    return made


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    for name, content in inputs().items():
        (CORPUS / f"{name}.bin").write_bytes(content)


main()
