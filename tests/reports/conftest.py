# SPDX-License-Identifier: MIT
"""The root of the repository on the path, and a store to fill."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from build import Store, whole_run  # noqa: E402


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store under tmp_path/results."""
    return Store(tmp_path / "results")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A whole run on two machines, made once. Read it, do not change it."""
    made = Store(tmp_path_factory.mktemp("whole") / "results")
    whole_run(made)
    return made
