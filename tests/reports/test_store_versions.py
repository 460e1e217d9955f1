# SPDX-License-Identifier: MIT
"""Stores that an older Tickmark wrote are read, or refused in one line that says what to do; so are
those of a newer one."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
from pathlib import Path

import numpy
import pytest
from build import RECORDER, Store
from judged import TICKS, claims_text

from reports.cli import main
from reports.prune import prune_night
from reports.store import VERSION, load_run, open_store

ROOT = RECORDER.parents[1]
ROW = "heap/pair_64/hybrid"

# Version 1 as it was before the slowest windows were told: its tables, and what its digest covered.
VERSION_1 = """
PRAGMA application_id = 0x5449434b;
PRAGMA user_version = 1;
CREATE TABLE run (run TEXT NOT NULL, machine TEXT NOT NULL, target TEXT NOT NULL,
    clock TEXT NOT NULL, hz INTEGER NOT NULL, utc TEXT NOT NULL, commit_id TEXT NOT NULL,
    dirty INTEGER NOT NULL, size TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL,
    boots INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (run, machine)) STRICT;
CREATE TABLE fact (run TEXT NOT NULL, machine TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (run, machine, key)) STRICT;
CREATE TABLE bench_row (run TEXT NOT NULL, machine TEXT NOT NULL, id TEXT NOT NULL,
    aa INTEGER NOT NULL, role TEXT NOT NULL, what TEXT NOT NULL, unit TEXT NOT NULL,
    definition TEXT NOT NULL, operations INTEGER NOT NULL, status TEXT NOT NULL,
    PRIMARY KEY (run, machine, id, aa)) STRICT;
CREATE TABLE round (run TEXT NOT NULL, machine TEXT NOT NULL, id TEXT NOT NULL, aa INTEGER NOT NULL,
    boot INTEGER NOT NULL, round INTEGER NOT NULL, operations INTEGER NOT NULL,
    overhead INTEGER NOT NULL, cold INTEGER NOT NULL, samples BLOB NOT NULL, tags BLOB NOT NULL,
    PRIMARY KEY (run, machine, id, aa, boot, round)) STRICT;
CREATE TABLE counter (run TEXT NOT NULL, machine TEXT NOT NULL, id TEXT NOT NULL,
    name TEXT NOT NULL, numerator INTEGER NOT NULL, denominator INTEGER NOT NULL,
    unit TEXT NOT NULL, PRIMARY KEY (run, machine, id, name)) STRICT;
