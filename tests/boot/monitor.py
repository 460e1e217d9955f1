# SPDX-License-Identifier: MIT
"""A machine in QEMU with somebody at its line and its monitor; and one that has not started to run
yet, asked what it is made of."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from typing import Any, Protocol, Self


class Closable(Protocol):
    def close(self) -> None:
        ...


class Started:
    """`with` one of these starts a command of machines.py; behind that its process is gone and the
    ends of its line and its monitor that are here are closed, and what else is in `closing`."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.line_end, line = socket.socketpair()
        self.qmp_end, qmp = socket.socketpair()
        places = {"{line}": str(line.fileno()), "{qmp}": str(qmp.fileno()), "{arguments}": ""}
        words = list(command)
        for place, value in places.items():
            words = [word.replace(place, value) for word in words]
        self.process = subprocess.Popen(words, pass_fds=(line.fileno(), qmp.fileno()), **options)
        line.close()
        qmp.close()
        self.closing: list[Closable] = [self.qmp_end, self.line_end]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.process.kill()
        self.process.wait()
        for one in self.closing:
            one.close()


class Paused(Started):
    """Its CPUs stand still from the beginning."""

    def __init__(self, command: list[str]) -> None:
        self.output = tempfile.TemporaryFile()
        super().__init__([*command, "-S"], stdout=self.output, stderr=subprocess.STDOUT)
        self.qmp_end.settimeout(30)
        self.replies = self.qmp_end.makefile("r", encoding="utf-8")
        self.closing += [self.replies, self.output]
        self.execute("qmp_capabilities")

    def execute(self, name: str, **arguments: str) -> object:
        message = {"execute": name, "arguments": arguments}
        self.qmp_end.sendall(json.dumps(message).encode() + b"\n")
        for reply in map(json.loads, self.replies):
            if "return" in reply or "error" in reply:
                return reply.get("return", reply.get("error"))
        raise AssertionError(f"QEMU ended before it answered {name}")

    def ask(self, command: str) -> str:
        """A command for people, and what it prints, there or where QEMU prints itself."""
        before = self.output.seek(0, 2)
        said = str(self.execute("human-monitor-command", **{"command-line": command}))
        self.output.seek(before)
        return said + self.output.read().decode()
