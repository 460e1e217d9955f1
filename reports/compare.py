# SPDX-License-Identifier: MIT
"""Two runs against each other, row by row, and claim by claim.

Rows that are not about the same are not compared but named. Exact rows are equal or not. Sampled
rows are paired where that is possible: rounds of different runs are no pairs, but a row and its
baseline are, within each run; where the baseline's code is the same in both, what changed is the
ratio to it, and what both runs share falls out. Otherwise the bootstrap compares the rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

from reports.claims import Claims, case_of
from reports.document import exit_code, make_report
from reports.gate import SHARE_LEAST, TICKS_LEAST, standing
from reports.history import asked
from reports.judge import CONFIDENCE, best
from reports.ledger import is_environment
from reports.measure import (
    Series,
    Unusable,
    log_gains,
    noise_interval,
    series,
    status_of,
    undisturbed,
)
from reports.resample import Ratio, ratio_of_medians
from reports.store import Machine, Row, Run
from reports.text import clean

SAME, MORE, LESS, NOT_SHOWN, SHOWN_ONLY = "same", "more", "less", "not shown", "not judged here"
EXIT_NOT_SHOWN, EXIT_WORSE, EXIT_MISSING = 10, 20, 30
GOOD = ("met", "exceeded")


@dataclass(frozen=True)
class Compared:
    """A row of both runs: costs of one operation. `ratio` is b / a; exact rows have none."""

    machine: str
    clock: str
    id: str
    unit: str
    operations: int
    a: float
    b: float
    said: str
    same_code: bool
    ratio: Ratio | None = None
    paired: str = ""  # against which baseline

    @property
    def exact(self) -> bool:
        return self.clock == "insn"

    @property
    def difference(self) -> float:
        return self.b - self.a


@dataclass(frozen=True)
class Refused:
    """A row that is not compared, and why."""

    machine: str
    id: str
    why: str


@dataclass(frozen=True)
class Turned:
    """A claim that reads otherwise now."""

    id: str
    before: str
    now: str

    @property
    def lost(self) -> bool:
        return self.now == "not met"

    @property
    def doubtful(self) -> bool:
        return self.before in GOOD and self.now not in GOOD and not self.lost


@dataclass(frozen=True)
class Comparison:
    a: Run
    b: Run
    rows: tuple[Compared, ...]
    refused: tuple[Refused, ...]
    missing: tuple[str, ...]  # machines that only one run has
    claims: tuple[Turned, ...]
    environment: tuple[tuple[str, str, str, str], ...]  # machine, fact, a, b
    broken: int  # the worse exit code of the two runs by themselves

    def changed(self, machine: str = "") -> tuple[Compared, ...]:
        return tuple(
            row for row in self.rows if row.said in (MORE, LESS) and machine in ("", row.machine)
        )

    @property
    def status(self) -> int:
        """As the interfaces say: 0, 10, 20, 30, 40."""
        worse = any(row.said == MORE for row in self.rows) or any(c.lost for c in self.claims)
        doubtful = any(c.doubtful for c in self.claims)
        code = EXIT_WORSE if worse else EXIT_NOT_SHOWN if doubtful else 0
        return max(code, EXIT_MISSING if self.missing else 0, self.broken)


def compare(claims: Claims, a: Run, b: Run) -> Comparison:
    """b against a."""
    before = {machine.name: machine for machine in a.machines}
    now = {machine.name: machine for machine in b.machines}
    both = [name for name in sorted(before) if name in now]
    rows: list[Compared] = []
    refused: list[Refused] = []
    environment: list[tuple[str, str, str, str]] = []
    for name in both:
        old, new = before[name], now[name]
        if not old.intact or not new.intact:
            continue  # its run's own exit code says so
        environment += [(name, *change) for change in _environment(old, new)]
        found, unlike = _machine(old, new)
        rows += found
        refused += unlike
    return Comparison(
        a,
        b,
        tuple(rows),
        tuple(refused),
        tuple(sorted(set(before) ^ set(now))),
        _claims(claims, a, b),
        tuple(environment),
        max(exit_code(a), exit_code(b)),
    )


def _environment(a: Machine, b: Machine) -> list[tuple[str, str, str]]:
    before, now = dict(a.facts), dict(b.facts)
    keys = sorted(key for key in set(before) | set(now) if is_environment(key))
    pairs = [(key, before.get(key, "-"), now.get(key, "-")) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _claims(claims: Claims, a: Run, b: Run) -> tuple[Turned, ...]:
    before, now = (make_report(claims, run).verdicts for run in (a, b))
    pairs = ((c.id, best(before.of(c.id)), best(now.of(c.id))) for c in claims.claims)
    # A claim of rows that one of the runs did not measure has not turned.
    return tuple(Turned(*p) for p in pairs if p[1] != p[2] and "no data" not in p[1:])


def _machine(a: Machine, b: Machine) -> tuple[list[Compared], list[Refused]]:
    ids = sorted({row for row, aa in (*a.rows, *b.rows) if aa == 0})
    rows: list[Compared] = []
    refused = []
    for name in ids:
        old, new = a.rows.get((name, 0)), b.rows.get((name, 0))
        why = unlike(old, new)
        if old is None or new is None or why:
            refused.append(Refused(b.name, name, why))
            continue
        try:
            rows.append(_row(a, b, old, new))
        except Unusable as problem:
            refused.append(Refused(b.name, name, clean(str(problem))))
    return _screened(rows, _floors(a, b, rows)), refused


def _floors(a: Machine, b: Machine, rows: list[Compared]) -> dict[str, float]:
    """The noise of each case, as a logarithm either way: the wider of what its baseline differed
    from itself by in the two runs."""
    found: dict[str, float] = {}
    for case in {case_of(row.id) for row in rows if row.ratio is not None}:
        ends = [noise_interval(machine, case, "median", 1 - CONFIDENCE) for machine in (a, b)]
        told = [max(abs(end.low), abs(end.high)) for end in ends if end is not None]
        found[case] = max(told, default=0.0)
    return found


def unlike(a: Row | None, b: Row | None) -> str:
    """Why two rows cannot be compared; nothing if they can."""
    if a is None or b is None:
        return "only in " + ("b" if a is None else "a")
    if a.clock != b.clock:
        return f"another clock: {a.clock}, {b.clock}"
    if a.unit != b.unit:
        return f"another unit: {a.unit}, {b.unit}"
    if asked(a.definition) != asked(b.definition):
        return f"another question: definition {asked(a.definition)}, {asked(b.definition)}"
    for name, row in (("a", a), ("b", b)):
        if status_of(row) != "ok":
            return f"in {name}: {status_of(row)}"
    return ""


def _row(a: Machine, b: Machine, old: Row, new: Row) -> Compared:
    before, now = _values(old), _values(new)
    middle_a, middle_b = _middle(before), _middle(now)
    same_code = old.definition == new.definition
    given = (b.name, b.clock, new.id, new.unit, new.operations, middle_a, middle_b)
    if new.clock == "insn":
        said = SAME if middle_a == middle_b else MORE if middle_b > middle_a else LESS
        return Compared(*given, said, same_code)
    logs = [{key: _log(value, new.id) for key, value in one.items()} for one in (before, now)]
    paired = _reference(a, b, old, new)
    if paired is not None:
        baseline, gains = paired
        # A gain is ln(baseline) - ln(row): it falls where the row's cost rises.
        costs = [{key: -value for key, value in one.items()} for one in gains]
        return Compared(*given, "", same_code, ratio_of_medians(*costs), baseline)
    return Compared(*given, "", same_code, ratio_of_medians(*logs))


def _log(value: float, row: str) -> float:
    if value <= 0:
        raise Unusable(f"{row}: below resolution")
    return log(value)


def _values(row: Row) -> Series:
    (found,) = series((undisturbed(row),), "median")
    if not found:
        raise Unusable(f"{row.id}: no samples")
    return found


def _middle(values: Series) -> float:
    ordered = sorted(values.values())
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _reference(a: Machine, b: Machine, old: Row, new: Row) -> tuple[str, list[Series]] | None:
    """The case's baseline, if its code is the same in both runs, and the gains over it."""
    for row, aa in b.rows:
        there, here = a.rows.get((row, 0)), b.rows[row, aa]
        fits = aa == 0 and here.role == "baseline" and case_of(row) == case_of(new.id)
        if not fits or there is None or row == new.id or there.role != "baseline":
            continue
        if there.definition != here.definition or unlike(there, here):
            continue
        try:
            return row, [
                log_gains(*series((base, mine), "median"))
                for base, mine in ((there, old), (here, new))
            ]
        except Unusable:
            continue
    return None


def _screened(rows: list[Compared], floors: dict[str, float]) -> list[Compared]:
    """What is said of sampled rows, all of a machine together."""
    sampled = [i for i, row in enumerate(rows) if row.ratio is not None]
    stands = standing([r.chance for i in sampled if (r := rows[i].ratio) is not None])
    said = {
        i: _said(rows[i], good, floors[case_of(rows[i].id)]) for i, good in zip(sampled, stands)
    }
    return [replace(row, said=said.get(i, row.said)) for i, row in enumerate(rows)]


def _said(row: Compared, stands: bool, floor: float) -> str:
    ratio = row.ratio
    assert ratio is not None
    if row.clock not in ("tsc", "core"):
        return SHOWN_ONLY
    by_ratio = abs(ratio.value - 1) * row.a * row.operations
    if not stands or ratio.low <= 1 <= ratio.high or abs(log(ratio.value)) <= floor:
        return NOT_SHOWN
    if abs(ratio.value - 1) <= SHARE_LEAST or by_ratio <= TICKS_LEAST:
        return SAME  # shown, and too small to matter
    return MORE if ratio.value > 1 else LESS
