# SPDX-License-Identifier: MIT
"""The gate on real runs of the same program, one after another: how often it is wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from system_run import ROOT, Bench

sys.path.append(str(ROOT))
from reports.gate import FalseAlarms  # noqa: E402
from reports.ledger import nights, open_ledger, remember  # noqa: E402
from reports.night import CONFIRMED, screen  # noqa: E402
from reports.store import load_run, open_store  # noqa: E402

SOAK = os.environ.get("TICKMARK_SOAK") == "1"
RUNS = 220
WORDS = "suites=heap filter=heap/pair_64 rounds=6 samples=20 trace=off"
# Of rows: what a night of 200 rows may confirm for nothing is less than one.
MOST = 0.005


@pytest.mark.skipif(not SOAK, reason="some minutes of measuring: scons soak")
def test_the_same_program_again_and_again_is_no_alarm(tmp_path: Path) -> None:
    """Each run is a night; the one after it is the re-run that an alarm needs."""
    results = tmp_path / "results"
    made = []
    for number in range(RUNS * 2):
        # On a busy machine the clock's proof fails now and then: that run was none.
        if Bench(results).run("host", WORDS, run=f"n{number:03d}") == 0:
            made.append(f"n{number:03d}")
        if len(made) == RUNS:
            break
    assert len(made) == RUNS
    with open_ledger(results / "nights.db", write=True) as ledger:
        with open_store(results / "history.db") as store:
            for run in made:
                (machine,) = load_run(store, run).machines
                remember(ledger, machine)
        known, wrong = nights(ledger)
    assert wrong == [] and len(known) == RUNS
    asked = doubted = confirmed = 0
    for number in range(1, RUNS - 1):
        told = screen(known[max(0, number - 41) : number + 1], known[number + 1])
        assert not told.environment, told.environment
        asked += told.judged
        doubted += len(told.moved)
        confirmed += sum(moved.said == CONFIRMED for moved in told.moved)
    rate = FalseAlarms(asked, doubted, confirmed)
    most = 100 * FalseAlarms(asked, confirmed).most
    said = f"A/A over {RUNS} runs: {asked} rows judged, {doubted} doubted, {confirmed} confirmed"
    print(f"{said} ({100 * confirmed / asked:.3f} %, at 95 % below {most:.3f} %)")
    assert rate.confirmed <= MOST * asked
