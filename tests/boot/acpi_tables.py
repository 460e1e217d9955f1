# SPDX-License-Identifier: MIT
"""ACPI tables of one's own for a machine in QEMU, right or damaged.

QEMU mends the checksum of what `-acpitable` gives it. So the tables go the way QEMU's own go: as
files of the firmware configuration device, with a script that tells SeaBIOS where to put them,
which pointers to fill in and which checksums to mend ("etc/table-loader": QEMU's
hw/acpi/bios-linker-loader.c). The machine is then started with -no-acpi, or there would be two.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 36
RSDP_BYTES = 20
ALLOCATE, ADD_POINTER, ADD_CHECKSUM = 1, 2, 3
ZONE_HIGH, ZONE_LOW = 1, 2
COMMAND_BYTES = 128
TABLES, ROOT = b"etc/acpi/tables", b"etc/acpi/rsdp"


def table(signature: bytes, content: bytes, revision: int = 3) -> bytes:
    """A whole table with its checksum."""
    length = HEADER_BYTES + len(content)
    head = struct.pack(
        "<4sIBB6s8sI4sI", signature, length, revision, 0, b"TICK  ", b"TABLE   ", 1, b"MARK", 1
    )
    whole = bytearray(head + content)
    whole[9] = -sum(whole) % 256
    return bytes(whole)


def local_apic(number: int, flags: int = 1) -> bytes:
    return struct.pack("<BBBBI", 0, 8, number, number, flags)


def madt(*entries: bytes) -> bytes:
    return table(b"APIC", struct.pack("<II", 0xFEE00000, 1) + b"".join(entries))


def io_apic(number: int, address: int, first: int = 0) -> bytes:
    return struct.pack("<BBBBII", 1, 12, number, 0, address, first)


def cpu_on(domain: int, number: int) -> bytes:
    return struct.pack("<BBBBIIxxxx", 0, 16, domain, number, 1, 0)


def memory_on(domain: int, start: int, length: int) -> bytes:
    return struct.pack("<BBIHQQIIQ", 1, 40, domain, 0, start, length, 0, 1, 0)


def srat(*entries: bytes) -> bytes:
    return table(b"SRAT", bytes(12) + b"".join(entries))


def slit(*rows: bytes) -> bytes:
    return table(b"SLIT", struct.pack("<Q", len(rows)) + b"".join(rows))


def hpet(address: int = 0xFED00000, space: int = 0) -> bytes:
    register = struct.pack("<BBBBQ", space, 64, 0, 0, address)
    return table(b"HPET", struct.pack("<I", 0x8086A201) + register + bytes(4))


def fadt(timer: int = 0x608) -> bytes:
    content = bytearray(116 - HEADER_BYTES)
    struct.pack_into("<I", content, 76 - HEADER_BYTES, timer)
    content[91 - HEADER_BYTES] = 4
    return table(b"FACP", bytes(content), 1)


def damaged(whole: bytes, at: int, value: bytes, mend: bool = False) -> bytes:
    """The table with other bytes at an offset; its checksum made right again, or not."""
    changed = bytearray(whole[:at] + value + whole[at + len(value) :])
    if mend:
        changed[9] = 0
        changed[9] = -sum(changed) % 256
    return bytes(changed)


def _command(kind: int, *fields: bytes) -> bytes:
    return (struct.pack("<I", kind) + b"".join(fields)).ljust(COMMAND_BYTES, b"\0")


def _name(file: bytes) -> bytes:
    return file.ljust(56, b"\0")


def _pointer(file: bytes, at: int) -> bytes:
    """Adds the address of TABLES to the four bytes at an offset of `file`."""
    return _command(ADD_POINTER, _name(file), _name(TABLES), struct.pack("<IB", at, 4))


def _checksum(file: bytes, at: int, start: int, length: int) -> bytes:
    return _command(ADD_CHECKSUM, _name(file), struct.pack("<III", at, start, length))


@dataclass
class Firmware:
    """What SeaBIOS is to leave in memory: tables as they stand here, below a right RSDT unless
    `root_damaged`; `pointers` are more addresses for it, as they are."""

    tables: list[bytes]
    pointers: tuple[int, ...] = ()
    root_damaged: bool = False

    def files(self) -> dict[bytes, bytes]:
        places, content = [], b""
        for one in self.tables:
            places.append(len(content))
            content += one.ljust(len(one) + -len(one) % 16, b"\0")
        root = len(content)
        pointers = [*places, *self.pointers]
        content += table(b"RSDT", struct.pack(f"<{len(pointers)}I", *pointers), 1)
        script = _command(ALLOCATE, _name(TABLES), struct.pack("<IB", 64, ZONE_HIGH))
        script += _command(ALLOCATE, _name(ROOT), struct.pack("<IB", 16, ZONE_LOW))
        for i in range(len(places)):
            script += _pointer(TABLES, root + HEADER_BYTES + 4 * i)
        if not self.root_damaged:
            script += _checksum(TABLES, root + 9, root, len(content) - root)
        script += _pointer(ROOT, 16) + _checksum(ROOT, 8, 0, RSDP_BYTES)
        # What checksums are added to must be 0.
        content = content[: root + 9] + b"\0" + content[root + 10 :]
        rsdp = struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"TICK  ", 0, root)
        return {TABLES: content, ROOT: rsdp, b"etc/table-loader": script}

    def words(self, folder: Path) -> list[str]:
        """Words of QEMU's command for a machine with this firmware."""
        found = ["-no-acpi"]
        for name, content in self.files().items():
            path = folder / name.decode().replace("/", "_")
            path.write_bytes(content)
            found += ["-fw_cfg", f"name={name.decode()},file={path}"]
        return found
