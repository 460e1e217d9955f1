# SPDX-License-Identifier: MIT
"""What comes over the line, whole and damaged, by accident and on purpose."""

from __future__ import annotations

import random
from typing import Any

import pytest
import wire_encoder as wire
from recorder_run import SUCCESS, Recorder, send
from wire_encoder import n, record, s, z


def bench(recorder: Recorder, data: bytes, *more: list[Any], code: int = SUCCESS) -> int:
    return recorder.bench([send(data), *more, ["exit", code]])


def framed(target: wire.Target, pieces: list[bytes], stream: bytes) -> bytes:
    return target.hello() + b"".join(pieces) + target.end(stream)


def reference(recorder: Recorder) -> list[tuple[Any, ...]]:
    return recorder.query("SELECT id, aa, boot, round, operations, overhead, cold, samples, tags"
                          " FROM round ORDER BY id, aa, round")  # fmt: skip


WHOLE = 3 * 2  # rounds of the target of the tests


# ---- harmless ----------------------------------------------------------------------------------


def test_duplicates_are_harmless(recorder: Recorder, target: wire.Target) -> None:
    stream = target.stream()
    pieces = target.data(stream)
    end = target.end(stream)
    data = target.hello() + b"".join(piece * 3 for piece in pieces) + end * 3
    assert bench(recorder, target.hello() + data) == 0
    assert len(reference(recorder)) == WHOLE


def test_overlapping_pieces_are_harmless(recorder: Recorder, target: wire.Target) -> None:
    stream = target.stream()
    pieces = target.data(stream, size=90) + target.data(stream, size=130)
    random.Random(5).shuffle(pieces)
    assert bench(recorder, framed(target, pieces, stream)) == 0
    assert len(reference(recorder)) == WHOLE


@pytest.mark.parametrize("seed", range(4))
def test_reordering_is_harmless(recorder: Recorder, target: wire.Target, seed: int) -> None:
    stream = target.stream()
    pieces = target.data(stream, size=16)
    random.Random(seed).shuffle(pieces)
    assert bench(recorder, framed(target, pieces, stream)) == 0
    assert len(reference(recorder)) == WHOLE


def test_results_after_end_are_waited_for(recorder: Recorder, target: wire.Target) -> None:
    stream = target.stream()
    first, *others = target.data(stream)
    assert bench(recorder, target.hello() + b"".join(others) + target.end(stream),
                 ["sleep", 0.2], send(first)) == 0  # fmt: skip


def test_gap_is_asked_for(recorder: Recorder, target: wire.Target) -> None:
    stream = target.stream()
    pieces = target.data(stream)
    data = target.hello() + b"".join(pieces[:1] + pieces[2:]) + target.end(stream)
    assert bench(recorder, data, ["await", wire.RESEND], send(pieces[1]), ["await", wire.ACK]) == 0
    log = (recorder.place / "log.txt").read_text()
    assert f"frame {wire.RESEND} offset 200 payload c8000000" in log
    assert f"frame {wire.ACK} offset {len(stream)}" in log


def test_noise_and_broken_frames_are_harmless(recorder: Recorder, target: wire.Target) -> None:
    whole = target.complete()
    broken = bytearray(target.send(wire.LOG, wire.TEXT, b"never seen"))
    broken[broken.index(b"never")] ^= 1
    noise = b"SeaBIOS \x1b[2J\x1b]0;title\x07\xff\xfe hello\r\n" + bytes(broken) + b"x" * 5000
    assert bench(recorder, noise + whole + noise) == 0
    log = (recorder.place / "log.txt").read_bytes()
    assert b"SeaBIOS" in log and b"\x1b" not in log and b"\x07" not in log
    assert max(log) < 0x7F
    facts = dict(recorder.query("SELECT key, value FROM fact"))
    assert int(facts["line.noise_bytes"]) > 10000 and int(facts["line.damaged_frames"]) == 2


