# SPDX-License-Identifier: MIT
"""Pure exports of a run for other people's tools: times and values.

Times judged never (emulated) are in CSV and in OpenMetrics only, where the clock stands beside
them. What a format cannot hold is left out, and `left_out` says how much.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reports.document import Report
from reports.judge import VERDICTS, best
from reports.measure import (
    Unusable,
    status_of,
    summarise,
    undisturbed,
)
from reports.store import Machine, Row

# What one unit is in nanoseconds where that is fixed: QEMU's icount lets its clock go on by 1 ns an
# instruction, and a foreign program's times came as such.
_NANOSECONDS = {"instructions": 1.0, "nanoseconds": 1.0}
LABELS = {
    "instructions": "instructions: 1 ns of the machine's clock each",
    "ticks": "ticks of the time stamp counter, as ns",
    "nanoseconds": "foreign: measured by another harness",
}
UNIT_WORDS = {
    "instructions": "instructions",
    "ticks": "ticks",
    "core cycles": "core_cycles",
    "emulated ticks": "emulated_ticks",
    "nanoseconds": "nanoseconds",
}


@dataclass(frozen=True)
class Export:
    """A file's text, and what is to be said about it, if anything."""

    text: str
    said: str = ""


def usable_rows(report: Report) -> Iterator[tuple[Machine, Row]]:
    """Rows with a number, the baselines' twins left out."""
    for machine in report.intact:
        for (_, aa), row in sorted(machine.rows.items()):
            if aa == 0 and status_of(row) == "ok":
                yield machine, row


def scale_of(machine: Machine, row: Row) -> float | None:
    """Nanoseconds in one unit of a row; None if its unit is no time, or an emulated one."""
    if row.unit == "ticks" and machine.clock == "tsc" and machine.hz > 0:
        return 1e9 / machine.hz
    return _NANOSECONDS.get(row.unit)


def _rounds(row: Row) -> list[tuple[int, float]]:
    """Of each round its operations in all windows, and the median cost of one."""
    import numpy

    try:
        kept = undisturbed(row)
    except Unusable:
        return []
    return [
        (r.operations * len(r.samples), float(numpy.median(r.costs)))
        for r in kept.rounds
        if len(r.samples)
    ]


def _left_out(count: int, why: str) -> str:
    return f"{count} rows left out: {why}" if count else ""


# ---- Google Benchmark ---------------------------------------------------------------------------


def google_benchmark(report: Report) -> Export:
    """As `--benchmark_format=json` writes it, a repetition for each round. Times only: time_unit is
    ns, which compare.py reads, and never the name of a count."""
    benchmarks: list[dict[str, Any]] = []
    family = omitted = 0
    for machine, row in usable_rows(report):
        scale = scale_of(machine, row)
        rounds = [(n, c) for n, c in _rounds(row) if c > 0]
        if scale is None or not rounds:
            omitted += 1
            continue
        name = f"{machine.name}/{row.id}"
        for index, (operations, cost) in enumerate(rounds):
            benchmarks.append(
                {
                    "name": name,
                    "family_index": family,
                    "per_family_instance_index": 0,
                    "run_name": name,
                    "run_type": "iteration",
                    "repetitions": len(rounds),
                    "repetition_index": index,
                    "threads": 1,
                    "iterations": operations,
                    "real_time": cost * scale,
                    "cpu_time": cost * scale,
                    "time_unit": "ns",
                    "label": LABELS[row.unit],
                }
            )
        family += 1
    first = report.run.machines[0]
    context = {
        "date": first.utc.replace("Z", "+00:00"),
        "host_name": dict(first.facts).get("host.cpu", "unknown"),
        "executable": f"tickmark run {report.run.id}",
        "num_cpus": 1,
        "mhz_per_cpu": max((m.hz for m in report.intact if m.clock == "tsc"), default=0) // 10**6,
        "cpu_scaling_enabled": False,
        "caches": [],
        "load_avg": [],
        "library_build_type": "release",
        "tickmark_commit": first.commit,
    }
    text = json.dumps({"context": context, "benchmarks": benchmarks}, indent=1, allow_nan=False)
    return Export(text + "\n", _left_out(omitted, "their unit is no time, or an emulated one"))


# ---- Go -----------------------------------------------------------------------------------------


