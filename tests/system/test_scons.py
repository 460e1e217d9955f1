# SPDX-License-Identifier: MIT
"""The commands as a person types them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from system_run import ROOT, scons

sys.path.insert(0, str(ROOT / "site_scons"))
import options as option_words  # noqa: E402

WRONG = [
    (["target=qmeu", "bench"], "qemu, host"),
    (["target=baremetal", "bench"], "say where the machine is: port=/dev/ttyUSB0"),
    (["target=host,baremetal", "bench"], "say where the machine is"),
    (["target=baremetal", "port=x", "output=text", "bench"], "choose quick"),
    (["target=qemu", "port=/dev/ttyUSB0", "bench"], "port= does not apply to target=qemu"),
    (["target=baremetal", "port=x", "speed=300", "bench"], "give a number from 1200"),
    (["target=baremetal", "list"], "those of target=qemu"),
    (["image"], "scons target=baremetal image"),
    (["target=qemu", "image"], "scons target=baremetal image"),
    (["target=baremetal", "memory=1G", "image"], "it is for bench, debug"),
    (["machine=smt", "bench"], "exact, kvm, smp"),
    (["machine=exact", "cpus=4", "bench"], "only to machine=smp"),
    (["machine=exact,kvm", "numa=2", "bench"], "only to machine=smp"),
    (["target=host", "cpus=4", "bench"], "only to target=qemu"),
    (["cpus=4", "debug", "filter=heap/pair_64/hybrid"], "machine=exact, only to machine=smp"),
    (["cpus=4", "list"], "it is for bench, debug"),
    (["cpus=65", "bench"], "1 to 64"),
    (["numa=0", "bench"], "1 to 8"),
    (["disk=/no/such/file", "bench"], "no such file"),
    (["disk=docs", "machine=smp", "bench"], "this is a folder"),
    (["disk=README.md", "target=host", "bench"], "give target=host a folder"),
    (["writes=on", "test"], "it is for bench, debug"),
    (["writes=yes", "bench"], "on, off"),
    (["target=host", "machine=exact", "bench"], "target=host"),
    (["suites=hepa", "bench"], "heap, ipc"),
    (["suites=", "bench"], "leave suites= out"),
    (["target=", "bench"], "leave target= out"),
    (["target=host", "suites=paging", "bench"], "only on target=qemu"),
    (["target=qemu,host", "suites=heap,paging", "bench"], "only on target=qemu"),
    (["rounds=0", "bench"], "1 to 1024"),
    (["size=big", "bench"], "quick, full"),
    (["colour=red", "bench"], "suites"),
    (["bnech"], "bench"),
    (["compare"], "say a="),
    (["trace", "run=none"], "no such trace"),
    (["trace=on", "output=text", "bench"], "output=framed"),
    (["check=x", "bench"], "trace"),
    (["nightly", "check=x"], "silence"),
    (["bisect"], "say row="),
    (["import"], "say file="),
    (["run=latest", "bench"], "report"),
    (["debug"], "filter="),
    (["disasm"], "filter="),
    (["filter=no/such/row", "disasm"], "no such row"),
    (["variants=/no/such/folder", "bench"], "no such folder"),
    (["target=qemu", "memory=63", "bench"], "64M to 64G"),
    (["target=qemu", "memory=65G", "bench"], "64M to 64G"),
    (["target=qemu", "memory=1T", "bench"], "64M to 64G"),
    (["target=host", "memory=512", "bench"], "only to target=qemu"),
]
# An option that is wrong by itself, one that does not go with another, an alias.
THROUGH_SCONS = [["rounds=0", "bench"], ["target=host", "memory=512", "bench"], ["bnech"]]


def refusal(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str | None:
    """What the options say to these words; None: it is the command that refuses them."""
    monkeypatch.chdir(ROOT)
    values = dict(word.split("=", 1) for word in words if "=" in word)
    try:
        option_words.read(values, [word for word in words if "=" not in word])
    except option_words.UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "words,hint", WRONG, ids=lambda v: "-".join(v) if isinstance(v, list) else ""
)
def test_a_wrong_word_gets_one_line_and_status_2(
    words: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = refusal(words, monkeypatch)
    if text is not None:
        assert hint in text and "\n" not in text
        if words not in THROUGH_SCONS:  # SConstruct does the same with all of them
            return
    done = scons("-Q", *words)
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith("tickmark")
    ]
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(said) == 1 and hint in said[0], said
    assert text is None or said[0] == f"tickmark: {text}"


def test_help_names_commands_options_and_choices() -> None:
    done = scons("-h")
    for word in ("bench", "list", "disasm", "target=", "suites=", "exact", "heap", "ipc"):
        assert word in done.stdout
    assert "writes=" in done.stdout and "may write to disks" in done.stdout
    assert "no letter: MiB" in done.stdout and "TICKMARK_PEERS=FOLDER" in done.stdout


def test_list_shows_rows_meanings_and_costs() -> None:
    done = scons("-Q", "list", "suites=heap")
    assert done.returncode == 0
    assert "heap/pair_64/hybrid" in done.stdout
    assert "operations a window" in done.stdout
    assert "ipc/pair_56" not in done.stdout


def test_list_of_a_target_shows_what_only_it_has() -> None:
    done = scons("-Q", "list", "target=qemu", "suites=paging")
    assert done.returncode == 0
    assert "paging/lazy_touch/live" in done.stdout and "paging/shootdown_1/live" in done.stdout
    assert "pages/map_4k" not in done.stdout
    assert "paging/" not in scons("-Q", "list").stdout


def test_disasm_shows_the_measured_code() -> None:
    done = scons("-Q", "disasm", "filter=ipc/pair_56/floor")
    assert done.returncode == 0
    assert "<ipc_pair_56__floor>:" in done.stdout
    assert "ret" in done.stdout


def test_compile_commands_name_every_source() -> None:
    entries = json.loads((ROOT / "compile_commands.json").read_text())
    named = {entry["file"] for entry in entries}
    for source in ("kernel/memory/buddy.c", "trace/wire.c", "bench/recorder/main.c"):
        assert any(name.endswith(source) for name in named), source


def test_debug_stops_gdb_at_the_body() -> None:
    done = subprocess.run(
        ["scons", "-Q", "debug", "filter=heap/pair_64/hybrid"],
        cwd=ROOT,
        input="bt 1\nkill\nquit\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "#0  heap_pair_64__hybrid" in done.stdout, done.stdout + done.stderr


def test_text_output_of_the_kernel_is_for_a_person() -> None:
    done = scons("-Q", "bench", "output=text", "filter=ipc/pair_0/fusion_spsc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok 1 - ipc/pair_0/fusion_spsc" in done.stdout
    assert done.stdout.rstrip().endswith("# bench-end")


README = (ROOT / "README.md").read_text()
BUMP_H, BUMP_C = re.findall(r"```c\n(.*?)```", README, re.S)


def rows_listed(folder: Path, *words: str) -> str:
    done = scons("-Q", "list", "suites=heap", *words, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def built_clone(clone: Path) -> Path:
    """A copy of the working tree as it is built: what a person who adds something has, and what is
    not touched is not compiled once more."""
    shutil.copytree(ROOT / "build", clone / "build", symlinks=True)
    shutil.copy2(ROOT / ".sconsign.dblite", clone)
    return clone


def test_a_variant_outside_is_a_folder(built_clone: Path, tmp_path: Path) -> None:
    clone = built_clone
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "heap_bump.h").write_text(BUMP_H)
    (mine / "heap_bump.c").write_text(BUMP_C)
    assert "heap/pair_64/bump" in rows_listed(clone, f"variants={mine}")
    # The tests of all heaps run on it: all of them in a soak, else one program's.
    if os.environ.get("TICKMARK_SOAK") == "1":
        tested = scons("-Q", "test", f"variants={mine}", folder=clone)
        assert tested.returncode == 0, tested.stdout + tested.stderr
        assert tested.stdout.rstrip().endswith("mine pass, beside those from here")

    def found_by(program: str) -> subprocess.CompletedProcess[str]:
        built = scons("-Q", program, f"variants={mine}", folder=clone)
        assert built.returncode == 0, built.stdout + built.stderr
        return subprocess.run([clone / program], cwd=clone, capture_output=True, text=True)

    tested = found_by("build/test/test_heap")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "bump, small: SEED=" in tested.stdout and "hybrid, small: SEED=" in tested.stdout
    # They find what is wrong with it.
    (mine / "heap_bump.h").write_text(BUMP_H.replace("size : 1, 16)", "size : 1, 8)"))
    tested = found_by("build/test/test_heap")
    assert tested.returncode != 0 and "is not aligned" in tested.stdout


def test_a_variant_inside_is_two_files_and_two_lines(built_clone: Path) -> None:
    clone = built_clone
    (clone / "kernel/memory/heap_bump.h").write_text(BUMP_H)
    (clone / "kernel/memory/heap_bump.c").write_text(BUMP_C)
    table = clone / "kernel/memory/heap_variants.h"
    text = table.read_text()
    text = text.replace(
        '#include "heap_floor.h"', '#include "heap_bump.h"\n#include "heap_floor.h"'
    )
    table.write_text(text.replace("X(floor) ", "X(floor) X(bump)", 1))
    assert "heap/pair_64/bump" in rows_listed(clone)
    # It is measured and tested like every other one.
    words = "output=text filter=heap/*/bump rounds=2 samples=4"
    done = subprocess.run(
        [clone / "build/host/tickmark", words], capture_output=True, text=True, timeout=60
    )
    good = {line.split("/")[1] for line in done.stdout.splitlines() if line.startswith("ok ")}
    bad = [line for line in done.stdout.splitlines() if line.startswith("not ok ")]
    assert good >= {"pair_64", "lifo_64", "alloc_64", "random_1000"}
    assert len(bad) == 1 and "heap/mixed_large/bump # failed" in bad[0], done.stdout


def test_the_walkthrough_is_formatted() -> None:
    for text in (BUMP_H, BUMP_C):
        done = subprocess.run(
            ["clang-format", "--dry-run", "-Werror", "--assume-filename=heap_bump.h"],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
