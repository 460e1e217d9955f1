# SPDX-License-Identifier: MIT
"""One claim across clock classes in one row, and all claims at a glance: what was measured where,
and what may confirm what."""

from __future__ import annotations

from reports.document import Report
from reports.judge import VERDICTS, Judgement, best
from reports.plot import INCH, Plot
from reports.figure import VERDICT_COLOURS
from reports.store import Machine
from reports.tables import Cell, Table
from reports.text import DASH, interval, quantity, several

# In the order in which they may confirm a claim about speed; instructions only support it, and
# emulated times do neither.
CLOCKS = {
    "core": "core cycles",
    "tsc": "ticks",
    "insn": "instructions",
    "emulated": "emulated",
}
CONFIRMS = ("met", "exceeded", "not met")
RULE = (
    "Ticks and core cycles confirm a claim about speed or refute it; instructions support it or"
    " speak against it, and confirm never; emulated times are shown only. Counters and bounds on"
    " counts are exact on every clock."
)


def across_table(report: Report) -> Table:
    """A row for each claim that has data, a column for each clock class that the run has."""
    clocks = [c for c in CLOCKS if any(m.clock == c for m in _judging(report))]
    lines = []
    for claim in report.claims.claims:
        judged = [j for j in report.verdicts.of(claim.id) if j.value is not None]
        if not judged:
            continue
        cells = [_cell([j for j in judged if j.clock == clock]) for clock in clocks]
        verdict = best(report.verdicts.of(claim.id))
        lines.append(
            (
                Cell(claim.id, "name", claim.what),
                *cells,
                Cell(verdict, "verdict"),
                Cell(decided_by(judged)),
            )
        )
    names = [CLOCKS[clock] for clock in clocks]
    columns = ("claim", *names, "verdict", "decided by")
    return Table("One claim on every clock", columns, tuple(lines), note=RULE)


def _judging(report: Report) -> list[Machine]:
    return [machine for machine in report.intact if not machine.foreign]


def _cell(judged: list[Judgement]) -> Cell:
    if not judged:
        return Cell(DASH, "number")
    shown = [f"{quantity(j.value, j.unit)} {interval(j.low, j.high)}".strip() for j in judged]
    where = ", ".join(j.machine for j in judged)
    return Cell("; ".join(shown), "number", where)


def decided_by(judged: list[Judgement]) -> str:
    """Which machines decide, and whether instructions point the same way."""
    deciding = [j for j in judged if j.verdict in CONFIRMS]
    text = ", ".join(j.machine for j in deciding)
    counted = next((j for j in judged if j.clock == "insn" and j.verdict not in CONFIRMS), None)
    if counted is None or counted.claim.kind != "ratio":
        return text or "nothing"
    inside = (counted.value or 0) >= counted.claim.low
    if not deciding:
        return f"nothing; instructions {'support it' if inside else 'speak against it'}"
    met = any(j.verdict in ("met", "exceeded") for j in deciding)
    return f"{text}; instructions {'agree' if inside == met else 'point the other way'}"


# ---- all claims at a glance ---------------------------------------------------------------------

_NAME, _LINE, _HEAD = 176.0, 14.0, 30.0  # points
_CELL, _CELL_NARROW = 66.0, 32.0


def heat_plot(report: Report, signs: dict[str, str], narrow: bool = False) -> Plot | None:
    """A cell for each claim on each machine, by design: the verdict's colour and its sign; where
    there is room, its word."""
    machines = _judging(report)
    claims = [c for c in report.claims.claims if _has_data(report, c.id)]
    if not machines or not claims:
        return None
    designs = list(dict.fromkeys(claim.design for claim in claims))
    height = _HEAD + _LINE * (len(claims) + len(designs)) + 4
    cell = _CELL_NARROW if narrow else _CELL
    plot = Plot((_NAME + cell * len(machines) + 4) / INCH, height / INCH)
    for column, machine in enumerate(machines):
        x = _NAME + cell * (column + 0.5)
        target, _, name = machine.name.partition("-")
        fits = int(cell / 5)
        plot.text(x, 9, target[:fits], anchor="middle", colour="ink")
        plot.text(x, 20, name[:fits], anchor="middle")
    y = _HEAD
    for design in designs:
        plot.text(0, y + _LINE / 2, report.claims.designs[design][:52], 8.5, colour="muted")
        y += _LINE
        for claim in (c for c in claims if c.design == design):
            plot.text(_NAME - 6, y + _LINE / 2, claim.id, 8.5, "end", "ink")
            for column, machine in enumerate(machines):
                found = next(
                    (j for j in report.verdicts.of(claim.id) if j.machine == machine.name), None
                )
                verdict = found.verdict if found else "no data"
                word = "" if narrow else _SHORT[verdict]
                _heat(plot, _NAME + cell * column, y, verdict, f"{signs[verdict]} {word}".strip())
            y += _LINE
    return plot


def _heat(plot: Plot, x: float, y: float, verdict: str, words: str) -> None:
    if verdict != "no data":
        plot.box(x + 1, y + 1, 12, _LINE - 2, VERDICT_COLOURS[verdict])
    plot.text(x + 17, y + _LINE / 2, words, colour="muted" if verdict == "no data" else "ink")


_SHORT = {
    "met": "met",
    "exceeded": "exceeds",
    "not met": "not met",
    "not shown": "unclear",
    "not judged here": "not judged",
    "no data": "",
}


def _has_data(report: Report, claim: str) -> bool:
    return any(j.verdict != "no data" for j in report.verdicts.of(claim))


def heat_finding(report: Report) -> str:
    """What the map shows, in words."""
    parts = []
    for machine in _judging(report):
        read = [j.verdict for j in report.verdicts.judgements if j.machine == machine.name]
        told = [f"{read.count(v)} {v}" for v in VERDICTS[:5] if read.count(v)]
        parts.append(f"{machine.name}: {', '.join(told) if told else 'no claim has data'}")
    silent = sum(not _has_data(report, claim.id) for claim in report.claims.claims)
    return "; ".join(parts) + f". {several(silent, 'claim')} without data are not drawn."
