# SPDX-License-Identifier: MIT
"""`scons bench` says with its status that a target did not start or did not end well."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from system_run import ROOT, scons

sys.path.insert(0, str(ROOT / "site_scons"))
import options as option_words  # noqa: E402
import run as commands  # noqa: E402

QEMU = "qemu-system-x86_64"


def put_first(folder: Path) -> str:
    """The search path with `folder` in front: all other programs stay where they are."""
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def broken(folder: Path, script: str | None) -> None:
    """A QEMU that cannot be started, or one that runs a script."""
    program = folder / QEMU
    if script is None:
        program.symlink_to(QEMU)  # to itself: found, and cannot be opened
    else:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


# 33 is what QEMU ends with when the kernel says that all is well.
@pytest.mark.parametrize("script", [None, "exit 0", "exit 33"])
def test_a_target_that_says_nothing_is_a_bench_that_ends_with_30(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, script)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", put_first(tmp_path))
    monkeypatch.setattr(commands, "RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(commands, "_status", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # its lock is this test's own
    # The reports of an incomplete run fail too; the recorder's status must be enough.
    monkeypatch.setattr(commands, "reports", lambda *words, **how: 0)
    words = option_words.read({"target": "qemu", "suites": "ipc"}, ["bench"])
    assert commands.bench(words) == 30
    assert commands._status == 30  # what the exit hook passes on


def test_a_failed_command_s_own_status_leaves_scons(tmp_path: Path) -> None:
    broken(tmp_path, "exit 1")
    done = scons("-Q", "target=qemu", "bench", "output=text", PATH=put_first(tmp_path))
    assert done.returncode == 40, done.stdout + done.stderr


def test_a_second_bench_names_who_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # not the lock of real benches
    monkeypatch.setattr(commands, "_status", 0)
    monkeypatch.setattr(commands, "_lock", None)
    Path(commands.lock_path()).write_text("pid 1 in /a/folder/that/was/longer" * 9)
    held = commands.alone()
    assert held is not None and commands.alone() is None
    words = option_words.read({"target": "qemu", "suites": "ipc"}, ["bench"])
    assert commands.bench(words) == 40
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"tickmark: another bench is measuring on this machine"
        rf" \(pid {os.getpid()} in {re.escape(os.getcwd())}, since \d\d:\d\d:\d\d\):"
        r" wait until it ends\n",
        said,
    )
    held.close()
    again = commands.alone()
    assert again is not None
    again.close()


def test_a_second_bench_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first one measures must stay as it is, and its CPU be its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = commands.alone()
    done = scons("-Q", "target=host", "bench", "suites=heap", TMPDIR=str(tmp_path))
    held.close()
    assert done.returncode == 40, done.stdout + done.stderr
    assert done.stdout.startswith("tickmark: another bench is measuring")
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_a_lock_that_names_nobody_is_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert commands.who_measures() == ""
    Path(commands.lock_path()).write_bytes(b"\x1b[2J\xff")
    assert commands.who_measures() == " ([2J\ufffd)"
