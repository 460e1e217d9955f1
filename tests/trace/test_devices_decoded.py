# SPDX-License-Identifier: MIT
"""What the kernel writes about devices, read by protoc's decoder: the story of
tests/test_perfetto_devices.c, and what the block layer did over the RAM disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from test_trace_decoded import Told, read, unpack

MODES = ("interrupt", "polling", "hybrid", "batch", "adaptive")


@pytest.fixture
def story(made: Path, decode: Any) -> Told:
    return read(made / "devices.perfetto-trace", decode)


def test_each_request_has_its_states(story: Told) -> None:
    requests = {name: s for name, s in story.states.items() if name.startswith("request ")}
    assert requests == {
        "request 0": [
            (1100, "queued"), (1110, "submitted"), (1200, "interrupt"), (1210, "done"), (1260, ""),
            (1270, "queued"), (1275, "done"), (1275, ""),
            (1344, "queued"), (1346, "submitted"), (1350, "interrupt"), (1352, "done"), (1352, ""),
        ],
        "request 1": [
            (1120, "queued"), (1140, "submitted"), (1220, "queued"), (1225, "submitted"),
            (1300, "interrupt"), (1310, "done"), (1310, ""),
        ],
        "request 2": [
            (1150, "queued"), (1160, "submitted"), (1240, "done"), (1250, ""),
        ],
    }  # fmt: skip


def test_each_queue_has_its_mode(story: Told) -> None:
    assert story.states["queue 0: mode"] == [(1010, "interrupt"), (1330, "hybrid"), (1400, "")]
    assert story.states["queue 1: mode"] == [(1020, "polling"), (1400, "")]
    assert story.states["device 1, queue 0: mode"] == [(1342, "interrupt"), (1400, "")]


def test_flows_lead_over_the_interrupt_to_the_completion(story: Told) -> None:
    """A: submitted, found by the first handler, done. B: submitted twice, found by the second one.
    C: found by who polled."""
    points = [(t, track, list(e.flows), list(e.flows_end)) for t, track, e in story.points]
    interrupts = story.slices[story.track("queue 0: interrupts")]
    assert [(s.begin, s.end, s.notes["requests"]) for s in interrupts] == [
        (1200, 1230, 1),
        (1300, 1320, 1),
    ]
    # D was never submitted. E is the other device's, on tracks of that one's.
    a, b, c, _, e_ = (1 << 63 | 4 << 32 | serial for serial in range(5))
    others = story.slices[story.track("device 1, queue 0: interrupts")]
    assert [(s.begin, s.end, s.flows) for s in others] == [(1350, 1354, [e_])]
    assert [s.flows for s in interrupts] == [[a], [b]]
    assert sorted(points) == [
        (1110, "queue 0: submissions", [a], []),
        (1140, "queue 0: submissions", [b], []),
        (1160, "queue 1: submissions", [c], []),
        (1210, "queue 0: completions", [], [a]),
        (1225, "queue 0: submissions", [b], []),
        (1240, "queue 1: completions", [], [c]),
        (1310, "queue 0: completions", [], [b]),
        (1346, "device 1, queue 0: submissions", [e_], []),
        (1352, "device 1, queue 0: completions", [], [e_]),
    ]
    statuses = [notes["status"] for _, name, notes in story.instants if name == "done"]
    assert sorted(statuses) == [0, 0, 0, 11]


def test_cpus_have_rows_of_interrupts(made: Path, decode: Any) -> None:
    packets = decode((made / "devices.perfetto-trace").read_bytes())
    bundles = [p.bundle for p in packets if p.HasField("bundle")]
    entries = sorted(
        (e.timestamp, bundle.cpu, e.irq_entry.irq, e.irq_entry.name)
        for bundle in bundles
        for e in bundle.events
        if e.HasField("irq_entry")
    )
    exits = sorted(
        (e.timestamp, bundle.cpu, e.irq_exit.irq, e.irq_exit.handled)
        for bundle in bundles
        for e in bundle.events
        if e.HasField("irq_exit")
    )
    # What the CPU was interrupted by, and in it the work of queue 0, and in that of queue 1, which
    # found nothing.
    assert entries == [
        (1195, 1, 0x41, "device"),
        (1200, 1, 0, "block/0"),
        (1215, 1, 1, "block/1"),
        (1236, 0, 0x40, "timer"),
        (1300, 1, 0, "block/0"),
        (1350, 1, 64, "block1/0"),
    ]
    assert exits == [
        (1218, 1, 1, 0),
        (1230, 1, 0, 1),
        (1235, 1, 0x41, 1),
        (1238, 0, 0x40, 1),
        (1320, 1, 0, 1),
        (1354, 1, 64, 1),
    ]


def test_tracks_of_a_device_hang_below_the_row(story: Told) -> None:
    row = story.track("drivers/read/interrupt")
    for name in [*story.states, "queue 0: interrupts", "queue 1: completions"]:
        assert story.tracks[story.track(name)].parent == row


def test_of_many_requests_each_phase_has_its_first(made: Path, decode: Any) -> None:
    told = read(made / "devices_many.perfetto-trace", decode)
    begun = [time for time, name in told.states["request 0"] if name == "queued"]
    assert begun == [2000 + 40 * (i % 128 + 300 * (i // 128)) for i in range(256)]
    phases = told.slices[told.track("drivers/read/interrupt")]
    assert [phase.notes["operations not drawn"] for phase in phases] == [300 - 128] * 2
    # A mode that goes on is said in each chunk, and ended in it.
    packets = decode((made / "devices_many.perfetto-trace").read_bytes())
    chunks = [unpack([packet], decode) for packet in packets if packet.HasField("compressed")]
    with_modes = 0
    for chunk in chunks:
        names = {p.track.uuid: p.track.name for p in chunk if p.HasField("track")}
        modes = [
            p.event.HasField("name_iid")
            for p in chunk
            if p.HasField("event") and names.get(p.event.track) == "queue 0: mode"
        ]
        with_modes += bool(modes)
        assert modes in ([], [True, False])
    assert with_modes > 2


@pytest.mark.parametrize("mode", MODES)
def test_the_block_layer_is_drawn_in_each_mode(mode: str, made: Path, decode: Any) -> None:
    told = read(made / f"block_{mode}.perfetto-trace", decode)
    requests = [s for name, s in told.states.items() if name.startswith("request ")]
    stories = [[name for _, name in s] for s in requests]
    found = ["queued", "submitted", "interrupt", "done", ""]
    polled = ["queued", "submitted", "done", ""]
    assert len(requests) == 16 and all(s in (found, polled) for s in stories)
    assert (found in stories) == (mode != "polling")
    said = [name for _, name in told.states["queue 0: mode"]]
    assert said == ["interrupt" if mode == "adaptive" else mode, ""]
    waits = [s for one in told.slices.values() for s in one if s.name == "wait for request"]
    assert len(waits) == 24


def test_a_split_command_goes_back_to_the_queue(made: Path, decode: Any) -> None:
    told = read(made / "block_split.perfetto-trace", decode)
    for name in ("request 0", "request 1"):
        states = [state for _, state in told.states[name]]
        assert states[:4] == ["queued", "submitted", "queued", "submitted"]
        assert states[-2:] == ["done", ""]
    statuses = [notes["status"] for _, name, notes in told.instants if name == "done"]
    assert sorted(statuses) == [0, 11]
