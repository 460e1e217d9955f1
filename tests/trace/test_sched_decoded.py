# SPDX-License-Identifier: MIT
"""The scheduling rows that are written, read by protoc's decoder: what ran where, in what state it
was left, who woke whom; against scripts, and against what a simulated scheduler counted itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from test_trace_decoded import Slice, read, unpack

R, S, D, X, PREEMPTED = 0, 1, 2, 0x10, 0x800
FIRST = 0x200000  # tid before the first row's threads
FRAMEWORK, ROW = 0xFD01, 0x1001
IDLE = [0xFE01 + cpu for cpu in range(4)]
IN_INTERRUPT = 8
NOT_IDLE = 0xFFFFFFFF


@dataclass
class Rows:
    """Of each CPU (time, tid, name, state of the one before) and (time, tid, waker, flags)."""

    switches: dict[int, list[tuple[int, int, str, int]]] = field(default_factory=dict)
    wakings: dict[int, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    idles: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)


def sums(differences: list[int]) -> list[int]:
    total, out = 0, []
    for difference in differences:
        total += difference
        out.append(total)
    return out


def running_at(switches: list[tuple[int, int, str, int]], time: int) -> int:
    return [tid for at, tid, _, _ in switches if at <= time][-1]


def rows_of(packets: list[Any]) -> Rows:
    rows = Rows()
    wakings: list[tuple[int, int, int, int]] = []
    for packet in packets:
        if not packet.HasField("bundle"):
            continue
        bundle, told = packet.bundle, packet.bundle.compact
        cpu = bundle.cpu
        assert packet.sequence == 1
        names = list(told.names)
        assert len(names) == len(set(names)) or "idle" not in "".join(names)
        columns = [
            told.switch_times, told.switch_states, told.switch_threads,
            told.switch_priorities, told.switch_names,
        ]  # fmt: skip
        assert len({len(column) for column in columns}) == 1
        rows.switches.setdefault(cpu, []).extend(
            (time, tid, names[name], state)
            for time, tid, name, state in zip(
                sums(told.switch_times), told.switch_threads, told.switch_names, told.switch_states
            )
        )
        wakings += [
            (time, tid, cpu, flags)
            for time, tid, flags in zip(
                sums(told.waking_times), told.waking_threads, told.waking_flags
            )
        ]
        rows.idles.setdefault(cpu, []).extend(
            (event.timestamp, event.idle.state) for event in bundle.events
        )
        if bundle.lost:
            rows.lost.add(cpu)
    for time, tid, cpu, flags in wakings:
        waker = running_at(rows.switches[cpu], time)
        rows.wakings.setdefault(cpu, []).append((time, tid, waker, flags))
    return rows


def schedule(path: Path, decode: Any) -> Rows:
    return rows_of(unpack(decode(path.read_bytes()), decode))


# ---- the script ---------------------------------------------------------------------------------

PING, PONG, BATCH = FIRST + 3, FIRST + 4, FIRST + 5


@pytest.fixture
def script(made: Path, decode: Any) -> Rows:
    return schedule(made / "sched_script.perfetto-trace", decode)


def test_the_rows_of_both_cpus_are_what_the_script_says(script: Rows) -> None:
    assert script.switches == {
        0: [
            (1000, FRAMEWORK, "framework", R),
            (1000, ROW, "fifo", R),
            (1200, IDLE[0], "idle/0", R),
            (1220, PING, "ping", R),
            (1260, BATCH, "batch_1", PREEMPTED),
            (1320, IDLE[0], "idle/0", D),
            (1356, BATCH, "batch_1", R),
            (1381, IDLE[0], "idle/0", X),
            (1450, ROW, "fifo", R),
            (2000, FRAMEWORK, "framework", R),
        ],
        1: [
            (1000, IDLE[1], "idle/1", R),
            (1246, PONG, "pong/1", R),
            (1285, IDLE[1], "idle/1", S),
            (1295, PING, "ping", R),
            (1351, PONG, "pong/1", X),
            (1360, IDLE[1], "idle/1", S),
            (1402, PONG, "pong/1", R),
            (1411, IDLE[1], "idle/1", X),
        ],
    }


def test_every_waking_has_its_waker_and_timers_are_told_apart(script: Rows) -> None:
    assert script.wakings == {
        0: [(1210, PING, IDLE[0], 0), (1240, PONG, PING, 0), (1250, BATCH, PING, 0)],
        1: [
            (1340, PONG, PING, 0),
            (1352, BATCH, PONG, 0),
            (1400, PONG, IDLE[1], IN_INTERRUPT),
        ],
    }
    assert script.idles == {
        0: [],
        1: [(1206, 0), (1245, NOT_IDLE), (1361, 0), (1401, NOT_IDLE)],
    }
    assert script.lost == set()


def tree_of(packets: list[Any]) -> tuple[dict[int, str], dict[int, tuple[str, str, bool]]]:
    processes = {p.pid: p.command for packet in packets for p in packet.tree.processes}
    threads = {
        t.tid: (processes[t.pid], t.name, t.idle) for packet in packets for t in packet.tree.threads
    }
    return processes, threads


def test_a_role_is_one_process_and_idle_threads_are_flagged(made: Path, decode: Any) -> None:
    packets = decode((made / "sched_rows.perfetto-trace").read_bytes())
    processes, threads = tree_of(packets)
    assert sorted(processes.values()) == ["batch", "bench", "idle", "ping", "pong", "sched"]
    expected = {
        ROW: ("sched", "fifo", False),
        FRAMEWORK: ("bench", "framework", False),
        IDLE[0]: ("idle", "idle/0", True),
        IDLE[1]: ("idle", "idle/1", True),
    }
    for row in range(3):
        first = FIRST + 6 * row
        expected[first + 3] = ("ping", "ping", False)
        expected[first + 4] = ("pong", "pong/1", False)
        expected[first + 5] = ("batch", "batch_1", False)
    assert threads == expected
    assert not processes.keys() & threads.keys()
    [system] = [p.system for p in packets if p.HasField("system")]
    assert system.names.system == "Tickmark" and system.cpus == 4


def on_thread(made: Path, decode: Any, name: str) -> list[Slice]:
    told = read(made / "sched_script.perfetto-trace", decode)
    return told.slices[told.track(name)]


def test_an_operation_goes_on_behind_a_preemption_on_another_cpu(made: Path, decode: Any) -> None:
    assert [(s.name, s.begin, s.end, s.depth) for s in on_thread(made, decode, "ping")] == [
        ("allocate", 1230, 1330, 0),
        ("refill", 1310, 1320, 1),
    ]
    assert [(s.name, s.begin, s.end) for s in on_thread(made, decode, "batch_1")] == [
        ("release", 1270, 1280)
    ]
    # What came before the scheduler is the row's own.
    assert [(s.name, s.begin, s.end) for s in on_thread(made, decode, "fifo")] == [
        ("pages", 1110, 1120)
    ]


def test_a_move_is_an_instant_of_its_thread_and_counters_are_of_all(
    made: Path, decode: Any
) -> None:
    told = read(made / "sched_script.perfetto-trace", decode)
    assert told.instants == [(1290, "migrate", {"thread": 3, "from": 0, "to": 1})]
    assert told.counters == {"bytes in use": [(1275, -32), (1325, 32)]}


def test_threads_of_later_rows_are_others_and_cpus_go_on(made: Path, decode: Any) -> None:
    rows = schedule(made / "sched_rows.perfetto-trace", decode)
    script = schedule(made / "sched_script.perfetto-trace", decode)
    for cpu, first in ((0, 1), (1, 1)):
        again = rows.switches[cpu]
        once = script.switches[cpu]
        assert len(again) == len(once) + 2 * (len(once) - first)
        for row in range(3):
            begin = 0 if row == 0 else len(once) + (row - 1) * (len(once) - first)
            part = again[begin : begin + len(once) - (0 if row == 0 else first)]
            moved = [
                (t + 2000 * row, tid + (6 * row if tid >= FIRST else 0), name, state)
                for t, tid, name, state in (once if row == 0 else once[first:])
            ]
            assert part == moved


def test_what_was_lost_is_told_for_each_cpu(made: Path, decode: Any) -> None:
    path = made / "sched_lost.perfetto-trace"
    rows = schedule(path, decode)
    told = read(path, decode)
    assert rows.lost == {0, 1}
    lost = [notes["events"] for _, name, notes in told.instants if name == "events lost"]
    [stats] = told.stats
    assert lost == [b.writer_loss for b in stats.buffers] and sum(lost) > 10
    # 8 of its events are there; then the CPU is given back.
    assert len(rows.switches[0]) + len(rows.wakings[0]) == 2 + 8 + 2
    assert rows.switches[1][-1][1] == IDLE[1]


# ---- a simulated schedule -----------------------------------------------------------------------


@dataclass
class Counted:
    """What the scheduler counted."""

    cpus: dict[int, list[int]] = field(default_factory=dict)
    threads: dict[int, list[int]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


@pytest.fixture
def counted(made: Path) -> Counted:
    counts = Counted()
    for line in (made / "sched_simulated.counts").read_text().splitlines():
        kind, number, *rest = line.split()
        if kind == "cpu":
            counts.cpus[int(number)] = [int(word) for word in rest]
        else:
            counts.names[int(number)] = rest[0]
            counts.threads[int(number)] = [int(word) for word in rest[1:]]
    assert len(counts.cpus) == 4 and len(counts.threads) == 20
    return counts


@pytest.fixture
def simulated(made: Path, decode: Any) -> Rows:
    return schedule(made / "sched_simulated.perfetto-trace", decode)


def test_switches_and_times_are_those_that_the_scheduler_counted(
    simulated: Rows, counted: Counted
) -> None:
    ran: Counter[int] = Counter()
    dispatched: Counter[int] = Counter()
    preempted: Counter[int] = Counter()
    for cpu, (switches, busy, _, _) in counted.cpus.items():
        row = simulated.switches[cpu]
        # The first one, and on CPU 0: the row, the join, the leave, the end of the row.
        assert len(row) == switches + (5 if cpu == 0 else 1)
        busy_here = 0
        for (begin, tid, name, _), (end, _, _, state) in zip(row, row[1:]):
            if tid < FIRST:
                continue
            assert name == counted.names[tid]
            busy_here += end - begin
            ran[tid] += end - begin
            dispatched[tid] += 1
            preempted[tid] += state in (PREEMPTED, R)
        assert busy_here == busy
    for tid, (dispatches, run_ns, _, _, preemptions) in counted.threads.items():
        assert (dispatched[tid], ran[tid], preempted[tid]) == (dispatches, run_ns, preemptions)


def test_wakings_and_moves_are_those_that_the_scheduler_counted(
    made: Path, decode: Any, simulated: Rows, counted: Counted
) -> None:
    told = read(made / "sched_simulated.perfetto-trace", decode)
    woken = Counter(tid for wakings in simulated.wakings.values() for _, tid, _, _ in wakings)
    moved = Counter(FIRST + notes["thread"] for _, name, notes in told.instants)
    for tid, (_, _, wakeups, migrations, _) in counted.threads.items():
        assert woken[tid] == wakeups + 1  # and its start
        assert moved[tid] == migrations
    for cpu, (_, _, wakeups, migrations_in) in counted.cpus.items():
        started = 20 if cpu == 0 else 0
        assert len(simulated.wakings.get(cpu, [])) - started == wakeups
        arrived = [notes for _, _, notes in told.instants if notes["to"] == cpu]
        assert len(arrived) >= migrations_in


def test_states_are_those_of_the_scripts(simulated: Rows, counted: Counted) -> None:
    left: dict[str, Counter[int]] = {}
    for row in simulated.switches.values():
        for (_, tid, name, _), (_, _, _, state) in zip(row, row[1:]):
            if tid >= FIRST:
                left.setdefault(name.rstrip("0123456789"), Counter())[state] += 1
    assert left["interactive"][S] == 6 * 30 and left["interactive"][X] == 6
    assert left["joiner"] == {D: 2, X: 2} and left["batch"][X] == 8
    # A batch thread yields 12 times; where nobody waits it just goes on.
    assert left["batch"][S] == left["batch"][D] == 0 and 0 < left["batch"][R] <= 8 * 12


def test_operations_across_switches_stay_with_their_threads(
    made: Path, decode: Any, counted: Counted
) -> None:
    told = read(made / "sched_simulated.perfetto-trace", decode)
    for tid, (dispatches, _, _, _, _) in counted.threads.items():
        slices = told.slices[told.track(counted.names[tid])]
        assert len(slices) == (dispatches + 1) // 2
        assert all(s.depth == 0 and s.notes["size"] == tid - FIRST for s in slices)
