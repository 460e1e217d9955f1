# SPDX-License-Identifier: MIT
"""What a run has to say about a claim, before anything is judged.

Collected for all claims first, because the confidence of each interval depends on how many there
are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from statistics import median

from reports.claims import Claim, Claims, case_of, variant_of
from reports.measure import (
    Unusable,
    above_resolution,
    log_gains,
    replicates,
    series,
    status_of,
    undisturbed,
    usable,
    worst_clean,
)
from reports.peers import INSTALL, absent_peers
from reports.store import Machine, Row, Run
from reports.text import apart, number

# How far a floor may drift up against the best peer before goals against it mean nothing.
FLOOR_DRIFT = 1.15


# Bytes of such a run may be wrong although they were stored right.
NOT_TRUSTED = ("stream damaged",)


@dataclass(frozen=True)
class Part:
    """The evidence of one row for one claim on one machine.

    `values` are what an interval is made of: logarithms of gains where there is a baseline, else
    numbers in the claim's unit. Empty if there is a `problem`. `exact` values need no interval.
    """

    row: str
    baseline: str = ""
    clock: str = ""
    unit: str = ""
    values: tuple[float, ...] = ()
    exact: bool = False
    how: str = ""
    note: str = ""
    problem: str = ""
    elsewhere: str = ""
    resolution: float = 0.0  # what one step of the clock is for one operation, in the claim's unit

    @property
    def sampled(self) -> bool:
        """Does it take an interval that may miss?"""
        return bool(self.values) and not self.exact and not self.elsewhere


def gather(claims: Claims, claim: Claim, run: Run, machine: Machine) -> tuple[Part, ...]:
    """The evidence for one claim on one machine, a part for each of its rows."""
    return tuple(_part(claims, claim, run, machine, row) for row in claim.rows)


def family(parts: list[tuple[Part, ...]]) -> int:
    """How many intervals are judged together: the number that Bonferroni divides by."""
    counted = sum(p.sampled for group in parts for p in group if not any(q.problem for q in group))
    return max(counted, 1)


def _part(claims: Claims, claim: Claim, run: Run, machine: Machine, row_id: str) -> Part:
    part = Part(row_id)
    try:
        if machine.outcome in NOT_TRUSTED:
            raise Unusable(f"nothing is judged by a run that ended as: {machine.outcome}")
        if claim.counter:
            part = _from_counters(claim, machine, row_id)
        else:
            part = _from_samples(claim, machine, row_id)
        _of_two_cores(machine, part.row, part.baseline)
        elsewhere = _elsewhere(claim, machine, part)
        note = "" if elsewhere else _floor_note(claims, claim, run, machine, part)
        return replace(part, elsewhere=elsewhere, note="; ".join(filter(None, (part.note, note))))
    except Unusable as problem:
        return Part(row_id, problem=_with_reason(str(problem), machine))


def _with_reason(problem: str, machine: Machine) -> str:
    """The problem; of a row that the recorder rejected, also what was wrong with it."""
    row, _, status = problem.partition(": ")
    reason = machine.rejection(row) if status else ""
    return f"{problem} ({reason})" if reason else problem


def _of_two_cores(machine: Machine, *row_ids: str) -> None:
    """Raises Unusable if a row for two CPUs was measured on one core, in any boot."""
    for row_id in filter(None, row_ids):
        one_core = machine.counters.get(row_id, {}).get("one_core")
        if one_core is not None and one_core.value > 0:
            raise Unusable(
                f"{row_id} is of two CPUs, and both CPUs were one core, or near enough to be"
            )


def _elsewhere(claim: Claim, machine: Machine, part: Part) -> str:
    """Why this machine cannot judge the claim; nothing if it can."""
    if machine.target not in claim.targets:
        return f"judged on {', '.join(claim.targets)} only"
    if claim.counter:
        return ""
    if part.clock == "insn" or machine.clock == "insn":
        return "instruction counts support a claim about speed but never confirm one"
    if part.clock == "emulated" or machine.clock == "emulated":
        return "emulated times are judged never"
    if part.clock not in ("tsc", "core") or machine.clock not in ("tsc", "core"):
        return "the clock is unknown"
    if claim.unit in ("ticks", "ns") and part.clock != "tsc":
        return f"claimed in {claim.unit}, measured in core cycles"
    if claim.unit == "ns" and machine.hz == 0:
        return "the frequency of the clock is unknown"
    return ""


def _counter_value(claim: Claim, machine: Machine, row_id: str, unit: str) -> float:
    usable(machine.rows.get((row_id, 0)), row_id)
    counter = machine.counters.get(row_id, {}).get(claim.counter)
    if counter is None:
        raise Unusable(f"{row_id} has no counter {claim.counter}")
    if counter.measured:
        raise Unusable(f"counter {claim.counter} is measured: it has no interval to judge by")
    if unit and counter.unit != unit:
        raise Unusable(f"counter {claim.counter} is in {counter.unit}, the claim in {unit}")
    return counter.value


def _from_counters(claim: Claim, machine: Machine, row_id: str) -> Part:
    if not claim.baselines:
        value = _counter_value(claim, machine, row_id, claim.unit)
        return Part(row_id, values=(value,), exact=True, how="exact counter")
    baseline_id = _full_name(claim.baselines[0], row_id)
    ours = _counter_value(claim, machine, row_id, "")
    theirs = _counter_value(claim, machine, baseline_id, "")
    gain = log_gains({(0, 0): theirs}, {(0, 0): ours})[0, 0]
    return Part(row_id, baseline_id, values=(gain,), exact=True, how="exact counters")


def _from_samples(claim: Claim, machine: Machine, row_id: str) -> Part:
    row = undisturbed(usable(machine.rows.get((row_id, 0)), row_id))
    part = Part(row_id, clock=row.clock, unit=row.unit)
    if claim.statistic == "worst":
        value = worst_clean(row) * _scale(claim, machine, row)
        return replace(part, values=(value,), exact=True, how="worst clean sample, no interval")
    if not claim.baselines:
        (found,) = series((row,), claim.statistic)
        scale = _scale(claim, machine, row)
        raw = {key: above_resolution(value) * scale for key, value in found.items()}
        # What a step of the clock is of a whole window is far below one part of the whole.
        step = 0.0 if claim.whole > 0 else _step(machine, row)
        part = replace(part, resolution=step * scale)
    else:
        baseline, note = _best(claim, machine, row)
        theirs, ours = series((undisturbed(baseline), row), claim.statistic)
        raw = log_gains(theirs, ours)
        part = replace(part, baseline=baseline.id, note=note)
    if row.clock == "insn":
        # Every round holds the same value: usable() and undisturbed() have seen to that.
        return replace(part, values=(next(iter(raw.values())),), exact=True, how="exact")
    values, how = replicates(raw)
    return replace(part, values=tuple(values), how=how)


def _step(machine: Machine, row: Row) -> float:
    """One step of the clock, shared by the operations of the shortest window, which may be off by
    so much at either end, however often it is repeated."""
    told = dict(machine.facts).get("guest.clock.step", "")
    operations = min((r.operations for r in row.rounds), default=1)
    return int(told) / operations if told.isdecimal() and row.clock != "insn" else 0.0


def _scale(claim: Claim, machine: Machine, row: Row) -> float:
    """Ticks to the claim's unit; instructions and the like stay what they are."""
    if claim.whole > 0:
        return 100 / claim.whole
    if claim.unit == "ns" and row.clock == "tsc" and machine.hz > 0:
        return 1e9 / machine.hz
    return 1.0


