# SPDX-License-Identifier: MIT
"""The report as data: everything that its outputs (HTML, Markdown, JSON, terminal) draw from."""

from __future__ import annotations

from dataclasses import dataclass

from reports.claims import Claims, case_of
from reports.judge import Verdicts, headline, judge_run, troubles
from reports.measure import noise_floor, status_of, summarise
from reports.store import REJECTED, Machine, Row, Run
from reports.tables import cases_of
from reports.text import number, several

EXIT_TARGET_MISSING = 30
EXIT_HARNESS = 40

CAVEATS = {
    "insn": (
        "This clock counts instructions. It knows no caches, no branch prediction and one CPU only;"
        " rep counts once an element; locked operations, divisions and port I/O count 1; disk"
        " completions arrive in host time and are not deterministic. It gates changes; it supports"
        " a claim about speed but never confirms one."
    ),
    "emulated": (
        "These times come from plain emulation: translated code, on CPUs that are threads of this"
        " computer. They are shown for information and judged never; counters are exact here too."
    ),
    "foreign": (
        "Another harness measured this and it was brought in: in nanoseconds, in no round beside"
        " anything of this run, with no proof of the clock. It is shown beside ours, judged never."
    ),
    "core": "Cycles here are unhalted core cycles from a performance counter.",
    "tsc": "Ticks here are those of the time stamp counter, a reference clock and not core cycles.",
}

Noise = dict[tuple[str, str], tuple[float, float] | None]


@dataclass(frozen=True)
class Report:
    """A run, judged. `noise` holds the noise floor by machine and case."""

    run: Run
    claims: Claims
    verdicts: Verdicts
    headline: str
    troubles: tuple[str, ...]
    noise: Noise

    @property
    def intact(self) -> tuple[Machine, ...]:
        return tuple(machine for machine in self.run.machines if machine.intact)


def make_report(claims: Claims, run: Run) -> Report:
    """Judges a run."""
    verdicts = judge_run(claims, run)
    noise = {
        (machine.name, case): noise_floor(machine, case, "median", verdicts.alpha)
        for machine in run.machines
        for case in cases_of(machine)
    }
    return Report(
        run,
        claims,
        verdicts,
        headline(claims, verdicts, run),
        tuple(troubles(run) + row_troubles(run)),
        noise,
    )


def row_troubles(run: Run) -> list[str]:
    """Rows that give no number, a line for each machine."""
    lines = []
    for machine in run.machines:
        bad = [(row, status_of(row)) for row in machine.rows.values()]
        named = [
            f"{row.id}{' (A/A)' if row.aa else ''}: {status}{_reason(machine, row)}"
            for row, status in bad
            if status != "ok"
        ]
        if named:
            more = f" and {len(named) - 4} more" if len(named) > 4 else ""
            what = several(len(named), "row")
            text = f"{machine.name}: {what} without a number: {'; '.join(named[:4])}{more}"
            if machine.outcome == REJECTED:
                text += ". Only claims about such rows have no data"
            lines.append(text)
    return lines


def _reason(machine: Machine, row: Row) -> str:
    reason = machine.rejection(row.id, row.aa)
    return f" ({reason})" if reason else ""


def exit_code(run: Run) -> int:
    """0 when every planned run is complete and undamaged, whatever the verdicts."""
    code = 0
    for machine in run.machines:
        if not machine.intact or any(status_of(row) != "ok" for row in machine.rows.values()):
            code = max(code, EXIT_HARNESS)
        elif machine.outcome == "target could not start":
            code = max(code, EXIT_TARGET_MISSING)
        elif not machine.complete:
            code = max(code, EXIT_HARNESS)
    return code


def case_finding(machine: Machine, rows: list[Row]) -> str:
    """What a case shows, in one or two sentences: the text alternative of its figure."""
    medians = []
    for row in rows:
        summary = summarise(row) if status_of(row) == "ok" else None
        if summary is not None and summary.p50 is not None:
            medians.append((row.id.rpartition("/")[2], row, summary.p50))
    if not medians:
        return "No row of this case has a number."
    unit = medians[0][1].unit
    listed = ", ".join(f"{name} {number(p50)}" for name, _, p50 in medians)
    text = f"Median {unit} for one operation on {machine.name}: {listed}."
    if machine.clock == "emulated":
        return f"{text} Emulated: shown, not judged."
    baseline = [(name, p50) for name, row, p50 in medians if row.role == "baseline"]
    products = [(name, p50) for name, row, p50 in medians if row.role == "product"]
    if not products:
        return text
    ours, p50 = min(products, key=lambda entry: entry[1])
    several_products = len(products) > 1
    if baseline:
        name = f"The best product, {ours}," if several_products else ours
        text += " " + _against(name, p50, *baseline[0])
    peers = [(name, p50) for name, row, p50 in medians if row.role == "peer"]
    if peers:
        best, best_p50 = min(peers, key=lambda entry: entry[1])
        name = f"the best product, {ours}," if several_products else ours
        text += " The best peer: " + _against(name, p50, best, best_p50)
    return text


def _against(name: str, p50: float, base_name: str, base: float) -> str:
    if base == p50:
        return f"{name} takes as many as {base_name}."
    if base > p50:
        return f"{name} takes {number(base / p50)} times fewer than {base_name}."
    return f"{name} takes {number(p50 / base)} times as many as {base_name}."


def what_of(rows: list[Row]) -> str:
    """What a case measures, from its own description."""
    return next((row.what for row in rows if row.what), "")


def aa_of(report: Report, machine: Machine, row: str) -> tuple[float, float] | None:
    """The noise floor that a row lives with."""
    return report.noise.get((machine.name, case_of(row)))
