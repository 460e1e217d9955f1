# SPDX-License-Identifier: MIT
"""The noise: how the baseline differs from itself, what the timer costs, what the machine is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp, log

import numpy

from reports.claims import variant_of
from reports.intervals import Interval
from reports.measure import baseline_twins, noise_interval, status_of
from reports.store import Machine, Row
from reports.tables import Cell, Table, cases_of
from reports.text import DASH, number, percent_level, several, unit_name

SHARE_GOAL = 0.01  # what calibration keeps the timer's part of a window under
CLOCK_FACTS = "guest.clock."

# What of a machine makes noise, or tells where it comes from: fact, and how it is named here.
ENVIRONMENT = (
    ("host.cpu", "processor"),
    ("host.family", "family/model/stepping"),
    ("host.microcode", "microcode"),
    ("host.smt", "SMT"),
    ("host.turbo", "turbo"),
    ("host.governor", "frequency governor"),
    ("host.hypervisor", "under a hypervisor"),
    ("host.kernel", "kernel"),
    ("host.memory", "memory"),
    ("host.mitigations", "mitigations"),
    ("qemu.version", "QEMU"),
    ("guest.cpu.brand", "processor the target sees"),
    ("guest.hypervisor", "hypervisor the target sees"),
    ("guest.host.pinned_cpu", "pinned to CPU"),
    ("guest.events.counted", "disturbances counted"),
)

# The clock's proof: fact, how it is named, its unit ("ticks": that of the clock).
PROOF = (
    ("class", "clock", ""),
    ("window_stop", "a window ends with", ""),
    ("step", "the counter moves in steps of", "ticks"),
    ("pair_min", "empty pair, least: the timer's cost", "ticks"),
    ("pair_max", "empty pair, most", "ticks"),
    ("pairs_negative", "pairs that ran backwards", "count"),
    ("100_instructions", "100 instructions read", "ticks"),
    ("hz", "ticks a second", "hertz"),
    ("hz_measured", "ticks a second, measured", "hertz"),
    ("hz_source", "its other source", ""),
)


@dataclass(frozen=True)
class SelfTest:
    """The baseline of a case against itself: gain and interval as per cent of the baseline."""

    case: str
    baseline: str
    middle: float
    low: float
    high: float
    level: float
    n: int

    @property
    def reach(self) -> float:
        """How far it is from nothing, to the side where it is farther."""
        return max(abs(self.low), abs(self.high))


def self_tests(machine: Machine, alpha: float) -> list[SelfTest]:
    """A/A of each case that has it, through the pipeline of the gains; the widest first."""
    found = []
    for case in cases_of(machine):
        twins = baseline_twins(machine, case)
        interval = noise_interval(machine, case, "median", alpha)
        if twins is not None and interval is not None:
            found.append(_self_test(case, variant_of(twins[0].id), interval))
    return sorted(found, key=lambda test: (-test.reach, test.case))


def _self_test(case: str, baseline: str, found: Interval) -> SelfTest:
    middle, low, high = (100 * (exp(v) - 1) for v in (found.middle, found.low, found.high))
    return SelfTest(case, baseline, middle, low, high, found.level, found.n)


def signed_percent(value: float) -> str:
    """+0.12 %, with a true minus and two digits: noise is small."""
    shown = f"{value:+.2f}"
    return ("0.00" if float(shown) == 0 else shown).replace("-", "\u2212") + "\u00a0%"


def reach_text(reach: float) -> str:
    """±1.83 %; what is less than a hundredth is not called nothing."""
    return (f"±{reach:.2f}" if reach >= 0.005 else "<\u00a00.01") + "\u00a0%"


def self_test_table(machine: Machine, tests: list[SelfTest]) -> Table:
    """A line for each case; those that have no baseline have no line, and the note says so."""
    rows = tuple(
        (
            Cell(test.case, "name", test.baseline),
            Cell(signed_percent(test.middle), "number"),
            Cell(signed_percent(test.low), "number"),
            Cell(signed_percent(test.high), "number"),
            Cell(reach_text(test.reach), "number"),
            Cell(number(test.n), "number"),
        )
        for test in tests
    )
    levels = sorted({percent_level(test.level) for test in tests})
    without = [case for case in cases_of(machine) if case not in {test.case for test in tests}]
    note = f"n rounds or boots; intervals at {' and '.join(levels)}." if levels else ""
    if without:
        note += f" No baseline to run against itself: {', '.join(without)}."
    columns = ("case", "A/A median", "from", "to", "not shown within", "n")
    title = f"The baseline against itself on {machine.name}"
    return Table(title, columns, rows, frozenset(range(1, 6)), note=note.strip())


def noise_finding(machine: Machine, tests: list[SelfTest]) -> str:
    """What the A/A intervals say, in words."""
    if machine.clock == "insn":
        boots = several(machine.boots, "boot")
        return (
            f"{machine.name} has no noise: its rows gave the same counts in every round of {boots},"
            " or they would stand here as not deterministic. Nothing needs to run against itself."
        )
    if not tests:
        return f"On {machine.name} no baseline ran against itself: its noise is not known."
    widest, narrowest = tests[0], tests[-1]
    text = (
        f"The widest A/A interval on {machine.name} is that of {widest.case}:"
        f" {signed_percent(widest.low)} to {signed_percent(widest.high)}; a difference smaller than"
        f" {widest.reach:.2f}\u00a0% is not shown there."
    )
    if len(tests) > 1:
        text += f" The narrowest is that of {narrowest.case}: {reach_text(narrowest.reach)}."
    off = [test.case for test in tests if test.low > 0 or test.high < 0]
    if off:
        verb = "does" if len(off) == 1 else "do"
        text += (
            f" {len(off)} of {several(len(tests), 'interval')} {verb} not hold 0"
            f" ({', '.join(off)}): there twins differ by more than chance explains, so the"
            " interval's farther end counts in both directions."
        )
    return text


# ---- the timer ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """What of a row's median window is the timer's."""

    row: str
    operations: int
    window: float
    timer: float

    @property
    def part(self) -> float:
        return self.timer / self.window


def shares(machine: Machine) -> list[Share]:
    """The rows of a machine with what the timer takes of their windows, the most first."""
    found = []
    for (_, aa), row in machine.rows.items():
        if aa == 0 and status_of(row) == "ok":
            timer = float(numpy.median([r.overhead for r in row.rounds]))
            samples = numpy.concatenate([r.samples for r in row.rounds])
            window = float(numpy.median(samples)) + timer
            if window > 0:
                found.append(Share(row.id, row.operations, window, timer))
    return sorted(found, key=lambda share: (-share.part, share.row))


def shares_table(machine: Machine, found: list[Share]) -> Table:
    rows = tuple(
        (
            Cell(share.row, "name"),
            Cell(number(share.operations), "number"),
            Cell(number(share.window), "number"),
            Cell(number(share.timer), "number"),
            Cell(part_text(share.part), "number"),
        )
        for share in found
    )
    columns = ("row", "operations", "window, p50", "of it the timer", "share")
    title = f"The timer's part of a window on {machine.name}, {_unit(machine)}"
    note = (
        "The timer's part is taken off every sample before it is divided by the operations; what"
        " stands here is how large a mistake in it could be."
    )
    return Table(title, columns, rows, frozenset(range(1, 5)), note=note)


def part_text(part: float) -> str:
    """A share in per cent: two digits that count, none of them invented."""
    per_cent = 100 * part
    return ("<\u00a00.001" if per_cent < 0.001 else f"{per_cent:.2g}") + "\u00a0%"


def timer_finding(machine: Machine, found: list[Share]) -> str:
    """How much of the windows is the timer's, in words."""
    if not found:
        return f"No row of {machine.name} has a number."
    above = [share for share in found if share.part >= SHARE_GOAL]
    most = found[0]
    text = (
        f"The timer takes less than 1\u00a0% of the window in {len(found) - len(above)} of"
        f" {several(len(found), 'row')} of {machine.name}; the most in {most.row},"
        f" {part_text(most.part)}."
    )
    if len(above) > 1:
        text += f" Also above: {', '.join(share.row for share in above[1:5])}"
        text += f" and {len(above) - 5} more." if len(above) > 5 else "."
    return text


