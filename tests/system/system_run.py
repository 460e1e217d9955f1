# SPDX-License-Identifier: MIT
"""Running targets and commands as a user would, in a results folder of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "targets/qemu"))
import machines  # noqa: E402

SECONDS = 300  # whole runs, on a machine that others use


class Bench:
    """One recorder invocation for a target, or for a machine of qemu ("qemu" is exact), in its
    own results folder. `values` are options of the machine."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.done: subprocess.CompletedProcess[str] | None = None

    def command(
        self,
        target: str,
        program: str,
        arguments: str,
        values: dict[str, str] | None = None,
        **words: str,
    ) -> list[str]:
        if target == "host":
            image = str(ROOT / f"build/{program}/tickmark")
            start = [image, "line={line}", "{arguments}"]
            about = {"machine": "native", "clock": "tsc", "success-exit": "0"}
        else:
            machine = machines.MACHINES[{"qemu": "exact"}.get(target, target)]
            image = str(ROOT / f"build/{program}/tickmark.elf")
            start = machine.command(image, values)
            arguments = " ".join([*machine.arguments(), arguments]).strip()
            target = "qemu"
            about = {
                "machine": machine.name,
                "clock": machine.clock,
                "success-exit": str(machines.SUCCESS_EXIT),
            }
        given = {
            "run": "test",
            "target": target,
            "image": image,
            "results": str(self.results),
            "boots": "1",
            "commit": "unknown",
            "dirty": "0",
            "size": "quick",
            "arguments": arguments,
            **about,
            **words,
        }
        return [
            str(ROOT / "build/recorder"),
            "bench",
            *(f"{name}={value}" for name, value in given.items()),
            "--",
            *start,
        ]

    def run(
        self,
        target: str,
        arguments: str = "",
        program: str = "",
        values: dict[str, str] | None = None,
        **words: str,
    ) -> int:
        program = program or ("host" if target == "host" else "qemu")
        command = self.command(target, program, arguments, values, **words)
        self.done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        return self.done.returncode

    @property
    def output(self) -> str:
        assert self.done is not None
        return self.done.stdout + self.done.stderr


def scons(*words: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scons", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )


def copy_tree(copy: Path) -> Path:
    """The working tree without what was built or measured."""
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy
