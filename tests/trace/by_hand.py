# SPDX-License-Identifier: MIT
"""A trace made by hand, packet by packet, to be damaged on purpose."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
CLEARED, NEEDS = 1, 2
THREAD, COUNTERS, ROOT = 7, 8, 9  # tracks


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def v(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def l(field: int, *parts: bytes | str) -> bytes:  # noqa: E743
    body = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def fixed(field: int, value: int) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def file(packets: Sequence[bytes]) -> bytes:
    return b"".join(l(1, packet) for packet in packets)


def compressed(packets: Sequence[bytes]) -> bytes:
    return l(50, zlib.compress(file(packets)))


def clock(which: int, value: int, incremental: bool = False) -> bytes:
    return l(1, v(1, which), v(2, value), v(3, 1) if incremental else b"")


def interned(field: int, iid: int, text: str) -> bytes:
    return l(field, v(1, iid), l(2, text))


def resync(*more: bytes, flags: int = CLEARED, time: int = 1000) -> bytes:
    return b"".join(
        [
            v(10, 2),
            v(13, flags),
            l(6, clock(6, time), clock(64, time, True)),
            l(59, v(58, 64), l(11, v(11, THREAD))),
            l(12, interned(1, 1, "heap"), interned(2, 1, "allocate"), interned(2, 2, "pages"),
              interned(3, 1, "size")),
            *more,
        ]
    )  # fmt: skip


def event(delta: int, *fields: bytes, sequence: bytes = v(10, 2), flags: int = NEEDS) -> bytes:
    return sequence + v(13, flags) + v(8, delta) + l(11, *fields)


def begin(delta: int, name: int = 1, *more: bytes) -> bytes:
    return event(delta, v(9, BEGIN), v(3, 1), v(10, name), *more)


def end(delta: int, *more: bytes) -> bytes:
    return event(delta, v(9, END), *more)


def counter(delta: int, value: int, track: int = COUNTERS) -> bytes:
    return event(delta, v(9, COUNTER), v(11, track), v(30, value))


ROOT_TRACK = l(60, v(1, ROOT), l(2, "Benchmarks"), v(11, 3))
THREAD_TRACK = l(60, v(1, THREAD), l(4, v(1, 1), v(2, 2), l(5, "hybrid")))
COUNTER_TRACK = l(60, v(1, COUNTERS), l(2, "bytes in use"), v(5, ROOT), l(8, v(3, 3)))
STATS = l(35, l(1, v(19, 5)), l(18, v(1, 2), v(4, 0)))


def whole() -> list[bytes]:
    """Nothing is wrong with this one: 0 resync, 1-3 tracks, 4-9 events, 10 statistics."""
    return [
        resync(v(87, 1)),
        ROOT_TRACK,
        THREAD_TRACK,
        COUNTER_TRACK,
        begin(5, 1, l(4, v(1, 1), v(3, 64)), fixed(47, 99)),
        begin(1, 2, fixed(48, 99)),
        end(3),
        end(2),
        counter(0, 64),
        event(10, v(9, INSTANT), v(10, 2)),
        STATS,
    ]
