# SPDX-License-Identifier: MIT
"""Verdicts: each claim on each machine of a run, and the headline over all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import exp

from reports.claims import Claim, Claims, case_of, claimed
from reports.evidence import NOT_TRUSTED, Part, as_claimed, family, gather
from reports.intervals import above, at_least, sign_interval
from reports.measure import noise_floor
from reports.store import REJECTED, Machine, Run
from reports.text import number, percent_level, several

CONFIDENCE = 0.95
# The best machine decides how a claim is counted; what is conclusive goes before what is not.
VERDICTS = ("met", "exceeded", "not met", "not shown", "not judged here", "no data")


@dataclass(frozen=True)
class Judgement:
    """A claim on a machine. `value` is in `unit`; for a ratio it is the gain."""

    claim: Claim
    machine: str
    target: str
    clock: str
    verdict: str
    row: str
    baseline: str = ""
    unit: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    how: str = ""
    note: str = ""
    aa: tuple[float, float] | None = None

    @property
    def over_rival(self) -> tuple[float, float] | None:
        """The measured gain over what the rival claims: over its best case, over its worst."""
        if self.value is None or self.claim.rival is None:
            return None
        return self.value / self.claim.rival[1], self.value / self.claim.rival[0]


@dataclass(frozen=True)
class Verdicts:
    """All judgements of a run, claim by claim and machine by machine."""

    judgements: tuple[Judgement, ...]
    family: int
    alpha: float

    def of(self, claim: str) -> tuple[Judgement, ...]:
        return tuple(j for j in self.judgements if j.claim.id == claim)


@dataclass(frozen=True)
class _Measured:
    part: Part
    value: float
    low: float
    high: float
    level: float
    gain_low: float
    gain_high: float
    aa: tuple[float, float] | None  # the noise floor of the row's own case


def judge_run(claims: Claims, run: Run) -> Verdicts:
    """Judges every claim on every machine whose data are intact."""
    machines = [machine for machine in run.machines if machine.intact and not machine.foreign]
    pairs = [(claim, machine) for claim in claims.claims for machine in machines]
    parts = [gather(claims, claim, run, machine) for claim, machine in pairs]
    size = family(parts)
    alpha = (1 - CONFIDENCE) / size
    judged = tuple(_judge(c, m, p, alpha) for (c, m), p in zip(pairs, parts))
    return Verdicts(judged, size, alpha)


def verdict_of(claim: Claim, low: float, high: float) -> str:
    """The verdict that an interval earns, from the claim's band alone."""
    # A band of one point is met by an interval that holds the point or passes it; a single bound
    # and a wide band want the whole interval.
    point = claim.low == claim.high and not claim.bound
    wide = claim.low < claim.high
    if claim.kind == "assumption":
        if above(low, claim.high):
            return "exceeded"
        if above(claim.low, high):
            return "not met"
        inside = at_least(low, claim.low) and at_least(claim.high, high)
        return "met" if inside or point else "not shown"
    if claim.kind == "at_most":
        if wide and above(claim.low, high):
            return "exceeded"
        if above(low, claim.high):
            return "not met"
        return "met" if at_least(claim.high, high) or point else "not shown"
    if wide and above(low, claim.high):
        return "exceeded"
    if above(claim.low, high):
        return "not met"
    return "met" if at_least(low, claim.low) or point else "not shown"


