# SPDX-License-Identifier: MIT
"""What the page says of nights: changes since the last, trends, where a machine changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.claims import Claims
from reports.gate import CHANGES_LEAST, FalseAlarms
from reports.history import Line, Trend, lines_of, machines_of, trends_of
from reports.ledger import NIGHT, Night, nights, open_ledger, verdicts
from reports.night import Moved, Screen, screens, shown_pair
from reports.steps import SEGMENT_LEAST
from reports.store import Run, StoreError
from reports.tables import Cell, Table
from reports.text import apart, clean, exactly, number, several, utc

NIGHTS_MOST = 365


@dataclass(frozen=True)
class MachineNights:
    """A machine's nights up to the run's."""

    machine: str
    clock: str
    dates: list[str]
    trends: list[Trend]
    lines: tuple[Line, ...]
    facts: list[Night]


@dataclass(frozen=True)
class NightsView:
    """All that the page draws of nights. `wrong`: what is damaged in the ledger."""

    run: str
    screens: tuple[Screen, ...]
    machines: tuple[MachineNights, ...]
    false_alarms: FalseAlarms
    open: tuple[str, ...]
    wrong: tuple[str, ...]
    claimed: frozenset[str]

    @property
    def alarming(self) -> set[str]:
        return {moved.id for one in self.screens for moved in one.alarms}


def nights_view(results: Path, run: Run, claims: Claims) -> NightsView | None:
    """What the ledger knows up to this run; None if the run was no night, or there is no ledger."""
    path = results / "nights.db"
    if not path.is_file():
        return None
    try:
        with open_ledger(path) as ledger:
            known, wrong = nights(ledger, NIGHTS_MOST)
            said = verdicts(ledger)
    except StoreError as error:
        return NightsView(run.id, (), (), FalseAlarms(0, 0), (), (str(error),), frozenset())
    last = max((n.number for n in known if n.run == run.id and n.kind == NIGHT), default=None)
    if last is None:
        return None
    known = [n for n in known if n.kind != NIGHT or n.number <= last]
    counted = [one.get("false_alarms", [0, 0, 0]) for one in said.values()]
    false = FalseAlarms(*(sum(int(c[i]) for c in counted) for i in range(3)))
    machines = tuple(
        MachineNights(
            machine,
            mine[-1].clock,
            [night.utc[:10] for night in mine],
            trends_of(mine),
            lines_of(mine),
            mine,
        )
        for machine, mine in machines_of(known).items()
        if mine[-1].run == run.id
    )
    return NightsView(
        run.id,
        screens(known, run.id),
        machines,
        false,
        tuple(sorted(said.get(run.id, {}).get("open", {}))),
        tuple(wrong),
        frozenset(row for claim in claims.claims for row in claim.rows),
    )


def night_finding(view: NightsView) -> str:
    """The night in a sentence or two."""
    moved = [one for screen in view.screens for one in screen.moved]
    alarms = [one for one in moved if one.alarm]
    first = [screen.machine for screen in view.screens if not screen.before]
    parts = []
    if first:
        parts.append(f"The first night of {', '.join(first)}: nothing to hold it against.")
    if alarms:
        parts.append(f"{several(len(alarms), 'row')} changed: {_some([m.id for m in alarms])}.")
    elif len(first) < len(view.screens):
        parts.append("No row changed that the gate calls a change.")
    doubts = len(moved) - len(alarms)
    if doubts:
        parts.append(f"{several(doubts, 'more row')} looked like it and did not bear it out.")
    if view.open:
        parts.append(f"Alarms that stand: {_some(list(view.open))}.")
    return " ".join(parts)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def gate_finding(view: NightsView) -> str:
    """How far the gate can be trusted, from what it did so far."""
    false = view.false_alarms
    young = sum(screen.young for screen in view.screens)
    text = (
        "An exact row that differs at all is an alarm. A sampled one must change by more than"
        " Q3 + 3 IQR of its own last 30 changes, by 2 % and 30 ticks of a window, stand among all"
        " rows of the night (Benjamini and Hochberg, 5 %), and a fresh re-run must agree."
    )
    if young:
        text += f" {several(young, 'row')} had fewer than {CHANGES_LEAST} changes: not judged yet."
    if false.asked:
        text += (
            f" Measured false alarms: rows whose code had not changed were looked at {false.asked}"
            f" times; the gate doubted {false.wrong} ({_rate(false.wrong, false.asked)}) and the"
            f" re-run bore out {false.confirmed}"
            f" ({_rate(false.confirmed, false.asked)}; at 95 % the rate is below"
            f" {100 * FalseAlarms(false.asked, false.confirmed).most:.2g} %)."
        )
    else:
        text += " Its rate of false alarms is not known yet: no unchanged row has been judged."
    return text


def _rate(wrong: int, asked: int) -> str:
    return f"{100 * wrong / asked:.2g} %"


def moved_table(view: NightsView) -> Table:
    """Every row that moved, alarms first."""
    moved = [one for screen in view.screens for one in screen.moved]
    lines = tuple(_moved(one) for one in sorted(moved, key=lambda m: (not m.alarm, m.id)))
    columns = ("row", "machine", "last night", "tonight", "change", "again", "said", "code")
    title = "Changes since the last night"
    return Table(title, columns, lines, frozenset([2, 3, 4, 5]))


def _moved(one: Moved) -> tuple[Cell, ...]:
    a, b = shown_pair(one)
    by = f"{one.now.value - one.before.value:+.6g}, " if one.clock == "insn" else ""
    share = f"{100 * (one.now.value / one.before.value - 1):+.3g} %"
    return (
        Cell(one.id, "name"),
        Cell(one.machine),
        Cell(f"{a} {one.before.unit}", "number"),
        Cell(b, "number"),
        Cell(by + share, "number"),
        Cell(number(one.again), "number"),
        Cell(one.said, "trouble" if one.alarm else ""),
        Cell("the same" if one.same_code else "another"),
    )


def screens_table(view: NightsView) -> Table:
    """What each machine's night was held against."""
    lines = tuple(
        (
            Cell(s.machine, "name"),
            Cell(s.before or "nothing"),
            Cell(str(s.rows), "number"),
            Cell(str(s.judged), "number"),
            Cell(str(len(s.moved)), "number"),
            Cell(str(len(s.alarms)), "number"),
            Cell(str(len(s.unlike) + len(s.gone)), "number", _some([*s.unlike, *s.gone])),
        )
        for s in view.screens
    )
    columns = ("machine", "against", "rows", "judged", "moved", "alarms", "asked otherwise or gone")
    return Table("Tonight", columns, lines, frozenset(range(2, 7)))


