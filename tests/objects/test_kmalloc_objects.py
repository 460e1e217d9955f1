# SPDX-License-Identifier: MIT
"""kmalloc's hits execute no locked instruction: looked for in the code that is measured."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[2] / "build"
LOCKED = re.compile(r"\block\b|\bxchg\b.*\(|\bmfence\b")


def code_of(name: str) -> list[str]:
    """The instructions of a function of the plain object."""
    words = ["objdump", "-d", "--no-show-raw-insn", str(BUILD / "portable_plain.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(rf"^[0-9a-f]+ <{name}>:\n(.*?)(?:\n\n|\Z)", listing, re.M | re.S)
    assert found is not None, f"no function {name}"
    return found[1].splitlines()


@pytest.mark.parametrize(
    "name",
    [
        *(f"kmalloc_pair_{size}__kmalloc" for size in (16, 32, 64, 128, 256)),
        "heap_pair_64__kmalloc",
        "heap_lifo_64__kmalloc",
        "heap_kmalloc_allocate_other",
        "heap_kmalloc_release_other",
    ],
)
def test_no_hit_is_locked(name: str) -> None:
    assert [line for line in code_of(name) if LOCKED.search(line)] == []


def test_the_lock_would_be_seen() -> None:
    """The page level has one."""
    assert [line for line in code_of("heap_kmalloc_block_allocate") if LOCKED.search(line)] != []
