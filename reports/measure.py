# SPDX-License-Identifier: MIT
"""From samples to the values that are judged and shown: sample, round, boot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, log
from statistics import median

import numpy

from reports.claims import case_of
from reports.intervals import Interval, sign_interval
from reports.store import TAGS, Machine, Row
from reports.text import several

# From this many boots on a boot is the unit of replication.
BOOTS_ENOUGH = 12
# A percentile that is judged needs this many samples in the unit that it is taken over.
SAMPLES_NEEDED = {"p99": 100, "p99.9": 1000}
# One that is shown needs this many samples beyond it: p99 a thousand in all, p99.9 ten thousand.
BEYOND_NEEDED = 10

# Rows of which a number is remembered: those of a large run. Each output asks for the same ones.
ROWS_REMEMBERED = 4096

Key = tuple[int, int]  # boot, round; round -1 stands for the whole boot
Series = dict[Key, float]


class Unusable(Exception):
    """A row gives no value; the message says why, in a few words."""


@dataclass(frozen=True)
class Summary:
    """All samples of one row, for one operation. None: at or below resolution, or, of a percentile
    that `supports` does not allow, too few samples."""

    n: int
    boots: int
    rounds: int
    disturbed: dict[str, int]
    low: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    high: float | None
    high_clean: float | None
    mean: float | None
    cold: float | None
    below: bool


def ordered_samples(row: Row) -> numpy.ndarray:
    """All samples of all boots and rounds, for one operation, sorted."""
    if not row.rounds:
        return numpy.empty(0)
    return numpy.sort(numpy.concatenate([r.costs for r in row.rounds]))


def nearest_rank(ordered: numpy.ndarray, share: float) -> float:
    """The smallest sample that at least this share of all samples does not exceed."""
    # The subtrahend keeps 0.999 * 1000 = 999.0000000000001 from rounding up to the next rank.
    return float(ordered[max(ceil(share * len(ordered) - 1e-9), 1) - 1])


def supports(row: Row, n: int, share: float, constant: bool) -> bool:
    """Do n samples tell this percentile? On an exact clock each round repeats every other: of a
    constant every percentile is known, of a few windows that differ there is no tail."""
    return constant if row.clock == "insn" else n * (1 - share) >= BEYOND_NEEDED - 1e-9


def resolved(value: float) -> float | None:
    """A value above resolution, or None."""
    return value if value > 0 else None


@lru_cache(ROWS_REMEMBERED)
def summarise(row: Row) -> Summary | None:
    """The numbers shown of a row; None if the row is not ok."""
    if row.status != "ok":
        return None
    ordered = ordered_samples(row)
    clean = clean_costs(row)
    cold = median(r.cold / r.operations for r in row.rounds)

    def at(share: float) -> float | None:
        known = supports(row, len(ordered), share, bool(ordered[0] == ordered[-1]))
        return resolved(nearest_rank(ordered, share)) if known else None

    return Summary(
        n=len(ordered),
        boots=len({r.boot for r in row.rounds}),
        rounds=len(row.rounds),
        disturbed=disturbances(row),
        low=resolved(float(ordered[0])),
        p50=resolved(nearest_rank(ordered, 0.5)),
        p90=at(0.9),
        p99=at(0.99),
        p999=at(0.999),
        high=resolved(float(ordered[-1])),
        high_clean=resolved(float(clean.max())) if len(clean) else None,
        mean=resolved(float(ordered.mean())),
        cold=resolved(cold),
        below=bool(ordered[0] <= 0),
    )


def clean_costs(row: Row) -> numpy.ndarray:
    """The samples that nothing overlapped, for one operation, in order of time."""
    return numpy.concatenate([r.costs[r.tags == 0] for r in row.rounds] or [numpy.empty(0)])


@dataclass(frozen=True)
class Clean:
    """What `Summary` says, of the samples that nothing overlapped. None: below resolution, no such
    sample, or too few for that percentile."""

    n: int
    p50: float | None
    p90: float | None
    p99: float | None
    high: float | None


@lru_cache(ROWS_REMEMBERED)
def summarise_clean(row: Row) -> Clean | None:
    """The numbers of a row's undisturbed samples; None if the row is not ok."""
    if row.status != "ok":
        return None
    clean = clean_costs(row)
    # On an exact clock a window that was disturbed in one round counts as much as any other.
    exact = row.clock == "insn" and len(clean) > 0 and not unsteady(row)
    ordered = ordered_samples(undisturbed(row)) if exact else numpy.sort(clean)
    constant = len(ordered) > 0 and bool(ordered[0] == ordered[-1])

    def at(share: float) -> float | None:
        return resolved(nearest_rank(ordered, share)) if len(ordered) else None

    def tail(share: float) -> float | None:
        return at(share) if supports(row, len(ordered), share, constant) else None

    return Clean(len(clean), at(0.5), tail(0.9), tail(0.99), at(1))


