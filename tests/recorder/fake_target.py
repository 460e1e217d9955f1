# SPDX-License-Identifier: MIT
"""A target without a machine: plays what a test wrote down, one list of steps for each boot.

fake_target.py STEPS LINE ARGUMENTS [QMP]

STEPS is a JSON file: {"pid": file or null, "boots": [[step, ...], ...]}; the last list serves all
further boots. A step is one of

  ["send", hex]              bytes to the line
  ["complete", hex]          a complete run for the session of ARGUMENTS; hex: the build id
  ["flood", hex, count]      the same bytes again and again
  ["sleep", seconds]
  ["exit", code]
  ["signal", number]         to itself
  ["print", text]            to stdout
  ["await", type]            waits for a frame of that type from the host
  ["close"]                  closes the line
  ["child", seconds]         starts a process that lives on
  ["qmp_event", event]       one line to the monitor's reader
  ["qmp", {command: answer}] answers the monitor until the other end closes; "events": lines first
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import wire_encoder as wire  # noqa: E402


class Player:
    def __init__(self, line: int, arguments: str, qmp: int | None) -> None:
        self.line = socket.socket(fileno=line)
        self.words = dict(word.split("=", 1) for word in arguments.split())
        self.qmp = socket.socket(fileno=qmp) if qmp is not None else None
        self.received = b""

    def send(self, data: str) -> None:
        self.line.sendall(bytes.fromhex(data))

    def complete(self, build_id: str) -> None:
        session, boot = int(self.words["session"]), int(self.words["boot"])
        target = wire.Target(bytes.fromhex(build_id), session=session, boot=boot)
        self.line.sendall(target.complete())

    def flood(self, data: str, count: int) -> None:
        for _ in range(count):
            self.line.sendall(bytes.fromhex(data))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def exit(self, code: int) -> None:
        sys.stdout.flush()
        os._exit(code)

    def signal(self, number: int) -> None:
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)

    def print(self, text: str) -> None:
        print(text, flush=True)

    def close(self) -> None:
        self.line.close()

    def child(self, seconds: float) -> None:
        subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])

    def await_frame(self, kind: int) -> None:
        while True:
            data = self.line.recv(4096)
            if not data:
                return
            self.received += data
            pieces = self.received.split(b"\0")
            self.received = pieces.pop()
            for piece in filter(None, pieces):
                found, session, offset, payload = wire.parse_frame(piece)
                if found == kind and session == int(self.words["session"]):
                    print(f"frame {kind} offset {offset} payload {payload.hex()}", flush=True)
                    return

    def qmp_event(self, event: dict[str, Any]) -> None:
        """One line to the monitor's reader, an event or an answer."""
        assert self.qmp is not None
        self.qmp.sendall(json.dumps(event).encode() + b"\n")

    def answer_qmp(self, answers: dict[str, Any]) -> None:
        assert self.qmp is not None
        for event in answers.get("events", []):
            self.qmp_event(event)
        for text in self.qmp.makefile("r"):
            asked = json.loads(text)
            command = asked.get("arguments", {}).get("command-line", asked["execute"])
            known = [value for key, value in answers.items() if command.startswith(key)]
            self.qmp_event({"return": known[0] if known else {}, "id": asked.get("id")})

    def play(self, steps: list[list[Any]]) -> None:
        actions = {"await": self.await_frame, "qmp": self.answer_qmp}
        for name, *values in steps:
            actions.get(name, getattr(self, name, None))(*values)


def main() -> None:
    steps = json.loads(Path(sys.argv[1]).read_text())
    qmp = int(sys.argv[4]) if len(sys.argv) > 4 else None
    player = Player(int(sys.argv[2]), sys.argv[3], qmp)
    if steps["pid"]:
        Path(steps["pid"]).write_text(str(os.getpid()))
    boots = steps["boots"]
    player.play(boots[min(int(player.words["boot"]), len(boots) - 1)])


main()
