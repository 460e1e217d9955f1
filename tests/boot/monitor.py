# SPDX-License-Identifier: MIT
"""A machine that has not started to run yet, asked through QEMU's monitor what it is made of."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from types import TracebackType


class Paused:
    """`with Paused(command) as machine:` starts a command of machines.py with its CPUs stopped."""

    def __init__(self, command: list[str]) -> None:
        self.line, line = socket.socketpair()
        self.qmp, qmp = socket.socketpair()
        places = {"{line}": str(line.fileno()), "{qmp}": str(qmp.fileno()), "{arguments}": ""}
        words = [*command, "-S"]
        for place, value in places.items():
            words = [word.replace(place, value) for word in words]
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            words,
            pass_fds=(line.fileno(), qmp.fileno()),
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        line.close()
        qmp.close()
        self.qmp.settimeout(30)
        self.replies = self.qmp.makefile("r", encoding="utf-8")
        self.execute("qmp_capabilities")

    def execute(self, name: str, **arguments: str) -> object:
        self.qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
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

    def __enter__(self) -> Paused:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.replies.close()
        self.qmp.close()
        self.line.close()
        self.output.close()
