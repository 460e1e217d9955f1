# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus_smbios again: what QEMU's firmware leaves for machines of all kinds.

A file is a byte of flags for fuzz_smbios.c and a memory that begins at 0xf0000 with the entry
point; the structures, as they were found, begin 32 bytes behind it.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from make_acpi_corpus import BOOT_SECONDS, PAUSE_SECONDS, Machine, number

CORPUS = Path(__file__).resolve().parent / "corpus_smbios"
SEARCHED = slice(0xF0000, 0x100000)
ENTRY, STRUCTURES = 31, 32
SEARCH, WIDE = 2, 4  # fuzz_smbios.c, which makes the entry point one of 64 bits by itself
LONG = "a maker whose name is longer than anybody has room for and has to be cut"
MACHINES: dict[str, list[str]] = {
    "pc": ["-machine", "pc"],
    "q35": ["-machine", "q35", "-smp", "4"],
    "texts": [
        *("-machine", "pc", "-smbios", f"type=0,vendor={LONG},version=1.2.3,date=04/01/2014"),
        *("-smbios", "type=1,manufacturer=\x1b[2J\x7f,product=  blanks  ,version=\xe9"),
        *("-smbios", "type=2,manufacturer=<b>&amp;,product=ok 1 - heap"),
        *("-smbios", "type=17,manufacturer=Modules,speed=3200,loc_pfx=DIMM"),
    ],
}


def tables_of(words: list[str]) -> bytes:
    """Entry point and structures."""
    machine = Machine(words)
    try:
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end:
            time.sleep(PAUSE_SECONDS)
            memory = machine.memory()
            at = memory[SEARCHED].find(b"_SM_")
            entry = memory[SEARCHED.start + at :][:ENTRY] if at >= 0 else b""
            if entry and sum(entry) % 256 == 0:
                where, length = number(entry, 24, 4), number(entry, 22, 2)
                return entry.ljust(STRUCTURES, b"\0") + memory[where : where + length]
    finally:
        machine.end()
    raise RuntimeError(f"no tables after {BOOT_SECONDS} s: {' '.join(words)}")


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    for name, words in MACHINES.items():
        data = tables_of(words)
        for flags, kind in ((0, ""), (WIDE, "_wide"), (SEARCH, "_searched")):
            (CORPUS / f"{name}{kind}.bin").write_bytes(bytes([flags]) + data)
        print(f"{name}: {len(data)} bytes")


main()
