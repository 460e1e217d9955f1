# SPDX-License-Identifier: MIT
"""Chromium without a window, driven over a pipe: the DevTools protocol, nothing to install for it.

A message is JSON and ends with a zero byte. Every wait is bounded, and the browser's own process
group is ended whatever happened.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAMS = ("chromium", "chromium-browser")
CALL_SECONDS = 90.0  # the first call waits for the start, on a machine that may be busy
HIGH = 20  # above the two descriptors that Chromium wants its pipes on

Message = dict[str, Any]


class BrowserError(Exception):
    """The browser said no, or nothing."""


def missing() -> str:
    """Why there is no browser to test with; empty if there is one."""
    if any(shutil.which(name) for name in PROGRAMS):
        return ""
    return "chromium is not installed; it is listed in packages and ./install-deps installs it"


class Chromium:
    """One browser, to be used in a `with`. `profile` is a folder of its own, made by it."""

    def __init__(self, profile: Path, *switches: str) -> None:
        program = next(path for path in map(shutil.which, PROGRAMS) if path)
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        words = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        words += ["--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync"]
        words += ["--disable-component-update", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={profile}", *switches, "about:blank"]

        def place() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        with open(profile.with_name(profile.name + ".log"), "wb") as log:
            self._process = subprocess.Popen(
                words,
                preexec_fn=place,
                pass_fds=(3, 4),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self._gathered = b""
        self._number = 0
        self.events: list[Message] = []

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, session: str = "", **parameters: Any) -> Message:
        """One command and its answer; what else comes meanwhile is kept in `events`."""
        self._number += 1
        words: Message = {"id": self._number, "method": method, "params": parameters}
        if session:
            words["sessionId"] = session
        os.write(self._out, json.dumps(words).encode() + b"\0")
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            message = self._message(deadline)
            if message is None:
                raise BrowserError(f"{method}: no answer within {CALL_SECONDS:.0f} s")
            if message.get("id") != self._number:
                self.events.append(message)
            elif "error" in message:
                raise BrowserError(f"{method}: {message['error'].get('message')}")
            else:
                return dict(message["result"])

    def wait(self, method: str, session: str, seconds: float = CALL_SECONDS) -> Message:
        """The event of that name, the first since the session began that nobody waited for."""
        deadline = time.monotonic() + seconds
        at = 0
        while True:
            while at < len(self.events):
                event = self.events[at]
                if event.get("method") == method and event.get("sessionId") == session:
                    return self.events.pop(at)
                at += 1
            message = self._message(deadline)
            if message is None:
                raise BrowserError(f"no {method} within {seconds:.0f} s")
            self.events.append(message)

    def page(self) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)

    def _message(self, deadline: float) -> Message | None:
        while b"\0" not in self._gathered:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._in], [], [], left)[0]:
                return None
            piece = os.read(self._in, 1 << 16)
            if not piece:
                raise BrowserError("the browser ended")
            self._gathered += piece
        line, _, self._gathered = self._gathered.partition(b"\0")
        message: Message = json.loads(line)
        return message


class Page:
    """A tab that notes what it asks the network for and what it complains about."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self.browser, self.session = browser, session
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Message:
        return self.browser.call(method, self.session, **parameters)

    def look(self, width: int, height: int, dark: bool = False, media: str = "") -> None:
        """How wide the window is, in CSS pixels, and what its owner prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.browser.wait("Page.loadEventFired", self.session)

    def value(self, expression: str) -> Any:
        """What an expression, or the promise it gives, comes to."""
        done = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(str(details.get("exception", details).get("description", details)))
        return done["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page, however long, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _own(self, method: str) -> list[Message]:
        return [
            event["params"]
            for event in self.browser.events
            if event.get("sessionId") == self.session and event.get("method") == method
        ]

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [entry["request"]["url"] for entry in self._own("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """What would stand in the console: messages, log entries, exceptions."""
        said = [str(entry["args"]) for entry in self._own("Runtime.consoleAPICalled")]
        said += [str(entry["entry"]["text"]) for entry in self._own("Log.entryAdded")]
        said += [str(entry["exceptionDetails"]) for entry in self._own("Runtime.exceptionThrown")]
        return said


def _pipe() -> tuple[int, int]:
    """A pipe both of whose ends have high numbers, so that 3 and 4 are free to be dealt out."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, HIGH))
        os.close(end)
    return ends[0], ends[1]
