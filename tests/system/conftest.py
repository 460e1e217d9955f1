# SPDX-License-Identifier: MIT
"""Results folders and copies of the tree, one for each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from system_run import Bench, copy_tree  # noqa: E402


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "results")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the working tree without what was built or measured."""
    return copy_tree(tmp_path / "clone")
