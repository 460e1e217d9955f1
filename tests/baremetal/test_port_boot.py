# SPDX-License-Identifier: MIT
"""The image for real machines, booted in QEMU and recorded at a serial port, from the menu of its
boot loader to the report: over a pseudo-terminal of QEMU's own, and over a bad line that is
unplugged, with a machine that is reset in the middle."""

from __future__ import annotations

import json
import os
import random
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(ROOT / part) for part in ("tests/boot", "targets/qemu"))]
sys.path[:0] = [str(ROOT / part) for part in ("tests/line", "tests/recorder", "site_scons")]
sys.path.append(str(ROOT / "targets/baremetal"))  # behind targets/qemu: both have machines.py

import image  # noqa: E402
import menu  # noqa: E402
import options  # noqa: E402
from bad_line import check_honest  # noqa: E402
from configurations import Configuration  # noqa: E402
from port_line import Plan, PortLine, PortRun, record  # noqa: E402
from proxy import Faults, Way  # noqa: E402
from screenless import Booted  # noqa: E402

KERNEL, CONTRACT = ROOT / "build/qemu/tickmark.elf", ROOT / "build/contract/tickmark.elf"
SUITES = options.suite_names(str(ROOT))
SECONDS = 240
SEED = int(os.environ.get("SEED", time.time_ns() % 2**31))
ROWS = "suites=heap filter=heap/pair_64 rounds=1"
METAL = options.places.load("baremetal")


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    # The menu as it is, waiting less.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(menu, "TIMEOUT_SECONDS", 1)
        patch.setattr(menu, "ASK_SECONDS", 1)
        make(folder)
    return folder / image.ISO


def make(folder: Path) -> None:
    image.make({menu.KERNEL: KERNEL, menu.SELF_TEST: CONTRACT}, folder, SUITES, image.GRUB)


MOMENTS = 5 if os.environ.get("TICKMARK_SOAK") == "1" else 0  # more, of a reset, in the soak
# What somebody's buffers may have kept for the boot loader: Enter, its editor and its command line,
# another kernel, a menu below, a question for words; and Esc, alone and as part of other keys.
KEYS = b"\r\x1becs\x1bow\r\n\x1b[A\x1b\x1brqf\x03\x1b"


class Machine(Booted):
    """One that waits to be switched on, and can be reset."""

    def __init__(self, iso: Path, line: str = "") -> None:
        words = Configuration("q35", "bios-cd", 2, 256).command(KERNEL, iso)
        words[words.index("-action") + 1] = "reboot=reset,shutdown=pause"
        words.remove("-no-reboot")
        if line:
            words[words.index("-chardev") + 1] = line
        super().__init__([*words, "-S"])

    def ask(self, execute: str) -> Any:
        """What QMP answers; what it says by itself is passed over."""
        self.qmp_end.sendall(json.dumps({"execute": execute, "id": execute}).encode() + b"\n")
        end = time.monotonic() + SECONDS
        said = b""
        while time.monotonic() < end:
            said += (
                self.qmp_end.recv(65536) if select.select([self.qmp_end], [], [], 0.1)[0] else b""
            )
            for row in said.split(b"\n")[:-1]:
                answer = json.loads(row)
                if answer.get("id") == execute:
                    return answer["return"]
        raise AssertionError(f"{execute}: {said!r}")


class RealLine(PortLine):
    """The bad line with a whole machine at its end, whose speed nobody is told."""

    def __init__(self, folder: Path, plan: Plan, machine: Machine) -> None:
        self.machine = machine
        super().__init__(folder, plan)

    def power_on(self) -> None:
        self.menu_at, self.boots_at = 0.0, 0.0
        if self.rebooted:
            self.to_host.give(self.to_host.gathered)  # a frame that is cut
            self.to_host.gathered = b""
            self.machine.ask("system_reset")
            self.end.sendall(KEYS)
            return
        self.end, self.target = self.machine.line_end, self.machine.process
        plan = self.plan
        self.to_host = Way(self.end, self.port, Faults(seed=plan.seed, **plan.to_host), None)
        self.to_target = Way(self.end, self.end, Faults(seed=~plan.seed, **plan.to_target), None)
        self.machine.ask("cont")

    def power_off(self) -> None:
        if self.machine.ended():
            self.target = None

    def from_target(self) -> None:
        try:
            data = self.end.recv(4096)
        except OSError:
            data = b""
        if not data:
            self.machine.process.wait()
            self.target = None
            return
        self.sent += data
        if b"\0" in data or self.to_host.gathered:
            self.to_host.feed(data)
        else:
            self.port.sendall(data)  # no frames yet


