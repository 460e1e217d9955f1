# SPDX-License-Identifier: MIT
"""The claims file: read strictly, since a claim misread is worse than a claim missing."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.text import clean, number, quantity

CLAIMS_FILE = Path(__file__).with_name("claims.toml")

KINDS = ("ratio", "at_most", "at_least", "assumption")
UNITS = ("ticks", "ns", "percent", "bytes", "count", "ratio")
COMPARISONS = ("gain", "over", "cut", "gained")
STATISTICS = ("median", "mean", "p99", "p99.9", "worst")
TARGETS = ("host", "qemu", "baremetal")

_CLAIM_KEYS = {
    "id",
    "design",
    "what",
    "kind",
    "band",
    "value",
    "unit",
    "row",
    "baseline",
    "as",
    "statistic",
    "whole",
    "rival",
    "note",
    "targets",
}
_FLOOR_KEYS = {"row", "ticks", "peer_ticks", "peers", "instructions_most"}
_NAME = re.compile(r"[a-z0-9_.-]+")
_COUNTER = re.compile(rf"{_NAME.pattern}(@(0|[1-9][0-9]*))?")
_ROW = re.compile(r"[a-z0-9_.-]+/[a-z0-9_.-]+/[a-z0-9_.-]+")
_ID = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


class ClaimsError(Exception):
    """The claims file is wrong; the message is one line that says where."""


@dataclass(frozen=True)
class Claim:
    """One claim. `low` and `high` are the band; a single bound has both equal and `bound` set."""

    id: str
    design: str
    what: str
    kind: str
    low: float
    high: float
    bound: bool
    unit: str
    rows: tuple[str, ...]
    baselines: tuple[str, ...]
    comparison: str
    statistic: str
    rival: tuple[float, float] | None
    note: str
    targets: tuple[str, ...]
    whole: float = 0.0  # what samples are parts of; 0: of nothing

    @property
    def counter(self) -> str:
        """The name of the counter judged, or nothing."""
        return self.statistic.partition(":")[2]

    @property
    def house(self) -> bool:
        return self.design == "house"


@dataclass(frozen=True)
class Floor:
    """A frozen bound: its committed instruction count, and its place against the best peer."""

    row: str
    peers: tuple[str, ...]
    peer_ratio: float | None
    instructions_most: float | None


@dataclass(frozen=True)
class Claims:
    claims: tuple[Claim, ...]
    floors: dict[str, Floor]
    designs: dict[str, str]


def load_claims(path: Path = CLAIMS_FILE) -> Claims:
    """All claims in the order of the file. Raises ClaimsError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ClaimsError(f"{path.name}: {clean(str(error))}") from error
    _need(set(data) <= {"claim", "floor", "designs"}, path.name, "unknown table at the top")
    designs = data.get("designs", {})
    _need(
        isinstance(designs, dict) and all(isinstance(t, str) for t in designs.values()),
        "designs",
        "wants design = title",
    )
    claims = tuple(_claim(entry, designs) for entry in _tables(data, "claim"))
    floors = tuple(_floor(entry) for entry in _tables(data, "floor"))
    _unique([claim.id for claim in claims], "claim")
    _unique([floor.row for floor in floors], "floor")
    _need(bool(claims), path.name, "holds no claim")
    return Claims(claims, {floor.row: floor for floor in floors}, designs)


def case_of(row: str) -> str:
    """heap/pair_64/hybrid -> heap/pair_64"""
    return row.rpartition("/")[0] or row


def variant_of(row: str) -> str:
    """heap/pair_64/hybrid -> hybrid"""
    return row.rpartition("/")[2]


def claimed(claim: Claim) -> str:
    """What is claimed, as a person reads it."""
    unit = "ratio" if claim.kind == "ratio" else claim.unit
    sign = {"ratio": "", "at_most": "≤\u00a0", "at_least": "≥\u00a0", "assumption": "assumed "}[
        claim.kind
    ]
    if claim.low == claim.high:
        return sign + quantity(claim.high, unit)
    return f"{sign}{number(claim.low)}–{quantity(claim.high, unit)}"


def rival_claimed(claim: Claim) -> str:
    """What the rival claims."""
    if claim.rival is None:
        return ""
    return f"{number(claim.rival[0])}–{number(claim.rival[1])}×"


def _need(condition: bool, where: str, what: str) -> None:
    if not condition:
        raise ClaimsError(f"claims: {clean(where)}: {clean(what)}")


