# SPDX-License-Identifier: MIT
"""The serial line read a second time: frames, the results put together, rows; from the words of
trace/wire.h and bench/framework/record.h, sharing nothing with the C decoder."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import wire_encoder as wire

HEADER_BYTES, CRC_BYTES, PAYLOAD_MOST = 20, 4, 1024
PLAIN_MOST = HEADER_BYTES + PAYLOAD_MOST + CRC_BYTES
FRAME_MOST = PLAIN_MOST + PLAIN_MOST // 254 + 1 + 2
CHANNELS = 4


@dataclass(frozen=True)
class Frame:
    kind: int
    channel: int
    session: int
    sequence: int
    offset: int
    payload: bytes


@dataclass
class Decoded:
    frames: list[Frame] = field(default_factory=list)
    noise_bytes: int = 0
    damaged: int = 0


def unstuffed(piece: bytes) -> bytes | None:
    """COBS backwards; None if the code is broken."""
    plain = bytearray()
    rest = piece
    while rest:
        code, block, rest = rest[0], rest[1 : rest[0]], rest[rest[0] :]
        if len(block) != code - 1:
            return None
        plain += block
        if code < 255 and rest:
            plain += b"\0"
    return bytes(plain)


def frame_of(piece: bytes) -> tuple[Frame | None, bool]:
    """The frame of what stands between two zeros; whether it had at least the shape of one."""
    plain = unstuffed(piece)
    if plain is None or len(plain) < HEADER_BYTES + CRC_BYTES:
        return None, False
    body, check = plain[:-CRC_BYTES], plain[-CRC_BYTES:]
    version, kind, channel, flags, session, sequence, offset, length, reserved = struct.unpack(
        "<BBBBIIIHH", body[:HEADER_BYTES]
    )
    payload = body[HEADER_BYTES:]
    right = (
        wire.crc32c(body) == int.from_bytes(check, "little")
        and (version, flags, reserved) == (1, 0, 0)
        and channel < CHANNELS
        and length == len(payload) <= PAYLOAD_MOST
    )
    return (Frame(kind, channel, session, sequence, offset, payload) if right else None), True


def decode(stream: bytes) -> Decoded:
    """All frames of a stream that has ended, and what was none."""
    decoded = Decoded()
    *pieces, rest = stream.split(b"\0")
    for piece in pieces:
        frame, shaped = frame_of(piece) if len(piece) <= FRAME_MOST else (None, False)
        if frame is not None:
            decoded.frames.append(frame)
        else:
            decoded.noise_bytes += len(piece)
            decoded.damaged += shaped
    decoded.noise_bytes += len(rest)
    return decoded


# ---- results ------------------------------------------------------------------------------------


def results(frames: list[Frame], session: int) -> bytes:
    """The results up to the first byte that is missing."""
    known: dict[int, bytes] = {}
    for frame in frames:
        if (frame.session, frame.channel, frame.kind) == (session, wire.RESULTS, wire.DATA):
            if len(frame.payload) > len(known.get(frame.offset, b"")):
                known[frame.offset] = frame.payload
    stream = b""
    for offset in sorted(known):
        if offset > len(stream):
            break
        stream += known[offset][len(stream) - offset :]
    return stream


class Fields:
    """A record's payload, field by field."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def n(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def z(self) -> int:
        value = self.n()
        return value >> 1 ^ -(value & 1)

    def s(self) -> str:
        length = self.n()
        self.at += length
        return self.data[self.at - length : self.at].decode("ascii")

    def samples(self, count: int) -> list[int]:
        values: list[int] = []
        value = 0
        while len(values) < count:
            token = self.n()
            step = token >> 2 ^ -(token >> 1 & 1)
            for _ in range(1 + (self.n() if token & 1 else 0)):
                value += step
                values.append(value)
        return values


@dataclass
class Rows:
    """What a results stream says of its rows."""

    ids: list[tuple[str, int]] = field(default_factory=list)  # (id, aa)
    finished: dict[tuple[str, int], int] = field(default_factory=dict)  # status
    # (id, aa, round) -> (operations, overhead, cold, samples, tags)
    rounds: dict[tuple[str, int, int], tuple[int, int, int, list[int], list[int]]] = field(
        default_factory=dict
    )
    counters: dict[tuple[str, str], tuple[int, int, str]] = field(default_factory=dict)


def rows(stream: bytes) -> Rows:
    found = Rows()
    while len(stream) >= 3:
        kind, length = struct.unpack_from("<BH", stream)
        if len(stream) < 3 + length:
            break
        take(found, kind, Fields(stream[3 : 3 + length]))
        stream = stream[3 + length :]
    return found


def take(found: Rows, kind: int, fields: Fields) -> None:
    if kind == wire.PLAN_ROW:
        fields.n()
        found.ids.append((fields.s(), fields.n()))
    elif kind == wire.SAMPLES:
        row, number, operations = found.ids[fields.n()], fields.n(), fields.n()
        overhead, cold, count = fields.z(), fields.z(), fields.n()
        values, tags = fields.samples(count), fields.samples(count)
        found.rounds[(*row, number)] = (operations, overhead, cold, values, tags)
    elif kind == wire.COUNTER:
        row, name = found.ids[fields.n()], fields.s()
        found.counters[row[0], name] = (fields.n(), fields.n(), fields.s())
    elif kind == wire.FINISH:
        row = found.ids[fields.n()]
        found.finished[row] = fields.n()
