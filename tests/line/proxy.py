# SPDX-License-Identifier: MIT
"""A bad line: stands between the recorder and a target it starts itself, and does to what passes
what bad lines do, as a seed decides.

proxy.py FAULTS LINE COMMAND...

FAULTS is a JSON file, see `Faults`. In COMMAND `@line@` stands for the target's end. The target's
exit is the proxy's own. What the target said and what the recorder got to hear are kept as
sent.bin and passed.bin beside FAULTS.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recorder"))
import wire_encoder as wire  # noqa: E402

IDLE_SECONDS = 0.03  # then what was held back is let go


@dataclass
class Faults:
    """What happens to each piece between two zeros, as chances."""

    seed: int = 0
    lose: float = 0
    corrupt: float = 0
    duplicate: float = 0
    reorder: float = 0
    stall: float = 0
    stall_seconds: float = 0.2  # at the most
    deaf: bool = False  # nothing gets through at all
    lose_first: dict[str, int] = field(default_factory=dict)  # how many of a frame's type
    cut_after: int = -1  # bytes, then nothing more
    inject: str = ""  # hexadecimal: pieces of another line, one after each piece


class Way:
    """One direction of the line."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, faults: Faults, log: Path | None
    ):
        self.source, self.sink, self.faults = source, sink, faults
        self.chance = random.Random(faults.seed)
        self.gathered = b""
        self.held: list[tuple[int, bytes]] = []  # (pieces it waits for, piece)
        self.wakes = 0.0
        self.passed = 0
        self.foreign = [p for p in bytes.fromhex(faults.inject).split(b"\0") if p]
        self.log = log.open("wb", buffering=0) if log else None

    def give(self, data: bytes) -> None:
        if self.faults.deaf:
            return
        if self.faults.cut_after >= 0:
            data = data[: max(0, self.faults.cut_after - self.passed)]
        self.passed += len(data)
        if self.log:
            self.log.write(data)
        try:
            self.sink.sendall(data)
        except OSError:
            pass  # the other end is gone: what it would have heard does not matter

    def happens(self, chance: float) -> bool:
        return chance > 0 and self.chance.random() < chance

    def lost(self, piece: bytes) -> bool:
        if not self.faults.lose_first:
            return self.happens(self.faults.lose)
        try:
            kind = str(wire.parse_frame(piece)[0])
        except Exception:  # no frame, as far as this side can tell
            kind = ""
        if self.faults.lose_first.get(kind, 0) > 0:
            self.faults.lose_first[kind] -= 1
            return True
        return self.happens(self.faults.lose)

    def damage(self, piece: bytes) -> bytes:
        """Bits flipped, bytes lost or brought in, a piece cut; a zero among them splits it."""
        data = bytearray(piece)
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(data)) if data else 0
            kind = self.chance.randrange(5)
            if kind < 2 and data:
                data[at] ^= 1 << self.chance.randrange(8)
            elif kind == 2:
                del data[at : at + self.chance.randint(1, 20)]
            elif kind == 3:
                data[at:at] = self.chance.randbytes(self.chance.randint(1, 20))
            elif kind == 4:
                del data[at:]
        return bytes(data)

    def take(self, piece: bytes) -> None:
        if self.foreign:
            self.give(b"\0" + self.foreign[self.passed % len(self.foreign)] + b"\0")
        if self.lost(piece):
            return
        if self.happens(self.faults.stall):
            self.wakes = time.monotonic() + self.chance.uniform(0, self.faults.stall_seconds)
        if self.happens(self.faults.corrupt):
            piece = self.damage(piece)
        for _ in range(2 if self.happens(self.faults.duplicate) else 1):
            if self.happens(self.faults.reorder):
                self.held.append((self.chance.randint(1, 6), piece))
            else:
                self.give(b"\0" + piece + b"\0")
        waiting = [(left - 1, held) for left, held in self.held]
        self.held = [entry for entry in waiting if entry[0] > 0]
        for left, held in waiting:
            if left <= 0:
                self.give(b"\0" + held + b"\0")

    def feed(self, data: bytes) -> None:
        *pieces, self.gathered = (self.gathered + data).split(b"\0")
        for piece in filter(None, pieces):
            self.take(piece)

    def idle(self) -> None:
        held, self.held = self.held, []
        for _, piece in held:
            self.give(b"\0" + piece + b"\0")

    @property
    def stalled(self) -> bool:
        return time.monotonic() < self.wakes


def run(ways: list[Way], sent: Callable[[bytes], object], process: subprocess.Popen[bytes]) -> None:
    """Until the target is gone and everything it said has passed."""
    to_host = ways[0]
    open_ways = list(ways)
    while to_host in open_ways:
        selector = selectors.DefaultSelector()
        for way in open_ways:
            if not way.stalled:
                selector.register(way.source, selectors.EVENT_READ, way)
        ready = selector.select(IDLE_SECONDS)
        selector.close()
        for key, _ in ready:
            way: Way = key.data
            try:
                data = way.source.recv(1024)
            except OSError:
                data = b""
            if way is to_host:
                sent(data)
            way.feed(data)
            if not data:
                open_ways.remove(way)
        for way in ways:
            if not ready and not way.stalled:
                way.idle()
    to_host.idle()
    to_host.give(to_host.gathered)
    process.wait()


def main() -> None:
    path = Path(sys.argv[1])
    asked = json.loads(path.read_text())
    recorder = socket.socket(fileno=int(sys.argv[2]))
    ours, theirs = socket.socketpair()
    words = [word.replace("@line@", str(theirs.fileno())) for word in sys.argv[3:]]
    os.set_inheritable(theirs.fileno(), True)
    os.set_inheritable(ours.fileno(), False)
    os.set_inheritable(recorder.fileno(), False)
    process = subprocess.Popen(words, close_fds=False)
    theirs.close()
    with (path.parent / "sent.bin").open("wb", buffering=0) as sent:
        ways = [
            Way(ours, recorder, Faults(**asked["to_host"]), path.parent / "passed.bin"),
            Way(recorder, ours, Faults(**asked["to_target"]), None),
        ]
        run(ways, sent.write, process)
    if ways[0].log:
        ways[0].log.close()
    if process.returncode < 0:
        signal.signal(-process.returncode, signal.SIG_DFL)
        os.kill(os.getpid(), -process.returncode)
    os._exit(process.returncode)


if __name__ == "__main__":
    main()
