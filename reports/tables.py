# SPDX-License-Identifier: MIT
"""Tables of a report, made once as data; every output draws the same ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.claims import Claim, Claims, case_of, claimed, rival_claimed, variant_of
from reports.judge import VERDICTS, Judgement, Verdicts, counts
from reports.measure import (
    Summary,
    disturbances_of,
    status_of,
    summarise,
    summarise_clean,
    supports,
)
from reports.points import plain, summaries
from reports.store import Machine, Row, Run
from reports.text import BELOW, DASH, interval, number, quantity, several

ROLE_ORDER = ("product", "baseline", "floor", "peer")


@dataclass(frozen=True)
class Cell:
    """Text, and what kind of text it is: a verdict, a number, muted, or plain. On a page it may
    lead somewhere, and have a name that others lead to."""

    text: str
    kind: str = ""
    more: str = ""
    href: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Table:
    """`numeric` columns are set flush right; `minor` ones may go where there is no room; with the
    rows that are `firsts` something else begins."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()
    minor: frozenset[int] = frozenset()
    note: str = ""
    firsts: frozenset[int] = frozenset()

    def only(self, *columns: str) -> Table:
        """The same with these columns, in this order."""
        chosen = [self.columns.index(column) for column in columns]
        return replace(
            self,
            columns=columns,
            rows=tuple(tuple(row[i] for i in chosen) for row in self.rows),
            numeric=frozenset(n for n, i in enumerate(chosen) if i in self.numeric),
            minor=frozenset(n for n, i in enumerate(chosen) if i in self.minor),
        )


def cases_of(machine: Machine) -> list[str]:
    """All cases of a machine, sorted."""
    return sorted({case_of(row) for row, _ in machine.rows})


def rows_of(machine: Machine, case: str) -> list[Row]:
    """The rows of a case without the twin: products first, then baseline, floor, peers."""
    rows = [row for (name, aa), row in machine.rows.items() if aa == 0 and case_of(name) == case]

    def order(row: Row) -> tuple[int, str]:
        role = ROLE_ORDER.index(row.role) if row.role in ROLE_ORDER else len(ROLE_ORDER)
        return role, row.id

    return sorted(rows, key=order)


def verdict_table(claims: Claims, verdicts: Verdicts) -> Table:
    """How many claims of each design read what."""
    rows = []
    for design, title in claims.designs.items():
        part = Claims(tuple(c for c in claims.claims if c.design == design), {}, {})
        read = counts(part, verdicts, house=design == "house")
        cells = [Cell(str(read[v]) if read[v] else DASH, "number") for v in VERDICTS]
        rows.append((Cell(design), Cell(title), *cells))
    columns = ("design", "what", *VERDICTS)
    return Table("Verdicts by design", columns, tuple(rows), frozenset(range(2, 8)))


def claims_table(
    claims: Claims, verdicts: Verdicts, run: Run, design: str, with_data: bool | None = None
) -> Table:
    """The claims of one design: a line each, a pair of columns for each machine.

    `with_data`: only those that some machine has data for, or only the others.
    """
    chosen = []
    for claim in (c for c in claims.claims if c.design == design):
        has_data = any(j.verdict != "no data" for j in verdicts.of(claim.id))
        if with_data is None or has_data == with_data:
            chosen.append(claim)
    return judged_table(chosen, verdicts, run, claims.designs[design])


def judged_table(chosen: list[Claim], verdicts: Verdicts, run: Run, title: str) -> Table:
    """Some claims, in their order: a line each, a pair of columns for each machine."""
    machines = [machine for machine in run.machines if machine.intact and not machine.foreign]
    rows = []
    for claim in chosen:
        judged = verdicts.of(claim.id)
        cells = [
            Cell(claim.id, "name", _what(claim)),
            Cell(claimed(claim), "", _over_rival(judged)),
        ]
        for machine in machines:
            found = next((j for j in judged if j.machine == machine.name), None)
            cells += judgement_cells(found)
        rows.append(tuple(cells))
    columns = ["claim", "claimed"]
    for machine in machines:
        columns += [machine.title, "verdict"]
    return Table(title, tuple(columns), tuple(rows))


def _what(claim: Claim) -> str:
    return f"{claim.what} ({claim.note})" if claim.note else claim.what


def judgement_cells(judgement: Judgement | None) -> list[Cell]:
    """What was measured and the verdict, two cells."""
    if judgement is None:
        return [Cell(DASH), Cell("no data", "verdict")]
    shown = quantity(judgement.value, judgement.unit) if judgement.value is not None else DASH
    ends = interval(judgement.low, judgement.high)
    return [
        Cell(f"{shown} {ends}".strip(), "number", judgement.how),
        Cell(judgement.verdict, "verdict", judgement.note),
    ]


