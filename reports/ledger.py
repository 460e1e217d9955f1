# SPDX-License-Identifier: MIT
"""The ledger of nights (results/nights.db): a line for each machine of each night, with a value for
each row. It is small, it is kept when samples are pruned, and each line carries its digest."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy

from reports.measure import Unusable, series, status_of, undisturbed
from reports.store import Machine, Row, StoreError
from reports.text import clean

LEDGER_SQL = Path(__file__).with_name("ledger.sql")
APPLICATION = 0x5449434E
VERSION = 1
NIGHT, AGAIN = "night", "again"
# A line that claims to be larger than this was not written here.
BYTES_MOST = 1 << 26

# Facts that say where a run was measured; those of the clock's proof differ from run to run.
_ENVIRONMENT = (
    *("arguments", "build.compiler", "build.flags", "command", "guest.boot.protocol"),
    *("guest.clock.hz_source", "guest.clock.step", "guest.clock.window_stop", "guest.cpu."),
    *("guest.host.", "guest.hypervisor", "guest.memory.bytes", "guest.numa.", "guest.options."),
    *("guest.pmu", "host.", "machine.", "peers.", "qemu.version", "variants."),
)
_NOT_ENVIRONMENT = ("guest.host.pinned_cpu", "variants.commit")


class NightRow(NamedTuple):
    """A row of a night: its cost of one operation, the median over rounds of their medians. A tuple
    because a year has hundreds of thousands of them."""

    id: str
    unit: str
    definition: str
    operations: int
    role: str
    value: float


@dataclass(frozen=True)
class Night:
    """A machine of a night."""

    number: int
    run: str
    machine: str
    kind: str
    utc: str
    target: str
    clock: str
    commit: str
    outcome: str
    complete: bool
    environment: dict[str, str]
    rows: dict[str, NightRow]

    @property
    def exact(self) -> bool:
        return self.clock == "insn"


def is_environment(key: str) -> bool:
    """Does this fact say where and with what it was measured, and stay the same night by night?"""
    # KEY:bootN is a boot that said otherwise than the first.
    return key.startswith(_ENVIRONMENT) and key not in _NOT_ENVIRONMENT and ":boot" not in key


def value_of(row: Row) -> float | None:
    """What is remembered of a row; None where it has no number above resolution."""
    if status_of(row) != "ok":
        return None
    try:
        (found,) = series((undisturbed(row),), "median")
    except Unusable:
        return None
    value = median(found.values()) if found else 0.0
    return value if value > 0 and numpy.isfinite(value) else None


@contextmanager
def open_ledger(path: Path, write: bool = False) -> Iterator[sqlite3.Connection]:
    """The ledger; made if it is to be written and is not there. Raises StoreError."""
    connection: sqlite3.Connection | None = None
    try:
        if write:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            connection.execute("PRAGMA synchronous = FULL")
            fresh = connection.execute("PRAGMA user_version").fetchone()[0] == 0
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if fresh and tables == 0:
                connection.executescript(LEDGER_SQL.read_text(encoding="utf-8"))
        else:
            connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=30)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        told = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]
        if told != [APPLICATION, VERSION]:
            raise StoreError(f"{clean(str(path))} is no ledger of nights of version {VERSION}")
        yield connection
    except sqlite3.Error as error:
        raise StoreError(f"cannot use {clean(str(path))}: {clean(str(error))}") from error
    finally:
        if connection is not None:
            connection.close()


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path))


def remember(connection: sqlite3.Connection, machine: Machine, kind: str = NIGHT) -> bool:
    """Writes a machine's line; False if it is there already. The machine must be intact."""
    values = [
        (row, value)
        for (_, aa), row in sorted(machine.rows.items())
        if aa == 0 and (value := value_of(row)) is not None
    ]
    columns = {
        "id": [row.id for row, _ in values],
        "unit": [row.unit for row, _ in values],
        "definition": [row.definition for row, _ in values],
        "operations": [row.operations for row, _ in values],
        "role": [row.role for row, _ in values],
        "value": [float(f"{value:.12g}") for _, value in values],
    }
    about = {
        "target": machine.target,
        "clock": machine.clock,
        "hz": machine.hz,
        "commit": machine.commit,
        "dirty": machine.dirty,
        "size": machine.size,
        "outcome": machine.outcome,
        "complete": machine.complete,
        "facts": {key: value for key, value in machine.facts if is_environment(key)},
    }
    line = (
        *(machine.run, machine.name, kind, machine.utc, _json(about)),
        zlib.compress(_json(columns).encode("utf-8", "surrogatepass"), 6),
    )
    written = connection.execute(
        "INSERT OR IGNORE INTO night (run, machine, kind, utc, about, rows, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*line, _digest(line)),
    )
    return written.rowcount == 1


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(line: tuple[Any, ...]) -> str:
    total = hashlib.sha256()
    for part in line:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def nights(connection: sqlite3.Connection, most: int = 365) -> tuple[list[Night], list[str]]:
    """The newest nights of each machine, the oldest first, re-runs among them; and what is wrong
    with the ledger, a line for each damaged one, which is left out."""
    found: list[Night] = []
    wrong: list[str] = []
    listed = connection.execute(
        "SELECT number, run, machine, kind, utc, about, rows, digest FROM night"
        " WHERE number IN (SELECT number FROM (SELECT number, row_number() OVER"
        " (PARTITION BY machine, kind ORDER BY number DESC) AS place FROM night)"
        " WHERE place <= ?) ORDER BY number",
        (most,),
    )
    for number, *line, digest in listed:
        name = f"night {number} ({clean(str(line[0]), 60)}, {clean(str(line[1]), 40)})"
        if _digest(tuple(line)) != digest:
            wrong.append(f"{name} of the ledger is damaged: left out")
            continue
        try:
            found.append(_night(number, line))
        except (ValueError, KeyError, TypeError, zlib.error):
            wrong.append(f"{name} of the ledger cannot be read: left out")
    return found, wrong


def _night(number: int, line: list[Any]) -> Night:
    run, machine, kind, utc, about_text, blob = line
    about = json.loads(about_text)
    opened = zlib.decompressobj()
    columns = json.loads(opened.decompress(blob, BYTES_MOST))
    names = ("id", "unit", "definition", "operations", "role", "value")
    rows = {row[0]: NightRow._make(row) for row in zip(*(columns[name] for name in names))}
    return Night(
        number=number,
        run=clean(run, 80),
        machine=clean(machine, 80),
        kind=kind,
        utc=clean(utc, 40),
        target=about["target"],
        clock=about["clock"],
        commit=about["commit"],
        outcome=about["outcome"],
        complete=about["complete"],
        environment=about["facts"],
        rows=rows,
    )


# ---- what was said of a night -------------------------------------------------------------------


def write_verdict(connection: sqlite3.Connection, run: str, said: dict[str, Any]) -> bool:
    """What was decided about a night; False if that has been written before."""
    text = _json(said)
    done = connection.execute(
        "INSERT OR IGNORE INTO verdict (run, said, digest) VALUES (?, ?, ?)",
        (run, text, _digest((run, text))),
    )
    return done.rowcount == 1


def verdicts(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """By run; damaged ones are left out."""
    listed = connection.execute("SELECT run, said, digest FROM verdict")
    return {run: json.loads(said) for run, said, d in listed if _digest((run, said)) == d}
