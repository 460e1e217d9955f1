# SPDX-License-Identifier: MIT
"""The adaptive controller over time: the load that came, the mode it chose, and what that cost."""

from __future__ import annotations

from dataclasses import dataclass

from reports.claims import case_of, variant_of
from reports.plot import INCH, Place, Plot, Scale, even_ticks, linear, steps
from reports.points import Point, points_of
from reports.store import Machine
from reports.tables import Cell, Table
from reports.text import number, several

LOAD, MODE = "load_by_ms", "mode_priority_by_ms"
# By how soon they answer (block_mode_priority).
MODES = {1: "batch", 2: "interrupt", 3: "hybrid", 4: "polling"}
# Measured, each mode has a curve: the share of boots that were in it.
SHARES = {f"mode_{mode}_by_ms": rank for rank, mode in MODES.items()}
MIXED = "mixed"  # boots disagree
COSTS = {
    "latency_ns_by_ms": "latency, ns",
    "device_ns_by_ms": "of it the device, ns",
    "left_out_by_ms": "left out",
    "cpu_percent_by_ms": "CPU, %",
}
WIDTH, PANEL, HEAD, FOOT, LEFT = 4.1, 0.8, 0.2, 0.4, 0.72  # inches
CHOOSER = "adaptive"


@dataclass(frozen=True)
class TimeLine:
    """A case whose rows tell what happened when; each row has curves by name."""

    machine: Machine
    case: str
    rows: dict[str, dict[str, tuple[Point, ...]]]

    @property
    def load(self) -> tuple[Point, ...]:
        return next(curves[LOAD] for curves in self.rows.values())

    @property
    def chooser(self) -> str:
        """The variant that changes its mode; if none does, the first."""
        changing = [name for name, c in self.rows.items() if len({y for _, y in c[MODE]}) > 1]
        return CHOOSER if CHOOSER in changing else (changing or list(self.rows))[0]


def time_lines(machine: Machine) -> list[TimeLine]:
    """The cases of a machine that have one."""
    found: dict[str, dict[str, dict[str, tuple[Point, ...]]]] = {}
    for row, counters in sorted(machine.counters.items()):
        curves = {name: points for (name, _), points in points_of(counters).items()}
        if MODE not in curves and (modes := _modes_of_boots(curves)):
            curves[MODE] = modes
        if LOAD in curves and MODE in curves:
            found.setdefault(case_of(row), {})[variant_of(row)] = curves
    return [TimeLine(machine, case, rows) for case, rows in found.items()]


def _modes_of_boots(curves: dict[str, tuple[Point, ...]]) -> tuple[Point, ...]:
    """The rank of the mode at each moment; where boots disagree one between ranks."""
    shares: dict[int, dict[int, float]] = {}
    for name, rank in SHARES.items():
        for ms, share in curves.get(name, ()):
            shares.setdefault(ms, {})[rank] = share
    return tuple((ms, _rank(of)) for ms, of in sorted(shares.items()))


def _rank(shares: dict[int, float]) -> float:
    ranks = sorted(rank for rank, share in shares.items() if share > 0)
    return float(ranks[0]) if len(ranks) == 1 else _between(ranks)


def _between(ranks: list[int]) -> float:
    # Never a rank, or two modes would look like one between them.
    return (ranks[0] + ranks[-1]) // 2 + 0.5 if ranks else 0.5


def mode_name(value: float) -> str:
    return MODES.get(int(value), "") if value == int(value) else MIXED


def finding(line: TimeLine) -> str:
    """When the chooser changed its mode, and to what."""
    changes: list[str] = []
    last = ""
    load = dict(line.load)
    for ms, value in line.rows[line.chooser][MODE]:
        mode = mode_name(value)
        if mode != last:
            changes.append(f"{mode} from {ms} ms on (load {number(load.get(ms, 0.0))} a second)")
        last = mode
    return f"{line.chooser} on {line.machine.name}: {'; '.join(changes)}."


def table(line: TimeLine) -> Table:
    """A line for each moment."""
    chosen = line.rows[line.chooser]
    load = dict(line.load)
    costs = [name for name in COSTS if name in chosen]
    lines = []
    for ms, mode in chosen[MODE]:
        cells = [Cell(str(ms), "number"), Cell(number(load.get(ms)), "number")]
        cells.append(Cell(mode_name(mode)))
        cells += [Cell(number(dict(chosen[name]).get(ms)), "number") for name in costs]
        lines.append(tuple(cells))
    columns = ("ms", "load a second", "mode", *(COSTS[name] for name in costs))
    numeric = frozenset(i for i in range(len(columns)) if i != 2)
    title = f"{line.case} over time, {line.chooser}"
    return Table(title, columns, tuple(lines), numeric, note=several(len(lines), "moment"))


def plot(line: TimeLine) -> Plot:
    """Load, mode and costs, one above the other over the same time."""
    chosen = line.rows[line.chooser]
    series = [("load, 1/s", line.load, "muted"), ("mode", chosen[MODE], "blue")]
    series += [(COSTS[n], chosen[n], "vermillion") for n in COSTS if n in chosen]
    drawn = Plot(WIDTH, HEAD + FOOT + PANEL * len(series))
    times = [ms for ms, _ in line.load]
    right = drawn.width - 0.12 * INCH
    x = linear(0, max(times), LEFT * INCH, right)
    for i, (name, points, colour) in enumerate(series):
        top = (HEAD + PANEL * i) * INCH
        bottom = top + (PANEL - 0.22) * INCH
        _panel(drawn, name, points, colour, x, (top, bottom), right)
    bottom = drawn.height - FOOT * INCH
    for tick in even_ticks(0, max(times), 6):
        drawn.text(x(tick), bottom, number(tick), anchor="middle")
    drawn.text((LEFT * INCH + right) / 2, drawn.height - 9, "ms", anchor="middle")
    return drawn


def _panel(
    drawn: Plot,
    name: str,
    points: tuple[Point, ...],
    colour: str,
    x: Scale,
    between: tuple[float, float],
    right: float,
) -> None:
    values = [value for _, value in points]
    top, bottom = between
    if name == "mode":
        y = linear(min(MODES) - 0.3, max(MODES) + 0.3, bottom, top)
        ticks = {mode_name(value): value for value in sorted(set(values)) if value in MODES}
    else:
        high = max(values) or 1.0
        y = linear(0, 1.1 * high, bottom, top)
        ticks = {number(value): value for value in (0.0, max(values))}
    for words, value in ticks.items():
        drawn.line([(LEFT * INCH, y(value)), (right, y(value))], "grid", 0.8)
        drawn.text(LEFT * INCH - 4, y(value), words, anchor="end")
    drawn.text(LEFT * INCH, top - 6, name, colour="ink")
    # A point tells of the time that ends with it.
    begun = [(0, points[0][1]), *zip((ms for ms, _ in points), (v for _, v in points[1:]))]
    corners: list[Place] = steps((x(ms) for ms, _ in begun), (y(v) for _, v in begun))
    drawn.line([*corners, (x(points[-1][0]), y(points[-1][1]))], colour, 1.8)
