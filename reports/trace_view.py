# SPDX-License-Identifier: MIT
"""What is shown of a trace: for each suite the moment in which most happens, and its operations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from reports.store import Machine, Run
from reports.tables import Cell, Table
from reports.text import number, several
from reports.trace_read import Slice, TraceFile, TracedRow
from reports.trace_summary import FILE, Summary

OPERATIONS = 8  # in the window, those at the top
PAUSE = 4  # times the longest of them: where nothing is drawn for longer, something was left out
NARROW_OPERATIONS = 4
SUITES_MOST = 3
TRACE_MOST = 64 << 20


@dataclass(frozen=True)
class Moment:
    """A window of a row's trace, in nanoseconds of the trace, and the phase that it lies in."""

    row: TracedRow
    phase: Slice
    begin: int
    end: int

    @property
    def slices(self) -> list[Slice]:
        return [s for s in self.row.slices if s.begin < self.end and s.end > self.begin]

    @property
    def flows(self) -> list[tuple[Slice, Slice]]:
        """Those with both ends in the window."""
        inside = {id(s) for s in self.slices}
        return [(a, b) for a, b in self.row.flows if id(a) in inside and id(b) in inside]

    def shorter(self, operations: int) -> Moment:
        """So many operations of it, in a row: those in which the most nests."""
        inside = [s for s in self.slices if s.begin >= self.begin and s.end <= self.end]
        tops = [i for i, s in enumerate(inside) if s.depth == 0] + [len(inside)]
        if len(tops) <= operations:
            return self
        groups = [inside[tops[k] : tops[k + operations]] for k in range(len(tops) - operations)]
        return Moment(self.row, self.phase, *_around(max(groups, key=len)))


@dataclass(frozen=True)
class View:
    """The trace of one machine: a moment for each suite that has operations, and all in numbers.
    Without a trace that can be read it has the slowest windows, as the store knows them."""

    machine: Machine
    moments: tuple[Moment, ...]
    rows: int
    summary: Summary

    @property
    def unit(self) -> str:
        """What a nanosecond of the trace is."""
        return "instructions" if self.machine.clock == "insn" else "ns"


def views_of(run: Run, runs: Path) -> tuple[View, ...]:
    """What there is to see of each machine of a run, whose folders lie in `runs`: those of an exact
    clock first, where every run gives the same times."""
    machines = sorted((m for m in run.machines if m.intact), key=lambda m: m.clock != "insn")
    views = [view_from(machine, _trace_of(machine, run, runs)) for machine in machines]
    return tuple(view for view in views if view.moments or view.summary.slow)


def view_of(run: Run, runs: Path) -> View | None:
    """The one to be drawn. None if no trace can be."""
    return next((view for view in views_of(run, runs) if view.moments), None)


def _trace_of(machine: Machine, run: Run, runs: Path) -> bytes:
    path = runs / run.id / machine.name / FILE
    # Names come from the store: none may lead out of the folder.
    if path.parent.parent.parent != runs or ".." in (run.id, machine.name):
        return b""
    try:
        return path.read_bytes() if path.stat().st_size <= TRACE_MOST else b""
    except OSError:
        return b""


def view_from(machine: Machine, data: bytes) -> View:
    """The best moment of each suite, of a product's row if there is one; the suites in the trace's
    order."""
    best: dict[str, tuple[tuple[int, ...], Moment]] = {}
    trace, summary = TraceFile(data), Summary()
    for row in trace.rows():
        summary.add(row, trace.roles, machine)
        found = best_moment(row)
        if found is None:
            continue
        known = machine.rows.get((row.name, 0))
        score = (int(known is not None and known.role == "product"), *found[0])
        if row.suite not in best or score > best[row.suite][0]:
            best[row.suite] = score, found[1]
    summary.complete(machine)
    moments = tuple(moment for _, moment in best.values())[:SUITES_MOST]
    return View(machine, moments, summary.rows, summary)


