# SPDX-License-Identifier: MIT
"""What a run says about each mechanism, in sentences made of its numbers: what won, where it loses,
by how much, on what clock."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from reports.claims import variant_of
from reports.document import Report
from reports.measure import status_of, summarise
from reports.store import Machine, Row
from reports.tables import cases_of, rows_of
from reports.text import number, several, unit_name
from reports.whole import CLOCKS, SUITE, finding, wholes

LISTED_MOST = 3
# Two medians that differ by less are called equal: below what a reader could act on.
EQUAL = 0.02


@dataclass(frozen=True)
class Meeting:
    """The best product of a case against one rival; ratio: rival / ours."""

    case: str
    ours: str
    rival: str
    ratio: float


@dataclass(frozen=True)
class Paragraph:
    """A suite on the machine that says most about it."""

    suite: str
    machine: str
    text: str


def paragraphs(report: Report) -> list[Paragraph]:
    """The whole system's, then one for each suite that has a product with a number."""
    found = [Paragraph(one.case, one.machine.name, finding(one)) for one in wholes(report)]
    suites = {case.partition("/")[0] for m in report.intact for case in cases_of(m)}
    for suite in sorted(suites - {SUITE}):
        for machine in sorted(_told(report), key=lambda m: CLOCKS.index(m.clock)):
            text = _paragraph(machine, suite)
            if text:
                found.append(Paragraph(suite, machine.name, text))
                break
    return found


def caveat(report: Report) -> str:
    """What holds for all paragraphs of instruction counts, if there are any."""
    told = {one.machine for one in paragraphs(report)}
    if not any(m.clock == "insn" for m in report.intact if m.name in told):
        return ""
    return "Instruction counts support a claim about speed and confirm none."


def _told(report: Report) -> list[Machine]:
    return [m for m in report.intact if m.clock in CLOCKS and not m.foreign]


def _medians(machine: Machine, case: str) -> list[tuple[Row, float]]:
    found = []
    for row in rows_of(machine, case):
        summary = summarise(row) if status_of(row) == "ok" else None
        if summary is not None and summary.p50 is not None:
            found.append((row, summary.p50))
    return found


def meetings(machine: Machine, suite: str, role: str) -> list[Meeting]:
    """Of each case of a suite: its best product against its best row of a role."""
    found = []
    for case in cases_of(machine):
        if case.partition("/")[0] != suite:
            continue
        rows = _medians(machine, case)
        ours = [(p50, row.id) for row, p50 in rows if row.role == "product"]
        rivals = [(p50, row.id) for row, p50 in rows if row.role == role]
        if ours and rivals:
            (mine, name), (other, rival) = min(ours), min(rivals)
            found.append(Meeting(case, variant_of(name), variant_of(rival), other / mine))
    return found


def _paragraph(machine: Machine, suite: str) -> str:
    against = {role: meetings(machine, suite, role) for role in ("baseline", "peer", "floor")}
    if not any(against.values()):
        return ""
    parts = [_verdict(against["baseline"], "its baseline")]
    parts += [_losses(against["baseline"]), _verdict(against["peer"], "the best peer")]
    parts += [_losses(against["peer"]), _floor(against["floor"])]
    unit = next(row.unit for (row_id, _), row in machine.rows.items() if row_id.startswith(suite))
    text = " ".join(part[0].upper() + part[1:] for part in parts if part)
    text = text[0].lower() + text[1:]
    return f"On {machine.name}, in {unit_name(unit, 2)}: {text}"


def _verdict(met: list[Meeting], whom: str) -> str:
    if not met:
        return ""
    won = sorted((m for m in met if m.ratio > 1 + EQUAL), key=lambda m: -m.ratio)
    equal = sum(1 - EQUAL <= m.ratio <= 1 + EQUAL for m in met)
    text = f"the best product beats {whom} in {len(won)} of {several(len(met), 'case')}"
    if equal:
        text += f" and equals it in {equal}"
    if won:
        text += f", by a median of {number(median(m.ratio for m in won))}×: most in {_one(won[0])}"
        if len(won) > 1:
            text += f", least in {_one(won[-1])}"
    return text + "."


def _one(meeting: Meeting) -> str:
    case = meeting.case.partition("/")[2]
    return f"{case} ({meeting.ours} {number(meeting.ratio)}× over {meeting.rival})"


def _losses(met: list[Meeting]) -> str:
    lost = sorted((m for m in met if m.ratio < 1 - EQUAL), key=lambda m: m.ratio)
    if not lost:
        return ""
    listed = [
        f"{m.case.partition('/')[2]} ({m.ours} takes {number(1 / m.ratio)}× what {m.rival} does)"
        for m in lost[:LISTED_MOST]
    ]
    more = f" and {len(lost) - LISTED_MOST} more" if len(lost) > LISTED_MOST else ""
    return f"It loses in {', '.join(listed)}{more}."


def _floor(met: list[Meeting]) -> str:
    if not met:
        return ""
    over = sorted(met, key=lambda m: m.ratio)
    middle = median(1 / m.ratio for m in met)
    return f"Of the least code that does the job it takes {number(middle)}× (median of cases)" + (
        f", at the worst {number(1 / over[0].ratio)}× in {over[0].case.partition('/')[2]}."
    )
