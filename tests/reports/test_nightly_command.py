# SPDX-License-Identifier: MIT
"""`scons nightly` and `scons bisect` without the machines: the campaign with made-up boots, the
search with made-up commits, the units as systemd reads them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from build import Store
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from nights_built import EXACT, HOST, Campaign

from reports.cli import main
from reports.ledger import open_ledger, verdicts

os.chdir(ROOT)  # the build's modules look for the targets' folders when they are read
sys.path.append(str(ROOT / "site_scons"))
import bisecting  # noqa: E402
import nightly  # noqa: E402
import options as option_words  # noqa: E402
import run as commands  # noqa: E402


class Killed(BaseException):
    """In place of a signal that leaves no time for anything."""


class Night:
    """The command, with boots that write into a made-up store."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results = folder / "results"
        self.campaign = Campaign(Store(self.results), folder / "claims.toml")
        self.boots: list[tuple[str, str, str]] = []
        self.kill_before = ""
        self.exact = 5000
        for module in (commands, nightly):
            monkeypatch.setattr(module, "RESULTS", str(self.results))
        monkeypatch.setattr(nightly, "FOLDER", str(self.results / "nightly"))
        monkeypatch.setattr(nightly, "JOURNAL", str(self.results / "nightly" / "current.json"))
        monkeypatch.setattr(commands, "record", self.record)
        monkeypatch.setattr(commands, "lock_path", lambda: str(folder / "bench.lock"))
        monkeypatch.setattr(commands, "_status", 0)
        monkeypatch.setattr(nightly, "WAIT_SECONDS", 0)
        self.commands(monkeypatch)

    def commands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The stages in this process; the page is another test's."""

        def quick(*words: str, stdout: int | None = None) -> int:
            given = [*words, f"results={self.results}"]
            return 0 if "stage=render" in words else main(given)

        monkeypatch.setattr(commands, "reports", quick)

    def record(self, run: str, target: str, name: str, options: option_words.Options) -> int:
        machine = f"{target}-{name}"
        if machine == self.kill_before:
            raise Killed()
        self.boots.append((run, machine, options.values.get("boots", "")))
        if machine in (EXACT, HOST):
            self.campaign.record(run, exact=self.exact, machines=(machine,))
            # A folder that stays empty is taken away, and with it the id is free again.
            (self.results / "runs" / run / machine).mkdir(parents=True, exist_ok=True)
        return 0

    def run(self, **words: str) -> int:
        given = {"target": "qemu,host", "machine": "exact", **words}
        monkey_status = nightly.nightly(option_words.read(given, ["nightly"]))
        commands._status = 0
        return monkey_status

    def said(self) -> dict[str, dict[str, object]]:
        with open_ledger(self.results / "nights.db") as ledger:
            return verdicts(ledger)


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(tmp_path, monkeypatch)


def test_a_night_starts_sampled_clocks_often_enough(night: Night) -> None:
    assert night.run() == 0
    ((first, *_), *_) = night.boots
    assert night.boots == [(first, EXACT, ""), (first, HOST, "12")]
    assert list(night.said()) == [first] and not (night.results / "nightly/current.json").exists()
    assert night.run(boots="2") == 0 and night.boots[-1][2] == "2"


def test_without_a_target_a_night_is_of_qemu_and_host() -> None:
    given = option_words.read({}, ["nightly"])
    assert [f"{t}-{m}" for t, m in given.machines] == [EXACT, "qemu-smp", HOST]
    with pytest.raises(option_words.UsageError, match="booted by a person"):
        option_words.read({"target": "baremetal"}, ["nightly"])


def test_a_night_that_was_cut_short_is_judged_by_the_next(
    night: Night, capfd: pytest.CaptureFixture[str]
) -> None:
    assert night.run() == 0
    night.kill_before = HOST
    with pytest.raises(Killed):
        night.run()
    left = json.loads((night.results / "nightly/current.json").read_text())
    night.kill_before = ""
    assert night.run() == 0
    out = capfd.readouterr().out
    assert f"night {left['run']} was cut short" in out
    assert f"{HOST} did not report" in out
    assert len(night.said()) == 3 and night.said()[left["run"]]["status"] == 30


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"run": 1}'])
def test_a_journal_nobody_can_read_stops_no_night(night: Night, junk: str) -> None:
    (night.results / "nightly").mkdir(parents=True)
    (night.results / "nightly/current.json").write_text(junk)
    assert night.run() == 0


