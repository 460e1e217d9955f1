# SPDX-License-Identifier: MIT
"""Results folders and copies of the tree, one for each test."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from system_run import Bench, copy_tree  # noqa: E402


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "results")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    """Runs of machines of qemu as `scons bench` has them, every row and a trace: each is made once
    for all tests, when the first one asks for it."""

    @functools.cache
    def run(machine: str) -> Bench:
        bench = Bench(tmp_path_factory.mktemp(machine) / "results")
        bench.run(machine)
        return bench

    def complete(machine: str) -> Bench:
        bench = run(machine)
        assert bench.done is not None and bench.done.returncode == 0, bench.output
        return bench

    return complete


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the working tree without what was built or measured."""
    return copy_tree(tmp_path / "clone")
