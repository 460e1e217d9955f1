# SPDX-License-Identifier: MIT
"""The checker on scheduling rows: right ones pass, and each damage has its own message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from by_hand import file, l, v, varint, whole

from reports.perfetto_check import check

IDLE = (21, 22)  # of CPU 0 and 1
PING, PONG = 31, 32
R, S, D, X, PREEMPTED, PREEMPTED_LINUX = 0, 1, 2, 0x10, 0x800, 0x100
NAMES = {21: "idle/0", 22: "idle/1", PING: "ping", PONG: "pong"}
PIDS = {21: 20, 22: 20, PING: 30, PONG: 40}

Switch = tuple[int, int, int]  # time, next, state of the one before
Waking = tuple[int, int, int]  # time, thread, CPU


def packed(field: int, values: Sequence[int]) -> bytes:
    return l(field, *[varint(value) for value in values])


def deltas(times: Sequence[int]) -> list[int]:
    return [time - before for time, before in zip(times, [0, *times])]


def bundle(
    cpu: int, switches: Sequence[Switch], wakings: Sequence[Waking] = (), *more: bytes
) -> bytes:
    tids = sorted({one[1] for one in [*switches, *wakings]})
    columns = [l(5, NAMES.get(tid, "who")) for tid in tids]
    if switches:
        columns += [
            packed(1, deltas([time for time, _, _ in switches])),
            packed(2, [state for _, _, state in switches]),
            packed(3, [tid for _, tid, _ in switches]),
            packed(4, [0] * len(switches)),
            packed(6, [tids.index(tid) for _, tid, _ in switches]),
        ]
    if wakings:
        columns += [
            packed(7, deltas([time for time, _, _ in wakings])),
            packed(8, [tid for _, tid, _ in wakings]),
            packed(9, [target for _, _, target in wakings]),
            packed(10, [0] * len(wakings)),
            packed(11, [tids.index(tid) for _, tid, _ in wakings]),
            packed(12, [0] * len(wakings)),
        ]
    return v(10, 2) + l(1, v(1, cpu), *more, l(4, *columns))


def idle_event(time: int, state: int, cpu: int) -> bytes:
    return l(2, v(1, time), v(2, 21), l(13, v(1, state), v(2, cpu)))


def process(pid: int, name: str) -> bytes:
    return l(1, v(1, pid), l(3, name))


def thread(tid: int, pid: int, name: str, idle: bool = False) -> bytes:
    return l(2, v(1, tid), v(2, pid), l(3, name), v(5, 1) if idle else b"")


def tree(*parts: bytes) -> bytes:
    return v(10, 2) + l(122, *parts)


def system(name: str = "Tickmark", cpus: int = 2) -> bytes:
    return v(10, 2) + l(45, l(1, l(1, name)), v(8, cpus))


PROCESSES = [process(20, "idle"), process(30, "ping"), process(40, "pong")]
THREADS = [
    thread(21, 20, "idle/0", True),
    thread(22, 20, "idle/1", True),
    thread(PING, 30, "ping"),
    thread(PONG, 40, "pong"),
]
# ping wakes pong on CPU 1, goes there when pong has gone to sleep, and ends; a timer wakes pong.
FIRST: list[Switch] = [
    (2000, IDLE[0], R),
    (2010, PING, R),
    (2030, IDLE[0], PREEMPTED),
    (2100, PONG, R),
    (2110, IDLE[0], X),
]
FIRST_WAKINGS: list[Waking] = [(2005, PING, 0), (2015, PONG, 1), (2090, PONG, 0)]
SECOND: list[Switch] = [
    (2000, IDLE[1], R),
    (2020, PONG, R),
    (2035, PING, S),
    (2060, IDLE[1], X),
]


def scheduled(
    first: Sequence[Switch] = FIRST,
    wakings: Sequence[Waking] = FIRST_WAKINGS,
    second: Sequence[Switch] = SECOND,
    processes: Sequence[bytes] = PROCESSES,
    threads: Sequence[bytes] = THREADS,
    head: bytes | None = None,
    more: Sequence[bytes] = (),
) -> bytes:
    packets = whole()
    packets[1:1] = [system() if head is None else head, tree(*processes, *threads)]
    return file([*packets, bundle(0, first, wakings), bundle(1, second), *more])


def test_a_right_schedule_has_no_findings() -> None:
    report = check(scheduled())
    assert report.findings == []
    assert report.summary().endswith("9 switches and 3 wakings on 2 CPUs")
    assert check(file([system(), *whole()])).summary().endswith("tracks")


def test_bundles_may_stand_in_any_order_and_number() -> None:
    packets = whole()
    packets[1:1] = [system(), tree(*PROCESSES, *THREADS)]
    parts = [bundle(1, SECOND), bundle(0, FIRST[:2], FIRST_WAKINGS[:1])]
    parts += [bundle(0, [], FIRST_WAKINGS[1:]), bundle(0, FIRST[2:])]
    assert check(file([*packets, *parts])).findings == []


def test_what_happens_in_one_nanosecond_may_have_had_any_possible_order() -> None:
    # Woken, run, asleep, woken again, and on the other CPU.
    first = [(2000, IDLE[0], R), (2010, PING, R), (2010, IDLE[0], S), (2020, PING, R)]
    wakings = [(2010, PING, 0), (2020, PING, 0)]
    assert check(scheduled(first, wakings, [(2000, IDLE[1], R)])).findings == []
    # One CPU leaves it and another takes it.
    first = [(2000, IDLE[0], R), (2010, PING, R), (2020, IDLE[0], PREEMPTED)]
    second = [(2000, IDLE[1], R), (2020, PING, R)]
    assert check(scheduled(first, [(2005, PING, 0)], second)).findings == []


def test_behind_a_loss_nothing_is_known() -> None:
    woken_by_somebody = [(2000, IDLE[0], R), (2010, PING, R), (2030, IDLE[0], S), (2050, PING, R)]
    assert check(scheduled(woken_by_somebody, FIRST_WAKINGS[:1], SECOND[:1])).findings
    lost = bundle(1, [], [], v(3, 1))
    packets = file([system(), tree(*PROCESSES, *THREADS)]) + file(whole())
    parts = [bundle(1, [*SECOND[:1], (2040, PONG, R)]), lost]
    woken_by_somebody += [(2060, IDLE[0], S), (2070, PING, R)]  # and so on until it is heard again
    parts += [bundle(0, woken_by_somebody, FIRST_WAKINGS[:1])]
    assert check(packets + file(parts)).findings == []


def renamed(at: int, new: bytes) -> list[bytes]:
    return [*THREADS[:at], new, *THREADS[at + 1 :]]


def uneven(field: int, count: int) -> bytes:
    """A column of another length."""
    packets = whole()
    packets[1:1] = [system(), tree(*PROCESSES, *THREADS)]
    columns = [packed(n, [0] * (count if n == field else 2)) for n in (1, 2, 3, 4, 6)]
    if field > 6:
        columns = [packed(n, [0] * (count if n == field else 2)) for n in (7, 8, 9, 10, 11, 12)]
    return file([*packets, v(10, 2) + l(1, v(1, 0), l(4, l(5, "x"), *columns))])


# Name -> the damaged trace, and what is said of it.
DAMAGED: dict[str, tuple[bytes, str]] = {
    "a column too short": (uneven(3, 1), "columns of different lengths: {'times': 2"),
    "a column too long": (uneven(6, 3), "columns of different lengths"),
    "a column of wakings too short": (uneven(12, 0), "columns of different lengths"),
    "a column cut inside a number": (
        scheduled(more=[v(10, 2) + l(1, v(1, 0), l(4, l(1, b"\x80")))]),
        "damaged column: a number is cut off",
    ),
    "no CPU": (scheduled(more=[v(10, 2) + l(1, l(4))]), "bundle without CPU"),
    "a CPU too high": (scheduled(more=[bundle(7, [(3000, 21, R)])]), "unknown CPU: CPU 7 of 2"),
    "woken for a CPU too high": (
        scheduled(wakings=[*FIRST_WAKINGS[:2], (2090, PONG, 5)]),
        "unknown CPU: tid 32 is woken for CPU 5",
    ),
    "a switch in the past": (
        scheduled(more=[bundle(0, [(2105, PONG, R)])]),
        "time goes backwards: switches of CPU 0 from 2110 to 2105",
    ),
    "a waking in the past": (
        scheduled(more=[bundle(0, [], [(2080, PONG, 0)])]),
        "time goes backwards: wakings of CPU 0 from 2090 to 2080",
    ),
    "an unknown state": (
        scheduled([*FIRST[:2], (2030, IDLE[0], 3), *FIRST[3:]]),
        "unknown state: 0x3",
    ),
    "preempted as on Linux": (
        scheduled([*FIRST[:2], (2030, IDLE[0], PREEMPTED_LINUX), *FIRST[3:]]),
        "unknown state: 0x100 on the system 'Tickmark'",
    ),
    "preempted, and the system is Linux": (
        scheduled(head=system("Linux")),
        "unknown state: 0x800 on the system 'Linux'",
    ),
    "preempted on no system": (
        scheduled(head=v(10, 2)),
        "unknown state: 0x800, and nothing says which system",
    ),
    "a switch to itself": (
        scheduled([*FIRST[:2], (2020, PING, R), *FIRST[2:]]),
        "switch to itself: CPU 0 at 2020: tid 31",
    ),
    "a thread on two CPUs": (
        scheduled(second=[*SECOND[:2], (2025, PING, S), *SECOND[3:]]),
        "thread on two CPUs: tid 31 at 2025: on CPU 0 and on CPU 1",
    ),
    "a sleeper runs by itself": (
        scheduled(wakings=FIRST_WAKINGS[:2]),
        "runs without waking: tid 32 at 2100 on CPU 0",
    ),
    "one that waits for good runs by itself": (
        scheduled(
            wakings=FIRST_WAKINGS[:2],
            second=[*SECOND[:2], (2035, PING, D), *SECOND[3:]],
        ),
        "runs without waking: tid 32",
    ),
    "the dead run": (
        scheduled(more=[bundle(0, [(2120, PING, R), (2130, IDLE[0], S)])]),
        "runs when it has ended: tid 31 at 2120",
    ),
    "the dead are woken": (
        scheduled(more=[bundle(0, [], [(2120, PING, 0)])]),
        "woken when it has ended: tid 31",
    ),
    "one that runs is woken": (
        scheduled(wakings=[*FIRST_WAKINGS[:2], (2025, PONG, 0), FIRST_WAKINGS[2]]),
        "woken while it runs: tid 32 at 2025: it is on CPU 1",
    ),
    "one that could run is woken": (
        scheduled(wakings=[*FIRST_WAKINGS[:2], (2032, PING, 0), FIRST_WAKINGS[2]]),
        "woken while it could run: tid 31 at 2032",
    ),
    "a waker that nobody knows": (
        scheduled(wakings=[(1990, PING, 0), *FIRST_WAKINGS[1:]]),
        "waking without waker: tid 31 at 1990: CPU 0 runs nobody yet",
    ),
    "a name that is not there": (
        scheduled(
            more=[
                v(10, 2) + l(1, v(1, 0), l(4, packed(1, [2200]), packed(2, [0]),
                                           packed(3, [PONG]), packed(4, [0]), packed(6, [3])))
            ]
        ),
        "unknown name: tid 32: 3 of 0 names",
    ),
    "a thread of no process": (
        scheduled(threads=THREADS[:3]),
        "thread without process: tid 32 'pong'",
    ),
    "another name than in the tree": (
        scheduled(threads=renamed(3, thread(PONG, 40, "gong"))),
        "thread renamed: tid 32 'gong' is 'pong'",
    ),
    "a thread of two processes": (
        scheduled(threads=[*THREADS, thread(PING, 40, "ping")]),
        "thread declared twice: tid 31 was 'ping' of 30 and is 'ping' of 40",
    ),
    "a track of another process": (
        scheduled(more=[v(10, 2) + l(60, v(1, 99), l(4, v(1, 41), v(2, PONG), l(5, "pong")))]),
        "thread declared twice: tid 32",
    ),
    "an idle thread that is not flagged": (
        scheduled(threads=renamed(0, thread(21, 20, "idle/0"))),
        "idle thread not flagged: tid 21 'idle/0'",
    ),
    "a CPU without an idle thread": (
        scheduled(second=[(2000, PONG, R)], wakings=FIRST_WAKINGS[:1], first=FIRST[:3]),
        "CPU without idle thread: none that is flagged runs on 1",
    ),
    "one idle thread for two CPUs": (
        scheduled(more=[bundle(1, [(2070, PING, R), (2130, IDLE[0], X)])]),
        "idle thread of two CPUs: tid 21",
    ),
    "a role with two pids": (
        scheduled(processes=[*PROCESSES, process(41, "pong")]),
        "role with two pids: 'pong' is 40 and 41",
    ),
    "a pid with two roles": (
        scheduled(processes=[*PROCESSES, process(40, "gong")]),
        "pid with two roles: pid 40 was 'pong' and is 'gong'",
    ),
    "a role with a space": (
        scheduled(processes=[*PROCESSES, process(41, "ipc producer")]),
        "process name with a space: 'ipc producer'",
    ),
    "a pid that is a tid": (
        scheduled(processes=[*PROCESSES, process(PONG, "other")]),
        "pid is a tid: 32 is 'other' and 'pong'",
    ),
    "idle in the bundle of another": (
        scheduled(more=[bundle(0, [], [], idle_event(2200, 0, 1))]),
        "idle CPU: CPU 1 in the bundle of 0",
    ),
    "idle twice": (
        scheduled(more=[bundle(0, [], [], idle_event(2200, 0, 0), idle_event(2210, 0, 0))]),
        "idle twice: CPU 0: what begins at 2210 has already",
    ),
    "idle ends and had not begun": (
        scheduled(more=[bundle(0, [], [], idle_event(2200, 0xFFFFFFFF, 0))]),
        "idle twice: CPU 0: what ends at 2200 has already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_each_damage_has_its_own_message(name: str) -> None:
    data, expected = DAMAGED[name]
    findings = check(data).findings
    assert any(expected in finding for finding in findings), findings
    assert all(finding.startswith("byte ") and ", packet " in finding for finding in findings)


def test_most_damages_give_one_line_each() -> None:
    counts = {name: len(check(data).findings) for name, (data, _) in DAMAGED.items()}
    assert sum(count == 1 for count in counts.values()) > len(DAMAGED) * 0.7, counts


def test_no_bytes_of_any_kind_make_it_fail_itself() -> None:
    data = scheduled()
    for at in range(len(data) // 2, len(data)):
        for damage in (b"", b"\x00", b"\xff", bytes([data[at] ^ 0x80])):
            check(data[:at] + damage + data[at + 1 :])


def test_a_schedule_that_the_kernel_wrote_and_one_changed_column_is_found(made: Path) -> None:
    """The state that pong was left in on CPU 1, from blocked to one that there is not."""
    data = (made / "sched_script.perfetto-trace").read_bytes()
    assert check(data).findings == []
    states = bytes([0, 0, 1, 0, 0x10, 1, 0, 0x10])
    assert data.count(states) == 1
    findings = check(data.replace(states, bytes([0, 0, 3, 0, 0x10, 1, 0, 0x10]))).findings
    assert any("unknown state: 0x3" in finding for finding in findings)
