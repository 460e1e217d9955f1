# SPDX-License-Identifier: MIT
"""Takes the samples of an old night away: out of the store, in one transaction, then the folder
with its streams and traces. Killed in between, the next night does the rest."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from reports.store import StoreError, check_version
from reports.text import clean


def prune_night(results: Path, run: str) -> None:
    """Raises StoreError."""
    store = results / "history.db"
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(f"{store.resolve().as_uri()}?mode=rw", uri=True, timeout=30)
        connection.isolation_level = None
        check_version(connection, store)
        connection.execute("BEGIN IMMEDIATE")
        listed = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        for (table,) in listed.fetchall():
            connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"cannot prune {clean(str(store))}: {clean(str(error))}") from error
    finally:
        if connection is not None:
            connection.close()
    folder = results / "runs" / run
    # A name is a name of a folder there, whatever the ledger says.
    if folder.parent == results / "runs" and run not in ("", ".", "..") and folder.is_dir():
        shutil.rmtree(folder)
