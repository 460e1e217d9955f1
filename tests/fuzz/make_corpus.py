# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus again: what targets of all kinds say over lines of all kinds.

With TICKMARK_RECORDER=build/recorder, from the top, after
`scons build/recorder build/host/tickmark build/test/line_target
build/planted/tickmark.elf build/qemu/tickmark.elf`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for folder in ("tests/recorder", "tests/line", "targets/qemu"):
    sys.path.insert(0, str(ROOT / folder))
import machines  # noqa: E402
from bad_line import run_line  # noqa: E402

CORPUS = ROOT / "tests/fuzz/corpus"
FILE_MOST = 24 << 10  # a longer stream is cut: the fuzzer is slow on long inputs


def target(arguments: str) -> dict[str, Any]:
    return {"arguments": arguments}


def host(arguments: str) -> dict[str, Any]:
    image = str(ROOT / "build/host/tickmark")
    return {
        "arguments": arguments, "image": image, "target": "host", "machine": "native",
        "command": [image, "line={line}", "{arguments}"],
    }  # fmt: skip


def kernel(program: str, arguments: str) -> dict[str, Any]:
    exact = machines.MACHINES["exact"]
    image = str(ROOT / f"build/{program}/tickmark.elf")
    return {
        "arguments": " ".join([*exact.arguments(), arguments]), "image": image,
        "command": exact.command(image), "success-exit": machines.SUCCESS_EXIT,
    }  # fmt: skip


BAD = {"lose": 0.1, "corrupt": 0.1, "duplicate": 0.1, "reorder": 0.2}
DEAF = {"deaf": True}
# name -> (to the host, to the target, what runs)
LINES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "good": ({}, {}, target("seed=1 samples=2")),
    "long": ({}, {}, target("seed=2 samples=60")),
    "one_way": ({}, DEAF, target("seed=3 samples=1")),
    "bad": (BAD, BAD, target("seed=4 samples=8")),
    "host": ({}, {}, host("smoke=1 filter=ipc/pair_0")),
    "host_panic": ({}, {}, host("filter=ipc/pair_0 die=panic")),
    "host_refused": ({}, {}, host("suites=none")),
    "kernel": ({}, {}, kernel("planted", "filter=planted/known")),
    "kernel_failed": ({}, {}, kernel("planted", "rounds=2 samples=3")),
    "kernel_fault": ({}, {}, kernel("qemu", "filter=ipc/pair_0 die=fault")),
}


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (to_host, to_target, what)) in enumerate(LINES.items()):
            line = run_line(Path(folder) / name, number, to_host, to_target, **what)
            passed = (line.folder / "passed.bin").read_bytes()[:FILE_MOST]
            (CORPUS / f"{name}.bin").write_bytes(passed)
            print(f"{name}: {len(passed)} bytes, {len(line.passed.frames)} frames")


main()