def timer_table(machine: Machine) -> Table:
    """What a window around nothing costs, boot by boot, as the rounds had it taken off; what the
    clock's proof found beside it."""
    boots: dict[int, list[int]] = {}
    for row in machine.rows.values():
        for r in row.rounds:
            boots.setdefault(r.boot, []).append(r.overhead)
    lines = []
    for boot, taken in sorted(boots.items()):
        least, most = (fact_of_boot(machine, name, boot) for name in ("pair_min", "pair_max"))
        lines.append(
            (
                Cell(str(boot)),
                Cell(number(min(taken)), "number"),
                Cell(number(max(taken) - min(taken)), "number"),
                Cell(least, "number"),
                Cell(most, "number"),
                Cell(number(len(taken)), "number"),
            )
        )
    columns = ("boot", "taken off, least", "its spread", "proof, least", "proof, most", "rounds")
    title = f"The empty twin of a window on {machine.name}, {_unit(machine)}"
    return Table(title, columns, tuple(lines), frozenset(range(1, 6)))


def fact_of_boot(machine: Machine, name: str, boot: int) -> str:
    """A fact of the clock in one boot; the store has those of later boots only if they differ."""
    facts = dict(machine.facts)
    plain = facts.get(CLOCK_FACTS + name, DASH)
    shown = facts.get(f"{CLOCK_FACTS}{name}:boot{boot}", plain)
    return number(int(shown)) if shown.isdecimal() else shown