def test_every_part_of_the_menu_that_the_recorder_looks_for_is_there() -> None:
    text = menu.script(SUITES, "0")
    entry = f'menuentry "{METAL.MENU_KEY}  {METAL.MENU_TEXT}'
    assert text.count(entry) == 1 and text.count(METAL.MENU_TEXT) == 1
    (preset,) = (one for one in menu.PRESETS if one.key == METAL.MENU_KEY)
    assert preset.words == "output=framed"


def beside(folder: Path) -> Path:
    """The working tree with results of its own."""
    for path in ROOT.iterdir():
        if path.name not in ("results", "compile_commands.json", ".git", ".sconsign.dblite"):
            (folder / path.name).symlink_to(path)
    (folder / ".sconsign.dblite").write_bytes((ROOT / ".sconsign.dblite").read_bytes())
    return folder


def test_a_machine_that_is_reset_is_recorded_from_its_menu_to_the_report(
    iso: Path, tmp_path: Path
) -> None:
    folder = beside(tmp_path)
    with Machine(iso, "pty,id=line") as machine:
        (port,) = [
            device["filename"].removeprefix("pty:")
            for device in machine.ask("query-chardev")
            if device["label"] == "line"
        ]
        words = ["scons", "-Q", "target=baremetal", "bench", f"port={port}", "machine=emulated"]
        with subprocess.Popen(
            [*words, *ROWS.split()], cwd=folder, stdout=subprocess.PIPE, text=True
        ) as bench:
            assert bench.stdout is not None
            printed = ""
            for row in bench.stdout:
                printed += row
                if row.startswith(f"waiting for the machine on {port} at 115200"):
                    machine.ask("cont")
                elif row.startswith("the run has begun") and printed.count(row) == 1:
                    machine.ask("system_reset")
            assert bench.wait() == 0, printed
    assert "the machine shows its menu: pressed h" in printed
    assert "the machine started again: measuring anew (1 of 2)" in printed
    assert re.search(r"complete: (\d+) of \1 rows, 1 of 1 boots", printed), printed
    assert re.search(r"^hybrid +[\d.]+ ", printed, re.M), printed
    report = json.loads((folder / "results/report/report.json").read_text())
    (run,) = report["runs"]
    told = [run[key] for key in ("target", "machine", "clock")]
    assert told == ["baremetal", "baremetal-emulated", "emulated"]


def recorded(iso: Path, folder: Path, plan: Plan) -> PortRun:
    print(f"SEED={SEED}")
    with Machine(iso) as machine:
        return record(
            RealLine(folder, plan, machine), folder, plan, machine="emulated", image=KERNEL,
            clock="emulated", arguments=f"clock=emulated {ROWS}",
            **{"menu-text": METAL.MENU_TEXT, "menu-key": METAL.MENU_KEY},
            **{"idle-seconds": 60, "reset-seconds": 60, "flow": "on"},
        )  # fmt: skip


def check_restarted(run: PortRun) -> None:
    assert check_honest(run) == "complete", run.printed[-3000:]
    assert run.rebooted == 1 and run.facts()["line.restarts"] == "1", run.printed
    assert "the machine started again" in run.printed
    # QEMU's port has CTS on, whatever is at its other end.
    assert run.facts()["guest.line.flow"] == "CTS is waited for"


BAD = {"lose": 0.1, "corrupt": 0.05, "duplicate": 0.1, "reorder": 0.1}


def test_a_bad_line_that_is_unplugged_and_a_reset_lose_nothing(iso: Path, tmp_path: Path) -> None:
    run = recorded(iso, tmp_path, Plan(SEED, BAD, BAD, unplugs=[6000], reboots=[10000]))
    check_restarted(run)
    assert "is back after" in run.printed


@pytest.mark.parametrize("number", range(MOMENTS))
def test_a_reset_at_any_moment_loses_nothing(iso: Path, tmp_path: Path, number: int) -> None:
    chance = random.Random(SEED + number)
    bad = BAD if chance.random() < 0.5 else {}
    run = recorded(iso, tmp_path, Plan(SEED, bad, bad, reboots=[chance.randrange(3000, 20000)]))
    check_restarted(run)
