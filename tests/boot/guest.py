# SPDX-License-Identifier: MIT
"""Runs a kernel in QEMU over inherited sockets, and reads what it says without the recorder: a
second, independent decoder of the frames and an unwinder of the stacks."""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path

from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile

HEADER_BYTES = 20
REFUSED, PANIC, STACK = 5, 3, 4  # enum wire_type
REGISTERS = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()


# ---- the line -----------------------------------------------------------------------------------


def _crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC_OF_BYTE = [_crc_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def unstuff(data: bytes) -> bytes | None:
    """Reverses COBS; None if `data` is none."""
    plain, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            return None
        plain += data[at + 1 : at + code]
        at += code
        if code != 0xFF and at < len(data):
            plain.append(0)
    return bytes(plain)


@dataclass(frozen=True)
class Frame:
    type: int
    channel: int
    session: int
    sequence: int
    offset: int
    payload: bytes


def frames(line: bytes) -> list[Frame]:
    found = []
    for piece in line.split(b"\0"):
        plain = unstuff(piece)
        if plain is None or len(plain) < HEADER_BYTES + 4:
            continue
        if crc32c(plain[:-4]) != int.from_bytes(plain[-4:], "little"):
            continue
        session, sequence, offset = struct.unpack_from("<3I", plain, 4)
        payload = plain[HEADER_BYTES:-4]
        found.append(Frame(plain[1], plain[2], session, sequence, offset, payload))
    return found


@dataclass
class Panic:
    """The payload of a PANIC frame (record.h) and the stack behind it, by address."""

    reason: str
    vector: int
    error: int
    rip: int
    rsp: int
    rflags: int
    cr2: int
    cr3: int
    registers: dict[str, int]
    cpu: int = 0
    stack_at: int = 0
    stack: bytes = b""


def read_panic(line: bytes) -> Panic | None:
    panic = None
    for frame in frames(line):
        if frame.type == PANIC:
            data, at = frame.payload, 0

            def number() -> int:
                nonlocal at
                value = shift = 0
                while True:
                    byte = data[at]
                    at += 1
                    value |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        return value

            def text() -> str:
                nonlocal at
                length = number()
                at += length
                return data[at - length : at].decode("ascii")

            reason = text()
            vector, error, rip, rsp, rflags, cr2, cr3 = (number() for _ in range(7))
            cpu = number()
            assert text() == "" and number() == len(REGISTERS)
            registers = {name: number() for name in REGISTERS}
            panic = Panic(reason, vector, error, rip, rsp, rflags, cr2, cr3, registers, cpu)
            assert at == len(data)
        elif frame.type == STACK and panic is not None:
            address = panic.rsp + frame.offset
            if not panic.stack:
                panic.stack_at = address
            assert address == panic.stack_at + len(panic.stack)
            panic.stack += frame.payload
    return panic


# ---- running ------------------------------------------------------------------------------------


@dataclass
class Guest:
    exit_code: int | None  # None: killed after `timeout`
    line: bytes
    first_byte_seconds: float
    stalled_seconds: float = 0.0  # of `stall`, how long it ran
    qmp: list[dict] = field(default_factory=list)
    registers: str = ""  # QEMU's own, when the machine was paused by a shutdown
    answers: list[str] = field(default_factory=list)  # of `monitor`

    @property
    def facts(self) -> dict[str, str]:
        """What probe.c says."""
        rows = self.line.decode("latin-1").splitlines()
        pairs = [row[6:].partition("=") for row in rows if row.startswith("probe ")]
        return {key: value for key, _, value in pairs}


def _json_lines(data: bytes) -> list[dict]:
    return [json.loads(row) for row in data.splitlines() if row.strip()]


def wait_for_end(process: subprocess.Popen[bytes], most: float) -> float:
    """Seconds until the process ended, at most `most`."""
    began = time.monotonic()
    try:
        process.wait(most)
    except subprocess.TimeoutExpired:
        pass
    return time.monotonic() - began


def monitor_command(words: str) -> bytes:
    """QMP's way to a command of the monitor for people."""
    message = {"execute": "human-monitor-command", "arguments": {"command-line": words}}
    return json.dumps(message).encode() + b"\n"


def run(
    command: list[str],
    arguments: str,
    timeout: float = 60,
    send: bytes = b"",
    stall: float = 0,
    ask: str = "",
    monitor: tuple[str, ...] = (),
) -> Guest:
    """Runs a command of machines.py until it ends. When the probe says `ready`, `ask`, a command of
    QMP, and `monitor`, commands of QEMU's monitor, are given. `send` goes out then, or when all
    answers are there; from then on nothing is read for `stall` seconds, or until QEMU has ended."""
    line, line_guest = socket.socketpair()
    qmp, qmp_guest = socket.socketpair()
    places = {
        "{line}": str(line_guest.fileno()),
        "{qmp}": str(qmp_guest.fileno()),
        "{arguments}": arguments,
    }
    words = list(command)
    for place, value in places.items():
        words = [word.replace(place, value) for word in words]
    began = time.monotonic()
    process = subprocess.Popen(words, pass_fds=(line_guest.fileno(), qmp_guest.fileno()))
    line_guest.close()
    qmp_guest.close()
    qmp.sendall(b'{"execute": "qmp_capabilities"}\n')

    guest = Guest(None, b"", 0.0)
    said, asked, ready, sent = b"", False, False, False
    sockets = [line, qmp]
    try:
        while sockets and time.monotonic() - began < timeout:
            for end in select.select(sockets, [], [], 0.2)[0]:
                try:
                    data = end.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    sockets.remove(end)
                elif end is line:
                    guest.first_byte_seconds = guest.first_byte_seconds or time.monotonic() - began
                    guest.line += data
                else:
                    said += data
            if not ready and b"probe ready=1\n" in guest.line:
                ready = True
                if ask:
                    qmp.sendall(json.dumps({"execute": ask, "id": ask}).encode() + b"\n")
                for question in monitor:
                    qmp.sendall(monitor_command(question))
            answered = not ask or b'"id": "%s"' % ask.encode() in said
            if ready and not sent and answered and said.count(b'{"return": "') >= len(monitor):
                sent = True
                if send:
                    line.sendall(send)
                guest.stalled_seconds = wait_for_end(process, stall)
            if b'"SHUTDOWN"' in said and not asked:
                asked = True
                qmp.sendall(monitor_command("info registers") + b'{"execute": "quit"}\n')
        guest.exit_code = process.wait(5)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        line.close()
        qmp.close()
    guest.qmp = _json_lines(said)
    texts = [m["return"] for m in guest.qmp if isinstance(m.get("return"), str)]
    guest.answers = texts[: len(monitor)]
    guest.registers = texts[-1] if asked and texts else ""
    return guest


# ---- the image ----------------------------------------------------------------------------------


class Image:
    """Functions, build id and unwind data of an ELF file, each read when it is first asked for: to
    decode all rows of unwind data takes seconds."""

    def __init__(self, path: Path) -> None:
        self._elf = ELFFile(BytesIO(path.read_bytes()))

    @cached_property
    def build_id(self) -> str:
        note = self._elf.get_section_by_name(".note.gnu.build-id")
        found: str = next(note.iter_notes())["n_desc"]
        return found

    @cached_property
    def functions(self) -> list[tuple[int, int, str]]:
        return sorted(
            (symbol["st_value"], symbol["st_size"], symbol.name)
            for symbol in self._elf.get_section_by_name(".symtab").iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC"
        )

    @cached_property
    def symbols(self) -> dict[str, int]:
        return {
            symbol.name: symbol["st_value"]
            for symbol in self._elf.get_section_by_name(".symtab").iter_symbols()
            if symbol["st_info"]["bind"] == "STB_GLOBAL"
        }

    @cached_property
    def frames(self) -> list[FDE]:
        entries = self._elf.get_dwarf_info().EH_CFI_entries()
        return [entry for entry in entries if isinstance(entry, FDE)]

    def name(self, address: int) -> str:
        """The function as the source names it: GCC's clones have a suffix (`name.isra.0`)."""
        for start, size, name in self.functions:
            if start <= address < start + size:
                return name.partition(".")[0]
        return "?"

    def _row(self, address: int) -> dict | None:
        for entry in self.frames:
            start = entry["initial_location"]
            if start <= address < start + entry["address_range"]:
                rows = [row for row in entry.get_decoded().table if row["pc"] <= address]
                return rows[-1] if rows else None
        return None

    def backtrace(self, panic: Panic, most: int = 64) -> list[str]:
        """Function names from the innermost outwards, as far as the copied stack goes."""

        def word(address: int) -> int:
            at = address - panic.stack_at
            if not 0 <= at <= len(panic.stack) - 8:
                raise IndexError(address)
            return int.from_bytes(panic.stack[at : at + 8], "little")

        # DWARF's numbers of the registers (System V ABI for AMD64, figure 3.36)
        order = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()
        registers = {i: panic.registers[name] for i, name in enumerate(order)}
        rip, names = panic.rip, [self.name(panic.rip)]
        look = rip  # for callers: inside the call, not behind it
        while len(names) < most:
            row = self._row(look)
            if row is None:
                break
            cfa = registers[row["cfa"].reg] + row["cfa"].offset
            rules = {reg: rule for reg, rule in row.items() if isinstance(reg, int)}
            if 16 not in rules or rules[16].type != "OFFSET":
                break
            try:
                saved = {
                    reg: word(cfa + rule.arg)
                    for reg, rule in rules.items()
                    if rule.type == "OFFSET"
                }
            except IndexError:
                break
            rip = saved.pop(16)
            registers |= saved
            registers[7] = cfa
            look = rip - 1
            names.append(self.name(look))
        return names


@cache
def image_of(path: Path) -> Image:
    """The same one at every call: images do not change while tests run."""
    return Image(path)
