# SPDX-License-Identifier: MIT
"""The tracks of devices in a trace: could requests, queues and interrupt handlers have done this?

Perfetto draws any state after any other one, and an interrupt that never ends as long as the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reports.perfetto_wire import Message, Place

NAME, IRQ_ENTRY, IRQ_EXIT = 2, 36, 37
# What a request may be in next; "": nothing any more.
AFTER = {
    "": {"queued"},
    "queued": {"submitted", "done"},
    "submitted": {"interrupt", "done", "queued"},
    "interrupt": {"done"},
    "done": {""},
}
MODES = {"interrupt", "polling", "hybrid", "batch"}

Find = Callable[[str, str, Place], None]


@dataclass
class States:
    """A track's."""

    name: str
    now: str = ""
    place: Place = Place(0, 0)


@dataclass
class Handler:
    time: int
    order: int
    irq: int
    name: str  # "": it ends
    place: Place


@dataclass
class Devices:
    find: Find
    tracks: dict[int, States] = field(default_factory=dict)
    impossible: list[tuple[str, str, Place]] = field(default_factory=list)
    handlers: dict[int, list[Handler]] = field(default_factory=dict)  # by CPU
    states: int = 0

    def summary(self) -> str:
        if not self.states and not self.handlers:
            return ""
        entries = sum(bool(one.name) for cpu in self.handlers.values() for one in cpu)
        return f", {self.states} states and {entries} interrupts"

    # ---- states ---------------------------------------------------------------------------------

    def state(self, uuid: int, track: str, name: str, place: Place) -> None:
        """`name`: "" for none any more."""
        states = self.tracks.setdefault(uuid, States(track))
        before, states.now, states.place = states.now, name, place
        self.states += bool(name)
        where = f"track {uuid} {track!r}"
        if name == before:
            word = f"{name!r} follows itself" if name else "ends twice"
            self.find("state twice", f"{where}: {word}", place)
        elif track.endswith(": mode"):
            if name and name not in MODES:
                self.find("unknown mode", f"{where}: {name!r}", place)
        elif name and name not in AFTER:
            self.find("unknown state of a request", f"{where}: {name!r}", place)
        elif name not in AFTER.get(before, {name}):
            # What was lost may have been between the two.
            if name:
                why = f"{where}: {name!r} after {before or 'nothing'!r}"
                self.impossible.append(("impossible state", why, place))
            else:
                why = f"{where}: it was {before!r} last"
                self.impossible.append(("request without end", why, place))

    # ---- interrupts -----------------------------------------------------------------------------

    def bundle(self, bundle: Message, place: Place) -> None:
        for event in bundle.messages(2):
            for which, begins in ((IRQ_ENTRY, True), (IRQ_EXIT, False)):
                for irq in event.messages(which):
                    name = irq.text(NAME) if begins else ""
                    if begins and not name:
                        self.find("interrupt without name", f"irq {irq.number(1)}", place)
                        name = "?"
                    handlers = self.handlers.setdefault(bundle.number(1), [])
                    handlers.append(
                        Handler(event.number(1), len(handlers), irq.number(1), name, place)
                    )

    def follow(self, cpu: int, handlers: list[Handler]) -> None:
        """In the order of time, as Perfetto sorts; file order among equals."""
        running: list[Handler] = []
        for one in sorted(handlers, key=lambda handler: (handler.time, handler.order)):
            where = f"CPU {cpu} at {one.time}: irq {one.irq}"
            if one.name:
                running.append(one)
            elif not running:
                self.find("interrupt ends without beginning", where, one.place)
            elif running.pop().irq != one.irq:
                self.find("interrupts end in another order", where, one.place)
        for one in running:
            where = f"CPU {cpu}: irq {one.irq} {one.name!r} of {one.time}"
            self.find("interrupt without end", where, one.place)

    # ---- the end --------------------------------------------------------------------------------

    def finish(self, lost: bool) -> None:
        for uuid, states in self.tracks.items():
            if states.now:
                where = f"track {uuid} {states.name!r} is {states.now!r} for ever"
                self.find("state without end", where, states.place)
        for finding in [] if lost else self.impossible:
            self.find(*finding)
        for cpu, handlers in self.handlers.items():
            self.follow(cpu, handlers)
