# SPDX-License-Identifier: MIT
"""The commands that look at more than one run, or write something else than the report."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from reports import compare_text
from reports.claims import Claims
from reports.compare import compare
from reports.document import make_report
from reports.export_ci import FORMATS
from reports.foreign import ForeignError, bring_in, read_google_benchmark
from reports.history import asked
from reports.ledger import value_of
from reports.nightly import NIGHT_COMMANDS
from reports.store import NoSuchRun, load_run, open_store, run_ids
from reports.text import clean
from reports.which import resolve
from reports.write import replace_file

Given = dict[str, str]


def run_command(name: str, results: Path, given: Given, claims: Claims) -> int:
    """Runs one of these commands; its exit code."""
    table: dict[str, Callable[[Path, Given, Claims], int]] = {
        "compare": compare_runs,
        "export": export_run,
        "import": import_file,
        "ends": ends_of,
        **NIGHT_COMMANDS,
    }
    return table[name](results, given, claims)


def say(line: str) -> None:
    print(line, file=sys.stderr)


def compare_runs(results: Path, given: Given, claims: Claims) -> int:
    """b against a. Rows that are about different things are named, not compared; where there are no
    others, that is a mistake in the command line."""
    with open_store(results / "history.db") as connection:
        runs = [load_run(connection, resolve(connection, given[name])) for name in ("a", "b")]
    comparison = compare(claims, *runs)
    hints, absent = compare_text.hints_of(comparison, results / "runs")
    form = given.get("format", "text")
    if form == "json":
        sys.stdout.write(compare_text.to_json(comparison, hints))
    elif form == "markdown":
        sys.stdout.write(compare_text.to_markdown(comparison, hints, absent))
    else:
        compare_text.print_comparison(comparison, hints, absent)
    if not comparison.rows and comparison.status == 0:
        raise NoSuchRun("a= and b= have no row that can be compared")
    return comparison.status


def export_run(results: Path, given: Given, claims: Claims) -> int:
    """Writes results/export/FILE for each format, and says what a format could not hold."""
    with open_store(results / "history.db") as connection:
        run = load_run(connection, resolve(connection, given.get("run", "latest")))
    report = make_report(claims, run)
    folder = results / "export"
    folder.mkdir(parents=True, exist_ok=True)
    for name in given.get("format", ",".join(FORMATS)).split(","):
        file, make = FORMATS[name]
        export = make(report)
        replace_file(folder / file, export.text.encode("utf-8"))
        print(f"{name}: {folder / file}" + (f" ({export.said})" if export.said else ""))
    return 0


def import_file(results: Path, given: Given, claims: Claims) -> int:
    """Brings a file of Google Benchmark's JSON into a run."""
    try:
        foreign = read_google_benchmark(Path(given["file"]))
        store = results / "history.db"
        with open_store(store) as connection:
            run = resolve(connection, given.get("run", "latest"))
        machine = bring_in(store, run, foreign)
    except ForeignError as error:
        # A mistake in the command line, as a run that is not there.
        raise NoSuchRun(str(error)) from error
    print(f"{len(foreign.rows)} rows of {clean(given['file'])} are in run {run} as {machine}")
    return 0


def ends_of(results: Path, given: Given, claims: Claims) -> int:
    """Two runs between which an exact row moved: b, or the newest that has it, and a, or the newest
    before that which says otherwise to the same question."""
    with open_store(results / "history.db") as connection:
        newest_first = run_ids(connection)
        runs = [resolve(connection, given["b"])] if "b" in given else newest_first
        now = _first_end(connection, runs, given["row"], None)
        if now is None:
            raise NoSuchRun(f"row={clean(given['row'], 80)}: no exact run has this row")
        older = newest_first[newest_first.index(now.run) + 1 :]
        runs = [resolve(connection, given["a"])] if "a" in given else older
        before = _first_end(connection, runs, given["row"], now)
    if before is None:
        raise NoSuchRun(
            f"{clean(now.row, 80)} is {now.value:.10g} in {now.run}, and in no run that was asked"
            " anything else"
        )
    ends = {"a": before._asdict(), "b": now._asdict()}
    print(json.dumps(ends))
    return 0


class End(NamedTuple):
    """A row in an exact run."""

    run: str
    commit: str
    dirty: bool
    row: str
    value: float
    definition: str


def _first_end(
    connection: sqlite3.Connection, runs: list[str], row: str, other: End | None
) -> End | None:
    """The first of some runs with the row, and with another value than `other`, if that is given.
    Not of code that no commit has."""
    for run_id in runs:
        for machine in load_run(connection, run_id).machines:
            found = machine.rows.get((row, 0))
            value = value_of(found) if found is not None and machine.clock == "insn" else None
            if found is None or value is None:
                continue
            end = End(run_id, machine.commit, machine.dirty, row, value, found.definition)
            same = other is not None and asked(other.definition) == asked(found.definition)
            if other is None or (same and other.value != value and other.commit != machine.commit):
                return end
    return None