def test_two_at_once_are_one_and_a_line(night: Night, capfd: pytest.CaptureFixture[str]) -> None:
    (night.results / "nightly").mkdir(parents=True)
    with open(night.results / "nightly/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("pid 1\x1b[2J")
        lock.flush()
        assert night.run() == 40
    out = capfd.readouterr().out
    assert "another one is at work here (pid 1[2J)" in out and night.boots == []


def test_a_bench_that_measures_is_waited_for_and_not_disturbed(
    night: Night, capfd: pytest.CaptureFixture[str]
) -> None:
    with open(commands.lock_path(), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert night.run() == 40
    assert "a bench is measuring" in capfd.readouterr().out and night.boots == []


def test_a_disk_without_room_starts_nothing(
    night: Night, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "SPACE_LEAST", 1 << 62)
    assert night.run() == 40
    (line,) = capfd.readouterr().out.splitlines()
    assert "MiB are free" in line and night.boots == []


def test_where_nothing_may_be_written_one_line_says_so(
    night: Night, capfd: pytest.CaptureFixture[str]
) -> None:
    (night.results / "nightly").write_text("in the way")
    assert night.run() == 40
    (line,) = capfd.readouterr().out.splitlines()
    assert "cannot write" in line


# ---- bisect -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.data())
def test_the_search_finds_the_commit_and_asks_few(count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, count - 1))
    broken = data.draw(st.sets(st.integers(1, count - 2), max_size=3)) if count > 2 else set()
    asked: list[int] = []

    def measure(commit: str) -> float | None:
        asked.append(int(commit))
        return None if int(commit) in broken else 10.0 + (int(commit) >= first)

    found = bisecting.search([str(i) for i in range(count)], measure)
    assert found is not None and (found.before, found.value) == (10, 11)
    good = [i for i in range(count) if i not in broken]
    assert int(found.first) == min(i for i in good if i >= first)
    assert int(found.last_before) == max(i for i in good if i < first)
    between = range(int(found.last_before) + 1, int(found.first))
    assert list(map(int, found.skipped)) == list(between)
    assert len(asked) == len(set(asked)) <= 2 + count.bit_length() + 2 * len(broken)


def test_ends_that_are_equal_or_cannot_be_built_find_nothing() -> None:
    assert bisecting.search(["a", "b", "c"], lambda _: 5.0) is None
    assert bisecting.search(["a", "b", "c"], lambda commit: None if commit == "a" else 5.0) is None
    assert bisecting.search(["a"], lambda _: 5.0) is None


# ---- units --------------------------------------------------------------------------------------

UNITS = sorted((ROOT / "docs/nightly").glob("*.service")) + sorted(
    (ROOT / "docs/nightly").glob("*.timer")
)


def test_each_timer_has_its_service() -> None:
    assert len(UNITS) == 4
    for timer in (unit for unit in UNITS if unit.suffix == ".timer"):
        assert timer.with_suffix(".service") in UNITS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, tmp_path: Path) -> None:
    for other in UNITS:
        shutil.copy(other, tmp_path)
    words = ["systemd-analyze", "verify", "--user", "--man=no", str(tmp_path / unit.name)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["github-hosted.yml", "github-self-hosted.yml", "gitlab.yml"])
def test_examples_for_ci_run_commands_that_there_are(name: str) -> None:
    yaml: ModuleType = pytest.importorskip("yaml")
    text = (ROOT / "docs/nightly" / name).read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    for line in text.splitlines():
        words = line.partition("scons -Q ")[2].split("&&")[0].split()
        names = [word for word in words if "=" not in word]
        if words:
            option_words.read(dict(w.split("=", 1) for w in words if "=" in w), names)
