# SPDX-License-Identifier: MIT
"""The nightly campaign: plan, boots, import, judge, render, prune.

What it was about to do stands in results/nightly/current.json until it is done: a night that was
cut short is finished by the next one with what it recorded.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import places
import run as commands
from run import HARNESS, MISSING, RESULTS, SIGNALLED, finish, say

FOLDER = os.path.join(RESULTS, "nightly")
JOURNAL = os.path.join(FOLDER, "current.json")
# What the sign test needs for an interval over process starts, and Bonferroni for all claims.
BOOTS = "12"
SPACE_LEAST = 256 << 20  # bytes: streams, store and report of a night, with room to spare
WAIT_SECONDS, WAIT_STEP = 1800, 10  # for a person's bench that is measuring


def nightly(options: Any) -> int:
    if options.values.get("check") == "silence":
        hours = [f"hours={options.values['hours']}"] if "hours" in options.values else []
        return finish(commands.reports("silence", *hours))
    try:
        os.makedirs(FOLDER, exist_ok=True)
        lock = open(os.path.join(FOLDER, "lock"), "a+", encoding="utf-8")
    except OSError as error:
        say(f"tickmark: nightly: cannot write in {FOLDER}: {error.strerror}")
        return finish(HARNESS)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"tickmark: nightly: another one is at work here ({told(lock)})")
            return finish(HARNESS)
        try:
            lock.truncate(0)
            lock.write(f"pid {os.getpid()}")
            lock.flush()
            return finish(locked(options))
        except OSError as error:
            say(f"tickmark: nightly: {error.filename or RESULTS}: {error.strerror}")
            return finish(HARNESS)


def told(lock: Any) -> str:
    lock.seek(0)
    return "".join(c for c in lock.read(100) if c.isprintable()) or "nobody says who"


def locked(options: Any) -> int:
    if left := journal():
        say(f"tickmark: night {left['run']} was cut short: what it recorded is judged now")
        judge(left["run"], left["planned"], options)
    space = os.statvfs(RESULTS)
    if space.f_bavail * space.f_frsize < SPACE_LEAST:
        free = space.f_bavail * space.f_frsize >> 20
        say(f"tickmark: nightly: only {free} MiB are free in {RESULTS}: nothing was started")
        return HARNESS
    alone = wait_until_alone()
    if alone is None:
        say(f"tickmark: nightly: a bench is measuring{commands.who_measures()}: given up")
        return HARNESS
    with alone:
        run = commands.new_run_id()
        planned = [f"{target}-{name}" for target, name in options.machines]
        write_journal({"run": run, "planned": planned})
        status = boots(run, options.machines, options)
        if status < SIGNALLED and in_store(run):
            status = max(status, again(run, options))
    if status >= SIGNALLED:
        return status
    commands.remove_if_empty(run)
    return max(status, judge(run, planned, options))


def wait_until_alone() -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while (lock := commands.alone()) is None and time.monotonic() < deadline:
        time.sleep(WAIT_STEP)
    return lock


# ---- plan ---------------------------------------------------------------------------------------


def journal() -> dict[str, Any] | None:
    """The night that is not done; None if the last one is, or nobody can read which it was."""
    try:
        with open(JOURNAL, encoding="utf-8") as file:
            left = json.load(file)
        return left if {"run", "planned"} <= set(left) else None
    except (OSError, ValueError, TypeError):
        return None


def write_journal(about: dict[str, Any]) -> None:
    beside = f"{JOURNAL}.new"
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(about, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, JOURNAL)


def with_boots(options: Any, target: str, name: str) -> Any:
    """Sampled clocks start often enough for an interval over starts, unless boots= is given."""
    clock = places.TARGETS[target].MACHINES[name].clock
    if "boots" in options.values or clock in ("insn", "emulated"):
        return options
    return replace(options, values={**options.values, "boots": BOOTS})


# ---- boots --------------------------------------------------------------------------------------


def boots(run: str, machines: list[tuple[str, str]], options: Any) -> int:
    """Records each machine; one that cannot start does not keep the others."""
    worst = 0
    for target, name in machines:
        say(f"tickmark: night {run}: {target}-{name}")
        status = commands.record(run, target, name, with_boots(options, target, name))
        if status >= SIGNALLED:
            return status
        worst = max(worst, status)
    return worst


def in_store(run: str) -> bool:
    return os.path.exists(os.path.join(RESULTS, "runs", run)) and stage("import", run) == 0


def again(run: str, options: Any) -> int:
    """Runs the suites of doubtful rows once more: an alarm takes a second look that agrees."""
    words = [sys.executable, "-m", "reports", "night", "stage=doubts", f"run={run}"]
    done = subprocess.run([*words, f"results={RESULTS}"], capture_output=True, text=True)
    doubts = [line.split() for line in done.stdout.splitlines() if line.startswith("doubt ")]
    worst = 0
    for _, machine, suites in (words for words in doubts if len(words) == 3):
        target, _, name = machine.partition("-")
        if (target, name) not in options.machines:
            continue
        values = {**options.values, "suites": suites, "trace": "off"}
        os.makedirs(os.path.join(RESULTS, "runs", f"{run}-again"), exist_ok=True)
        only = replace(options, values=values)
        worst = max(worst, boots(f"{run}-again", [(target, name)], only))
    if worst < SIGNALLED and doubts:
        stage("import", f"{run}-again")
        point_latest(run)
    # What the re-run could not do leaves a doubt a doubt; only being stopped counts.
    return worst if worst >= SIGNALLED else 0


def point_latest(run: str) -> None:
    """`latest` is the night, not the second look at it."""
    link = os.path.join(RESULTS, ".latest.nightly")
    try:
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(os.path.join("runs", run), link)
        os.replace(link, os.path.join(RESULTS, "latest"))
    except OSError:
        pass


# ---- and after them -----------------------------------------------------------------------------


def stage(name: str, run: str, *words: str) -> int:
    return commands.reports("night", f"stage={name}", f"run={run}", *words)


def judge(run: str, planned: list[str], options: Any) -> int:
    """Everything after the boots. Safe to be done twice."""
    if not os.path.exists(os.path.join(RESULTS, "history.db")):
        say(f"tickmark: night {run}: nothing was recorded, and there is no store yet")
        os.unlink(JOURNAL)
        return MISSING
    worst = stage("import", run)
    worst = max(worst, stage("judge", run, f"planned={','.join(planned)}"))
    worst = max(worst, stage("render", run))
    keep = [f"keep={options.values['keep']}"] if "keep" in options.values else []
    worst = max(worst, stage("prune", run, *keep))
    if stage("done", run) == 0:
        os.unlink(JOURNAL)
    else:
        say(f"tickmark: night {run} could not be judged: the next one does that first")
    return worst
