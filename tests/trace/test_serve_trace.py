# SPDX-License-Identifier: MIT
"""Serving a trace the way the Perfetto UI fetches it."""

from __future__ import annotations

import http.client
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from reports import serve_trace
from reports.trace_link import served_name

NAME = "trace.perfetto-trace"
CONTENT = bytes(range(256)) * 4096


class Served:
    def __init__(self, path: Path, seconds: float, keep: bool = False) -> None:
        self.result: bool | None = None
        ports: queue.Queue[int] = queue.Queue()

        def run() -> None:
            self.result = serve_trace.serve(str(path), 0, seconds, ports.put, keep)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        self.port = ports.get(timeout=30)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def ended(self) -> bool | None:
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()
        return self.result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(CONTENT)
    return tmp_path / NAME


@pytest.fixture
def served(path: Path) -> Iterator[Served]:
    server = Served(path, 60)
    yield server
    if server.thread.is_alive():
        urllib.request.urlopen(server.url(NAME)).read()
    server.ended()


def get(url: str) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"Origin": "https://ui.perfetto.dev"})
    return urllib.request.urlopen(request, timeout=30)  # type: ignore[no-any-return]


def test_one_fetch_gets_the_file_with_the_headers_the_ui_needs(served: Served) -> None:
    with get(served.url(NAME)) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.perfetto.dev"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.read() == CONTENT
    assert served.ended() is True
    with pytest.raises(urllib.error.URLError):
        get(served.url(NAME))


def test_other_requests_are_answered_and_do_not_end_it(served: Served) -> None:
    for other in ("", "favicon.ico", "../etc/passwd", NAME + "x"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(served.url(other))
    for method, status in (("HEAD", 200), ("OPTIONS", 204)):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.request(method, "/" + NAME, headers={"Origin": "https://ui.perfetto.dev"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.perfetto.dev"
        connection.close()
    assert served.thread.is_alive()
    assert get(served.url(NAME)).read() == CONTENT
    assert served.ended() is True


def test_it_listens_on_this_computer_only(served: Served) -> None:
    assert serve_trace.ADDRESS == "127.0.0.1" and serve_trace.PORT == 9001


def test_links_to_every_machine_of_a_run_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the report asks for, of a machine of the run that is served, and of nothing else."""
    run = tmp_path / "runs" / "r[1]"
    for machine in ("host-native", "qemu-exact", "qemu-smp"):
        (run / machine).mkdir(parents=True)
        (run / machine / NAME).write_bytes(machine.encode())
    (run / NAME).symlink_to(Path("host-native") / NAME)
    (run / "astray").mkdir()
    (run / "astray" / NAME).symlink_to("/etc/passwd")
    (tmp_path / "runs" / "r2" / "qemu-exact").mkdir(parents=True)
    (tmp_path / "runs" / "r2" / "qemu-exact" / NAME).write_bytes(b"another run's")
    files = serve_trace.files_of(str(run / NAME), others=True)
    for machine in ("host-native", "qemu-exact", "qemu-smp"):
        asked = f"/{served_name('r[1]', machine, NAME)}"
        assert Path(files.pop(asked)).read_bytes() == machine.encode()
    assert set(files) == {f"/{NAME}"}
    assert len(serve_trace.files_of(str(run / NAME), others=False)) == 2

    clock = [0.0]
    monkeypatch.setattr(serve_trace, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    served = Served(run / NAME, 1, keep=True)
    for machine in ("qemu-smp", "qemu-exact", "host-native"):
        url = served.url(served_name(quote("r[1]"), machine, NAME))
        assert get(url).read() == machine.encode()
    for other in ("r2/qemu-exact", "r%5B1%5D/astray", "r%5B1%5D/qemu-smp/../../r2/qemu-exact"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(served.url(f"{other}/{NAME}"))
    clock[0] = 2.0
    assert served.ended() is True


def test_it_ends_when_nobody_comes(path: Path) -> None:
    assert Served(path, 0.3).ended() is False


class Dripping:
    """A client that sends a byte of a request that never ends, again and again."""

    def __init__(self, port: int, every: float) -> None:
        self.line = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.line.sendall(b"GET /" + NAME.encode() + b" HTTP/1.1\r\nX-Slow: ")
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._drip, args=(every,))
        self.thread.start()

    def _drip(self, every: float) -> None:
        try:
            while not self.stop.wait(every):
                self.line.sendall(b"x")
        except OSError:
            pass

    def is_cut_off(self) -> bool:
        self.line.settimeout(10)
        try:
            return self.line.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def end(self) -> None:
        self.stop.set()
        self.thread.join()
        self.line.close()


def test_a_client_that_drips_does_not_keep_it_open(path: Path) -> None:
    seconds, start = 2, time.monotonic()
    served = Served(path, seconds)
    dripping = Dripping(served.port, 1)
    served.thread.join(timeout=seconds + 20)
    took, in_time = time.monotonic() - start, not served.thread.is_alive()
    try:
        assert dripping.is_cut_off()
    finally:
        dripping.end()
        served.thread.join(timeout=60)
    assert in_time and served.result is False
    assert took < seconds + 20


def test_a_client_that_drips_keeps_no_browser_waiting(path: Path) -> None:
    served = Served(path, 20)
    dripping = Dripping(served.port, 1)
    try:
        assert get(served.url(NAME)).read() == CONTENT
        assert served.ended() is True
    finally:
        dripping.end()


def test_a_taken_port_is_said(
    path: Path, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve_trace.show(str(path), served.port, 1) == 40
    assert f"127.0.0.1:{served.port}" in capsys.readouterr().out


def test_the_link_is_the_one_the_ui_takes() -> None:
    assert serve_trace.link(NAME, 9001) == (
        "https://ui.perfetto.dev/#!/?url=http://127.0.0.1:9001/trace.perfetto-trace"
        "&referrer=open_trace_in_ui"
    )