def _over_rival(judged: tuple[Judgement, ...]) -> str:
    lines = []
    for judgement in judged:
        ratio = judgement.over_rival
        if ratio is not None and judgement.verdict != "not judged here":
            ends = f"{number(ratio[0])}–{number(ratio[1])}×"
            lines.append(f"ours / rival {ends} on {judgement.machine}")
    rival = rival_claimed(judged[0].claim) if judged else ""
    return "; ".join([f"rival claims {rival}", *lines]) if rival else ""


_ROW_COLUMNS = (
    "row",
    "p50",
    "min",
    "p90",
    "p99",
    "p99.9",
    "max",
    "clean max",
    "mean",
    "cold",
    "n",
    "disturbed",
)


def slow_anchor(machine: Machine, row: str) -> str:
    """What the page calls a row's slowest windows."""
    return f"slow-{machine.name}-{row.replace('/', '-')}"


def slow_href(machine: Machine, row: str) -> str:
    return f"#{slow_anchor(machine, row)}" if row in machine.outliers else ""


def rows_table(machine: Machine, case: str, aa: tuple[float, float] | None) -> Table:
    """The rows of one case on one machine, for one operation."""
    rows = rows_of(machine, case)
    summaries = [summarise(row) for row in rows]
    lines = tuple(
        _row_cells(row, summary, slow_href(machine, row.id))
        for row, summary in zip(rows, summaries)
    )
    levels = dict.fromkeys(_levels(summary) for summary in summaries if summary is not None)
    units = sorted({row.unit for row in rows})
    title = f"{case}, {' and '.join(units)} for one operation"
    numeric = frozenset(range(1, len(_ROW_COLUMNS)))
    statuses = {status_of(row) for row in rows}
    if statuses != {"ok"}:
        noise = "Not all rows have a number"
    elif machine.clock == "insn" and machine.boots > 1:
        noise = "Exact: every round of every boot gave the same counts"
    elif machine.clock == "insn":
        noise = "Exact: every round gave the same counts; one boot, compared with no other"
    elif aa is None:
        noise = "Noise floor unknown: the baseline did not run against itself"
    else:
        noise = f"Noise floor, the baseline against itself: {noise_text(aa)}"
    note = f"{noise}. {', '.join(levels)}".rstrip(" ")
    table = Table(title, _ROW_COLUMNS, lines, numeric, frozenset([3, 5, 7, 8]), note)
    return _with_processor(_with_clean(table, rows), machine, rows)


def _row_cells(row: Row, summary: Summary | None, href: str = "") -> tuple[Cell, ...]:
    name = Cell(variant_of(row.id), "name", row.role, href)
    status = status_of(row)
    if summary is None or status != "ok":
        blank = [Cell(DASH, "number") for _ in _ROW_COLUMNS[2:]]
        return (name, Cell(status, "trouble"), *blank)
    disturbed = summary.disturbed["in all"]
    kinds = [f"{count} {kind}" for kind, count in summary.disturbed.items() if kind != "in all"]
    causes = ", ".join(kind for kind in kinds if not kind.startswith("0 "))
    return (
        name,
        resolved(summary.p50),
        resolved(summary.low),
        percentile(row, summary, summary.p90, 0.9),
        percentile(row, summary, summary.p99, 0.99),
        percentile(row, summary, summary.p999, 0.999),
        resolved(summary.high),
        resolved(summary.high_clean) if summary.n > disturbed else Cell(DASH, "number"),
        resolved(summary.mean),
        resolved(summary.cold),
        Cell(number(summary.n), "number"),
        Cell(number(disturbed), "number", causes),
    )


