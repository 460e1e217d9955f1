# SPDX-License-Identifier: MIT
"""The targets: every folder targets/NAME with an SConscript, and its machines.py."""

from __future__ import annotations

import glob
import importlib.util
import os
import sys
from types import ModuleType


def load(name: str) -> ModuleType:
    """targets/NAME/machines.py, whose contents targets/README.md describes."""
    path = os.path.join("targets", name, "machines.py")
    specification = importlib.util.spec_from_file_location(f"machines_of_{name}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Before it runs: a dataclass looks its own module up.
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


TARGETS: dict[str, ModuleType] = {
    name: load(name)
    for name in sorted(
        (os.path.basename(os.path.dirname(path)) for path in glob.glob("targets/*/SConscript")),
        reverse=True,  # qemu is the default and comes first
    )
}


def image(target: str) -> str:
    return f"build/{target}/{TARGETS[target].IMAGE}"
