# SPDX-License-Identifier: MIT
"""The committed instruction counts of the floors, held against the machine that counts them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from system_run import ROOT, Bench

sys.path.insert(0, str(ROOT))
from reports import claims, measure, store  # noqa: E402

MOST_ABOVE = 1.001


def test_every_committed_count_of_a_floor_is_what_it_takes_rounded_up(
    whole: Callable[[str], Bench],
) -> None:
    committed = {
        floor.row: floor.instructions_most
        for floor in claims.load_claims().floors.values()
        if floor.instructions_most is not None
    }
    assert len(committed) >= 4
    with store.open_store(whole("qemu").results / "history.db") as connection:
        (machine,) = store.load_run(connection, "test").machines
    for row, most in committed.items():
        found = measure.usable(machine.rows.get((row, 0)), row)
        (rounds,) = measure.series((measure.undisturbed(found),), "median")
        (count,) = set(rounds.values())
        assert count <= most <= MOST_ABOVE * count, f"{row} takes {count}, {most} are committed"
