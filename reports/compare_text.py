# SPDX-License-Identifier: MIT
"""A comparison as tables, and these on a terminal, in Markdown and in JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from rich.text import Text

from reports.compare import LESS, MORE, NOT_SHOWN, SAME, SHOWN_ONLY, Compared, Comparison
from reports.export import escape, markdown_table
from reports.functions import FILE_NAME, hint, read
from reports.tables import Cell, Table
from reports.terminal import console_for, print_table
from reports.text import clean, exactly, number, several

SCHEMA = 1
WHERE = (
    "Where: functions that the row's body reaches and whose code differs between the two programs."
    " A hint from the code, not a count of what ran."
)
Hints = Mapping[tuple[str, str], tuple[str, ...]]  # by machine and row


def hints_of(comparison: Comparison, runs: Path) -> tuple[Hints, tuple[str, ...]]:
    """Of exact rows that changed, where that may come from; and what was not kept for that."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    absent: list[str] = []
    for machine in dict.fromkeys(row.machine for row in comparison.changed() if row.exact):
        tables = []
        for run in (comparison.a, comparison.b):
            # Both names come from the store, which may have been tampered with.
            place = runs / run.id / machine / FILE_NAME
            inside = {"/", "\0", ".."}.isdisjoint({run.id, machine}) and "/" not in run.id + machine
            table = read(place) if inside else None
            if table is None:
                absent.append(f"no functions are kept with {run.id}, {machine}: no hint at where")
            tables.append(table)
        if tables[0] is None or tables[1] is None:
            continue
        for row in comparison.changed(machine):
            found[machine, row.id] = hint(tables[0], tables[1], row.id)
    return found, tuple(absent)


def headline(comparison: Comparison) -> str:
    """What there is to say in one line."""
    more = sum(row.said == MORE for row in comparison.rows)
    less = sum(row.said == LESS for row in comparison.rows)
    quiet = len(comparison.rows) - more - less
    parts = [f"{more} up", f"{less} down", f"{quiet} neither"]
    lost = sum(claim.lost for claim in comparison.claims)
    if lost:
        parts.append(f"{several(lost, 'claim')} newly not met")
    if comparison.refused:
        parts.append(f"{several(len(comparison.refused), 'row')} not comparable")
    return f"{several(len(comparison.rows), 'row')} compared: {', '.join(parts)}"


def exact_table(comparison: Comparison, hints: Hints) -> Table:
    """Every exact row that changed."""
    lines = []
    for row in (row for row in comparison.changed() if row.exact):
        code = "same code" if row.same_code else "other code"
        lines.append(
            (
                Cell(row.id, "name", row.machine),
                Cell(exactly(row.a), "number"),
                Cell(exactly(row.b), "number"),
                Cell(f"{row.difference:+.10g}", "number"),
                Cell(f"{100 * row.difference / row.a:+.3g} %" if row.a else "", "number"),
                Cell("; ".join(hints.get((row.machine, row.id), ())) or code),
            )
        )
    columns = ("row", "a", "b", "difference", "share", "where (hint)")
    note = WHERE if hints else ""
    title = "Instructions that changed, for one operation"
    return Table(title, columns, tuple(lines), frozenset(range(1, 5)), note=note)


def sampled_table(comparison: Comparison) -> Table:
    """Every sampled row, those that changed first."""
    order = (MORE, LESS, SAME, NOT_SHOWN, SHOWN_ONLY)
    rows = [row for row in comparison.rows if row.ratio is not None]
    lines = [_sampled(row) for row in sorted(rows, key=lambda r: (order.index(r.said), r.id))]
    columns = ("row", "a", "b", "b / a", "interval", "", "how")
    note = (
        "Two runs share neither rounds nor boots: what differs between starts of a program is in"
        " these ratios, and only what differs within a run is in their intervals."
    )
    title = "Sampled rows, for one operation"
    return Table(title, columns, tuple(lines), frozenset([1, 2, 3, 4]), note=note)


def _sampled(row: Compared) -> tuple[Cell, ...]:
    assert row.ratio is not None
    a, b = number(row.a), number(row.b)
    how = f"over {row.paired}" if row.paired else row.ratio.how
    return (
        Cell(row.id, "name", row.machine),
        Cell(f"{a} {row.unit}", "number"),
        Cell(f"{b} {row.unit}", "number"),
        Cell(f"{row.ratio.value:.4g}", "number"),
        Cell(f"[{row.ratio.low:.4g}, {row.ratio.high:.4g}]", "number"),
        Cell(row.said),
        Cell(how),
    )


