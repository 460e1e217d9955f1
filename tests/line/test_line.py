# SPDX-License-Identifier: MIT
"""Over a bad line every result comes, or is named as lost; nothing is ever silently wrong.

SEED repeats a failure; TICKMARK_SOAK=1 makes it many more runs."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import wire_decoder
import wire_encoder as wire
from bad_line import Line, check_honest, run_line
from recorder_run import ROOT, SESSION, Recorder

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
SEED = int(os.environ.get("SEED", time.time_ns() % 2**31))
TOGETHER = 4  # runs at a time: they mostly wait

MOST = 0.2
MIXES: dict[str, dict[str, Any]] = {
    "loss": {"lose": MOST},
    "corruption": {"corrupt": MOST},
    "duplication": {"duplicate": MOST},
    "reordering": {"reorder": MOST},
    "stalls": {"stall": 0.05},
    "everything": {
        "lose": 0.1, "corrupt": 0.1, "duplicate": 0.2, "reorder": 0.2, "stall": 0.02,
    },
}  # fmt: skip


def both_ways(
    tmp_path: Path, faults: list[tuple[dict[str, Any], dict[str, Any]]], **options: Any
) -> list[Line]:
    """A run for each (to the host, to the target), some at a time; all are honest."""
    print(f"SEED={SEED}")

    def one(number: int) -> Line:
        to_host, to_target = faults[number]
        return run_line(tmp_path / str(number), SEED + number, to_host, to_target, **options)

    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(one, range(len(faults))))


@pytest.mark.parametrize("mix", MIXES)
def test_whatever_the_line_does_every_result_comes(tmp_path: Path, mix: str) -> None:
    runs = both_ways(tmp_path, [(MIXES[mix], MIXES[mix])] * (300 if SOAK else 6))
    for line in runs:
        outcome = check_honest(line)
        assert outcome == "complete", f"seed {line.seed}: {line.printed[-2000:]}"


def test_mixes_drawn_at_random_are_never_silently_wrong(tmp_path: Path) -> None:
    chance = random.Random(SEED)

    def draw() -> dict[str, Any]:
        names = ("lose", "corrupt", "duplicate", "reorder")
        return {name: chance.uniform(0, MOST) for name in names} | {
            "stall": chance.uniform(0, 0.02)
        }

    runs = both_ways(tmp_path, [(draw(), draw()) for _ in range(1500 if SOAK else 20)])
    outcomes = [check_honest(line) for line in runs]
    assert outcomes.count("complete") >= len(outcomes) * 3 // 4, outcomes


def test_a_line_that_is_hardly_one_names_what_is_lost(tmp_path: Path) -> None:
    """Far beyond what can be recovered in time."""
    bad = {"lose": 0.9, "corrupt": 0.5, "reorder": 0.5}
    hurry = {"idle-seconds": 1, "start-seconds": 3, "boot-seconds": 5}
    for line in both_ways(tmp_path, [(bad, bad)] * (40 if SOAK else 4), **hurry):
        check_honest(line)


def test_a_one_way_line_gets_everything_three_times(tmp_path: Path) -> None:
    line = run_line(tmp_path / "r", SEED, {}, {"deaf": True})
    assert check_honest(line) == "complete", line.printed
    kinds = [frame.kind for frame in line.sent.frames]
    assert kinds.count(wire.HELLO) == 3
    length = len(wire_decoder.results(line.sent.frames, SESSION))
    data = sum(len(f.payload) for f in line.sent.frames if f.kind == wire.DATA)
    assert data == 3 * length


def test_a_bad_one_way_line_recovers_or_names(tmp_path: Path) -> None:
    bad = {"lose": 0.05, "corrupt": 0.02, "reorder": 0.1, "duplicate": 0.1}
    runs = both_ways(tmp_path, [(bad, {"deaf": True})] * (100 if SOAK else 6))
    outcomes = [check_honest(line) for line in runs]
    assert set(outcomes) <= {"complete", "stream damaged"}
    for line, outcome in zip(runs, outcomes):
        assert outcome == "complete" or "never came" in line.recorder.outcome()[1]


def test_a_good_line_repeats_nothing(tmp_path: Path) -> None:
    line = run_line(tmp_path / "r", SEED, {}, {})
    assert check_honest(line) == "complete"
    kinds = [frame.kind for frame in line.sent.frames]
    assert (kinds.count(wire.HELLO), kinds.count(wire.END)) == (1, 1)
    offsets = [frame.offset for frame in line.sent.frames if frame.kind == wire.DATA]
    assert len(offsets) == len(set(offsets)) > 20


@pytest.mark.parametrize("kind", ["HELLO", "END", "DATA"])
def test_a_lost_frame_of_each_kind_is_sent_again(tmp_path: Path, kind: str) -> None:
    lost = {"lose_first": {str(getattr(wire, kind)): 2}}
    line = run_line(tmp_path / "r", SEED, lost, {})
    assert check_honest(line) == "complete", line.printed


@pytest.mark.parametrize("kind", ["ACK", "RESEND"])
def test_a_lost_answer_is_given_again(tmp_path: Path, kind: str) -> None:
    lost = {"lose_first": {str(getattr(wire, kind)): 3}}
    line = run_line(tmp_path / "r", SEED, {"lose_first": {str(wire.DATA): 1}}, lost)
    assert check_honest(line) == "complete", line.printed


def test_lost_log_frames_are_counted_and_named(tmp_path: Path) -> None:
    bad = {"lose": 0.2, "duplicate": 0.2, "reorder": 0.2}
    for line in both_ways(tmp_path, [(bad, {})] * 3):
        assert check_honest(line) == "complete", line.printed
        lost = line.lost_log_frames()
        assert line.facts()["line.lost_log_frames"] == str(lost)
        assert (f", {lost} log frames lost" in line.printed) == (lost > 0)


def test_a_line_cut_anywhere_keeps_what_came(tmp_path: Path) -> None:
    whole = run_line(tmp_path / "whole", SEED, {}, {})
    length = (whole.folder / "passed.bin").stat().st_size
    chance = random.Random(SEED)
    cuts = [{"cut_after": chance.randrange(length - 1)} for _ in range(40 if SOAK else 4)]
    for line in both_ways(tmp_path, [(cut, {"deaf": True}) for cut in cuts]):
        assert check_honest(line) != "complete", line.printed


def test_an_older_line_between_the_frames_is_no_part_of_the_run(tmp_path: Path) -> None:
    older = run_line(tmp_path / "older", SEED + 1, {}, {}, session=SESSION + 5)
    frames = (older.folder / "sent.bin").read_bytes()
    line = run_line(tmp_path / "r", SEED, {"inject": frames.hex()}, {"inject": frames.hex()})
    assert check_honest(line) == "complete", line.printed
    assert int(line.facts()["line.foreign_frames"]) > 20


def test_an_older_run_played_again_is_not_taken_for_this_one(tmp_path: Path) -> None:
    older = run_line(tmp_path / "older", SEED, {}, {}, session=SESSION + 5)
    recorder = Recorder(tmp_path)
    line = (older.folder / "sent.bin").read_bytes()
    steps = [["send", line.hex()], ["sleep", 60]]
    assert recorder.bench(steps, **{"start-seconds": 1}) == 30
    assert "another session" in recorder.outcome()[1]


# ---- real targets -------------------------------------------------------------------------------


def test_the_host_target_survives_a_bad_line(tmp_path: Path) -> None:
    image = ROOT / "build/host/tickmark"
    line = run_line(
        tmp_path / "r", SEED, MIXES["everything"], MIXES["everything"],
        command=[str(image), "line={line}", "{arguments}"], arguments="smoke=1 suites=ipc",
        image=image, target="host", machine="native", clock="tsc",
    )  # fmt: skip
    assert check_honest(line) == "complete", line.printed


@pytest.mark.parametrize("lost", [1, 2])
def test_last_words_survive_a_loss(tmp_path: Path, lost: int) -> None:
    image = ROOT / "build/host/tickmark"
    losses = {str(wire.PANIC): lost, str(wire.STACK): lost}
    line = run_line(
        tmp_path / "r", SEED, {"lose_first": losses}, {},
        command=[str(image), "line={line}", "{arguments}"], arguments="filter=ipc/pair_0 die=panic",
        image=image, target="host", machine="native", clock="tsc",
    )  # fmt: skip
    assert line.recorder.outcome()[0] == "guest panic"
    assert "run_case" in line.printed


def test_a_refusal_survives_a_loss(tmp_path: Path) -> None:
    image = ROOT / "build/host/tickmark"
    line = run_line(
        tmp_path / "r", SEED, {"lose_first": {str(wire.REFUSED): 2}}, {},
        command=[str(image), "line={line}", "{arguments}"], arguments="suites=hepa",
        image=image, target="host", machine="native", clock="tsc",
    )  # fmt: skip
    assert line.code == 30 and "refused: no suite hepa" in line.printed


def kernel(folder: Path, faults: dict[str, Any], back: dict[str, Any]) -> Line:
    import machines

    exact = machines.MACHINES["exact"]
    image = str(ROOT / "build/planted/tickmark.elf")
    return run_line(
        folder, SEED, faults, back, command=exact.command(image), image=image, clock=exact.clock,
        arguments=" ".join([*exact.arguments(), "filter=planted/known samples=100"]),
        **{"success-exit": machines.SUCCESS_EXIT},
    )  # fmt: skip


def test_the_kernel_over_a_bad_line_gives_the_same_rows(tmp_path: Path) -> None:
    """To the bit what it gives over a good one, and over one that leads one way only."""
    faults = {"lose": 0.1, "corrupt": 0.05, "duplicate": 0.1, "reorder": 0.1}
    lines = [
        kernel(tmp_path / "good", {}, {}),
        kernel(tmp_path / "bad", faults, faults),
        kernel(tmp_path / "one_way", {}, {"deaf": True}),
    ]
    rows = []
    for line in lines:
        assert check_honest(line) == "complete", line.printed
        rows.append(
            line.recorder.query(
                "SELECT id, round, operations, overhead, cold, samples, tags FROM round"
                " ORDER BY id, round"
            )
        )
    assert rows[0] == rows[1] == rows[2] and len(rows[0]) == 4
