# SPDX-License-Identifier: MIT
"""The commands as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from system_run import ROOT, scons

WRONG = [
    (["target=qmeu", "bench"], "qemu, host"),
    (["target=baremetal", "bench"], "qemu, host"),
    (["machine=smp", "bench"], "exact, kvm"),
    (["target=host", "machine=exact", "bench"], "target=host"),
    (["suites=hepa", "bench"], "heap, ipc"),
    (["rounds=0", "bench"], "1 to 1024"),
    (["size=big", "bench"], "quick, full"),
    (["colour=red", "bench"], "suites"),
    (["bnech"], "bench"),
    (["trace", "run=none"], "no such trace"),
    (["trace=on", "output=text", "bench"], "output=framed"),
    (["check=x", "bench"], "trace"),
    (["nightly"], "arrives"),
    (["run=latest", "bench"], "report"),
    (["debug"], "filter="),
    (["disasm"], "filter="),
    (["filter=no/such/row", "disasm"], "no such row"),
    (["variants=/no/such/folder", "bench"], "no such folder"),
    (["target=qemu", "memory=1", "bench"], "256"),
]


@pytest.mark.parametrize(
    "words,hint", WRONG, ids=lambda v: "-".join(v) if isinstance(v, list) else ""
)
def test_a_wrong_word_gets_one_line_and_status_2(words: list[str], hint: str) -> None:
    done = scons("-Q", *words)
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith("tickmark")
    ]
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(said) == 1 and hint in said[0], said


def test_help_names_commands_options_and_choices() -> None:
    done = scons("-h")
    for word in ("bench", "list", "disasm", "target=", "suites=", "exact", "heap", "ipc"):
        assert word in done.stdout


def test_list_shows_rows_meanings_and_costs() -> None:
    done = scons("-Q", "list", "suites=heap")
    assert done.returncode == 0
    assert "heap/pair_64/hybrid" in done.stdout
    assert "operations a window" in done.stdout
    assert "ipc/pair_56" not in done.stdout


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


BUMP_H = """// SPDX-License-Identifier: MIT
#ifndef HEAP_BUMP_H
#define HEAP_BUMP_H
#include "compiler.h"
#include "heap.h"
struct heap_bump { uint8_t *start, *next, *end; uint64_t live, served; };
enum status heap_bump_init(void *heap, void *memory, size_t length);
void heap_bump_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_bump_check(const void *heap);
static inline void *heap_bump_allocate(void *heap, size_t size)
{
    struct heap_bump *bump = heap;
    uint8_t *object = bump->next;
    const size_t bytes = (size + 15) & ~(size_t)15;
    if (bytes > (size_t)(bump->end - object))
        return NULL;
    bump->next = object + bytes;
    bump->live++;
    bump->served++;
    return object;
}
static inline void heap_bump_release(void *heap, void *pointer, size_t size)
{
    struct heap_bump *bump = heap;
    (void)pointer, (void)size;
    if (--bump->live == 0)
        bump->next = bump->start;
}
static const struct heap_ops heap_bump_ops = {
    .about = {"bump", "bumps a pointer, starts over when all is free", VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_bump),
    .largest = 1 << 20,
    .init = heap_bump_init,
    .allocate = heap_bump_allocate,
    .release = heap_bump_release,
    .statistics = heap_bump_statistics,
    .check = heap_bump_check,
};
#endif
"""
BUMP_C = """// SPDX-License-Identifier: MIT
#include "heap_bump.h"
enum status heap_bump_init(void *heap, void *memory, size_t length)
{
    *(struct heap_bump *)heap = (struct heap_bump){
        .start = memory, .next = memory, .end = (uint8_t *)memory + length};
    return STATUS_OK;
}
void heap_bump_statistics(const void *heap, struct heap_statistics *statistics)
{
    const struct heap_bump *bump = heap;
    *statistics = (struct heap_statistics){.allocations = bump->served,
                                           .frees = bump->served - bump->live};
}
bool heap_bump_check(const void *heap)
{
    const struct heap_bump *bump = heap;
    return bump->next >= bump->start && bump->next <= bump->end;
}
"""


def rows_listed(folder: Path, *words: str) -> str:
    done = scons("-Q", "list", "suites=heap", *words, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_variant_outside_is_a_folder(clone: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "heap_bump.h").write_text(BUMP_H)
    (mine / "heap_bump.c").write_text(BUMP_C)
    assert "heap/pair_64/bump" in rows_listed(clone, f"variants={mine}")


def test_a_variant_inside_is_two_files_and_two_lines(clone: Path) -> None:
    (clone / "kernel/memory/heap_bump.h").write_text(BUMP_H)
    (clone / "kernel/memory/heap_bump.c").write_text(BUMP_C)
    table = clone / "kernel/memory/heap_variants.h"
    text = table.read_text()
    table.write_text(
        text.replace(
            '#include "heap_floor.h"', '#include "heap_bump.h"\n#include "heap_floor.h"'
        ).replace("X(floor) ", "X(floor) X(bump)", 1)
    )
    assert "heap/pair_64/bump" in rows_listed(clone)
    # It is measured like every other one.
    import subprocess

    done = subprocess.run(
        [str(clone / "build/host/tickmark"), "output=text filter=heap/pair_64 rounds=2 samples=4"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "- heap/pair_64/bump" in done.stdout, done.stdout
