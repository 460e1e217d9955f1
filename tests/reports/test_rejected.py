# SPDX-License-Identifier: MIT
"""A row that the recorder rejected costs the claims about it, and nothing else."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from build import Store, noisy
from judged import COUNTED, GAIN, TICKS, claims_of, report_of

from reports.document import Report, exit_code
from reports.gain import gain_finding, gain_lines
from reports.html import to_html
from reports.terminal import print_report

WHY = "largest_now is 8 in boot 1, 16 in boot 2"
LIFO = {**TICKS, "row": '"heap/lifo_64/hybrid"'}


def made(store: Store, folder: Path, outcome: str, *claims: dict[str, str]) -> Report:
    host = store.machine("host-native", outcome=outcome, detail="said by the recorder")
    for aa in (0, 1):
        host.row("heap/pair_64/linked_list", noisy(180, 2 + aa), aa=aa)
    host.row("heap/pair_64/hybrid", noisy(15, 1))
    host.row("heap/lifo_64/hybrid", noisy(15, 4), status="not deterministic")
    host.counter("heap/pair_64/hybrid", "served", 7)
    host.fact("rejected.heap/lifo_64/hybrid", WHY)
    host.seal()
    return report_of(store, claims_of(folder, *claims))


def test_a_rejected_row_costs_only_the_claims_about_it(store: Store, tmp_path: Path) -> None:
    report = made(store, tmp_path, "rows rejected", GAIN, LIFO)
    (gain,), (lifo,) = (report.verdicts.of(f"a.claim{i}") for i in (0, 1))
    assert gain.verdict == "met"
    assert lifo.verdict == "no data"
    assert lifo.note == f"heap/lifo_64/hybrid: not deterministic ({WHY})"
    assert report.headline.startswith("1 of 2 claims met, 1 no data")
    assert exit_code(report.run) == 40
    assert report.troubles == (
        "host-native: 1 row without a number: heap/lifo_64/hybrid: not deterministic"
        f" ({WHY}). Only claims about such rows have no data",
    )


def test_of_a_damaged_stream_no_claim_is_judged_and_the_headline_says_so(
    store: Store, tmp_path: Path
) -> None:
    report = made(store, tmp_path, "stream damaged", GAIN, LIFO)
    assert {j.verdict for j in report.verdicts.judgements} == {"no data"}
    assert report.headline == "no claim judged, stream damaged — host-native (tsc)"


@pytest.mark.parametrize("other", [LIFO, COUNTED], ids=["rejected", "no counter"])
def test_where_rows_were_measured_nothing_says_that_none_was(
    store: Store, tmp_path: Path, other: dict[str, str]
) -> None:
    lifo = {**GAIN, "row": other["row"], "baseline": '"heap/lifo_64/linked_list"'}
    report = made(store, tmp_path, "rows rejected", lifo, other)
    assert gain_finding(gain_lines(report)) == (
        "None of these claims has data in this run. No data for a.claim0."
    )
    assert "Nothing measured" not in to_html(report)


def test_the_terminal_lists_counters_only_of_the_rows_asked_for(
    store: Store, tmp_path: Path
) -> None:
    report = made(store, tmp_path, "rows rejected", GAIN)
    shown = {}
    for pattern in ("*", "heap/*"):
        stream = io.StringIO()
        print_report(report, pattern, stream)
        shown[pattern] = stream.getvalue()
    assert "served" not in shown["*"]
    assert "1 counter of host-native: on the page and in tables.txt" in shown["*"]
    assert re.search(r"heap/pair_64/hybrid +served +7 ", shown["heap/*"])
    assert re.search(r">served<", to_html(report))
