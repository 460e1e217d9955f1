# SPDX-License-Identifier: MIT
"""The command line of the reports. Options are words of the form name=value."""

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
from reports.store import NoSuchRun, StoreError, load_run, open_store, run_ids
from reports.terminal import print_headline, print_report
from reports.text import clean
from reports.which import resolve

EXIT_NOT_SHOWN = 10
EXIT_NEWLY_NOT_MET = 20
EXIT_HARNESS = 40
EXIT_USAGE = 2

COMMANDS = ("report", "table", "check", "compare", "export", "import", "ends", "night", "silence")
FORMATS = {
    "compare": ("text", "markdown", "json"),
    "export": ("google-benchmark", "benchfmt", "junit", "openmetrics", "kcidb", "csv"),
}

# The product's options, the same words everywhere; those of a command are marked by its name.
OPTIONS: dict[str, tuple[str, ...]] = {
    "results": COMMANDS,
    "run": ("report", "table", "check", "export", "import", "night"),
    "filter": ("table",),
    "check": ("check",),
    "a": ("compare", "ends"),
    "b": ("compare", "ends"),
    "row": ("ends",),
    "format": ("compare", "export"),
    "file": ("import",),
    "hours": ("silence",),
    "keep": ("night",),
    "stage": ("night",),
    "planned": ("night",),
    **dict.fromkeys(
        "target machine suites rounds samples boots seed size use variants cpus memory numa output"
        " port speed".split(),
        (),
    ),
}
NEEDED = {"compare": ("a", "b"), "import": ("file",), "ends": ("row",), "night": ("stage", "run")}

USAGE = """\
python3 -m reports COMMAND [option=value ...]
  report   judge a run, write results/report/{index.html,summary.md,report.json,*.png}
  table    the same on the terminal: every row, every claim
  check    exit 10 if a claim is not shown, 20 if one is newly not met
  compare  b against a: which rows changed; exit 20 if one got worse
  export   a run for other tools, into results/export
  import   a file of Google Benchmark's JSON as a peer of a run
  ends     two runs between which an exact row moved, as JSON: what `scons bisect` begins with
  night    a stage of the nightly campaign, which `scons nightly` runs
  silence  exit 40 if no night was completed for so long
options
  results=DIR      where the store is (results)
  run=ID           which run (the newest): an id, latest, latest~1, a commit
  a=RUN b=RUN      compare: two runs, in the same words
  filter=PATTERN   table: only rows or cases that match, as in filter=heap/*
  check=PATTERNS   check: these claims must be met, as in check=alloc.hybrid.*,ipc.*
  format=FORMATS   compare: text, markdown or json; export: a list of google-benchmark,
                   benchfmt, junit, openmetrics, kcidb, csv (all of them)
  file=FILE        import: the file
  hours=N          silence: so many hours without a night are an alarm (26)
  stage=STAGE      night: import, doubts, judge, render, prune, done
  planned=NAMES    night: the machines that were planned, a list
  keep=N           night: nights whose samples are kept (30)"""


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
    given: dict[str, str] = field(default_factory=dict)


def parse(words: list[str]) -> Command:
    """Raises UsageError."""
    if not words or words[0] not in COMMANDS:
        what = f"unknown command {clean(words[0], 40)}" if words else "no command"
        raise UsageError(f"{what}: one of {', '.join(COMMANDS)}")
    name, given, ignored = words[0], dict[str, str](), []
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
    check_given(name, given)
    return Command(
        name,
        Path(given.get("results", "results")),
        given.get("run", ""),
        given.get("filter", "*"),
        tuple(given["check"].split(",")) if "check" in given else (),
        tuple(ignored),
        given,
    )


def check_given(name: str, given: dict[str, str]) -> None:
    """Raises UsageError for what is missing, or is no word or number that the command knows."""
    for option in NEEDED.get(name, ()):
        if option not in given:
            raise UsageError(f"{name}: say {option}=")
    for option in ("hours", "keep"):
        value = given.get(option, "1")
        if not (value.isascii() and value.isdecimal()) or not 1 <= int(value[:9]) <= 100000:
            raise UsageError(f"{option}={clean(value, 20)}: give a number from 1 to 100000")
    formats = given["format"].split(",") if "format" in given and name in FORMATS else []
    for one in formats:
        if one not in FORMATS[name] or (name == "compare" and len(formats) > 1):
            listed = ", ".join(FORMATS[name])
            raise UsageError(f"format={clean(one, 40)}: {name} knows {listed}")


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
        if command.name in ("report", "table", "check"):
            report = _judged(command, claims)
            return {"report": _report, "table": _table, "check": _check}[command.name](
                command, report
            )
        # Here: what draws and what compares takes a while to load.
        from reports.commands import run_command

        return run_command(command.name, command.results, command.given, claims)
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
        run = resolve(connection, command.run or "latest")
        return make_report(claims, load_run(connection, run))


def _report(command: Command, report: Report) -> int:
    # Here, because drawing takes a second to load, and a table or a check does without it.
    from reports.history_page import nights_view
    from reports.write import write_report

    folder = command.results / "report"
    nights = nights_view(command.results, report.run, report.claims)
    write_report(report, folder, progress(), nights)
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