"""
DIGEST_1 = """
SELECT line FROM (
    SELECT 'run ' || json_array(run, machine, target, clock, hz, utc, commit_id, dirty, size,
        outcome, detail, boots) AS line FROM run
    UNION ALL SELECT 'fact ' || json_array(key, value) FROM fact
    UNION ALL SELECT 'row ' || json_array(id, aa, role, what, unit, definition, operations, status)
        FROM bench_row
    UNION ALL SELECT 'round ' || json_array(id, aa, boot, round, operations, overhead, cold,
        hex(samples), hex(tags)) FROM round
    UNION ALL SELECT 'counter ' || json_array(id, name, numerator, denominator, unit) FROM counter
) ORDER BY line COLLATE BINARY
"""
# The very first stores: a round had no tags, and its operations stood at the row.
TAGS = "overhead INTEGER NOT NULL, cold INTEGER NOT NULL, samples BLOB NOT NULL, tags BLOB NOT NULL"
VERSION_1_FIRST = VERSION_1.replace(
    f"operations INTEGER NOT NULL,\n    {TAGS}",
    "overhead INTEGER NOT NULL, cold INTEGER NOT NULL, disturbed INTEGER NOT NULL,"
    " samples BLOB NOT NULL",
)


def old_store(results: Path, schema: str = VERSION_1) -> Path:
    """One run of one row on the host."""
    results.mkdir(parents=True)
    with sqlite3.connect(results / "history.db") as db:
        db.executescript(schema)
        about = ("r0", "host-native", "host", "tsc", 2_500_000_000, "2026-01-01T00:00:00Z", "abc")
        db.execute(
            "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, 0, 'quick', 'complete', '', 1, '')", about
        )
        db.execute("INSERT INTO fact VALUES ('r0', 'host-native', 'seed', '1')")
        db.execute(
            "INSERT INTO bench_row VALUES ('r0', 'host-native', ?, 0, 'product', 'what', 'ticks',"
            " '00112233445566aa', 100, 'ok')",
            (ROW,),
        )
        for number in range(20 if schema is VERSION_1 else 0):
            samples = numpy.full(9, 1500 + number, dtype="<i8").tobytes()
            db.execute(
                "INSERT INTO round VALUES ('r0', 'host-native', ?, 0, 0, ?, 100, 40, 9999, ?, ?)",
                (ROW, number, samples, bytes(9)),
            )
        db.execute(
            "INSERT INTO counter VALUES ('r0', 'host-native', ?, 'hits', 3, 1, 'count')", [ROW]
        )
        if schema is VERSION_1:
            text = "".join(line + "\n" for (line,) in db.execute(DIGEST_1))
            db.execute("UPDATE run SET digest = ?", [hashlib.sha256(text.encode()).hexdigest()])
    return results / "history.db"


def test_the_old_schema_of_this_test_is_the_old_one() -> None:
    assert "outlier" not in VERSION_1 + DIGEST_1 and "disturbed" in VERSION_1_FIRST
    with sqlite3.connect(":memory:") as db:
        db.executescript(VERSION_1_FIRST)
        columns = {row[1] for row in db.execute("PRAGMA table_info(round)")}
    assert "disturbed" in columns and not {"tags", "operations"} & columns


def test_a_store_of_version_1_reads_as_it_did(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = old_store(tmp_path / "results")
    with open_store(path) as connection:
        (machine,) = load_run(connection, "r0").machines
    assert machine.intact and machine.outliers == {}
    assert len(machine.rows[ROW, 0].rounds) == 20
    claims = tmp_path / "claims.toml"
    claims.write_text(claims_text(TICKS))
    for command in ("table", "report"):
        assert main([command, f"results={path.parent}"], claims) == 0
    assert "altered" not in "".join(capfd.readouterr())
    with sqlite3.connect(path) as db:  # read only
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        db.execute("UPDATE round SET cold = 1 WHERE round = 3")
    with open_store(path) as connection:
        assert not load_run(connection, "r0").machines[0].intact


def test_what_writes_into_a_store_of_version_1_leaves_its_runs_intact(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another harness's rows come in; a run of today beside it; an old night is pruned."""
    path = old_store(tmp_path / "results")
    file = tmp_path / "gb.json"
    file.write_text(
        '{"context": {}, "benchmarks": [{"name": "BM_x", "run_type": "iteration",'
        ' "iterations": 10, "real_time": 5.0, "cpu_time": 5.0, "time_unit": "ns"}]}'
    )
    assert main(["import", f"results={path.parent}", f"file={file}"]) == 0, capfd.readouterr().err
    made = Store(path.parent).machine(run="r1")  # as the recorder does: its schema over the old one
    made.row(ROW, [1500] * 9)
    made.seal()
    with open_store(path) as connection:
        told = [
            (m.name, m.intact) for run in ("r0", "r1") for m in load_run(connection, run).machines
        ]
    assert told == [("foreign-gb", True), ("host-native", True), ("host-native", True)]
    prune_night(path.parent, "r0")
    with open_store(path) as connection:
        assert load_run(connection, "r1").machines[0].intact
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)


def one_line(results: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What every command says of it, in one line."""
    said = set()
    for command in ("table", "report", "check"):
        assert main([command, f"results={results}"]) == 40
        said |= set(capfd.readouterr().err.splitlines())
    (line,) = said
    return line


def test_a_store_that_is_too_old_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = one_line(old_store(tmp_path / "results", VERSION_1_FIRST).parent, capfd)
    assert "too old to be read (round has no operations, tags)" in line
    assert "move it away" in line and "rebuild" in line


def test_a_store_that_is_newer_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = old_store(tmp_path / "results")
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    line = one_line(path.parent, capfd)
    assert f"has version {VERSION + 1}, these reports read up to {VERSION}" in line
    assert "newer" in line


@pytest.mark.parametrize(
    "schema,said",
    [(VERSION_1, ""), (VERSION_1_FIRST, "move it away"), ("newer", "newer")],
    ids=["old", "too old", "newer"],
)
def test_the_recorder_adds_to_an_old_store_or_says_what_to_do(
    tmp_path: Path, schema: str, said: str
) -> None:
    path = old_store(tmp_path / "results", VERSION_1 if schema == "newer" else schema)
    with sqlite3.connect(path) as db:
        if schema == "newer":
            db.execute(f"PRAGMA user_version = {VERSION + 1}")
        before = list(db.iterdump())
    words = [str(ROOT / "build/recorder"), "rebuild", f"results={path.parent}"]
    (path.parent / "runs").mkdir()
    done = subprocess.run(words, capture_output=True, text=True)
    with sqlite3.connect(path) as db:
        after = list(db.iterdump())
        version = db.execute("PRAGMA user_version").fetchone()[0]
    if not said:
        assert (done.returncode, version) == (0, VERSION), done.stderr
        assert [line for line in after if "outlier" not in line] == before
    else:
        assert done.returncode == 40 and len(done.stderr.splitlines()) == 1
        assert said in done.stderr and after == before
