# SPDX-License-Identifier: MIT
"""A machine at a serial port: met, brought to a speed, lost, found again and recorded; over lines
as bad as they come everything is recovered or named as lost, and nothing is silently wrong.

SEED repeats a failure; TICKMARK_SOAK=1 makes it many more sessions."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import wire_decoder
import wire_encoder as wire
from bad_line import SECONDS, check_honest
from port_line import HURRY, Plan, Port, PortLine, PortRun, lock_of, record, run_port
from recorder_run import Recorder, recorder_path

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
SEED = int(os.environ.get("SEED", time.time_ns() % 2**31))
SESSIONS = 10000 if SOAK else 100
TOGETHER = 32  # they mostly wait
BYTES = 14000  # that a whole session says, about
MOST = 0.2  # of the frames lost, in one way or another


def draw(seed: int) -> Plan:
    """A line that everything is recovered over, whatever else happens."""
    chance = random.Random(seed)

    def faults() -> dict[str, Any]:
        lost = chance.uniform(0, MOST) if chance.random() < 0.7 else 0
        share = chance.random()
        return {
            "lose": lost * share,
            "corrupt": lost * (1 - share),
            "duplicate": chance.uniform(0, MOST),
            "reorder": chance.uniform(0, MOST),
            "stall": chance.choice([0, 0, 0.01]),
        }

    def places(often: float, most: int) -> list[int]:
        count = chance.randint(1, most) if chance.random() < often else 0
        return [chance.randrange(100, BYTES) for _ in range(count)]

    return Plan(
        seed,
        to_host=faults(),
        to_target=faults(),
        fastest=chance.choice([115200, 115200, 230400, 460800, 921600, 1500000]),
        clean=chance.choice([1 << 31, 1 << 31, 300000]),
        unplugs=places(0.3, 2),
        reboots=places(0.25, 2),
        xoff=chance.choice([0, 0, 0.02]),
        menu=chance.random() < 0.2,
    )


def hopeless(seed: int) -> Plan:
    """Far beyond what can be recovered in time."""
    chance = random.Random(seed)
    bad = {"lose": chance.uniform(0.5, 0.8), "corrupt": chance.uniform(0, 0.5)}
    return Plan(
        seed,
        to_host=bad,
        to_target=bad,
        fastest=chance.choice([115200, 921600]),
        unplugs=[chance.randrange(BYTES)],
        reboots=[chance.randrange(BYTES) for _ in range(chance.randint(0, 5))],
        stays_away=chance.random() < 0.3,
    )


def one(folder: Path, plan: Plan, **options: Any) -> tuple[PortRun, str]:
    """A session, found honest; what it left is deleted where nobody wants it any more."""
    run = run_port(folder, plan, **options)
    outcome = check_honest(run)
    if SOAK:
        shutil.rmtree(folder)
    return run, outcome


def test_whatever_a_line_does_every_result_comes_or_is_named(tmp_path: Path) -> None:
    print(f"SEED={SEED}")
    bound = {"gone-seconds": 2, "boot-seconds": 8, "start-seconds": 5}

    def session(number: int) -> tuple[bool, PortRun, str]:
        lost = number % 10 == 9
        plan = (hopeless if lost else draw)(SEED + number)
        return (lost, *one(tmp_path / str(number), plan, **(bound if lost else {})))

    with ThreadPoolExecutor(TOGETHER) as pool:
        sessions = list(pool.map(session, range(SESSIONS)))
    for lost, run, outcome in sessions:
        about = f"seed {run.seed}: {outcome}\n{run.printed[-2000:]}"
        assert lost or outcome == "complete", about
    assert any(outcome != "complete" for lost, _, outcome in sessions if lost)
    assert sum(run.rebooted for _, run, _ in sessions) > SESSIONS // 10


# ---- one thing at a time ------------------------------------------------------------------------


def test_a_good_line_goes_to_the_fastest_speed_both_can_have(tmp_path: Path) -> None:
    run, outcome = one(tmp_path / "r", Plan(SEED, fastest=921600))
    assert outcome == "complete" and "the run has begun, at 921600 bits" in run.printed
    kinds = [frame.kind for frame in run.sent.frames]
    assert (kinds.count(wire.HELLO), kinds.count(wire.END)) == (1, 1)


def test_a_cable_that_is_no_good_above_a_speed_is_used_below_it(tmp_path: Path) -> None:
    run, outcome = one(tmp_path / "r", Plan(SEED, fastest=921600, clean=300000))
    assert outcome == "complete" and "the run has begun, at 230400 bits" in run.printed


def test_a_machine_that_starts_again_is_measured_anew_and_it_is_told(tmp_path: Path) -> None:
    run, outcome = one(tmp_path / "r", Plan(SEED, reboots=[BYTES // 2], fastest=921600))
    assert outcome == "complete" and run.facts()["line.restarts"] == "1"
    assert "the machine started again during line/case_" in run.printed
    assert run.recorder.rebuild() == 0
    assert check_honest(run) == "complete"


def test_a_machine_that_starts_again_and_again_is_named(tmp_path: Path) -> None:
    run, outcome = one(tmp_path / "r", Plan(SEED, reboots=[5000, 14000, 24000]))
    assert outcome == "target died", run.printed
    assert "the machine started again during line/case_" in run.recorder.outcome()[1]


class Parrot(PortLine):
    """A machine that says its last frame, END, for ever."""

    last, said_at = b"", 0.0

    def from_target(self) -> None:
        before = len(self.sent)
        super().from_target()
        self.last = self.sent[before:] or self.last

    def events(self) -> None:
        super().events()
        if self.sent and self.target is None and time.monotonic() > self.said_at + 0.2:
            self.said_at = time.monotonic()
            self.port.sendall(self.last)


def test_a_machine_that_says_its_end_for_ever_is_not_listened_to_for_ever(tmp_path: Path) -> None:
    plan, folder = Plan(SEED), tmp_path / "r"
    folder.mkdir()
    line = Parrot(folder, plan)
    before = time.monotonic()
    run = record(line, folder, plan, **{"idle-seconds": 2})
    assert wire_decoder.decode(line.last).frames[-1].kind == wire.END
    assert check_honest(run) == "complete" and time.monotonic() - before < SECONDS / 2


def test_a_port_that_does_not_come_back_keeps_what_came(tmp_path: Path) -> None:
    plan = Plan(SEED, unplugs=[BYTES // 2], stays_away=True)
    run, outcome = one(tmp_path / "r", plan, **{"gone-seconds": 1})
    assert outcome == "target died" and "was gone for more than 1 s" in run.printed
    assert 0 < list(run.recorder.statuses().values()).count("ok") < 24


def test_a_machine_that_does_not_come_is_waited_for_and_then_named(tmp_path: Path) -> None:
    plan = Plan(SEED, menu=True)
    run = run_port(tmp_path / "r", plan, **{"start-seconds": 1, "menu-text": "", "menu-key": ""})
    assert run.code == 30 and "no HELLO within 1 s" in run.printed
    assert run.printed.startswith(f"waiting for the machine on {tmp_path / 'r' / 'tty'} at 115200")


class Setup(PortLine):
    """A machine that is not started but shows a text again and again, and takes keys."""

    keys, shown_at = b"", 0.0

    def power_on(self) -> None:
        pass

    def events(self) -> None:
        if time.monotonic() > self.shown_at + 0.5:
            self.shown_at = time.monotonic()
            self.port.sendall(b"\x1b[2JSetup: h takes the standard values\r\n")

    def from_recorder(self) -> None:
        self.keys += self.port.recv()


def test_who_shows_text_is_pressed_no_key_but_at_the_beginning(tmp_path: Path) -> None:
    plan, folder = Plan(SEED, menu=True), tmp_path / "r"
    folder.mkdir()
    line = Setup(folder, plan)
    run = record(line, folder, plan, **{"start-seconds": 7})
    assert run.code == 30 and "no HELLO within 7 s" in run.printed
    assert line.keys == b"h"


def test_another_build_of_the_image_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.elf"
    from recorder_run import tiny_elf

    other.write_bytes(tiny_elf(bytes(20)))
    run = run_port(tmp_path / "r", Plan(SEED), image=other)
    assert run.code == 30 and "another program answered: its build id is 000102" in run.printed


# ---- ports that are none ------------------------------------------------------------------------


def refused(folder: Path, port: Path | str, **options: Any) -> tuple[int, str]:
    recorder = Recorder(folder)
    words = recorder.words(**HURRY, **options)
    code = recorder.call([*words[: words.index("--")], f"port={port}"])
    return code, recorder.done.stdout + recorder.errors


def test_a_port_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    code, said = refused(tmp_path, tmp_path / "ttyUSB9")
    assert code == 30 and f"{tmp_path}/ttyUSB9: no such port" in said
    assert said.count("\n") == 1


def test_a_file_is_no_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    code, said = refused(tmp_path, path)
    assert code == 30 and "this is no serial port" in said
    code, said = refused(tmp_path, "/dev/null", run="r2")
    assert code == 30 and "this is no serial port" in said


def test_a_port_that_somebody_has_is_named(tmp_path: Path) -> None:
    port = Port(tmp_path / "tty")
    port.plug()
    held = lock_of(port.path)
    try:
        code, said = refused(tmp_path, port.path)
        assert code == 30 and "another program has it open" in said
    finally:
        os.close(held)
        port.unplug()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every port")
def test_a_port_that_one_may_not_use_is_named(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))
        path.chmod(stat.S_IRUSR)
        code, said = refused(tmp_path, path)
    assert code == 30 and "you may not use it" in said


def test_words_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    for words, said in (
        ({"speed": 115201}, "speed=115201: no port has this"),
        ({"speed": 5}, "speed=: give a number from 1200"),
        ({"flow": "maybe"}, "flow=: give one of"),
        ({"menu-text": "x"}, "menu-text= needs menu-key="),
        ({"arguments": "x" * 950}, "arguments=: at most"),
    ):
        code, printed = refused(tmp_path, "/dev/null", **words)
        assert code == 2 and said in printed, printed
    recorder = Recorder(tmp_path)
    assert recorder.call([*recorder.words(port="/dev/null")]) == 2
    assert "leave -- COMMAND out" in recorder.errors
    assert recorder_path()
