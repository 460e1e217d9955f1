# SPDX-License-Identifier: MIT
"""Which peers, other people's implementations, could not be measured on a machine, and why."""

from __future__ import annotations

from reports.store import Machine
from reports.text import clean

FACTS = "guest.peers."
PROBLEM = ".problem"
ABSENT = "absent"
INSTALL = "./install-deps --peers"
# What a loader says of a file that is not there; anything else is a file that is of no use.
NO_FILE = ("no file", "No such file")


def absent_peers(machine: Machine) -> dict[str, str]:
    """The names of those that are not there, and why each is not."""
    facts = dict(machine.facts)
    return {
        key.removeprefix(FACTS): clean(facts.get(key + PROBLEM, "unknown"), 120)
        for key, value in machine.facts
        if key.startswith(FACTS) and value == ABSENT
    }


def absent_line(machine: Machine) -> str:
    """One line that says it; nothing if all are there."""
    absent = absent_peers(machine)
    missing = [name for name, why in absent.items() if any(text in why for text in NO_FILE)]
    said = []
    if missing:
        said.append(f"not installed: {', '.join(missing)} ({INSTALL} installs them)")
    said += [f"{name}: {why}" for name, why in absent.items() if name not in missing]
    return f"Peers without a row here: {'; '.join(said)}." if said else ""
