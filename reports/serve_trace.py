# SPDX-License-Identifier: MIT
"""`scons trace`: hands a trace to the Perfetto UI in the browser.

The UI fetches it itself, from the one local address its content security policy allows. The server
listens on this computer only, serves that one file once, and ends; nothing is uploaded. Each
request has a thread of its own: a client that dawdles keeps neither the browser waiting nor the
server beyond its time.
"""

from __future__ import annotations

import contextlib
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

UI = "https://ui.perfetto.dev"
ADDRESS, PORT = "127.0.0.1", 9001
WAIT_SECONDS = 300.0
CLIENT_SECONDS = 30.0  # a client that stops reading is given up
POLL_SECONDS = 0.2  # how soon the end of a request is noticed


def link(port: int, name: str) -> str:
    url = f"http://{ADDRESS}:{port}/{urllib.parse.quote(name)}"
    return f"{UI}/#!/?url={url}&referrer=open_trace_in_ui"


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each request: they write `served`, the thread that serves reads it."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    path: str

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

    def _wanted(self) -> bool:
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        return name == "/" + os.path.basename(self.server.path)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", UI)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _answer(self, body: bool) -> None:
        if not self._wanted():
            self._head(404, 0)
            return
        with open(self.server.path, "rb") as trace:
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


def serve(
    path: str,
    port: int = PORT,
    seconds: float = WAIT_SECONDS,
    listening: Callable[[int], None] = lambda port: None,
) -> bool:
    """Serves the file until it was fetched once, at most `seconds`. False if nobody came.

    Raises OSError if the port is taken. `listening` is told the port when it is open."""
    server = _Server((ADDRESS, port))
    server.path = path
    deadline = time.monotonic() + seconds
    try:
        listening(server.server_address[1])
        while not server.served.is_set() and (left := deadline - time.monotonic()) > 0:
            server.timeout = min(left, POLL_SECONDS)
            server.handle_request()
    finally:
        server.server_close()
        server.cut_off()
    return server.served.is_set()


def has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(path: str, port: int = PORT, seconds: float = WAIT_SECONDS) -> int:
    """Serves the trace, prints the link and opens it where there is a screen."""

    def announce(port: int) -> None:
        address = link(port, os.path.basename(path))
        print(f"tickmark: {path}\n{address}", flush=True)
        print(f"tickmark: waits {seconds:.0f} s for a browser to fetch it", flush=True)
        if has_display():
            webbrowser.open(address)

    try:
        if serve(path, port, seconds, announce):
            return 0
        print("tickmark: nobody fetched the trace")
    except OSError as error:
        print(f"tickmark: {ADDRESS}:{port}: {error.strerror}; the UI asks for this port only")
    except KeyboardInterrupt:
        pass
    return 40


if __name__ == "__main__":
    sys.exit(show(sys.argv[1]))
