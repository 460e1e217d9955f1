# SPDX-License-Identifier: MIT
"""index.html: one file that needs nothing else, in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2

from reports.document import Report
from reports.history_page import NightsView
from reports.judge import VERDICTS, counts
from reports.page_parts import (
    gain_picture,
    heat_picture,
    limits_picture,
    nights_part,
    noise_part,
    section,
    slug,
    tails_part,
    time_parts,
    trace_part,
    whole_parts,
)
from reports.synthesis import caveat, paragraphs
from reports.tables import cases_of, claims_table, verdict_table
from reports.tails import RULE
from reports.text import percent_level, several
from reports.trace_view import View

TEMPLATE = "index.html.j2"
CASES_MANY = 30  # of one machine: about ten screens are still scrolled through

# Beside its colour and its word each verdict has a sign of its own.
SIGNS = {
    "met": "✓",
    "exceeded": "▲",
    "not met": "✗",
    "not shown": "≈",
    "not judged here": "○",
    "no data": "–",
}


def to_html(
    report: Report,
    step: Callable[[str], None] = lambda _: None,
    views: tuple[View, ...] = (),
    nights: NightsView | None = None,
) -> str:
    """The page. `step` hears what is drawn next; `views` are of the run's traces, `nights` of the
    nights before it, if there are any."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    step("claims")
    designs = [
        (
            design,
            claims_table(report.claims, report.verdicts, report.run, design, with_data=True),
            claims_table(report.claims, report.verdicts, report.run, design, with_data=False),
        )
        for design in report.claims.designs
    ]
    gain, limits = gain_picture(report), limits_picture(report)
    sections, all_tails, noises = [], [], []
    for machine in report.intact:
        sections.append(section(report, machine, step))
        step(f"{machine.name} tails")
        all_tails.append(tails_part(report, machine))
        noises.append(noise_part(report, machine))
    step("trace")
    return environment.get_template(TEMPLATE).render(
        report=report,
        verdicts=VERDICTS,
        signs=SIGNS,
        counts=counts(report.claims, report.verdicts, house=False),
        house=counts(report.claims, report.verdicts, house=True),
        overview=verdict_table(report.claims, report.verdicts),
        gain=gain,
        limits=limits,
        designs=[entry for entry in designs if entry[1].rows or entry[2].rows],
        sections=sections,
        many=lambda machine: len(cases_of(machine)) > CASES_MANY,
        tails=all_tails,
        tail_rule=RULE,
        noises=noises,
        trace=trace_part(views),
        nights=nights_part(nights),
        heat=heat_picture(report, SIGNS),
        whole=whole_parts(report),
        synthesis=[one for one in paragraphs(report) if "/" not in one.suite],
        caveat=caveat(report),
        times=time_parts(report),
        level=percent_level(1 - report.verdicts.alpha),
        slug=slug,
        several=several,
    )
