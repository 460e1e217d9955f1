# SPDX-License-Identifier: MIT
"""The checker: right traces pass, and each damage fails with a message of its own."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from by_hand import (
    BEGIN, CLEARED, COUNTER, COUNTERS, INSTANT, NEEDS, ROOT, THREAD, begin, clock, compressed,
    counter, end, event, file, fixed, interned, l, resync, v, whole,
)  # fmt: skip

from reports.perfetto_check import check

ROOT_FOLDER = Path(__file__).resolve().parents[2]


def run_checker(*paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reports.perfetto_check", *map(str, paths)],
        cwd=ROOT_FOLDER,
        capture_output=True,
        text=True,
    )


def replaced(at: int, *packets: bytes) -> bytes:
    trace = whole()
    trace[at : at + 1] = packets
    return file(trace)


def inserted(at: int, *packets: bytes) -> bytes:
    trace = whole()
    trace[at:at] = packets
    return file(trace)


def test_a_whole_trace_has_no_findings() -> None:
    report = check(file(whole()))
    assert report.findings == [] and report.notes == []
    assert (report.packets, report.flows, report.tracks) == (11, 1, 3)
    assert report.events == {BEGIN: 2, 2: 2, INSTANT: 1, COUNTER: 1}


def test_a_compressed_trace_is_looked_into() -> None:
    report = check(file([compressed(whole()[:5]), *whole()[5:8], compressed(whole()[8:])]))
    assert report.findings == []
    assert report.packets == 11


def sourceless(flows: int) -> bytes:
    """So many flows end that have not begun, and 5 losses are told."""
    ends = [event(1, v(9, INSTANT), v(10, 1), fixed(48, 200 + i)) for i in range(flows)]
    return inserted(9, resync(v(42, 1 | 256), time=1012), *ends)


def test_as_many_flows_may_lack_their_beginning_as_events_were_lost() -> None:
    report = check(sourceless(5))
    assert report.findings == []
    assert "the beginning of 5 flows was lost" in report.notes
    report = check(sourceless(6))
    assert len(report.findings) == 6
    assert all("flow without source" in finding for finding in report.findings)
    assert "5 losses are told" in report.findings[0]


def test_a_receive_that_begins_before_its_send_is_a_finding() -> None:
    ends = event(1, v(9, INSTANT), v(10, 1), fixed(48, 5))
    begins = event(1, v(9, INSTANT), v(10, 1), fixed(47, 5))
    (finding,) = check(inserted(9, ends, begins)).findings
    assert "flow without source: flow 5" in finding


# Name -> the damaged trace, and what its only kind of finding says.
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "unknown name": (lambda: inserted(9, begin(1, 77), end(1)), "unknown iid: name 77"),
    "unknown category": (
        lambda: inserted(9, event(1, v(9, INSTANT), v(10, 1), v(3, 9))),
        "unknown iid: category 9",
    ),
    "unknown annotation": (
        lambda: inserted(9, event(1, v(9, INSTANT), v(10, 1), l(4, v(1, 9), v(3, 1)))),
        "unknown iid: annotation name 9",
    ),
    "names die at cleared": (
        lambda: inserted(9, v(10, 2) + v(13, CLEARED) + l(59, v(58, 64), l(11, v(11, THREAD)))),
        "unknown iid: name 2",
    ),
    "needs before cleared": (
        lambda: inserted(0, event(5, v(9, INSTANT), v(23, 0), sequence=v(10, 3))),
        "NEEDS before CLEARED: nothing on this sequence",
    ),
    "needs after a drop": (
        lambda: inserted(9, v(10, 2) + v(42, 1)),
        "NEEDS before CLEARED: packets were dropped",
    ),
    "no sequence id": (
        lambda: inserted(9, event(1, v(9, INSTANT), l(23, "x"), sequence=b"", flags=0)),
        "missing sequence id: a track event",
    ),
    "needs without sequence id": (
        lambda: inserted(9, v(13, NEEDS)),
        "missing sequence id: with NEEDS",
    ),
    "sequence clock without sequence id": (
        lambda: inserted(9, l(6, clock(6, 2000), clock(64, 2000, True))),
        "missing sequence id: with a clock of 64 to 127",
    ),
    "end without begin": (lambda: inserted(9, end(1)), "END without BEGIN"),
    "begin without end": (lambda: inserted(9, begin(1)), "BEGIN without END: 'allocate'"),
    "swapped ends": (
        lambda: file([*whole()[:6], end(3, v(10, 1)), end(2, v(10, 2)), *whole()[8:]]),
        "swapped END: track 7: 'allocate' ends while 'pages' is the innermost",
    ),
    "cut tail": (lambda: file(whole())[:-3], "cut tail"),
    "cut in a length": (lambda: file(whole()) + b"\x0a\xff", "cut tail"),
    "bytes after the last packet": (
        lambda: file(whole()) + b"done",
        "bytes that are no packet: byte 0x64",
    ),
    "zeros after the last packet": (
        lambda: file(whole()) + bytes(16),
        "zero bytes after the last packet",
    ),
    "text in front": (lambda: b"SeaBIOS (version 1.16)\r\n" + file(whole()), "leading text"),
    "line ends converted": (
        lambda: file(whole()).replace(b"\n", b"\r\n")[1:],
        "CRLF damage",
    ),
    "time backwards": (
        lambda: inserted(9, event(-4, v(9, INSTANT), v(10, 1))),
        "time goes backwards",
    ),
    "undeclared track": (
        lambda: inserted(9, event(1, v(9, INSTANT), v(10, 1), v(11, 55))),
        "undeclared track: track 55",
    ),
    "undeclared parent": (
        lambda: inserted(4, l(60, v(1, 44), l(2, "lost"), v(5, 43))),
        "undeclared parent: track 44 below 43",
    ),
    "tracks in a circle": (
        lambda: inserted(
            4, l(60, v(1, 44), l(2, "a"), v(5, 45)), l(60, v(1, 45), l(2, "b"), v(5, 44))
        ),
        "tracks in a circle",
    ),
    "thread with two tracks": (
        lambda: inserted(4, l(60, v(1, 44), l(4, v(1, 1), v(2, 2), l(5, "again")))),
        "thread with two tracks: tid 2",
    ),
    "thread without pid": (
        lambda: inserted(4, l(60, v(1, 44), l(4, v(2, 5), l(5, "x")))),
        "thread without pid and tid",
    ),
    "track without a name": (lambda: inserted(4, l(60, v(1, 44))), "track without name: track 44"),
    "track changes": (
        lambda: inserted(4, l(60, v(1, COUNTERS), l(2, "other"), v(5, ROOT), l(8, v(3, 3)))),
        "track declared twice",
    ),
    "flow on an end": (lambda: replaced(7, end(2, fixed(47, 5))), "flow without slice"),
    "flow from nowhere": (
        lambda: inserted(9, event(1, v(9, INSTANT), v(10, 1), fixed(48, 5))),
        "flow without source: flow 5",
    ),
    "attribute without value": (
        lambda: inserted(9, v(10, 2) + l(126, l(1, l(1, "seed")))),
        "attribute: 'seed'",
    ),
    "undefined clock": (
        lambda: inserted(9, v(10, 2) + v(58, 65) + v(8, 5) + v(13, NEEDS)),
        "undefined clock: clock 65",
    ),
    "incremental clock for all": (
        lambda: inserted(9, v(10, 2) + l(6, clock(6, 2000), clock(200, 5, True))),
        "incremental clock: clock 200",
    ),
    "clock twice": (
        lambda: inserted(9, v(10, 2) + l(6, clock(6, 2000), clock(6, 2000))),
        "clock twice",
    ),
    "clock backwards": (
        lambda: inserted(9, v(10, 2) + l(6, clock(6, 2000)), v(10, 2) + l(6, clock(6, 1999))),
        "clock goes backwards: clock 6 from 2000 to 1999",
    ),
    "clock without relation": (
        lambda: inserted(9, v(10, 2) + l(6, clock(64, 1011, True))),
        "clock without relation",
    ),
    "clock changes its kind": (
        lambda: inserted(10, v(10, 2) + l(6, clock(6, 2000), clock(64, 2000))),
        "clock changed: clock 64",
    ),
    "loss without statistics": (
        lambda: file([*whole()[:9], resync(v(42, 257), time=1021), whole()[9]]),
        "loss without TraceStats: no writer_stats name sequence 2",
    ),
    "dropped without its first bit": (
        lambda: inserted(9, resync(v(42, 256), time=1011)),
        "previous_packet_dropped: 256 without 1",
    ),
    "slice on a counter": (
        lambda: inserted(9, event(0, v(9, INSTANT), v(10, 1), v(11, COUNTERS))),
        "slice on a counter",
    ),
    "value on a thread": (
        lambda: inserted(9, counter(0, 5, THREAD)),
        "counter value on a track of slices",
    ),
    "counter without value": (
        lambda: inserted(9, event(0, v(9, COUNTER), v(11, COUNTERS))),
        "counter without value",
    ),
    "event without name": (lambda: inserted(9, event(0, v(9, INSTANT))), "event without name"),
    "event without type": (lambda: inserted(9, event(0, v(10, 1))), "event type: 0"),
    "event without time": (
        lambda: inserted(9, v(10, 2) + v(13, NEEDS) + l(11, v(9, INSTANT), v(10, 1))),
        "event without time",
    ),
    "event without track": (
        lambda: inserted(
            0, v(10, 5) + v(13, 3) + v(8, 5) + l(11, v(9, INSTANT), l(23, "lonely"))
        ),
        "event without track",
    ),
    "name interned twice": (
        lambda: inserted(9, v(10, 2) + l(12, interned(2, 1, "other"))),
        "interned twice: name 1",
    ),
    "iid 0": (lambda: inserted(9, v(10, 2) + l(12, interned(2, 0, "none"))), "interned iid 0"),
    "interned before cleared": (
        lambda: inserted(0, v(10, 4) + l(12, interned(2, 1, "early"))),
        "interned data before CLEARED",
    ),
    "text that is no UTF-8": (
        lambda: inserted(4, l(60, v(1, 44), l(2, b"\xff\xfe"))),
        "text is not UTF-8",
    ),
    "a flipped length inside": (
        lambda: inserted(9, v(10, 2) + b"\x5a\x7f\x01"),
        "damaged packet: field 11 says 127 bytes, 1 are left",
    ),
    "a broken zlib stream": (
        lambda: inserted(9, l(50, b"\x78\x01garbage")),
        "compressed packet: cannot be inflated",
    ),
    "a cut zlib stream": (
        lambda: inserted(9, l(50, zlib.compress(file([begin(1), end(1)]))[:-6])),
        "compressed packet: its zlib stream is cut",
    ),
    "zstd": (lambda: inserted(9, l(133, b"x")), "zstd_compressed_packets"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_each_damage_has_its_own_message(name: str) -> None:
    make, expected = DAMAGED[name]
    findings = check(make()).findings
    assert findings, "nothing was found"
    assert any(expected in finding for finding in findings), findings
    # Where it is: byte and packet.
    assert all(finding.startswith("byte ") and ", packet " in finding for finding in findings)


def test_most_damages_give_one_line_each() -> None:
    counts = {name: len(check(make()).findings) for name, (make, _) in DAMAGED.items()}
    assert sum(count == 1 for count in counts.values()) > len(DAMAGED) * 0.7, counts


def test_a_finding_says_where_it_is() -> None:
    trace = whole()
    offset = len(file(trace[:9]))
    [finding] = check(inserted(9, end(1))).findings
    assert finding.startswith(f"byte {offset}, packet 10: END without BEGIN: ")
    packed = file([*trace[:9], compressed([end(1)]), *trace[9:]])
    [finding] = check(packed).findings
    assert finding.startswith(f"byte {offset} (+0 inflated), packet 10: END without BEGIN: ")


def test_a_told_loss_is_a_note_and_no_finding() -> None:
    trace = whole()
    report = check(file([*trace[:9], resync(v(42, 257), time=1011), *trace[9:]]))
    assert report.findings == []
    assert len(report.notes) == 1 and "sequence 2" in report.notes[0]


def test_no_bytes_of_any_kind_make_it_fail_itself() -> None:
    data = file(whole())
    for at in range(len(data)):
        for damage in (b"", b"\x00", b"\xff", bytes([data[at] ^ 0x80])):
            check(data[:at] + damage + data[at + 1 :])
        check(data[:at])


def test_exit_codes_tell_valid_from_findings_from_unreadable(tmp_path: Path) -> None:
    good, bad, empty = (tmp_path / name for name in ("good", "bad", "empty"))
    good.write_bytes(file(whole()))
    bad.write_bytes(inserted(9, *[end(1)] * 60))
    empty.write_bytes(b"")
    done = run_checker(good)
    assert done.returncode == 0 and "valid: 11 packets, 2 slices" in done.stdout
    done = run_checker(good, bad)
    lines = done.stdout.splitlines()
    assert done.returncode == 10 and len(lines) == 52 and lines[-1].endswith("and 10 more")
    assert all(str(bad) in line for line in lines[1:])
    assert run_checker(empty).returncode == 40
    assert run_checker(tmp_path / "missing").returncode == 40


def test_every_trace_the_kernel_makes_is_valid(made: Path) -> None:
    paths = sorted(made.glob("*.perfetto-trace"))
    assert len(paths) >= 6
    done = run_checker(*paths)
    assert done.returncode == 0, done.stdout
