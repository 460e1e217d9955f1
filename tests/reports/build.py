# SPDX-License-Identifier: MIT
"""Synthetic stores: the real schema and the real digest, with measurements made up to order."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy

RECORDER = Path(__file__).resolve().parents[2] / "bench" / "recorder"

UNITS = {
    "insn": "instructions",
    "tsc": "ticks",
    "core": "core cycles",
    "emulated": "emulated ticks",
    "unknown": "ticks",
}

# One round: boot and round in, samples out.
Samples = Callable[[int, int], Sequence[int]]


class Store:
    """A store under construction. Call `seal` once for each machine when all of it is in."""

    def __init__(self, results: Path) -> None:
        results.mkdir(parents=True, exist_ok=True)
        self.results = results
        self.path = results / "history.db"
        self.connection = sqlite3.connect(self.path)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.connection.executescript((RECORDER / "schema.sql").read_text(encoding="utf-8"))

    def machine(self, name: str = "host-native", run: str = "r1", **given: object) -> MachineMaker:
        """A machine of a run; `given` replaces columns of table run."""
        columns: dict[str, object] = {
            "run": run,
            "machine": name,
            "target": name.partition("-")[0],
            "clock": "insn" if name == "qemu-exact" else "tsc",
            "hz": 0 if name == "qemu-exact" else 2_500_000_000,
            "utc": f"2026-11-21T10:15:{len(run):02d}Z",
            "commit_id": "1a2b3c4d5e6f",
            "dirty": 0,
            "size": "quick",
            "outcome": "complete",
            "detail": "",
            "boots": 1,
            "digest": "",
        }
        columns.update(given)
        self.insert("run", columns)
        return MachineMaker(self, run, name, str(columns["clock"]))

    def insert(self, table: str, columns: dict[str, object]) -> None:
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        self.connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", list(columns.values())
        )

    def digest(self, run: str, machine: str) -> str:
        query = (RECORDER / "digest.sql").read_text(encoding="utf-8")
        lines = [line for (line,) in self.connection.execute(query, (run, machine))]
        return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()


class MachineMaker:
    """Fills one machine of one run."""

    def __init__(self, store: Store, run: str, name: str, clock: str) -> None:
        self.store, self.run, self.name, self.clock = store, run, name, clock

    @property
    def key(self) -> dict[str, object]:
        return {"run": self.run, "machine": self.name}

    def fact(self, key: str, value: str) -> None:
        self.store.insert("fact", {**self.key, "key": key, "value": value})

    def row(
        self,
        row: str,
        samples: Samples | Sequence[int] = (),
        aa: int = 0,
        boots: int = 1,
        rounds: int = 20,
        tags: Callable[[int, int], Sequence[int]] = lambda boot, round_: (),
        **given: object,
    ) -> None:
        """A row with its rounds. `samples` makes each round, or is every round."""
        variant = row.rpartition("/")[2]
        roles = {"linked_list": "baseline", "locked_queue": "baseline", "floor": "floor"}
        columns: dict[str, object] = {
            **self.key,
            "id": row,
            "aa": aa,
            "role": roles.get(variant, "product"),
            "what": "a made-up case",
            "unit": UNITS.get(self.clock, "ticks"),
            "definition": "00112233445566aa",
            "operations": 1,
            "status": "ok",
        }
        columns.update(given)
        self.store.insert("bench_row", columns)
        for boot in range(boots):
            for number in range(rounds):
                made = samples(boot, number) if callable(samples) else samples
                if not len(made):
                    continue
                values = numpy.asarray(made, dtype="<i8")
                self.store.insert(
                    "round",
                    {
                        **self.key,
                        "id": row,
                        "aa": aa,
                        "boot": boot,
                        "round": number,
                        "operations": columns["operations"],
                        "overhead": 40,
                        "cold": int(values[0]) * 9,
                        "samples": values.tobytes(),
                        "tags": bytes(tags(boot, number)) or bytes(len(values)),
                    },
                )

    def counter(
        self, row: str, name: str, numerator: int, denominator: int = 1, unit: str = "count"
    ) -> None:
        self.store.insert(
            "counter",
            {
                **self.key,
                "id": row,
                "name": name,
                "numerator": numerator,
                "denominator": denominator,
                "unit": unit,
            },
        )

    def seal(self) -> None:
        """Writes the digest, as the recorder does last."""
        self.store.connection.execute(
            "UPDATE run SET digest = ? WHERE run = ? AND machine = ?",
            (self.store.digest(self.run, self.name), self.run, self.name),
        )
        self.store.connection.commit()


def noisy(
    middle: float, seed: int, count: int = 100, spread: float = 0.01, drift: float = 0.0
) -> Samples:
    """Samples about a middle, reproducible. The drift of a round hits every row of it alike."""

    def make(boot: int, number: int) -> Sequence[int]:
        own = numpy.random.default_rng([seed, boot, number])
        shared = numpy.random.default_rng([boot, number])
        level = middle * (1 + drift * shared.standard_normal())
        values = level * (1 + spread * own.standard_normal(count)) + own.exponential(
            spread * middle, count
        )
        return numpy.round(values).astype(int).tolist()

    return make


HEAP_CASES = {
    "pair_64": (5000, 56, 8.4, 5.9),
    "lifo_64": (64, 60, 12.0, 7.9),
    "random_1000": (1000, 900, 25.0, 10.0),
    "mixed_100k": (1000, 2100, 27.0, 11.0),
    "mixed_large": (1000, 8000, 33.0, 28.0),
    "pollution": (1000, 410, 9.0, 6.1),
    "alloc_64": (64, 61, 6.2, 3.1),
}


def whole_run(store: Store, run: str = "20261121T101500Z-1a2b3c4", boots: int = 1) -> None:
    """A run as this project makes it: two machines, all rows that exist, counters, facts."""
    exact = store.machine("qemu-exact", run, boots=2, utc="2026-11-21T10:15:00Z")
    host = store.machine("host-native", run, boots=boots, utc="2026-11-21T10:15:40Z")
    for made, clock_scale, on_boots, rounds in ((exact, 2.6, 2, 2), (host, 1.0, boots, 20)):
        seed = 0

        def samples(ticks: float, operations: int) -> Samples | Sequence[int]:
            nonlocal seed
            seed += 1
            middle = ticks * operations * clock_scale
            if made is exact:
                return [round(middle)] * 20
            return noisy(middle, seed, 60, 0.02, 0.03)

        def case(name: str, operations: int, costs: dict[str, float], baseline: str) -> None:
            for variant, ticks in costs.items():
                made.row(
                    f"{name}/{variant}",
                    samples(ticks, operations),
                    operations=operations,
                    boots=on_boots,
                    rounds=rounds,
                )
            made.row(
                f"{name}/{baseline}",
                samples(costs[baseline], operations),
                aa=1,
                operations=operations,
                boots=on_boots,
                rounds=rounds,
            )

        for name, (operations, linked_list, hybrid, floor) in HEAP_CASES.items():
            costs = {"linked_list": float(linked_list), "hybrid": hybrid, "floor": floor}
            case(f"heap/{name}", operations, costs, "linked_list")
            row = f"heap/{name}/hybrid"
            made.counter(row, "hit_rate", 9 * operations + 7, 10 * operations, "percent")
            made.counter(row, "served", operations, operations, "percent")
            made.counter(row, "header_bytes", 0, 1, "bytes")
        for variant, share in (("hybrid", 7), ("linked_list", 3), ("floor", 1)):
            for x in range(3125, 100001, 3125):
                row = f"heap/pollution/{variant}"
                made.counter(row, f"external_by_operations@{x}", share * x, 10**6, "percent")
            for x in (8, 64, 512, 4096):
                made.counter(row, f"pages_by_size@{x}", 5000 * share * x, 1, "bytes")
        made.row("heap/refill/hybrid", samples(330, 1), boots=on_boots, rounds=rounds)
        for name, operations, locked, fusion, floor in (
            ("pair_56", 1000, 95, 11.9, 11.1),
            ("pair_0", 1000, 88, 6.4, 5.0),
            ("batch_16", 16, 90, 8.4, 8.2),
        ):
            costs = {"locked_queue": float(locked), "fusion_spsc": fusion, "floor": floor}
            case(f"ipc/{name}", operations, costs, "locked_queue")
        made.counter("ipc/batch_16/fusion_spsc", "fences", 1)
        for key, value in (
            ("cpu.model", "unknown"),
            ("build.flags", "-std=gnu11 -O2 -ffreestanding -mgeneral-regs-only"),
            ("seed", "1"),
        ):
            made.fact(key, value)
        made.seal()
