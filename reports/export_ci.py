# SPDX-License-Identifier: MIT
"""Pure exports of a run for CI systems: verdicts as tests that pass and fail."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from reports.document import Report
from reports.exports import Export, benchfmt, google_benchmark, openmetrics, to_csv
from reports.judge import Judgement
from reports.measure import status_of, summarise
from reports.store import Machine
from reports.text import quantity

ORIGIN = "tickmark"
PASSES = ("met", "exceeded")


# ---- JUnit --------------------------------------------------------------------------------------


def junit(report: Report) -> Export:
    """A suite for each machine: its claims as tests, which fail where they are not met and are
    skipped where nothing can be said; and its rows, which are errors where they gave no number."""
    root = ElementTree.Element("testsuites", name=f"tickmark {report.run.id}")
    for machine in report.run.machines:
        suite = ElementTree.SubElement(root, "testsuite", name=machine.name)
        if machine.utc and machine.utc != "unknown":
            suite.set("timestamp", machine.utc.removesuffix("Z"))
        counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        _machine_case(suite, machine, counted)
        for judgement in report.verdicts.judgements:
            if judgement.machine == machine.name:
                _claim_case(suite, judgement, counted)
        for (name, aa), row in sorted(machine.rows.items()):
            if aa == 0:
                counted["tests"] += 1
                case = _case(suite, f"rows.{name.partition('/')[0]}", name)
                if status_of(row) != "ok":
                    counted["errors"] += 1
                    _said(case, "error", status_of(row), machine.rejection(name))
        for key, value in counted.items():
            suite.set(key, str(value))
        suite.set("time", "0")
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", "0")
    ElementTree.indent(root, " ")
    body = ElementTree.tostring(root, encoding="unicode")
    return Export(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n')


def _machine_case(suite: ElementTree.Element, machine: Machine, counted: dict[str, int]) -> None:
    case = _case(suite, "machine", "whole")
    counted["tests"] += 1
    if not machine.intact:
        counted["errors"] += 1
        _said(case, "error", "damaged in the store", "")
    elif not machine.complete:
        counted["errors"] += 1
        _said(case, "error", machine.outcome, machine.detail)


def _claim_case(suite: ElementTree.Element, judgement: Judgement, counted: dict[str, int]) -> None:
    case = _case(suite, f"claims.{judgement.claim.design}", judgement.claim.id)
    counted["tests"] += 1
    shown = quantity(judgement.value, judgement.unit) if judgement.value is not None else ""
    if judgement.verdict == "not met":
        counted["failures"] += 1
        _said(case, "failure", f"not met: {shown}", judgement.note)
    elif judgement.verdict not in PASSES:
        counted["skipped"] += 1
        ElementTree.SubElement(case, "skipped", message=_xml(judgement.verdict))


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", classname=_xml(group), name=_xml(name), time="0"
    )


def _said(case: ElementTree.Element, kind: str, message: str, more: str) -> None:
    told = ElementTree.SubElement(case, kind, message=_xml(message), type=_xml(kind))
    told.text = _xml(more)


def _xml(text: str) -> str:
    """Without what XML 1.0 has no way to say; what comes from the store has been cleaned, and
    this holds of any text."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


# ---- KCIDB --------------------------------------------------------------------------------------


def kcidb(report: Report) -> Export:
    """KernelCI's common reports, schema 4.0: the run is a checkout, each machine a build, each row
    and each claim a test. Ids are unique and in lower case, and no property is null."""
    first = report.run.machines[0]
    checkout: dict[str, Any] = {"id": _id(report.run.id), "origin": ORIGIN, "valid": True}
    checkout |= {"misc": {"run": report.run.id, "local_changes": first.dirty}}
    if re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", first.commit):
        checkout["git_commit_hash"] = first.commit
    builds, tests = [], []
    for machine in report.run.machines:
        build_id = _id(report.run.id, machine.name)
        build = {
            "id": build_id,
            "origin": ORIGIN,
            "checkout_id": checkout["id"],
            "architecture": "x86_64",
            "valid": machine.intact,
            "misc": {"machine": machine.name, "clock": machine.clock, "outcome": machine.outcome},
        }
        compiler = dict(machine.facts).get("build.compiler")
        builds.append({**build, "compiler": compiler} if compiler else build)
        tests += _kcidb_rows(machine, build_id)
        tests += [
            _kcidb_test(build_id, machine, "claim." + j.claim.id, _STATUS[j.verdict], _misc(j))
            for j in report.verdicts.judgements
            if j.machine == machine.name
        ]
    document = {
        "version": {"major": 4, "minor": 0},
        "checkouts": [checkout],
        "builds": builds,
        "tests": tests,
    }
    return Export(json.dumps(document, indent=1, allow_nan=False) + "\n")


_STATUS = {
    "met": "PASS",
    "exceeded": "PASS",
    "not met": "FAIL",
    "not shown": "DONE",
    "not judged here": "DONE",
    "no data": "SKIP",
}


def _id(*parts: str) -> str:
    """Lower case and safe in an address; what that makes alike, a digest keeps apart."""
    text = "/".join(parts)
    safe = re.sub(r"[^a-z0-9_./-]+", "_", text.lower())
    if safe != text:
        safe += "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{ORIGIN}:{safe}"


def _kcidb_test(
    build_id: str, machine: Machine, path: str, status: str, misc: dict[str, Any]
) -> dict[str, Any]:
    test = {
        "id": _id(machine.run, machine.name, path),
        "origin": ORIGIN,
        "build_id": build_id,
        "path": "tickmark." + re.sub(r"[^.a-zA-Z0-9_-]", "_", path.replace("/", ".")),
        "status": status,
        "environment": {"misc": {"machine": machine.name, "clock": machine.clock}},
        "misc": {key: value for key, value in misc.items() if value is not None},
    }
    moment = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", machine.utc)
    return {**test, "start_time": moment[1] + "+00:00"} if moment else test


def _kcidb_rows(machine: Machine, build_id: str) -> list[dict[str, Any]]:
    found = []
    for (name, aa), row in sorted(machine.rows.items()):
        if aa:
            continue
        status = status_of(row)
        summary = summarise(row) if status == "ok" else None
        misc = {
            "row": name,
            "unit": row.unit,
            "median": summary.p50 if summary else None,
            "n": summary.n if summary else None,
            "problem": None if status == "ok" else status,
        }
        read = "DONE" if status == "ok" else "ERROR"
        found.append(_kcidb_test(build_id, machine, f"row.{name}", read, misc))
    return found


def _misc(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "value": judgement.value,
        "low": judgement.low,
        "high": judgement.high,
        "unit": judgement.unit or None,
        "note": judgement.note or None,
    }


# Each with the name of the file that `scons export` writes.
FORMATS: dict[str, tuple[str, Callable[[Report], Export]]] = {
    "google-benchmark": ("google-benchmark.json", google_benchmark),
    "benchfmt": ("bench.txt", benchfmt),
    "junit": ("junit.xml", junit),
    "openmetrics": ("metrics.txt", openmetrics),
    "kcidb": ("kcidb.json", kcidb),
    "csv": ("rows.csv", to_csv),
}
