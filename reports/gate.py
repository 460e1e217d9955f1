# SPDX-License-Identifier: MIT
"""The gate: whether what a row did tonight is an alarm. Pure functions over numbers.

Of a row of an exact clock any difference is one. Of a sampled clock it takes all of this: the
change is larger than Q3 + 3 IQR of the row's own last 30 changes, larger than 2 % and than 30 ticks
of a window; it stands among all rows of the night (Benjamini and Hochberg, 1995); and a fresh
re-run agrees. Both directions count: what is suddenly quicker was measured wrong, or is news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, erfc, exp, log, sqrt
from statistics import median

import numpy

from reports.steps import MAD_TO_SIGMA

CHANGES_LOOKED_AT = 30
CHANGES_LEAST = 8  # with fewer a row has no habits yet
IQRS = 3.0
SHARE_LEAST = 0.02
TICKS_LEAST = 30.0  # of a whole window
FALSE_SHARE = 0.05  # of a night's suspects, those that may be chance
# Nobody knows a row's habits better than this; it keeps one that repeated exactly from being
# infinitely surprising.
SIGMA_LEAST = 1e-4


@dataclass(frozen=True)
class Change:
    """Tonight against last night, as costs of one operation, and how unlikely that is."""

    before: float
    now: float
    limit: float  # Q3 + 3 IQR, of logarithms
    chance: float  # that a row with these habits changes so much
    young: bool  # too few nights to know its habits
    large: bool  # past the limit, 2 % and 30 ticks

    @property
    def share(self) -> float:
        """+0.05: five per cent more."""
        return self.now / self.before - 1


def limit_of(changes: Sequence[float]) -> float:
    """Q3 + 3 IQR of the sizes of changes."""
    quarter, three_quarters = numpy.percentile(numpy.abs(changes), [25, 75])
    return float(three_quarters + IQRS * (three_quarters - quarter))


def change_of(
    changes: Sequence[float], before: float, now: float, operations: int
) -> Change | None:
    """Tonight's cost of a sampled row against last night's, both for one operation, and against the
    row's changes so far, which are logarithms, the latest last. None where no ratio can be made."""
    if now <= 0 or before <= 0:
        return None
    changes = changes[-CHANGES_LOOKED_AT:]
    if len(changes) < CHANGES_LEAST:
        return Change(before, now, 0.0, 1.0, True, False)
    size, limit = log(now / before), limit_of(changes)
    usual = max(MAD_TO_SIGMA * median([abs(change) for change in changes]), SIGMA_LEAST)
    chance = erfc(abs(size) / usual / sqrt(2))
    return Change(before, now, limit, chance, False, _large(before, now, limit, operations))


def _large(before: float, now: float, limit: float, operations: int) -> bool:
    return (
        abs(log(now / before)) > limit
        and abs(now / before - 1) > SHARE_LEAST
        and abs(now - before) * operations > TICKS_LEAST
    )


def standing(chances: Sequence[float], false_share: float = FALSE_SHARE) -> list[bool]:
    """Benjamini and Hochberg: which of these may be called found, if no more than such a share of
    all found shall be chance."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    found = 0
    for place, i in enumerate(order, 1):
        if chances[i] <= false_share * place / len(chances):
            found = place
    chosen = set(order[:found])
    return [i in chosen for i in range(len(chances))]


def suspects(changes: Sequence[Change | None]) -> list[bool]:
    """Which rows of a night are to be run again."""
    judged = [i for i, c in enumerate(changes) if c is not None and not c.young]
    stands = standing([c.chance for i in judged if (c := changes[i]) is not None])
    good = {i for i, stand in zip(judged, stands) if stand}
    return [i in good and c is not None and c.large for i, c in enumerate(changes)]


def agrees(change: Change, again: float, operations: int) -> bool:
    """Does the fresh re-run say the same: in the same direction, and large by itself?"""
    if again <= 0 or (again > change.before) != (change.now > change.before):
        return False
    return _large(change.before, again, change.limit, operations)


# ---- how often it is wrong ----------------------------------------------------------------------


@dataclass(frozen=True)
class FalseAlarms:
    """How often the gate suspected a row that was the same code: `asked` times, `wrong` of them;
    of these the re-run agreed `confirmed` times."""

    asked: int
    wrong: int
    confirmed: int = 0

    @property
    def most(self) -> float:
        """The rate that is still believable (95 %, one-sided, exact binomial)."""
        return rate_most(self.wrong, self.asked)


def rate_most(wrong: int, asked: int) -> float:
    """Clopper and Pearson's upper end at 95 %: the largest rate at which so few are still had one
    time in twenty."""
    if asked == 0 or wrong >= asked:
        return 1.0
    low, high = wrong / asked, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        few = sum(
            exp(_log_comb(asked, k) + k * log(middle) + (asked - k) * log(1 - middle))
            for k in range(wrong + 1)
        )
        low, high = (middle, high) if few > 0.05 else (low, middle)
    return high


def _log_comb(n: int, k: int) -> float:
    return log(comb(n, k))
