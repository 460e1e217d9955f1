# SPDX-License-Identifier: MIT
"""Nights of a made-up store: each is a run that goes through the stages as `scons nightly` does."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy
from build import Store, noisy

from reports.cli import main

EXACT, HOST = "qemu-exact", "host-native"
ROW = "heap/pair_64/hybrid"
ROWS = (ROW, "heap/pair_64/linked_list", "ipc/pair_56/fusion_spsc", "ipc/pair_56/locked_queue")


class Campaign:
    """Nights one after another, claims left out unless a file is given."""

    def __init__(self, store: Store, claims: Path, spread: float = 0.003) -> None:
        self.store, self.claims, self.spread = store, claims, spread
        self.number = 0
        self.random = numpy.random.default_rng(7)

    def words(self, stage: str, run: str, *more: str) -> list[str]:
        return ["night", f"results={self.store.results}", f"stage={stage}", f"run={run}", *more]

    def stage(self, stage: str, run: str, *more: str) -> int:
        return main(self.words(stage, run, *more), self.claims)

    def name(self, number: int) -> str:
        return f"n{number:03d}"

    def record(
        self,
        run: str = "",
        exact: int = 5000,
        host: float = 1.0,
        utc: str = "",
        facts: dict[str, str] | None = None,
        machines: tuple[str, ...] = (EXACT, HOST),
        **given: object,
    ) -> str:
        """A run in the store: the row on `exact` costs that much, the one on the host so much of
        the usual; all other rows are as ever, but for noise."""
        if not run:
            self.number += 1
            run = self.name(self.number)
        day = datetime.date(2026, 1, 1) + datetime.timedelta(days=self.number)
        for name in machines:
            made = self.store.machine(name, run, utc=utc or f"{day}T02:00:00Z", **given)
            for place, row in enumerate(ROWS):
                if name == EXACT:
                    count = exact if row == ROW else 7000 + place
                    made.row(row, [count] * 4, rounds=2, operations=100)
                    continue
                level = (
                    60_000
                    * (1 + place)
                    * float(numpy.exp(self.spread * self.random.standard_normal()))
                )
                level *= host if row == ROW else 1.0
                made.row(row, noisy(level, place, 9), rounds=7, operations=1000)
            for key, value in {"host.kernel": "Linux 6", **(facts or {})}.items():
                made.fact(key, value)
            made.seal()
        return run

    def night(self, planned: str = f"{EXACT},{HOST}", **given: object) -> int:
        """All stages of one night but the page; the status of the judgement."""
        run = self.record(**given)  # type: ignore[arg-type]
        self.stage("import", run)
        return self.stage("judge", run, f"planned={planned}")

    def quiet(self, nights: int) -> None:
        for _ in range(nights):
            assert self.night() == 0
