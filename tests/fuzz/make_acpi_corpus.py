# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus_acpi again: the tables QEMU's firmware leaves for machines of all kinds.

A file is a byte of flags for fuzz_acpi.c and a memory that begins at 0xf0000 with the root pointer.
The tables are as they were found, but close together, and the root tables point at them there.
Each table's name, length and offset in the file are printed.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus_acpi"
BASE = 0xF0000
RSDP_OLD, RSDP_NEW, HEADER = 20, 36, 36
MIB = 1 << 20
MEMORY_MIB = 128
BOOT_SECONDS = 60
PAUSE_SECONDS = 0.5


def nodes(sizes: list[int], cpus: list[str], hot_plug: bool = False) -> list[str]:
    words = []
    for i, (size, which) in enumerate(zip(sizes, cpus)):
        words += ["-object", f"memory-backend-ram,id=m{i},size={size}M"]
        words += ["-numa", f"node,nodeid={i},memdev=m{i}" + (f",cpus={which}" if which else "")]
    return words + (["-m", f"{MEMORY_MIB}M,slots=2,maxmem=1G"] if hot_plug else [])


UEFI = ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd"]
MACHINES: dict[str, list[str]] = {
    "pc": ["-machine", "pc"],
    "pc_no_hpet": ["-machine", "pc", "-no-hpet", "-smp", "2"],
    "pc_numa": [
        *("-machine", "pc", "-smp", "4", *nodes([64, 64], ["0-1", "2-3"])),
        *("-numa", "dist,src=0,dst=1,val=17"),
    ],
    "q35": ["-machine", "q35", "-smp", "4,maxcpus=6"],
    "q35_numa": [
        *("-machine", "q35", "-smp", "8", *nodes([32, 32, 64], ["0-3", "4-7", ""], True)),
        *("-numa", "dist,src=0,dst=1,val=21", "-numa", "dist,src=0,dst=2,val=255"),
        *("-numa", "dist,src=1,dst=2,val=31"),
    ],
    "q35_uefi": ["-machine", "q35", "-smp", "2", *UEFI],
}


class Machine:
    """A machine that runs its firmware and finds nothing to boot."""

    def __init__(self, words: list[str]) -> None:
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
            + ["-accel", "tcg", "-m", f"{MEMORY_MIB}M"]
            + ["-chardev", f"socket,id=qmp,fd={theirs.fileno()}"]
            + ["-mon", "chardev=qmp,mode=control", *words],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self.socket = ours
        self.file: IO[bytes] = ours.makefile("rb")
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> object:
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def memory(self) -> bytes:
        with tempfile.NamedTemporaryFile() as file:
            self.ask("pmemsave", val=0, size=MEMORY_MIB * MIB, filename=file.name)
            return Path(file.name).read_bytes()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.file.close()
        self.socket.close()


def number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def table_at(memory: bytes, at: int) -> bytes | None:
    table = memory[at : at + number(memory, at + 4, 4)] if 0 < at < len(memory) else b""
    return table if len(table) >= HEADER and sum(table) % 256 == 0 else None


def root_of(memory: bytes, root_name: bytes) -> tuple[int, list[bytes]] | None:
    """Revision of the root pointer and the tables, the root table first; None if not there yet."""
    at = -1
    while (at := memory.find(b"RSD PTR ", at + 1)) >= 0:
        new = memory[at + 15] >= 2
        length = RSDP_NEW if new else RSDP_OLD
        if sum(memory[at : at + length]) % 256 != 0:  # UEFI does not align it
            continue
        root = table_at(memory, number(memory, at + 24, 8) if new else number(memory, at + 16, 4))
        if root is None or root[:4] != root_name:
            continue
        size = 8 if root[:4] == b"XSDT" else 4
        found = [table_at(memory, number(root, i, size)) for i in range(HEADER, len(root), size)]
        if found and None not in found:
            return memory[at + 15], [root, *(table for table in found if table is not None)]
    return None


def with_sum(data: bytearray, at: int, length: int) -> None:
    """Makes the first `length` bytes add up to 0 through the byte at `at`."""
    data[at] = 0
    data[at] = -sum(data[:length]) % 256


def packed(revision: int, tables: list[bytes]) -> bytes:
    memory = bytearray(48)  # of the root pointer
    places = []
    for table in tables[1:]:
        places.append(BASE + len(memory))
        memory += table + bytes(-len(table) % 16)
    size = 8 if tables[0][:4] == b"XSDT" else 4
    root = bytearray(tables[0][:HEADER])
    root += b"".join(place.to_bytes(size, "little") for place in places)
    with_sum(root, 9, len(root))
    where = BASE + len(memory)
    memory += root
    pointer = bytearray(b"RSD PTR \0OEMOEM" + bytes([revision]) + bytes(20))
    if size == 8:
        pointer[20:32] = RSDP_NEW.to_bytes(4, "little") + where.to_bytes(8, "little")
    else:
        pointer[16:20] = where.to_bytes(4, "little")
    with_sum(pointer, 8, RSDP_OLD)
    if revision >= 2:
        pointer[20:24] = RSDP_NEW.to_bytes(4, "little")
        with_sum(pointer, 32, RSDP_NEW)
    memory[: len(pointer)] = pointer
    return bytes(memory)


def tables_of(words: list[str]) -> tuple[int, list[bytes]]:
    root_name = (
        b"XSDT" if words[-1] == UEFI[-1] else b"RSDT"
    )  # QEMU's own, or what UEFI makes of it
    machine = Machine(words)
    try:
        began = time.monotonic()
        last = None
        while time.monotonic() - began < BOOT_SECONDS:
            time.sleep(PAUSE_SECONDS)
            found = root_of(machine.memory(), root_name)
            if found is not None and found == last:  # the firmware has done with them
                return found
            last = found
    finally:
        machine.end()
    raise RuntimeError(f"no tables after {BOOT_SECONDS} s: {' '.join(words)}")


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    for name, words in MACHINES.items():
        revision, tables = tables_of(words)
        memory = packed(revision, tables)
        (CORPUS / f"{name}.bin").write_bytes(b"\0" + memory)
        listing = [f"{table[:4].decode()} {len(table)}" for table in tables]
        print(f"{name}: {len(memory)} bytes, revision {revision}: {', '.join(listing)}")


if __name__ == "__main__":
    main()
