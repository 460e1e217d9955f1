# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus_pci again: the configuration spaces of QEMU's machines, read through
their ports after the firmware has set them up, in the form fuzz_pci.c takes, and damaged ones."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus_pci"
BARS = {0: 6, 1: 2, 2: 1}  # of a header's type
QUIET_SECONDS = 6  # the firmware uses the same two ports: it is left alone until it is done
FIRMWARE_SECONDS = 60

MACHINES = {
    "pc": (
        *("-machine", "pc", "-device", "nvme,serial=1", "-device", "edu"),
        *("-device", "pci-bridge,chassis_nr=1,id=bridge", "-device", "virtio-rng-pci,bus=bridge"),
    ),
    "q35": (
        *("-machine", "q35", "-device", "pcie-root-port,id=root1,chassis=1"),
        *("-device", "nvme,serial=1,bus=root1", "-device", "virtio-balloon-pci"),
    ),
}


class Ports:
    """A machine's ports, through QEMU's qtest protocol."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.folder.name}/qtest")
        listener.listen(1)
        common = ("-nodefaults", "-display", "none", "-accel", "tcg")
        qtest = ("-qtest", f"unix:{self.folder.name}/qtest", "-qtest-log", "none")
        self.process = subprocess.Popen(["qemu-system-x86_64", *common, *words, *qtest])
        self.line, _ = listener.accept()
        listener.close()
        self.file = self.line.makefile("rw")

    def ask(self, command: str) -> str:
        self.file.write(command + "\n")
        self.file.flush()
        while True:
            words = self.file.readline().split()
            if words and words[0] == "OK":
                return words[1] if len(words) > 1 else ""
            assert words and words[0] in ("IRQ",), words

    def read(self, bus: int, place: int, offset: int) -> int:
        self.ask(f"outl 0xcf8 {0x80000000 | bus << 16 | place << 8 | offset:#x}")
        return int(self.ask("inl 0xcfc"), 16)

    def write(self, bus: int, place: int, offset: int, value: int) -> None:
        self.ask(f"outl 0xcf8 {0x80000000 | bus << 16 | place << 8 | offset:#x}")
        self.ask(f"outl 0xcfc {value:#x}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()
        self.folder.cleanup()


def places(ports: Ports) -> list[tuple[int, int]]:
    return [
        (bus, place)
        for bus in range(3)
        for place in range(256)
        if ports.read(bus, place, 0) & 0xFFFF != 0xFFFF
    ]


def wait_for_firmware(ports: Ports) -> None:
    """Until everything that decodes has been told to, twice in a row the same."""
    time.sleep(QUIET_SECONDS)
    began, before = time.monotonic(), None
    while time.monotonic() - began < FIRMWARE_SECONDS:
        time.sleep(1)
        now = [(p, ports.read(*p, 4), ports.read(*p, 0x10)) for p in places(ports)]
        if now == before and any(p[0] == 1 for p, _, _ in now):
            return
        before = now
    raise SystemExit("the firmware does not come to an end")


def sizes(ports: Ports, bus: int, place: int, header: int) -> bytes:
    """The logarithms of what the BARs decode; found as the kernel does it."""
    found = bytearray(6)
    slot = 0
    while slot < BARS.get(header, 0):
        at = 0x10 + 4 * slot
        low = ports.read(bus, place, at)
        wide = low & 7 == 4
        ports.write(bus, place, at, 0xFFFFFFFF)
        mask = ports.read(bus, place, at) & (~3 if low & 1 else ~15) & 0xFFFFFFFF
        ports.write(bus, place, at, low)
        if mask:
            found[slot] = (mask & -mask).bit_length() - 1
        slot += 2 if wide else 1
    return bytes(found)


def function(ports: Ports, bus: int, place: int) -> bytes:
    space = b"".join(ports.read(bus, place, at).to_bytes(4, "little") for at in range(0, 256, 4))
    head = bytes([bus, place]) + sizes(ports, bus, place, space[14] & 0x7F)
    kept = space.rstrip(b"\0")
    return head + len(kept).to_bytes(2, "little") + kept


def damaged(whole: bytes) -> bytes:
    """Every seventh byte of the lists and of the bridges' numbers is another."""
    return bytes(b ^ 0x40 if i % 7 == 3 and i > 64 else b for i, b in enumerate(whole))


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    for name, words in MACHINES.items():
        ports = Ports(words)
        try:
            wait_for_firmware(ports)
            whole = b"".join(function(ports, *place) for place in places(ports))
        finally:
            ports.close()
        (CORPUS / f"{name}.bin").write_bytes(b"\0" + whole)
        (CORPUS / f"{name}_damaged.bin").write_bytes(b"\0" + damaged(whole))
        (CORPUS / f"{name}_lies.bin").write_bytes(b"\1" + whole + b"\0\xc3\xff\x11" * 64)
        print(f"{name}: {len(whole)} bytes")


main()