def disturbances(row: Row) -> dict[str, int]:
    """How many samples each kind of event overlapped; "in all" counts a sample once."""
    tags = numpy.concatenate([r.tags for r in row.rounds])
    found = {name: int(numpy.count_nonzero(tags & bit)) for bit, name in TAGS.items()}
    return {"in all": int(numpy.count_nonzero(tags)), **found}


def disturbances_of(machine: Machine) -> dict[str, int]:
    """The same for all rows of a machine, baselines' twins too; "samples" counts all samples."""
    total = dict.fromkeys(("samples", "in all", *TAGS.values()), 0)
    for row in machine.rows.values():
        total["samples"] += sum(len(r.samples) for r in row.rounds)
        for cause, count in (disturbances(row) if row.rounds else {}).items():
            total[cause] += count
    return total


@lru_cache(ROWS_REMEMBERED)
def unsteady(row: Row) -> bool:
    """On an exact clock: do two rounds or two boots disagree about a window nothing overlapped?"""
    if row.clock != "insn" or row.status != "ok":
        return False
    first = row.rounds[0]
    if any(
        (r.operations, len(r.samples)) != (first.operations, len(first.samples)) for r in row.rounds
    ):
        return True
    samples: numpy.ma.MaskedArray = numpy.ma.masked_array(
        numpy.stack([r.samples for r in row.rounds]),
        mask=numpy.stack([r.tags != 0 for r in row.rounds]),
    )
    return bool(numpy.ma.any(samples.min(axis=0) != samples.max(axis=0)))


def undisturbed(row: Row) -> Row:
    """The row; on an exact clock, without what disturbances did to it: a window takes its count
    from a round in which nothing overlapped it, and is left out where there is none. Raises
    Unusable if no window is left."""
    disturbed = any(r.tags.any() for r in row.rounds)
    if row.clock != "insn" or row.status != "ok" or unsteady(row) or not disturbed:
        return row
    clean = numpy.stack([r.tags == 0 for r in row.rounds])
    known = clean.any(axis=0)
    if not known.any():
        raise Unusable(f"{row.id}: every sample was disturbed")
    samples = numpy.stack([r.samples for r in row.rounds])
    counts = samples[clean.argmax(axis=0), numpy.arange(samples.shape[1])][known]
    tags = numpy.zeros(len(counts), dtype=row.rounds[0].tags.dtype)
    return replace(row, rounds=tuple(replace(r, samples=counts, tags=tags) for r in row.rounds))


def status_of(row: Row) -> str:
    """The status shown: the recorder's, or what these reports find wrong themselves."""
    return "not deterministic" if unsteady(row) else row.status


def usable(row: Row | None, what: str = "row") -> Row:
    """The row, if it may be used for a number."""
    if row is None:
        raise Unusable(f"{what} is not in this run")
    if status_of(row) != "ok":
        raise Unusable(f"{what}: {status_of(row)}")
    return row


