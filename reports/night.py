# SPDX-License-Identifier: MIT
"""What a night says: rows that moved, and whether that is an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.gate import Change, FalseAlarms, agrees, change_of, suspects
from reports.history import (
    environment_changes,
    habits_of,
    machines_of,
    same_question,
)
from reports.ledger import AGAIN, Night, NightRow
from reports.text import apart, exactly, number, unit_name
from reports.which import night_of

# What may be said of a row that moved; the first two are alarms.
CHANGED = "changed"  # exact: any difference
CONFIRMED = "confirmed"
SUSPECTED = "suspected"  # no re-run has been made, or it did not measure the row
NOT_CONFIRMED = "not confirmed"
ENVIRONMENT = "with the environment"
ALARMS = (CHANGED, CONFIRMED)


@dataclass(frozen=True)
class Moved:
    """A row that differs from the last night that has it, and what that is."""

    machine: str
    clock: str
    before: NightRow
    now: NightRow
    said: str
    again: float | None = None
    limit: float = 0.0

    @property
    def id(self) -> str:
        return self.now.id

    @property
    def worse(self) -> bool:
        """More of any unit is worse."""
        return self.now.value > self.before.value

    @property
    def same_code(self) -> bool:
        return self.before.definition == self.now.definition

    @property
    def alarm(self) -> bool:
        return self.said in ALARMS

    def sentence(self) -> str:
        """heap/pair_64/hybrid on qemu-exact: 21.5 to 22.5 instructions (+1, +4.65 %): changed"""
        a, b = shown_pair(self)
        share = 100 * (self.now.value / self.before.value - 1)
        unit = unit_name(self.now.unit, self.now.value)
        by = f"{self.now.value - self.before.value:+.6g}, " if self.clock == "insn" else ""
        text = f"{self.id} on {self.machine}: {a} to {b} {unit} ({by}{share:+.3g} %): {self.said}"
        return text if self.again is None else f"{text}, again {number(self.again)}"


def shown_pair(moved: Moved) -> tuple[str, str]:
    """Before and now, as numbers that differ."""
    if moved.clock == "insn":
        return exactly(moved.before.value), exactly(moved.now.value)
    return apart(moved.before.value, moved.now.value)


@dataclass(frozen=True)
class Screen:
    """The rows of a machine's night. `judged`: how many the gate could say anything about."""

    machine: str
    clock: str
    run: str
    before: str  # the run of the night before; nothing if there is none
    rows: int
    judged: int
    young: int
    moved: tuple[Moved, ...]
    environment: tuple[tuple[str, str, str], ...]
    unlike: tuple[str, ...]  # rows asked otherwise than in the nights before
    gone: tuple[str, ...]  # rows of the night before that this one has not

    @property
    def alarms(self) -> tuple[Moved, ...]:
        return tuple(moved for moved in self.moved if moved.alarm)

    @property
    def doubtful(self) -> tuple[Moved, ...]:
        """To be run again."""
        return tuple(moved for moved in self.moved if moved.said == SUSPECTED)


def screens(nights: Sequence[Night], run: str) -> tuple[Screen, ...]:
    """Each machine of the night `run`, held against its nights before."""
    again = {n.machine: n for n in nights if n.kind == AGAIN and night_of(n.run) == run}
    found = []
    for machine, mine in machines_of(nights).items():
        at = next((i for i, night in enumerate(mine) if night.run == run), None)
        if at is not None:
            found.append(screen(mine[: at + 1], again.get(machine)))
    return tuple(found)


def screen(nights: Sequence[Night], again: Night | None = None) -> Screen:
    """The last of a machine's nights against those before; `again` is its re-run."""
    tonight, past = nights[-1], nights[:-1]
    environment = environment_changes(past[-1], tonight) if past else ()
    before = {row: _last(past, row) for row in tonight.rows}
    unlike = tuple(
        row
        for row, old in sorted(before.items())
        if old is not None and not same_question(old, tonight.rows[row])
    )
    pairs = [
        (old, tonight.rows[row])
        for row, old in sorted(before.items())
        if old is not None and row not in unlike
    ]
    if tonight.exact:
        moved = [
            Moved(tonight.machine, tonight.clock, old, now, CHANGED)
            for old, now in pairs
            if old.value != now.value
        ]
        judged, young = len(pairs), 0
    else:
        moved, judged, young = _sampled(past, tonight, pairs, again, bool(environment))
    gone = tuple(sorted(set(past[-1].rows) - set(tonight.rows))) if past else ()
    return Screen(
        tonight.machine,
        tonight.clock,
        tonight.run,
        past[-1].run if past else "",
        len(tonight.rows),
        judged,
        young,
        tuple(moved),
        environment,
        unlike,
        gone,
    )


def _last(past: Sequence[Night], row: str) -> NightRow | None:
    return next((night.rows[row] for night in reversed(past) if row in night.rows), None)


def _sampled(
    past: Sequence[Night],
    tonight: Night,
    pairs: Sequence[tuple[NightRow, NightRow]],
    again: Night | None,
    elsewhere: bool,
) -> tuple[list[Moved], int, int]:
    if tonight.clock == "emulated":
        return [], 0, 0
    changes = _changes(past, pairs)
    moved = []
    for (old, now), change, suspect in zip(pairs, changes, suspects(changes)):
        if change is None or not suspect:
            continue
        one = Moved(tonight.machine, tonight.clock, old, now, SUSPECTED, limit=change.limit)
        repeated = again.rows.get(now.id) if again is not None else None
        if elsewhere:
            one = replace(one, said=ENVIRONMENT)
        elif repeated is not None and same_question(repeated, now):
            good = agrees(change, repeated.value, now.operations)
            one = replace(one, said=CONFIRMED if good else NOT_CONFIRMED, again=repeated.value)
        moved.append(one)
    told = [change for change in changes if change is not None]
    young = sum(change.young for change in told)
    return moved, len(told) - young, young


def _changes(
    past: Sequence[Night], pairs: Sequence[tuple[NightRow, NightRow]]
) -> list[Change | None]:
    window = past[-40:]  # enough for 30 changes, with nights between that lack a row
    return [
        change_of(habits_of(window, now.id), old.value, now.value, now.operations)
        for old, now in pairs
    ]


def false_alarms_of(told: Sequence[Screen]) -> FalseAlarms:
    """Of a night: of rows whose code was that of the night before, in the same environment, those
    that the gate suspected, and those that the re-run confirmed."""
    asked = wrong = confirmed = 0
    for one in told:
        if one.clock in ("insn", "emulated") or one.environment:
            continue
        same = [moved for moved in one.moved if moved.same_code]
        asked += one.judged - (len(one.moved) - len(same))
        wrong += len(same)
        confirmed += sum(moved.said == CONFIRMED for moved in same)
    return FalseAlarms(asked, wrong, confirmed)
