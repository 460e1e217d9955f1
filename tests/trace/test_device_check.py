# SPDX-License-Identifier: MIT
"""The checker's rules for devices: right tracks pass, each damage fails with its own message."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from by_hand import INSTANT, ROOT, begin, counter, end, event, file, fixed, l, resync, v, whole

from reports.perfetto_check import check

STATE, REQUEST, MODE = 5, 20, 21
TRACKS = [
    l(60, v(1, REQUEST), l(2, "request 0"), v(5, ROOT), l(18)),
    l(60, v(1, MODE), l(2, "queue 0: mode"), v(5, ROOT), l(18)),
]


def state(name: str, track: int = REQUEST, delta: int = 1) -> bytes:
    words = [l(23, name)] if name else []
    return event(delta, v(9, STATE), v(11, track), *words)


def irq(time: int, field: int, number: int, name: str = "block/0") -> bytes:
    said = l(2, name) if name and field == 36 else b""
    return l(2, v(1, time), v(2, 2), l(field, v(1, number), said))


def bundle(*events: bytes, cpu: int = 0) -> bytes:
    return v(10, 1) + l(1, v(1, cpu), *events)


STATES = [
    state("interrupt", MODE),
    state("queued"),
    state("submitted"),
    state("queued"),
    state("submitted"),
    state("interrupt"),
    state("done"),
    state(""),
    state("polling", MODE),
    state("queued"),
    state("done"),
    state(""),
    state("", MODE),
]
HANDLERS = [irq(10, 36, 0), irq(20, 36, 1), irq(30, 37, 1), irq(40, 37, 0)]


def made(states: list[bytes], *more: bytes) -> bytes:
    trace = whole()
    return file([*trace[:4], *TRACKS, *trace[4:10], *states, *more, trace[10]])


def test_requests_modes_and_interrupts_that_can_be_have_no_findings() -> None:
    report = check(made(STATES, bundle(*HANDLERS), bundle(*HANDLERS, cpu=1)))
    assert report.findings == [] and report.notes == []
    assert report.summary().endswith(", 10 states and 4 interrupts")


def test_handlers_of_one_nanosecond_may_follow_each_other() -> None:
    nested = [irq(10, 36, 1), irq(10, 37, 1), irq(10, 36, 0), irq(10, 37, 0)]
    assert check(made(STATES, bundle(*nested))).findings == []


def request(*names: str) -> bytes:
    return made([state(name) for name in names])


# Name -> the damaged trace, and what its only finding says.
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "submitted before it was queued": (
        lambda: request("submitted", "done", ""),
        "impossible state: track 20 'request 0': 'submitted' after 'nothing'",
    ),
    "an interrupt for what was not submitted": (
        lambda: request("queued", "interrupt", "done", ""),
        "impossible state: track 20 'request 0': 'interrupt' after 'queued'",
    ),
    "submitted when it was done": (
        lambda: request("queued", "submitted", "done", "submitted", "done", ""),
        "impossible state: track 20 'request 0': 'submitted' after 'done'",
    ),
    "a request that does not end": (
        lambda: request("queued", "submitted", ""),
        "request without end: track 20 'request 0': it was 'submitted' last",
    ),
    "a request for ever": (
        lambda: request("queued", "submitted"),
        "state without end: track 20 'request 0' is 'submitted' for ever",
    ),
    "a state that there is not": (
        lambda: request("queued", "submitted", "lost", "done", ""),
        "unknown state of a request: track 20 'request 0': 'lost'",
    ),
    "the same state again": (
        lambda: request("queued", "queued", "submitted", "done", ""),
        "state twice: track 20 'request 0': 'queued' follows itself",
    ),
    "an end after the end": (
        lambda: request("queued", "submitted", "done", "", ""),
        "state twice: track 20 'request 0': ends twice",
    ),
    "a mode that there is not": (
        lambda: made([state("guessing", MODE), state("", MODE)]),
        "unknown mode: track 21 'queue 0: mode': 'guessing'",
    ),
    "a mode for ever": (
        lambda: made([state("batch", MODE)]),
        "state without end: track 21 'queue 0: mode' is 'batch' for ever",
    ),
    "a state on a thread": (
        lambda: made([state("queued", 7)]),
        "state on a track of slices: track 7",
    ),
    "a slice on a track of states": (
        lambda: made([event(1, v(9, INSTANT), v(10, 1), v(11, REQUEST))]),
        "slice on a track of states: track 20 'request 0'",
    ),
    "a value on a track of states": (
        lambda: made([counter(1, 5, REQUEST)]),
        "counter value on a track of slices: track 20 'request 0'",
    ),
    "a flow on a state": (
        lambda: made(
            [
                event(1, v(9, STATE), v(11, REQUEST), l(23, "queued"), fixed(47, 5)),
                state("done"),
                state(""),
            ]
        ),
        "flow without slice",
    ),
    "a track of states without a name": (
        lambda: made([], l(60, v(1, 22), v(5, ROOT), l(18))),
        "track without name: track 22",
    ),
    "a track of states that was one of slices": (
        lambda: made(STATES, l(60, v(1, REQUEST), l(2, "request 0"), v(5, ROOT))),
        "track declared twice: track 20",
    ),
    "time backwards": (
        lambda: made([state("queued"), state("done", delta=-1), state("", delta=2)]),
        "time goes backwards: track 20",
    ),
    "an interrupt that does not end": (
        lambda: made(STATES, bundle(*HANDLERS[:3])),
        "interrupt without end: CPU 0: irq 0 'block/0' of 10",
    ),
    "an interrupt that did not begin": (
        lambda: made(STATES, bundle(*HANDLERS[2:3])),
        "interrupt ends without beginning: CPU 0 at 30: irq 1",
    ),
    "an interrupt on two CPUs": (
        lambda: made(STATES, bundle(*HANDLERS[:3]), bundle(HANDLERS[3], cpu=1)),
        "interrupt ends without beginning: CPU 1 at 40: irq 0",
    ),
    "interrupts that cross": (
        lambda: made(
            STATES, bundle(irq(10, 36, 0), irq(20, 36, 1), irq(30, 37, 0), irq(40, 37, 1))
        ),
        "interrupts end in another order: CPU 0 at 30: irq 0",
    ),
    "an interrupt without a name": (
        lambda: made(STATES, bundle(irq(10, 36, 0, ""), irq(20, 37, 0))),
        "interrupt without name: irq 0",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_each_damage_has_its_own_message(name: str) -> None:
    make, expected = DAMAGED[name]
    findings = check(make()).findings
    assert any(expected in finding for finding in findings), findings
    assert all(finding.startswith("byte ") and ", packet " in finding for finding in findings)


def test_most_damages_give_one_line_each() -> None:
    counts = {name: len(check(make()).findings) for name, (make, _) in DAMAGED.items()}
    assert sum(count == 1 for count in counts.values()) > len(DAMAGED) * 0.7, counts


def test_where_data_were_lost_a_request_may_have_any_story() -> None:
    lost = resync(v(42, 257), time=1040)
    states = [state("submitted"), state("interrupt"), state("")]
    assert len(check(made(states)).findings) == 2
    assert check(made(states, lost)).findings == []
    # What is told within one chunk stays wrong.
    assert len(check(made([state("queued")], lost, begin(1), end(1))).findings) == 1
