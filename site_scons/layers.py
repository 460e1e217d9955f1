# SPDX-License-Identifier: MIT
"""The layers: which folders there are and what each may include. Includes point downwards only."""

from __future__ import annotations

BOTTOM = ["targets", "kernel/lib", "kernel/arch"]

# Each folder of C code with the folders whose headers it sees, besides its own.
INCLUDES: dict[str, list[str]] = {
    "kernel/lib": BOTTOM,
    "trace": BOTTOM,
    "kernel/memory": BOTTOM + ["trace"],
    "kernel/ipc": BOTTOM + ["trace", "kernel/memory", "kernel/sched"],
    "kernel/sched": BOTTOM + ["trace"],
    # Of the hardware, headers only: it is not in the portable object.
    "kernel/drivers": BOTTOM + ["trace", "kernel/memory", "kernel/sched", "kernel/hardware"],
    "kernel/hardware": BOTTOM + ["trace", "kernel/memory"],
    "kernel/machine": BOTTOM
    + ["trace", "kernel/memory", "kernel/ipc", "kernel/sched", "kernel/hardware", "kernel/drivers"],
    "bench/framework": BOTTOM + ["trace"],
    "bench/suites": BOTTOM
    + ["trace", "kernel/memory", "kernel/sched", "kernel/ipc", "kernel/drivers"]
    + ["kernel/hardware", "bench/framework"],
    "bench/suites/peers": BOTTOM
    + ["trace", "kernel/memory", "kernel/sched", "kernel/ipc", "kernel/drivers"]
    + ["kernel/hardware", "bench/framework", "bench/suites", "targets/host"],
    "bench/suites/machine": BOTTOM
    + ["trace", "kernel/memory", "kernel/ipc", "kernel/sched"]
    + ["kernel/hardware", "kernel/drivers", "kernel/machine", "bench/framework", "bench/suites"],
    "bench/recorder": ["targets", "kernel/lib", "trace", "bench/framework"],
}

# Compiled once for each flavour; the same object goes into every target.
PORTABLE = [
    "kernel/lib",
    "trace",
    "kernel/memory",
    "kernel/sched",
    "kernel/ipc",
    "kernel/drivers",
    "bench/framework",
    "bench/suites",
]


def include_path(folder: str) -> list[str]:
    """The folders searched for quoted includes, nearest first."""
    outside = BOTTOM + ["trace", "bench/framework", "kernel/sched"]
    outside += ["kernel/memory", "kernel/hardware", "kernel/drivers", "kernel/machine"]
    outside += ["kernel/ipc"]
    below = INCLUDES.get(folder, outside)
    return [folder] + [other for other in below if other != folder]
