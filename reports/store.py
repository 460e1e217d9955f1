# SPDX-License-Identifier: MIT
"""The store, read only: one run with its machines, each held against its digest first.

Every string that leaves this module is one clean line; nothing from the store is trusted further.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy

from reports.text import clean

RECORDER = Path(__file__).parent.parent / "bench" / "recorder"
DIGEST_SQL = RECORDER / "digest.sql"
SCHEMA_SQL = RECORDER / "schema.sql"
APPLICATION = 0x5449434B
VERSION = 2  # also read: 1, which may lack what came later
LATER = ("outlier",)  # tables that a store of version 1 may not have
# What makes a store of this version from what the runs left behind.
AGAIN = "move it away, then `build/recorder rebuild results=DIR` makes it again from the captures"

CLOCK_OF_UNIT = {
    "instructions": "insn",
    "ticks": "tsc",
    "core cycles": "core",
    "emulated ticks": "emulated",
    "nanoseconds": "foreign",
}


FOREIGN = "foreign"  # the target, and the clock, of what another harness measured

# What may overlap a sample, by the bit of its tag.
TAGS = {
    1: "interrupt",
    2: "page fault",
    4: "migration",
    8: "preemption",
    16: "NMI",
    32: "SMI",
    64: "steal",
}
# Counters in these units are the processor's own, or shares that are not the same each time:
# measured, the sums over all boots. All others are exact.
MEASURED_UNITS = ("cycles", "instructions", "observed")


class StoreError(Exception):
    """The store cannot be read, or holds no such run; the message is one line."""


class NoSuchRun(StoreError):
    """A run was asked for by an id that the store does not hold."""


@dataclass(frozen=True)
class Round:
    """One round of one boot. Samples are windows of so many operations, the overhead of a window
    already taken off; a tag says what overlapped its sample, 0 nothing."""

    boot: int
    round: int
    operations: int
    overhead: int
    cold: int
    samples: numpy.ndarray
    tags: numpy.ndarray

    @property
    def costs(self) -> numpy.ndarray:
        """The samples for one operation."""
        return self.samples / self.operations


@dataclass(frozen=True, eq=False)
class Row:
    """A variant of a case; `aa` 1 is the baseline's identical twin. Equal only to itself, so that
    what is computed of it can be remembered."""

    id: str
    aa: int
    role: str
    what: str
    unit: str
    definition: str
    status: str
    rounds: tuple[Round, ...]

    @property
    def clock(self) -> str:
        """The clock class that the row's unit belongs to."""
        return CLOCK_OF_UNIT.get(self.unit, "unknown")

    @property
    def operations(self) -> int:
        """Of a window; 0 if there is no round, the most used if rounds differ."""
        return max((r.operations for r in self.rounds), default=0)


@dataclass(frozen=True)
class Counter:
    id: str
    name: str
    numerator: int
    denominator: int
    unit: str

    @property
    def value(self) -> float:
        scale = 100 if self.unit == "percent" else 1
        return scale * self.numerator / self.denominator

    @property
    def measured(self) -> bool:
        return self.unit in MEASURED_UNITS


@dataclass(frozen=True)
class Outlier:
    """A sample of the round of a row that was traced: "max" or "p99.9", which window of how many,
    what the least one took, and from when to when, in nanoseconds of the trace. A sample is of
    traced code."""

    id: str
    name: str
    window: int
    windows: int
    operations: int
    sample: int
    least: int
    tags: int
    begin: int
    end: int


# Everything came, and some rows are not usable: what their statuses say, and nothing else.
REJECTED = "rows rejected"