def _judge(claim: Claim, machine: Machine, parts: tuple[Part, ...], alpha: float) -> Judgement:
    for part in parts:
        if part.problem:
            return Judgement(
                claim,
                machine.name,
                machine.target,
                machine.clock,
                "no data",
                part.row,
                claim.baselines[0] if len(claim.baselines) == 1 else "",
                note=part.problem,
            )
    each = [_measure(claim, machine, part, alpha) for part in parts]
    measured = _worst(claim, each)
    part = measured.part
    notes = [part.note]
    if part.elsewhere:
        verdict = "not judged here"
        notes.insert(0, part.elsewhere)
    else:
        verdict, why = _verdict(claim, measured, each, alpha)
        notes.insert(0, why)
    return Judgement(
        claim,
        machine.name,
        machine.target,
        machine.clock,
        verdict,
        part.row,
        part.baseline,
        _shown_unit(claim, machine, part),
        measured.value,
        measured.low,
        measured.high,
        None if part.exact else measured.level,
        _how(claim, part, measured.level, alpha),
        "; ".join(filter(None, notes)),
        measured.aa,
    )


def _measure(claim: Claim, machine: Machine, part: Part, alpha: float) -> _Measured:
    if part.exact:
        middle = low = high = part.values[0]
        level = 1.0
    else:
        found = sign_interval(part.values, alpha)
        middle, low, high, level = found.middle, found.low, found.high, found.level
    if not part.baseline:
        low, high = low - part.resolution, high + part.resolution
        return _Measured(part, middle, low, high, level, 0.0, 0.0, None)
    ends = sorted((as_claimed(claim.comparison, low), as_claimed(claim.comparison, high)))
    value = as_claimed(claim.comparison, middle)
    aa = None
    if not claim.counter:
        aa = noise_floor(machine, case_of(part.baseline), claim.statistic, alpha)
    return _Measured(part, value, ends[0], ends[1], level, exp(low), exp(high), aa)


def _worst(claim: Claim, measured: list[_Measured]) -> _Measured:
    """The row that decides. The interval of the worst is as wide as those of all rows together."""
    falling = claim.kind in ("ratio", "at_least")
    worst = (min if falling else max)(measured, key=lambda m: m.value)
    pick = min if falling else max
    return replace(
        worst,
        low=pick(m.low for m in measured),
        high=pick(m.high for m in measured),
        level=min(m.level for m in measured),
    )


def _verdict(
    claim: Claim, measured: _Measured, each: list[_Measured], alpha: float
) -> tuple[str, str]:
    verdict = verdict_of(claim, measured.low, measured.high)
    if not measured.part.exact and not at_least(measured.level, 1 - alpha):
        return "not shown", f"too few rounds: they give {percent_level(measured.level)} at the most"
    if not measured.part.exact and _difference(claim):
        noise = _lost_in_noise(claim, verdict, measured.part.row, each)
        if noise:
            return "not shown", noise
    if verdict == "exceeded":
        suspect = measured.part.baseline or claim.kind == "assumption"
        return verdict, "past the band" + (
            ": check that the baseline is no straw man" if suspect else ": check what was measured"
        )
    return verdict, ""


def _lost_in_noise(claim: Claim, verdict: str, worst: str, each: list[_Measured]) -> str:
    """Why noise leaves a claimed difference unshown; nothing if it does not. Each row is held
    against the noise floor of its own case: a quiet case says nothing of a noisy one."""
    decisive = sorted(each, key=lambda m: m.part.row != worst)
    if verdict == "not met":
        # One row that refutes the claim outside its own noise is enough.
        decisive = [m for m in decisive if verdict_of(claim, m.low, m.high) == "not met"]
    found = [(m.part.row, _noise(verdict, m)) for m in decisive]
    lost = [why if row == worst else f"{row}: {why}" for row, why in found if why]
    if not lost or (verdict == "not met" and len(lost) < len(found)):
        return ""
    return lost[0]


def _noise(verdict: str, measured: _Measured) -> str:
    """What the noise floor of its own case takes from one row; nothing if it takes nothing."""
    if measured.aa is None:
        return "the noise floor is unknown: no A/A pair"
    # Which twin is called the first is chance: the noise reaches as far to either side.
    reach = max(measured.aa[1], 1 / measured.aa[0])
    low, high = measured.gain_low, measured.gain_high
    if at_least(low, 1 / reach) and at_least(reach, high):
        return "inside the noise floor (A/A)"
    if verdict in ("met", "exceeded") and not above(low, reach):
        return "reaches into the noise floor (A/A)"
    return ""


