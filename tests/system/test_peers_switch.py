# SPDX-License-Identifier: MIT
"""Other people's context switches beside ours, on the host."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from system_run import Bench, scons

SHORT = "rounds=2 samples=2 trace=off"
PAIRS = {
    "fcontext": {"pair_jmp"},  # how each of them leaves
    "ucontext": {"pair_ret"},
}
COMMON = {"yield_inline", "yield", "live_6", "pair_256"}
COMMON |= {f"{order}_{count}" for order in ("ring", "random") for count in (16, 1000)}


def asked(bench: Bench, query: str) -> list[tuple[str, ...]]:
    return sqlite3.connect(bench.results / "history.db").execute(query).fetchall()


def facts(bench: Bench) -> dict[str, str]:
    return {
        str(key).rpartition("peers.")[2]: str(value)
        for key, value in asked(bench, "SELECT key, value FROM fact WHERE key LIKE '%.peers.%'")
    }


def rows(bench: Bench) -> dict[str, tuple[str, ...]]:
    """Role, status and definition of each row."""
    query = "SELECT id, role, status, definition FROM bench_row WHERE aa = 0"
    return {row[0]: row[1:] for row in asked(bench, query)}


def cases(bench: Bench, name: str) -> set[str]:
    return {row.split("/")[1] for row in rows(bench) if row.endswith(f"/{name}")}


def test_switches_of_others_are_in_the_cases_that_they_can_be_asked(bench: Bench) -> None:
    assert bench.run("host", f"suites=switch {SHORT}") == 0, bench.output
    told, measured = facts(bench), rows(bench)
    assert re.fullmatch(r"glibc \d\.\d+", told["ucontext"])
    assert re.match(r"Linux \d", told["futex"])
    assert cases(bench, "ucontext") == COMMON | PAIRS["ucontext"]
    assert cases(bench, "futex") == {"pair_256"}
    ours = measured["switch/pair_256/full"][2]
    for name in ("futex", "ucontext"):
        role, status, definition = measured[f"switch/pair_256/{name}"]
        assert (role, status, definition[:8]) == ("peer", "ok", ours[:8])
        assert definition[8:] != ours[8:]
    if told["fcontext"] == "absent":
        pytest.skip("no fcontext; ./install-deps --peers installs it")
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["fcontext"])
    assert cases(bench, "fcontext") == COMMON | PAIRS["fcontext"]


def test_without_the_library_there_is_no_row_and_a_fact_says_why(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKMARK_PEERS", str(tmp_path))
    assert bench.run("host", f"filter=switch/yield_inline {SHORT}") == 0, bench.output
    told = facts(bench)
    assert told["fcontext"] == "absent"
    assert told["fcontext.problem"] == "no file libboost_context.so.*"
    assert cases(bench, "fcontext") == set()
    assert cases(bench, "ucontext") == {"yield_inline"}
    assert "jemalloc" not in told  # nobody asked for heaps


def test_rows_of_others_are_listed_wherever_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKMARK_PEERS", str(tmp_path))
    listed = scons("-Q", "list", "suites=switch").stdout
    found = {case for case in re.findall(r"switch/(\w+)/fcontext\b", listed)}
    assert found == COMMON | PAIRS["fcontext"]
    assert re.findall(r"switch/(\w+)/futex\b", listed) == ["pair_256"]
