# SPDX-License-Identifier: MIT
"""Nights: what is an alarm, who is told, and what survives."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from build import Store
from conftest import ROOT
from judged import TICKS, claims_text
from nights_built import EXACT, HOST, ROW, Campaign
from no_rights import modes_count

from reports.cli import main
from reports.ledger import nights, open_ledger, verdicts
from reports.store import load_run, open_store


@pytest.fixture
def campaign(store: Store, tmp_path: Path) -> Campaign:
    claims = tmp_path / "claims.toml"
    claims.write_text(claims_text({**TICKS, "band": "[70, 80]", "kind": '"at_most"'}))
    return Campaign(store, claims)


def said(campaign: Campaign, run: str = "") -> dict[str, object]:
    with open_ledger(campaign.store.results / "nights.db") as ledger:
        return verdicts(ledger)[run or campaign.name(campaign.number)]


def lines(campaign: Campaign) -> str:
    return "\n".join(str(line) for line in said(campaign)["lines"])  # type: ignore[attr-defined]


def test_the_first_nights_are_quiet(campaign: Campaign, capfd: pytest.CaptureFixture[str]) -> None:
    campaign.quiet(3)
    assert capfd.readouterr().out.splitlines()[-1] == "tickmark: night n003: quiet"
    assert said(campaign)["state"] == "quiet"


@pytest.mark.parametrize("by,status", [(1, 20), (-1, 0)])
def test_one_instruction_is_an_alarm_always_and_both_ways(
    campaign: Campaign, by: int, status: int
) -> None:
    campaign.quiet(1)
    assert campaign.night(exact=5000 + by) == status
    assert said(campaign)["state"] == f"alarm: {ROW} on {EXACT}"
    assert f"{ROW} on {EXACT}: 50 to 50.0{by}" in lines(campaign).replace("49.99", "50.0-1")


def test_an_alarm_stands_until_it_is_the_new_level(campaign: Campaign) -> None:
    campaign.quiet(1)
    states = [campaign.night(exact=5001) for _ in range(4)]
    assert states == [20, 20, 20, 0], "three nights make a level"
    assert said(campaign)["state"] == "quiet"


def test_an_alarm_is_over_when_the_row_is_back(campaign: Campaign) -> None:
    campaign.quiet(1)
    assert campaign.night(exact=5001) == 20
    campaign.night(exact=5000)
    # Going back is a change, too: an improvement, which is told and fails nothing.
    assert said(campaign)["status"] == 0


@pytest.mark.parametrize("host", [1.05, 1.2, 0.8])
def test_a_sampled_change_takes_a_rerun_that_agrees(campaign: Campaign, host: float) -> None:
    campaign.quiet(12)
    run = campaign.record(host=host)
    campaign.stage("import", run)
    assert doubts_of(campaign, run) == [f"doubt {HOST} heap"]
    campaign.record(f"{run}-again", host=host, machines=(HOST,))
    campaign.stage("import", f"{run}-again")
    status = campaign.stage("judge", run, f"planned={EXACT},{HOST}")
    assert status == (20 if host > 1 else 0)
    assert "confirmed" in lines(campaign) and said(campaign)["state"] != "quiet"


def test_a_rerun_that_disagrees_is_no_alarm_and_both_are_kept(campaign: Campaign) -> None:
    campaign.quiet(12)
    run = campaign.record(host=1.2)
    campaign.stage("import", run)
    campaign.record(f"{run}-again", host=1.0, machines=(HOST,))
    campaign.stage("import", f"{run}-again")
    campaign.stage("judge", run)
    assert said(campaign)["state"] == "quiet" and "not confirmed, again" in lines(campaign)
    with open_ledger(campaign.store.results / "nights.db") as ledger:
        kinds = [(n.run, n.kind) for n in nights(ledger)[0] if n.machine == HOST][-2:]
    assert kinds == [(run, "night"), (f"{run}-again", "again")]


def doubts_of(campaign: Campaign, run: str) -> list[str]:
    words = [sys.executable, "-m", "reports", *campaign.words("doubts", run)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_where_the_machine_changed_only_exact_rows_alarm(campaign: Campaign) -> None:
    campaign.quiet(12)
    campaign.night(host=1.3, exact=5001, facts={"host.kernel": "Linux 7"})
    assert said(campaign)["state"] == f"alarm: {ROW} on {EXACT}"
    assert "host.kernel: Linux 6 to Linux 7" in lines(campaign)
    assert "with the environment" in lines(campaign)


def test_a_question_asked_otherwise_is_named_and_not_compared(campaign: Campaign) -> None:
    campaign.quiet(1)
    run = campaign.record(exact=9000)
    change = "UPDATE bench_row SET definition = 'ffff0000445566aa' WHERE run = ? AND machine = ?"
    campaign.store.connection.execute(change, (run, EXACT))
    digest = campaign.store.digest(run, EXACT)
    where = "UPDATE run SET digest = ? WHERE run = ? AND machine = ?"
    campaign.store.connection.execute(where, (digest, run, EXACT))
    campaign.store.connection.commit()
    campaign.stage("import", run)
    assert campaign.stage("judge", run) == 0
    assert f"{EXACT}: asked otherwise than before: {ROW}" in lines(campaign)


def test_a_claim_newly_not_met_is_an_alarm(campaign: Campaign) -> None:
    campaign.spread = 0.0
    campaign.quiet(2)
    assert campaign.night(host=1.9) == 20
    assert "a.claim0: newly not met (was exceeded)" in lines(campaign)


def test_machines_that_are_missing_broken_or_damaged_are_told_apart(campaign: Campaign) -> None:
    campaign.quiet(1)
    assert campaign.night(machines=(EXACT,)) == 30
    assert f"{HOST} did not report" in lines(campaign)
    assert campaign.night(outcome="guest panic", detail="at x.c:1") == 40
    assert f"{HOST}: guest panic at x.c:1" in lines(campaign)
    run = campaign.record()
    campaign.store.connection.execute("UPDATE round SET cold = 1 WHERE run = ?", (run,))
    campaign.store.connection.commit()
    assert campaign.stage("import", run) == 40
    assert campaign.stage("judge", run) == 40
    assert "damaged in the store" in lines(campaign)


def test_somebody_is_told_on_a_change_of_state_only(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "told"
    command = f"sh -c 'echo $TICKMARK_STATE $TICKMARK_RUN >> {log}; cat > /dev/null'"
    monkeypatch.setenv("TICKMARK_NOTIFY", command)
    campaign.quiet(2)
    assert not log.exists(), "a first night that is quiet is nothing to tell"
    campaign.night(exact=5001)
    campaign.night(exact=5001)
    monkeypatch.setenv("TICKMARK_NOTIFY", "false")
    campaign.night(exact=5001)
    campaign.night(exact=5001)
    monkeypatch.setenv("TICKMARK_NOTIFY", command)
    campaign.night(exact=5001)
    assert log.read_text().split("\n") == ["alarm n003", "quiet n007", ""], "tried again"


def test_stages_may_be_run_twice(campaign: Campaign) -> None:
    campaign.quiet(2)
    run = campaign.name(2)
    before = (campaign.store.results / "nights.db").read_bytes()
    for _ in range(2):
        assert campaign.stage("import", run) == 0 and campaign.stage("judge", run) == 0
    assert (campaign.store.results / "nights.db").read_bytes() == before
    assert campaign.stage("done", run) == 0 and campaign.stage("done", "other") == 40


def test_a_clock_set_back_changes_no_order(campaign: Campaign) -> None:
    campaign.quiet(2)
    assert campaign.night(utc="2020-01-01T00:00:00Z", exact=5001) == 20
    assert "the clock was set back: n003 says 2020-01-01" in lines(campaign)
    assert campaign.night(exact=5001) == 20, "the row stands where the night before left it"
    assert "50 to 50.01" not in lines(campaign)


def test_damaged_lines_of_the_ledger_are_named_and_left_out(campaign: Campaign) -> None:
    campaign.quiet(3)
    ledger = sqlite3.connect(campaign.store.results / "nights.db")
    ledger.execute("UPDATE night SET rows = x'00' WHERE run = 'n002' AND machine = ?", (EXACT,))
    ledger.commit()
    ledger.close()
    assert campaign.night() == 40
    assert f"(n002, {EXACT}) of the ledger is damaged: left out" in lines(campaign)


@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.3, 0.45, 0.6])
def test_killed_at_any_point_nothing_is_lost(campaign: Campaign, seconds: float) -> None:
    campaign.quiet(2)
    run = campaign.record(exact=5001)
    for stage in ("import", "judge"):
        words = [sys.executable, "-m", "reports", *campaign.words(stage, run)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # As the next try of a night does it: what is judged is in the ledger.
        assert campaign.stage("import", run) == 0
    # One that had come to its end is judged: what it said then stands.
    assert campaign.stage("judge", run) in (20, 0)
    assert said(campaign)["state"] != "quiet"
    with open_ledger(campaign.store.results / "nights.db") as ledger:
        found, wrong = nights(ledger)
    assert wrong == [] and len(found) == 6


def test_two_at_once_write_every_line_once(campaign: Campaign) -> None:
    campaign.quiet(1)
    run = campaign.record()
    words = [sys.executable, "-m", "reports", *campaign.words("import", run)]
    both = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    said_by = [process.communicate()[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "".join(said_by).count("is in the ledger") == 2


def test_a_folder_nobody_may_write_gives_one_line(
    campaign: Campaign, capfd: pytest.CaptureFixture[str]
) -> None:
    results = campaign.store.results
    run = campaign.record()
    campaign.store.connection.close()
    results.chmod(0o500)
    with modes_count():
        with pytest.raises(PermissionError):
            (results / "file").touch()
        assert campaign.stage("import", run) == 40
        assert len(capfd.readouterr().err.splitlines()) == 1
        assert main(["report", f"results={results}"], campaign.claims) == 40
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("cannot write:") and "Permission denied" in line
        assert main(["table", f"results={results}"], campaign.claims) == 0, "reading needs no more"
    results.chmod(0o700)
    assert sorted(p.name for p in results.iterdir()) == ["history.db"]


def test_a_full_disk_gives_one_line_and_loses_nothing(campaign: Campaign) -> None:
    campaign.quiet(2)
    run = campaign.record()
    before = (campaign.store.results / "nights.db").read_bytes()
    limit = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from reports.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "sys.exit(main(sys.argv[2:]))"
    )
    words = [sys.executable, "-c", limit, str(ROOT), *campaign.words("import", run)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 40, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1 and "cannot use" in done.stderr
    with open_ledger(campaign.store.results / "nights.db") as ledger:
        assert nights(ledger)[1] == []
    assert len((campaign.store.results / "nights.db").read_bytes()) == len(before)
    assert campaign.stage("import", run) == 0 and campaign.stage("judge", run) == 0


def test_pruning_keeps_the_newest_the_first_of_a_month_and_alarms(campaign: Campaign) -> None:
    campaign.quiet(2)
    campaign.night(exact=5001)
    for _ in range(4):
        campaign.night(exact=5001)
    numbers = "window windows operations sample least tags begin_ns end_ns".split()
    slowest = {"run": "n006", "machine": EXACT, "id": ROW, "name": "max"}
    campaign.store.insert("outlier", {**slowest, **dict.fromkeys(numbers, 1)})
    campaign.store.connection.commit()
    folder = campaign.store.results / "runs" / "n006"
    folder.mkdir(parents=True)
    (folder / "stream.bin").touch()
    campaign.record("mine")  # a person's own run is no night
    assert campaign.stage("prune", "n007", "keep=1") == 0
    kept = {r for (r,) in campaign.store.connection.execute("SELECT run FROM run")}
    assert kept == {"n001", "n003", "n004", "n005", "n007", "mine"} and not folder.exists()
    for table in ("bench_row", "round", "counter", "fact", "outlier"):
        listed = campaign.store.connection.execute(f"SELECT DISTINCT run FROM {table}")
        assert {run for (run,) in listed} <= kept, table
    with open_ledger(campaign.store.results / "nights.db") as ledger:
        assert len(nights(ledger)[0]) == 14, "the ledger keeps them all"
    with open_store(campaign.store.path) as connection:
        assert all(m.intact for m in load_run(connection, "n001").machines)


def test_a_silent_night_is_an_alarm(
    campaign: Campaign, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["silence", f"results={campaign.store.results}"]
    assert main(words) == 40
    assert "no night can be read" in capfd.readouterr().out
    campaign.quiet(1)
    assert main(words) == 0
    import datetime

    from reports import nightly

    for hours, status in ((20, 0), (27, 40), (-30, 40)):
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
        monkeypatch.setattr(nightly, "now", lambda moment=later: moment)
        assert main(words) == status, hours
    assert main([*words, "hours=0"]) == 2


def test_hostile_runs_go_no_further_than_the_ledger(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    claims = tmp_path / "claims.toml"
    claims.write_text(claims_text(TICKS))
    campaign = Campaign(store, claims)
    campaign.quiet(1)
    outside = tmp_path / "outside"
    outside.mkdir()
    run = "../../outside"
    hostile = "x\x1b[2J\n'; DROP TABLE night; --"
    made = store.machine(EXACT, run, utc=hostile, detail=hostile, outcome=hostile)
    made.row(ROW, [6000] * 4, rounds=2, operations=100, what=hostile, role=hostile)
    made.fact("host.cpu", hostile)
    made.seal()
    campaign.stage("import", run)
    campaign.stage("judge", run)
    for stage in ("render", "prune"):
        assert campaign.stage(stage, run, *(["keep=1"] if stage == "prune" else [])) == 0
    out = capfd.readouterr()
    assert "\x1b" not in out.out + out.err and outside.is_dir()
    page = (store.results / "report" / "index.html").read_text()
    assert "\x1b" not in page and "Since the last night" in page
    assert json.loads((store.results / "report" / "report.json").read_text())
