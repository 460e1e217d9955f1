# SPDX-License-Identifier: MIT
"""A trace as SQLite tables in the shape that Perfetto documents for its trace processor, filled by
protoc's decoder. Not the trace processor: what it does beyond the documentation is not here."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from test_sched_decoded import rows_of
from test_trace_decoded import follow, unpack

TABLES = """
CREATE TABLE process (upid INTEGER PRIMARY KEY, pid INTEGER, name TEXT);
CREATE TABLE thread (utid INTEGER PRIMARY KEY, tid INTEGER, name TEXT, upid INTEGER);
CREATE TABLE track (id INTEGER PRIMARY KEY, name TEXT, parent_id INTEGER);
CREATE TABLE thread_track (id INTEGER PRIMARY KEY, name TEXT, utid INTEGER);
CREATE TABLE slice (id INTEGER PRIMARY KEY, ts INTEGER, dur INTEGER, track_id INTEGER,
                    category TEXT, name TEXT, depth INTEGER, arg_set_id INTEGER);
CREATE TABLE args (arg_set_id INTEGER, key TEXT, int_value INTEGER, string_value TEXT);
CREATE TABLE flow (slice_out INTEGER, slice_in INTEGER);
CREATE TABLE sched (id INTEGER PRIMARY KEY, ts INTEGER, dur INTEGER, cpu INTEGER, utid INTEGER,
                    end_state TEXT, priority INTEGER);
CREATE TABLE thread_state (id INTEGER PRIMARY KEY, ts INTEGER, dur INTEGER, cpu INTEGER,
                           utid INTEGER, state TEXT, waker_utid INTEGER, irq_context INTEGER);
CREATE TABLE counter (ts INTEGER, track_id INTEGER, value REAL);
"""
STATES = {0: "R", 1: "S", 2: "D", 0x10: "X", 0x800: "R+"}


class Tables:
    def __init__(self, path: Path, decode: Any) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.executescript(TABLES)
        self.packets = unpack(decode(path.read_bytes()), decode)
        self.told = follow(self.packets)
        self.utids: dict[int, int] = {}
        self.threads()
        self.slices()
        self.interrupts()
        self.schedule()

    def put(self, table: str, *values: Any) -> int:
        marks = ",".join("?" * len(values))
        done = self.database.execute(f"INSERT INTO {table} VALUES ({marks})", values)
        return done.lastrowid or 0

    def thread(self, tid: int, name: str, pid: int) -> int:
        if tid not in self.utids:
            self.utids[tid] = self.put("thread", None, tid, name, self.process(pid, ""))
        return self.utids[tid]

    def process(self, pid: int, name: str) -> int:
        found = self.database.execute("SELECT upid FROM process WHERE pid = ?", (pid,)).fetchone()
        return found[0] if found else self.put("process", None, pid, name)

    def threads(self) -> None:
        for packet in self.packets:
            for process in packet.tree.processes:
                self.process(process.pid, process.command)
            for thread in packet.tree.threads:
                self.thread(thread.tid, thread.name, thread.pid)
        for uuid, track in self.told.tracks.items():
            if track.HasField("thread"):
                utid = self.thread(track.thread.tid, track.thread.name, track.thread.pid)
                self.put("thread_track", uuid, track.thread.name, utid)
            self.put("track", uuid, track.name or track.thread.name, track.parent or None)

    def slices(self) -> None:
        flows: list[tuple[int, int, int, bool]] = []  # ts, flow, slice, whether it ends
        for uuid, slices in self.told.slices.items():
            for one in slices:
                number = self.put(
                    "slice", None, one.begin, one.end - one.begin, uuid, one.category, one.name,
                    one.depth, None,
                )  # fmt: skip
                self.database.execute("UPDATE slice SET arg_set_id = id WHERE id = ?", (number,))
                for key, value in one.notes.items():
                    texts = (None, value) if isinstance(value, str) else (value, None)
                    self.put("args", number, f"debug.{key}", *texts)
                flows += [(one.begin, flow, number, False) for flow in one.flows]
                flows += [(one.begin, flow, number, True) for flow in one.flows_end]
        tracks = {track.name or track.thread.name: uuid for uuid, track in self.told.tracks.items()}
        for (ts, name, notes), (_, track, event) in zip(self.told.instants, self.told.points):
            category = "block" if "queue" in track else "instant"
            number = self.put("slice", None, ts, 0, tracks[track], category, name, 0, None)
            flows += [(ts, flow, number, False) for flow in event.flows]
            flows += [(ts, flow, number, True) for flow in event.flows_end]
        came: dict[int, int] = {}
        for _, flow, number, ends in sorted(flows, key=lambda one: (one[0], one[3])):
            if flow in came:
                self.put("flow", came[flow], number)
            came[flow] = number
            if ends:
                del came[flow]

    def interrupts(self) -> None:
        for packet in self.packets:
            begun: list[tuple[int, str]] = []
            events = [e for e in packet.bundle.events if not e.HasField("idle")]
            for event in sorted(events, key=lambda e: e.timestamp):
                if event.HasField("irq_entry"):
                    begun.append((event.timestamp, f"IRQ ({event.irq_entry.name})"))
                    continue
                ts, name = begun.pop()
                track = 10**9 + packet.bundle.cpu
                self.database.execute(
                    "INSERT OR IGNORE INTO track VALUES (?, ?, NULL)",
                    (track, f"Irq Cpu {packet.bundle.cpu}"),
                )
                dur = event.timestamp - ts
                self.put("slice", None, ts, dur, track, "irq", name, len(begun), None)

    def schedule(self) -> None:
        rows = rows_of([p for p in self.packets if p.HasField("bundle")])
        moments: list[tuple[int, int, int, str, int, int]] = []  # ts, order, utid, what, cpu, waker
        for cpu, switches in rows.switches.items():
            # The first one of a CPU only tells who runs from then on.
            for (ts, tid, _, _), (end, _, _, left) in zip(switches[1:], switches[2:]):
                utid, state = self.utids[tid], STATES[left]
                self.put("sched", None, ts, end - ts, cpu, utid, state, 0)
                moments.append((ts, 2, utid, "Running", cpu, 0))
                moments.append((end, 0, utid, state, cpu, 0))
            for ts, tid, waker, _ in rows.wakings.get(cpu, []):
                moments.append((ts, 1, self.utids[tid], "R", cpu, self.utids[waker]))
        since: dict[int, tuple[int, str, int, int]] = {}
        for ts, _, utid, what, cpu, waker in sorted(moments):
            if utid in since:
                begin, state, on, by = since[utid]
                self.put(
                    "thread_state", None, begin, ts - begin, on if state == "Running" else None,
                    utid, state, by or None, None,
                )  # fmt: skip
            since[utid] = ts, what, cpu, waker
