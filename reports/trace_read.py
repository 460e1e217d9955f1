# SPDX-License-Identifier: MIT
"""Reads back what our own traces say: rows with their phases, operations, counters and flows.

Only what the kernel's encoder writes (docs/trace.md) is understood. What is damaged or unknown is
left out: `scons trace check=` is there to complain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from reports.perfetto_sched_check import SWITCH_COLUMNS, WAKING_COLUMNS, column, running_sum
from reports.perfetto_wire import Damage, Message, Trouble, packets, parse, signed

ROOT = 1  # uuid of the track "Benchmarks"
TIMESTAMP, SEQUENCE, EVENT, INTERNED, CLOCK, DEFAULTS, SNAPSHOT, DESCRIPTOR = (
    8,
    10,
    11,
    12,
    58,
    59,
    6,
    60,
)
FTRACE, SEQUENCE_FLAGS, TREE, ATTRIBUTES = 1, 13, 122, 126
IRQ_ENTRY, IRQ_EXIT = 36, 37
BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
SEQUENCE_CLOCKS = range(64, 128)
_EVENT_ONLY = {TIMESTAMP, SEQUENCE, EVENT, SEQUENCE_FLAGS, CLOCK}


@dataclass
class Slice:
    """Times in nanoseconds of the trace. `depth` counts from 0 within its track; `thread` is where
    it stands among the threads of its row."""

    name: str
    begin: int
    end: int
    depth: int
    notes: dict[str, str | int] = field(default_factory=dict)
    thread: int = 0

    @property
    def length(self) -> int:
        return self.end - self.begin


@dataclass
class Counted:
    """A counter below a row: a value from each time on."""

    name: str
    times: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Interrupt:
    """What a CPU was interrupted by, or the work a device asked for in it."""

    cpu: int
    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Switch:
    """A CPU goes over to a thread; `left` is the state of the one before, as Perfetto has it."""

    time: int
    cpu: int
    thread: int
    left: int


@dataclass
class Beside:
    """What stands beside a row's own tracks: the CPUs' rows."""

    interrupts: list[Interrupt] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
    wakings: list[tuple[int, int]] = field(default_factory=list)  # time, thread


@dataclass
class TracedRow:
    """One row of the traced pass. Slices are in the order they began; a thread is called
    process/thread. What lies within a phase are its slow windows; marks are instants: time, name,
    notes."""

    name: str
    suite: str
    threads: list[str] = field(default_factory=list)
    phases: list[Slice] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    counters: list[Counted] = field(default_factory=list)
    flows: list[tuple[Slice, Slice]] = field(default_factory=list)
    slow: list[Slice] = field(default_factory=list)
    marks: list[tuple[int, str, dict[str, str | int]]] = field(default_factory=list)
    beside: Beside = field(default_factory=Beside)

    @property
    def depth(self) -> int:
        """How deep its operations nest; 0 if there are none."""
        return max((s.depth + 1 for s in self.slices), default=0)


@dataclass
class _Track:
    name: str
    parent: int
    counter: bool
    thread: str
    process: str


@dataclass
class _Sequence:
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    clocks: dict[int, int] = field(default_factory=dict)  # incremental ones: where they stand
    clock: int | None = None
    track: int = 0


class _Reader:
    """Takes packets in order; hands out a row when the next one begins."""

    def __init__(self) -> None:
        self.sequences: dict[int, _Sequence] = {}
        self.tracks: dict[int, _Track] = {}
        self.processes: dict[int, str] = {}
        self.row: TracedRow | None = None
        self.row_track = 0
        self.open: dict[int, list[Slice]] = {}
        self.counters: dict[int, Counted] = {}
        self.flow_from: dict[int, Slice] = {}
        self.coming = Beside()  # of the row that begins next
        self.roles: dict[int, str] = {}  # of threads that were scheduled
        self.pids: dict[int, str] = {}
        self.attributes: dict[str, str | int] = {}

    def take(self, packet: Message) -> TracedRow | None:
        """The row that is complete with this packet, if one is."""
        number = packet.number(SEQUENCE)
        sequence = self.sequences.get(number)
        if sequence is None:
            sequence = self.sequences[number] = _Sequence()
        done = None if packet.fields.keys() <= _EVENT_ONLY else self._others(packet, sequence)
        time = self._time(packet, sequence)
        if time is not None and self.row is not None and EVENT in packet.fields:
            self._event(packet.message(EVENT), sequence, time, self.row)
        return done

    def _others(self, packet: Message, sequence: _Sequence) -> TracedRow | None:
        """What a packet has beside an event; most have nothing."""
        if DEFAULTS in packet:
            self._defaults(packet.message(DEFAULTS), sequence)
        if INTERNED in packet:
            interned = packet.message(INTERNED)
            for kind in (2, 3):
                for entry in interned.messages(kind):
                    sequence.names[kind, entry.number(1)] = entry.text(2)
        if SNAPSHOT in packet:
            for clock in packet.message(SNAPSHOT).messages(1):
                if clock.number(1) in SEQUENCE_CLOCKS:
                    sequence.clocks[clock.number(1)] = clock.number(2)
        for bundle in packet.messages(FTRACE):
            self._bundle(bundle)
        if TREE in packet:
            self._tree(packet.message(TREE))
        if ATTRIBUTES in packet:
            for attribute in packet.message(ATTRIBUTES).messages(1):
                value: str | int = attribute.text(3) if 3 in attribute else attribute.number(2)
                self.attributes[attribute.text(1)] = value
        return self._descriptor(packet.message(DESCRIPTOR)) if DESCRIPTOR in packet else None

    def finish(self) -> TracedRow | None:
        row, self.row = self.row, None
        if row is None:
            return None
        row.phases.sort(key=lambda s: s.begin)
        row.slices.sort(key=lambda s: (s.begin, s.depth))
        row.marks.sort(key=lambda mark: mark[0])
        return row

    def _tree(self, tree: Message) -> None:
        for process in tree.messages(1):
            self.pids[process.number(1)] = process.text(3)
        for thread in tree.messages(2):
            self.roles[thread.number(1)] = self.pids.get(thread.number(2), "")

    def _bundle(self, bundle: Message) -> None:
        cpu = bundle.number(1)
        events = []
        for event in bundle.messages(2):
            for begins, which in ((True, IRQ_ENTRY), (False, IRQ_EXIT)):
                for irq in event.messages(which):
                    events.append((event.number(1), begins, irq))
        open_irqs: list[tuple[int, str]] = []
        for time, begins, irq in sorted(events, key=lambda e: e[0]):
            if begins:
                open_irqs.append((time, irq.text(2)))
            elif open_irqs:
                begin, name = open_irqs.pop()
                self.coming.interrupts.append(Interrupt(cpu, name, begin, time))
        for compact in bundle.messages(4):
            switches = {name: column(compact, which) for which, name in SWITCH_COLUMNS.items()}
            self.coming.switches += [
                Switch(time, cpu, thread, left)
                for time, thread, left in zip(
                    running_sum(switches["times"]), switches["threads"], switches["states"]
                )
            ]
            wakings = {name: column(compact, which) for which, name in WAKING_COLUMNS.items()}
            self.coming.wakings += list(zip(running_sum(wakings["times"]), wakings["threads"]))

    def _defaults(self, defaults: Message, sequence: _Sequence) -> None:
        if CLOCK in defaults:
            sequence.clock = defaults.number(CLOCK)
        for event in defaults.messages(11):
            sequence.track = event.number(11, sequence.track)

    def _time(self, packet: Message, sequence: _Sequence) -> int | None:
        if TIMESTAMP not in packet.fields:
            return None
        clock = packet.number(CLOCK) if CLOCK in packet.fields else sequence.clock
        value = packet.number(TIMESTAMP)
        if clock not in SEQUENCE_CLOCKS:
            return value
        if clock not in sequence.clocks:
            return None
        sequence.clocks[clock] += signed(value)
        return sequence.clocks[clock]

    def _descriptor(self, about: Message) -> TracedRow | None:
        uuid, parent = about.number(1), about.number(5)
        process = about.message(3)
        if 3 in about:
            self.processes[process.number(1)] = process.text(6)
        thread = about.message(4)
        self.tracks[uuid] = _Track(
            about.text(2),
            parent,
            8 in about,
            thread.text(5),
            self.processes.get(thread.number(1), "") if 4 in about else "",
        )
        track = self.tracks[uuid]
        if track.counter and parent == self.row_track and self.row is not None:
            if uuid not in self.counters:
                self.counters[uuid] = Counted(track.name)
                self.row.counters.append(self.counters[uuid])
        above = self.tracks.get(parent)
        if above is None or above.parent != ROOT or track.counter or uuid == self.row_track:
            return None
        done = self.finish()
        self.row = TracedRow(track.name, above.name, beside=self.coming)
        self.row_track, self.coming = uuid, Beside()
        self.open, self.counters, self.flow_from = {}, {}, {}
        return done

    def _event(self, event: Message, sequence: _Sequence, time: int, row: TracedRow) -> None:
        uuid = event.number(11, sequence.track)
        kind = event.number(9)
        if kind == COUNTER and uuid in self.counters:
            self.counters[uuid].times.append(time)
            self.counters[uuid].values.append(signed(event.number(30)))
        elif kind == BEGIN:
            self._begin(event, sequence, time, row, uuid)
        elif kind == END and self.open.get(uuid):
            self.open[uuid].pop().end = time
        elif kind == INSTANT:
            name = _name_of(event, sequence)
            row.marks.append((time, name, _notes(event, sequence)))

    def _begin(
        self, event: Message, sequence: _Sequence, time: int, row: TracedRow, uuid: int
    ) -> None:
        stack = self.open.setdefault(uuid, [])
        name = _name_of(event, sequence)
        begun = Slice(name, time, time, len(stack), _notes(event, sequence))
        stack.append(begun)
        if uuid == self.row_track:
            (row.slow if begun.depth > 0 else row.phases).append(begun)
            return
        track = self.tracks.get(uuid)
        if track is not None and not track.thread:
            return  # an interrupt of a device: nobody's operation
        row.slices.append(begun)
        name = f"{track.process}/{track.thread}" if track is not None else ""
        if name not in row.threads:
            row.threads.append(name)
        begun.thread = row.threads.index(name)
        if 47 not in event.fields and 48 not in event.fields:
            return
        for flow in event.numbers(47) + event.numbers(48):
            if flow in self.flow_from:
                row.flows.append((self.flow_from[flow], begun))
            self.flow_from[flow] = begun


def _name_of(event: Message, sequence: _Sequence) -> str:
    name = sequence.names.get((2, event.number(10)))
    return event.text(23) if name is None else name


def _notes(event: Message, sequence: _Sequence) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for note in event.messages(4):
        known = sequence.names.get((3, note.number(1)))
        name = note.text(10) if known is None else known
        found[name] = note.text(6) if 6 in note else note.number(4, note.number(3))
    return found


def traced_rows(data: bytes) -> Iterator[TracedRow]:
    """The rows of a trace in their order, each when it is complete; damage ends a packet, not the
    reading."""
    return TraceFile(data).rows()


class TraceFile:
    """A trace: its rows, to be gone through once, and what is known of the rest by then."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reader = _Reader()

    @property
    def roles(self) -> dict[int, str]:
        """Of threads: what they are called without their numbers."""
        return self._reader.roles

    @property
    def attributes(self) -> dict[str, str | int]:
        return self._reader.attributes

    def rows(self) -> Iterator[TracedRow]:
        return _rows(self._reader, self._data)


def _rows(reader: _Reader, data: bytes) -> Iterator[TracedRow]:
    for item in packets(data):
        if isinstance(item, Trouble):
            continue
        try:
            row = reader.take(parse(item[1]))
        except Damage:
            continue
        if row is not None:
            yield row
    last = reader.finish()
    if last is not None:
        yield last
