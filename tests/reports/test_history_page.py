# SPDX-License-Identifier: MIT
"""What the page says of nights, of claims across clocks, in words, and over time; and what it
costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy
import pytest
from build import Store, noisy
from conftest import ROOT
from judged import claims_text, TICKS, report_of
from nights_built import EXACT, HOST, ROW, Campaign
from page_check import lacking

from reports import across, history_page, synthesis, timeline
from reports.claims import load_claims
from reports.history_page import NightsView, nights_view
from reports.html import SIGNS, to_html
from reports.ledger import _digest, _json, open_ledger
from reports.store import load_run, open_store
from reports.write import write_report

SOAK = os.environ.get("TICKMARK_SOAK") == "1"


def view_of(campaign: Campaign, run: str) -> NightsView:
    claims = load_claims(campaign.claims)
    with open_store(campaign.store.path) as connection:
        view = nights_view(campaign.store.results, load_run(connection, run), claims)
    assert view is not None
    return view


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Fourteen nights: on the fifth the kernel was another, on the eighth an exact row stepped, on
    the last another step, of which nobody knows yet whether it stays."""
    folder = tmp_path_factory.mktemp("nights")
    (folder / "claims.toml").write_text(claims_text(TICKS))
    made = Campaign(Store(folder / "results"), folder / "claims.toml")
    for night in range(1, 15):
        exact = 5000 + (night >= 8) + (night >= 14)
        made.night(exact=exact, facts={"host.kernel": f"Linux {6 + (night >= 5)}"})
    return made


def test_the_page_tells_confirmed_steps_from_provisional_ones(campaign: Campaign) -> None:
    view = view_of(campaign, "n014")
    exact = next(one for one in view.machines if one.machine == EXACT)
    rows = [[cell.text for cell in row] for row in history_page.steps_table(exact).rows]
    assert [(row[0], row[3], row[5]) for row in rows] == [
        (ROW, "50.02", "provisional"),
        (ROW, "50.01", "confirmed"),
    ]
    text = history_page.trend_finding(exact)
    assert "1 of 4 rows stepped" in text and "1 of these steps provisional" in text
    environment = history_page.environment_table(view)
    assert {row[2].text for row in environment.rows} == {"host.kernel"}
    assert history_page.night_finding(view).startswith(f"1 row changed: {ROW}.")


def test_the_page_of_an_older_night_knows_nothing_of_later_ones(campaign: Campaign) -> None:
    view = view_of(campaign, "n009")
    assert [len(one.dates) for one in view.machines] == [9, 9]
    assert view.screens[0].run == "n009" and not view.alarming


def test_the_measured_rate_of_false_alarms_is_told(campaign: Campaign) -> None:
    text = history_page.gate_finding(view_of(campaign, "n014"))
    found = re.search(r"looked at (\d+) times; the gate doubted (\d+)", text)
    assert found is not None and int(found[1]) > 0, text


def test_a_run_that_was_no_night_has_no_nights(campaign: Campaign) -> None:
    campaign.record("mine")
    with open_store(campaign.store.path) as connection:
        mine = load_run(connection, "mine")
    assert nights_view(campaign.store.results, mine, load_claims(campaign.claims)) is None


def test_every_plot_has_words_and_table_and_the_bytes_are_the_same(
    campaign: Campaign, tmp_path: Path
) -> None:
    report = report_of(campaign.store, load_claims(campaign.claims), "n014")
    view = view_of(campaign, "n014")
    page = to_html(report, nights=view)
    assert lacking(page) == [] and "Trends on qemu-exact" in page
    for name in ("a", "b"):
        write_report(report, tmp_path / name / "report", lambda _: None, view)
    for file in ("index.html", "summary.md", "report.json"):
        one, two = ((tmp_path / name / "report" / file).read_bytes() for name in ("a", "b"))
        assert one == two
    assert "## Since the last night" in (tmp_path / "a/report/summary.md").read_text()


# ---- across clocks, in words, over time ---------------------------------------------------------


