# SPDX-License-Identifier: MIT
"""The stages of a night after its boots: import, doubts, judge, render, prune; and the look whether
a night is missing.

Each stage may be killed at any point and run again: what is written is written in one transaction,
once. `scons nightly` calls them in order.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.claims import Claims
from reports.document import make_report
from reports.judge import best
from reports.ledger import (
    AGAIN,
    NIGHT,
    Night,
    nights,
    open_ledger,
    remember,
    verdicts,
    write_verdict,
)
from reports.night import ALARMS, Moved, Screen, false_alarms_of, screens
from reports.prune import prune_night
from reports.steps import SEGMENT_LEAST
from reports.store import Run, StoreError, load_run, open_store
from reports.text import clean, several
from reports.which import again_of, is_again
from reports.write import replace_file

LEDGER = "nights.db"
NOTIFIED = "nightly/notified.json"
NOTIFY_SECONDS = 120
HOURS, KEEP = "26", "30"
NOT_SHOWN, WORSE, MISSING, HARNESS = 10, 20, 30, 40
GOOD = ("met", "exceeded")
# Nights that the gate and the decision look back; the page looks further.
LOOK_BACK = 60

Said = dict[str, Any]
Given = dict[str, str]


def say(line: str) -> None:
    print(f"tickmark: {line}", flush=True)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def moment_of(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(
            tzinfo=datetime.timezone.utc
        )
    except ValueError:
        return None


def _ledger(results: Path) -> Path:
    return results / LEDGER


def _run(results: Path, run: str) -> Run | None:
    """A run of the store; None if nothing of it was recorded."""
    with open_store(results / "history.db") as connection:
        found = load_run_or_none(connection, run)
    return found


def load_run_or_none(connection: Any, run: str) -> Run | None:
    there = connection.execute("SELECT count(*) FROM run WHERE run = ?", (run,)).fetchone()[0]
    return load_run(connection, run) if there else None


# ---- import -------------------------------------------------------------------------------------


def import_night(results: Path, given: Given, claims: Claims) -> int:
    """Puts a run's machines into the ledger; of a damaged one nothing but a line is heard."""
    run = _run(results, given["run"])
    if run is None:
        say(f"nothing was recorded of {given['run']}")
        return 0
    kind, status = (AGAIN if is_again(given["run"]) else NIGHT), 0
    with open_ledger(_ledger(results), write=True) as ledger:
        for machine in run.machines:
            if machine.foreign:
                continue
            if not machine.intact:
                say(f"{machine.name} of {run.id} is damaged in the store: not in the ledger")
                status = HARNESS
            elif remember(ledger, machine, kind):
                say(f"{machine.name} of {run.id} is in the ledger")
    return status


# ---- doubts -------------------------------------------------------------------------------------


def doubts(results: Path, given: Given, claims: Claims) -> int:
    """Prints a line `doubt MACHINE SUITE,SUITE` for each machine with rows to be run again."""
    with open_ledger(_ledger(results)) as ledger:
        known, _ = nights(ledger, LOOK_BACK)
    for told in screens(known, given["run"]):
        suites = sorted({moved.id.partition("/")[0] for moved in told.doubtful})
        if suites:
            print(f"doubt {told.machine} {','.join(suites)}", flush=True)
    return 0


# ---- judge --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """What a night comes to. `open`: alarms that stand, by what they are about."""

    status: int
    open: dict[str, Said]
    lines: tuple[str, ...]


def judge_night(results: Path, given: Given, claims: Claims) -> int:
    """Decides about a night, writes that into the ledger, and tells whoever wants to know if the
    state has changed."""
    run_id = given["run"]
    run = _run(results, run_id)
    with open_ledger(_ledger(results), write=True) as ledger:
        known, wrong = nights(ledger, LOOK_BACK)
        before = _verdict_before(verdicts(ledger), known, run_id)
        told = screens(known, run_id)
        planned = [name for name in given.get("planned", "").split(",") if name]
        read = claims_read(claims, run) if run is not None else {}
        decision = decide(told, known, planned, run, read, before)
        lines = (*wrong, *clock_lines(known, run_id), *decision.lines)
        false = false_alarms_of(told)
        said: Said = {
            "run": run_id,
            "judged": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "number": max((night.number for night in known if night.run == run_id), default=-1),
            "status": max(decision.status, HARNESS if wrong else 0),
            "state": state_of(decision),
            "open": decision.open,
            "claims": read,
            "lines": list(lines),
            "false_alarms": [false.asked, false.wrong, false.confirmed],
        }
        if not write_verdict(ledger, run_id, said):
            say(f"{run_id} was judged before: what was said then stands")
            said = verdicts(ledger).get(run_id, said)
    for line in said["lines"]:
        say(clean(str(line), 400))
    say(headline_of(said))
    tell(results, said)
    return int(said["status"])


def _verdict_before(all_said: dict[str, Said], known: list[Night], run: str) -> Said:
    """Of the last night that was judged before this one; empty if there is none."""
    here = min((n.number for n in known if n.run == run), default=1 << 62)
    earlier = [said for r, said in all_said.items() if r != run and said.get("number", -1) < here]
    return max(earlier, key=lambda said: (said.get("number", -1), said["run"]), default={})