def _full_name(name: str, row_id: str) -> str:
    return name if "/" in name else f"{case_of(row_id)}/{name}"


def _best(claim: Claim, machine: Machine, row: Row) -> tuple[Row, str]:
    """The baseline, the cheapest if there are several to choose from, and a note naming it."""
    names = [_full_name(name, row.id) for name in claim.baselines]
    if len(names) == 1:
        return _of_one_unit(usable(machine.rows.get((names[0], 0)), names[0]), row), ""
    found = []
    for name in names:
        candidate = machine.rows.get((name, 0))
        if candidate is not None and status_of(candidate) == "ok" and candidate.unit == row.unit:
            (values,) = series((undisturbed(candidate),), claim.statistic)
            found.append((median(values.values()), name, candidate))
    # The best of those that happen to be there would be easier to beat.
    if absent := [name for name in map(variant_of, names) if name in absent_peers(machine)]:
        raise Unusable(f"the best peer is unknown: without {', '.join(absent)} ({INSTALL})")
    if not found:
        raise Unusable(f"no peer of {row.id} in this run")
    _, name, best = min(found, key=lambda entry: entry[:2])
    return best, f"best peer measured: {variant_of(name)}, of {len(found)}"


def _of_one_unit(baseline: Row, row: Row) -> Row:
    if baseline.unit != row.unit:
        raise Unusable(f"{baseline.id} is in {baseline.unit}, {row.id} in {row.unit}")
    return baseline


def _floor_note(claims: Claims, claim: Claim, run: Run, machine: Machine, part: Part) -> str:
    """Raises Unusable unless the floor that the claim leans on is frozen and still a floor."""
    if not claim.house or not part.baseline or variant_of(part.baseline) != "floor":
        return ""
    floor = claims.floors.get(part.baseline)
    if floor is None or floor.instructions_most is None:
        raise Unusable(f"{part.baseline} is not frozen: no instruction count is committed")
    exact = [m.rows.get((floor.row, 0)) for m in run.machines if m.clock == "insn"]
    counts = [_middle(row) for row in exact if row is not None and status_of(row) == "ok"]
    if counts and max(counts) > floor.instructions_most:
        grew, most = apart(max(counts), floor.instructions_most)
        raise Unusable(f"{floor.row} grew to {grew} instructions, {most} are committed")
    rows = {name: machine.rows.get((_full_name(name, floor.row), 0)) for name in floor.peers}
    peers = [_middle(row) for row in rows.values() if row is not None and status_of(row) == "ok"]
    peers = [value for value in peers if value > 0]
    if peers and floor.peer_ratio is not None:
        ratio = _middle(usable(machine.rows.get((floor.row, 0)), floor.row)) / min(peers)
        if ratio > FLOOR_DRIFT * floor.peer_ratio:
            raise Unusable(
                f"{floor.row} is {number(ratio)} of the best peer,"
                f" {number(FLOOR_DRIFT * floor.peer_ratio)} at the most make it a floor"
            )
    missing = [] if counts else ["its instruction count (no exact machine in this run)"]
    missing += [] if peers or not floor.peers else ["its distance to a peer (none measured)"]
    absent = [name for name in floor.peers if peers and name in absent_peers(machine)]
    missing += [f"its distance to {', '.join(absent)} (not there)"] if absent else []
    return "of the floor unchecked: " + " and ".join(missing) if missing else ""


def _middle(row: Row) -> float:
    (found,) = series((undisturbed(row),), "median")
    return median(found.values())


def as_claimed(comparison: str, log_gain: float) -> float:
    """The logarithm of a gain as the number that is claimed."""
    value = {
        "gain": exp(log_gain),
        "over": exp(-log_gain),
        "cut": 100 * (1 - exp(-log_gain)),
        "gained": 100 * (exp(log_gain) - 1),
    }[comparison]
    # There and back through the logarithm must not turn a ratio of 12 into 11.999999999999995.
    return float(f"{value:.12g}")