def benchfmt(report: Report) -> Export:
    """Go's benchmark format, a line for each round, in the rows' own units; benchstat reads it."""
    lines = ["pkg: tickmark", f"tickmark-run: {report.run.id}"]
    units = sorted({_go_unit(row) for m, row in usable_rows(report) if m.clock != "emulated"})
    for unit in units:
        exact = " assume=exact" if unit == "instructions/op" else ""
        lines.append(f"Unit {unit} better=lower{exact}")
    last, omitted = "", 0
    for machine, row in usable_rows(report):
        if machine.clock == "emulated":
            omitted += 1
            continue
        if machine.name != last:
            last = machine.name
            lines += ["", f"machine: {machine.name}", f"clock: {machine.clock}"]
            lines += [f"commit: {machine.commit}"]
        for operations, cost in _rounds(row):
            # The number behind the last hyphen would be taken for a count of CPUs: it is one.
            lines.append(f"Benchmark{_go_name(row.id)}-1 {operations} {cost:.12g} {_go_unit(row)}")
    return Export("\n".join(lines) + "\n", _left_out(omitted, "emulated times are no result"))


def _go_unit(row: Row) -> str:
    return UNIT_WORDS.get(row.unit, "units").replace("_", "-") + "/op"


def _go_name(row: str) -> str:
    """No white space, and no lower-case letter right behind `Benchmark`."""
    name = re.sub(r"[\s\x00-\x1f]+", "_", row)
    return f"{name[:1].upper()}{name[1:]}" if name[:1].upper() != name[:1] else f"/{name}"


# ---- OpenMetrics --------------------------------------------------------------------------------


def openmetrics(report: Report) -> Export:
    """A page of OpenMetrics text. No time stamps: what scrapes a file knows when it did."""
    found: dict[str, list[str]] = {}
    for machine, row in usable_rows(report):
        summary = summarise(row)
        if summary is None or summary.p50 is None:
            continue
        word = UNIT_WORDS.get(row.unit, "units")
        labels = {"machine": machine.name, "clock": machine.clock, "row": row.id}
        found.setdefault(word, []).append(_sample(f"tickmark_cost_{word}", labels, summary.p50))
    lines = []
    for word, samples in sorted(found.items()):
        lines += [
            f"# TYPE tickmark_cost_{word} gauge",
            f"# UNIT tickmark_cost_{word} {word}",
            f"# HELP tickmark_cost_{word} Median cost of one operation.",
            *samples,
        ]
    lines += [
        "# TYPE tickmark_claim stateset",
        "# HELP tickmark_claim What a claim reads, on the machine that decides.",
    ]
    for claim in report.claims.claims:
        read = best(report.verdicts.of(claim.id))
        for verdict in VERDICTS:
            labels = {"claim": claim.id, "tickmark_claim": verdict}
            lines.append(_sample("tickmark_claim", labels, float(verdict == read)))
    lines += ["# TYPE tickmark_run info", "# HELP tickmark_run Which run this is."]
    for machine in report.run.machines:
        labels = {"run": machine.run, "machine": machine.name, "clock": machine.clock}
        labels |= {"commit": machine.commit, "outcome": machine.outcome}
        lines.append(_sample("tickmark_run_info", labels, 1.0))
    return Export("\n".join([*lines, "# EOF"]) + "\n")


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    listed = ",".join(f'{key}="{_label(text)}"' for key, text in labels.items())
    return f"{name}{{{listed}}} {value:.12g}"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# ---- CSV ----------------------------------------------------------------------------------------

_COLUMNS = (
    *("run", "machine", "target", "clock", "commit", "utc", "id", "role", "unit", "definition"),
    *("status", "operations", "n", "boots", "rounds", "min", "p50", "p90", "p99", "max", "mean"),
    "cold",
)


def to_csv(report: Report) -> Export:
    """Every row, as RFC 4180 has it. A text that a spreadsheet would take for a formula gets an
    apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for machine in report.intact:
        for (_, aa), row in sorted(machine.rows.items()):
            if aa:
                continue
            status = status_of(row)
            summary = summarise(row) if status == "ok" else None
            texts = (
                *(machine.run, machine.name, machine.target, machine.clock, machine.commit),
                *(machine.utc, row.id, row.role, row.unit, row.definition, status),
            )
            numbers: tuple[Any, ...] = ("",) * 10
            if summary is not None:
                numbers = (summary.n, summary.boots, summary.rounds, summary.low, summary.p50)
                numbers += (summary.p90, summary.p99, summary.high, summary.mean, summary.cold)
            writer.writerow([*map(_literal, texts), row.operations, *map(_number, numbers)])
    return Export(out.getvalue())


def _literal(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