def best_moment(row: TracedRow) -> tuple[tuple[int, int, int], Moment] | None:
    """The window of so many operations in a row that shows the most kinds of operations, then the
    most flows, then the most nested ones; of equals the first. With what it shows."""
    best: tuple[tuple[int, int, int], Moment] | None = None
    sources = {id(a) for a, _ in row.flows}
    # What prepares the memory is not what is measured: only where nothing else was drawn.
    drawn = [p for p in row.phases if any(p.begin <= s.begin < p.end for s in row.slices)]
    for phase in [p for p in drawn if p.name != "prepare"] or drawn:
        inside = [s for s in row.slices if phase.begin <= s.begin and s.end <= phase.end]
        tops = [i for i, s in enumerate(inside) if s.depth == 0] + [len(inside)]
        for k in range(max(len(tops) - OPERATIONS, 1)):
            group = inside[tops[k] : tops[min(k + OPERATIONS, len(tops) - 1)]]
            if not group or _has_pause([s for s in group if s.depth == 0]):
                continue
            kinds = len({(s.name, s.depth) for s in group})
            nested = sum(s.depth > 0 for s in group)
            score = (kinds, sum(id(s) in sources for s in group), nested)
            if best is None or score > best[0]:
                best = score, Moment(row, phase, *_around(group))
    return best


def _has_pause(tops: list[Slice]) -> bool:
    longest = max(s.length for s in tops)
    return any(b.begin - a.end > PAUSE * longest for a, b in zip(tops, tops[1:]))


def _around(slices: list[Slice]) -> tuple[int, int]:
    """A little more than the slices take."""
    begin, end = min(s.begin for s in slices), max(s.end for s in slices)
    margin = max((end - begin) // 40, 1)
    return begin - margin, end + margin


def paths(row: TracedRow) -> dict[str, list[int]]:
    """How long each kind of operation took, by its path: allocate > refill > pages."""
    found: dict[str, list[int]] = {}
    stacks: dict[int, list[str]] = {}
    for s in row.slices:
        stacks[s.thread] = [*stacks.get(s.thread, [])[: s.depth], s.name]
        found.setdefault(" > ".join(stacks[s.thread]), []).append(s.length)
    return found


def operations_table(view: View, moment: Moment) -> Table:
    """Every kind of operation drawn of the row, the one with the longest slice first."""
    lines = []
    for path, lengths in sorted(paths(moment.row).items(), key=lambda e: (-max(e[1]), e[0])):
        lines.append(
            (
                Cell(path, "name"),
                Cell(number(len(lengths)), "number"),
                Cell(number(min(lengths)), "number"),
                Cell(number(median(lengths)), "number"),
                Cell(number(max(lengths)), "number"),
            )
        )
    columns = ("operation", "drawn", "shortest", "p50", "longest")
    title = f"Operations in the trace of {moment.row.name}, {view.unit} of traced code"
    places = [*moment.row.phases, *moment.row.slow]
    left_out = sum(int(p.notes.get("operations not drawn", 0)) for p in places)
    note = f"{number(left_out)} more are not drawn in the trace." if left_out else ""
    return Table(title, columns, tuple(lines), frozenset(range(1, 5)), note=note)


def moment_finding(view: View, moment: Moment) -> str:
    """What a moment shows, in words."""
    row = moment.row
    taken = {path: max(lengths) for path, lengths in paths(row).items()}
    path, longest = max(taken.items(), key=lambda entry: (entry[1], entry[0]))
    phases = ", ".join(f"{p.name} {number(p.length)}" for p in row.phases)
    whole = [s for s in moment.slices if moment.begin <= s.begin and s.end <= moment.end]
    shown = [s for s in whole if s.depth == 0]
    text = (
        f"{row.name} on {view.machine.name}, {view.unit} of traced code: {phases}."
        f" The window, {number(moment.end - moment.begin)} of {moment.phase.name}, holds"
        f" {several(len(shown), 'operation')}"
    )
    nested = len(whole) - len(shown)
    if nested:
        text += f" with {several(nested, 'nested one')}"
    if moment.flows:
        text += f" and {several(len(moment.flows), 'flow')} from a sender to its receiver"
    deepest = max(taken, key=lambda p: (p.count(">"), p))
    text += f". The longest operation of the row took {number(longest)} ({path})"
    if ">" in deepest:
        text += f"; operations nest as deep as {deepest}"
    return text + "."