def _difference(claim: Claim) -> bool:
    """Does it claim that two rows differ? Parity and bounds are judged by their own interval."""
    if claim.kind == "ratio":
        return claim.low > 1
    return claim.comparison in ("cut", "gained")


def _shown_unit(claim: Claim, machine: Machine, part: Part) -> str:
    if part.baseline or claim.counter or claim.whole > 0:
        return claim.unit
    if claim.unit == "ns" and part.clock == "tsc" and machine.hz > 0:
        return "ns"
    return part.unit


def _how(claim: Claim, part: Part, level: float, alpha: float) -> str:
    if part.exact:
        return part.how
    how = f"{claim.statistic} of rounds; {part.how}; {percent_level(level)}"
    return how + (f" ({percent_level(1 - alpha)} wanted)" if level < 1 - alpha else "")


def best(judgements: tuple[Judgement, ...]) -> str:
    """The verdict that a claim is counted by: that of its best judged machine."""
    return min((j.verdict for j in judgements), key=VERDICTS.index, default="no data")


def counts(claims: Claims, verdicts: Verdicts, house: bool) -> dict[str, int]:
    """How many claims read each verdict; the designs' claims, or the house goals."""
    by_claim: dict[str, list[Judgement]] = {}
    for judgement in verdicts.judgements:
        by_claim.setdefault(judgement.claim.id, []).append(judgement)
    read = Counter(
        best(tuple(by_claim.get(claim.id, ()))) for claim in claims.claims if claim.house == house
    )
    return {verdict: read[verdict] for verdict in VERDICTS}


def headline(claims: Claims, verdicts: Verdicts, run: Run) -> str:
    """The verdict in one line: the first line of every report."""
    design = _counted(counts(claims, verdicts, house=False), "claim")
    house = counts(claims, verdicts, house=True)
    goals = f"; house goals: {_counted(house, '')}" if sum(house.values()) else ""
    intact = [machine for machine in run.machines if machine.intact]
    machines = ", ".join(f"{m.name} ({m.clock})" for m in intact)
    if intact and all(machine.outcome in NOT_TRUSTED for machine in intact):
        # Not a claim failed: nothing was asked of any.
        return f"no claim judged, {' and '.join(sorted({m.outcome for m in intact}))} — {machines}"
    return f"{design}{goals} — {machines or 'no machine with intact data'}"


def _counted(read: dict[str, int], noun: str) -> str:
    total = sum(read.values())
    what = f"{total} {noun}{'s' if total != 1 else ''} " if noun else f"{total} "
    rest = [f"{read[v]} {v}" for v in VERDICTS[1:] if read[v]]
    return ", ".join([f"{read['met']} of {what}met", *rest])


def troubles(run: Run) -> list[str]:
    """What is wrong with the run itself, a line each."""
    lines = []
    for machine in run.machines:
        if not machine.intact:
            lines.append(
                f"{machine.name} of run {machine.run} was altered after it was written (its digest"
                " does not fit): left out of judgement"
            )
        elif not machine.complete and machine.outcome != REJECTED:  # its rows say it themselves
            detail = f": {machine.detail}" if machine.detail else ""
            boots = several(machine.boots, "boot")
            lines.append(f"{machine.name} is incomplete ({machine.outcome}, {boots}){detail}")
    return lines


def sentence(judgement: Judgement) -> str:
    """A judgement in words, for text alternatives."""
    claim = judgement.claim
    if judgement.value is None:
        return f"{claim.id}: no data"
    unit = "times" if judgement.unit == "ratio" else judgement.unit
    return (
        f"{claim.id}: {number(judgement.value)} {unit} on {judgement.machine}"
        f" against a claim of {claimed(claim)}, {judgement.verdict}"
    )
