# SPDX-License-Identifier: MIT
"""The host's disk where the system refuses io_uring: rows of a disk are left out, and it is said
why; all others are measured."""

from __future__ import annotations

import ctypes
import errno
import struct
import subprocess

import pytest

from system_run import ROOT

IO_URING_SETUP = 425  # x86-64
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2  # prctl
LOAD_NUMBER, EQUAL, RETURN, REFUSE, ALLOW = 0x20, 0x15, 0x06, 0x00050000, 0x7FFF0000  # BPF


def refuse(error: int) -> None:
    """From here on io_uring_setup fails with `error` in this process and those it becomes."""
    code = b"".join(
        struct.pack("<HBBI", *instruction)
        for instruction in (
            (LOAD_NUMBER, 0, 0, 0),
            (EQUAL, 0, 1, IO_URING_SETUP),
            (RETURN, 0, 0, REFUSE | error),
            (RETURN, 0, 0, ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 4, ctypes.addressof(buffer)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(SECCOMP, FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.parametrize(
    "error, words", [(errno.EPERM, "io_uring is forbidden here"), (errno.ENOSYS, "no io_uring")]
)
def test_where_io_uring_is_refused_the_rest_is_measured(error: int, words: str) -> None:
    done = subprocess.run(
        [ROOT / "build/host/tickmark", "output=text", "suites=driver", "filter=driver/*e*de*"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: refuse(error),
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "# block.io_uring: absent" in lines
    [problem] = [line for line in lines if line.startswith("# block.io_uring.problem: ")]
    assert words in problem
    measured = [line.split()[-1] for line in lines if line.startswith("ok ")]
    assert "driver/decide/adaptive" in measured
    assert not [row for row in measured if row.endswith(("/mode_switch/adaptive", "/io_uring"))]
