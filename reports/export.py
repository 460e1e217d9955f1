# SPDX-License-Identifier: MIT
"""report.json (schema 1) and summary.md: pure exports of a report."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from reports.curves import curve_finding, curve_table, curves_of
from reports.document import CAVEATS, Report, aa_of
from reports.history_page import NightsView, gate_finding, moved_table, night_finding
from reports.judge import Judgement
from reports.measure import Summary, disturbances_of, status_of, summarise, summarise_clean
from reports.modes import modes_of
from reports.peers import absent_line
from reports.points import points_of, split
from reports.store import TAGS, Machine, Outlier, Row
from reports.synthesis import caveat, paragraphs
from reports.tables import (
    Cell,
    Table,
    cases_of,
    claims_table,
    counters_table,
    rows_table,
    verdict_table,
)
from reports.tails import clock_step
from reports.text import utc
from reports.trace_outliers import outlier_link
from reports.trace_summary import FILE

SCHEMA = 1


def to_json(report: Report) -> str:
    """The whole report for programs. Keys keep their order: the same store, the same bytes."""
    document = {
        "schema": SCHEMA,
        "headline": report.headline,
        "troubles": list(report.troubles),
        "confidence": {
            "level": 1 - report.verdicts.alpha,
            "family": report.verdicts.family,
        },
        "runs": [_run(machine) for machine in report.run.machines],
        "rows": [
            _row(report, machine, row)
            for machine in report.intact
            for (_, aa), row in sorted(machine.rows.items())
            if aa == 0
        ],
        "claims": [_claim(judgement) for judgement in report.verdicts.judgements],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _run(machine: Machine) -> dict[str, Any]:
    return {
        "id": machine.run,
        "target": machine.target,
        "machine": machine.name,
        "clock": machine.clock,
        "commit": machine.commit,
        "outcome": machine.outcome,
        "dirty": machine.dirty,
        "detail": machine.detail,
        "hz": machine.hz or None,
        "utc": machine.utc,
        "size": machine.size,
        "boots": machine.boots,
        "digest": machine.digest,
        "intact": machine.intact,
        "facts": dict(machine.facts),
        "disturbed": disturbances_of(machine) if machine.intact else None,
    }


def _row(report: Report, machine: Machine, row: Row) -> dict[str, Any]:
    status = status_of(row)
    summary = summarise(row) if status == "ok" else None
    aa = aa_of(report, machine, row.id)
    return {
        "run": machine.run,
        "machine": machine.name,
        "id": row.id,
        "unit": row.unit,
        **_numbers(summary),
        "aa_low": _finite(aa[0]) if aa else None,
        "aa_high": _finite(aa[1]) if aa else None,
        "modes": modes_of(row, clock_step(machine)) if summary is not None else None,
        "status": status,
        "role": row.role,
        "what": row.what,
        "definition": row.definition,
        "operations": row.operations,
        **_clean(row if status == "ok" else None),
        **{name: _measured(machine, row, name) for name in ("core_cycles", "instructions")},
        "counters": {
            name: {"value": _finite(counter.value), "unit": counter.unit}
            for name, counter in machine.counters.get(row.id, {}).items()
            if split(name) is None
        },
        "outliers": [_outlier(machine, outlier) for outlier in machine.outliers.get(row.id, ())],
        "curves": {
            name: {"unit": unit, "points": [[x, _finite(value)] for x, value in points]}
            for (name, unit), points in points_of(machine.counters.get(row.id, {})).items()
        },
    }


def _outlier(machine: Machine, outlier: Outlier) -> dict[str, Any]:
    return {
        "name": outlier.name,
        "window": outlier.window,
        "windows": outlier.windows,
        "operations": outlier.operations,
        "sample": outlier.sample,
        "least": outlier.least,
        "overlapped": [name for bit, name in TAGS.items() if outlier.tags & bit],
        "begin_ns": outlier.begin,
        "end_ns": outlier.end,
        "link": outlier_link(machine.run, machine.name, FILE, outlier),
    }


def _numbers(summary: Summary | None) -> dict[str, Any]:
    fields = ("n", "boots", "rounds", "min", "p50", "p90", "p99", "max", "mean", "cold")
    if summary is None:
        return dict.fromkeys((*fields, "p999", "max_clean", "disturbed"), None)
    return {
        "n": summary.n,
        "boots": summary.boots,
        "rounds": summary.rounds,
        "min": summary.low,
        "p50": summary.p50,
        "p90": summary.p90,
        "p99": summary.p99,
        "max": summary.high,
        "mean": summary.mean,
        "cold": summary.cold,
        "p999": summary.p999,
        "max_clean": summary.high_clean,
        "disturbed": summary.disturbed,
        "below_resolution": summary.below,
    }


def _clean(row: Row | None) -> dict[str, Any]:
    clean = summarise_clean(row) if row is not None else None
    return {
        "n_clean": clean.n if clean else None,
        "p50_clean": clean.p50 if clean else None,
        "p90_clean": clean.p90 if clean else None,
        "p99_clean": clean.p99 if clean else None,
    }


def _measured(machine: Machine, row: Row, name: str) -> float | None:
    counter = machine.counters.get(row.id, {}).get(name)
    return _finite(counter.value) if counter is not None and counter.measured else None


def _claim(judgement: Judgement) -> dict[str, Any]:
    claim = judgement.claim
    ratio = judgement.over_rival
    return {
        "id": claim.id,
        "design": claim.design,
        "target": judgement.target,
        "machine": judgement.machine,
        "clock": judgement.clock,
        "row": judgement.row,
        "baseline": judgement.baseline or None,
        "statistic": claim.statistic,
        "gain" if claim.kind == "ratio" else "value": _finite(judgement.value),
        "low": _finite(judgement.low),
        "high": _finite(judgement.high),
        "verdict": judgement.verdict,
        "note": "; ".join(filter(None, (judgement.note, claim.note))),
        "kind": claim.kind,
        "what": claim.what,
        "unit": judgement.unit or claim.unit,
        "claimed": [claim.low, claim.high],
        "rival": list(claim.rival) if claim.rival else None,
        "over_rival": [_finite(ratio[0]), _finite(ratio[1])] if ratio else None,
        "level": _finite(judgement.level),
        "how": judgement.how,
        "aa_low": _finite(judgement.aa[0]) if judgement.aa else None,
        "aa_high": _finite(judgement.aa[1]) if judgement.aa else None,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def to_markdown(report: Report, nights: NightsView | None = None) -> str:
    """The report for a pull request or a mail: verdict first."""
    lines = [escape(report.headline), ""]
    lines += [f"> {escape(trouble)}  " for trouble in report.troubles] + [""]
    if nights is not None:
        lines += ["## Since the last night", "", escape(night_finding(nights)), ""]
        lines += [escape(gate_finding(nights)), ""]
        moved = moved_table(nights)
        lines += [*markdown_table(moved), ""] if moved.rows else []
    lines += [f"Run {escape(report.run.id)}.", ""]
    for machine in report.run.machines:
        dirty = " with local changes" if machine.dirty else ""
        lines.append(
            f"- **{escape(machine.name)}**: clock {escape(machine.clock)}, {machine.boots} boots,"
            f" {escape(machine.outcome)}, {escape(utc(machine.utc))},"
            f" commit {escape(machine.commit[:12])}{dirty}"
        )
    told = paragraphs(report)
    lines += ["", "## In words", "", caveat(report), ""] if told else []
    lines += [f"- **{escape(one.suite)}**: {escape(one.text)}" for one in told]
    lines += ["", "![Gain against claim](gain.png)", "", "## Verdicts", ""]
    lines += markdown_table(verdict_table(report.claims, report.verdicts))
    for design in report.claims.designs:
        table = claims_table(report.claims, report.verdicts, report.run, design)
        if table.rows:
            lines += ["", f"### {escape(table.title)}", "", *markdown_table(table)]
    for machine in report.intact:
        lines += ["", f"## Rows of {escape(machine.title)}", "", CAVEATS.get(machine.clock, "")]
        if absent := absent_line(machine):
            lines += ["", escape(absent)]
        for case in cases_of(machine):
            table = rows_table(machine, case, report.noise.get((machine.name, case)))
            lines += ["", f"**{escape(table.title)}**", "", *markdown_table(table)]
            for curve in curves_of(machine, case):
                table = curve_table(machine, case, curve)
                finding = curve_finding(machine, curve)
                lines += [
                    "",
                    f"**{escape(table.title)}**",
                    "",
                    escape(finding),
                    "",
                    *markdown_table(table),
                ]
        counters = counters_table(machine)
        if counters.rows:
            lines += ["", f"**{escape(counters.title)}**", "", *markdown_table(counters)]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown, and HTML within it, take literally."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text)


def markdown_table(table: Table) -> list[str]:
    body = ["| " + " | ".join(map(_cell, row)) + " |" for row in table.rows]
    head = "| " + " | ".join(escape(column) for column in table.columns) + " |"
    rule = "".join("|--:" if i in table.numeric else "|:--" for i in range(len(table.columns)))
    return [head, rule + "|", *body, *([""] + [escape(table.note)] if table.note else [])]


def _cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.kind == "verdict" else escape(cell.text)
    if cell.more and cell.kind in ("verdict", "name", ""):
        text += f"<br>{escape(cell.more)}"
    return text
