# SPDX-License-Identifier: MIT
"""Links that open a trace in the Perfetto UI at a moment, with the tracks that matter pinned.

The UI fetches the trace from this computer: such a link works while `scons trace` serves it.
"""

from __future__ import annotations

import json
import re
import urllib.parse

UI = "https://ui.perfetto.dev"
ADDRESS, PORT = "127.0.0.1", 9001
MARGIN = 20  # of a moment's length is a part of so many shown on both sides
INTERRUPTS = "Irq Cpu"


def link(
    name: str, port: int = PORT, shown: tuple[int, int] | None = None, pinned: str = ""
) -> str:
    """`name`: what the server calls the trace. `shown`: from when to when, nanoseconds of the
    trace. `pinned`: a regular expression for names of tracks."""
    url = f"http://{ADDRESS}:{port}/{urllib.parse.quote(name)}"
    address = f"{UI}/#!/?url={url}&referrer=open_trace_in_ui"
    if shown is not None:
        begin, end = shown
        address += f"&visStart={max(begin, 0)}&visEnd={max(end, begin + 1)}"
    if pinned:
        commands = [{"id": "dev.perfetto.PinTracksByRegex", "args": [pinned]}]
        text = json.dumps(commands, separators=(",", ":"))
        address += f"&startupCommands={urllib.parse.quote(text, safe='')}"
    return address


def around(begin: int, end: int) -> tuple[int, int]:
    """A little more than the moment takes."""
    margin = max((end - begin) // MARGIN, 1)
    return max(begin - margin, 0), end + margin


def row_tracks(row: str) -> str:
    """The tracks of a row, suite/case/variant: its phases, its thread, interrupts."""
    suite, _, rest = row.partition("/")
    variant = rest.rpartition("/")[2]
    return "|".join(
        [f"^{re.escape(row)}$", f"^{re.escape(variant)}( |$)", f"^{re.escape(suite)}( |$)"]
        + [f"^{INTERRUPTS}"]
    )


def served_name(run: str, machine: str, file: str) -> str:
    return f"{run}/{machine}/{file}"
