# SPDX-License-Identifier: MIT
"""The parts of the page as data: plots, each with its finding in words and its table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup
from matplotlib.figure import Figure

from reports import across, history_page, noise, tails, timeline, trace_view, whole
from reports.curve_figure import curve_figure
from reports.curves import curve_finding, curve_table, curves_of
from reports.document import CAVEATS, Report, case_finding, what_of
from reports.ecdf import ecdf_plot
from reports.figure import PAGE, to_svg
from reports.gain import (
    Line,
    gain_figure,
    gain_finding,
    gain_lines,
    limit_figure,
    limit_finding,
    limit_lines,
)
from reports.looks import Looks, looks_of
from reports.noise_figure import noise_plot
from reports.peers import absent_line
from reports.plot import Plot
from reports.store import Machine
from reports.tables import (
    Table,
    cases_of,
    counters_table,
    facts_table,
    judged_table,
    rows_of,
    rows_table,
)
from reports.tail_figure import tail_plot
from reports.text import utc
from reports.trace_picture import CAPTION, moments_figure
from reports.trace_summary import slow_table, tables_of
from reports.trend_figure import chosen, trend_plot

# What a case's own table has; the rest of a row's numbers stands among the tails.
CASE_COLUMNS = (
    *("row", "min", "p50", "p50 clean", "p90", "p99", "cold", "n", "disturbed"),
    *("core cycles", "instructions"),
)


@dataclass(frozen=True)
class Picture:
    """A figure, drawn for a wide page and, if `narrow` is there, for a narrow one as well; what it
    shows in words, and its numbers. Without the last two there is no picture."""

    wide: Markup
    narrow: Markup | None
    finding: str
    table: Table


@dataclass(frozen=True)
class Part:
    """Something with a heading: a plot with its table, or, where nothing can be drawn, a table."""

    name: str
    anchor: str
    what: str
    picture: Picture | None
    table: Table
    curves: tuple[Part, ...] = ()

    @property
    def suite(self) -> str:
        """Of a case, the suite that it belongs to."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Section:
    """A machine of the run as the page shows it."""

    machine: Machine
    anchor: str
    started: str
    caveat: str
    cases: tuple[Part, ...]
    counters: Table
    facts: Table


@dataclass(frozen=True)
class Tails:
    """The tails of a machine: suite by suite, or why it has none and what varies all the same."""

    machine: Machine
    sentence: str
    suites: tuple[Part, ...]
    varying: Table | None


@dataclass(frozen=True)
class Noise:
    """What is known of a machine's noise."""

    machine: Machine
    finding: str
    picture: Picture | None
    proof: str
    timer_finding: str
    tables: tuple[Table, ...]
    shares: Table
    environment: Table


@dataclass(frozen=True)
class Trace:
    """A look into the traces: moments of one machine, each machine in numbers, and its slowest
    windows."""

    machine: Machine
    moments: tuple[Part, ...]
    numbers: tuple[tuple[Machine, tuple[Table, ...]], ...]
    slow: tuple[tuple[Machine, Table], ...]


