# SPDX-License-Identifier: MIT
"""The trace's way from the line to the file: whole, or valid and honest about what is missing."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import wire_encoder as wire
from recorder_run import SESSION, SUCCESS, Recorder, send

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests/trace")]  # behind: each folder has a conftest
import by_hand  # noqa: E402

from reports.perfetto_check import Report, check  # noqa: E402

PACKETS, PACKETS_MORE = 11, 12
FRAME = 40  # bytes of a piece in one frame


def pieces() -> list[bytes]:
    """A trace in five pieces that need nothing of each other."""
    out = []
    for number in range(5):
        trace = by_hand.whole()[:-1]
        trace[0] = by_hand.resync(time=1000 + 1000 * number)
        out.append(by_hand.file([by_hand.compressed(trace)]))
    return out


def frames(target: wire.Target, trace: list[bytes], size: int = FRAME) -> list[bytes]:
    out, offset = [], 0
    for piece in trace:
        for at in range(0, len(piece), size):
            kind = PACKETS if at == 0 else PACKETS_MORE
            out.append(target.send(wire.TRACE, kind, piece[at : at + size], offset + at))
        offset += len(piece)
    return out


def bench(recorder: Recorder, target: wire.Target, sent: list[bytes], **options: str) -> int:
    stream = target.stream()
    data = target.hello() + b"".join(target.data(stream)) + b"".join(sent) + target.end(stream)
    return recorder.bench([send(data), ["exit", SUCCESS]], **options)


@pytest.fixture
def traced(target: wire.Target) -> wire.Target:
    return target.variant(trace_bytes=sum(map(len, pieces())))


def trace_of(recorder: Recorder) -> bytes:
    return (recorder.place / "trace.perfetto-trace").read_bytes()


def valid(recorder: Recorder) -> Report:
    report = check(trace_of(recorder))
    assert report.findings == []
    return report


def fact(recorder: Recorder, key: str) -> str:
    return dict(recorder.query("SELECT key, value FROM fact"))[key]


SLICES = 2  # of a piece


def test_a_whole_trace_is_written_and_linked(recorder: Recorder, traced: wire.Target) -> None:
    assert bench(recorder, traced, frames(traced, pieces())) == 0
    assert trace_of(recorder).endswith(b"".join(pieces()))
    report = valid(recorder)
    assert report.events[by_hand.BEGIN] == 5 * SLICES and report.notes == []
    link = recorder.results / "runs/r1/trace.perfetto-trace"
    assert link.is_symlink() and link.read_bytes() == trace_of(recorder)
    assert fact(recorder, "line.lost_trace_bytes") == "0"
    assert recorder.query("SELECT key FROM fact WHERE key = 'line.trace_end'") == []
    assert "of the trace" not in recorder.done.stdout
    # What only the host knows.
    head = trace_of(recorder)[: -sum(map(len, pieces()))]
    assert b"r1" in head and b"qemu-exact" in head and b"commit" in head


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_may_be_of_any_size(recorder: Recorder, traced: wire.Target, size: int) -> None:
    assert bench(recorder, traced, frames(traced, pieces(), size)) == 0
    assert trace_of(recorder).endswith(b"".join(pieces()))


def test_duplicates_and_reordering_are_harmless(recorder: Recorder, traced: wire.Target) -> None:
    sent = frames(traced, pieces()) * 2
    random.Random(7).shuffle(sent)
    assert bench(recorder, traced, sent) == 0
    assert trace_of(recorder).endswith(b"".join(pieces()))
    assert fact(recorder, "line.lost_trace_bytes") == "0"


@pytest.mark.parametrize("missing", range(5))
def test_a_piece_that_lost_a_frame_is_left_out_whole(
    recorder: Recorder, traced: wire.Target, missing: int
) -> None:
    trace = pieces()
    before = sum(len(piece) for piece in trace[:missing])
    sent = frames(traced, trace)
    count = [(len(piece) + FRAME - 1) // FRAME for piece in trace]
    for lost in {0, count[missing] // 2, count[missing] - 1}:
        rest = list(sent)
        del rest[sum(count[:missing]) + lost]
        assert bench(recorder, traced, rest, run=f"r{missing}-{lost}") == 0
        path = recorder.results / f"runs/r{missing}-{lost}/qemu-exact/trace.perfetto-trace"
        report = check(path.read_bytes())
        assert report.findings == [] and len(report.notes) == 1
        assert report.events[by_hand.BEGIN] == 4 * SLICES
        assert trace[missing] not in path.read_bytes()[before:]
        assert f"{len(trace[missing])} bytes were lost on the line" in recorder.done.stdout


def test_random_losses_never_make_it_invalid(recorder: Recorder, traced: wire.Target) -> None:
    sent = frames(traced, pieces())
    for seed in range(12):
        chance = random.Random(seed)
        rest = [frame for frame in sent if chance.random() > 0.1 * (seed % 4 + 1)]
        assert bench(recorder, traced, rest, run=f"s{seed}") == 0, seed
        path = recorder.results / f"runs/s{seed}/qemu-exact/trace.perfetto-trace"
        report = check(path.read_bytes())
        assert report.findings == [], seed
        whole = len(rest) == len(sent)
        assert (report.events.get(by_hand.BEGIN, 0) == 5 * SLICES) == whole, seed
        assert len(report.notes) == (0 if whole else 1), seed


def test_a_piece_of_several_packets_is_taken_only_if_it_is_surely_whole(
    recorder: Recorder, target: wire.Target
) -> None:
    """Cut between two packets it would look whole, with slices that do not end."""
    packets = [by_hand.file([packet]) for packet in by_hand.whole()[:-1]]
    piece = b"".join(packets)
    cut = sum(map(len, packets[:6]))
    target = target.variant(trace_bytes=2 * len(piece))
    first = target.send(wire.TRACE, PACKETS, piece[:cut], 0)
    second = target.send(wire.TRACE, PACKETS, piece, len(piece))
    assert bench(recorder, target, [first, second]) == 0
    assert valid(recorder).events[by_hand.BEGIN] == SLICES


def test_bytes_that_are_no_packets_are_left_out(recorder: Recorder, traced: wire.Target) -> None:
    trace = pieces()
    trace[2] = b"\x0b" + trace[2][1:]
    trace[3] = trace[3][:-1] + b""
    target = traced.variant(trace_bytes=sum(map(len, trace)))
    assert bench(recorder, target, frames(target, trace)) == 0
    assert valid(recorder).events[by_hand.BEGIN] == 3 * SLICES
    assert fact(recorder, "line.lost_trace_bytes") == str(len(trace[2]) + len(trace[3]))


def test_a_trace_of_which_nothing_came_is_lost_and_not_absent(
    recorder: Recorder, traced: wire.Target
) -> None:
    size = sum(map(len, pieces()))
    assert bench(recorder, traced, []) == 0
    assert list(recorder.results.glob("**/*.perfetto-trace")) == []
    assert fact(recorder, "line.lost_trace_bytes") == str(size)
    assert f"all {size} bytes of the trace were lost" in recorder.done.stdout


def test_a_trace_of_a_target_that_dies_is_kept(recorder: Recorder, traced: wire.Target) -> None:
    stream = traced.stream()
    data = traced.hello() + b"".join(traced.data(stream)) + b"".join(frames(traced, pieces())[:-1])
    assert recorder.bench([send(data), ["exit", 1]]) == 40
    report = valid(recorder)
    assert report.events[by_hand.BEGIN] >= 3 * SLICES
    assert len(report.notes) == 1 and "data was lost" in report.notes[0]
    assert fact(recorder, "line.trace_end") == "unknown"
    assert "end of the trace unknown" in recorder.done.stdout.splitlines()[-1]
    # The last piece lacks a frame: what came of it is counted, what did not is not guessed.
    came = len(pieces()[-1]) // FRAME * FRAME
    assert fact(recorder, "line.lost_trace_bytes") == str(came)


def test_a_death_between_two_pieces_leaves_the_end_of_the_trace_unknown(
    recorder: Recorder, traced: wire.Target
) -> None:
    """All that came is whole, and still nobody knows what would have come."""
    stream = traced.stream()
    words = traced.hello() + b"".join(traced.data(stream))
    for count in (1, 4, 5):
        sent = b"".join(frames(traced.variant(), pieces()[:count]))
        run = f"d{count}"
        assert recorder.bench([send(words + sent), ["exit", 1]], run=run) == 40
        trace = (recorder.results / f"runs/{run}/qemu-exact/trace.perfetto-trace").read_bytes()
        report = check(trace)
        assert report.findings == [] and len(report.notes) == 1
        assert report.events[by_hand.BEGIN] == count * SLICES
        assert trace.count(b"unknown") == 2  # the commit, and the end
        facts = dict(recorder.query("SELECT key, value FROM fact WHERE run = ?", run))
        assert facts["line.trace_end"] == "unknown" and facts["line.lost_trace_bytes"] == "0"
    recorder.rebuild()
    assert "3 runs as they were" in recorder.done.stdout


def test_a_death_before_any_trace_says_nothing_of_its_end(
    recorder: Recorder, target: wire.Target
) -> None:
    stream = target.stream()
    data = target.hello() + b"".join(target.data(stream))
    assert recorder.bench([send(data), ["exit", 1]]) == 40
    assert list(recorder.results.glob("**/*.perfetto-trace")) == []
    facts = dict(recorder.query("SELECT key, value FROM fact"))
    assert "line.trace_end" not in facts and facts["line.lost_trace_bytes"] == "0"
    assert "of the trace" not in recorder.done.stdout


def test_frames_of_another_session_are_not_of_this_trace(
    recorder: Recorder, traced: wire.Target
) -> None:
    foreign = frames(traced.variant(session=SESSION + 100), [b"\x0a\x01\x00"])
    assert bench(recorder, traced, foreign + frames(traced, pieces())) == 0
    assert trace_of(recorder).endswith(b"".join(pieces()))


def test_a_run_without_a_trace_has_no_file(recorder: Recorder, target: wire.Target) -> None:
    assert bench(recorder, target.variant(trace_bytes=0), []) == 0
    assert list(recorder.results.glob("**/*.perfetto-trace")) == []
    assert fact(recorder, "line.lost_trace_bytes") == "0"
    assert "of the trace" not in recorder.done.stdout


def test_rebuild_makes_the_same_file_again(recorder: Recorder, traced: wire.Target) -> None:
    sent = frames(traced, pieces())
    del sent[3]
    assert bench(recorder, traced, sent) == 0
    before = trace_of(recorder)
    (recorder.place / "trace.perfetto-trace").unlink()
    (recorder.results / "runs/r1/trace.perfetto-trace").unlink()
    assert recorder.rebuild() == 0
    assert trace_of(recorder) == before
    assert (recorder.results / "runs/r1/trace.perfetto-trace").read_bytes() == before
    assert recorder.rebuild() == 0 and "1 runs as they were" in recorder.done.stdout


def test_a_second_machines_trace_does_not_take_the_link(
    recorder: Recorder, traced: wire.Target
) -> None:
    assert bench(recorder, traced, frames(traced, pieces())) == 0
    second = traced.variant()
    assert bench(recorder, second, frames(second, pieces()), machine="kvm") == 0
    link = recorder.results / "runs/r1/trace.perfetto-trace"
    assert link.readlink() == Path("qemu-exact/trace.perfetto-trace")
    assert (recorder.results / "runs/r1/qemu-kvm/trace.perfetto-trace").exists()
