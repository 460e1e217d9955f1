# SPDX-License-Identifier: MIT
"""Makes a disk that `machine=smp` shows where no other was given: its first MiB have the pattern
of kernel/drivers/block_pattern.h, of a generation of its own, what is behind them is a hole.

    pattern_disk.py FILE NUMBER
"""

from __future__ import annotations

import sys

import machines
import numpy as np

PATTERN_BYTES = 16 << 20  # more than benchmarks read


def words(generation: int, count: int) -> np.ndarray:
    """block_pattern_word of 0 .. count - 1."""
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15) + np.uint64(generation)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def main(path: str, number: int) -> None:
    with open(path, "wb") as disk:
        disk.write(words(machines.GENERATIONS[number], PATTERN_BYTES // 8).tobytes())
        disk.truncate(machines.SCRATCH_BYTES)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
