# SPDX-License-Identifier: MIT
"""The traced pass on both targets: what it sends is a valid trace that says what ran."""

from __future__ import annotations

import re
import sqlite3
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from system_run import ROOT, Bench, scons

sys.path += [str(ROOT), str(ROOT / "tests/recorder")]  # behind: each folder has a conftest
import wire_encoder as wire  # noqa: E402

from reports.perfetto_check import BEGIN, COUNTER, INSTANT, Report, check  # noqa: E402
from reports.trace_read import traced_rows  # noqa: E402
from reports.perfetto_wire import Message, Trouble, packets, parse  # noqa: E402

BYTES_AN_EVENT_MOST = 12
CAPTURE_LINE = 3
ROWS = "filter=*/*i*_*6*"  # some of heap and ipc
FEW = "rounds=2 samples=2"
PLACES = {"qemu": "qemu-exact", "smp": "qemu-smp", "host": "host-native"}


def place(bench: Bench, target: str) -> Path:
    return bench.results / "runs/test" / PLACES[target]


def trace_bytes(bench: Bench, target: str) -> bytes:
    return (place(bench, target) / "trace.perfetto-trace").read_bytes()


def valid(bench: Bench, target: str) -> Report:
    report = check(trace_bytes(bench, target))
    assert report.findings == []
    # CPUs that wait for each other may fill their buffers: then sends are lost, too.
    told = () if target == "qemu" else ("was lost on sequence", "flows was lost")
    assert [note for note in report.notes if not any(words in note for words in told)] == []
    return report


def messages(data: bytes) -> list[Message]:
    return [parse(item[1]) for item in packets(data) if not isinstance(item, Trouble)]


def track_names(data: bytes) -> set[str]:
    return {m.message(60).text(2) for m in messages(data) if 60 in m}


def thread_names(data: bytes) -> set[str]:
    return {
        thread.text(5) for m in messages(data) for d in m.messages(60) for thread in d.messages(4)
    }


def attributes(data: bytes) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for message in messages(data):
        for attribute in message.message(126).messages(1):
            found[attribute.text(1)] = attribute.text(3) or attribute.number(2)
    return found


def rows(bench: Bench) -> set[str]:
    """Those that are traced: peers, what stands in their files, and the suites of a machine's own
    are only measured."""
    database = sqlite3.connect(bench.results / "history.db")
    query = "SELECT id FROM bench_row WHERE aa = 0 AND role <> 'peer'"
    own = {path.stem for path in (ROOT / "bench/suites/machine").glob("*.c")}
    found = {row for (row,) in database.execute(query) if row.split("/")[0] not in own}
    return {row for row in found if not row.endswith("_called")}


def line_bytes(bench: Bench, target: str) -> int:
    """Bytes of the trace's frames as they went over the line, from the raw stream."""
    capture = (place(bench, target) / "stream.bin").read_bytes()
    line, at = b"", 0
    while at < len(capture):
        kind, length = struct.unpack_from("<BI", capture, at)
        line += capture[at + 5 : at + 5 + length] if kind == CAPTURE_LINE else b""
        at += 5 + length + 4
    total = 0
    for piece in filter(None, line.split(b"\0")):
        plain = wire.uncobs(piece)
        total += len(piece) + 2 if plain[2] == wire.TRACE else 0
    return total


@pytest.mark.parametrize("target", PLACES)
def test_bench_leaves_a_valid_trace_of_every_row(
    bench: Bench, whole: Callable[[str], Bench], target: str
) -> None:
    if target == "host":  # whose peers are measured, not traced: a part of its rows will do
        assert bench.run(target, f"{ROWS} {FEW}") == 0, bench.output
    else:
        bench = whole(target)
    data = trace_bytes(bench, target)
    report = valid(bench, target)
    assert rows(bench) <= track_names(data) and len(rows(bench)) > 8
    assert {"Benchmarks", "heap", "ipc", "objects in use", "messages in the ring"} <= track_names(
        data
    )
    assert {"hybrid", "linked_list", "fusion_spsc"} <= thread_names(data)
    # Three phases a row, and the operations in them.
    assert report.events[BEGIN] > 3 * len(rows(bench)) + 1000
    assert report.events[COUNTER] > 500 and report.flows > 10
    about = attributes(data)
    assert about["machine"] == place(bench, target).name and about["run"] == "test"
    assert (
        about["clock_class"]
        == {
            "qemu": "insn",
            "smp": "emulated",
            "host": "tsc",
        }[target]
    )
    assert len(str(about["build_id"])) == 40
    assert str(about["compiler"]).startswith("GCC ")
    assert target == "qemu" or "tsc_error_ppm" in about
    assert int(about["tsc_khz"]) > 0 and int(about["trace_event_picoseconds"]) > 0
    assert (bench.results / "runs/test/trace.perfetto-trace").read_bytes() == data
    every_row_has_its_slowest_window(bench, data)


def every_row_has_its_slowest_window(bench: Bench, data: bytes) -> None:
    """In the store, at a time that lies in the run of the row's trace."""
    database = sqlite3.connect(bench.results / "history.db")
    query = "SELECT id, begin_ns, end_ns FROM outlier WHERE name = 'max'"
    times = {row: (begin, end) for row, begin, end in database.execute(query)}
    assert set(times) == rows(bench)
    for traced in traced_rows(data):
        begin, end = times[traced.name]
        run = next(phase for phase in traced.phases if phase.name == "run")
        assert run.begin <= begin <= end <= run.end
        assert (begin, end) in [(slow.begin, slow.end) for slow in traced.slow]


