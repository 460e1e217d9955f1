# SPDX-License-Identifier: MIT
"""The tails: what the samples do that a median does not tell, suite by suite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from reports.claims import case_of, variant_of
from reports.measure import Summary, ordered_samples, status_of, summarise
from reports.modes import modes_of
from reports.store import Machine, Row
from reports.tables import Cell, Table, case_firsts, cases_of, percentile, resolved, rows_of
from reports.text import DASH, number, several

EXACT = "insn"
STEP_FACT = "guest.clock.step"

RULE = (
    "A percentile is shown where at least ten samples lie beyond it (p90 from 100 samples on, p99"
    " from 1\u202f000, p99.9 from 10\u202f000); \u2013 stands where there are fewer. The mean is"
    " here because some claims are made of one; it is never a headline. Modes are peaks of the"
    " histogram on the clock's steps (bins as wide as Freedman and Diaconis ask for, 1\u00a0% of"
    " the median at least), parted by a valley at most half as high and deeper than chance, each"
    " with 1\u00a0% of the samples or more; below the count, where they lie."
)

_COLUMNS = (
    "row",
    "n",
    "min",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "max",
    "cold",
    "mean, no headline",
    "modes",
)


@dataclass(frozen=True)
class Tail:
    """A row with what is said of its samples. `modes` is None where they cannot be told."""

    row: Row
    summary: Summary
    modes: tuple[float, ...] | None

    @property
    def name(self) -> str:
        return self.row.id.partition("/")[2]

    def reach(self, value: float | None) -> float | None:
        """How many times the median a value is."""
        middle = self.summary.p50
        return value / middle if value is not None and middle else None


def is_exact(machine: Machine) -> bool:
    """Are there no samples to speak of, only counts that repeat?"""
    return machine.clock == EXACT


def suite_of(row: str) -> str:
    return row.partition("/")[0]


def suites_of(machine: Machine) -> list[str]:
    """All suites of a machine, sorted."""
    return sorted({suite_of(row) for row, _ in machine.rows})


def clock_step(machine: Machine) -> int:
    """Ticks that the clock moves by at once; 1 if the run does not say."""
    said = dict(machine.facts).get(STEP_FACT, "")
    return max(int(said), 1) if said.isdecimal() else 1


def tails_of(machine: Machine, suite: str) -> list[Tail]:
    """The rows of a suite that have a number, case by case."""
    step = clock_step(machine)
    found = []
    for case in cases_of(machine):
        if suite_of(case) != suite:
            continue
        for row in rows_of(machine, case):
            summary = summarise(row) if status_of(row) == "ok" else None
            if summary is not None:
                found.append(Tail(row, summary, modes_of(row, step)))
    return found


def tails_table(machine: Machine, suite: str, tails: list[Tail]) -> Table:
    """A line for each row; the first of each case is marked."""
    units = sorted({tail.row.unit for tail in tails})
    return Table(
        f"{suite} on {machine.name}, {' and '.join(units)} for one operation",
        _COLUMNS,
        tuple(_cells(tail) for tail in tails),
        frozenset(range(1, len(_COLUMNS))),
        firsts=case_firsts([tail.row.id for tail in tails]),
    )


def _cells(tail: Tail) -> tuple[Cell, ...]:
    row, summary = tail.row, tail.summary
    clean = summary.high_clean
    disturbed = clean is not None and clean != summary.high
    return (
        Cell(tail.name, "name" if row.role == "product" else "", row.role),
        Cell(number(summary.n), "number"),
        resolved(summary.low),
        resolved(summary.p50),
        percentile(row, summary, summary.p90, 0.9),
        percentile(row, summary, summary.p99, 0.99),
        percentile(row, summary, summary.p999, 0.999),
        Cell(resolved(summary.high).text, "number", f"{number(clean)} clean" if disturbed else ""),
        resolved(summary.cold),
        resolved(summary.mean),
        _modes(tail.modes),
    )


def _modes(modes: tuple[float, ...] | None) -> Cell:
    if modes is None:
        return Cell(DASH, "number")
    where = ", ".join(number(mode) for mode in modes) if len(modes) > 1 else ""
    return Cell(str(len(modes)), "number", where)


def tails_finding(machine: Machine, suite: str, tails: list[Tail]) -> str:
    """What the tails of a suite show, in words."""
    if not tails:
        return f"No row of {suite} on {machine.name} has a number."
    sentences = []
    for name in ("p99", "p90"):
        reaches = _reaches(tails, name)
        if reaches:
            far, near = max(reaches), min(reaches)
            text = f"{suite} on {machine.name}: at {name} the longest tail is {far[1]},"
            text += f" {number(far[0])} times its median"
            if len(reaches) > 1:
                text += f"; the shortest is {near[1]}, {number(near[0])} times"
            sentences.append(text + ".")
            break
    largest = _reaches(tails, "high")
    if largest:
        times, name = max(largest)
        (summary,) = (tail.summary for tail in tails if tail.name == name)
        disturbed = summary.high_clean != summary.high
        sentences.append(
            f"The largest sample of all, against its row's median, is one of {name},"
            f" {number(times)} times{' and disturbed' if disturbed else ''}."
        )
    else:
        sentences.append(f"No row of {suite} on {machine.name} has a median above resolution.")
    told = [tail for tail in tails if tail.modes is not None]
    many = [tail for tail in told if len(tail.modes or ()) > 1]
    if told:
        verb = "has" if len(many) == 1 else "have"
        sentences.append(f"{len(many)} of {several(len(told), 'row')} {verb} more than one mode.")
    return " ".join(sentences)


def _reaches(tails: list[Tail], name: str) -> list[tuple[float, str]]:
    found = []
    for tail in tails:
        reach = tail.reach(getattr(tail.summary, name))
        if reach is not None:
            found.append((reach, tail.name))
    return found


# ---- counts that repeat -------------------------------------------------------------------------


def varying(machine: Machine) -> list[Row]:
    """The rows of an exact machine whose windows are not all alike."""
    rows = [row for (_, aa), row in machine.rows.items() if aa == 0 and status_of(row) == "ok"]
    return [row for row in rows if len(numpy.unique(ordered_samples(row))) > 1]


def exact_sentence(machine: Machine) -> str:
    """Why an exact machine has no tails."""
    ok = [row for (_, aa), row in machine.rows.items() if aa == 0 and status_of(row) == "ok"]
    if not ok:
        return f"No row of {machine.name} has a number."
    changing = len(varying(machine))
    constant = len(ok) - changing
    text = (
        f"{constant} of {several(len(ok), 'row')} of {machine.name} are constant: every window took"
        " the same count, so every percentile is the median and there is no tail."
    )
    if changing:
        text += (
            f" In {several(changing, 'row')} the windows of a round are not alike, because each"
            " does other work; every round of every boot repeats them to the instruction."
        )
    return text


def _exactly(value: float) -> str:
    """Two digits more than elsewhere: what differs here differs little, and is exact."""
    return f"{value:,.2f}".replace(",", "\u202f")


def varying_table(machine: Machine) -> Table:
    """The rows of an exact machine that are not constant."""
    lines = []
    for row in varying(machine):
        costs = row.rounds[0].costs
        low, high = float(costs.min()), float(costs.max())
        lines.append(
            (
                Cell(f"{case_of(row.id)}/{variant_of(row.id)}", "name", row.role),
                Cell(number(len(costs)), "number"),
                Cell(_exactly(low), "number"),
                Cell(_exactly(float(numpy.median(costs))), "number"),
                Cell(_exactly(high), "number"),
                Cell(f"{100 * (high / low - 1):.2f}\u00a0%" if low > 0 else DASH, "number"),
            )
        )
    columns = ("row", "windows in a round", "min", "p50", "max", "max over min")
    title = f"Rows of {machine.name} whose windows differ, instructions for one operation"
    return Table(title, columns, tuple(lines), frozenset(range(1, 6)))
