# SPDX-License-Identifier: MIT
"""The report on a terminal: verdict first, then rows and claims."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from reports.claims import case_of
from reports.document import CAVEATS, Report
from reports.judge import Judgement
from reports.peers import absent_line
from reports.store import Machine
from reports.text import several
from reports.tables import (
    Cell,
    Table,
    cases_of,
    claims_table,
    counters_table,
    rows_of,
    rows_table,
)

COLOURS = {
    "met": "bold green",
    "exceeded": "bold yellow",
    "not met": "bold red",
    "not shown": "magenta",
    "not judged here": "cyan",
    "no data": "dim",
}
WIDTH_WITHOUT_TERMINAL = 140
WIDTH_FOR_ALL_COLUMNS = 120


def console_for(stream: TextIO) -> Console:
    """A console that takes every text literally."""
    columns = os.environ.get("COLUMNS", "")
    given = int(columns) if columns.isdecimal() else 0
    width = None if stream.isatty() else max(given, WIDTH_WITHOUT_TERMINAL)
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def print_headline(report: Report, stream: TextIO | None = None) -> None:
    """The verdict, and under it what is wrong with the run."""
    console = console_for(stream or sys.stdout)
    console.print(Text(report.headline, style="bold"), soft_wrap=True)
    for trouble in report.troubles:
        console.print(Text(f"! {trouble}", style="red"), soft_wrap=True)


def print_report(report: Report, pattern: str = "*", stream: TextIO | None = None) -> None:
    """Everything: the rows that match the pattern, the claims, and last, where a person looks
    first, the headline."""
    console = console_for(stream or sys.stdout)
    for machine in report.intact:
        _print_machine(console, report, machine, pattern)
    for design in report.claims.designs:
        _print_claims(console, report, design)
    console.print()
    print_headline(report, stream)


def selected(machine: Machine, pattern: str) -> list[str]:
    """The cases with a row whose id matches, or that match themselves."""
    patterns = [pattern, f"{pattern}/*"]
    wanted = {
        case_of(row)
        for row, _ in machine.rows
        if any(fnmatchcase(row, p) or fnmatchcase(case_of(row), p) for p in patterns)
    }
    return [case for case in cases_of(machine) if case in wanted]


def _print_machine(console: Console, report: Report, machine: Machine, pattern: str) -> None:
    console.print()
    console.print(Text(f"{machine.title}, clock {machine.clock}", style="bold underline"))
    if machine.clock in CAVEATS:
        console.print(Text(CAVEATS[machine.clock], style="dim"))
    if absent := absent_line(machine):
        console.print(Text(absent, style="yellow"), soft_wrap=True)
    chosen = selected(machine, pattern)
    silent = [case for case in chosen if all(r.status == "missing" for r in rows_of(machine, case))]
    if silent:
        text = f"Nothing came of {', '.join(silent)}."
        console.print(Text(f"  {text}", style="yellow"))
    for case in chosen:
        if case in silent:
            continue
        table = rows_table(machine, case, report.noise.get((machine.name, case)))
        print_table(console, table)
    counters = counters_table(machine)
    wanted = set(selected(machine, pattern))
    lines = tuple(row for row in counters.rows if case_of(row[0].text) in wanted)
    if lines and pattern == "*":
        # More lines than the rest together, and most of interest to few: said where they are.
        text = f"{several(len(lines), 'counter')} of {machine.name}: on the page and in tables.txt"
        console.print()
        console.print(Text(f"{text}, with filter= here", style="dim"), soft_wrap=True)
        if counters.note:
            console.print(Text(f"  {counters.note}", style="dim"), soft_wrap=True)
    elif lines:
        print_table(console, replace(counters, rows=lines))


def _print_claims(console: Console, report: Report, design: str) -> None:
    judged = claims_table(report.claims, report.verdicts, report.run, design, with_data=True)
    missing = claims_table(report.claims, report.verdicts, report.run, design, with_data=False)
    said = [*ways(report, design), *notes(report, design)]
    if judged.rows:
        print_table(console, judged)
    elif said:
        console.print()
        console.print(Text(judged.title, style="bold"))
    else:
        return
    for line in said:
        console.print(Text(f"  {line}", style="dim"))
    if missing.rows:
        claims = "1 claim" if len(missing.rows) == 1 else f"{len(missing.rows)} claims"
        console.print(Text(f"  {claims} of this design without data", style="dim"))


def ways(report: Report, design: str) -> list[str]:
    """What the intervals stand on, each way once: one boot says nothing of the next."""
    found = {
        f"{j.machine}: {j.how}"
        for j in report.verdicts.judgements
        if j.claim.design == design and j.how and "boot" in j.how and j.value is not None
    }
    return sorted(found)


def notes(report: Report, design: str) -> list[str]:
    """What is to be said about a design's judgements, each thing once. Also why there is no data
    where the row was measured: that is no gap in the run."""
    found: dict[str, dict[str, list[str]]] = {}  # note, then machine, then claims
    for judgement in report.verdicts.judgements:
        if judgement.claim.design != design or not judgement.note:
            continue
        if judgement.value is not None or _was_measured(report, judgement):
            machines = found.setdefault(judgement.note, {})
            machines.setdefault(judgement.machine, []).append(judgement.claim.id)
    said = []
    for note, machines in found.items():
        alike: dict[str, list[str]] = {}  # what is said of the same claims is said once
        for machine, claims in machines.items():
            alike.setdefault(", ".join(claims), []).append(machine)
        said += [f"{', '.join(names)}: {note} ({claims})" for claims, names in alike.items()]
    return said


def _was_measured(report: Report, judgement: Judgement) -> bool:
    rows = next(m.rows for m in report.intact if m.name == judgement.machine)
    row = rows.get((judgement.row, 0))
    return row is not None and bool(row.rounds)


def print_table(console: Console, table: Table) -> None:
    narrow = console.width < WIDTH_FOR_ALL_COLUMNS
    shown = [i for i in range(len(table.columns)) if not (narrow and i in table.minor)]
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i in shown:
        numeric = i in table.numeric
        # Only words may break: a number cut short is another number.
        words = any(row[i].kind in ("below", "trouble") for row in table.rows)
        drawn.add_column(
            Text(table.columns[i]),
            justify="right" if numeric else "left",
            no_wrap=i == 0 or (numeric and not words),
            overflow="fold",
        )
    for row in table.rows:
        drawn.add_row(*(_text(row[i]) for i in shown))
    console.print()
    console.print(Text(table.title, style="bold"))
    console.print(drawn)
    if table.note:
        console.print(Text(f"  {table.note}", style="dim"))


def _text(cell: Cell) -> Text:
    if cell.kind == "verdict":
        return Text(cell.text, style=COLOURS.get(cell.text, ""))
    if cell.kind == "trouble":
        return Text(cell.text, style="bold red")
    return Text(cell.text, style="bold" if cell.kind == "name" else "")