def slug(text: str) -> str:
    """Text as the name of a class, an anchor or an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def anchor_of(report: Report, machine: Machine) -> str:
    """Unique within a page, whatever machines are called."""
    number = [m.name for m in report.run.machines].index(machine.name)
    return f"m{number}-{slug(machine.name)}"


Drawing: TypeAlias = Figure | Plot


def picture(
    anchor: str,
    title: str,
    finding: str,
    table: Table,
    wide: Drawing | None,
    narrow: Drawing | None = None,
) -> Picture | None:
    """A picture, if there is something to draw."""
    if wide is None:
        return None
    small = None if narrow is None else _svg(narrow, f"{anchor}-narrow", title, finding)
    return Picture(_svg(wide, anchor, title, finding), small, finding, table)


def _svg(drawing: Drawing, name: str, title: str, finding: str) -> Markup:
    if isinstance(drawing, Plot):
        return Markup(drawing.svg(name, title, finding))
    return Markup(to_svg(drawing, name, title, finding))


def gain_picture(report: Report) -> Picture | None:
    """Gains beside the bands claimed."""
    lines = gain_lines(report)
    figures = [gain_figure(report, PAGE, small) for small in (False, True)]
    title = "Gain against claim"
    return picture("gain", title, gain_finding(lines), _claims(report, lines, title), *figures)


def limits_picture(report: Report) -> Picture | None:
    """Bounds, and how much of them is used up."""
    lines = limit_lines(report)
    figures = [limit_figure(report, PAGE, small) for small in (False, True)]
    title = "Measured against bounds"
    return picture("limits", title, limit_finding(lines), _claims(report, lines, title), *figures)


def _claims(report: Report, lines: list[Line], title: str) -> Table:
    return judged_table([line.claim for line in lines], report.verdicts, report.run, title)


def section(report: Report, machine: Machine, step: Callable[[str], None]) -> Section:
    """A machine's cases, counters and facts. `step` hears which case is drawn next."""
    anchor = anchor_of(report, machine)
    cases = []
    looks = page_looks(report)
    for i, case in enumerate(cases_of(machine)):
        step(f"{machine.name} {case}")
        cases.append(_case(report, machine, case, f"{anchor}-{i}", looks))
    caveat = CAVEATS.get(machine.clock, "The clock of this machine is unknown.")
    if absent := absent_line(machine):
        caveat = f"{caveat} {absent}"
    return Section(
        machine,
        anchor,
        utc(machine.utc),
        caveat,
        tuple(cases),
        counters_table(machine),
        facts_table(machine),
    )


def page_looks(report: Report) -> Looks:
    """How every variant is drawn, on all machines."""
    return looks_of(row for machine in report.intact for row in machine.rows.values())


def _case(report: Report, machine: Machine, case: str, anchor: str, looks: Looks) -> Part:
    rows = rows_of(machine, case)
    whole = rows_table(machine, case, report.noise.get((machine.name, case)))
    table = whole.only(*(column for column in CASE_COLUMNS if column in whole.columns))
    title = f"Distribution of {case} on {machine.name}"
    figure = ecdf_plot(rows, looks)
    drawn = picture(anchor, title, case_finding(machine, rows), table, figure, None)
    return Part(case, anchor, what_of(rows), drawn, table, _curves(machine, case, anchor, looks))


def _curves(machine: Machine, case: str, anchor: str, looks: Looks) -> tuple[Part, ...]:
    """The curves of a case, each beside its points."""
    parts = []
    for i, curve in enumerate(curves_of(machine, case)):
        table, finding = curve_table(machine, case, curve), curve_finding(machine, curve)
        name = f"{anchor}-curve{i}"
        drawn = picture(name, table.title, finding, table, curve_figure(curve, PAGE, looks), None)
        parts.append(Part(curve.heading, name, "", drawn, table))
    return tuple(parts)


def tails_part(report: Report, machine: Machine) -> Tails:
    anchor = f"{anchor_of(report, machine)}-tails"
    if tails.is_exact(machine):
        varying = tails.varying_table(machine)
        sentence = tails.exact_sentence(machine)
        return Tails(machine, sentence, (), varying if varying.rows else None)
    parts, looks = [], page_looks(report)
    for i, suite in enumerate(tails.suites_of(machine)):
        found = tails.tails_of(machine, suite)
        if not found:
            continue
        table = tails.tails_table(machine, suite, found)
        figure = tail_plot(found, looks)
        title = f"Tails of {suite} on {machine.name}"
        finding = tails.tails_finding(machine, suite, found)
        name = f"{anchor}-{i}"
        parts.append(
            Part(suite, name, "", picture(name, title, finding, table, figure, None), table)
        )
    return Tails(machine, "", tuple(parts), None)