@pytest.mark.parametrize("target", ["qemu", "host"])
def test_an_event_takes_few_bytes_on_the_line(bench: Bench, target: str) -> None:
    assert bench.run(target, f"suites=heap {FEW}") == 0, bench.output
    log = (place(bench, target) / "log.txt").read_text()
    said = re.search(
        r"trace: (\d+) rows, (\d+) events in (\d+) bytes, (\d+) .*, 0 events lost", log
    )
    assert said is not None
    count, events, payload, left_out = (int(word) for word in said.groups())
    report = valid(bench, target)
    # An end for each begin; marks, of frees on another CPU, have none.
    marks = report.events.get(INSTANT, 0)
    assert events == 2 * report.events[BEGIN] + report.events[COUNTER] + marks
    assert count == len(rows(bench)) and left_out > 0
    sent = line_bytes(bench, target)
    assert payload < sent < 1.1 * payload
    print(f"{target}: {sent / events:.2f} bytes an event on the line")
    assert sent / events <= BYTES_AN_EVENT_MOST


def test_phases_carry_what_was_measured(bench: Bench) -> None:
    assert bench.run("qemu", f"suites=heap filter=*/pair_64/hybrid {FEW}") == 0, bench.output
    names = {}
    noted: list[dict[str, str | int]] = []
    for message in messages(trace_bytes(bench, "qemu")):
        for interned in message.message(12).messages(2):
            names[interned.number(1)] = interned.text(2)
        event = message.message(11)
        if event.number(9) == BEGIN and names.get(event.number(10)) == "run":
            noted.append(
                {note.text(10): note.text(6) or note.number(4) for note in event.messages(4)}
            )
    database = sqlite3.connect(bench.results / "history.db")
    ((operations, blob),) = database.execute(
        "SELECT operations, samples FROM round WHERE round = 0"
    ).fetchall()
    first = struct.unpack_from("<q", blob)[0]
    [notes] = noted
    assert notes["operations in a window"] == operations
    assert notes["window min"] == notes["window p50"] == notes["window max"] == first
    assert notes["measured windows"] == 4 and notes["measured rounds"] == 2
    assert notes["measured an operation, p50"] == f"{first / operations:.1f} instructions"


def test_operations_nest_down_to_the_pages(bench: Bench) -> None:
    assert bench.run("qemu", f"filter=heap/*/hybrid {FEW}") == 0, bench.output
    names: dict[int, str] = {}
    paths, stack = set(), []
    for message in messages(trace_bytes(bench, "qemu")):
        for interned in message.message(12).messages(2):
            names[interned.number(1)] = interned.text(2)
        event = message.message(11)
        if message.number(10) == 2 and event.number(9) == BEGIN:
            stack.append(names[event.number(10)])
            paths.add(" > ".join(stack))
        elif message.number(10) == 2 and event.number(9) == 2:
            stack.pop()
    assert {
        "allocate",
        "allocate > refill > pages",
        "release > surplus",
        "release > pages",
    } <= paths


def test_numbers_are_the_same_with_and_without_a_trace(bench: Bench) -> None:
    tables = []
    for words in ("trace=off", "trace=on", ""):
        assert bench.run("qemu", f"filter=heap/l* {words}", run=f"r{len(tables)}") == 0
        folder = bench.results / f"runs/r{len(tables)}/qemu-exact"
        tables.append((folder / "tables.txt").read_text())
        assert (folder / "trace.perfetto-trace").exists() == (words != "trace=off")
    assert tables[0] == tables[1] == tables[2]


def test_only_the_first_boot_is_traced(bench: Bench) -> None:
    assert bench.run("qemu", f"filter=ipc/pair_0 {FEW}", boots="2") == 0, bench.output
    log = (place(bench, "qemu") / "log.txt").read_text()
    assert len(re.findall(r"trace: \d+ rows", log)) == 1
    valid(bench, "qemu")


def test_a_run_that_failed_is_not_traced(bench: Bench) -> None:
    assert bench.run("qemu", "filter=planted/wrong", "planted") == 40
    assert not (place(bench, "qemu") / "trace.perfetto-trace").exists()
    assert bench.run("qemu", "filter=planted/known", "planted", run="known") == 0, bench.output
    data = (bench.results / "runs/known/qemu-exact/trace.perfetto-trace").read_bytes()
    assert check(data).findings == []


def test_scons_trace_checks_a_file(bench: Bench, tmp_path: Path) -> None:
    assert bench.run("host", f"filter=ipc/pair_0 {FEW}") == 0, bench.output
    good = place(bench, "host") / "trace.perfetto-trace"
    bad = tmp_path / "cut.perfetto-trace"
    bad.write_bytes(good.read_bytes()[:-5])
    done = scons("-Q", "trace", f"check={good}")
    assert done.returncode == 0 and "valid: " in done.stdout
    done = scons("-Q", "trace", f"check={good},{bad}")
    assert done.returncode == 10 and "cut tail" in done.stdout
    assert scons("-Q", "trace", f"check={tmp_path}/none").returncode == 40
