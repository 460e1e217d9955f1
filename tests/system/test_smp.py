# SPDX-License-Identifier: MIT
"""The machine smp from the command line to the report: measured, shown, never judged."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from system_run import ROOT, Bench, scons

sys.path[:0] = [str(ROOT), str(ROOT / "site_scons")]
import options as option_words  # noqa: E402

from reports.cli import main as reports  # noqa: E402

FEW = "rounds=2 samples=2"
SOAK = os.environ.get("TICKMARK_SOAK") == "1"


def read(monkeypatch: pytest.MonkeyPatch, *names: str, **words: str) -> option_words.Options:
    monkeypatch.chdir(ROOT)
    return option_words.read(words, list(names))


def test_bench_runs_exact_and_then_smp(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [("qemu", "exact"), ("qemu", "smp")]
    assert read(monkeypatch, "bench").machines == both
    found = read(monkeypatch, "bench", target="qemu,host", cpus="8").machines
    assert found == [*both, ("host", "native")]
    assert read(monkeypatch, "bench", machine="smp").machines == both[1:]
    assert read(monkeypatch, "debug", filter="x").machines == both[:1]


@pytest.mark.parametrize(
    "text,mib",
    [("64", "64"), ("256M", "256"), ("8G", "8192"), ("64g", "65536"), ("65536m", "65536")],
)
def test_memory_is_in_mib_whatever_its_suffix(
    text: str, mib: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(monkeypatch, "bench", memory=text).values["memory"] == mib


@pytest.mark.parametrize(
    "text",
    [
        "M",
        "0x100",
        "-64",
        "1e3",
        "64K",
        "64MB",
        "\u0666\u0664",
        "1.5G",
        "63M",
        "65G",
        "9999999",
    ],
)
def test_memory_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(option_words.UsageError, match="64M to 64G"):
        read(monkeypatch, "bench", memory=text)


def test_smp_measures_every_row_and_judges_no_time(
    whole: Callable[[str], Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    bench = whole("smp")
    assert re.search(r"^complete: (\d+) of \1 rows", bench.output, re.M)
    assert reports(["report", f"results={bench.results}"]) == 0
    assert reports(["table", f"results={bench.results}"]) == 0
    shown = capfd.readouterr().out
    assert shown.count("qemu-smp (emulated, not judged)") >= 3  # rows, and the claims' tables
    document = json.loads((bench.results / "report/report.json").read_text())
    timed = [
        c
        for c in document["claims"]
        if c["unit"] in ("ratio", "emulated ticks") and not c["statistic"].startswith("counter:")
    ]
    with_data = [c for c in timed if c.get("gain", c.get("value")) is not None]
    assert len(with_data) > 8
    assert {c["verdict"] for c in with_data} == {"not judged here"}
    assert {c["verdict"] for c in timed} == {"not judged here", "no data"}
    assert {row["unit"] for row in document["rows"]} == {"emulated ticks"}
    page = (bench.results / "report/index.html").read_text()
    assert re.search(r"<h2[^>]*>qemu-smp \(emulated, not judged\)</h2>", page)


# What each CPU, node and MiB more costs is time only: the rows are the same.
@pytest.mark.parametrize(
    "values",
    [{"cpus": "8", "memory": "256", "numa": "2"}, {"cpus": "1", "memory": "128", "numa": "4"}],
)
def test_rows_are_measured_on_machines_of_all_shapes(bench: Bench, values: dict[str, str]) -> None:
    # In front of a soak, what CPUs and nodes are something to.
    few = FEW if SOAK else f"{FEW} suites=frames,slub,sched,paging,crossing"
    assert bench.run("smp", f"{few} trace=off", values=values) == 0, bench.output
    database = sqlite3.connect(bench.results / "history.db")
    ((target, clock),) = database.execute("SELECT target, clock FROM run").fetchall()
    assert (target, clock) == ("qemu", "emulated")
    statuses = database.execute("SELECT DISTINCT status FROM bench_row").fetchall()
    assert statuses == [("ok",)]
    ((command,),) = database.execute("SELECT value FROM fact WHERE key = 'command'").fetchall()
    assert "thread=multi" in command and f"-smp {values['cpus']} " in command


def test_smp_dies_as_the_other_machines_do(bench: Bench) -> None:
    assert bench.run("smp", "filter=heap/pair_64 die=overflow") == 40, bench.output
    assert "stack overflow" in bench.output
    assert bench.run("smp", "filter=heap/pair_64 die=hang", run="hang") == 40
    assert "run_case" in bench.output


def test_scons_bench_takes_the_machine_s_options(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    words = ["machine=smp", "cpus=2", "numa=2", "memory=128M", f"disk={image}", "output=text"]
    done = scons("-Q", "bench", *words, "filter=ipc/pair_0/fusion_spsc", "rounds=2", "samples=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok 1 - ipc/pair_0/fusion_spsc" in done.stdout
    assert "emulated ticks" in done.stdout