def proof_table(machine: Machine) -> Table:
    """The figures of the clock's proof in the first boot."""
    facts = dict(machine.facts)
    lines = []
    for key, name, kind in PROOF:
        value = facts.get(CLOCK_FACTS + key)
        if value is None or (kind == "hertz" and value == "0"):
            continue
        if key == "step" and machine.clock == "insn":
            continue  # all empty pairs are alike there: it is their length and nothing else
        if value.isdecimal() and kind:
            unit = {"ticks": unit_name(_unit(machine), int(value)), "hertz": "Hz"}.get(kind, "")
            value = f"{number(int(value))}\u00a0{unit}".rstrip("\u00a0")
        lines.append((Cell(name, "name"), Cell(value)))
    return Table(f"The clock of {machine.name}", ("figure", "value"), tuple(lines))


def proof_finding(machine: Machine) -> str:
    """What the proof of the clock found, in words."""
    facts = dict(machine.facts)
    said = {key: facts.get(CLOCK_FACTS + key, "") for key, _, _ in PROOF}
    if machine.clock == "insn":
        return (
            f"100 instructions read {said['100_instructions'] or 'an unknown count'}; an empty pair"
            f" reads {said['pair_min'] or 'an unknown count'} each time."
        )
    backwards = {"0": "None", "": "An unknown number"}.get(said["pairs_negative"])
    text = f"{backwards or said['pairs_negative']} of the clock's pairs ran backwards"
    if said["step"].isdecimal():
        text += f"; the counter moves in steps of {number(int(said['step']))}"
    if said["hz"].isdecimal() and said["hz_measured"].isdecimal() and int(said["hz_measured"]):
        ratio = int(said["hz_measured"]) / int(said["hz"])
        if ratio > 0:
            text += f"; its two frequencies differ by {abs(log(ratio)) * 1e6:.0f} millionths"
    return text + "."


def environment_table(machine: Machine) -> Table:
    """What of the machine bears on noise, as far as the run knows."""
    facts = dict(machine.facts)
    lines = tuple(
        (Cell(name, "name"), Cell(_as_read(key, facts[key])))
        for key, name in ENVIRONMENT
        if key in facts
    )
    return Table(f"Where {machine.name} ran", ("what", "as found"), lines)


def _as_read(key: str, value: str) -> str:
    """A fact as a person reads it; one that is not of the form expected stays as it is."""
    if key == "host.memory" and (found := re.fullmatch(r"(\d+) kB", value)):
        return f"{int(found[1]) / (1 << 20):.1f}\u00a0GiB"
    if key == "host.smt":
        return {"notsupported": "not supported", "forceoff": "forced off"}.get(value, value)
    if key == "host.mitigations":
        kept, count = re.subn(r"[a-z0-9_]+: Not affected(; |$)", "", value)
        return f"{kept.rstrip('; ')}; not affected by {count} more" if count else value
    return value


def _unit(machine: Machine) -> str:
    rows: list[Row] = list(machine.rows.values())
    return rows[0].unit if rows else "ticks"