def series(rows: tuple[Row, ...], statistic: str) -> tuple[Series, ...]:
    """One value a round for each row (median, mean) or, for percentiles, for the smallest unit that
    has enough samples in every row. Raises Unusable."""
    if statistic not in SAMPLES_NEEDED:
        take: dict[str, Callable[[numpy.ndarray], float]] = {
            "median": lambda samples: float(numpy.median(samples)),
            "mean": lambda samples: float(numpy.mean(samples)),
        }
        return tuple(_each_round(row, take[statistic]) for row in rows)
    needed, share = SAMPLES_NEEDED[statistic], float(statistic[1:]) / 100

    def percentile(samples: numpy.ndarray) -> float:
        return nearest_rank(numpy.sort(samples), share)

    if all(len(r.samples) >= needed for row in rows for r in row.rounds):
        return tuple(_each_round(row, percentile) for row in rows)
    whole = [_boots(row) for row in rows]
    if all(len(samples) >= needed for boots in whole for samples in boots.values()):
        return tuple({(b, -1): percentile(s) for b, s in boots.items()} for boots in whole)
    raise Unusable(f"{statistic} needs {needed} samples in a round or a boot")


def worst_clean(row: Row) -> float:
    """The largest sample that nothing overlapped, for one operation. Raises Unusable."""
    clean = clean_costs(row)
    if not len(clean):
        raise Unusable(f"{row.id}: every sample was disturbed")
    return above_resolution(float(clean.max()))


def above_resolution(value: float) -> float:
    """The value. Raises Unusable if it is not above resolution."""
    if value <= 0:
        raise Unusable("below resolution")
    return value


def log_gains(baseline: Series, variant: Series) -> Series:
    """ln(baseline) - ln(variant), paired by boot and round. Raises Unusable."""
    keys = sorted(set(baseline) & set(variant))
    if not keys:
        raise Unusable("no round holds both the row and its baseline")
    return {
        key: log(above_resolution(baseline[key])) - log(above_resolution(variant[key]))
        for key in keys
    }


def replicates(values: Series) -> tuple[list[float], str]:
    """The values an interval is made of, and how they came about, in words."""
    by_boot: dict[int, list[float]] = {}
    for (boot, _), value in sorted(values.items()):
        by_boot.setdefault(boot, []).append(value)
    if len(by_boot) >= BOOTS_ENOUGH:
        return [median(group) for group in by_boot.values()], f"{len(by_boot)} boot medians"
    pooled = [value for group in by_boot.values() for value in group]
    where = "within one boot only" if len(by_boot) == 1 else f"pooled over {len(by_boot)} boots"
    unit = "boot" if all(key[1] < 0 for key in values) else "round"
    return pooled, f"{several(len(pooled), unit)}, {where}"


def baseline_twins(machine: Machine, case: str) -> tuple[Row, Row] | None:
    """A case's baseline and its identical twin, both usable."""
    for (row, aa), twin in machine.rows.items():
        plain = machine.rows.get((row, 0))
        if aa == 1 and case_of(row) == case and plain is not None:
            if status_of(plain) == "ok" and status_of(twin) == "ok" and plain.unit == twin.unit:
                return plain, twin
    return None


def noise_floor(
    machine: Machine, case: str, statistic: str, alpha: float
) -> tuple[float, float] | None:
    """The baseline against itself through the same pipeline, as a ratio (low, high)."""
    interval = noise_interval(machine, case, statistic, alpha)
    if interval is None:
        return None
    return float(numpy.exp(interval.low)), float(numpy.exp(interval.high))


def noise_interval(machine: Machine, case: str, statistic: str, alpha: float) -> Interval | None:
    """The same as logarithms, with its level."""
    twins = baseline_twins(machine, case)
    if twins is None:
        return None
    try:
        plain, twin = series((undisturbed(twins[0]), undisturbed(twins[1])), statistic)
        values, _ = replicates(log_gains(plain, twin))
    except Unusable:
        return None
    return sign_interval(values, alpha)


def _each_round(row: Row, take: Callable[[numpy.ndarray], float]) -> Series:
    return {(r.boot, r.round): take(r.costs) for r in row.rounds if len(r.samples)}


def _boots(row: Row) -> dict[int, numpy.ndarray]:
    found: dict[int, list[numpy.ndarray]] = {}
    for r in row.rounds:
        found.setdefault(r.boot, []).append(r.costs)
    return {boot: numpy.concatenate(parts) for boot, parts in found.items()}
