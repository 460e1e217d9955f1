# SPDX-License-Identifier: MIT
"""Other people's mechanisms that are headers: which of them are here, and where they lie."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import Any

from build import write_value
from SCons.Action import Action

Env = Any

# Macro in ipc_peers_built.h, name of the package's pkg-config file, our headers over it.
PACKAGES = [
    ("CK", "ck", ["ring_ck_ring.h"]),
    ("DPDK", "libdpdk", ["ring_rte_ring.h", "ring_rte_ring_elem64.h"]),
    ("URCU", "liburcu", ["ring_wfcqueue.h"]),
]


def _asked(*words: str) -> str:
    """What pkg-config says; nothing where it, or the package, is not there."""
    try:
        done = subprocess.run(["pkg-config", *words], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


BOOST = ["ring_boost_spsc.h", "ring_boost_queue.h"]
BOOST += ["ring_fusion_spsc_called.h", "ring_fusion_mpmc_called.h"]
BOOST_SOURCE = "bench/suites/peers/ring_boost.cc"


@cache
def _boost() -> str:
    """Its version; nothing where it, or a compiler for it, is not there."""
    headers = ("lockfree/spsc_queue.hpp", "lockfree/queue.hpp", "version.hpp")
    text = "".join(f"#include <boost/{header}>\n" for header in headers)
    try:
        done = subprocess.run(
            ["g++", "-E", "-dM", "-x", "c++", "-"], input=text, capture_output=True, text=True
        )
    except FileNotFoundError:
        return ""
    found = re.search(r'^#define BOOST_LIB_VERSION "(\w+)"', done.stdout, re.M)
    return found[1].replace("_", ".") if done.returncode == 0 and found else ""


def boost_objects(env: Env, flags: list[str]) -> list[Any]:
    """What is C++, where it can be built."""
    if not _boost():
        return []
    words = [word for word in flags if not word.startswith("-std=")]
    words += ["-march=x86-64"]  # with its vector registers, as whoever uses it builds it
    words += ["-std=gnu++17", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Werror"]
    target = "#build/host/" + BOOST_SOURCE.replace(".cc", ".o")
    made: list[Any] = env.Object(target, "#" + BOOST_SOURCE, CXXFLAGS=words, CCFLAGS=[])
    return made


def peers_headers(env: Env) -> list[str]:
    """Writes ipc_peers_built.h; the flags that find those headers."""
    lines = ["// Generated: those of peers' headers that are here."]
    folders: list[str] = []
    for macro, package, headers in PACKAGES:
        version = _asked("--modversion", package)
        lines.append(f'#define IPC_PEER_{macro}_VERSION "{version}"')
        lines.append(f"#define IPC_PEER_{macro}(...)" + " __VA_ARGS__" * bool(version))
        lines += [f'#include "{header}"' for header in headers if version]
        found = _asked("--cflags-only-I", "--keep-system-cflags", package).split()
        folders += [word.removeprefix("-I") for word in found if version]
    lines.append(f'#define IPC_PEER_BOOST_VERSION "{_boost()}"')
    lines.append("#define IPC_PEER_BOOST(...)" + " __VA_ARGS__" * bool(_boost()))
    lines += [f'#include "{header}"' for header in BOOST if _boost()]
    text = "\n".join(lines) + "\n"
    env.Command(
        "#build/generated/ipc_peers_built.h",
        env.Value(text),
        Action(write_value, env["WRITESTR"]),
    )
    return [word for folder in dict.fromkeys(folders) for word in ("-isystem", folder)]


def system_headers() -> list[str]:
    """The flags that find the C library's headers where -nostdinc hides them."""
    words = ["gcc", "-print-multiarch"]
    machine = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return ["-isystem", f"/usr/include/{machine}", "-isystem", "/usr/include"]