def claims_read(claims: Claims, run: Run) -> dict[str, str]:
    """What each claim with data reads."""
    judged = make_report(claims, run).verdicts
    read = {claim.id: best(judged.of(claim.id)) for claim in claims.claims}
    return {claim: verdict for claim, verdict in read.items() if verdict != "no data"}


def decide(
    told: tuple[Screen, ...],
    known: list[Night],
    planned: list[str],
    run: Run | None,
    read: dict[str, str],
    before: Said,
) -> Decision:
    """From what is known of a night to what is said about it."""
    status = 0
    lines: list[str] = []
    alarms = _still_open(before.get("open", {}), known)
    for screen in told:
        lines += _screen_lines(screen)
        for moved in screen.moved:
            lines.append(moved.sentence())
            if moved.said in ALARMS:
                alarms[f"{moved.id} on {moved.machine}"] = _opened(moved)
    read_before = before.get("claims", {})
    for claim, verdict in read.items():
        was = read_before.get(claim, verdict)
        if verdict == "not met" and was != "not met":
            lines.append(f"{claim}: newly not met (was {was})")
            status = max(status, WORSE)
            alarms[f"claim {claim}"] = {"kind": "claim", "nights": 0, "worse": True}
        elif was in GOOD and verdict not in GOOD and verdict != "not met":
            lines.append(f"{claim}: {verdict} (was {was})")
            status = max(status, NOT_SHOWN)
    machines = {machine.name: machine for machine in run.machines} if run is not None else {}
    for name in planned:
        if name not in machines:
            lines.append(f"{name} did not report")
            status = max(status, MISSING)
            alarms[f"machine {name}"] = {"kind": "machine", "nights": 0, "worse": True}
    for name, machine in machines.items():
        if not machine.intact or not machine.complete:
            what = machine.outcome if machine.intact else "damaged in the store"
            lines.append(f"{name}: {what} {machine.detail}".strip())
            status = max(status, HARNESS)
            alarms[f"machine {name}"] = {"kind": "machine", "nights": 0, "worse": True}
    if any(alarm["worse"] and alarm["kind"] == "row" for alarm in alarms.values()):
        status = max(status, WORSE)
    return Decision(status, alarms, tuple(lines))


def _opened(moved: Moved) -> Said:
    return {
        "kind": "row",
        "nights": 0,
        "worse": moved.worse,
        "machine": moved.machine,
        "row": moved.id,
        "before": moved.before.value,
        "limit": moved.limit,
        "said": moved.sentence(),
    }


def _still_open(was: dict[str, Said], known: list[Night]) -> dict[str, Said]:
    """Alarms about rows stand until the row is back where it was, or has stayed for as many nights
    as make a level of its own. All others are judged anew every night."""
    last: dict[str, Night] = {n.machine: n for n in known if n.kind == NIGHT}
    still = {}
    for name, alarm in was.items():
        if alarm["kind"] != "row" or alarm["nights"] + 1 >= SEGMENT_LEAST:
            continue
        night = last.get(alarm["machine"])
        row = night.rows.get(alarm["row"]) if night is not None else None
        apart = abs(row.value / alarm["before"] - 1) if row is not None else 1.0
        if apart > max(alarm["limit"], 0.0):
            still[name] = {**alarm, "nights": alarm["nights"] + 1}
    return still


def _screen_lines(screen: Screen) -> list[str]:
    lines = [f"{screen.machine}: {fact}: {a} to {b}" for fact, a, b in screen.environment]
    if screen.unlike:
        lines.append(f"{screen.machine}: asked otherwise than before: {_some(screen.unlike)}")
    if screen.gone:
        lines.append(f"{screen.machine}: not measured any more: {_some(screen.gone)}")
    return lines


def _some(rows: tuple[str, ...]) -> str:
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return ", ".join(rows[:3]) + more


def clock_lines(known: list[Night], run: str) -> list[str]:
    """What is to be said if the computer's clock goes backwards from one night to the next."""
    order = [n for n in known if n.kind == NIGHT]
    at = next((i for i, night in enumerate(order) if night.run == run), 0)
    earlier = [night for night in order[:at] if night.utc > order[at].utc]
    if not earlier:
        return []
    return [
        f"the clock was set back: {run} says {order[at].utc}, {earlier[-1].run} before it"
        f" {earlier[-1].utc}; nights stay in the order in which they came"
    ]


def state_of(decision: Decision) -> str:
    """A word and what it is about: if this changes, somebody is told."""
    if not decision.open:
        return "quiet"
    return "alarm: " + "; ".join(sorted(decision.open))


def headline_of(said: Said) -> str:
    stands = len(said["open"])
    return f"night {said['run']}: " + (several(stands, "alarm") if stands else "quiet")


# ---- telling somebody ---------------------------------------------------------------------------


