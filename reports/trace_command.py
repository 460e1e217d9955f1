# SPDX-License-Identifier: MIT
"""`scons trace`: what a trace has, on the terminal, then in the Perfetto UI.

    python3 -m reports.trace_command PATH [suites=a,b] [filter=PATTERN] [serve=on]
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from reports.serve_trace import show
from reports.store import Machine, StoreError, load_run, open_store
from reports.terminal import console_for, print_table
from reports.trace_link import INTERRUPTS, around
from reports.trace_read import TraceFile
from reports.trace_summary import Summary, is_chosen, slow_table, tables_of

SLOW_MOST = 12
USAGE = 2


def machine_of(path: Path) -> Machine | None:
    """What the store has of the machine whose trace this is; None if there is none."""
    real = path.resolve()
    store = real.parent.parent.parent.parent / "history.db"
    try:
        with open_store(store) as connection:
            run = load_run(connection, real.parent.parent.name)
    except (StoreError, ValueError):
        return None
    return next((m for m in run.machines if m.name == real.parent.name and m.intact), None)


def summarise(
    path: Path, suites: list[str], pattern: str, machine: Machine | None
) -> tuple[Summary, set[str]]:
    """Of the rows that were chosen; and their suites."""
    trace = TraceFile(path.read_bytes())
    summary = Summary()
    chosen: set[str] = set()
    for row in trace.rows():
        if is_chosen(row, suites, pattern):
            summary.add(row, trace.roles, machine)
            chosen.add(row.suite)
    return summary, chosen


def pinned_tracks(suites: set[str], pattern: str) -> str:
    """The tracks of the rows that were chosen, and interrupts."""
    rows = [f"^{re.escape(suite)}(/|$)" for suite in sorted(suites)]
    if pattern:
        rows = [re.escape(pattern).replace(r"\*", ".*")]
    return "|".join([*rows, f"^{INTERRUPTS}"])


def main(words: list[str]) -> int:
    path = Path(words[0])
    options = dict(word.split("=", 1) for word in words[1:])
    suites = options["suites"].split(",") if options.get("suites") else []
    pattern = options.get("filter", "")
    machine = machine_of(path)
    summary, chosen = summarise(path, suites, pattern, machine)
    if not summary.rows:
        print(f"tickmark: {path}: no row of this trace matches", file=sys.stderr)
        return USAGE
    unit = "instructions" if machine is not None and machine.clock == "insn" else "ns"
    console = console_for(sys.stdout)
    for table in tables_of(summary, unit):
        print_table(console, table)
    if machine is not None and summary.slow:
        print_table(console, slow_table(summary, machine, SLOW_MOST))
    keep = options.get("serve") == "on"
    if not suites and not pattern:
        return show(os.fspath(path), keep=keep)
    shown = around(summary.begin or 0, summary.end)
    pins = pinned_tracks(chosen, pattern)
    return show(os.fspath(path), shown=shown, pinned=pins, keep=keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