@dataclass(frozen=True)
class Machine:
    """One machine of one run. If it is not `intact`, nothing of it but its name may be used."""

    run: str
    name: str
    target: str
    clock: str
    hz: int
    utc: str
    commit: str
    dirty: bool
    size: str
    outcome: str
    detail: str
    boots: int
    digest: str
    intact: bool
    facts: tuple[tuple[str, str], ...]
    rows: dict[tuple[str, int], Row]
    counters: dict[str, dict[str, Counter]]
    outliers: dict[str, tuple[Outlier, ...]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.outcome == "complete"

    def rejection(self, row: str, aa: int = 0) -> str:
        """Why the recorder rejected a row, as far as it says."""
        return dict(self.facts).get(f"rejected.{row}{'#aa' if aa else ''}", "")

    @property
    def foreign(self) -> bool:
        """Measured by another harness and brought in: shown, never judged."""
        return self.target == FOREIGN

    @property
    def title(self) -> str:
        """The name in headings, which say where times are shown only."""
        shown_only = {"emulated": "emulated, not judged", "foreign": "foreign, not judged"}
        return f"{self.name} ({shown_only[self.clock]})" if self.clock in shown_only else self.name


@dataclass(frozen=True)
class Run:
    id: str
    utc: str
    machines: tuple[Machine, ...]


@contextmanager
def open_store(path: Path) -> Iterator[sqlite3.Connection]:
    """The store, opened read only. Raises StoreError, also for damage met while it is open."""
    if not path.is_file():
        raise StoreError(f"no run yet: {clean(str(path))} does not exist; `bench` writes it")
    if path.stat().st_size == 0:
        raise StoreError(f"no run yet: {clean(str(path))} is empty")
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        check_version(connection, path)
        yield connection
    except (sqlite3.Error, OverflowError) as error:
        raise StoreError(f"cannot read {clean(str(path))}: {clean(str(error))}") from error
    finally:
        if connection is not None:
            connection.close()


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Makes a store of an older version look like one of this version to this connection; raises
    StoreError for what is none, or newer, or too old."""
    name = clean(str(path))
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise StoreError(f"{name} is no Tickmark store")
    if not 1 <= version <= VERSION:
        raise StoreError(
            f"{name} has version {version}, these reports read up to {VERSION}: take the Tickmark"
            " that wrote it, or a newer one"
        )
    for table, (made, columns) in _schema().items():
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if not there and version == 1 and table in LATER:
            # Empty, it adds no line to a digest: what was stored before it came stays intact.
            connection.execute(made.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
        elif not there:
            raise StoreError(f"{name} has no table {table}: {AGAIN}")
        elif lacks := sorted(columns - there):
            raise StoreError(
                f"{name} was written by a Tickmark too old to be read ({table} has no"
                f" {', '.join(lacks)}): {AGAIN}"
            )


def _schema() -> dict[str, tuple[str, set[str]]]:
    """How each table of this version is made, and its columns."""
    model = sqlite3.connect(":memory:")
    try:
        model.executescript(SCHEMA_SQL.read_text(encoding="utf-8"))
        listed = model.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
        return {
            table: (made, {row[1] for row in model.execute(f"PRAGMA table_info({table})")})
            for table, made in listed.fetchall()
        }
    finally:
        model.close()


def run_ids(connection: sqlite3.Connection) -> list[str]:
    """All runs, the newest first."""
    listed = connection.execute(
        "SELECT run, max(utc) AS newest FROM run GROUP BY run ORDER BY newest DESC, run DESC"
    )
    return [row[0] for row in listed]


def load_run(connection: sqlite3.Connection, run: str) -> Run:
    """One run with all its machines, sorted by name."""
    names = connection.execute("SELECT machine FROM run WHERE run = ? ORDER BY machine", (run,))
    machines = tuple(_machine(connection, run, name[0]) for name in names.fetchall())
    return Run(clean(run), max(machine.utc for machine in machines), machines)


def digest(connection: sqlite3.Connection, run: str, machine: str) -> str:
    """SHA-256 over the canonical lines of one machine of one run, in hexadecimal."""
    total = hashlib.sha256()
    query = DIGEST_SQL.read_text(encoding="utf-8")
    for (line,) in connection.execute(query, (run, machine)):
        total.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return total.hexdigest()


def _machine(connection: sqlite3.Connection, run: str, name: str) -> Machine:
    fields = connection.execute(
        "SELECT target, clock, hz, utc, commit_id, dirty, size, outcome, detail, boots, digest"
        " FROM run WHERE run = ? AND machine = ?",
        (run, name),
    ).fetchone()
    target, clock, hz, utc, commit, dirty, size, outcome, detail, boots, written = fields
    intact = digest(connection, run, name) == written
    return Machine(
        run=clean(run),
        name=clean(name, 80),
        target=clean(target, 40),
        clock=clean(clock, 40),
        hz=max(hz, 0),
        utc=clean(utc, 40),
        commit=clean(commit, 80),
        dirty=bool(dirty),
        size=clean(size, 40),
        outcome=clean(outcome, 80),
        detail=clean(detail),
        boots=boots,
        digest=clean(written, 80),
        intact=intact,
        facts=_facts(connection, run, name) if intact else (),
        rows=_rows(connection, run, name) if intact else {},
        counters=_counters(connection, run, name) if intact else {},
        outliers=_outliers(connection, run, name) if intact else {},
    )


def _facts(connection: sqlite3.Connection, run: str, machine: str) -> tuple[tuple[str, str], ...]:
    listed = connection.execute(
        "SELECT key, value FROM fact WHERE run = ? AND machine = ? ORDER BY key", (run, machine)
    )
    return tuple((clean(key, 120), clean(value, 2000)) for key, value in listed)


def _rows(connection: sqlite3.Connection, run: str, machine: str) -> dict[tuple[str, int], Row]:
    listed = connection.execute(
        "SELECT id, aa, role, what, unit, definition, status FROM bench_row"
        " WHERE run = ? AND machine = ? ORDER BY id, aa",
        (run, machine),
    ).fetchall()
    rounds = _rounds(connection, run, machine)
    rows = {}
    for row, aa, role, what, unit, definition, status in listed:
        of_row, readable = rounds.get((row, aa), ((), True))
        if status == "ok" and not readable:
            status = "unreadable"
        elif status == "ok" and not any(len(r.samples) for r in of_row):
            status = "no samples"
        rows[clean(row, 120), aa] = Row(
            clean(row, 120),
            aa,
            clean(role, 40),
            clean(what),
            clean(unit, 40),
            clean(definition, 40),
            clean(status, 80),
            of_row,
        )
    return rows


def _rounds(
    connection: sqlite3.Connection, run: str, machine: str
) -> dict[tuple[str, int], tuple[tuple[Round, ...], bool]]:
    """The rounds of each row in order, and whether every one of them could be read."""
    listed = connection.execute(
        "SELECT id, aa, boot, round, operations, overhead, cold, samples, tags FROM round"
        " WHERE run = ? AND machine = ? ORDER BY id, aa, boot, round",
        (run, machine),
    )
    found: dict[tuple[str, int], list[Round]] = {}
    damaged: set[tuple[str, int]] = set()
    for row, aa, boot, number, operations, overhead, cold, blob, tag_blob in listed:
        if len(blob) % 8 or len(blob) // 8 != len(tag_blob) or operations <= 0:
            damaged.add((row, aa))
            continue
        samples = numpy.frombuffer(blob, dtype="<i8")
        tags = numpy.frombuffer(tag_blob, dtype=numpy.uint8)
        made = Round(boot, number, operations, overhead, cold, samples, tags)
        found.setdefault((row, aa), []).append(made)
    keys = set(found) | damaged
    return {key: (tuple(found.get(key, [])), key not in damaged) for key in keys}


def _counters(
    connection: sqlite3.Connection, run: str, machine: str
) -> dict[str, dict[str, Counter]]:
    listed = connection.execute(
        "SELECT id, name, numerator, denominator, unit FROM counter"
        " WHERE run = ? AND machine = ? ORDER BY id, name",
        (run, machine),
    )
    found: dict[str, dict[str, Counter]] = {}
    for row, name, numerator, denominator, unit in listed:
        if denominator <= 0:
            continue
        counter = Counter(clean(row, 120), clean(name, 80), numerator, denominator, clean(unit, 40))
        found.setdefault(counter.id, {})[counter.name] = counter
    return found


def _outliers(
    connection: sqlite3.Connection, run: str, machine: str
) -> dict[str, tuple[Outlier, ...]]:
    listed = connection.execute(
        "SELECT id, name, window, windows, operations, sample, least, tags, begin_ns, end_ns"
        " FROM outlier"
        " WHERE run = ? AND machine = ? ORDER BY id, name",
        (run, machine),
    )
    found: dict[str, tuple[Outlier, ...]] = {}
    for row, name, *numbers in listed:
        if not all(isinstance(number, int) for number in numbers) or numbers[2] <= 0:
            continue
        outlier = Outlier(clean(row, 120), clean(name, 40), *numbers)
        if 0 <= outlier.begin <= outlier.end:
            found[outlier.id] = (*found.get(outlier.id, ()), outlier)
    return found