def trend_finding(one: MachineNights) -> str:
    """What the trends of a machine show, in words."""
    stepped = [trend for trend in one.trends if len(trend.steps) > 1]
    fresh = [trend for trend in stepped if trend.steps[-1].provisional]
    nights_there = several(len(one.dates), "night")
    text = f"{one.machine}, {nights_there}: {len(stepped)} of {several(len(one.trends), 'row')}"
    text += " stepped"
    if stepped:
        text += f" ({_some([trend.id for trend in stepped])})"
    text += f"; {len(fresh)} of these steps provisional, being younger than {SEGMENT_LEAST} nights."
    if one.lines:
        text += f" The machine itself changed {several(len(one.lines), 'time')}."
    return text


def steps_table(one: MachineNights) -> Table:
    """Every step of a machine's rows, the newest first."""
    found = []
    for trend in one.trends:
        for before, now in zip(trend.steps, trend.steps[1:]):
            night = trend.points[now.start].night
            a, b = apart(before.level, now.level)
            if trend.clock == "insn":
                a, b = exactly(before.level), exactly(now.level)
            cells = (
                Cell(trend.id, "name"),
                Cell(one.dates[night], "", one.facts[night].run),
                Cell(f"{a} {trend.unit}", "number"),
                Cell(b, "number"),
                Cell(f"{100 * (now.level / before.level - 1):+.3g} %", "number"),
                Cell("provisional" if now.provisional else "confirmed"),
            )
            found.append((-night, trend.id, cells))
    lines = tuple(cells for _, _, cells in sorted(found, key=lambda entry: entry[:2]))
    columns = ("row", "from", "before", "since", "change", "step")
    return Table(f"Steps on {one.machine}", columns, lines, frozenset([2, 3, 4]))


def levels_table(one: MachineNights) -> Table:
    """All rows of a machine with the level they are at."""
    lines = tuple(
        (
            Cell(trend.id, "name"),
            Cell((exactly if trend.clock == "insn" else number)(trend.steps[-1].level), "number"),
            Cell(trend.unit),
            Cell(one.dates[trend.points[trend.steps[-1].start].night]),
            Cell(str(len(trend.points)), "number"),
        )
        for trend in one.trends
    )
    columns = ("row", "level", "unit", "since", "nights")
    return Table(f"Levels on {one.machine}", columns, lines, frozenset([1, 4]))


def environment_table(view: NightsView) -> Table:
    """Where a machine changed: each such night draws a line, across which nothing is an alarm but
    exact rows."""
    lines = []
    for one in view.machines:
        for line in reversed(one.lines):
            for fact, before, now in line.changes:
                night = one.facts[line.night]
                lines.append(
                    (
                        Cell(utc(night.utc), "", night.run),
                        Cell(one.machine),
                        Cell(fact, "name"),
                        Cell(clean(before, 120)),
                        Cell(clean(now, 120)),
                    )
                )
    columns = ("night", "machine", "fact", "before", "since")
    return Table("Where the machines changed", columns, tuple(lines))