def _levels(summary: Summary) -> str:
    if summary.rounds % summary.boots:
        return f"{several(summary.boots, 'boot')}, {several(summary.rounds, 'round')}"
    each = several(summary.rounds // summary.boots, "round")
    return f"{several(summary.boots, 'boot')} × {each}"


def noise_text(aa: tuple[float, float]) -> str:
    """The noise floor as percent of the baseline: how far the baseline is from itself."""
    low, high = (100 * (end - 1) for end in aa)
    if low == high == 0:
        return "none that the clock's step shows"
    return f"{low:+.2f} to {high:+.2f}\u00a0%".replace("-", "−")


def percentile(row: Row, summary: Summary, value: float | None, share: float) -> Cell:
    """A percentile, or a dash where the samples do not tell it."""
    known = supports(row, summary.n, share, summary.low == summary.high)
    return resolved(value) if known else Cell(DASH, "number")


def resolved(value: float | None) -> Cell:
    """A cost, or that it is below resolution."""
    return Cell(BELOW, "below") if value is None else Cell(number(value), "number")


def counters_table(machine: Machine) -> Table:
    """The exact counters of a machine, of a curve its ends only; those of its processor stand
    beside the rows' costs."""
    rows = []
    for row_id, counters in sorted(machine.counters.items()):
        for counter in plain(counters):
            fraction = f"{number(counter.numerator)} / {number(counter.denominator)}"
            rows.append(
                (
                    Cell(row_id, "name"),
                    Cell(counter.name),
                    Cell(quantity(counter.value, counter.unit), "number"),
                    Cell(fraction, "number"),
                )
            )
        for name, ends, span in summaries(counters):
            rows.append(
                (Cell(row_id, "name"), Cell(name), Cell(ends, "number"), Cell(span, "number"))
            )
    return Table(
        f"Counters of {machine.name}",
        ("row", "counter", "value", "exactly"),
        tuple(rows),
        frozenset([2, 3]),
        note=_processor_note(machine),
        firsts=case_firsts([row[0].text for row in rows]),
    )


def case_firsts(ids: list[str]) -> frozenset[int]:
    """Where in a list of row ids another case begins than that of the row before."""
    cases = [case_of(row) for row in ids]
    return frozenset(i for i in range(1, len(cases)) if cases[i] != cases[i - 1])


def facts_table(machine: Machine) -> Table:
    """What the run carries: where its numbers come from."""
    given = (
        ("run", machine.run),
        ("target", machine.target),
        ("clock", machine.clock),
        ("ticks a second", number(machine.hz) if machine.hz else "unknown"),
        ("started", machine.utc),
        ("commit", machine.commit + (" with local changes" if machine.dirty else "")),
        ("size", machine.size),
        ("boots", several(machine.boots, "boot")),
        ("outcome", machine.outcome),
        ("samples disturbed", disturbed_text(machine)),
        ("digest", machine.digest),
    )
    rows = tuple((Cell(key, "name"), Cell(value)) for key, value in (*given, *machine.facts))
    return Table(f"What {machine.name} is", ("fact", "value"), rows)


def disturbed_text(machine: Machine) -> str:
    """How many samples of all rows were disturbed, and by what: 3 of 9 000: 2 steal, 1 SMI."""
    found = disturbances_of(machine)
    named = [(count, cause) for cause, count in found.items() if cause not in ("samples", "in all")]
    listed = ", ".join(f"{number(count)} {cause}" for count, cause in named if count)
    share = f"{number(found['in all'])} of {number(found['samples'])}"
    return f"{share}: {listed}" if listed else share


def _with_column(table: Table, before: int, column: str, cells: list[Cell], minor: bool) -> Table:
    """The table with one more numeric column."""

    def moved(places: frozenset[int]) -> frozenset[int]:
        return frozenset(i + (i >= before) for i in places)

    rows = [(*row[:before], cell, *row[before:]) for row, cell in zip(table.rows, cells)]
    return replace(
        table,
        columns=(*table.columns[:before], column, *table.columns[before:]),
        rows=tuple(rows),
        numeric=moved(table.numeric) | {before},
        minor=moved(table.minor) | ({before} if minor else set()),
    )


def _with_clean(table: Table, rows: list[Row]) -> Table:
    """With the median of the undisturbed samples, beside that of all."""
    cells = []
    for row in rows:
        clean = summarise_clean(row) if status_of(row) == "ok" else None
        if clean is None or clean.n == 0:
            cells.append(Cell(DASH, "number"))
        else:
            cells.append(_cost(clean.p50))
    return _with_column(table, table.columns.index("p50") + 1, "p50 clean", cells, minor=False)


def _with_processor(table: Table, machine: Machine, rows: list[Row]) -> Table:
    """With what the processor counted for one operation, where it counted for any row."""
    for name, column in (("core_cycles", "core cycles"), ("instructions", "instructions")):
        found = [machine.counters.get(row.id, {}).get(name) for row in rows]
        values = [counter.value if counter and counter.measured else None for counter in found]
        if any(value is not None for value in values):
            cells = [Cell(number(value), "number") for value in values]
            table = _with_column(table, len(table.columns), column, cells, minor=False)
    return table


def _processor_note(machine: Machine) -> str:
    """Why there are no core cycles beside the rows; nothing where there are."""
    if any("core_cycles" in counters for counters in machine.counters.values()):
        return ""
    known = dict(machine.facts).get("guest.pmu", "unknown")
    return f"No performance counters on this machine: {known}."


def _cost(value: float | None) -> Cell:
    return Cell(BELOW, "below") if value is None else Cell(number(value), "number")
