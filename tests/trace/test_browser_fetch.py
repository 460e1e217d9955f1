# SPDX-License-Identifier: MIT
"""A browser fetches a trace as the Perfetto UI does: from another origin, with its own rules.

The UI itself is on the network. In its place a page is served as https://ui.perfetto.dev, by a
server of this test with a certificate of its own; only the name is mapped, so to the browser it is
that origin. What it does not show: newer browsers ask a person whether a page from the network may
reach this computer, and this page is from this computer.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
import chromium  # noqa: E402

from reports import serve_trace  # noqa: E402


def missing() -> str:
    if chromium.missing():
        return chromium.missing()
    return "" if shutil.which("openssl") else "openssl is not installed"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

NAME = "trace.perfetto-trace"
CONTENT = (ROOT / "tests/trace/golden/two_cpus.perfetto-trace").read_bytes() * 200
UI = "ui.perfetto.dev"
STRANGER = "stranger.test"

# What the UI does with the address in its link, and what it would keep.
FETCH = """
(async () => {
  try {
    const answer = await fetch(%s);
    const bytes = await answer.arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const hex = [...digest].map((b) => b.toString(16).padStart(2, '0')).join('');
    return {origin: location.origin, status: answer.status, size: bytes.byteLength, hex};
  } catch (error) {
    return {origin: location.origin, error: String(error)};
  }
})()
"""


class _Page(http.server.BaseHTTPRequestHandler):
    # The UI's policy lets it connect to this one address on the computer.
    POLICY = "default-src 'self'; connect-src 'self' http://127.0.0.1:%d"
    policy = ""

    def do_GET(self) -> None:
        body = b"<!DOCTYPE html><title>stand-in</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem"
    names = f"subjectAltName=DNS:{UI},DNS:{STRANGER}"
    command = [*words.split(), "-subj", f"/CN={UI}", "-addext", names]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def origin(certificate: Path) -> Iterator[int]:
    """The port that answers for the UI, and for a stranger."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(timeout=60)
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, origin: int) -> Iterator[chromium.Chromium]:
    profile = tmp_path_factory.mktemp("chromium") / "profile"
    names = ",".join(f"MAP {name}:443 127.0.0.1:{origin}" for name in (UI, STRANGER))
    switches = [f"--host-resolver-rules={names}", "--ignore-certificate-errors"]
    with chromium.Chromium(profile, *switches) as started:
        yield started


class Serving:
    """`scons trace` without its browser."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.result: bool | None = None
        ports: queue.Queue[int] = queue.Queue()

        def run() -> None:
            self.result = serve_trace.serve(str(path), 0, seconds, ports.put)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        self.port = ports.get(timeout=30)

    def ended(self) -> bool | None:
        self.thread.join(timeout=90)
        assert not self.thread.is_alive()
        return self.result


def fetched(browser: chromium.Chromium, host: str, url: str) -> dict[str, Any]:
    """What a page of that host gets when it fetches the address."""
    page = browser.page()
    page.go(f"https://{host}/")
    return dict(page.value(FETCH % json.dumps(url)))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(CONTENT)
    return tmp_path / NAME


def address(link: str, port: int) -> str:
    """The trace's address out of the link that a person opens."""
    url = link.partition("url=")[2].partition("&")[0]
    assert url == f"http://127.0.0.1:{port}/{NAME}"
    return url


def test_a_page_of_the_uis_origin_gets_the_whole_trace(
    browser: chromium.Chromium, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(trace, 60)
    monkeypatch.setattr(_Page, "policy", _Page.POLICY % serving.port)
    link = serve_trace.link(NAME, serving.port)
    assert link.startswith(f"https://{UI}/")
    got = fetched(browser, UI, address(link, serving.port))
    assert got == {
        "origin": f"https://{UI}",
        "status": 200,
        "size": len(CONTENT),
        "hex": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert serving.ended() is True


def test_a_page_of_another_origin_gets_nothing(browser: chromium.Chromium, trace: Path) -> None:
    serving = Serving(trace, 20)
    got = fetched(browser, STRANGER, f"http://127.0.0.1:{serving.port}/{NAME}")
    assert got["origin"] == f"https://{STRANGER}" and "Failed to fetch" in got["error"]
    serving.ended()


def test_the_uis_policy_lets_it_reach_one_port_only(
    browser: chromium.Chromium, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(trace, 2)
    monkeypatch.setattr(_Page, "policy", _Page.POLICY % serve_trace.PORT)
    got = fetched(browser, UI, f"http://127.0.0.1:{serving.port}/{NAME}")
    assert "error" in got, "which is why the port of `scons trace` is 9001 and no other"
    assert serving.ended() is False


def port_is_free() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((serve_trace.ADDRESS, serve_trace.PORT))
        except OSError:
            return False
    return True


def test_the_command_serves_on_the_port_that_the_ui_may_reach(
    browser: chromium.Chromium, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not port_is_free():
        pytest.skip(f"somebody uses port {serve_trace.PORT} of this computer")
    monkeypatch.setattr(_Page, "policy", _Page.POLICY % serve_trace.PORT)
    words = [sys.executable, "-m", "reports.serve_trace", str(trace)]
    hidden = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with subprocess.Popen(words, cwd=ROOT, env=hidden, stdout=subprocess.PIPE, text=True) as shown:
        try:
            assert shown.stdout is not None
            assert shown.stdout.readline() == f"tickmark: {trace}\n"
            url = address(shown.stdout.readline(), serve_trace.PORT)
            got = fetched(browser, UI, url)
            assert (got["size"], got["hex"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
            assert shown.wait(timeout=60) == 0
        finally:
            shown.kill()
