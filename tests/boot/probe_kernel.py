# SPDX-License-Identifier: MIT
"""The kernel that these tests boot: it runs tests/boot/probe.c and its deeds in place of
benchmarks."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def kernel() -> Path:
    path = os.environ.get("TICKMARK_PROBE")
    assert path, "TICKMARK_PROBE must be the path of the kernel with tests/boot/probe.c"
    return Path(path)
