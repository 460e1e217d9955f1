# SPDX-License-Identifier: MIT
"""`scons trace`: hands a trace to the Perfetto UI in the browser.

The UI fetches it itself, from the one local address its content security policy allows. The server
listens on this computer only, serves that one file once, and ends; or, if asked to, serves it and
the traces of the run's other machines to whoever follows the report's links until it is stopped.
Nothing is uploaded. Each request has a thread of its own: a client that dawdles keeps neither the
browser waiting nor the server beyond its time.
"""

from __future__ import annotations

import contextlib
import glob
import http.server
import os
import shutil
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
import webbrowser
from collections.abc import Callable
from typing import Any

from reports.trace_link import ADDRESS, PORT, UI, link

WAIT_SECONDS = 300.0
KEPT_SECONDS = 8 * 3600.0
CLIENT_SECONDS = 30.0  # a client that stops reading is given up
POLL_SECONDS = 0.2  # how soon the end of a request is noticed


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each request: they write `served`, the thread that serves reads it."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    files: dict[str, str]  # by the names that it answers to

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.served = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was cut off, is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def cut_off(self) -> None:
        """Ends what is still being asked or answered."""
        with self._lock:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS
    server: _Server

    def _wanted(self) -> str | None:
        """The file that is asked for; None if it is none of those served."""
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        return self.server.files.get(name)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", UI)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _answer(self, body: bool) -> None:
        path = self._wanted()
        if path is None:
            self._head(404, 0)
            return
        with open(path, "rb") as trace:
            self._head(200, os.fstat(trace.fileno()).st_size)
            if body:
                shutil.copyfileobj(trace, self.wfile)
                self.server.served.set()

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_OPTIONS(self) -> None:
        """Browsers ask first whether a public page may reach a private address."""
        self.send_response(204)
        self.send_header("Access-Control-Allow-Origin", UI)
        self.send_header("Access-Control-Allow-Methods", "GET")
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def files_of(path: str, others: bool) -> dict[str, str]:
    """What is served, by what it may be asked for as: the trace by its file's name and by
    RUN/MACHINE/NAME, as the report's links have it; with `others` those of the run's other machines
    too."""
    run, machine, name = (real := os.path.realpath(path)).split(os.sep)[-3:]
    files = {f"/{os.path.basename(path)}": path, f"/{run}/{machine}/{name}": path}
    if others:
        folder = os.path.dirname(os.path.dirname(real))
        for found in glob.glob(os.path.join(glob.escape(folder), "*", glob.escape(name))):
            beside = os.path.basename(os.path.dirname(found))
            # A link inside a run's folder may lead anywhere: what is served lies where it says.
            if os.path.realpath(found) == found:
                files.setdefault(f"/{run}/{beside}/{name}", found)
    return files


def serve(
    path: str,
    port: int = PORT,
    seconds: float = WAIT_SECONDS,
    listening: Callable[[int], None] = lambda port: None,
    keep: bool = False,
) -> bool:
    """Serves the file until it was fetched once, at most `seconds`; all the time if `keep`, and the
    run's other machines' too. False if nobody came.

    Raises OSError if the port is taken. `listening` is told the port when it is open."""
    server = _Server((ADDRESS, port))
    server.files = files_of(path, others=keep)
    deadline = time.monotonic() + seconds
    try:
        listening(server.server_address[1])
        while (keep or not server.served.is_set()) and (left := deadline - time.monotonic()) > 0:
            server.timeout = min(left, POLL_SECONDS)
            server.handle_request()
    finally:
        server.server_close()
        server.cut_off()
    return server.served.is_set()


def has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(
    path: str,
    port: int = PORT,
    seconds: float = WAIT_SECONDS,
    shown: tuple[int, int] | None = None,
    pinned: str = "",
    keep: bool = False,
) -> int:
    """Serves the trace, prints the link and opens it where there is a screen. `shown` and `pinned`
    as for the link."""
    seconds = KEPT_SECONDS if keep else seconds

    def announce(port: int) -> None:
        address = link(os.path.basename(path), port, shown, pinned)
        print(f"tickmark: {path}\n{address}", flush=True)
        if keep:
            print("tickmark: serves it, and what the report links to, until Ctrl-C", flush=True)
        else:
            print(f"tickmark: waits {seconds:.0f} s for a browser to fetch it", flush=True)
        if has_display():
            webbrowser.open(address)

    try:
        if serve(path, port, seconds, announce, keep) or keep:
            return 0
        print("tickmark: nobody fetched the trace")
    except OSError as error:
        print(f"tickmark: {ADDRESS}:{port}: {error.strerror}; the UI asks for this port only")
    except KeyboardInterrupt:
        return 0 if keep else 40
    return 40


if __name__ == "__main__":
    sys.exit(show(sys.argv[1]))
