# SPDX-License-Identifier: MIT
"""The whole system: all baselines against all optimised, each mechanism switched alone, and whether
what they gain alone adds up to what they gain together."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from reports.claims import variant_of
from reports.document import Report
from reports.intervals import same, sign_interval
from reports.measure import (
    Series,
    Unusable,
    log_gains,
    noise_floor,
    replicates,
    series,
    status_of,
    summarise,
    undisturbed,
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


@dataclass(frozen=True)
class Ratio:
    """A ratio of costs with its interval. `shown`: beyond its interval and beyond noise it is
    another than 1."""

    value: float
    low: float
    high: float
    shown: bool

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
    round; `rest`: the whole's gain over that."""

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


def wholes(report: Report) -> tuple[Whole, ...]:
    """The cases on the machine whose clock says most, in their order; nothing where it has not both
    ends of the comparison."""
    told = [m for m in report.intact if m.clock in CLOCKS and not m.foreign]
    for machine in sorted(told, key=lambda m: CLOCKS.index(m.clock)):
        cases = [case for case in cases_of(machine) if case.partition("/")[0] == SUITE]
        cases.sort(key=lambda case: case != OPENS)
        found = [_whole(machine, case, report.verdicts.alpha) for case in cases]
        known = tuple(one for one in found if one is not None)
        if known:
            return known
    return ()


def _whole(machine: Machine, case: str, alpha: float) -> Whole | None:
    rows = {variant_of(r.id): r for r in rows_of(machine, case) if status_of(r) == "ok"}
    costs = {name: _cost(row) for name, row in rows.items()}
    base, best = costs.get(ALL), costs.get(BEST)
    if base is None or best is None:
        return None
    noise = noise_floor(machine, case, "median", alpha)
    try:
        values = _series(rows)
        whole = log_gains(values[ALL], values[BEST])
        singles = [
            single for name in rows if (single := _single(name, costs, values, noise, alpha))
        ]
        parts = [log_gains(values[ALL], values[single.name]) for single in singles]
        product, rest = _together(whole, parts, noise, alpha)
        gain = _ratio(whole, noise, alpha)
    except Unusable:
        return None
    said, how = replicates(whole)
    row = rows[ALL]
    level = sign_interval(said, alpha).level
    return Whole(
        machine,
        case,
        row.what,
        row.unit,
        (base, best),
        gain,
        tuple(singles),
        product,
        rest,
        noise,
        level,
        how,
    )


def _cost(row: Row) -> float | None:
    summary = summarise(row)
    return None if summary is None else summary.p50


def _series(rows: dict[str, Row]) -> dict[str, Series]:
    return dict(zip(rows, series(tuple(undisturbed(row) for row in rows.values()), "median")))


def _single(
    name: str,
    costs: dict[str, float | None],
    values: dict[str, Series],
    noise: tuple[float, float] | None,
    alpha: float,
) -> Single | None:
    cost, off = costs[name], WITHOUT + name
    if name in (ALL, BEST) or name.startswith(WITHOUT) or cost is None:
        return None
    taken = None
    if off in values:
        taken = _ratio(log_gains(values[off], values[BEST]), noise, alpha)
    alone = _ratio(log_gains(values[ALL], values[name]), noise, alpha)
    return Single(name, cost, alone, costs.get(off), taken)


def _together(
    whole: Series, parts: list[Series], noise: tuple[float, float] | None, alpha: float
) -> tuple[Ratio | None, Ratio | None]:
    """What the parts come to, and how much more or less the whole is, in the rounds that have all
    of them."""
    keys = set(whole).intersection(*parts)
    if not parts or not keys:
        return None, None
    product = {key: sum(part[key] for part in parts) for key in keys}
    rest = {key: whole[key] - product[key] for key in keys}
    return _ratio(product, noise, alpha), _ratio(rest, noise, alpha)


def _ratio(values: Series, noise: tuple[float, float] | None, alpha: float) -> Ratio:
    """Exact series agree in every round: then any difference is one."""
    found = sign_interval(replicates(values)[0], alpha)
    # Nine digits: what a logarithm and back does to an even ratio is no digit of it.
    value, low, high = (round(exp(v), 9) for v in (found.middle, found.low, found.high))
    apart = (low > 1 or high < 1) and not same(value, 1)
    if noise is not None:
        apart = apart and (low > noise[1] or high < noise[0])
    return Ratio(value, low, high, apart)


# ---- in words -----------------------------------------------------------------------------------


def finding(whole: Whole) -> str:
    """What a case shows, in sentences made of its numbers."""
    unit, place = unit_name(whole.unit, 2), whole.machine.name
    text = (
        f"On {place}, in {unit}: all optimised take {number(whole.costs[1])} where all baselines"
        f" take {number(whole.costs[0])}: {whole.gain.text}, {_word(whole.gain)}."
    )
    parts = [text, _alone(whole), _sum(whole), _without(whole)]
    return " ".join(part for part in parts if part)


def _word(ratio: Ratio) -> str:
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
    silent = sorted(one.name for one in whole.singles if not one.alone.shown)
    parts = [f"gain: {_listed(gains)}"] if gains else []
    parts += [f"lose: {_listed(loses)}"] if loses else []
    parts += [f"show no difference: {', '.join(silent)}"] if silent else []
    return f"Switched alone, these {'; these '.join(parts)}." if parts else ""


def _sum(whole: Whole) -> str:
    if whole.product is None or whole.rest is None:
        return ""
    text = f"Multiplied, the single ones come to {whole.product.text}"
    if not whole.rest.shown:
        return f"{text}; the whole is no other than that: they add up."
    word = "more" if whole.rest.value > 1 else "less"
    return f"{text}; the whole is {whole.rest.text} of that, {word} than its parts."


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
        more = "" if value.shown else "not shown"
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
    note = f"Intervals of {percent_level(whole.level)}, {whole.how}."
    if whole.noise is not None:
        note += f" Noise, baseline against itself: {interval(*whole.noise) or '1'}."
    title = f"The whole: {whole.case} on {whole.machine.name}"
    return Table(title, columns, tuple(lines), frozenset(range(1, 5)), note=note)


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
        drawn.line([(x(max(v, low)), bottom) for v in whole.noise], "band", 5)
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
