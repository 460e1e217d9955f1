# SPDX-License-Identifier: MIT
"""A machine in QEMU that boots from a medium or from the network, with somebody at its keyboard
and at the other end of its serial line."""

from __future__ import annotations

import contextlib
import json
import re
import select
import time

import menu
from monitor import Started

STEP_SECONDS = 0.2
ASK_SECONDS = 60
MENU = b"one suite ..."  # its last entries are on the line
QMP_KEYS = {" ": "spc", "=": "equal", "/": "slash", "_": "shift-minus", "\n": "ret"}


class Booted(Started):
    """`with Booted(command) as machine:` starts a command of machines.py. `line` is all that came
    over the serial line; waiting for something is bounded and says what came instead."""

    def __init__(self, command: list[str]) -> None:
        self.line = b""
        self._qmp_said = b""
        self._asked = 0
        super().__init__(command)
        self._open = [self.line_end, self.qmp_end]
        self.qmp_end.sendall(b'{"execute": "qmp_capabilities"}\n')

    def _read(self) -> None:
        if not self._open:
            time.sleep(STEP_SECONDS)
        for end in select.select(self._open, [], [], STEP_SECONDS)[0]:
            try:
                data: bytes = end.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self._open.remove(end)
            elif end is self.line_end:
                self.line += data
            else:
                self._qmp_said += data

    def wait_for(self, text: bytes, seconds: float, or_else: bytes = b"") -> bool:
        """Until the line has said `text`: True; or `or_else`, where that is given: False."""
        end = time.monotonic() + seconds
        while text not in self.line and not (or_else and or_else in self.line):
            alive = self.process.poll() is None and time.monotonic() < end
            assert alive, f"{text!r} did not come: {self.line[-800:]!r}"
            self._read()
        return text in self.line

    def wait(self, seconds: float) -> None:
        """So long, or until it has ended."""
        end = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < end:
            self._read()

    def press(self, keys: str) -> None:
        """On the keyboard: one key of QEMU's names, or several at once with a dash between. One
        that has just ended takes no keys; why is for the test to ask."""
        codes = [{"type": "qcode", "data": key} for key in keys.split("-")]
        message = {"execute": "send-key", "arguments": {"keys": codes, "hold-time": 30}}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.qmp_end.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, command: str, **arguments: object) -> None:
        """A command of QMP's; returns when QEMU has answered it."""
        self._asked += 1
        message = {"execute": command, "arguments": arguments, "id": self._asked}
        answer = f'"id": {self._asked}'.encode()
        self.qmp_end.sendall(json.dumps(message).encode() + b"\n")
        end = time.monotonic() + ASK_SECONDS
        while not re.search(answer + rb"\b", self._qmp_said):
            assert time.monotonic() < end and not self.ended(), f"no answer to {command}"
            self._read()

    def type(self, text: str) -> None:
        """On the keyboard, letter by letter, slowly enough for firmware that polls it."""
        for letter in text:
            self.press(QMP_KEYS.get(letter, letter))
            self._read()
            time.sleep(STEP_SECONDS / 2)

    def send(self, data: bytes) -> None:
        """Over the serial line, as slowly as a person: nothing holds back here what GRUB does not
        take yet."""
        for byte in data:
            self.line_end.sendall(bytes([byte]))
            time.sleep(STEP_SECONDS / 10)

    def take_keys_of_the_line(self, seconds: float) -> None:
        """As who presses Esc when the boot loader asks, twice. UEFI may take the first one for
        itself, and hand it on late: then it hands on all other keys as well."""
        self.wait_for(menu.ASK.encode(), seconds)
        self.send(b"\x1b")
        if self.wait_for(menu.ASK_AGAIN.encode(), seconds, or_else=MENU):
            self.send(b"\x1b")

    def ended(self) -> bool:
        return self.process.poll() is not None

    def exit_code(self, seconds: float) -> int:
        """Once it has ended."""
        end = time.monotonic() + seconds
        while not self.ended():
            assert time.monotonic() < end, f"it does not end: {self.line[-800:]!r}"
            self._read()
        while self.line_end in self._open:
            self._read()
        return self.process.wait()
