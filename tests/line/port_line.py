# SPDX-License-Identifier: MIT
"""A machine at a serial port, as bad as a plan says: a pseudo-terminal for the recorder, a target
that waits to be met, and between them a line that loses, damages, repeats, reorders and stalls;
whose ends may be at different speeds; that is unplugged; and whose machine starts again.

All of it runs in the thread that calls, many of them side by side."""

from __future__ import annotations

import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import termios
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wire_decoder
import wire_encoder as wire
from bad_line import SECONDS, TARGET, Line
from proxy import IDLE_SECONDS, Faults, Way
from recorder_run import Recorder

START_SPEED = 115200
SPEEDS = {getattr(termios, f"B{n}"): n for n in (9600, 115200, 230400, 460800, 921600, 1500000)}
MENU = b"\x1b[H\x1b[2JGNU GRUB  version 2.06\r\n\r\n *h  host: asks here\r\n"
CHATTER = b"\x1b[2JSeaBIOS (version 1.16)\r\nBooting from DVD/CD...\r\n\0\xff\x11\x13"
PIECE = 64  # bytes that the target takes at once
UNPLUGGED_SECONDS = 0.4
FULL_SECONDS = 0.5  # then what does not fit is lost, as in a port
BOOTING_SECONDS = 0.2


@dataclass
class Plan:
    """What happens in one session; byte counts are of what passed to the recorder."""

    seed: int
    to_host: dict[str, Any] = field(default_factory=dict)
    to_target: dict[str, Any] = field(default_factory=dict)
    fastest: int = START_SPEED  # what the machine's port can do
    clean: int = 1 << 31  # up to which speed the cable is any good
    unplugs: list[int] = field(default_factory=list)
    reboots: list[int] = field(default_factory=list)
    stays_away: bool = False  # once unplugged
    xoff: float = 0  # chance of a stray XON or XOFF in what passes
    menu: bool = False  # a boot loader waits for a key first
    samples: int = 40


