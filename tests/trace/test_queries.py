# SPDX-License-Identifier: MIT
"""The queries that are shipped for Perfetto, over SQLite tables of the documented shape: each gives
what the trace contains. Perfetto's own trace processor does not run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.trace_summary import Summary
from sqlite_tables import Tables

from reports.trace_read import TraceFile

ROOT = Path(__file__).resolve().parents[2]
QUERIES = ROOT / "reports/queries"
# Query -> a trace that a script made, and what it must say of it, worked out from the script.
ANSWERS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "wake_up_latency": (
        "sched_script",
        [("pong", 3, 19, 6, 11, 11), ("batch", 2, 14, 4, 10, 10), ("ping", 1, 10, 10, 10, 10)],
    ),
    "who_wakes_whom": (
        "sched_script",
        [
            ("ping", "pong/1", 2),
            ("idle/0", "ping", 1),
            ("idle/1", "pong/1", 1),
            ("ping", "batch_1", 1),
            ("pong/1", "batch_1", 1),
        ],
    ),
    "cpu_shares": (
        "sched_script",
        [
            (0, "sched", 2, 750),
            (0, "idle", 3, 125),
            (0, "batch", 2, 85),
            (0, "ping", 1, 40),
            (1, "pong", 3, 57),
            (1, "ping", 1, 56),
            (1, "idle", 2, 52),
        ],
    ),
    "switch_gaps": (
        "sched_script",
        [
            ("D", 1, 1, 36, 36, 36),  # batch_1 waits for ping's end
            ("R", 1, 4, 25, 110, 250),  # idle threads, and the row's own
            ("R+", 0, 1, 35, 35, 35),  # ping, from CPU 0 to CPU 1
            ("S", 1, 2, 42, 54, 66),  # pong/1
        ],
    ),
    "preempted_operations": ("sched_script", [("allocate", "ping", 1)]),
    "moves": ("sched_script", [("ping", 1)]),
    "messages": ("late", [("producer to consumer", 2, 10, 10)]),
    "slow_windows": (
        "slow",
        [
            ("heap/pair_64/hybrid", 3100, 200, 0, 0, None),
            ("heap/pair_64/hybrid", 3700, 100, 0, 0, None),
        ],
    ),
    "by_row": (
        "one_row",
        [("heap/pair_64/hybrid", "allocate", 2, 20), ("heap/pair_64/hybrid", "release", 1, 4)],
    ),
    "slice_percentiles": (
        "longest",
        [("hybrid", "allocate", 193, 1955, 10, 10, 35)],
    ),
    "request_hops": (
        "devices",
        [
            ("interrupt to done", 3, 7, 10),
            ("submitted to done", 1, 80, 80),
            ("submitted to interrupt", 3, 56, 90),
            ("submitted to submitted", 1, 85, 85),
        ],
    ),
}


def rows(query: str, tables: Tables) -> list[tuple[Any, ...]]:
    text = (QUERIES / f"{query}.sql").read_text(encoding="utf-8")
    return tables.database.execute(text).fetchall()


@pytest.mark.parametrize("query", sorted(ANSWERS))
def test_a_query_says_what_the_script_did(query: str, made: Path, decode: Any) -> None:
    trace, expected = ANSWERS[query]
    assert rows(query, Tables(made / f"{trace}.perfetto-trace", decode)) == expected


def test_every_query_is_shipped_tested_and_documented() -> None:
    shipped = {path.stem for path in QUERIES.glob("*.sql")}
    assert shipped == set(ANSWERS)
    text = (ROOT / "docs/trace.md").read_text(encoding="utf-8")
    assert all(f"`{name}.sql`" in text for name in shipped)


def test_an_interrupt_that_overlaps_a_slow_window_is_found_by_the_query(
    made: Path, decode: Any
) -> None:
    tables = Tables(made / "devices.perfetto-trace", decode)
    (track,) = tables.database.execute("SELECT id FROM track WHERE name GLOB '*/*/*'").fetchone()
    tables.put("slice", None, 1230, 10, track, "bench", "slow window", 1, None)
    ((row, at, takes, count, took, names),) = rows("slow_windows", tables)
    assert (row, at, takes, count, took) == ("drivers/read/interrupt", 1230, 10, 2, 42)
    assert set(names.split(",")) == {"IRQ (device)", "IRQ (timer)"}


def test_the_summary_made_without_perfetto_says_the_same(made: Path, decode: Any) -> None:
    path = made / "sched_script.perfetto-trace"
    trace, summary = TraceFile(path.read_bytes()), Summary()
    for row in trace.rows():
        summary.add(row, trace.roles, None)
    told = {
        role: (len(each), sum(each), max(each)) for role, each in summary.wakings.items() if each
    }
    answers = rows("wake_up_latency", Tables(path, decode))
    assert told == {role: (times, ns, most) for role, times, ns, _, _, most in answers}
