# SPDX-License-Identifier: MIT
"""The serial line, written down a second time: what the C encoder must agree with.

Frames (COBS, CRC-32C), records and the payloads of the control frames, each from the words of
trace/wire.h and bench/framework/record.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

CONTROL, RESULTS, TRACE, LOG = range(4)
HELLO, END, PANIC, STACK, REFUSED, DATA, TEXT, TABLE, ACK, RESEND = range(1, 11)
FACT, PLAN, PLAN_ROW, BEGIN, SAMPLES, COUNTER, FINISH = range(1, 8)
OK, CHECKSUM, DELETED, UNSTEADY, FAILED = range(5)
TSC, INSN, EMULATED = range(3)
PAYLOAD_MOST = 1024


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def cobs(data: bytes) -> bytes:
    """Blocks of at most 254 bytes without a zero, each behind its length + 1."""
    out = bytearray()
    for piece in data.split(b"\0"):
        while len(piece) >= 254:
            out += b"\xff" + piece[:254]
            piece = piece[254:]
        out += bytes([len(piece) + 1]) + piece
    return bytes(out)


def uncobs(data: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        out += data[at + 1 : at + code]
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame(
    channel: int,
    kind: int,
    payload: bytes = b"",
    *,
    session: int,
    sequence: int = 0,
    offset: int = 0,
) -> bytes:
    header = struct.pack(
        "<BBBBIIIHH", 1, kind, channel, 0, session, sequence, offset, len(payload), 0
    )
    plain = header + payload
    return b"\0" + cobs(plain + struct.pack("<I", crc32c(plain))) + b"\0"


def parse_frame(piece: bytes) -> tuple[int, int, int, bytes]:
    """(type, session, offset, payload) of what stands between two zeros."""
    plain = uncobs(piece)
    _, kind, _, _, session, _, offset, length, _ = struct.unpack_from("<BBBBIIIHH", plain)
    payload = plain[20 : 20 + length]
    assert struct.unpack("<I", plain[20 + length :])[0] == crc32c(plain[: 20 + length])
    return kind, session, offset, payload


# ---- fields ------------------------------------------------------------------------------------


def n(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def z(value: int) -> bytes:
    return n(zigzag(value))


def s(text: str | bytes) -> bytes:
    data = text.encode("latin-1") if isinstance(text, str) else text
    return n(len(data)) + data


def samples_tokens(values: Sequence[int]) -> bytes:
    """No run is ever joined: as good as any other way to say the same values."""
    out, previous = b"", 0
    for value in values:
        out += n(zigzag(value - previous) << 1)
        previous = value
    return out


def joined_tokens(values: Sequence[int]) -> bytes:
    """Equal steps said once."""
    out, previous, at = b"", 0, 0
    while at < len(values):
        step, end = values[at] - previous, at + 1
        while end < len(values) and values[end] - values[end - 1] == step:
            end += 1
        further = end - at - 1
        out += n(zigzag(step) << 1 | (further > 0)) + (n(further) if further else b"")
        previous, at = values[end - 1], end
    return out


def record(kind: int, payload: bytes) -> bytes:
    return struct.pack("<BH", kind, len(payload)) + payload


# ---- a target's words --------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A row of the plan with what is measured of it."""

    id: str
    values: tuple[tuple[int, ...], ...] = ((100, 100, 101), (100, 100, 101))  # by round
    aa: int = 0
    role: int = 1
    unit: str = "instructions"
    definition: int = 0x1234
    operations: int = 10
    overhead: int = 7
    cold: int = 250
    tags: tuple[int, ...] = ()
    counters: tuple[tuple[str, int, int, str], ...] = ()
    status: int = OK
    detail: str = ""


def plan_row(index: int, row: Row) -> bytes:
    return record(
        PLAN_ROW,
        n(index) + s(row.id) + n(row.aa) + n(row.role) + s(f"what {row.id} does") + s(row.unit)
        + n(row.definition) + n(row.operations) + n(len(row.values)) + n(len(row.values[0])),
    )  # fmt: skip


def samples(index: int, row: Row, number: int) -> bytes:
    values = row.values[number]
    tags = row.tags or (0,) * len(values)
    return record(
        SAMPLES,
        n(index) + n(number) + n(row.operations) + z(row.overhead) + z(row.cold) + n(len(values))
        + joined_tokens(values) + joined_tokens(tags),
    )  # fmt: skip


def finish(index: int, status: int = OK, detail: str = "") -> bytes:
    return record(FINISH, n(index) + n(status) + s(detail))


def begin(number: int, id: str, first: int, rows: int, seconds: int = 60) -> bytes:
    return record(BEGIN, n(number) + s(id) + n(first) + n(rows) + n(seconds))