def _tables(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    tables = data.get(name, [])
    _need(isinstance(tables, list), name, f"wants [[{name}]]")
    _need(all(isinstance(table, dict) for table in tables), name, f"wants [[{name}]]")
    return tables


def _unique(names: list[str], what: str) -> None:
    for name in names:
        _need(names.count(name) == 1, name, f"stands twice as a {what}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _pair(value: Any) -> bool:
    two = isinstance(value, list) and len(value) == 2 and all(_number(v) for v in value)
    return two and value[0] <= value[1]


def _names(value: Any, where: str, key: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    good = bool(listed) and all(isinstance(v, str) and pattern.fullmatch(v) for v in listed)
    _need(good, where, f"bad {key} {value!r}")
    return tuple(listed)


def _claim(entry: dict[str, Any], designs: dict[str, str]) -> Claim:
    where = str(entry.get("id", "a claim without id"))
    for key in sorted(set(entry) - _CLAIM_KEYS):
        _need(False, where, f"unknown key {key}")
    for key in ("id", "design", "what", "kind", "row", "statistic"):
        _need(key in entry, where, f"{key} is missing")
    for key in ("id", "design", "what", "kind", "statistic", "unit", "as", "note"):
        _need(isinstance(entry.get(key, ""), str), where, f"{key} wants text")
    _need(_ID.fullmatch(entry["id"]) is not None, where, "bad id")
    _need(entry["design"] in designs, where, f"unknown design {entry['design']}")
    kind = entry["kind"]
    _need(kind in KINDS, where, f"unknown kind {kind}")
    low, high = _bounds(entry, where)
    statistic = entry["statistic"]
    named = statistic.startswith("counter:") and _COUNTER.fullmatch(statistic[8:])
    _need(statistic in STATISTICS or bool(named), where, f"unknown statistic {statistic}")
    _need("rival" not in entry or _pair(entry["rival"]), where, "rival wants [low, high]")
    _need("rival" not in entry or entry["rival"][0] > 0, where, "rival wants numbers above 0")
    targets = _names(entry.get("targets", list(TARGETS)), where, "targets", _NAME)
    _need(set(targets) <= set(TARGETS), where, f"unknown target in {list(targets)}")
    return Claim(
        id=entry["id"],
        design=entry["design"],
        what=entry["what"],
        kind=kind,
        low=low,
        high=high,
        bound="value" in entry,
        unit=_unit(entry, where),
        rows=_names(entry["row"], where, "row", _ROW),
        baselines=_baselines(entry, where),
        comparison=_comparison(entry, where),
        statistic=statistic,
        rival=(entry["rival"][0], entry["rival"][1]) if "rival" in entry else None,
        note=entry.get("note", ""),
        targets=targets,
        whole=_whole(entry, where),
    )


def _bounds(entry: dict[str, Any], where: str) -> tuple[float, float]:
    _need(("band" in entry) != ("value" in entry), where, "wants either band or value")
    if "value" in entry:
        _need(_number(entry["value"]), where, "value wants a number")
        _need(entry["kind"] in ("at_most", "at_least"), where, "wants a band")
        return entry["value"], entry["value"]
    _need(_pair(entry["band"]), where, "band wants [low, high]")
    _need(entry["kind"] != "ratio" or entry["band"][0] > 0, where, "a ratio is above 0")
    return entry["band"][0], entry["band"][1]


def _unit(entry: dict[str, Any], where: str) -> str:
    if entry["kind"] == "ratio":
        _need("unit" not in entry, where, "a ratio has no unit")
        return "ratio"
    _need(entry.get("unit") in UNITS, where, f"unknown unit {entry.get('unit')}")
    return entry["unit"]


def _comparison(entry: dict[str, Any], where: str) -> str:
    if entry["kind"] == "ratio":
        _need("as" not in entry, where, "a ratio is always a gain")
        _need("baseline" in entry, where, "baseline is missing")
        return "gain"
    _need(("as" in entry) == ("baseline" in entry), where, "baseline and as go together")
    comparison = entry.get("as", "")
    if comparison:
        _need(comparison in COMPARISONS, where, f"unknown comparison {comparison}")
        wanted = "percent" if comparison in ("cut", "gained") else "ratio"
        _need(entry["unit"] == wanted, where, f"{comparison} gives {wanted}, not {entry['unit']}")
        _need(entry["statistic"] != "worst", where, "worst cannot be compared")
    else:
        _need(entry["unit"] != "ratio", where, "a ratio wants a baseline")
    timed = entry["statistic"] in STATISTICS
    _need(
        not timed or bool(comparison) or "whole" in entry or entry["unit"] in ("ticks", "ns"),
        where,
        f"{entry['statistic']} of samples is no {entry['unit']}",
    )
    _need(
        timed or bool(comparison) or entry["unit"] in ("percent", "bytes", "count"),
        where,
        f"a counter is no {entry['unit']}",
    )
    return comparison


def _whole(entry: dict[str, Any], where: str) -> float:
    if "whole" not in entry:
        return 0.0
    whole = entry["whole"]
    _need(_number(whole) and whole > 0, where, "whole wants a number above 0")
    shares = entry["statistic"] in STATISTICS and "baseline" not in entry
    _need(shares and entry["unit"] == "percent", where, "parts of a whole are percent of samples")
    return float(whole)


def _baselines(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    if "baseline" not in entry:
        return ()
    pattern = re.compile(f"{_ROW.pattern}|{_NAME.pattern}")
    names = _names(entry["baseline"], where, "baseline", pattern)
    rows = entry["row"] if isinstance(entry["row"], list) else [entry["row"]]
    full = any("/" in name for name in names)
    _need(not full or len(rows) == 1, where, "several rows want bare names of baselines")
    return names


def _floor(entry: dict[str, Any]) -> Floor:
    where = f"floor {entry.get('row', 'without row')}"
    for key in sorted(set(entry) - _FLOOR_KEYS):
        _need(False, where, f"unknown key {key}")
    rows = _names(entry.get("row", ""), where, "row", _ROW)
    _need(len(rows) == 1, where, "wants one row")
    for key in ("ticks", "peer_ticks", "instructions_most"):
        value = entry.get(key, 1)
        _need(_number(value) and value > 0, where, f"{key} wants a number above 0")
    _need("ticks" in entry, where, "ticks is missing")
    _need(("peers" in entry) == ("peer_ticks" in entry), where, "peers and peer_ticks go together")
    peers = _names(entry["peers"], where, "peers", _NAME) if "peers" in entry else ()
    ratio = entry["ticks"] / entry["peer_ticks"] if peers else None
    return Floor(rows[0], peers, ratio, entry.get("instructions_most"))
