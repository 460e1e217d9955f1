# SPDX-License-Identifier: MIT
"""Reads the bytes of a Perfetto trace: fields of Protocol Buffers, packets, packets in packets.

Written against the description of the format alone, so that it can tell what our own encoder does
wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
PACKET_TAG = 0x0A  # Trace.packet, which is also '\n'
COMPRESSED, COMPRESSED_ZSTD = 50, 133
# How their tags begin: a packet without these bytes need not be looked into.
_PACKED = tuple(
    bytes([n << 3 & 0x7F | DELIMITED | 0x80, n >> 4 | more])
    for n in (COMPRESSED, COMPRESSED_ZSTD)
    for more in (0, 0x80)
)
COMPRESSED_MOST = 512 * 1024  # what trace_packet.proto asks for
INFLATED_MOST = 256 * 1024 * 1024


class Damage(Exception):
    """Bytes that cannot be what they should be; `at` counts from the start of the data."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at


class Message:
    """A message with its fields in order: number -> values. Nested messages stay bytes."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[int, list[int | bytes]]) -> None:
        self.fields = fields

    def __contains__(self, number: int) -> bool:
        return number in self.fields

    def number(self, which: int, default: int = 0) -> int:
        """The last one counts; 0 if it is not a number."""
        values = self.fields.get(which)
        if values is None:
            return default
        value = values[-1]
        return value if isinstance(value, int) else 0

    def numbers(self, which: int) -> list[int]:
        return [value for value in self.fields.get(which, []) if isinstance(value, int)]

    def texts(self, which: int) -> list[bytes]:
        if which not in self.fields:
            return []
        return [value for value in self.fields.get(which, []) if isinstance(value, bytes)]

    def text(self, which: int) -> str:
        values = self.texts(which)
        return values[-1].decode("utf-8", "replace") if values else ""

    def messages(self, which: int) -> list[Message]:
        return [parse(value) for value in self.texts(which)]

    def message(self, which: int) -> Message:
        """Of one that stands several times, the parts are put together."""
        values = self.fields.get(which, _NONE)
        if len(values) == 1 and isinstance(values[0], bytes):
            return parse(values[0])
        return parse(b"".join(self.texts(which)))


_NONE: list[int | bytes] = []


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    start = at
    while True:
        if at >= end:
            raise Damage(start, "a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        if shift >= 70:
            raise Damage(start, "a number of more than ten bytes")


def parse(data: bytes) -> Message:
    """Most numbers of a trace are a byte: they are taken without a call, at twice the speed."""
    fields: dict[int, list[int | bytes]] = {}
    at, end = 0, len(data)
    while at < end:
        start = at
        tag = data[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Damage(start, "a field with the number 0")
        value: int | bytes
        if kind == VARINT or kind == DELIMITED:
            if at < end and data[at] < 0x80:
                value = data[at]
                at += 1
            else:
                value, at = varint(data, at, end)
            if kind == DELIMITED:
                stop = at + value
                if stop > end:
                    raise Damage(
                        start,
                        f"field {number} says {value} bytes, {end - at} are left in its message",
                    )
                value = data[at:stop]
                at = stop
        elif kind == FIXED64 and at + 8 <= end:
            value = int.from_bytes(data[at : at + 8], "little")
            at += 8
        elif kind == FIXED32 and at + 4 <= end:
            value = int.from_bytes(data[at : at + 4], "little")
            at += 4
        elif kind in (FIXED64, FIXED32):
            raise Damage(start, f"field {number} is cut off")
        else:
            raise Damage(start, f"field {number} has wire type {kind}, which there is not")
        if number in fields:
            fields[number].append(value)
        else:
            fields[number] = [value]
    return Message(fields)


def signed(value: int) -> int:
    """A 64-bit two's complement number."""
    return value - (1 << 64) if value >> 63 else value


