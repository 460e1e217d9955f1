# SPDX-License-Identifier: MIT
"""The recorder under test, with fake targets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
import wire_encoder as wire  # noqa: E402
from recorder_run import BUILD_ID, SESSION, Recorder  # noqa: E402


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


@pytest.fixture
def target() -> wire.Target:
    return wire.Target(BUILD_ID, session=SESSION)
