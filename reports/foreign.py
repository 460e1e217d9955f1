# SPDX-License-Identifier: MIT
"""Other people's programs as peers of a run: a file of Google Benchmark's JSON becomes a machine of
its own, foreign-NAME, whose rows say that another harness measured them."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from reports.store import FOREIGN, StoreError, check_version, digest
from reports.text import clean

BYTES_MOST = 64 << 20
ROWS_MOST, ROUNDS_MOST = 2000, 1024
NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_ROW = re.compile(r"[a-z0-9_.-]+/[a-z0-9_.-]+/[a-z0-9_.-]+")
_CONTEXT = (
    *("date", "host_name", "executable", "num_cpus", "mhz_per_cpu", "library_version"),
    *("library_build_type", "cpu_scaling_enabled"),
)


class ForeignError(Exception):
    """The file cannot be brought in; the message is one line."""


@dataclass
class ForeignRow:
    """A benchmark of the file: for each repetition its iterations and the nanoseconds of all."""

    name: str
    repetitions: list[tuple[int, int]] = field(default_factory=list)
    failed: bool = False


@dataclass(frozen=True)
class Foreign:
    name: str  # of the machine, without what stands before
    context: dict[str, str]
    rows: dict[str, ForeignRow]  # by row id


def read_google_benchmark(path: Path) -> Foreign:
    """Reads a file strictly: a number misread is worse than a file refused. Raises ForeignError."""
    name = clean(path.name, 60)
    try:
        if path.stat().st_size > BYTES_MOST:
            raise ForeignError(f"file={name}: larger than {BYTES_MOST >> 20} MiB")
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ForeignError(f"file={name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ForeignError(f"file={name}: not JSON: {clean(str(error), 80)}") from error
    if not isinstance(told, dict) or not isinstance(told.get("benchmarks"), list):
        raise ForeignError(f"file={name}: no list `benchmarks`: not Google Benchmark's JSON")
    given = told.get("context")
    given = given if isinstance(given, dict) else {}
    context = {key: clean(str(given[key]), 200) for key in _CONTEXT if key in given}
    stem = _slug(path.stem) or "program"
    rows = _rows(told["benchmarks"], stem, name)
    if not rows:
        raise ForeignError(f"file={name}: no benchmark in it")
    return Foreign(stem, context, rows)


def _rows(benchmarks: list[Any], stem: str, file: str) -> dict[str, ForeignRow]:
    by_name: dict[str, ForeignRow] = {}
    for i, entry in enumerate(benchmarks):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ForeignError(f"file={file}: benchmark {i} has no name")
        if entry.get("run_type", "iteration") != "iteration":
            continue  # aggregates: made here anew
        name = str(entry.get("run_name", entry["name"]))
        row = by_name.setdefault(name, ForeignRow(name))
        if entry.get("error_occurred") or entry.get("skipped"):
            row.failed = True
        else:
            row.repetitions.append(_repetition(entry, f"file={file}: {clean(name, 60)}"))
        if len(by_name) > ROWS_MOST or len(row.repetitions) > ROUNDS_MOST:
            raise ForeignError(f"file={file}: more than {ROWS_MOST} rows of {ROUNDS_MOST} rounds")
    found: dict[str, ForeignRow] = {}
    for name, row in by_name.items():
        found[_unique(_row_id(name, stem), found)] = row
    return found


def _repetition(entry: dict[str, Any], where: str) -> tuple[int, int]:
    iterations, time, unit = (entry.get(key) for key in ("iterations", "real_time", "time_unit"))
    if not isinstance(iterations, int) or isinstance(iterations, bool) or iterations < 1:
        raise ForeignError(f"{where}: iterations must be a whole number above 0")
    if not isinstance(time, (int, float)) or not math.isfinite(time) or time < 0:
        raise ForeignError(f"{where}: real_time must be a number, and not negative")
    if unit not in NANOSECONDS:
        raise ForeignError(f"{where}: time_unit must be one of {', '.join(NANOSECONDS)}")
    whole = time * NANOSECONDS[str(unit)] * iterations
    if whole >= 2**63 or iterations >= 2**63:
        raise ForeignError(f"{where}: too long to be true")
    return iterations, round(whole)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "_", text.lower()).strip("_.-")[:40]


def _row_id(name: str, stem: str) -> str:
    """A benchmark that is called as a row of ours is one: it stands beside that case."""
    if _ROW.fullmatch(name) and len(name) <= 100:
        return name
    return f"{FOREIGN}/{_slug(name.replace('/', '_')) or 'row'}/{stem}"


def _unique(row: str, taken: dict[str, ForeignRow]) -> str:
    made, number = row, 1
    while made in taken:
        number += 1
        made = f"{row}_{number}"
    return made


# ---- into the store -----------------------------------------------------------------------------


def bring_in(store: Path, run: str, foreign: Foreign) -> str:
    """Adds the rows to a run as a machine of their own, in one transaction; its name. Raises
    StoreError, and ForeignError if the run has such a machine."""
    machine = f"{FOREIGN}-{foreign.name}"
    try:
        connection = sqlite3.connect(f"{store.resolve().as_uri()}?mode=rw", uri=True, timeout=30)
    except sqlite3.Error as error:
        raise StoreError(f"cannot write {clean(str(store))}: {clean(str(error))}") from error
    connection.isolation_level = None
    try:
        check_version(connection, store)
        connection.execute("BEGIN IMMEDIATE")
        _write(connection, run, machine, foreign)
        connection.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        raise ForeignError(
            f"run {clean(run, 80)} has a {machine} already: rename the file to add another"
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot write {clean(str(store))}: {clean(str(error))}") from error
    finally:
        connection.close()
    return machine


def _insert(connection: sqlite3.Connection, table: str, columns: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(columns))
    words = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
    connection.execute(words, list(columns.values()))


def _write(connection: sqlite3.Connection, run: str, machine: str, foreign: Foreign) -> None:
    # Its moment is the run's: the order of runs is that of our measurements.
    utc, commit, dirty, size = connection.execute(
        "SELECT max(utc), commit_id, dirty, size FROM run WHERE run = ?", (run,)
    ).fetchone()
    key = {"run": run, "machine": machine}
    about = {"target": FOREIGN, "clock": FOREIGN, "hz": 0, "utc": utc, "commit_id": commit}
    about |= {"dirty": dirty, "size": size, "outcome": "complete", "boots": 1, "digest": ""}
    detail = "measured by Google Benchmark, brought in by `import`"
    _insert(connection, "run", {**key, **about, "detail": detail})
    facts = {f"foreign.{name}": value for name, value in foreign.context.items()}
    facts |= {"foreign.harness": "Google Benchmark"}
    for name, value in sorted(facts.items()):
        _insert(connection, "fact", {**key, "key": name, "value": value})
    for row, found in sorted(foreign.rows.items()):
        _write_row(connection, {**key, "id": row, "aa": 0}, found, foreign)
    connection.execute(
        "UPDATE run SET digest = ? WHERE run = ? AND machine = ?",
        (digest(connection, run, machine), run, machine),
    )


def _write_row(
    connection: sqlite3.Connection, key: dict[str, Any], row: ForeignRow, foreign: Foreign
) -> None:
    # What answered is not known any better than by the file's words about the program.
    program = sorted(item for item in foreign.context.items() if item[0] != "date")
    asked, answered = (
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        for text in (f"Google Benchmark {row.name}", str(program))
    )
    usable = bool(row.repetitions) and not row.failed
    about: dict[str, Any] = {"role": "peer", "unit": "nanoseconds", "definition": asked + answered}
    about |= {"what": f"foreign: {clean(row.name, 120)}, by Google Benchmark"}
    about |= {"status": "ok" if usable else "failed"}
    about |= {"operations": row.repetitions[0][0] if row.repetitions else 1}
    _insert(connection, "bench_row", {**key, **about})
    for number, (iterations, whole) in enumerate(row.repetitions):
        made = {"boot": 0, "round": number, "operations": iterations, "overhead": 0, "cold": whole}
        sample = numpy.array([whole], dtype="<i8").tobytes()
        _insert(connection, "round", {**key, **made, "samples": sample, "tags": b"\0"})
