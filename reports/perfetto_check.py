# SPDX-License-Identifier: MIT
"""`scons trace check=FILE`: is this trace what it says, also where Perfetto would not complain?

Perfetto refuses little. Much of what is wrong with a trace shows as missing names, wrong durations
or nothing at all; every rule here is about a damage that was seen to pass.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from reports.perfetto_device_check import Devices
from reports.perfetto_sched_check import Schedule
from reports.perfetto_wire import Damage, Message, Place, Trouble, packets, parse, signed

VALID, FINDINGS, UNREADABLE = 0, 10, 40
SHOWN_MOST = 50

# Fields of TracePacket.
CLOCK_SNAPSHOT, TIMESTAMP, SEQUENCE, TRACK_EVENT, INTERNED, FLAGS = 6, 8, 10, 11, 12, 13
TRACE_STATS, DROPPED, CLEARED_OLD, CLOCK, DEFAULTS, DESCRIPTOR = 35, 42, 41, 58, 59, 60
FTRACE, SYSTEM_INFO, PROCESS_TREE, ATTRIBUTES = 1, 45, 122, 126
FLOWS_OF_A_ROW = 4096  # at the most: what follows a trace that never said its end
CLEARED, NEEDS = 1, 2
BOOTTIME = 6
BUILTIN_CLOCKS = range(1, 12)
SEQUENCE_CLOCKS = range(64, 128)
BEGIN, END, INSTANT, COUNTER, STATE = 1, 2, 3, 4, 5
# Field of InternedData -> what it holds.
INTERNED_KINDS = {1: "category", 2: "name", 3: "annotation name", 29: "annotation string"}


@dataclass
class Sequence:
    """What a sequence of packets has declared since it was cleared."""

    valid: bool = False
    seen: bool = False
    interned: dict[tuple[int, int], bytes] = field(default_factory=dict)
    clocks: dict[int, tuple[bool, int]] = field(
        default_factory=dict
    )  # id -> incremental, stands at
    default_track: int | None = None
    default_clock: int | None = None


@dataclass
class Track:
    place: Place
    kind: str  # slices, counter, state, thread, process
    name: str
    parent: int = 0
    open: list[tuple[int, str, Place]] = field(default_factory=list)
    last: int | None = None
    used: bool = False


@dataclass
class Report:
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packets: int = 0
    events: dict[int, int] = field(default_factory=dict)
    flows: int = 0
    tracks: int = 0
    schedule: str = ""
    devices: str = ""

    def summary(self) -> str:
        counts = [self.events.get(kind, 0) for kind in (BEGIN, INSTANT, COUNTER)]
        return (
            f"{self.packets} packets, {counts[0]} slices, {counts[1]} instants, "
            f"{counts[2]} counter values, {self.flows} flows, {self.tracks} tracks"
            f"{self.schedule}{self.devices}"
        )


class Checker:
    def __init__(self) -> None:
        self.report = Report()
        self.sequences: dict[int, Sequence] = {}
        self.tracks: dict[int, Track] = {}
        self.undeclared: dict[int, Place] = {}
        self.threads: dict[int, int] = {}  # tid -> uuid
        self.flows: list[tuple[int, int, int, bool, Place]] = []
        self.lost = 0  # events that the buffers lost, and bytes that the line did
        self.sourceless: list[tuple[int, Place]] = []  # flows that end and have not begun
        self.dropped: dict[int, Place] = {}
        self.accounted: set[int] = set()
        self.global_clocks: dict[int, int] = {}
        self.place = Place(0, 0)
        self.schedule = Schedule(self.find)
        self.devices = Devices(self.find)

    def find(self, what: str, why: str, place: Place | None = None) -> None:
        self.report.findings.append(f"{place or self.place}: {what}: {why}")

    # ---- packets --------------------------------------------------------------------------------

    def packet(self, place: Place, data: bytes) -> None:
        self.place = place
        self.report.packets += 1
        try:
            self.contents(parse(data))
        except Damage as damage:
            self.find("damaged packet", f"{damage}; Perfetto refuses the whole file")

    def contents(self, packet: Message) -> None:
        number = packet.number(SEQUENCE)
        if number == 0 and not self.may_lack_sequence(packet):
            return
        sequence = self.sequences.setdefault(number, Sequence())
        if not self.state(packet, number, sequence):
            return
        if DEFAULTS in packet:
            self.defaults(packet.message(DEFAULTS), sequence)
        if INTERNED in packet:
            self.interned(packet, sequence)
        if CLOCK_SNAPSHOT in packet:
            self.snapshot(packet.message(CLOCK_SNAPSHOT), sequence)
        if TRACE_STATS in packet:
            stats = packet.message(TRACE_STATS)
            self.accounted |= {writer.number(1) for writer in stats.messages(18)}
            self.lost += sum(buffer.number(19) for buffer in stats.messages(1))
        for attribute in packet.message(ATTRIBUTES).messages(1) if ATTRIBUTES in packet else []:
            self.attribute(attribute)
        if DESCRIPTOR in packet:
            self.descriptor(packet.message(DESCRIPTOR))
        if SYSTEM_INFO in packet:
            self.schedule.system_info(packet.message(SYSTEM_INFO))
        if PROCESS_TREE in packet:
            self.schedule.tree(packet.message(PROCESS_TREE), self.place)
        for bundle in packet.messages(FTRACE):
            self.schedule.bundle(bundle, self.place)
            self.devices.bundle(bundle, self.place)
        time = self.time(packet, sequence)
        if TRACK_EVENT in packet:
            self.event(packet.message(TRACK_EVENT), sequence, time)
        sequence.seen = True

    def attribute(self, attribute: Message) -> None:
        key = attribute.text(1)
        if not key or (2 in attribute) == (3 in attribute):
            self.find("attribute", f"{key!r}: one number or one text, with a name")
        elif key == "lost_on_the_line_bytes":
            self.lost += attribute.number(2)
        elif key == "end" and attribute.text(3) == "unknown":
            self.lost += FLOWS_OF_A_ROW

    def may_lack_sequence(self, packet: Message) -> bool:
        if TRACK_EVENT in packet:
            self.find(
                "missing sequence id",
                "a track event without trusted_packet_sequence_id is dropped",
            )
        elif packet.number(FLAGS) & NEEDS:
            self.find("missing sequence id", "with NEEDS in sequence_flags the load is aborted")
        elif any(
            clock.number(1) in SEQUENCE_CLOCKS
            for snapshot in packet.messages(CLOCK_SNAPSHOT)
            for clock in snapshot.messages(1)
        ):
            self.find("missing sequence id", "with a clock of 64 to 127 the load is aborted")
        elif packet.number(FLAGS) & CLEARED or INTERNED in packet or DEFAULTS in packet:
            self.find("missing sequence id", "there is no state it could belong to")
        else:
            return True
        return False

    def state(self, packet: Message, number: int, sequence: Sequence) -> bool:
        """False if Perfetto skips the packet."""
        flags = packet.number(FLAGS)
        dropped = packet.number(DROPPED)
        if dropped:
            self.dropped[number] = self.place
            if not dropped & 1:
                self.find("previous_packet_dropped", f"{dropped} without 1, which says so")
        if flags & CLEARED or packet.number(CLEARED_OLD):
            self.sequences[number].interned.clear()
            sequence.default_track = sequence.default_clock = None
            sequence.valid = True
        elif dropped:
            sequence.valid = False
        if flags & NEEDS and not sequence.valid:
            why = "nothing on this sequence was CLEARED yet"
            if sequence.seen:
                why = "packets were dropped and the sequence was not CLEARED since"
            self.find("NEEDS before CLEARED", f"{why}: the packet is skipped in silence")
            return False
        return True

    def defaults(self, defaults: Message, sequence: Sequence) -> None:
        if 58 in defaults:
            sequence.default_clock = defaults.number(58)
        for event in defaults.messages(11):
            if 11 in event:
                sequence.default_track = event.number(11)

    def interned(self, packet: Message, sequence: Sequence) -> None:
        if not sequence.valid:
            self.find("interned data before CLEARED", "it is skipped in silence")
            return
        data = packet.message(INTERNED)
        for kind, word in INTERNED_KINDS.items():
            for entry in data.messages(kind):
                iid, text = entry.number(1), b"".join(entry.texts(2)[-1:])
                known = sequence.interned.get((kind, iid))
                if iid == 0:
                    self.find("interned iid 0", f"{word} {text!r}: 0 means none")
                elif known is not None and known != text:
                    self.find("interned twice", f"{word} {iid} was {known!r} and is {text!r} now")
                elif not text:
                    self.find("interned without text", f"{word} {iid}")
                self.utf8(text, word)
                sequence.interned[kind, iid] = text

    def utf8(self, text: bytes, what: str) -> None:
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            self.find("text is not UTF-8", f"{what} {text!r}")

    # ---- clocks ---------------------------------------------------------------------------------

    def snapshot(self, snapshot: Message, sequence: Sequence) -> None:
        seen: set[int] = set()
        for clock in snapshot.messages(1):
            which, value = clock.number(1), clock.number(2)
            incremental = clock.number(3) != 0
            if which in seen:
                self.find("clock twice", f"clock {which} stands twice in one snapshot")
            seen.add(which)
            if incremental and which not in SEQUENCE_CLOCKS:
                self.find("incremental clock", f"clock {which}: only 64 to 127 may count deltas")
            if which in SEQUENCE_CLOCKS:
                before = sequence.clocks.get(which)
                if before is not None and before[0] != incremental:
                    self.find("clock changed", f"clock {which} was incremental once and once not")
                sequence.clocks[which] = (incremental, value * max(1, clock.number(4)))
                continue
            if value < self.global_clocks.get(which, 0):
                self.find(
                    "clock goes backwards",
                    f"clock {which} from {self.global_clocks[which]} to {value}",
                )
            self.global_clocks[which] = value
        if seen & set(SEQUENCE_CLOCKS) and not seen - set(SEQUENCE_CLOCKS):
            self.find("clock without relation", "the snapshot has no clock outside the sequence")

    def time(self, packet: Message, sequence: Sequence) -> int | None:
        """Nanoseconds; None if there is no time, or its clock is not known."""
        if TIMESTAMP not in packet:
            return None
        clock = packet.number(CLOCK) if CLOCK in packet else sequence.default_clock
        value = packet.number(TIMESTAMP)
        if clock is None or clock == BOOTTIME:
            return value
        if clock in SEQUENCE_CLOCKS and clock in sequence.clocks:
            incremental, stands = sequence.clocks[clock]
            if incremental:
                value = stands + signed(value)
                sequence.clocks[clock] = (True, value)
            return value
        if clock not in self.global_clocks or clock in SEQUENCE_CLOCKS:
            self.find("undefined clock", f"clock {clock} is in no snapshot: the packet is lost")
            return None
        return None  # another clock of the machine: its relation is Perfetto's to compute

    # ---- tracks ---------------------------------------------------------------------------------

    def descriptor(self, descriptor: Message) -> None:
        uuid = descriptor.number(1)
        kind = "slices"
        name = descriptor.text(2)
        for text in descriptor.texts(2) + descriptor.texts(14):
            self.utf8(text, "track")
        if 8 in descriptor:
            kind = "counter"
        if 18 in descriptor:
            kind = "state"
        for thread in descriptor.messages(4):
            kind, name = "thread", thread.text(5)
            tid = thread.number(2)
            if 1 not in thread or 2 not in thread:
                self.find("thread without pid and tid", f"track {uuid}: both are required")
            self.schedule.thread(thread.number(1), tid, name, self.place)
            if self.threads.setdefault(tid, uuid) != uuid:
                self.find(
                    "thread with two tracks",
                    f"tid {tid} has {self.threads[tid]} and {uuid}: Perfetto makes two threads",
                )
        for process in descriptor.messages(3):
            kind, name = "process", process.text(6)
            self.schedule.process(process.number(1), name, self.place)
        if kind in ("slices", "counter", "state") and not name and uuid != 0:
            self.find("track without name", f"track {uuid}")
        known = self.tracks.get(uuid)
        if known is None:
            self.tracks[uuid] = Track(self.place, kind, name, descriptor.number(5))
            self.report.tracks += 1
        elif (known.kind, known.name, known.parent) != (kind, name, descriptor.number(5)):
            self.find(
                "track declared twice", f"track {uuid} was {known.kind} {known.name!r} before"
            )

    def hierarchy(self) -> None:
        for uuid, track in self.tracks.items():
            if track.kind in ("slices", "counter", "state") and track.parent:
                if track.parent not in self.tracks:
                    self.find(
                        "undeclared parent", f"track {uuid} below {track.parent}", track.place
                    )
                above, steps = track.parent, 0
                while above in self.tracks and steps <= len(self.tracks):
                    above, steps = self.tracks[above].parent, steps + 1
                if steps > len(self.tracks):
                    self.find("tracks in a circle", f"track {uuid}", track.place)

    # ---- events ---------------------------------------------------------------------------------

    def event(self, event: Message, sequence: Sequence, time: int | None) -> None:
        kind = event.number(9)
        self.report.events[kind] = self.report.events.get(kind, 0) + 1
        name = self.name(event, sequence, kind)
        uuid = event.number(11) if 11 in event else sequence.default_track
        self.flow(event, kind, time)
        if time is None:
            self.find("event without time", "it is dropped")
            return
        if uuid is None:
            self.find("event without track", "no track_uuid and no default on the sequence")
            return
        track = self.tracks.get(uuid)
        if track is None:
            self.undeclared.setdefault(uuid, self.place)
            track = self.tracks[uuid] = Track(self.place, "unknown", "")
        track.used = True
        if track.last is not None and time < track.last:
            self.find(
                "time goes backwards", f"track {uuid} {track.name!r} from {track.last} to {time}"
            )
        track.last = time
        self.put(event, kind, name, uuid, track, time)

    def put(self, event: Message, kind: int, name: str, uuid: int, track: Track, time: int) -> None:
        if kind == COUNTER:
            if track.kind not in ("counter", "unknown"):
                self.find("counter value on a track of slices", f"track {uuid} {track.name!r}")
            if 30 not in event and 44 not in event:
                self.find("counter without value", f"track {uuid} {track.name!r}")
            return
        if kind == STATE:
            if track.kind not in ("state", "unknown"):
                self.find("state on a track of slices", f"track {uuid} {track.name!r}")
            else:
                self.devices.state(uuid, track.name, name, self.place)
            return
        if kind not in (BEGIN, END, INSTANT):
            self.find("event type", f"{kind} is none that is used here")
            return
        if track.kind == "counter":
            self.find("slice on a counter", f"track {uuid} {track.name!r}")
        if track.kind == "state":
            self.find("slice on a track of states", f"track {uuid} {track.name!r}")
        if kind == BEGIN:
            track.open.append((time, name, self.place))
        elif kind == END and not track.open:
            self.find(
                "END without BEGIN", f"track {uuid} {track.name!r}: Perfetto ignores it in silence"
            )
        elif kind == END:
            _, begun, _ = track.open.pop()
            if name and name != begun:
                self.find(
                    "swapped END",
                    f"track {uuid}: {name!r} ends while {begun!r} is the innermost: "
                    "names are not compared, durations are wrong",
                )

    def name(self, event: Message, sequence: Sequence, kind: int) -> str:
        """The event's name; everything it refers to by iid must be known."""
        for iid in event.numbers(3):
            self.known(sequence, 1, iid)
        for annotation in event.messages(4):
            if 1 in annotation:
                self.known(sequence, 3, annotation.number(1))
            elif not annotation.text(10):
                self.find("annotation without name", "it shows as nothing")
            if 17 in annotation:
                self.known(sequence, 29, annotation.number(17))
        if 10 in event:
            return self.known(sequence, 2, event.number(10))
        if kind in (BEGIN, INSTANT) and not event.text(23):
            self.find("event without name", "it shows as nothing")
        return event.text(23)

    def known(self, sequence: Sequence, kind: int, iid: int) -> str:
        text = sequence.interned.get((kind, iid))
        if text is None:
            self.find(
                "unknown iid",
                f"{INTERNED_KINDS[kind]} {iid} was not interned since CLEARED: it shows as nothing",
            )
            return ""
        return text.decode("utf-8", "replace")

    def flow(self, event: Message, kind: int, time: int | None) -> None:
        out, into = event.numbers(47), event.numbers(48)
        if (out or into) and kind not in (BEGIN, INSTANT):
            self.find("flow without slice", "a flow must begin and end on a slice or an instant")
        for number, ends in [(n, False) for n in out] + [(n, True) for n in into]:
            self.flows.append((time or 0, len(self.flows), number, ends, self.place))

    def follow_flows(self) -> None:
        """In the order of time, as Perfetto sorts; file order among equals. What was lost may have
        begun a flow: an event one, and so does a byte of a packet that is missing."""
        begun: set[int] = set()
        for _, _, number, ends, place in sorted(self.flows, key=lambda flow: flow[:2]):
            if ends and number not in begun:
                self.sourceless.append((number, place))
            elif ends:
                begun.remove(number)
                self.report.flows += 1
            begun |= set() if ends else {number}

    # ---- the end --------------------------------------------------------------------------------

    def finish(self) -> Report:
        self.hierarchy()
        self.follow_flows()
        lost = self.lost if self.dropped else 0
        if 0 < len(self.sourceless) <= lost:
            self.report.notes.append(f"the beginning of {len(self.sourceless)} flows was lost")
        for number, place in self.sourceless if len(self.sourceless) > lost else []:
            why = f"flow {number} ends and has not begun"
            self.find("flow without source", f"{why}; {lost} losses are told", place)
        self.schedule.finish()
        self.report.schedule = self.schedule.summary()
        self.devices.finish(bool(self.dropped))
        self.report.devices = self.devices.summary()
        for uuid, place in self.undeclared.items():
            self.find("undeclared track", f"track {uuid} has events and no descriptor", place)
        for uuid, track in self.tracks.items():
            for _, name, place in track.open:
                self.find("BEGIN without END", f"{name!r} on track {uuid} {track.name!r}", place)
        for number, place in self.dropped.items():
            if number not in self.accounted:
                self.find(
                    "loss without TraceStats",
                    f"no writer_stats name sequence {number}: Perfetto does not show the loss",
                    place,
                )
            else:
                self.report.notes.append(
                    f"{place}: data was lost on sequence {number}, and says so"
                )
        return self.report


def check(data: bytes) -> Report:
    """Everything that is wrong with a trace, in the order of the file where it has one."""
    checker = Checker()
    for item in packets(data):
        if isinstance(item, Trouble):
            checker.find(item.what, item.why, item.place)
        else:
            checker.packet(*item)
    return checker.finish()


def check_file(path: str) -> int:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        print(f"{path}: {error.strerror}")
        return UNREADABLE
    if not data:
        print(f"{path}: empty")
        return UNREADABLE
    report = check(data)
    for line in report.findings[:SHOWN_MOST]:
        print(f"{path}: {line}")
    if len(report.findings) > SHOWN_MOST:
        print(f"{path}: and {len(report.findings) - SHOWN_MOST} more")
    for line in report.notes:
        print(f"{path}: note: {line}")
    if report.findings:
        return FINDINGS
    print(f"{path}: valid: {report.summary()}")
    return VALID


if __name__ == "__main__":
    sys.exit(max(check_file(path) for path in sys.argv[1:]))
