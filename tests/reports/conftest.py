# SPDX-License-Identifier: MIT
"""The root of the repository on the path, and a store to fill."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from build import Store  # noqa: E402


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store under tmp_path/results."""
    return Store(tmp_path / "results")