def test_a_claim_stands_in_one_row_on_every_clock(whole: Store) -> None:
    report = report_of(whole, load_claims())
    table = across.across_table(report)
    assert table.columns == ("claim", "ticks", "instructions", "verdict", "decided by")
    rows = {row[0].text: [cell.text for cell in row] for row in table.rows}
    gain = rows["alloc.hybrid.gain"]
    assert "×" in gain[1] and "×" in gain[2]
    assert gain[4].startswith("host-native; instructions ")
    counted = rows["alloc.thread_cache.hit_rate"]
    assert counted[4] == "host-native, qemu-exact", "a counter is exact on every clock"


def test_the_map_has_a_cell_for_each_claim_with_data(whole: Store) -> None:
    report = report_of(whole, load_claims())
    plot = across.heat_plot(report, SIGNS)
    assert plot is not None
    told = {j.claim.id for j in report.verdicts.judgements if j.verdict != "no data"}
    assert {words for words in plot.texts if words in {c.id for c in report.claims.claims}} == told
    narrow = across.heat_plot(report, SIGNS, narrow=True)
    assert narrow is not None and narrow.width < plot.width


def test_words_say_who_won_where_it_loses_and_on_what_clock(store: Store) -> None:
    host = store.machine()
    for case, ours, base, peer in (("a", 100, 400, 80), ("b", 100, 150, 200), ("c", 100, 90, 100)):
        host.row(f"heap/{case}/hybrid", [ours] * 9)
        host.row(f"heap/{case}/linked_list", [base] * 9)
        host.row(f"heap/{case}/jemalloc", [peer] * 9, role="peer")
    host.seal()
    (one,) = synthesis.paragraphs(report_of(store, load_claims()))
    assert one.text == (
        "On host-native, in ticks: the best product beats its baseline in 2 of 3 cases, by a median"
        " of 2.75×: most in a (hybrid 4× over linked_list), least in b (hybrid 1.5× over"
        " linked_list). It loses in c (hybrid takes 1.11× what linked_list does). the best product"
        " beats the best peer in 1 of 3 cases and equals it in 1, by a median of 2×: most in b"
        " (hybrid 2× over jemalloc). It loses in a (hybrid takes 1.25× what jemalloc does)."
    ).replace("). the best", "). The best")