def test_escape_sequences_reach_neither_screen_nor_files(recorder, target) -> None:
    evil = b"\x1b[31mred\x1b[0m \x9b2J \x08\x7f\n"
    hostile = target.variant(log=(evil,), table=(evil,))
    assert bench(recorder, hostile.complete()) == 0
    seen = recorder.done.stdout + (recorder.place / "tables.txt").read_text()
    seen += (recorder.place / "log.txt").read_text() + recorder.errors
    assert "red" in seen
    assert all(c == "\n" or " " <= c <= "~" for c in seen)


def test_unknown_records_frames_and_fields_are_skipped(recorder, target) -> None:
    stream = record(200, b"from the future") + target.stream() + record(99, b"")
    news = target.send(wire.CONTROL, 77, b"?") + target.send(wire.RESULTS, 78, b"?")
    trace = target.send(wire.TRACE, 30, bytes(500))
    assert bench(recorder, news + trace + framed(target, target.data(stream), stream)) == 0
    assert dict(recorder.query("SELECT key, value FROM fact"))["line.trace_bytes"] == "500"


def test_lost_log_frames_are_counted(recorder: Recorder, target: wire.Target) -> None:
    stream = target.stream()
    pieces = target.data(stream)
    target.sequences[wire.LOG] = len(stream) + 5  # what END will claim
    assert bench(recorder, framed(target, pieces, stream)) == 0
    facts = dict(recorder.query("SELECT key, value FROM fact"))
    assert facts["line.lost_log_frames"] == str(len(stream) + 5)


def test_samples_may_have_tags_negative_values_and_long_runs(recorder, target) -> None:
    values = tuple([-5] * 1000 + list(range(0, -500, -1)) + [2**60, -(2**60), 0])
    tags = tuple([0] * 1000 + [i % 128 for i in range(503)])
    row = wire.Row("a/b/c", values=(values,), tags=tags, overhead=-3, cold=-(2**60))
    assert bench(recorder, target.variant(clock=wire.TSC, rows=(row,)).complete()) == 0
    ((_, _, _, _, _, overhead, cold, samples, stored_tags),) = reference(recorder)
    assert (overhead, cold) == (-3, -(2**60))
    assert [int.from_bytes(samples[i : i + 8], "little", signed=True)
            for i in range(0, len(samples), 8)] == list(values)  # fmt: skip
    assert tuple(stored_tags) == tags


def test_tokens_may_be_split_in_other_ways(recorder: Recorder, target: wire.Target) -> None:
    """Equality is that of values: the two boots say them with other tokens."""
    row = wire.Row("a/b/c", values=((5, 5, 5, 6),))
    first = target.variant(rows=(row,))
    second = first.variant(boot=1, session=target.session + 1)
    split = second.stream().replace(wire.joined_tokens((5, 5, 5, 6)),
                                    wire.samples_tokens((5, 5, 5, 6)))  # fmt: skip
    at = split.index(bytes([wire.SAMPLES]), len(second.head()))
    length = int.from_bytes(split[at + 1 : at + 3], "little")
    grown = len(wire.samples_tokens((5, 5, 5, 6))) - len(wire.joined_tokens((5, 5, 5, 6)))
    split = split[: at + 1] + (length + grown).to_bytes(2, "little") + split[at + 3 :]
    said = framed(second, second.data(split), split)
    assert recorder.bench([send(first.complete()), ["exit", SUCCESS]],
                          [send(said), ["exit", SUCCESS]]) == 0  # fmt: skip


# ---- damaged -----------------------------------------------------------------------------------


def damaged(recorder: Recorder, *words: str) -> None:
    outcome, detail = recorder.outcome()
    assert outcome == "stream damaged", detail
    for word in words:
        assert word in detail


def test_gap_that_never_fills_is_damage(recorder: Recorder, target: wire.Target) -> None:
    stream = target.stream()
    pieces = target.data(stream)
    assert bench(recorder, framed(target, pieces[:1] + pieces[2:], stream)) == 40
    damaged(recorder, "200 bytes of results at 200 never came")
    assert ": missing: no whole result came" in recorder.done.stdout, "measured they may have been"