class Target:
    """A sink for one direction: pieces that line_target reads whole."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), PIECE):
            self.end.send(data[at : at + PIECE])


class Port:
    """The pseudo-terminal that the recorder knows by a name."""

    def __init__(self, path: Path) -> None:
        self.path, self.master = path, -1

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        attributes = termios.tcgetattr(slave)
        attributes[4] = attributes[5] = termios.B115200
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        os.set_blocking(self.master, False)
        self.path.symlink_to(os.ttyname(slave))
        self.slave = slave  # until the recorder has it: else the master sees a hang-up

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self.slave)
        os.close(self.master)
        self.master = -1

    def sendall(self, data: bytes) -> None:
        if self.master < 0:
            return
        try:
            while data and select.select([], [self.master], [], FULL_SECONDS)[1]:
                data = data[os.write(self.master, data) :]
        except OSError:
            pass  # nobody has it open

    def recv(self) -> bytes:
        try:
            return os.read(self.master, 4096)
        except OSError:
            return b""

    def speed(self) -> int:
        return SPEEDS.get(termios.tcgetattr(self.master)[5], 0)


class PortLine:
    """A session while it runs."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan, self.chance = plan, random.Random(plan.seed)
        self.port = Port(folder / "tty")
        self.port.plug()
        self.target: subprocess.Popen[bytes] | None = None
        self.sent = b""
        self.speed = START_SPEED
        self.unplugs, self.reboots = sorted(plan.unplugs), sorted(plan.reboots)
        self.back_at = self.boots_at = self.menu_at = 0.0
        self.arguments = f"seed={plan.seed % 2**32} samples={plan.samples}"
        self.waits_for_key = False
        self.rebooted = 0
        self.power_on()

    def power_on(self) -> None:
        """The firmware, then the kernel."""
        self.speed = START_SPEED
        self.port.sendall(CHATTER)
        then = time.monotonic() + BOOTING_SECONDS
        self.menu_at, self.boots_at = (then, 0.0) if self.plan.menu else (0.0, then)

    def boot(self) -> None:
        self.boots_at = 0.0
        self.end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [str(TARGET), str(theirs.fileno()), self.arguments, str(self.plan.fastest)]
        self.target = subprocess.Popen(words, pass_fds=(theirs.fileno(),))
        theirs.close()
        plan = self.plan
        to_host = Faults(seed=plan.seed + self.rebooted, **plan.to_host)
        self.to_host = Way(self.end, self.port, to_host, None)  # type: ignore[arg-type]
        back = Faults(seed=~plan.seed - self.rebooted, **plan.to_target)
        self.to_target = Way(self.end, Target(self.end), back, None)  # type: ignore[arg-type]

    def power_off(self) -> None:
        if self.target is not None:
            self.target.kill()
            self.target.wait()
            self.end.close()
        self.target = None

    def garbled(self, data: bytes, sender: int, receiver: int) -> bytes:
        """What a receiver at another speed makes of it, or of what is too fast for the cable."""
        if sender == receiver and sender <= self.plan.clean:
            return data
        length = max(1, len(data) * receiver // sender) if sender != receiver else len(data)
        return self.chance.randbytes(min(length, 4 * len(data)))

    def strewn(self, data: bytes) -> bytes:
        if self.plan.xoff and self.chance.random() < self.plan.xoff:
            at = self.chance.randrange(len(data) + 1)
            return data[:at] + self.chance.choice([b"\x11", b"\x13"]) + data[at:]
        return data

    def from_target(self) -> None:
        try:
            packet = self.end.recv(4096)
        except OSError:
            packet = b""
        if not packet:
            self.to_host.idle()
            self.power_off()
            return
        if packet[0] == 1:
            (self.speed,) = struct.unpack("<I", packet[1:])
            return
        self.sent += packet[1:]
        if self.port.master < 0:
            return
        speed = self.port.speed()
        if speed == self.speed <= self.plan.clean:
            self.to_host.feed(self.strewn(packet[1:]))
        else:
            self.port.sendall(self.garbled(packet[1:], self.speed, speed))

    def from_recorder(self) -> None:
        data = self.port.recv()
        if self.waits_for_key and b"h" in data:
            self.waits_for_key = False
            self.boots_at = time.monotonic() + BOOTING_SECONDS
        if self.target is None or not data:
            return
        speed = self.port.speed()
        try:
            if b"\0" not in data and not self.to_target.gathered:
                self.to_target.sink.sendall(data)  # a key, no frame
            elif speed == self.speed <= self.plan.clean:
                self.to_target.feed(data)
            else:
                Target(self.end).sendall(self.garbled(data, speed, self.speed))
        except OSError:
            pass  # it has just ended

    def events(self) -> None:
        now, passed = time.monotonic(), len(self.sent)
        if self.unplugs and passed > self.unplugs[0] and self.port.master >= 0:
            self.unplugs.pop(0)
            self.port.unplug()
            self.back_at = now + UNPLUGGED_SECONDS
        if self.port.master < 0 and now > self.back_at and not self.plan.stays_away:
            self.port.plug()
        if self.reboots and passed > self.reboots[0] and self.target is not None:
            self.reboots.pop(0)
            self.rebooted += 1
            self.power_off()
            self.power_on()
        if self.menu_at and now > self.menu_at:
            self.menu_at, self.waits_for_key = 0.0, True
            self.port.sendall(MENU)
        if self.boots_at and now > self.boots_at:
            self.boot()

    def turn(self) -> None:
        """What there is to be read, once."""
        ends = [self.port.master] if self.port.master >= 0 else []
        if self.target is not None:
            stalled = self.to_target.stalled
            ends = [] if stalled else ends
            ends += [] if self.to_host.stalled else [self.end.fileno()]
        ready = select.select(ends, [], [], IDLE_SECONDS)[0]
        if self.target is not None and self.end.fileno() in ready:
            self.from_target()
        if self.port.master in ready:
            self.from_recorder()
        for way in [self.to_host, self.to_target] if self.target is not None and not ready else []:
            if not way.stalled:
                try:
                    way.idle()
                except OSError:
                    pass

    def run(self, recorder: subprocess.Popen[str], seconds: float = SECONDS) -> None:
        end = time.monotonic() + seconds
        while recorder.poll() is None and time.monotonic() < end:
            self.events()
            self.turn()

    def close(self) -> None:
        self.power_off()
        if self.port.master >= 0:
            self.port.unplug()


@dataclass
class PortRun(Line):
    """A session that is over. The truth is what the machine said in its last session."""

    rebooted: int = 0

    @property
    def said(self) -> wire_decoder.Rows:
        sessions = [f.session for f in self.sent.frames if f.kind == wire.HELLO]
        stored = sessions[-1] if sessions else 0
        return wire_decoder.rows(wire_decoder.results(self.sent.frames, stored))


HURRY = {"gone-seconds": 20, "reset-seconds": 3, "idle-seconds": 10, "start-seconds": 30}


def run_port(folder: Path, plan: Plan, **options: Any) -> PortRun:
    """One session, to its end."""
    folder.mkdir(parents=True)
    return record(PortLine(folder, plan), folder, plan, **options)


def record(line: PortLine, folder: Path, plan: Plan, **options: Any) -> PortRun:
    """Records what there is on the line."""
    run = PortRun(folder, Recorder(folder), plan.seed)
    menu = {"menu-text": "host: asks here", "menu-key": "h"} if plan.menu else {}
    words = run.recorder.words(
        **{"target": "baremetal", "machine": "metal", **HURRY, **menu, **options}
    )
    words = [*words[: words.index("--")], f"port={line.port.path}"]
    with (folder / "printed").open("w+") as printed:
        recorder = subprocess.Popen(words, stdout=printed, stderr=subprocess.STDOUT, text=True)
        try:
            line.run(recorder)
        finally:
            recorder.kill()
            run.code = recorder.wait()
            line.close()
        printed.seek(0)
        run.printed = printed.read()
    run.rebooted = line.rebooted
    run.sent = wire_decoder.decode(line.sent)
    return run


def lock_of(path: Path) -> int:
    """Somebody else who has the port open; the descriptor."""
    held = os.open(path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held