def test_the_controllers_time_line_names_its_decisions(store: Store) -> None:
    made = store.machine("qemu-exact")
    made.row("driver/phases/adaptive", [10] * 4, rounds=2)
    for ms, load, mode in ((200, 500, 2), (400, 5000, 3), (600, 20000, 4), (800, 500, 2)):
        made.counter("driver/phases/adaptive", f"load_by_ms@{ms}", load)
        made.counter("driver/phases/adaptive", f"mode_priority_by_ms@{ms}", mode)
        made.counter("driver/phases/adaptive", f"latency_ns_by_ms@{ms}", 90_000 // mode)
    made.seal()
    report = report_of(store, load_claims())
    (line,) = timeline.time_lines(report.intact[0])
    text = timeline.finding(line)
    assert "interrupt from 200 ms on" in text and "polling from 600 ms on" in text
    assert [row[2].text for row in timeline.table(line).rows] == [
        *("interrupt", "hybrid", "polling", "interrupt"),
    ]
    page = to_html(report)
    assert "The adaptive controller over time" in page and lacking(page) == []


def test_a_measured_time_line_names_a_mode_where_all_boots_agree(store: Store) -> None:
    made = store.machine("host-x86_64")
    made.row("driver/phases/adaptive", [10] * 4, rounds=2)
    shares = {100: (3, 0, 0), 200: (1, 2, 0), 300: (1, 0, 2), 400: (0, 3, 0), 500: (0, 0, 3)}
    for ms, boots in shares.items():
        made.counter("driver/phases/adaptive", f"load_by_ms@{ms}", ms, 3, "observed")
        for mode, count in zip(("interrupt", "hybrid", "polling"), boots):
            name = f"mode_{mode}_by_ms@{ms}"
            made.counter("driver/phases/adaptive", name, count, 3, "observed")
        for name in ("latency_ns_by_ms", "device_ns_by_ms", "cpu_percent_by_ms"):
            made.counter("driver/phases/adaptive", f"{name}@{ms}", ms, 3, "observed")
    made.seal()
    report = report_of(store, load_claims())
    (line,) = timeline.time_lines(report.intact[0])
    table = timeline.table(line)
    # Neither half interrupt and half polling, nor any other mean, is a mode.
    assert [row[2].text for row in table.rows] == [
        *("interrupt", "mixed", "mixed", "hybrid", "polling"),
    ]
    assert "CPU, %" in table.columns and "of it the device, ns" in table.columns
    assert "mixed from 200 ms on" in timeline.finding(line)
    assert lacking(to_html(report)) == []


# ---- scale --------------------------------------------------------------------------------------

CASES = 50  # of four rows each
YEAR = 365 if SOAK else 120


def large_store(folder: Path) -> str:
    """A run of three machines with 200 rows each, and nights before it."""
    store, run = Store(folder), "20261121T101500Z-1a2b3c4"
    random = numpy.random.default_rng(1)
    for name, clock in ((HOST, "tsc"), ("baremetal-pc", "core"), (EXACT, "insn")):
        made = store.machine(name, run, clock=clock)
        rounds = 2 if clock == "insn" else 10
        for case in range(CASES):
            for place, variant in enumerate(("linked_list", "hybrid", "floor", "peer")):
                middle = 1000 * (place + 2) + case
                samples = [middle] * 9 if clock == "insn" else noisy(middle, case, 30)
                made.row(f"heap/case_{case}/{variant}", samples, rounds=rounds, operations=100)
        made.seal()
    with open_ledger(folder / "nights.db", write=True) as ledger:
        ledger.execute("BEGIN")
        for night in range(YEAR):
            for name, clock in ((HOST, "tsc"), ("baremetal-pc", "core"), (EXACT, "insn")):
                ids = sorted(
                    f"heap/case_{c}/{v}"
                    for c in range(CASES)
                    for v in ("linked_list", "hybrid", "floor", "peer")
                )
                noise = 0.0 if clock == "insn" else 0.01
                values = 20 * numpy.exp(noise * random.standard_normal(len(ids)))
                unit = {"tsc": "ticks", "core": "core cycles", "insn": "instructions"}[clock]
                same = {"unit": unit, "definition": "00112233445566aa", "operations": 100}
                columns: dict[str, object] = {k: [v] * len(ids) for k, v in same.items()}
                columns |= {"id": ids, "role": ["product"] * len(ids), "value": values.tolist()}
                about = {"target": name, "clock": clock, "commit": "c", "outcome": "complete"}
                text = _json({**about, "complete": True, "facts": {}})
                kept = zlib.compress(_json(columns).encode())
                last = night == YEAR - 1
                line = (run if last else f"r{night}", name, "night", "2026-01-01", text, kept)
                ledger.execute(
                    "INSERT INTO night (run, machine, kind, utc, about, rows, digest)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*line, _digest(line)),
                )
        ledger.execute("COMMIT")
    return run


def test_a_year_of_nights_costs_little(tmp_path: Path) -> None:
    """365 nights, 200 rows, 3 machines: 5 s of CPU and 500 MB. Here a third of the nights, because
    whoever runs tests has other work; the soak takes the year."""
    large_store(tmp_path / "results")
    # It says itself what it took: the parent's figure of it begins with what the parent has.
    program = (
        "import atexit, os, runpy, sys\n"
        "told = lambda: print('cpu', sum(os.times()[:2]), open('/proc/self/status').read())\n"
        "atexit.register(told); runpy.run_module('reports', run_name='__main__')"
    )
    words = [sys.executable, "-c", program, "report", f"results={tmp_path / 'results'}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spent = float(re.search(r"^cpu ([\d.]+) ", done.stdout, re.M)[1])  # type: ignore[index]
    peak = int(re.search(r"^VmHWM:\s+(\d+) kB$", done.stdout, re.M)[1])  # type: ignore[index]
    assert spent < 5, f"{spent:.1f} s of CPU"
    assert peak < 500 * 1024, f"{peak >> 10} MiB"
    page = (tmp_path / "results" / "report" / "index.html").read_text()
    assert f"{YEAR} nights" in page
    size = (tmp_path / "results" / "nights.db").stat().st_size
    assert size < YEAR * 3 * 8000, "the ledger grows by some kilobytes a night"


def test_a_whole_run_has_words_and_a_map(whole: Store) -> None:
    page = to_html(report_of(whole, load_claims()))
    assert "In words" in page and "At a glance" in page and lacking(page) == []
