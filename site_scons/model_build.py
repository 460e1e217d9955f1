# SPDX-License-Identifier: MIT
"""The model checker's programs (tests/model): the checker itself as any host program, what it looks
at as for ThreadSanitizer, whose calls it answers."""

from __future__ import annotations

import os
from typing import Any

from build import HOSTED, RACES, WARNINGS
from layers import BOTTOM, PORTABLE

Env = Any
Node = Any

# The checker switches stacks by hand, with the general registers only.
CHECKER = [*HOSTED, "-mgeneral-regs-only", "-mpopcnt", "-mbmi"]
# GCC doubts that libtsan understands fences. The checker does.
CHECKED = [*RACES, "-fno-pie", "-Wno-tsan"]
PARTS = ["explore", "hooks", "memory", "platform", "races", "sites"]
PROGRAMS = {
    "litmus": (["model_litmus"], ["litmus"]),
    "rings": (["model_rings", "weakenings"], ["ring_programs"]),
    "waits": (["model_waits", "weakenings"], ["wait_programs"]),
    "beside": (
        ["model_beside", "weakenings"],
        [f"{name}_programs" for name in ("pool", "pages", "seats", "holes")],
    ),
}


def model_object(env: Env, name: str, flags: list[str]) -> Node:
    folders = [*BOTTOM, *PORTABLE, "tests", "tests/model"]
    return env.Object(
        f"#build/model/{name}.o",
        f"#tests/model/{name}.c",
        CPPPATH=[f"#{folder}" for folder in folders] + ["#build/generated"],
        CPPDEFINES={
            "CONFIG_TRACE": 0,
            "CONFIG_ASSERT_SLOW": 0,
            "CONFIG_FRAME_POINTER": 1,
            "CONFIG_FIBERS": 0,
        },
        CCFLAGS=flags + WARNINGS,
    )


def model_programs(env: Env, races: Node) -> list[Node]:
    """build/test/model_*, over the objects of the mechanisms that the race tests have."""
    parts = [model_object(env, f"model_{name}", CHECKER) for name in PARTS]
    made = []
    for program, (checkers, checked) in PROGRAMS.items():
        objects = [model_object(env, name, HOSTED) for name in checkers]
        objects += [model_object(env, name, CHECKED) for name in checked]
        made += env.Program(
            os.path.join("#build/test", f"model_{program}"),
            [*objects, *parts, races],
            LINKFLAGS=["-no-pie"],
            LIBS=["check", "subunit", "dw", "elf", "m", "rt", "pthread"],
        )
    return made
