# SPDX-License-Identifier: MIT
"""Small claims files and runs, judged: what most of these tests begin with."""

from __future__ import annotations

from pathlib import Path

from build import Store

from reports.claims import Claims, load_claims
from reports.document import Report, make_report
from reports.judge import Judgement
from reports.store import load_run, open_store
from reports.which import resolve

GAIN = {
    "kind": '"ratio"',
    "band": "[10, 20]",
    "row": '"heap/pair_64/hybrid"',
    "baseline": '"heap/pair_64/linked_list"',
    "statistic": '"median"',
}
TICKS = {
    "kind": '"at_most"',
    "band": "[10, 20]",
    "unit": '"ticks"',
    "row": '"heap/pair_64/hybrid"',
    "statistic": '"median"',
}
COUNTED = {
    "kind": '"at_least"',
    "value": "90",
    "unit": '"percent"',
    "row": '"heap/pair_64/hybrid"',
    "statistic": '"counter:hit_rate"',
}


def claims_text(*claims: dict[str, str], extra: str = "") -> str:
    """A claims file; each claim is a dictionary of TOML values, its id made up if it has none."""
    lines = ["[designs]", 'd = "a design"', 'house = "goals"', extra]
    for i, claim in enumerate(claims):
        lines.append("[[claim]]")
        given = {"id": f'"a.claim{i}"', "design": '"d"', "what": '"something"', **claim}
        lines += [f"{key} = {value}" for key, value in given.items()]
    return "\n".join(lines) + "\n"


def claims_of(folder: Path, *claims: dict[str, str], extra: str = "") -> Claims:
    path = folder / "claims.toml"
    path.write_text(claims_text(*claims, extra=extra), encoding="utf-8")
    return load_claims(path)


def report_of(store: Store, claims: Claims, run: str = "") -> Report:
    with open_store(store.path) as connection:
        return make_report(claims, load_run(connection, resolve(connection, run or "latest")))


def judgements(
    store: Store, folder: Path, *claims: dict[str, str], extra: str = ""
) -> tuple[Judgement, ...]:
    """Everything judged in the newest run."""
    return report_of(store, claims_of(folder, *claims, extra=extra)).verdicts.judgements


def judged(store: Store, folder: Path, claim: dict[str, str], extra: str = "") -> Judgement:
    """The one judgement of one claim on one machine."""
    (only,) = judgements(store, folder, claim, extra=extra)
    return only
