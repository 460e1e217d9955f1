# SPDX-License-Identifier: MIT
"""Which run is meant: an id, `latest`, `latest~2`, or a commit."""

from __future__ import annotations

import re
import sqlite3
import subprocess

from reports.store import NoSuchRun, StoreError, run_ids
from reports.text import clean

_LATEST = re.compile(r"latest(?:~([0-9]{1,6}))?")
_AGAIN = "-again"
_HEXADECIMAL = re.compile(r"[0-9a-f]{7,40}")


def again_of(run: str) -> str:
    """The id of the run that runs a night's doubtful rows again."""
    return run + _AGAIN


def is_again(run: str) -> bool:
    return run.endswith(_AGAIN)


def night_of(run: str) -> str:
    """The night that a run belongs to."""
    return run.removesuffix(_AGAIN)


def resolve(connection: sqlite3.Connection, word: str = "latest") -> str:
    """The id of the run that a word of the command line means. Of a commit the newest run. Raises
    NoSuchRun, or StoreError if there is none at all."""
    ids = run_ids(connection)
    if not ids:
        raise StoreError("no run yet: the store is empty; `bench` fills it")
    if word in ids:
        return word
    # The re-run of a night's doubtful rows is part of that night.
    ids = [run for run in ids if not is_again(run)] or ids
    if latest := _LATEST.fullmatch(word):
        back = int(latest[1] or 0)
        if back >= len(ids):
            raise NoSuchRun(f"{word}: there are only {len(ids)} runs")
        return ids[back]
    commit = word.lower() if _HEXADECIMAL.fullmatch(word.lower()) else _commit_named(word)
    if commit:
        listed = connection.execute("SELECT run, commit_id FROM run").fetchall()
        of_commit = {run for run, found in listed if found.startswith(commit)}
        for run in ids:
            if run in of_commit:
                return run
    raise NoSuchRun(f"{clean(word, 80)}: no such run; the newest is {clean(ids[0], 80)}")


def _commit_named(word: str) -> str:
    """What git calls a commit by another name, as main~1; nothing if it does not."""
    words = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", word + "^{commit}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