def tell(results: Path, said: Said) -> None:
    """Runs the command of TICKMARK_NOTIFY if the state is another than it was last told: the state
    in its environment, the lines on its input. If it fails it is tried again the next night."""
    command = os.environ.get("TICKMARK_NOTIFY", "")
    mark = results / NOTIFIED
    if not command or _told(mark) == said["state"]:
        return
    text = "\n".join([headline_of(said), *map(str, said["lines"])]) + "\n"
    first = said["state"].partition(":")[0]
    environment = {**os.environ, "TICKMARK_STATE": first, "TICKMARK_RUN": said["run"]}
    try:
        done = subprocess.run(
            shlex.split(command),
            input=text,
            text=True,
            errors="replace",
            env=environment,
            timeout=NOTIFY_SECONDS,
        )
        problem = f"ended with {done.returncode}" if done.returncode else ""
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        problem = clean(str(error), 200)
    if problem:
        say(f"TICKMARK_NOTIFY: {problem}; it is tried again the next night")
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    replace_file(mark, json.dumps({"state": said["state"], "run": said["run"]}).encode())


def _told(mark: Path) -> str:
    """The state that was told last; a first night that is quiet is nothing to tell."""
    try:
        return str(json.loads(mark.read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return "quiet"


# ---- render, prune ------------------------------------------------------------------------------


def render_night(results: Path, given: Given, claims: Claims) -> int:
    """The report of a night, with what the nights before say."""
    from reports.history_page import nights_view
    from reports.write import write_report

    run = _run(results, given["run"])
    if run is None:
        say(f"nothing was recorded of {given['run']}: the page stays as it is")
        return 0
    report = make_report(claims, run)
    write_report(report, results / "report", lambda _: None, nights_view(results, run, claims))
    say(f"page: {results / 'report' / 'index.html'}")
    return 0


def prune(results: Path, given: Given, claims: Claims) -> int:
    """Samples, streams and traces of old nights go; the ledger stays."""
    keep = int(given.get("keep", KEEP))
    with open_ledger(_ledger(results)) as ledger:
        known, _ = nights(ledger, 1 << 30)
        said = verdicts(ledger)
    old = prunable(known, said, keep)
    for run in old:
        prune_night(results, run)
        again = again_of(run)
        prune_night(results, again)
    if old:
        say(f"samples of {several(len(old), 'night')} pruned; the ledger keeps their numbers")
    return 0


def prunable(known: list[Night], said: dict[str, Said], keep: int) -> list[str]:
    """Nights whose samples may go: all but the newest `keep`, the first of each month, and those
    with an alarm. Only what was judged."""
    order = list(dict.fromkeys(night.run for night in known if night.kind == NIGHT))
    months: dict[str, str] = {}
    for night in known:
        if night.kind == NIGHT:
            months.setdefault(night.utc[:7], night.run)
    first = set(months.values())
    return [
        run
        for run in (order[:-keep] if keep else order)
        if run in said and run not in first and not said[run].get("open")
    ]


def done(results: Path, given: Given, claims: Claims) -> int:
    """0 if the night was judged; a night of which nothing was recorded has nothing to judge."""
    if not _ledger(results).is_file():
        return HARNESS
    with open_ledger(_ledger(results)) as ledger:
        return 0 if given["run"] in verdicts(ledger) else HARNESS


# ---- silence ------------------------------------------------------------------------------------


def silence(results: Path, given: Given, claims: Claims) -> int:
    """40 if no night was judged within so many hours: a campaign that stopped says nothing."""
    hours = int(given.get("hours", HOURS))
    try:
        with open_ledger(_ledger(results)) as ledger:
            said = verdicts(ledger)
    except StoreError as error:
        say(f"silence: no night can be read: {error}")
        return HARNESS
    times = {run: moment_of(str(one.get("judged", ""))) for run, one in said.items()}
    judged = [(moment, run) for run, moment in times.items() if moment is not None]
    if not judged:
        say("silence: no night was ever judged")
        return HARNESS
    moment, run = max(judged)
    age = (now() - moment).total_seconds() / 3600
    if age < -1:
        say(f"silence: night {run} was judged {-age:.0f} hours from now: the clock was set back")
        return HARNESS
    if age > hours:
        say(f"silence: the last night, {run}, was judged {age:.0f} hours ago, {hours} are allowed")
        return HARNESS
    say(f"the last night, {run}, was judged {max(age, 0):.0f} hours ago")
    return 0


STAGES: dict[str, Callable[[Path, Given, Claims], int]] = {
    "import": import_night,
    "doubts": doubts,
    "judge": judge_night,
    "render": render_night,
    "prune": prune,
    "done": done,
}


def night(results: Path, given: Given, claims: Claims) -> int:
    if given["stage"] not in STAGES:
        print(f"stage={clean(given['stage'], 40)}: one of {', '.join(STAGES)}", file=sys.stderr)
        return 2
    return STAGES[given["stage"]](results, given, claims)


NIGHT_COMMANDS: dict[str, Callable[[Path, Given, Claims], int]] = {
    "night": night,
    "silence": silence,
}
