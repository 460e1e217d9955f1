# SPDX-License-Identifier: MIT
"""Files that nobody may write, for root too: what lets root past their modes is given up for a
while."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

VERSION_3 = 0x20080522  # linux/capability.h
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def modes_count() -> Iterator[None]:
    """In this thread and what it starts without an exec, modes of files hold for root as well."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(VERSION_3, 0), (_Sets * 2)()

    def ask(call: str) -> None:
        if getattr(libc, call)(ctypes.byref(header), sets) != 0:
            raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")

    ask("capget")
    before = sets[0].effective
    sets[0].effective = before & ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    ask("capset")
    try:
        yield
    finally:
        sets[0].effective = before
        ask("capset")
