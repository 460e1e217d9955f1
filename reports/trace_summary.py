# SPDX-License-Identifier: MIT
"""A trace in numbers, made from its packets without Perfetto: operations, time by phase, wake-up
latencies, interrupts, the slowest windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from reports.store import Machine
from reports.tables import Cell, Table, slow_anchor
from reports.text import number, several
from reports.trace_outliers import TracedOutlier, look, outlier_link
from reports.trace_read import TracedRow

FILE = "trace.perfetto-trace"
TOP = 20
PHASES = ("prepare", "warm-up", "run")


def rank(values: list[int], share: float) -> int:
    """The percentile by the nearest rank, of sorted values."""
    return values[min(len(values) - 1, max(0, -(-int(share * 1000 * len(values)) // 1000) - 1))]


@dataclass
class Summary:
    """Rows are added one by one; lengths are nanoseconds of the trace."""

    rows: int = 0
    operations: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # suite, path
    phases: dict[str, dict[str, int]] = field(default_factory=dict)  # suite, phase
    wakings: dict[str, list[int]] = field(default_factory=dict)  # role
    interrupts: dict[str, list[int]] = field(default_factory=dict)
    slow: list[TracedOutlier] = field(default_factory=list)
    begin: int | None = None
    end: int = 0

    def add(self, row: TracedRow, roles: dict[int, str], machine: Machine | None) -> None:
        self.rows += 1
        paths: dict[int, list[str]] = {}
        for s in row.slices:
            path = paths[s.thread] = [*paths.get(s.thread, [])[: s.depth], s.name]
            self.operations.setdefault((row.suite, " > ".join(path)), []).append(s.length)
        shares = self.phases.setdefault(row.suite, {})
        for phase in row.phases:
            shares[phase.name] = shares.get(phase.name, 0) + phase.length
            self.begin = phase.begin if self.begin is None else min(self.begin, phase.begin)
            self.end = max(self.end, phase.end)
        for interrupt in row.beside.interrupts:
            took = interrupt.end - interrupt.begin
            self.interrupts.setdefault(interrupt.name, []).append(took)
        for thread, latency in latencies(row):
            self.wakings.setdefault(roles.get(thread, ""), []).append(latency)
        if machine is not None:
            self.slow += [look(one, row) for one in machine.outliers.get(row.name, ())]

    def complete(self, machine: Machine) -> None:
        """Adds outliers whose row the trace does not have."""
        there = {one.outlier for one in self.slow}
        for outliers in machine.outliers.values():
            self.slow += [
                TracedOutlier(one, (), (), (), None) for one in outliers if one not in there
            ]


def latencies(row: TracedRow) -> list[tuple[int, int]]:
    """(thread, nanoseconds) from each waking until the thread runs."""
    switches: dict[int, list[int]] = {}
    for switch in sorted(row.beside.switches, key=lambda s: s.time):
        switches.setdefault(switch.thread, []).append(switch.time)
    found = []
    at = dict.fromkeys(switches, 0)
    for time, thread in sorted(row.beside.wakings):
        times = switches.get(thread, [])
        while at.get(thread, 0) < len(times) and times[at[thread]] < time:
            at[thread] += 1
        if at.get(thread, 0) < len(times):
            found.append((thread, times[at[thread]] - time))
    return found


def is_chosen(row: TracedRow, suites: list[str], pattern: str) -> bool:
    """As `suites=` and `filter=` say: a part of the id, or a pattern with *."""
    if suites and row.suite not in suites:
        return False
    return fnmatchcase(row.name, pattern) if "*" in pattern else pattern in row.name


# ---- tables -------------------------------------------------------------------------------------


def _lengths(values: list[int]) -> tuple[Cell, ...]:
    values = sorted(values)
    shown = (len(values), sum(values), rank(values, 0.5), rank(values, 0.99), values[-1])
    return tuple(Cell(number(value), "number") for value in shown)


LENGTHS = ("times", "in all", "p50", "p99", "longest")
NUMERIC = frozenset(range(1, 1 + len(LENGTHS)))


def operations_table(summary: Summary, unit: str) -> Table:
    taken = sorted(summary.operations.items(), key=lambda entry: (-sum(entry[1]), entry[0]))
    lines = [
        (Cell(f"{suite}: {path}", "name"), *_lengths(lengths)) for (suite, path), lengths in taken
    ]
    more = f"{several(len(lines) - TOP, 'other kind')} took less." if len(lines) > TOP else ""
    note = f"Of what is drawn: the phases' notes say what is not. {more}".rstrip()
    title = f"Operations that took most, {unit} of traced code"
    return Table(title, ("operation", *LENGTHS), tuple(lines[:TOP]), NUMERIC, note=note)


def phases_table(summary: Summary, unit: str) -> Table:
    lines = []
    for suite, shares in summary.phases.items():
        whole = sum(shares.values())
        cells = [Cell(number(shares.get(phase, 0)), "number") for phase in PHASES]
        lines.append((Cell(suite, "name"), *cells, Cell(number(whole), "number")))
    columns = ("suite", *PHASES, "in all")
    return Table(f"Time by phase, {unit}", columns, tuple(lines), frozenset(range(1, 5)))


def wakings_table(summary: Summary, unit: str) -> Table:
    found = sorted(summary.wakings.items(), key=lambda entry: (-sum(entry[1]), entry[0]))
    lines = [(Cell(role or "others", "name"), *_lengths(each)) for role, each in found]
    title = f"From a wake-up until the thread runs, {unit}, by role"
    return Table(title, ("role", *LENGTHS), tuple(lines[:TOP]), NUMERIC)


def interrupts_table(summary: Summary, unit: str) -> Table:
    found = sorted(summary.interrupts.items(), key=lambda entry: (-sum(entry[1]), entry[0]))
    lines = [(Cell(name, "name"), *_lengths(each)) for name, each in found]
    return Table(f"Interrupts, {unit}", ("interrupt", *LENGTHS), tuple(lines[:TOP]), NUMERIC)


def slow_table(summary: Summary, machine: Machine, most: int | None = None) -> Table:
    """The slowest windows, each with its moment; those most above the least of their round come
    first."""
    chosen = sorted(summary.slow, key=lambda one: (-_excess(one), one.outlier.id))
    lines = []
    anchors: set[str] = set()
    for one in chosen[:most]:
        outlier = one.outlier
        causes = one.causes or ["nothing that the trace knows"]
        if one.longest is not None:
            causes.append(
                f"longest operation: {one.longest.name} ({number(one.longest.length)} ns)"
            )
        address = outlier_link(machine.run, machine.name, FILE, outlier)
        anchor = slow_anchor(machine, outlier.id)
        lines.append(
            (
                Cell(outlier.id, "name", anchor="" if anchor in anchors else anchor),
                Cell(outlier.name, more=f"window {outlier.window} of {outlier.windows}"),
                Cell(number(outlier.sample / outlier.operations), "number"),
                Cell(number(outlier.least / outlier.operations), "number"),
                Cell(str(outlier.begin), "number", href=address),
                Cell(number(outlier.end - outlier.begin), "number"),
                Cell("; ".join(causes)),
            )
        )
        anchors.add(anchor)
    columns = ("row", "sample", "an operation", "least", "at, ns", "takes, ns", "overlapped by")
    title = f"Slowest windows of the traced rounds, {machine.name}"
    note = (
        "Samples of traced code, not of the measured rounds. A time opens the Perfetto UI there"
        f" while `scons trace run={machine.run} serve=on` serves the trace."
    )
    return Table(title, columns, tuple(lines), frozenset((2, 3, 4, 5)), note=note)


def _excess(one: TracedOutlier) -> float:
    """How many times the least sample of its round it is."""
    return one.outlier.sample / one.outlier.least if one.outlier.least > 0 else 0.0


def tables_of(summary: Summary, unit: str) -> list[Table]:
    """Those that have something to say."""
    made = [
        phases_table(summary, unit),
        operations_table(summary, unit),
        wakings_table(summary, unit),
        interrupts_table(summary, unit),
    ]
    return [table for table in made if table.rows]
