# SPDX-License-Identifier: MIT
"""The store: damage is noticed, and nothing crashes."""

import sqlite3
from pathlib import Path

import pytest
from build import Store, whole_run
from judged import GAIN, TICKS, claims_of, report_of

from reports.cli import main
from reports.document import exit_code
from reports.store import StoreError, load_run, open_store
from reports.which import resolve

DAMAGES = [
    "UPDATE run SET clock = 'tsc'",
    "UPDATE run SET outcome = 'hang'",
    "UPDATE fact SET value = value || '.'",
    "UPDATE bench_row SET status = 'failed'",
    "UPDATE bench_row SET definition = 'ffffffffffffffff'",
    "UPDATE round SET samples = zeroblob(length(samples)) WHERE rowid % 7 = 1",
    "UPDATE round SET tags = zeroblob(0)",
    "UPDATE round SET operations = operations + 1",
    "DELETE FROM round WHERE round = 1",
    "UPDATE counter SET numerator = numerator + 1",
    "DELETE FROM counter",
    "UPDATE run SET digest = 'x'",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_change_to_a_machine_is_noticed(store: Store, tmp_path: Path, damage: str) -> None:
    for name in ("host-native", "qemu-exact"):
        machine = store.machine(name)
        machine.row("heap/pair_64/hybrid", lambda boot, r: [1500 + r])
        machine.counter("heap/pair_64/hybrid", "hits", 3)
        machine.fact("seed", "1")
        machine.seal()
    where = " AND " if "WHERE" in damage else " WHERE "
    store.connection.execute(f"{damage}{where}machine = 'qemu-exact'")
    store.connection.commit()
    report = report_of(store, claims_of(tmp_path, TICKS))
    assert [m.intact for m in report.run.machines] == [True, False]
    assert "qemu-exact of run r1 was altered" in report.troubles[0]
    assert {j.machine for j in report.verdicts.judgements} == {"host-native"}
    assert exit_code(report.run) == 40


def test_what_reads_and_what_was_written_agree(whole: Store) -> None:
    with open_store(whole.path) as connection:
        run = load_run(connection, resolve(connection))
    assert [machine.intact for machine in run.machines] == [True, True]
    exact = run.machines[1]
    assert exact.clock == "insn" and exact.boots == 2 and len(exact.facts) == 3
    row = exact.rows["heap/pair_64/hybrid", 0]
    assert row.operations == 5000 and len(row.rounds) == 4 and row.role == "product"
    assert exact.rows["heap/pair_64/linked_list", 1].rounds
    assert exact.counters["heap/pair_64/hybrid"]["hit_rate"].value == pytest.approx(90.014)


def test_the_newest_run_is_taken_unless_one_is_asked_for(store: Store) -> None:
    for run in ("b", "aa", "ccc"):
        store.machine(run=run, utc=f"2026-11-2{3 - len(run)}T00:00:00Z").seal()
    with open_store(store.path) as connection:
        assert resolve(connection) == "b"
        assert resolve(connection, "ccc") == "ccc"


def test_rounds_that_cannot_be_read_are_named(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    for i in range(3):
        machine.row(f"heap/case{i}/hybrid", [100])
    for i, change in enumerate(("samples = x'010203'", "tags = x'0000'", "operations = 0")):
        store.connection.execute(f"UPDATE round SET {change} WHERE id = 'heap/case{i}/hybrid'")
    machine.row("heap/empty/hybrid")
    machine.seal()
    report = report_of(store, claims_of(tmp_path, TICKS))
    assert report.run.machines[0].intact and exit_code(report.run) == 40
    assert "heap/case0/hybrid: unreadable" in report.troubles[0]
    assert report.troubles[0].count("unreadable") == 3 and "no samples" in report.troubles[0]


@pytest.mark.parametrize(
    "outcome,code",
    [("complete", 0), ("hang", 40), ("guest panic", 40), ("target could not start", 30)],
)
def test_an_incomplete_machine_is_named_and_sets_the_exit_code(
    store: Store, tmp_path: Path, outcome: str, code: int
) -> None:
    store.machine(outcome=outcome, detail="in heap/pair_64").seal()
    report = report_of(store, claims_of(tmp_path, GAIN))
    assert exit_code(report.run) == code
    told = [line for line in report.troubles if f"incomplete ({outcome}" in line]
    assert bool(told) == (code != 0) and all("in heap/pair_64" in line for line in told)


def damaged_database(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True)
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no database at all\n" * 300)
    elif kind == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE run (x)")
    elif kind == "no run":
        Store(path.parent)
    elif kind == "newer":
        Store(path.parent).connection.execute("PRAGMA user_version = 99")
    elif kind == "torn":
        store = Store(path.parent)
        whole_run(store)
        store.connection.close()
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 4096)
    elif kind == "no tables":
        connection = Store(path.parent).connection
        connection.executescript("DROP TABLE round; DROP TABLE run;")


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "foreign", "no run", "newer", "torn", "no tables"]
)
def test_a_database_that_is_none_gives_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    results = tmp_path / "results"
    if kind != "missing":
        damaged_database(results / "history.db", kind)
    for command in ("report", "table", "check"):
        assert main([command, f"results={results}"]) == 40
        shown = capfd.readouterr()
        assert len(shown.err.splitlines()) == 1 and "Traceback" not in shown.err
    if kind in ("missing", "empty", "no run"):
        assert "no run yet" in shown.err


def test_text_that_is_no_utf8_is_survived(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.seal()
    store.connection.execute("UPDATE run SET detail = CAST(x'ff41' AS TEXT), outcome = 'hang'")
    store.connection.commit()
    report = report_of(store, claims_of(tmp_path, GAIN))
    assert "altered" in report.troubles[0]
    with pytest.raises(StoreError), open_store(store.path) as connection:
        connection.execute("SELECT nonsense")