class Place(NamedTuple):
    """Where a packet stands: in the file, and if it is inside a compressed one, in there."""

    number: int  # from 1, compressed ones unpacked
    offset: int
    inside: int | None = None

    def __str__(self) -> str:
        inner = "" if self.inside is None else f" (+{self.inside} inflated)"
        return f"byte {self.offset}{inner}, packet {self.number}"


@dataclass(frozen=True)
class Trouble:
    """A finding about the bytes themselves; reading ends there if it says so."""

    place: Place
    what: str
    why: str


def frames(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(offset, start, end) of each packet; raises Damage where there is none."""
    at = 0
    while at < len(data):
        start = at
        if data[at] != PACKET_TAG:
            raise Damage(at, f"byte 0x{data[at]:02x} where a packet begins with 0x0a")
        if at + 1 < len(data) and data[at + 1] < 0x80:
            length, at = data[at + 1], at + 2
        else:
            try:
                length, at = varint(data, at + 1, len(data))
            except Damage:
                raise Damage(start, "the last packet is cut in its length") from None
        if length > len(data) - at:
            raise Damage(start, f"a packet of {length} bytes, {len(data) - at} are left")
        yield start, at, at + length
        at += length


def explain(data: bytes, at: int) -> tuple[str, str]:
    """What the damage at a place most likely is, in words."""
    rest = data[at:]
    if at == 0:
        return "leading text", "Perfetto takes a file for a trace only if its first byte is 0x0a"
    if not rest.strip(b"\0"):
        return (
            "zero bytes after the last packet",
            f"{len(rest)} of them; Perfetto ignores them in silence",
        )
    if rest[0] == PACKET_TAG:
        return "cut tail", "the last packet is not whole; Perfetto drops it in silence"
    # Every 0x0a that became 0x0d 0x0a moves what follows by one byte.
    if data.count(b"\r\n") > 4 and data.count(b"\r\n") * 4 > data.count(b"\n") * 3:
        return "CRLF damage", "line ends were converted on the way: the line must be binary"
    return "bytes that are no packet", "Perfetto refuses the whole file"


def packets(data: bytes) -> Iterator[tuple[Place, bytes] | Trouble]:
    """Every packet in the order Perfetto sees them, and what is wrong with the bytes."""
    number = 0
    try:
        for offset, start, end in frames(data):
            number += 1
            packet = data[start:end]
            place = Place(number, offset)
            unpacked = inflate(packet, place)
            if unpacked is None:
                yield place, packet
            elif isinstance(unpacked, Trouble):
                yield unpacked
            else:
                try:
                    for inner, first, last in frames(unpacked):
                        yield Place(number, offset, inner), unpacked[first:last]
                        number += 1
                    number -= 1
                except Damage as damage:
                    what, _ = explain(unpacked, damage.at)
                    where = Place(number, offset, damage.at)
                    yield Trouble(where, f"compressed packet: {what}", str(damage))
    except Damage as damage:
        what, why = explain(data, damage.at)
        yield Trouble(Place(number + 1, damage.at), what, f"{damage}; {why}")


def inflate(packet: bytes, place: Place) -> bytes | Trouble | None:
    """The packets in a packet; None if it is an ordinary one."""
    if not any(tag in packet for tag in _PACKED):
        return None
    try:
        message = parse(packet)
    except Damage:
        return None  # told by who reads the packet
    if COMPRESSED_ZSTD in message:
        return Trouble(place, "zstd_compressed_packets", "older versions cannot read them")
    if COMPRESSED not in message:
        return None
    if len(packet) > COMPRESSED_MOST:
        return Trouble(place, "compressed packet", f"{len(packet)} bytes, above 512 KiB")
    machine = zlib.decompressobj()
    try:
        unpacked = machine.decompress(b"".join(message.texts(COMPRESSED)), INFLATED_MOST)
    except zlib.error as error:
        return Trouble(place, "compressed packet", f"cannot be inflated: {error}")
    if not machine.eof:
        return Trouble(place, "compressed packet", "its zlib stream is cut")
    if machine.unused_data:
        return Trouble(place, "compressed packet", "bytes after its zlib stream")
    return unpacked
