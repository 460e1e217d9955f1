# SPDX-License-Identifier: MIT
"""What the kernel writes, read by protoc's decoder and followed like Perfetto follows it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BEGIN, END, INSTANT, COUNTER, STATE = 1, 2, 3, 4, 5
SEQUENCE_CLOCK = 64


@dataclass
class Slice:
    name: str
    category: str
    begin: int
    depth: int
    notes: dict[str, Any]
    flows: list[int]
    flows_end: list[int]
    end: int = -1


@dataclass
class Told:
    """What a trace says."""

    tracks: dict[int, Any] = field(default_factory=dict)
    slices: dict[int, list[Slice]] = field(default_factory=dict)
    instants: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    points: list[tuple[int, str, Any]] = field(default_factory=list)  # instants, with their track
    states: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    counters: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    stats: list[Any] = field(default_factory=list)
    sequences: set[int] = field(default_factory=set)

    def track(self, name: str) -> int:
        found = [
            uuid
            for uuid, track in self.tracks.items()
            if name in (track.name, track.thread.name) and not track.HasField("process")
        ]
        assert len(found) == 1, name
        return found[0]


def unpack(packets: list[Any], decode: Any) -> list[Any]:
    out = []
    for packet in packets:
        if packet.HasField("compressed"):
            out += decode(zlib.decompress(packet.compressed))
        else:
            out.append(packet)
    return out


def notes_of(event: Any, names: dict[int, str]) -> dict[str, Any]:
    return {
        note.name or names[note.name_iid]: note.text
        if note.HasField("text")
        else note.uint + note.int
        for note in event.annotations
    }


def follow(packets: list[Any]) -> Told:
    told = Told()
    state: dict[int, dict[str, Any]] = {}
    open_slices: dict[int, list[Slice]] = {}
    for packet in packets:
        told.sequences.add(packet.sequence)
        if packet.flags & 1:
            state[packet.sequence] = {"clock": None, "names": {}, "notes": {}, "categories": {}}
        here = state.get(packet.sequence)
        assert here is not None, "a packet before its sequence was cleared"
        for clock in packet.clock_snapshot.clocks:
            if clock.id == SEQUENCE_CLOCK:
                here["clock"] = clock.timestamp
        if packet.HasField("defaults"):
            assert packet.defaults.clock == SEQUENCE_CLOCK
            here["track"] = packet.defaults.event.track
        here["names"] |= {one.iid: one.text for one in packet.interned.names}
        here["notes"] |= {one.iid: one.text for one in packet.interned.annotations}
        here["categories"] |= {one.iid: one.text for one in packet.interned.categories}
        if packet.HasField("track"):
            told.tracks[packet.track.uuid] = packet.track
        for one in packet.attributes.attributes:
            told.attributes[one.key] = one.text or one.number
        if packet.HasField("stats"):
            told.stats.append(packet.stats)
        if not packet.HasField("event"):
            continue
        event = packet.event
        time = packet.timestamp
        if here["clock"] is not None:
            time = here["clock"] = (here["clock"] + time) % (1 << 64)
        uuid = event.track if event.HasField("track") else here["track"]
        assert uuid in told.tracks, "an event before its track"
        if event.type == BEGIN:
            stack = open_slices.setdefault(uuid, [])
            one = Slice(
                here["names"][event.name_iid],
                here["categories"][event.category_iids[0]],
                time,
                len(stack),
                notes_of(event, here["notes"]),
                list(event.flows),
                list(event.flows_end),
            )
            stack.append(one)
            told.slices.setdefault(uuid, []).append(one)
        elif event.type == END:
            open_slices[uuid].pop().end = time
        elif event.type == INSTANT:
            told.instants.append(
                (time, here["names"][event.name_iid], notes_of(event, here["notes"]))
            )
            track = told.tracks[uuid]
            told.points.append((time, track.name or track.thread.name, event))
        elif event.type == STATE:
            assert told.tracks[uuid].HasField("state")
            name = here["names"][event.name_iid] if event.HasField("name_iid") else ""
            told.states.setdefault(told.tracks[uuid].name, []).append((time, name))
        elif event.type == COUNTER:
            name = told.tracks[uuid].name
            told.counters.setdefault(name, []).append((time, event.counter_value))
    assert not any(open_slices.values()), "slices are left open"
    return told


def read(path: Path, decode: Any) -> Told:
    return follow(unpack(decode(path.read_bytes()), decode))


# ---- one row ------------------------------------------------------------------------------------


@pytest.fixture
def one_row(made: Path, decode: Any) -> Told:
    return read(made / "one_row.perfetto-trace", decode)


def test_operations_nest_on_the_thread(one_row: Told) -> None:
    slices = one_row.slices[one_row.track("hybrid")]
    assert [(s.depth, s.name, s.begin, s.end) for s in slices] == [
        (0, "allocate", 2000, 2010),
        (1, "refill", 2001, 2008),
        (2, "pages", 2002, 2007),
        (0, "allocate", 2050, 2060),
        (0, "release", 2070, 2074),
        (0, "allocate", 2080, 2090),
        (1, "refill", 2081, 2088),
    ]
    assert {s.category for s in slices} == {"heap"}
    assert [s.notes.get("size") for s in slices] == [64, None, None, 64, 64, 2048, None]


def test_phases_stand_on_the_rows_track_with_their_notes(one_row: Told) -> None:
    slices = one_row.slices[one_row.track("heap/pair_64/hybrid")]
    assert [(s.name, s.begin, s.end) for s in slices] == [
        ("prepare", 1990, 2040),
        ("run", 2040, 2100),
    ]
    assert slices[1].notes == {"operations": 3, "p50": "12.5 ticks"}


def test_counters_follow_the_operations(one_row: Told) -> None:
    assert one_row.counters == {
        "objects in use": [(2010, 1), (2060, 2), (2074, 1), (2090, 2)],
        "bytes in use": [(2010, 64), (2060, 128), (2074, 64), (2090, 2112)],
    }
    units = {t.name: t.counter.unit for t in one_row.tracks.values() if t.HasField("counter")}
    assert units == {"objects in use": 2, "bytes in use": 3}


def test_tracks_hang_below_one_root(one_row: Told) -> None:
    row = one_row.tracks[one_row.track("heap/pair_64/hybrid")]
    suite = one_row.tracks[row.parent]
    root = one_row.tracks[suite.parent]
    assert (suite.name, root.name, root.parent) == ("heap", "Benchmarks", 0)
    assert root.child_ordering == suite.child_ordering == 3 and root.description
    assert row.rank == 3 and row.description == "what it measures"
    counter = one_row.tracks[one_row.track("bytes in use")]
    assert counter.parent == row.uuid
    thread = one_row.tracks[one_row.track("hybrid")].thread
    assert (thread.pid, thread.tid) == (0x1000, 0x1001)


def test_the_head_says_what_runs_where(made: Path, decode: Any, one_row: Told) -> None:
    packets = decode((made / "one_row.perfetto-trace").read_bytes())
    assert one_row.attributes == {"clock_class": "insn", "tsc_khz": 1000000}
    [system] = [p.system for p in packets if p.HasField("system")]
    assert (system.names.system, system.names.release, system.cpus) == ("Tickmark", "0badcafe", 2)
    [tree] = [p.tree for p in packets if p.HasField("tree")]
    assert [(p.pid, p.command) for p in tree.processes] == [(0x1000, "heap")]
    assert [(t.tid, t.pid, t.name) for t in tree.threads] == [(0x1001, 0x1000, "hybrid")]
    # One first packet on each sequence, and snapshots that never go back.
    assert sorted(p.sequence for p in packets if p.first) == [1, 2]
    times = [clock.timestamp for p in packets for clock in p.clock_snapshot.clocks if clock.id == 6]
    assert times == sorted(times) and len(times) == 2


# ---- several CPUs, losses, length ---------------------------------------------------------------


def test_flows_lead_from_send_to_receive(made: Path, decode: Any) -> None:
    told = read(made / "two_cpus.perfetto-trace", decode)
    sent = {flow: s for s in told.slices[told.track("producer")] for flow in s.flows}
    taken = {flow: s for s in told.slices[told.track("consumer")] for flow in s.flows_end}
    assert sent.keys() == taken.keys() and len(sent) == 3  # 0, 16 and 32 of 40
    for flow, send in sent.items():
        assert send.notes["message"] == taken[flow].notes["message"]
        assert send.begin < taken[flow].begin
    assert told.sequences == {1, 2, 3}
    assert len(told.slices[told.track("producer")]) == 40


@pytest.mark.parametrize("ring", ["locked_queue", "fusion_mpmc", "floor"])
def test_flows_of_several_senders_have_both_their_ends(ring: str, made: Path, decode: Any) -> None:
    told = read(made / f"many_{ring}.perfetto-trace", decode)
    slices = [one for track in told.slices.values() for one in track]
    sent = sorted(flow for one in slices for flow in one.flows)
    # A message that came to a receive which had begun before it was sent ends its flow there.
    late = [flow for _, _, event in told.points for flow in event.flows_end]
    taken = sorted([*late, *(flow for one in slices for flow in one.flows_end)])
    # One in sixteen of 6000, each once.
    assert sent == taken == [1 << 32 | number for number in range(0, 6000, 16)]
    for one in slices:
        for flow in one.flows + one.flows_end:
            assert one.notes["message"] == flow & 0xFFFFFFFF


def test_flows_there_and_back_with_one_number_follow_each_other(made: Path, decode: Any) -> None:
    told = read(made / "there_and_back.perfetto-trace", decode)
    slices = [one for track in told.slices.values() for one in track]
    begun = sorted((one.begin, flow) for one in slices for flow in one.flows)
    ended = sorted((time, flow) for time, _, event in told.points for flow in event.flows_end)
    assert not any(one.flows_end for one in slices)  # nobody knows whose, before it is received
    assert [flow for _, flow in begun + ended] == [16 + (1 << 32)] * 4
    (there, back), (arrived, returned) = ([time for time, _ in ends] for ends in (begun, ended))
    assert there < arrived < back < returned


def test_a_counter_of_two_cpus_is_one_sum_in_the_order_of_time(made: Path, decode: Any) -> None:
    values = read(made / "two_cpus.perfetto-trace", decode).counters["messages in the ring"]
    assert values == sorted(values, key=lambda value: value[0])
    assert [value for _, value in values] == [1, 0] * 40


def test_a_full_buffer_is_told_three_times(made: Path, decode: Any) -> None:
    told = read(made / "overflow.perfetto-trace", decode)
    packets = decode((made / "overflow.perfetto-trace").read_bytes())
    assert [p.sequence for p in packets if p.dropped] == [2]
    [dropped] = [p for p in packets if p.dropped]
    assert dropped.dropped & 1 and dropped.flags & 1
    [(time, name, notes)] = told.instants
    assert (name, notes) == ("events lost", {"events": 4321})
    [stats] = told.stats
    assert [b.writer_loss for b in stats.buffers] == [4321]
    assert {w.sequence: w.buffer for w in stats.writers} == {1: 0, 2: 0}
    # What was open is closed where it was last seen.
    slices = told.slices[told.track("hybrid")]
    assert [(s.name, s.end) for s in slices[1:]] == [
        ("allocate", 3027), ("refill", 3027), ("pages", 3027),
    ]  # fmt: skip


def test_what_is_not_drawn_is_counted_and_still_moves_the_counters(made: Path, decode: Any) -> None:
    told = read(made / "thinned.perfetto-trace", decode)
    run = told.slices[told.track("heap/mixed_100k/hybrid")][-1]
    drawn = [s for s in told.slices[told.track("hybrid")] if s.depth == 0]
    assert len(drawn) + run.notes["operations not drawn"] == 10000
    last_drawn = max(s.end for s in drawn)
    later = [value for time, value in told.counters["objects in use"] if time > last_drawn]
    assert len(later) > 50 and set(later) <= {0, 1}
    # Every allocation was freed.
    assert told.counters["bytes in use"][-1][1] == 0


def test_every_chunk_stands_for_itself(made: Path, decode: Any) -> None:
    """Any one may be missing, and the rest is a whole trace."""
    chunks = decode((made / "chunks.perfetto-trace").read_bytes())
    assert len(chunks) > 20 and all(chunk.HasField("compressed") for chunk in chunks)
    parts = [unpack([chunk], decode) for chunk in chunks]
    lengths = [sum(p.HasField("event") and p.event.type == BEGIN for p in part) for part in parts]
    for missing in (0, len(chunks) // 2, len(chunks) - 1):
        rest = [packet for part in parts[:missing] + parts[missing + 1 :] for packet in part]
        told = follow(rest)
        count = sum(len(slices) for slices in told.slices.values())
        assert count == sum(lengths) - lengths[missing] and lengths[missing] > 0
