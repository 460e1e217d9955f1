# SPDX-License-Identifier: MIT
"""Perfetto's own trace processor, where there is one (trace_processor_shell on the path, or named
by TICKMARK_TRACE_PROCESSOR; Debian has none): finds nothing wrong with our traces, counts in them
what our reader counts, and answers the queries that are shipped as our tables do."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test_queries import ANSWERS, QUERIES

ROOT = Path(__file__).resolve().parents[2]
PROCESSOR = os.environ.get("TICKMARK_TRACE_PROCESSOR") or shutil.which("trace_processor_shell")
# Versions before this one know neither states nor a kernel's own tree of processes.
SINCE = (57, 0)
OLDER = {"by_row", "messages", "preempted_operations", "slice_percentiles", "slow_windows"}
TRACES = (
    "devices",
    "late",
    "one_row",
    "overflow",
    "sched_lost",
    "sched_script",
    "slow",
    "two_cpus",
)
# What the traces tell by themselves: events that were lost, a record that is cut off.
TOLD = {"traced_buf_trace_writer_packet_loss", "track_event_parser_errors_lost"}

pytestmark = pytest.mark.skipif(PROCESSOR is None, reason="no trace_processor_shell here")


def asked(query: Path, trace: Path) -> list[list[str]]:
    done = subprocess.run(
        [str(PROCESSOR), "-q", str(query), str(trace)], capture_output=True, text=True, check=True
    )
    return list(csv.reader(done.stdout.splitlines()))[1:]


@pytest.fixture(scope="session")
def version() -> tuple[int, int]:
    done = subprocess.run([str(PROCESSOR), "--version"], capture_output=True, text=True)
    found = re.search(r"v(\d+)\.(\d+)", done.stdout)
    assert found is not None, done.stdout
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("name", TRACES)
def test_it_finds_nothing_wrong_and_counts_as_we_do(name: str, made: Path, tmp_path: Path) -> None:
    trace = made / f"{name}.perfetto-trace"
    wrong = tmp_path / "wrong.sql"
    wrong.write_text("SELECT name FROM stats WHERE value > 0 AND severity != 'info'")
    found = {row[0] for row in asked(wrong, trace)}
    assert found - TOLD == set(), "it says that the trace is damaged"
    counts = tmp_path / "counts.sql"
    counts.write_text(
        "SELECT (SELECT count(*) FROM slice),"
        " (SELECT count(*) FROM counter"  # how deep a CPU sleeps is one, too
        "  WHERE track_id NOT IN (SELECT id FROM cpu_counter_track)),"
        " (SELECT count(*) FROM sched), (SELECT count(*) FROM slice WHERE dur < 0)"
    )
    ((slices, counters, turns, open_ends),) = asked(counts, trace)
    words = [sys.executable, "-m", "reports.perfetto_check", str(trace)]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ours = {what: int(number) for number, what in re.findall(r"(\d+) ([a-z]+)", said)}
    drawn = ours["slices"] + ours["instants"] + ours.get("interrupts", 0)
    assert (int(slices), int(counters)) == (drawn, ours["counter"])
    assert (int(turns) > 0) == (ours.get("switches", 0) > 0)
    assert int(open_ends) == 0 or name in ("overflow", "sched_lost")


@pytest.mark.parametrize("query", sorted(ANSWERS))
def test_a_query_says_what_the_script_did(query: str, made: Path, version: tuple[int, int]) -> None:
    if version < SINCE and query not in OLDER:
        pytest.skip("this version is too old for it")
    name, expected = ANSWERS[query]
    said = asked(QUERIES / f"{query}.sql", made / f"{name}.perfetto-trace")
    assert said == [["[NULL]" if v is None else str(v) for v in row] for row in expected]
