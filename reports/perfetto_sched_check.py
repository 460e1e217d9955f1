# SPDX-License-Identifier: MIT
"""The scheduling rows of a trace: could CPUs and threads have done this?

Perfetto draws almost anything: a thread on two CPUs, a sleeper that runs without having been woken,
columns of different lengths. Every rule here is about something it draws, or drops, in silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from reports.perfetto_wire import Damage, Message, Place, varint

CPUS_MOST = 1024
# Fields of FtraceEventBundle and of the columns in it.
BUNDLE_CPU, BUNDLE_EVENT, BUNDLE_LOST, BUNDLE_COMPACT = 1, 2, 3, 4
NAMES = 5
SWITCH_COLUMNS = {1: "times", 2: "states", 3: "threads", 4: "priorities", 6: "names"}
WAKING_COLUMNS = {7: "times", 8: "threads", 9: "CPUs", 10: "priorities", 11: "names", 12: "flags"}
CPU_IDLE, NOT_IDLE = 13, 0xFFFFFFFF
RUNNABLE, INTERRUPTIBLE, UNINTERRUPTIBLE, DEAD, ZOMBIE = 0, 1, 2, 0x10, 0x20
PREEMPTED_LINUX, PREEMPTED = 0x100, 0x800

Find = Callable[[str, str, Place], None]


@dataclass(frozen=True)
class Switch:
    time: int
    next: int
    state: int
    place: Place


@dataclass(frozen=True)
class Waking:
    time: int
    thread: int
    target: int
    place: Place


@dataclass(frozen=True)
class Lost:
    """From here on nothing is known of who runs, waits or has ended."""

    time: int
    place: Place


Event = Switch | Waking | Lost


@dataclass
class Row:
    """A CPU's, in the order of the file. Of what it does and whom it wakes in one nanosecond no
    order is known."""

    switches: list[Event] = field(default_factory=list)
    wakings: list[Event] = field(default_factory=list)
    idle_since: int | None = None
    last: int = 0
    last_waking: int = 0
    running: int | None = None  # None before the first switch


def column(message: Message, which: int) -> list[int]:
    """A packed array of numbers."""
    numbers: list[int] = []
    for data in message.texts(which):
        at = 0
        while at < len(data):
            value, at = varint(data, at, len(data))
            numbers.append(value)
    return numbers


def running_sum(differences: list[int]) -> list[int]:
    total, times = 0, []
    for difference in differences:
        total = (total + difference) & (1 << 64) - 1
        times.append(total)
    return times


class Schedule:
    def __init__(self, find: Find) -> None:
        self.find = find
        self.system: str | None = None
        self.cpus: int | None = None  # as the trace says
        self.rows: dict[int, Row] = {}
        self.processes: dict[int, tuple[str, Place]] = {}
        self.pids: dict[str, int] = {}
        self.threads: dict[int, tuple[int, str]] = {}  # tid -> pid, name
        self.idle: set[int] = set()
        self.switches = self.wakings = 0

    def summary(self) -> str:
        rows = [row for row in self.rows.values() if row.switches or row.wakings]
        if not rows:
            return ""
        return f", {self.switches} switches and {self.wakings} wakings on {len(rows)} CPUs"

    # ---- who there is ---------------------------------------------------------------------------

    def system_info(self, info: Message) -> None:
        self.system = info.message(1).text(1)
        self.cpus = info.number(8) or None

    def tree(self, tree: Message, place: Place) -> None:
        for process in tree.messages(1):
            self.process(process.number(1), process.text(3), place)
        for thread in tree.messages(2):
            tid, name = thread.number(1), thread.text(3)
            self.thread(thread.number(2), tid, name, place)
            if thread.number(5):
                self.idle.add(tid)
            elif self.processes.get(thread.number(2), ("",))[0] == "idle":
                self.find("idle thread not flagged", f"tid {tid} {name!r}: it is drawn", place)

    def process(self, pid: int, name: str, place: Place) -> None:
        if " " in name:
            self.find("process name with a space", f"{name!r}: Perfetto cuts it there", place)
        known = self.processes.setdefault(pid, (name, place))[0]
        if known != name:
            self.find("pid with two roles", f"pid {pid} was {known!r} and is {name!r}", place)
        elif self.pids.setdefault(name, pid) != pid:
            self.find("role with two pids", f"{name!r} is {self.pids[name]} and {pid}", place)

    def thread(self, pid: int, tid: int, name: str, place: Place) -> None:
        known = self.threads.setdefault(tid, (pid, name))
        if known != (pid, name):
            self.find(
                "thread declared twice",
                f"tid {tid} was {known[1]!r} of {known[0]} and is {name!r} of {pid}",
                place,
            )

    # ---- bundles --------------------------------------------------------------------------------

    def bundle(self, bundle: Message, place: Place) -> None:
        cpu = bundle.number(BUNDLE_CPU)
        if BUNDLE_CPU not in bundle or cpu >= CPUS_MOST:
            self.find("bundle without CPU", "Perfetto drops what is in it", place)
            return
        row = self.rows.setdefault(cpu, Row())
        if self.cpus is not None and cpu >= self.cpus:
            self.find("unknown CPU", f"CPU {cpu} of {self.cpus}", place)
        for event in bundle.messages(BUNDLE_EVENT):
            self.event(event, cpu, row, place)
        if bundle.number(BUNDLE_LOST):
            row.switches.append(Lost(row.last, place))
        for compact in bundle.messages(BUNDLE_COMPACT):
            self.compact(compact, cpu, row, place)

    def event(self, event: Message, cpu: int, row: Row, place: Place) -> None:
        time = event.number(1)
        for idle in event.messages(CPU_IDLE):
            since = None if idle.number(1) == NOT_IDLE else time
            if idle.number(2) != cpu:
                self.find("idle CPU", f"CPU {idle.number(2)} in the bundle of {cpu}", place)
            elif (since is None) == (row.idle_since is None):
                word = "begins" if since is not None else "ends"
                self.find("idle twice", f"CPU {cpu}: what {word} at {time} has already", place)
            row.idle_since = since

    def columns(
        self, compact: Message, names: dict[int, str], place: Place
    ) -> dict[str, list[int]] | None:
        """None if they cannot be used."""
        found = {name: column(compact, which) for which, name in names.items()}
        lengths = {name: len(values) for name, values in found.items()}
        if len(set(lengths.values())) > 1:
            self.find("columns of different lengths", f"{lengths}: Perfetto drops them all", place)
            return None
        return found

    def compact(self, compact: Message, cpu: int, row: Row, place: Place) -> None:
        try:
            switches = self.columns(compact, SWITCH_COLUMNS, place)
            wakings = self.columns(compact, WAKING_COLUMNS, place)
        except Damage as damage:
            self.find("damaged column", str(damage), place)
            return
        names = [text.decode("utf-8", "replace") for text in compact.texts(NAMES)]
        for columns in (switches, wakings):
            if columns is not None:
                self.named(columns, names, place)
        if switches is not None:
            row.switches += self.switched(switches, cpu, row, place)
        if wakings is not None:
            row.wakings += self.woken(wakings, cpu, row, place)

    def named(self, columns: dict[str, list[int]], names: list[str], place: Place) -> None:
        for tid, index in zip(columns["threads"], columns["names"]):
            if index >= len(names):
                self.find("unknown name", f"tid {tid}: {index} of {len(names)} names", place)
            elif tid not in self.threads:
                self.find("thread without process", f"tid {tid} {names[index]!r}", place)
                self.threads[tid] = (0, names[index])
            elif self.threads[tid][1] != names[index]:
                known = self.threads[tid][1]
                self.find("thread renamed", f"tid {tid} {known!r} is {names[index]!r}", place)

    def ordered(self, times: list[int], last: int, what: str, place: Place) -> int:
        for time in times:
            if time < last:
                self.find("time goes backwards", f"{what} from {last} to {time}", place)
            last = time
        return last

    def switched(
        self, columns: dict[str, list[int]], cpu: int, row: Row, place: Place
    ) -> list[Event]:
        times = running_sum(columns["times"])
        row.last = self.ordered(times, row.last, f"switches of CPU {cpu}", place)
        self.switches += len(times)
        for time, tid, state in zip(times, columns["threads"], columns["states"]):
            self.state(state, place)
            if tid == row.running:
                self.find("switch to itself", f"CPU {cpu} at {time}: tid {tid} ran before", place)
            row.running = tid
        return [
            Switch(time, tid, state, place)
            for time, tid, state in zip(times, columns["threads"], columns["states"])
        ]

    def state(self, state: int, place: Place) -> None:
        preempted = PREEMPTED_LINUX if self.system == "Linux" else PREEMPTED
        if state in (RUNNABLE, INTERRUPTIBLE, UNINTERRUPTIBLE, DEAD, ZOMBIE):
            return
        if state != preempted:
            self.find("unknown state", f"{state:#x} on the system {self.system!r}", place)
        elif self.system is None:
            self.find("unknown state", f"{state:#x}, and nothing says which system it is", place)

    def woken(self, columns: dict[str, list[int]], cpu: int, row: Row, place: Place) -> list[Event]:
        times = running_sum(columns["times"])
        row.last_waking = self.ordered(times, row.last_waking, f"wakings of CPU {cpu}", place)
        self.wakings += len(times)
        for time, tid, target in zip(times, columns["threads"], columns["CPUs"]):
            if target >= (self.cpus or CPUS_MOST):
                self.find("unknown CPU", f"tid {tid} is woken for CPU {target}", place)
        return [
            Waking(time, tid, target, place)
            for time, tid, target in zip(times, columns["threads"], columns["CPUs"])
        ]

    # ---- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        Replay(self).run()
        flagged: dict[int, int] = {}
        for cpu, row in self.rows.items():
            idle = {e.next for e in row.switches if isinstance(e, Switch)} & self.idle
            place = row.switches[0].place if row.switches else Place(0, 0)
            if not idle and row.switches:
                self.find("CPU without idle thread", f"none that is flagged runs on {cpu}", place)
            for tid in idle:
                if flagged.setdefault(tid, cpu) != cpu:
                    self.find("idle thread of two CPUs", f"tid {tid}: {flagged[tid]}, {cpu}", place)
        for pid, (name, place) in self.processes.items():
            if pid in self.threads and self.threads[pid][0] != pid:
                self.find("pid is a tid", f"{pid} is {name!r} and {self.threads[pid][1]!r}", place)


class Replay:
    """All CPUs in the order of time. What happens in one nanosecond on several may have happened in
    any order that is possible."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.running: dict[int, int] = {}  # CPU -> tid
        self.on: dict[int, int] = {}  # tid -> CPU
        self.left: dict[int, int] = {}  # tid -> state; none: nothing is known of it
        self.blind: set[int] = set()  # CPUs that lost what they did since
        # Where both are possible, a thread is woken first, then runs.
        rows = schedule.rows.items()
        self.queues = [(cpu, deque(row.wakings)) for cpu, row in rows]
        self.queues += [(cpu, deque(row.switches)) for cpu, row in rows]

    def run(self) -> None:
        while True:
            heads = [(cpu, queue) for cpu, queue in self.queues if queue]
            if not heads:
                return
            now = min(queue[0].time for _, queue in heads)
            ready = [(cpu, queue) for cpu, queue in heads if queue[0].time == now]
            wrong = [self.wrong(cpu, queue[0]) for cpu, queue in ready]
            which = wrong.index(None) if None in wrong else 0
            cpu, queue = ready[which]
            trouble, event = wrong[which], queue.popleft()
            if trouble is not None:
                self.schedule.find(*trouble, event.place)
            self.apply(cpu, event)

    def wrong(self, cpu: int, event: Event) -> tuple[str, str] | None:
        if isinstance(event, Lost) or self.blind:
            return None  # a CPU of which events were lost may have woken or run anybody
        if isinstance(event, Waking):
            where = f"tid {event.thread} at {event.time}"
            if cpu not in self.running:
                return "waking without waker", f"{where}: CPU {cpu} runs nobody yet"
            if event.thread in self.on:
                return "woken while it runs", f"{where}: it is on CPU {self.on[event.thread]}"
            left = self.left.get(event.thread, INTERRUPTIBLE)
            if left in (DEAD, ZOMBIE):
                return "woken when it has ended", where
            if left not in (INTERRUPTIBLE, UNINTERRUPTIBLE):
                return "woken while it could run", where
            return None
        where = f"tid {event.next} at {event.time}"
        other = self.on.get(event.next, cpu)
        if other != cpu:
            return "thread on two CPUs", f"{where}: on CPU {other} and on CPU {cpu}"
        left = self.left.get(event.next, RUNNABLE)
        if left in (DEAD, ZOMBIE):
            return "runs when it has ended", f"{where} on CPU {cpu}"
        if left in (INTERRUPTIBLE, UNINTERRUPTIBLE):
            return "runs without waking", f"{where} on CPU {cpu}: it was left waiting"
        return None

    def apply(self, cpu: int, event: Event) -> None:
        if isinstance(event, Lost):
            self.blind.add(cpu)
            return
        if cpu in self.blind:
            self.blind.discard(cpu)
            self.left.clear()
            self.on.clear()
        if isinstance(event, Waking):
            self.left[event.thread] = RUNNABLE
        else:
            before = self.running.get(cpu)
            if before is not None and self.on.get(before) == cpu:
                del self.on[before]
                self.left[before] = event.state
            self.running[cpu] = event.next
            self.on[event.next] = cpu
            self.left.pop(event.next, None)
