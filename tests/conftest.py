# SPDX-License-Identifier: MIT
"""How the tests are shared out between two processes (pytest-xdist): one that runs commands as a
user would, which exclude each other on a machine, and one for all else."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# They take the lock of `scons bench`, or the port of the Perfetto UI.
COMMANDS = ("system/", "trace/test_serve_trace.py", "trace/test_browser_fetch.py")
ONE_BY_ONE = ("boot/", "contract/")  # each test boots machines of its own


def group_of(path: str) -> str | None:
    """The group that must stay in one process, in order; None: any test anywhere."""
    if path.startswith(COMMANDS):
        return "commands"
    if path.startswith("trace/"):
        return "trace"  # they look at the same traces, made once
    return None if path.startswith(ONE_BY_ONE) else path


# First: xdist writes the groups into the tests' names, and its hook would come before this one.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {item: item.path.relative_to(HERE).as_posix() for item in items}
    for item in items:
        group = group_of(places[item])
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))
    # The longest chain first: the other process fills up the time beside it.
    items.sort(key=lambda item: group_of(places[item]) != "commands")


# ---- what tests cost ----------------------------------------------------------------------------
# TICKMARK_TEST_TIMES names a file for the seconds of CPU that each file of tests took.

CPU = "cpu_seconds"
spent: Counter[str] = Counter()  # of each file
_before = 0.0


def cpu_seconds() -> float:
    """Of this process and all that it started and waited for."""
    return sum(os.times()[:4])


def pytest_collection_finish() -> None:
    global _before
    _before = cpu_seconds()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, "pytest.CallInfo[pytest.TestReport]", None]:
    """Each of a test's phases carries what was spent since the last one."""
    global _before
    outcome = yield
    now = cpu_seconds()
    outcome.get_result().user_properties.append((CPU, now - _before))  # type: ignore[attr-defined]
    _before = now


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    spent[report.nodeid.partition("::")[0]] += dict(report.user_properties).get(CPU, 0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = os.environ.get("TICKMARK_TEST_TIMES")
    if path and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps(spent))
