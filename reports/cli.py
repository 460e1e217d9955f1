# SPDX-License-Identifier: MIT
"""The commands: report, table, check. Options are words of the form name=value."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from reports.claims import CLAIMS_FILE, Claims, ClaimsError, load_claims
from reports.document import Report, exit_code, make_report
from reports.judge import best
from reports.store import NoSuchRun, StoreError, find_run, load_run, open_store, run_ids
from reports.terminal import print_headline, print_report
from reports.text import clean

EXIT_NOT_SHOWN = 10
EXIT_NEWLY_NOT_MET = 20
EXIT_HARNESS = 40
EXIT_USAGE = 2

# The product's options, the same words everywhere; those of a command are marked by its name.
OPTIONS: dict[str, tuple[str, ...]] = {
    "results": ("report", "table", "check"),
    "run": ("report", "table", "check"),
    "filter": ("table",),
    "check": ("check",),
    **dict.fromkeys(
        "target machine suites rounds samples boots seed size use variants cpus memory numa output"
        " port speed a b row format".split(),
        (),
    ),
}

USAGE = """\
python3 -m reports COMMAND [option=value ...]
  report   judge a run, write results/report/{index.html,summary.md,report.json,*.png}
  table    the same on the terminal: every row, every claim
  check    exit 10 if a claim is not shown, 20 if one is newly not met
options
  results=DIR      where the store is (results)
  run=ID           which run (the newest)
  filter=PATTERN   table: only rows or cases that match, as in filter=heap/*
  check=PATTERNS   check: these claims must be met, as in check=alloc.hybrid.*,ipc.*"""


class UsageError(Exception):
    """The command line is wrong; the message is one line."""


@dataclass(frozen=True)
class Command:
    """A command line that makes sense."""

    name: str
    results: Path = Path("results")
    run: str = ""
    filter: str = "*"
    check: tuple[str, ...] = ()
    ignored: tuple[str, ...] = field(default=())


def parse(words: list[str]) -> Command:
    """Raises UsageError."""
    commands = {"report", "table", "check"}
    if not words or words[0] not in commands:
        what = f"unknown command {clean(words[0], 40)}" if words else "no command"
        raise UsageError(f"{what}: one of report, table, check")
    name, given, ignored = words[0], {}, []
    for word in words[1:]:
        option, equals, value = word.partition("=")
        if not equals or option not in OPTIONS:
            known = ", ".join(f"{o}=" for o in OPTIONS if name in OPTIONS[o])
            raise UsageError(f"unknown option {clean(word, 60)}: {name} takes {known}")
        if not value:
            raise UsageError(f"{option}= wants a value")
        if option in given:
            raise UsageError(f"{option}= is given twice")
        given[option] = value
        if name not in OPTIONS[option]:
            ignored.append(option)
    return Command(
        name,
        Path(given.get("results", "results")),
        given.get("run", ""),
        given.get("filter", "*"),
        tuple(given["check"].split(",")) if "check" in given else (),
        tuple(ignored),
    )


def main(words: list[str], claims_file: Path = CLAIMS_FILE) -> int:
    """Runs a command and returns its exit code."""
    if words[:1] in (["help"], ["-h"], ["--help"]):
        print(USAGE)
        return 0
    try:
        command = parse(words)
        for option in command.ignored:
            _say(f"{option}= does not apply to {command.name}")
        claims = load_claims(claims_file)
        report = _judged(command, claims)
        return {"report": _report, "table": _table, "check": _check}[command.name](command, report)
    except (UsageError, ClaimsError, NoSuchRun) as error:
        _say(str(error))
        return EXIT_USAGE
    except StoreError as error:
        _say(str(error))
        return EXIT_HARNESS
    except BrokenPipeError:
        # Whoever reads has gone; say nothing more, to anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_HARNESS
    except OSError as error:
        _say(f"cannot write: {clean(str(error))}")
        return EXIT_HARNESS


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _store(command: Command) -> Path:
    return command.results / "history.db"


def _judged(command: Command, claims: Claims) -> Report:
    with open_store(_store(command)) as connection:
        return make_report(claims, load_run(connection, find_run(connection, command.run)))


def _report(command: Command, report: Report) -> int:
    # Here, because drawing takes a second to load, and a table or a check does without it.
    from reports.write import write_report

    folder = command.results / "report"
    write_report(report, folder, progress())
    print_headline(report)
    print(f"page: {folder / 'index.html'}")
    return exit_code(report.run)


def _table(command: Command, report: Report) -> int:
    print_report(report, command.filter)
    page = command.results / "report" / "index.html"
    if page.is_file():
        print(f"page: {page}")
    return exit_code(report.run)


def _check(command: Command, report: Report) -> int:
    """The worst that is to be said: a harness error, a claim newly not met, one not shown."""
    wanted = command.check or ("*",)
    chosen = [
        c for c in report.claims.claims if any(fnmatchcase(c.id, pattern) for pattern in wanted)
    ]
    if not chosen:
        raise UsageError(f"check={clean(','.join(wanted), 60)}: no such claim")
    print_headline(report)
    code = exit_code(report.run)
    before = _verdicts_before(command, report)
    for claim in chosen:
        verdict = best(report.verdicts.of(claim.id))
        if verdict == "not met" and before.get(claim.id) != "not met":
            code = max(code, EXIT_NEWLY_NOT_MET)
            print(f"{claim.id}: newly not met (was {before.get(claim.id, 'never judged')})")
        elif verdict == "not shown" or (command.check and verdict not in ("met", "exceeded")):
            code = max(code, EXIT_NOT_SHOWN)
            print(f"{claim.id}: {verdict}")
    return code


def _verdicts_before(command: Command, report: Report) -> dict[str, str]:
    """How each claim was counted in the run before this one whose data are intact."""
    with open_store(_store(command)) as connection:
        ids = run_ids(connection)
        here = ids.index(report.run.id) if report.run.id in ids else len(ids)
        for run_id in ids[here:][1:]:
            run = load_run(connection, run_id)
            if all(machine.intact for machine in run.machines):
                verdicts = make_report(report.claims, run).verdicts
                return {c.id: best(verdicts.of(c.id)) for c in report.claims.claims}
    return {}


def progress(quiet_s: float = 2.0) -> Callable[[str], None]:
    """Tells what is being done, but only once it takes longer than so many seconds."""
    last = time.monotonic()

    def step(what: str) -> None:
        nonlocal last
        if time.monotonic() - last > quiet_s:
            last = time.monotonic()
            _say(f"drawing {clean(what, 100)}")

    return step
