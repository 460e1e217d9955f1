# SPDX-License-Identifier: MIT
"""The whole system: all baselines against all optimised, each mechanism switched alone, and whether
what they gain alone adds up to what they gain together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from reports.claims import case_of, variant_of
from reports.document import Report
from reports.intervals import above, at_least, same, sign_interval
from reports.measure import (
    Series,
    Unusable,
    above_resolution,
    log_gains,
    noise_floor,
    replicates,
    series,
    summarise,
    undisturbed,
    usable,
)
from reports.plot import INCH, Plot, Scale, linear, log_tick_places, logarithmic
from reports.store import Machine, Row
from reports.tables import Cell, Table, cases_of, rows_of
from reports.text import DASH, interval, number, percent_level, quantity, unit_name

# The clocks that words may stand on, the one that says most first.
CLOCKS = ("core", "tsc", "insn")
SUITE = "system"
ALL, BEST, WITHOUT = "baseline", "optimised", "without_"
OPENS = f"{SUITE}/request"  # what a user of the system sees; the other cases look into it
# Of instruction counts nothing is said about this one: which request is the slowest hangs on the
# order of threads, and one more instruction somewhere may change that.
TAIL = f"{SUITE}/slowest"
# A whole that is no further than this from the product of its parts is one to which they add up.
TOLERATED = 0.02
TOO_FEW, NO_TWIN = "too few rounds", "the noise is unknown, there is no A/A pair"


@dataclass(frozen=True)
class Ratio:
    """A ratio of costs with its interval. `shown`: beyond its interval and beyond noise it is
    another than 1. `why`: what is lacking for any word about it."""

    value: float
    low: float
    high: float
    shown: bool
    why: str = ""

    @property
    def text(self) -> str:
        """1.12× [1.1, 1.13]."""
        return f"{quantity(self.value, 'ratio')} {interval(self.low, self.high)}".strip()

    @property
    def gains(self) -> bool:
        return self.shown and self.value > 1

    @property
    def loses(self) -> bool:
        return self.shown and self.value < 1

    @property
    def even(self) -> bool:
        """Wherever in its interval it is, it is 1 but for what is tolerated."""
        inside = at_least(self.low, 1 / (1 + TOLERATED)) and at_least(1 + TOLERATED, self.high)
        return inside and not self.why


@dataclass(frozen=True)
class Single:
    """A mechanism by itself. `alone`: baseline / the baseline with it switched on. `taken`: the
    optimised without it / the optimised; more than 1 is what the whole loses without it."""

    name: str
    cost: float
    alone: Ratio
    cost_without: float | None
    taken: Ratio | None


@dataclass(frozen=True)
class Whole:
    """A case of the suite on a machine. `product`: what the singles come to, multiplied round by
    round; `rest`: the whole's gain over that; both None if a single one is missing. `noise`: of one
    pair of rows, to either side. `missing`: rows without a number; `untold`: cases without."""

    machine: Machine
    case: str
    what: str
    unit: str
    costs: tuple[float, float]  # all baselines, all optimised
    gain: Ratio
    singles: tuple[Single, ...]
    product: Ratio | None
    rest: Ratio | None
    noise: tuple[float, float] | None
    level: float
    how: str
    missing: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        return self.machine.clock == "insn"


@dataclass(frozen=True)
class _Limits:
    """What a ratio must pass to be shown."""

    noise: tuple[float, float] | None  # of one pair of rows
    alpha: float
    exact: bool


def wholes(report: Report) -> tuple[Whole, ...]:
    """The cases on the machine whose clock says most, in their order; nothing where it has not both
    ends of the comparison."""
    told = [m for m in report.intact if m.clock in CLOCKS and not m.foreign]
    untold: list[str] = []
    for machine in sorted(told, key=lambda m: CLOCKS.index(m.clock)):
        cases = [case for case in cases_of(machine) if case.partition("/")[0] == SUITE]
        if machine.clock == "insn":
            cases = [case for case in cases if case != TAIL]
        cases.sort(key=lambda case: case != OPENS)
        known: list[Whole] = []
        for case in cases:
            try:
                known.append(_whole(machine, case, report.verdicts.alpha))
            except Unusable as why:
                untold.append(f"{case} on {machine.name}: {why}")
        if known:
            return (replace(known[0], untold=tuple(untold)), *known[1:])
    return ()


def _whole(machine: Machine, case: str, alpha: float) -> Whole:
    """Raises Unusable if one of both ends has no number."""
    rows = {variant_of(row.id): row for row in rows_of(machine, case)}
    values, missing = _values(rows)
    for end in (ALL, BEST):
        if end not in values:
            raise Unusable(f"{end} is missing ({missing.get(end, 'not in this run')})")
    whole = log_gains(values[ALL], values[BEST])
    limits = _Limits(_noise(machine, case, alpha), alpha, machine.clock == "insn")
    names = _names(machine)
    costs = {name: _cost(rows[name]) for name in values}
    singles = [_single(name, costs, values, limits) for name in names if name in values]
    for name in names:
        if name not in values:
            missing.setdefault(name, "not in this run")
    product = rest = None
    if names and all(name in values for name in names):
        parts = [log_gains(values[ALL], values[name]) for name in names]
        product, rest = _together(whole, parts, limits)
    said, how = replicates(whole)
    return Whole(
        machine,
        case,
        rows[ALL].what,
        rows[ALL].unit,
        (costs[ALL], costs[BEST]),
        _ratio(whole, limits),
        tuple(singles),
        product,
        rest,
        limits.noise,
        sign_interval(said, alpha).level,
        how,
        tuple(f"{name} ({why})" for name, why in sorted(missing.items())),
    )


def _names(machine: Machine) -> list[str]:
    """The mechanisms that the suite switches, whether their rows have a number or not."""
    rows = [row for row, aa in machine.rows if aa == 0 and case_of(row).startswith(f"{SUITE}/")]
    return sorted({variant_of(row).removeprefix(WITHOUT) for row in rows} - {ALL, BEST})


def _noise(machine: Machine, case: str, alpha: float) -> tuple[float, float] | None:
    """Which twin is called the first is chance: the noise reaches as far to either side."""
    found = noise_floor(machine, case, "median", alpha)
    if found is None:
        return None
    reach = max(found[1], 1 / found[0])
    return 1 / reach, reach


def _cost(row: Row) -> float:
    summary = summarise(row)
    if summary is None or summary.p50 is None:
        raise Unusable("below resolution")
    return summary.p50


def _values(rows: dict[str, Row]) -> tuple[dict[str, Series], dict[str, str]]:
    """Each variant's values, round by round, that can be held against the baseline's; and of the
    others why they have none: one that is lost takes no other with it."""
    values: dict[str, Series] = {}
    missing: dict[str, str] = {}
    for name in sorted(rows, key=lambda name: name != ALL):
        row = rows[name]
        try:
            (found,) = series((undisturbed(usable(row, row.id)),), "median")
            for value in (*found.values(), _cost(row)):
                above_resolution(value)
            for end in (ALL, BEST):
                log_gains(values.get(end, found), found)
            values[name] = found
        except Unusable as why:
            missing[name] = str(why).removeprefix(f"{row.id}: ")
    return values, missing


def _single(
    name: str, costs: dict[str, float], values: dict[str, Series], limits: _Limits
) -> Single:
    off, taken = WITHOUT + name, None
    if off in values:
        taken = _ratio(log_gains(values[off], values[BEST]), limits)
    alone = _ratio(log_gains(values[ALL], values[name]), limits)
    return Single(name, costs[name], alone, costs.get(off), taken)


def _together(
    whole: Series, parts: list[Series], limits: _Limits
) -> tuple[Ratio | None, Ratio | None]:
    """What the parts come to, and how much more or less the whole is, in the rounds that have all
    of them."""
    keys = set(whole).intersection(*parts)
    if not keys:
        return None, None
    product = {key: sum(part[key] for part in parts) for key in keys}
    rest = {key: whole[key] - product[key] for key in keys}
    # What makes equal rows differ (where their code and memory came to lie) stays for all rounds:
    # a sum does not average it away. The product of n is n pairs of rows, all with the same
    # baseline in them. In the rest that baseline stands n - 1 times, the optimised once and each
    # single one once on the other side: n pairs again, and not n + 1.
    pairs = len(parts)
    return _ratio(product, limits, pairs), _ratio(rest, limits, pairs)


def _widened(noise: tuple[float, float], pairs: int) -> tuple[float, float]:
    """The noise of so many pairs multiplied, should all of them lean to the same side."""
    return noise[0] ** pairs, noise[1] ** pairs


def _ratio(values: Series, limits: _Limits, pairs: int = 1) -> Ratio:
    """Of so many pairs of rows. Exact series agree in every round: then any difference is one."""
    found = sign_interval(replicates(values)[0], limits.alpha)
    # Nine digits: what a logarithm and back does to an even ratio is no digit of it.
    value, low, high = (round(exp(v), 9) for v in (found.middle, found.low, found.high))
    apart = (low > 1 or high < 1) and not same(value, 1)
    if limits.exact:
        return Ratio(value, low, high, apart)
    if not at_least(found.level, 1 - limits.alpha):
        return Ratio(value, low, high, False, TOO_FEW)
    if limits.noise is None:
        return Ratio(value, low, high, False, NO_TWIN)
    least, most = _widened(limits.noise, pairs)
    return Ratio(value, low, high, apart and (above(low, most) or above(least, high)))


# ---- in words -----------------------------------------------------------------------------------


def finding(whole: Whole) -> str:
    """What a case shows, in sentences made of its numbers."""
    unit, place = unit_name(whole.unit, 2), whole.machine.name
    text = (
        f"On {place}, in {unit}: all optimised take {number(whole.costs[1])} where all baselines"
        f" take {number(whole.costs[0])}: {whole.gain.text}, {_word(whole.gain)}."
    )
    parts = [text, _one_sequence(whole), _alone(whole), _sum(whole), _without(whole)]
    parts += [_lacking(whole)]
    return " ".join(part for part in parts if part)


def _word(ratio: Ratio) -> str:
    if ratio.why:
        return f"not shown ({ratio.why})"
    if not ratio.shown:
        return "which shows no difference"
    return "a gain" if ratio.value > 1 else "a loss"


def _listed(named: list[tuple[str, Ratio]]) -> str:
    return ", ".join(f"{name} {quantity(ratio.value, 'ratio')}" for name, ratio in named)


def _alone(whole: Whole) -> str:
    """Which mechanism gains by itself, and which does not."""
    by_value = sorted(whole.singles, key=lambda one: (-one.alone.value, one.name))
    gains = [(one.name, one.alone) for one in by_value if one.alone.gains]
    loses = [(one.name, one.alone) for one in reversed(by_value) if one.alone.loses]
    silent = sorted(o.name for o in whole.singles if not o.alone.shown and not o.alone.why)
    parts = [f"gain: {_listed(gains)}"] if gains else []
    parts += [f"lose: {_listed(loses)}"] if loses else []
    parts += [f"show no difference: {', '.join(silent)}"] if silent else []
    for why in sorted({one.alone.why for one in whole.singles} - {""}):
        named = sorted(one.name for one in whole.singles if one.alone.why == why)
        parts.append(f"are not shown ({why}): {', '.join(named)}")
    return f"Switched alone, these {'; these '.join(parts)}." if parts else ""


def _sum(whole: Whole) -> str:
    if whole.product is None or whole.rest is None:
        return ""
    rest = whole.rest
    text = f"Multiplied, the single ones come to {whole.product.text}; the whole is {rest.text} of"
    if rest.even:
        return f"{text} that: they add up, to within {TOLERATED:.0%}.".replace("%", " %")
    if rest.shown:
        return f"{text} that, {'more' if rest.value > 1 else 'less'} than its parts."
    why = f" ({rest.why})" if rest.why else ""
    return f"{text} that: this run does not tell whether they add up{why}."


def _one_sequence(whole: Whole) -> str:
    """What a count that never varies must not be taken for."""
    if not whole.exact:
        return ""
    return "They are counts of one sequence of requests, and of one order of threads in it."


def _lacking(whole: Whole) -> str:
    """The rows and cases of which nothing could be said."""
    parts = []
    if whole.missing:
        alone = "" if whole.product is not None else ", so the single ones are not multiplied"
        parts.append(f"Missing: {', '.join(whole.missing)}{alone}.")
    elif whole.product is None and whole.singles:
        parts.append("The single ones are not multiplied: no round has all of them.")
    if whole.untold:
        parts.append(f"Nothing is told of {'; '.join(whole.untold)}.")
    return " ".join(parts)


def _without(whole: Whole) -> str:
    """What the whole loses without each, and what it would be better without."""
    taken = [(one.name, one.taken) for one in whole.singles if one.taken is not None]
    loses = sorted((t for t in taken if t[1].gains), key=lambda t: (-t[1].value, t[0]))
    better = sorted((t for t in taken if t[1].loses), key=lambda t: (t[1].value, t[0]))
    parts = []
    if loses:
        parts.append(f"Taken out of the whole, it then takes more without {_listed(loses)}.")
    if better:
        parts.append(f"The whole takes less without {_listed(better)}.")
    return " ".join(parts)


# ---- as a table and as a picture ----------------------------------------------------------------


def table(whole: Whole) -> Table:
    """A line for each mechanism, between both ends."""
    none = Cell(DASH, "number")

    def cost(value: float | None) -> Cell:
        return none if value is None else Cell(number(value), "number")

    def ratio(value: Ratio | None) -> Cell:
        if value is None:
            return none
        more = "" if value.shown else ": ".join(filter(None, ("not shown", value.why)))
        return Cell(value.text, "number", more)

    lines = [(Cell("nothing", "name", "all baselines"), cost(whole.costs[0]), none, none, none)]
    for one in whole.singles:
        lines.append(
            (
                Cell(one.name, "name"),
                cost(one.cost),
                ratio(one.alone),
                cost(one.cost_without),
                ratio(one.taken),
            )
        )
    lines.append(
        (Cell("all", "name", "all optimised"), cost(whole.costs[1]), ratio(whole.gain), none, none)
    )
    if whole.product is not None:
        product, rest = ratio(whole.product), ratio(whole.rest)
        lines.append((Cell("the single ones, multiplied", "name"), none, product, none, none))
        lines.append((Cell("the whole over that", "name"), none, rest, none, none))
    columns = ("switched", whole.unit, "gain", "all but it", "that over all")
    note = f"Counted: {whole.how}, each the same."
    if not whole.exact:
        note = (
            f"Intervals of {percent_level(whole.level)}, {whole.how}. Noise, {_noise_text(whole)}."
        )
    title = f"The whole: {whole.case} on {whole.machine.name}"
    return Table(title, columns, tuple(lines), frozenset(range(1, 5)), note=note)


def _noise_text(whole: Whole) -> str:
    if whole.noise is None:
        return "baseline against itself: unknown, there is no A/A pair"
    text = f"baseline against itself: {interval(*whole.noise) or '1'}"
    if whole.product is None:
        return text
    wide = _widened(whole.noise, len(whole.singles))
    return f"{text}; of what is multiplied: {interval(*wide) or '1'}"


_LINE = 19.0  # points


def plot(whole: Whole, narrow: bool = False) -> Plot:
    """A dot and an interval for each mechanism: filled alone, hollow what the whole loses without
    it; all together below."""
    named: list[tuple[str, list[tuple[Ratio, bool]]]] = []
    for one in whole.singles:
        both = [(one.alone, False), *([(one.taken, True)] if one.taken is not None else [])]
        named.append((one.name, both))
    if whole.product is not None:
        named.append(("multiplied", [(whole.product, False)]))
    named.append(("all", [(whole.gain, False)]))
    lines = 58 if whole.noise is None else 72
    drawn = Plot(3.6 if narrow else 5.4, (_LINE * len(named) + lines) / INCH)
    left, right, top = 74.0, drawn.width - 14, 4.0
    bottom = top + _LINE * len(named)
    ends = [v for _, marks in named for ratio, _ in marks for v in (ratio.low, ratio.high)]
    low, high = min(0.95, *ends) / 1.03, max(1.05, *ends) * 1.03
    x = logarithmic(low, high, left, right)
    y = linear(-0.5, len(named) - 0.5, top, bottom)
    ticks = [t for t in log_tick_places(low, high, 5) if low <= t <= high]
    drawn.x_axis(ticks, x, top, bottom, lambda value: number(value) + "×")
    drawn.line([(x(1), top), (x(1), bottom)], "ink", 1)
    if whole.noise is not None:
        drawn.line([(x(min(max(v, low), high)), bottom) for v in whole.noise], "band", 5)
    for i, (name, marks) in enumerate(named):
        drawn.text(left - 6, y(i), name, 9, "end", "ink", name == "all")
        for k, (ratio, hollow) in enumerate(marks):
            _mark(drawn, ratio, hollow, x, y(i) + (k - (len(marks) - 1) / 2) * 7)
    if whole.noise is not None:
        drawn.line([(left, bottom + 52), (left + 8, bottom + 52)], "band", 5)
        drawn.text(left + 12, bottom + 52, "noise: the baseline against itself")
    drawn.text(left, bottom + 24, "●", colour="blue")
    drawn.text(left + 12, bottom + 24, "gain when switched on; right of 1 is less")
    drawn.text(left, bottom + 38, "○", colour="vermillion")
    drawn.text(left + 12, bottom + 38, "what all take without it, over all")
    return drawn


def _mark(drawn: Plot, ratio: Ratio, hollow: bool, x: Scale, at: float) -> None:
    colour = "vermillion" if hollow else "blue"
    drawn.line([(x(ratio.low), at), (x(ratio.high), at)], colour, 2.2)
    drawn.dot(x(ratio.value), at, 6, colour, hollow)