def plan(rows: Sequence[Row], cases: int, boot: int = 0) -> bytes:
    return record(PLAN, n(len(rows)) + n(cases) + n(100000) + n(boot))


def case_of(row: Row) -> str:
    return row.id.rsplit("/", 1)[0]


@dataclass
class Target:
    """Says what a well-behaved target says; tests change one thing."""

    build_id: bytes
    session: int = 77
    boot: int = 0
    clock: int = INSN
    hz: int = 1_000_000_000
    rows: tuple[Row, ...] = (
        Row("heap/pair_64/linked_list", role=0),
        Row("heap/pair_64/hybrid", values=((20, 20, 20), (20, 20, 20))),
        Row("ipc/pair_56/fusion_spsc", counters=(("hit_rate", 9, 10, "percent"),)),
    )
    facts: tuple[tuple[str, str], ...] = (("cpu.brand", "a fake CPU"),)
    seconds: int = 60
    log: tuple[bytes, ...] = (b"first words\n", b"more words\n")
    trace_bytes: int | None = None  # what END says of the trace; else as of the results
    table: tuple[bytes, ...] = (b"row  p50\n", b"heap/pair_64/hybrid  2.0\n")
    sequences: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def variant(self, **changes: object) -> Target:
        return replace(self, sequences=[0, 0, 0, 0], **changes)  # type: ignore[arg-type]

    def send(self, channel: int, kind: int, payload: bytes, offset: int = 0) -> bytes:
        self.sequences[channel] += 1
        return frame(
            channel,
            kind,
            payload,
            session=self.session,
            sequence=self.sequences[channel] - 1,
            offset=offset,
        )

    def hello(self, version: int = 1) -> bytes:
        payload = n(version) + s(self.build_id) + n(self.clock) + n(self.hz) + n(self.boot)
        return self.send(CONTROL, HELLO, payload + s("x86_64"))

    def head(self) -> bytes:
        """Facts and plan."""
        out = b"".join(record(FACT, s(key) + s(value)) for key, value in self.facts)
        out += plan(self.rows, len({case_of(row) for row in self.rows}), self.boot)
        return out + b"".join(plan_row(i, row) for i, row in enumerate(self.rows))

    def row(self, index: int) -> bytes:
        row = self.rows[index]
        out = b"".join(samples(index, row, number) for number in range(len(row.values)))
        for name, numerator, denominator, unit in row.counters:
            out += record(COUNTER, n(index) + s(name) + n(numerator) + n(denominator) + s(unit))
        return out + finish(index, row.status, row.detail)

    def stream(self) -> bytes:
        """The whole results."""
        out, number = self.head(), 0
        for index, row in enumerate(self.rows):
            if index == 0 or case_of(row) != case_of(self.rows[index - 1]):
                count = sum(case_of(other) == case_of(row) for other in self.rows)
                out += begin(number, case_of(row), index, count, self.seconds)
                number += 1
            out += self.row(index)
        return out

    def data(self, stream: bytes, start: int = 0, size: int = 200) -> list[bytes]:
        """Frames of the results from `start` on."""
        return [
            self.send(RESULTS, DATA, stream[at : at + size], at)
            for at in range(start, len(stream), size)
        ]

    def end(
        self,
        stream: bytes,
        success: int = 1,
        *,
        length: int | None = None,
        crc: int | None = None,
        hash: int | None = None,
    ) -> bytes:
        payload = n(success) + n(len(stream) if length is None else length)
        payload += n(crc32c(stream) if crc is None else crc)
        payload += n(fnv1a(stream) if hash is None else hash)
        for channel in range(4):
            total = len(stream)
            if channel == TRACE and self.trace_bytes is not None:
                total = self.trace_bytes
            payload += n(max(self.sequences[channel], len(stream))) + n(total) + n(0)
        return self.send(CONTROL, END, payload)

    def text(self) -> bytes:
        out = b"".join(self.send(LOG, TEXT, line) for line in self.log)
        return out + b"".join(self.send(LOG, TABLE, line) for line in self.table)

    def complete(self) -> bytes:
        stream = self.stream()
        return self.hello() + self.text() + b"".join(self.data(stream)) + self.end(stream)

    def panic(self, rip: int, rsp: int, stack: bytes = b"", vector: int = 14) -> bytes:
        payload = s("a fault\x1b[31m".replace("\x1b", ".")) + n(vector) + n(2)
        payload += n(rip) + n(rsp) + n(0x46) + n(0xDEAD000) + n(0x1000) + n(0) + s("") + n(16)
        payload += b"".join(n(rsp if i == 7 else i) for i in range(16))
        out = self.send(CONTROL, PANIC, payload)
        for at in range(0, len(stack), PAYLOAD_MOST):
            out += self.send(CONTROL, STACK, stack[at : at + PAYLOAD_MOST], at)
        return out
