# SPDX-License-Identifier: MIT
"""bisect: the commit that moved an exact row. Each step builds a commit in a work tree of its own
(build/bisect) and measures that one row on machine=exact, which is the same every time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nightly import wait_until_alone
from run import HARNESS, RESULTS, finish, git, say

FOLDER = os.path.abspath("build/bisect")
TREE = os.path.join(FOLDER, "tree")
STEP_SECONDS = 3600
TRIES = 2
WORSE, USAGE = 20, 2


@dataclass(frozen=True)
class Found:
    """Where a value begins: `first` has `value`, `last_before` is the newest known to have another.
    `skipped` lie between them and could not be measured."""

    first: str
    value: float
    last_before: str
    before: float
    skipped: tuple[str, ...] = ()


Measure = Callable[[str], "float | None"]


def search(commits: Sequence[str], measure: Measure) -> Found | None:
    """Of commits, the oldest first, the first of the value that the last one has, if the value of
    the first one gives way to it once; if it changes to and fro, one of the places where it does.
    `measure` says None for what cannot be built. None: the ends are equal, or not known."""
    if len(commits) < 2:
        return None
    known = {0: measure(commits[0]), len(commits) - 1: measure(commits[-1])}
    low, high = 0, len(commits) - 1
    start, end = known[low], known[high]
    if start is None or end is None or start == end:
        return None
    while True:
        untried = [i for i in range(low + 1, high) if i not in known]
        if not untried:
            break
        middle = min(untried, key=lambda i: (abs(2 * i - low - high), i))
        known[middle] = measure(commits[middle])
        if known[middle] is not None:
            low, high = (low, middle) if known[middle] == end else (middle, high)
    skipped = tuple(commits[i] for i in range(low + 1, high))
    before = known[low]
    assert before is not None
    return Found(commits[high], end, commits[low], before, skipped)


def bisect(options: Any) -> int:
    row = options.values["row"]
    words = [f"{name}={options.values[name]}" for name in ("a", "b") if name in options.values]
    asked = [sys.executable, "-m", "reports", "ends", f"row={row}", *words, f"results={RESULTS}"]
    done = subprocess.run(asked, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return finish(done.returncode)
    ends = json.loads(done.stdout)
    a, b = ends["a"], ends["b"]
    say(f"tickmark: {row}: {a['value']:.10g} in {a['run']}, {b['value']:.10g} in {b['run']}")
    for end in (a, b):
        if end["dirty"]:
            say(f"tickmark: {end['run']} had local changes: its commit may say otherwise")
    commits = between(a["commit"], b["commit"])
    if not commits:
        say(f"tickmark: bisect: no commits lead from {a['commit'][:12]} to {b['commit'][:12]}")
        return finish(USAGE)
    say(f"tickmark: {len(commits) - 1} commits, about {len(commits).bit_length()} to measure")
    try:
        found = search(commits, lambda commit: measured(commit, row))
    finally:
        git("worktree", "remove", "--force", TREE)
    return finish(tell(row, found))


def between(old: str, new: str) -> list[str]:
    """The commits from one to another, both included, along first parents; empty if there is no
    such way."""
    merged = subprocess.run(["git", "merge-base", "--is-ancestor", old, new], capture_output=True)
    if merged.returncode != 0:
        return []
    listed = git("rev-list", "--first-parent", "--reverse", f"{old}..{new}").split()
    return [old, *listed] if listed else []


def tell(row: str, found: Found | None) -> int:
    if found is None:
        say(f"tickmark: bisect: {row} is the same at both ends now, or an end cannot be built")
        return HARNESS
    about = git("show", "-s", "--format=%h %an, %ad: %s", "--date=short", found.first)
    if found.skipped:
        say(f"tickmark: {len(found.skipped)} commits before it could not be built or measured:")
        say("    " + " ".join(commit[:12] for commit in found.skipped))
    difference = found.value - found.before
    say(f"tickmark: {row}: {found.before:.10g} to {found.value:.10g} ({difference:+.10g}) by")
    say("    " + "".join(c if c.isprintable() else "?" for c in about))
    return WORSE if difference > 0 else 0


def measured(commit: str, row: str) -> float | None:
    """One row at one commit; None if it cannot be built, or has no such row."""
    if not os.path.isdir(TREE):
        os.makedirs(FOLDER, exist_ok=True)
        git("worktree", "prune")
        git("worktree", "add", "--detach", "--force", TREE, commit)
        for name in ("build", ".sconsign.dblite"):
            save(name)
    done = subprocess.run(
        ["git", "-C", TREE, "checkout", "-q", "--detach", "--force", commit], capture_output=True
    )
    if done.returncode != 0:
        say(f"tickmark: {commit[:12]}: cannot be checked out")
        return None
    results = os.path.join(TREE, RESULTS)
    value = None
    for _ in range(TRIES):
        # The bench in the tree takes this lock itself; between here and there another may come.
        with wait_until_alone() or open(os.devnull, encoding="utf-8"):
            pass
        shutil.rmtree(results, ignore_errors=True)
        if not bench_in_tree(commit, row):
            return None
        value = value_in(results, row)
        if value is not None:
            break
    shown = "no number (build/bisect/log.txt)" if value is None else f"{value:.10g}"
    say(f"tickmark: {commit[:12]}: {shown}")
    return value


def bench_in_tree(commit: str, row: str) -> bool:
    """Builds and measures; false if that takes too long."""
    words = ["scons", "-Q", "target=qemu", "machine=exact", f"suites={row.partition('/')[0]}"]
    words += [f"filter={row}", "trace=off", "bench"]
    with open(os.path.join(FOLDER, "log.txt"), "a", encoding="utf-8") as log:
        try:
            subprocess.call(words, cwd=TREE, stdout=log, stderr=log, timeout=STEP_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"tickmark: {commit[:12]}: given up after {STEP_SECONDS} s")
            return False
    return True


def save(name: str) -> None:
    """What is built already need not be built again; it is only a matter of time."""
    if os.path.isdir(name):
        ignore = shutil.ignore_patterns("bisect", "test", "mypy")
        shutil.copytree(name, os.path.join(TREE, name), symlinks=True, ignore=ignore)
    elif os.path.exists(name):
        shutil.copy2(name, os.path.join(TREE, name))


def value_in(results: str, row: str) -> float | None:
    words = [sys.executable, "-m", "reports", "export", "format=csv", f"results={results}"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        return None
    import csv

    with open(os.path.join(results, "export", "rows.csv"), encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["id"] == row and line["clock"] == "insn" and line["p50"]:
                return float(line["p50"])
    return None
