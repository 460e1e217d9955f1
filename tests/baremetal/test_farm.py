# SPDX-License-Identifier: MIT
"""What is shipped for board farms: LAVA's jobs against LAVA's own schema, and labgrid with QEMU as
the board. Each needs the program it is about, and is left out where that is missing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FARM = ROOT / "targets/baremetal/farm"
sys.path.append(str(ROOT / "targets/baremetal"))
sys.path.insert(0, str(ROOT / "site_scons"))

import image  # noqa: E402
import menu  # noqa: E402
import options  # noqa: E402

JOBS = sorted(path.name for path in FARM.glob("lava-*.yaml"))
SAID = (
    "1..3\r\n"
    "# bench heap/pair_64/slob emulated ticks 1291.0 ;\r\n"
    "# heap/pair_64/slob     20    124.2   125.2  emulated ticks\r\n"
    "ok 1 - heap/pair_64/slob\r\n"
    "# heap/lifo_64/slob: failed out of memory\r\n"
    "not ok 2 - heap/lifo_64/slob # failed\r\n"
    "# bench heap/fifo_64/slob#aa ticks 7 ;\r\n# heap/fifo_64/slob#aa  20  7  ticks\r\n"
    "ok 3 - heap/fifo_64/slob#aa\r\n"
    "# bench-end\r\n"
)


def test_a_board_answers_what_the_menu_asks() -> None:
    script = (FARM / "run_board.py").read_text()
    assert f'QUESTIONS = ("{menu.ASK}", "{menu.ASK_AGAIN}")' in script


def job(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((FARM / name).read_text())


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_what_lavas_schema_asks_for(name: str) -> None:
    schemas = pytest.importorskip("lava_common.schemas")
    schemas.validate(job(name), strict=True)


@pytest.mark.parametrize("name", JOBS)
def test_the_pattern_of_a_job_finds_each_row_and_its_number(name: str) -> None:
    """As LAVA's monitors do: what follows `start`, one match after the other, until `end`."""
    (monitor,) = job(name)["actions"][-1]["test"]["monitors"]
    start, end = re.search(monitor["start"], SAID), re.search(monitor["end"] + r"\r", SAID)
    assert start and end
    found = [row.groupdict() for row in re.finditer(monitor["pattern"], SAID[start.end() :])]
    keys = ("test_case_id", "result", "measurement", "units")
    assert [tuple(row[key] for key in keys) for row in found] == [
        ("heap/pair_64/slob", "ok", "1291.0", "emulated ticks"),
        ("heap/lifo_64/slob", "not ok", None, None),
        ("heap/fifo_64/slob#aa", "ok", "7", "ticks"),
    ]
    assert monitor["fixupdict"] == {"ok": "pass", "not ok": "fail"}


@pytest.mark.skipif(importlib.util.find_spec("labgrid") is None, reason="labgrid is missing")
def test_labgrid_boots_the_image_and_reads_the_rows(tmp_path: Path) -> None:
    kernels = {menu.KERNEL: "build/qemu/tickmark.elf", menu.SELF_TEST: "build/probe/tickmark.elf"}
    paths = {name: ROOT / path for name, path in kernels.items()}
    image.make(paths, tmp_path, options.suite_names(str(ROOT)), image.GRUB)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-s"]
        + ["--lg-env", str(FARM / "labgrid-qemu.yaml"), str(FARM / "run_board.py")],
        env={**os.environ, "LG_ISO": str(tmp_path / image.ISO)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "1 passed" in done.stdout and "heap/pair_64/hybrid:" in done.stdout
