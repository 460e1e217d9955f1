# SPDX-License-Identifier: MIT
"""index.html: one file that needs nothing else, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.document import CAVEATS, Report, case_finding, what_of
from reports.ecdf import ecdf_figure
from reports.figure import PAGE, to_svg
from reports.gain import (
    gain_figure,
    gain_finding,
    gain_lines,
    limit_figure,
    limit_finding,
    limit_lines,
)
from reports.judge import VERDICTS, counts
from reports.store import Machine
from reports.tables import (
    Table,
    cases_of,
    claims_table,
    counters_table,
    facts_table,
    rows_of,
    rows_table,
    verdict_table,
)
from reports.text import percent_level, several, utc

TEMPLATE = "index.html.j2"


@dataclass(frozen=True)
class Picture:
    """A figure, drawn for a wide page and, if `narrow` is there, for a narrow one as well."""

    wide: Markup
    narrow: Markup | None
    finding: str


@dataclass(frozen=True)
class Case:
    name: str
    anchor: str
    what: str
    picture: Picture | None
    table: Table


@dataclass(frozen=True)
class Section:
    """A machine of the run as the page shows it."""

    machine: Machine
    anchor: str
    started: str
    caveat: str
    cases: tuple[Case, ...]
    counters: Table
    facts: Table


def to_html(report: Report, step: Callable[[str], None] = lambda _: None) -> str:
    """The page. `step` hears what is drawn next."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    designs = [
        (
            design,
            claims_table(report.claims, report.verdicts, report.run, design, with_data=True),
            claims_table(report.claims, report.verdicts, report.run, design, with_data=False),
        )
        for design in report.claims.designs
    ]
    step("claims")
    return environment.get_template(TEMPLATE).render(
        report=report,
        verdicts=VERDICTS,
        counts=counts(report.claims, report.verdicts, house=False),
        house=counts(report.claims, report.verdicts, house=True),
        overview=verdict_table(report.claims, report.verdicts),
        gain=_gain(report),
        limits=_limits(report),
        designs=[entry for entry in designs if entry[1].rows or entry[2].rows],
        sections=[_section(report, machine, step) for machine in report.intact],
        level=percent_level(1 - report.verdicts.alpha),
        slug=slug,
        several=several,
    )


def slug(text: str) -> str:
    """Text as the name of a class, an anchor or an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _gain(report: Report) -> Picture | None:
    lines = gain_lines(report)
    finding = gain_finding(lines)
    title = "Gain against claim"
    wide, narrow = (gain_figure(report, PAGE, small) for small in (False, True))
    if wide is None or narrow is None:
        return None
    return Picture(
        Markup(to_svg(wide, "gain", title, finding)),
        Markup(to_svg(narrow, "gain-narrow", title, finding)),
        finding,
    )


def _limits(report: Report) -> Picture | None:
    finding = limit_finding(limit_lines(report))
    title = "Measured against bounds"
    wide, narrow = (limit_figure(report, PAGE, small) for small in (False, True))
    if wide is None or narrow is None:
        return None
    return Picture(
        Markup(to_svg(wide, "limits", title, finding)),
        Markup(to_svg(narrow, "limits-narrow", title, finding)),
        finding,
    )


def _section(report: Report, machine: Machine, step: Callable[[str], None]) -> Section:
    number = [m.name for m in report.run.machines].index(machine.name)
    anchor = f"m{number}-{slug(machine.name)}"
    cases = []
    for i, case in enumerate(cases_of(machine)):
        step(f"{machine.name} {case}")
        cases.append(_case(report, machine, case, f"{anchor}-{i}"))
    return Section(
        machine,
        anchor,
        utc(machine.utc),
        CAVEATS.get(machine.clock, "The clock of this machine is unknown."),
        tuple(cases),
        counters_table(machine),
        facts_table(machine),
    )


def _case(report: Report, machine: Machine, case: str, anchor: str) -> Case:
    rows = rows_of(machine, case)
    finding = case_finding(machine, rows)
    figure = ecdf_figure(rows, PAGE)
    picture = None
    if figure is not None:
        svg = to_svg(figure, anchor, f"Distribution of {case} on {machine.name}", finding)
        picture = Picture(Markup(svg), None, finding)
    table = rows_table(machine, case, report.noise.get((machine.name, case)))
    return Case(case, anchor, what_of(rows), picture, table)