def test_gap_before_a_deadline_is_damage_and_no_hang(recorder, target) -> None:
    stream = target.head() + wire.begin(0, "heap/pair_64", 0, 2, 1) + target.row(0)
    pieces = target.data(stream, size=64)
    data = target.hello() + b"".join(pieces[:-2] + pieces[-1:])
    assert recorder.bench([send(data), ["sleep", 60]], **{"idle-seconds": 1}) == 40
    damaged(recorder, "never came")


def test_stream_cut_in_a_frame_is_a_death(recorder: Recorder, target: wire.Target) -> None:
    *pieces, last = target.data(target.stream())
    cut = target.hello() + b"".join(pieces) + last[: len(last) // 2]
    assert bench(recorder, cut, code=1) == 40
    assert recorder.outcome()[0] == "target died"
    assert recorder.statuses() == {"heap/pair_64/linked_list": "ok", "heap/pair_64/hybrid": "ok",
                                   "ipc/pair_56/fusion_spsc": "missing"}  # fmt: skip


@pytest.mark.parametrize("what", ["crc", "hash"])
def test_wrong_digest_in_end_is_damage(recorder, target, what: str) -> None:
    stream = target.stream()
    data = target.hello() + b"".join(target.data(stream)) + target.end(stream, **{what: 12345})
    assert bench(recorder, data) == 40
    damaged(recorder, "digest of the results")


def test_more_results_than_end_says_is_damage(recorder: Recorder, target) -> None:
    stream = target.stream()
    data = target.hello() + b"".join(target.data(stream)) + target.end(stream[:-7])
    assert bench(recorder, data) == 40
    damaged(recorder, "END says")


def test_results_that_differ_at_one_offset_are_damage(recorder: Recorder, target) -> None:
    stream = target.stream()
    other = bytearray(stream)
    other[50] ^= 1
    pieces = target.data(stream) + target.data(bytes(other))
    assert bench(recorder, framed(target, pieces, stream)) == 40
    damaged(recorder, "came twice and differ")


def test_two_ends_that_differ_are_damage(recorder: Recorder, target: wire.Target) -> None:
    data = target.complete() + target.end(b"something else")
    assert bench(recorder, data) == 40
    damaged(recorder)


def test_success_with_an_unfinished_row_is_damage(recorder: Recorder, target) -> None:
    stream = target.head() + wire.begin(0, "heap/pair_64", 0, 2) + target.row(0)
    assert bench(recorder, framed(target, target.data(stream), stream)) == 40
    damaged(recorder, "rows are not finished")
    assert recorder.statuses()["heap/pair_64/hybrid"] == "missing"


def test_results_beyond_the_window_are_not_kept(recorder: Recorder, target) -> None:
    stream = target.stream()
    far = [target.send(wire.RESULTS, wire.DATA, b"x" * 1000, 3 << 20)]
    pieces = target.data(stream)
    assert bench(recorder, framed(target, far + pieces, stream)) == 0
    beyond = target.send(wire.RESULTS, wire.DATA, b"x", (64 << 20) + 1)
    assert recorder.bench([send(target.hello(), beyond), ["sleep", 9]], run="r2") == 40
    assert recorder.query("SELECT outcome, detail FROM run WHERE run = 'r2'") == [
        ("stream damaged", "results beyond 64 MiB")
    ]


def test_a_flood_is_cut(recorder: Recorder, target: wire.Target) -> None:
    flood = ["flood", (b"\0" + b"z" * 65535).hex(), 80]
    steps = [send(target.hello()), flood, ["sleep", 60]]
    assert recorder.bench(steps, **{"line-mib": 4}) == 40
    damaged(recorder, "more than 4 MiB over the line")
    assert (recorder.place / "stream.bin").stat().st_size < 5 << 20


# ---- hostile -----------------------------------------------------------------------------------

MOST = 2**64 - 1
ROW = wire.Row("a/b/c", values=((1, 2, 3),))


def planned(count: int = 1) -> bytes:
    """A plan of one row and its case begun."""
    return wire.plan([ROW] * count, 1) + wire.plan_row(0, ROW)


def running() -> bytes:
    return planned() + wire.begin(0, "a/b", 0, 1)


def row_record(**changes: bytes) -> bytes:
    fields = {"index": n(0), "id": s("a/b/c"), "aa": n(0), "role": n(1), "what": s("w"),
              "unit": s("ticks"), "definition": n(1), "operations": n(1), "rounds": n(1),
              "samples": n(1)}  # fmt: skip
    fields.update(changes)
    return record(wire.PLAN_ROW, b"".join(fields.values()))


def sample_record(**changes: bytes) -> bytes:
    fields = {"row": n(0), "round": n(0), "operations": n(1), "overhead": z(0), "cold": z(0),
              "count": n(2), "tokens": wire.samples_tokens((1, 2)),
              "tags": wire.samples_tokens((0, 0))}  # fmt: skip
    fields.update(changes)
    return record(wire.SAMPLES, b"".join(fields.values()))


def counter_record(**changes: bytes) -> bytes:
    fields = {"row": n(0), "name": s("c"), "numerator": n(1), "denominator": n(1),
              "unit": s("count")}  # fmt: skip
    fields.update(changes)
    return record(wire.COUNTER, b"".join(fields.values()))


def plan_record(rows: int, cases: int, boot: int = 0) -> bytes:
    return record(wire.PLAN, n(rows) + n(cases) + n(0) + n(boot))


HOSTILE = {
    "record too long": b"\x01\xff\xff" + bytes(70000),
    "fact without a key": record(wire.FACT, s("") + s("x")),
    "fact with a strange key": record(wire.FACT, s("a b") + s("x")),
    "fact with a path": record(wire.FACT, s("../\x00") + s("x")),
    "fact with an escape": record(wire.FACT, s("a") + s("\x1b[0m")),
    "fact too long": record(wire.FACT, s("a") + s("x" * 257)),
    "fact cut": record(wire.FACT, s("a") + n(200) + b"x"),
    "too many facts": b"".join(record(wire.FACT, s(f"k{i}") + s("x")) for i in range(513)),
    "plan of too many rows": plan_record(4097, 1),
    "plan of all rows": plan_record(MOST, 1),
    "plan with more cases than rows": plan_record(1, 2),
    "plan of another boot": plan_record(1, 1, boot=1),
    "plan cut": record(wire.PLAN, n(1)),
    "second plan": plan_record(1, 1) * 2,
    "row before the plan": row_record(),
    "row out of turn": plan_record(3, 1) + row_record(index=n(1)),
    "more rows than planned": plan_record(1, 1) + row_record() + row_record(index=n(1)),
    "same row twice": plan_record(2, 1) + row_record() + row_record(index=n(1)),
    "row with a huge index": plan_record(1, 1) + row_record(index=n(MOST)),
    "row id with a space": plan_record(1, 1) + row_record(id=s("a/b/c d")),
    "row id without slashes": plan_record(1, 1) + row_record(id=s("abc")),
    "row id with an empty part": plan_record(1, 1) + row_record(id=s("a//c")),
    "row id with four parts": plan_record(1, 1) + row_record(id=s("a/b/c/d")),
    "row id too long": plan_record(1, 1) + row_record(id=s("a/b/" + "c" * 61)),
    "row with aa 2": plan_record(1, 1) + row_record(aa=n(2)),
    "row with role 4": plan_record(1, 1) + row_record(role=n(4)),
    "row with a strange unit": plan_record(1, 1) + row_record(unit=s("<b>")),
    "row without a unit": plan_record(1, 1) + row_record(unit=s("")),
    "row without operations": plan_record(1, 1) + row_record(operations=n(0)),
    "row with too many operations": plan_record(1, 1) + row_record(operations=n(MOST)),
    "row without rounds": plan_record(1, 1) + row_record(rounds=n(0)),
    "row with too many rounds": plan_record(1, 1) + row_record(rounds=n(1025)),
    "row with too many samples": plan_record(1, 1) + row_record(samples=n(65537)),
    "row with an overlong number": plan_record(1, 1) + row_record(definition=b"\xff" * 10 + b"\1"),
    "begin before the plan": wire.begin(0, "a/b", 0, 1),
    "begin before the rows": plan_record(1, 1) + wire.begin(0, "a/b", 0, 1),
    "begin of rows not planned": planned() + wire.begin(0, "a/b", 0, 2),
    "begin beyond the plan": planned() + wire.begin(0, "a/b", 1, 1),
    "begin far beyond the plan": planned() + wire.begin(0, "a/b", MOST, 2),
    "begin of no rows": planned() + wire.begin(0, "a/b", 0, 0),
    "begin of a case not planned": planned() + wire.begin(1, "a/b", 0, 1),
    "begin without time": planned() + wire.begin(0, "a/b", 0, 1, 0),
    "begin with too much time": planned() + wire.begin(0, "a/b", 0, 1, 3601),
    "begin twice": running() + wire.begin(0, "a/b", 0, 1),
    "begin again": running() + wire.samples(0, ROW, 0) + wire.finish(0)
    + wire.begin(0, "a/b", 0, 1),
    "samples before begin": planned() + sample_record(),
    "samples of no row": running() + sample_record(row=n(1)),
    "samples of a far row": running() + sample_record(row=n(MOST)),
    "samples of a far round": running() + sample_record(round=n(1)),
    "samples twice": running() + sample_record() * 2,
    "samples without operations": running() + sample_record(operations=n(0)),
    "samples with a huge overhead": running() + sample_record(overhead=z(2**62)),
    "samples with a huge cold value": running() + sample_record(cold=n(MOST)),
    "no samples": running() + sample_record(count=n(0), tokens=b"", tags=b""),
    "too many samples": running() + sample_record(count=n(65537)),
    "more samples than tokens": running() + sample_record(count=n(3)),
    "more tokens than samples": running() + sample_record(tokens=n(3) + n(65000)),
    "samples out of range": running() + sample_record(tokens=wire.samples_tokens((2**62, 1))),
    "samples that wrap": running() + sample_record(count=n(60000), tokens=n((2**62 << 1) | 1)
                                                   + n(59999)),
    "tag out of range": running() + sample_record(tags=wire.samples_tokens((0, 128))),
    "negative tag": running() + sample_record(tags=wire.samples_tokens((0, -1))),
    "no tags": running() + sample_record(tags=b""),
    "samples after finish": running() + wire.samples(0, ROW, 0) + wire.finish(0) + sample_record(),
    "counter divided by nothing": running() + counter_record(denominator=n(0)),
    "counter out of range": running() + counter_record(numerator=n(2**63)),
    "cycles out of range": running() + counter_record(numerator=n(2**55 + 1), unit=s("cycles")),
    "instructions out of range": running() + counter_record(denominator=n(2**55 + 1),
                                                            unit=s("instructions")),
    "counter of a strange unit": running() + counter_record(unit=s("litres")),
    "counter without a name": running() + counter_record(name=s("")),
    "counter twice": running() + counter_record() * 2,
    "too many counters": running() + b"".join(counter_record(name=s(f"c{i}")) for i in range(321)),
    "too many points": running() + b"".join(counter_record(name=s(f"c@{i}")) for i in range(257)),
    "counter with a space": running() + counter_record(name=s("a b")),
    "point of no curve": running() + counter_record(name=s("@1")),
    "point of a strange curve": running() + counter_record(name=s("a b@1")),
    "point without x": running() + counter_record(name=s("a@")),
    "point with two x": running() + counter_record(name=s("a@1@2")),
    "point with a negative x": running() + counter_record(name=s("a@-1")),
    "point with a fraction": running() + counter_record(name=s("a@1.5")),
    "point with zeros in front": running() + counter_record(name=s("a@01")),
    "point beyond 63 bits": running() + counter_record(name=s(f"a@{2**63}")),
    "point with a long name": running() + counter_record(name=s("a" * 63 + "@1")),
    "point twice": running() + counter_record(name=s("a@1")) * 2,
    "points of two units": running() + counter_record(name=s("a@1"))
    + counter_record(name=s("a@2"), unit=s("bytes")),
    "measured point": running() + counter_record(name=s("a@1"), unit=s("cycles")),
    "finish before begin": planned() + wire.finish(0),
    "finish without rounds": running() + wire.finish(0),
    "finish with a strange status": running() + wire.finish(0, 5),
    "finish of a far row": running() + wire.finish(MOST),
}  # fmt: skip


@pytest.mark.parametrize("stream", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_record_is_damage(recorder: Recorder, target: wire.Target, stream: bytes) -> None:
    said = target.hello() + b"".join(target.data(stream, size=1000))
    assert recorder.bench([send(said), ["sleep", 60]]) == 40
    damaged(recorder)
    recorder.check_store()


HOSTILE_CONTROL = {
    "empty hello": (wire.HELLO, b""),
    "hello with a long build id": (wire.HELLO, n(1) + s(b"x" * 65)),
    "hello with a strange clock": (wire.HELLO, n(1) + s(bytes(range(20))) + n(3) + n(1) + n(0)),
    "hello of another boot": (
        wire.HELLO, n(1) + s(bytes(range(20))) + n(1) + n(1) + n(9) + s("x86_64")),
    "hello faster than light": (
        wire.HELLO, n(1) + s(bytes(range(20))) + n(1) + n(MOST) + n(0) + s("x86_64")),
    "empty end": (wire.END, b""),
    "end with success 2": (wire.END, n(2) + n(0) * 15),
    "end with impossible totals": (wire.END, n(1) + n(500) + n(0) * 14),
    "end of too much": (wire.END, n(1) + n(MOST) + n(0) + n(0) + n(MOST) * 12),
}  # fmt: skip


@pytest.mark.parametrize("kind, payload", HOSTILE_CONTROL.values(), ids=HOSTILE_CONTROL.keys())
def test_hostile_control_frame_is_damage(recorder, target, kind: int, payload: bytes) -> None:
    said = target.send(wire.CONTROL, kind, payload)
    assert recorder.bench([send(said), ["sleep", 60]]) == 40
    damaged(recorder)


@pytest.mark.parametrize("payload", [b"", n(200), s("x") + n(MOST) * 30], ids=["", "cut", "huge"])
def test_hostile_panic_is_still_a_panic(recorder, target, payload: bytes) -> None:
    stack = target.send(wire.CONTROL, wire.STACK, b"x" * 1000, 2**32 - 10)
    stack += target.send(wire.CONTROL, wire.STACK, b"x" * 1000, 8000)
    said = target.hello() + stack + target.send(wire.CONTROL, wire.PANIC, payload)
    assert recorder.bench([send(said), ["exit", 99]]) == 40
    assert recorder.outcome()[0] == "guest panic"
    recorder.check_store()


@pytest.mark.parametrize("seed", range(8))
def test_altered_bytes_on_the_line_never_pass(recorder, target, seed: int) -> None:
    """Whatever a bad line does, the run is either the right one or none."""
    chance = random.Random(seed)
    data = bytearray(target.complete())
    for _ in range(3):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    code = bench(recorder, bytes(data))
    outcome = recorder.outcome()[0]
    assert (code == 0) == (outcome == "complete")
    if code == 0:
        assert len(reference(recorder)) == WHOLE
        assert recorder.statuses() == {row.id: "ok" for row in target.rows}
    recorder.check_store()