def refused_table(comparison: Comparison) -> Table:
    lines = tuple(
        (Cell(row.id, "name", row.machine), Cell(row.machine), Cell(row.why))
        for row in comparison.refused
    )
    return Table("Rows that cannot be compared", ("row", "machine", "why"), lines)


def other_tables(comparison: Comparison) -> list[Table]:
    """Claims that read otherwise, and what else differs."""
    claims = tuple(
        (Cell(c.id, "name"), Cell(c.before, "verdict"), Cell(c.now, "verdict"))
        for c in comparison.claims
    )
    facts = tuple(
        (Cell(fact, "name"), Cell(machine), Cell(clean(a, 100)), Cell(clean(b, 100)))
        for machine, fact, a, b in comparison.environment
    )
    return [
        Table("Claims that read otherwise", ("claim", "a", "b"), claims),
        Table("Where they ran differs", ("fact", "machine", "a", "b"), facts),
    ]


def all_tables(comparison: Comparison, hints: Hints) -> list[Table]:
    """Those that have something in them, what matters most last, where a terminal ends."""
    tables = [refused_table(comparison), *other_tables(comparison)[::-1]]
    tables += [sampled_table(comparison), exact_table(comparison, hints)]
    return [table for table in tables if table.rows]


def names(comparison: Comparison) -> list[str]:
    return [
        f"{letter}: {run.id}, {', '.join(machine.name for machine in run.machines)}"
        for letter, run in (("a", comparison.a), ("b", comparison.b))
    ]


def troubles(comparison: Comparison) -> list[str]:
    """What stands in the way of a whole answer."""
    lines = [f"{machine} is in one of the runs only" for machine in comparison.missing]
    for letter, run in (("a", comparison.a), ("b", comparison.b)):
        for machine in run.machines:
            if not machine.intact:
                lines.append(f"{letter}: {machine.name} is damaged in the store: left out")
            elif not machine.complete:
                lines.append(
                    f"{letter}: {machine.name}: {machine.outcome} {machine.detail}".strip()
                )
    return lines


def print_comparison(
    comparison: Comparison, hints: Hints, absent: tuple[str, ...], stream: TextIO | None = None
) -> None:
    console = console_for(stream or sys.stdout)
    for table in all_tables(comparison, hints):
        print_table(console, table)
    console.print()
    for line in (*names(comparison), *absent):
        console.print(Text(line, style="dim"), soft_wrap=True)
    for line in troubles(comparison):
        console.print(Text(f"! {line}", style="red"), soft_wrap=True)
    console.print(Text(headline(comparison), style="bold"), soft_wrap=True)


def to_markdown(comparison: Comparison, hints: Hints, absent: tuple[str, ...]) -> str:
    lines = [f"**{escape(headline(comparison))}**", ""]
    lines += [f"- {escape(line)}" for line in names(comparison)] + [""]
    lines += [f"> {escape(line)}  " for line in (*troubles(comparison), *absent)]
    for table in reversed(all_tables(comparison, hints)):
        lines += ["", f"### {escape(table.title)}", "", *markdown_table(table)]
    return "\n".join(lines) + "\n"


def to_json(comparison: Comparison, hints: Hints) -> str:
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "a": comparison.a.id,
        "b": comparison.b.id,
        "status": comparison.status,
        "headline": headline(comparison),
        "missing": list(comparison.missing),
        "rows": [
            {
                "machine": row.machine,
                "id": row.id,
                "unit": row.unit,
                "clock": row.clock,
                "a": row.a,
                "b": row.b,
                "difference": row.difference,
                "said": row.said,
                "same_code": row.same_code,
                "ratio": row.ratio.value if row.ratio else None,
                "low": row.ratio.low if row.ratio else None,
                "high": row.ratio.high if row.ratio else None,
                "paired": row.paired or None,
                "hint": list(hints.get((row.machine, row.id), ())),
            }
            for row in comparison.rows
        ],
        "refused": [
            {"machine": row.machine, "id": row.id, "why": row.why} for row in comparison.refused
        ],
        "claims": [{"id": c.id, "a": c.before, "b": c.now} for c in comparison.claims],
        "environment": [
            {"machine": m, "fact": fact, "a": a, "b": b} for m, fact, a, b in comparison.environment
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
