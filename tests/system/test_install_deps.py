# SPDX-License-Identifier: MIT
"""./install-deps asks for the packages that are missing, with peers only when they are wanted.
Instead of Debian's programs it finds some that write down what is asked of them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from system_run import ROOT

PEER = "libjemalloc2"
QUERY = """#!/bin/sh
for package in "$@"; do :; done
case " $MISSING " in *" $package "*) exit 1 ;; esac
[ "$MISSING" = all ] && exit 1
printf installed
"""
GET = """#!/bin/sh
echo "$@" >>"$ASKED"
exit "${FAILS:-0}"
"""


class Deps:
    """Runs the script in a world where some packages are missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("dpkg-query", QUERY), ("apt-get", GET), ("sudo", '#!/bin/sh\n"$@"\n')):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(
        self, *words: str, missing: str = "", fails: str = "0"
    ) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        world = {"MISSING": missing, "FAILS": fails, "ASKED": str(self.folder / "asked")}
        return subprocess.run(
            [ROOT / "install-deps", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path, **world},
        )

    def installed(self) -> list[str]:
        """What apt-get was told to install, call by call."""
        asked = self.folder / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        return [line for line in lines if " install " in f" {line} "]


@pytest.fixture
def deps(tmp_path: Path) -> Deps:
    return Deps(tmp_path)


def listed(*, peers: bool) -> set[str]:
    text = (ROOT / "packages").read_text()
    if not peers:
        text = text[: text.index("# ---- peers")]
    return set(re.sub(r"#.*", "", text).split())


def test_nothing_is_installed_when_nothing_is_missing(deps: Deps) -> None:
    for words in ((), ("--peers",)):
        done = deps.run(*words)
        assert (done.returncode, done.stdout) == (0, "install-deps: everything is installed\n")
    assert deps.installed() == []


def test_peers_are_not_installed_unless_they_are_asked_for(deps: Deps) -> None:
    assert deps.run(missing=PEER).stdout == "install-deps: everything is installed\n"
    assert deps.installed() == []
    assert deps.run("--peers", missing=PEER).returncode == 0
    (line,) = deps.installed()
    assert line.split()[-1] == PEER and "libmimalloc2.0" not in line


def test_the_list_s_two_parts_are_all_there_is_to_install(deps: Deps) -> None:
    assert deps.run(missing="all").returncode == 0
    assert deps.run("--peers", missing="all").returncode == 0
    without, with_peers = (
        {word for word in line.split() if word[0] != "-"} - {"install"} for line in deps.installed()
    )
    assert without == listed(peers=False) and with_peers == listed(peers=True)
    assert PEER in with_peers - without and {"scons", "gcc", "check"} <= without


def test_only_what_is_missing_is_asked_for(deps: Deps) -> None:
    assert deps.run(missing="check gdb").returncode == 0
    (line,) = deps.installed()
    assert line.split()[-2:] == ["gdb", "check"]


def test_a_failed_install_is_tried_once_more_after_an_update_and_then_said(deps: Deps) -> None:
    done = deps.run(missing="gdb", fails="1")
    assert done.returncode == 1 and "could not install: gdb" in done.stderr
    asked = (deps.folder / "asked").read_text().splitlines()
    assert len(deps.installed()) == 1 and asked[-1].startswith("update")


def test_an_option_that_there_is_not_is_refused(deps: Deps) -> None:
    done = deps.run("--everything", missing="gdb")
    assert done.returncode == 1 and "--everything" in done.stderr and "--peers" in done.stderr
    assert deps.installed() == []


def test_ci_measures_peers() -> None:
    assert "./install-deps --peers\n" in (ROOT / ".ci/run").read_text()