def noise_part(report: Report, machine: Machine) -> Noise:
    tests = noise.self_tests(machine, report.verdicts.alpha)
    finding = noise.noise_finding(machine, tests)
    table = noise.self_test_table(machine, tests)
    figures = [noise_plot(tests, small) for small in (False, True)]
    anchor = f"{anchor_of(report, machine)}-noise"
    found = noise.shares(machine)
    return Noise(
        machine,
        finding,
        picture(anchor, f"A/A intervals on {machine.name}", finding, table, *figures),
        noise.proof_finding(machine),
        noise.timer_finding(machine, found),
        (noise.timer_table(machine), noise.proof_table(machine)),
        noise.shares_table(machine, found),
        noise.environment_table(machine),
    )


def trace_part(views: tuple[trace_view.View, ...]) -> Trace | None:
    """What there is to see of the traces."""
    if not views:
        return None
    view = next((view for view in views if view.moments), views[0])
    parts = []
    for i, moment in enumerate(view.moments):
        table = trace_view.operations_table(view, moment)
        finding = f"{trace_view.moment_finding(view, moment)} {CAPTION}"
        figures = [moments_figure(view, [moment], PAGE, small) for small in (False, True)]
        title = f"Trace of {moment.row.name} on {view.machine.name}"
        drawn = picture(f"trace-{i}", title, finding, table, *figures)
        parts.append(Part(moment.row.name, f"trace-{i}", moment.row.suite, drawn, table))
    numbers = [(v.machine, tuple(tables_of(v.summary, v.unit))) for v in views if v.rows]
    slow = [(v.machine, slow_table(v.summary, v.machine)) for v in views if v.summary.slow]
    return Trace(view.machine, tuple(parts), tuple(numbers), tuple(slow))


@dataclass(frozen=True)
class Nights:
    """The part about nights: a plot of trends for each machine, and tables."""

    finding: str
    gate: str
    wrong: tuple[str, ...]
    tables: tuple[Table, ...]
    trends: tuple[Part, ...]
    environment: Table


def nights_part(view: history_page.NightsView | None) -> Nights | None:
    """Nothing where the run was no night."""
    if view is None:
        return None
    parts = []
    for i, one in enumerate(view.machines):
        if not one.trends:
            continue
        drawn = chosen(one.trends, view.alarming, set(view.claimed))
        finding, steps = history_page.trend_finding(one), history_page.steps_table(one)
        levels = history_page.levels_table(one)
        plots = [trend_plot(drawn, one.lines, one.dates, small) for small in (False, True)]
        title = f"Trends on {one.machine}"
        pictured = picture(f"trend-{i}", title, finding, levels, *plots)
        parts.append(Part(one.machine, f"trend-{i}", one.clock, pictured, steps))
    tables = (history_page.moved_table(view), history_page.screens_table(view))
    return Nights(
        history_page.night_finding(view),
        history_page.gate_finding(view),
        view.wrong,
        tuple(table for table in tables if table.rows),
        tuple(parts),
        history_page.environment_table(view),
    )


def heat_picture(report: Report, signs: dict[str, str]) -> Picture | None:
    """Claims on machines, at a glance."""
    finding = across.heat_finding(report)
    table = across.across_table(report)
    plots = [across.heat_plot(report, signs, small) for small in (False, True)]
    return picture("heat", "Claims and targets", finding, table, *plots)


def time_parts(report: Report) -> tuple[Part, ...]:
    """The adaptive controller over time, on every machine that tells."""
    parts = []
    for machine in report.intact:
        for i, line in enumerate(timeline.time_lines(machine)):
            anchor = f"{anchor_of(report, machine)}-time{i}"
            table, finding = timeline.table(line), timeline.finding(line)
            title = f"{line.case} over time on {machine.name}"
            drawn = picture(anchor, title, finding, table, timeline.plot(line))
            parts.append(Part(line.case, anchor, machine.name, drawn, table))
    return tuple(parts)


def whole_parts(report: Report) -> tuple[Part, ...]:
    """The whole system, case by case, on the machine that says most."""
    parts = []
    for i, one in enumerate(whole.wholes(report)):
        table, finding, anchor = whole.table(one), whole.finding(one), f"whole-{i}"
        plots = [whole.plot(one, small) for small in (False, True)]
        drawn = picture(anchor, table.title, finding, table, *plots)
        parts.append(Part(one.case, anchor, one.what, drawn, table))
    return tuple(parts)
