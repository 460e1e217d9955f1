# SPDX-License-Identifier: MIT
"""What a row's definition changes with, tried on a copy of the tree, and what builds have in
common whatever the folder they were made in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from system_run import ROOT, copy_tree, scons

# As the build does it, in a process of its own: paths are relative to the tree.
PROGRAM = """
import glob, sys
import definitions
suites = sorted(glob.glob("bench/suites/*.c")) + sorted(glob.glob("bench/suites/peers/*.c"))
made = definitions.headers(suites, {"heap": [], "ring": []}, [], sys.argv[1:])
print("".join(made.values()), end="")
"""
HEAP, IPC = "bench/suites/heap_cases.h", "bench/suites/ipc_cases.h"
PREPARED = "bench/suites/heap_prepare.h"


def constants(folder: Path, *flags: str) -> dict[str, str]:
    """CASE_suite_case and VARIANT_suite_variant with their hashes."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, *(flags or ("-O2",))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "site_scons"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(re.findall(r"#define DEFINITION_(\w+) (\w+)", done.stdout))


Changed = Callable[..., set[str]]


@pytest.fixture
def changed(clone: Path) -> Changed:
    """Which constants an edit of one file changes, adds or takes away."""

    def edit(path: str, *pairs: tuple[str, str]) -> set[str]:
        before = constants(clone)
        text = (clone / path).read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{path} has {text.count(old)} of: {old}"
            text = text.replace(old, new)
        (clone / path).write_text(text)
        after = constants(clone)
        return {name for name in before | after if before.get(name) != after.get(name)}

    return edit


def named(folder: Path, prefix: str) -> set[str]:
    return {name for name in constants(folder) if name.startswith(prefix)}


def test_every_row_of_the_list_has_its_constants() -> None:
    listed = scons("-Q", "list").stdout
    assert "heap/pair_64/hybrid" in listed
    cases, variants = set(), set()
    for suite, case, variant in re.findall(r"^  (\w+)/(\w+)/(\w+)\b", listed, re.M):
        cases.add(f"CASE_{suite}_{case}")
        variants.add(f"VARIANT_{suite}_{variant}")
    found = constants(ROOT)
    assert len(cases) > 10 and len(variants) > 6
    # What only a machine with a second disk can be asked.
    elsewhere = {name for name in found if re.fullmatch(r"VARIANT_driver_\w+_virtio", name)}
    assert cases | variants == set(found) - elsewhere and elsewhere
    assert len({found[name] for name in cases}) == len(cases)


def of_machine(folder: Path) -> dict[str, str]:
    """The constants of the suites that only a machine has."""
    program = PROGRAM.replace("bench/suites/*.c", "bench/suites/machine/*.c")
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, "-O2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "site_scons"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(re.findall(r"#define DEFINITION_(\w+) (\w+)", done.stdout))


def test_suite_of_a_machine_hangs_on_the_machine_layer(clone: Path) -> None:
    before = of_machine(clone)
    assert "CASE_paging_lazy_touch" in before and "VARIANT_paging_live" in before
    source = clone / "kernel/machine/tlb.c"
    text = source.read_text()
    assert text.count("cpu_pause();") == 1
    source.write_text(text.replace("cpu_pause();", ""))
    after = of_machine(clone)
    assert {name for name in before if before[name] != after[name]} == {"VARIANT_paging_live"}


PAIR_SUM = """        object[7] = i;
        BODY_HIDE(object);
        sum += object[7];
"""


def test_a_changed_body_changes_its_own_case_only(changed: Changed) -> None:
    stored = ("        object[7] = i;\n", "        object[6] = i;\n")
    assert changed(HEAP, stored) == {"CASE_heap_pair_64"}


def test_a_comment_changes_nothing(changed: Changed) -> None:
    commented = (
        '        // "Said" of mixed() by pair_64().\n        object[7]  =  i; /* the last */\n'
    )
    assert changed(HEAP, ("        object[7] = i;\n", commented)) == set()


def test_a_changed_line_of_the_list_changes_its_own_case_only(changed: Changed) -> None:
    assert changed(HEAP, ("refill, 1, true, 16,", "refill, 1, true, 15,")) == {"CASE_heap_refill"}


def test_a_function_that_bodies_share_changes_all_of_them(changed: Changed) -> None:
    assert changed(HEAP, ("            *object = i;\n", "            *object = i + 0;\n")) == {
        "CASE_heap_random_1000",
        "CASE_heap_mixed_100k",
        "CASE_heap_mixed_large",
    }
    deep = ("            sum += word;\n", "            sum += word + 0;\n")
    assert changed(IPC, deep) == {
        "CASE_ipc_depth_16",
        "CASE_ipc_depth_256",
        "CASE_ipc_depth_4096",
    }


def test_what_belongs_to_no_case_changes_all_of_its_suite(clone: Path, changed: Changed) -> None:
    of_heap = named(clone, "CASE_heap_")
    live = ("context->live = live_of(which)", "context->live = (size_t)live_of(which)")
    assert changed(PREPARED, live) == of_heap
    depth = ("#define DEPTH        64u", "#define DEPTH        32u")
    assert changed("bench/suites/heap_context.h", depth) == of_heap
    # The preparation of the mixed cases uses it, too.
    word = ("object + (size / 8 - 1)", "object + (size / 8 - 2)")
    assert changed("bench/suites/heap_over_time.h", word) == of_heap


# A suite over other variants, in a folder that is not portable: what SUITE_VARIANTS names stands
# beside it.
OTHER_SUITE = """#include "other_heaps.h"
#define SUITE_VARIANTS OTHER_HEAPS
#include "heap_cases.h"
SUITE_TABLES
#include "heap_prepare.h"
const struct bench_suite other_suite = {HEAP_SUITE};
"""
OTHER_HEAPS = """#include "heap.h"
#define OTHER_HEAPS(X) X(first) X(second)
"""


def test_a_suite_over_other_variants_asks_the_same(clone: Path) -> None:
    before = constants(clone)
    folder = clone / "bench/suites/peers"
    (folder / "other.c").write_text(OTHER_SUITE)
    (folder / "other_heaps.h").write_text(OTHER_HEAPS)
    after = constants(clone)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"VARIANT_heap_first", "VARIANT_heap_second"}
    (folder / "other_heaps.h").write_text(OTHER_HEAPS + "extern int more;\n")
    changed = constants(clone)
    assert {name for name in after if after[name] != changed[name]} == set(after) - set(before)


def test_one_more_case_changes_no_other(changed: Changed) -> None:
    body = "ALWAYS_INLINE uint64_t refill(const struct heap_ops"
    row = "    X(v, refill, 1, true"
    more_body = "ALWAYS_INLINE uint64_t again(int a)\n{\n    return a;\n}\n\n"
    more_row = '    X(v, again, 1, true, 1, 1, 1, 1, 1, "once (more), \\"again") \\\n'
    added = changed(HEAP, (body, more_body + body), (row, more_row + row))
    assert added == {"CASE_heap_again"}


def test_an_interface_changes_its_suite_and_its_variants(clone: Path, changed: Changed) -> None:
    of_ipc = named(clone, "CASE_ipc_") | named(clone, "VARIANT_ipc_")
    renamed = ("size_t slot_bytes; ", "size_t bytes_of_slot; ")
    # The whole system is made of every mechanism.
    assert changed("kernel/ipc/ring.h", renamed) == of_ipc | named(clone, "VARIANT_system_")


def test_how_it_is_measured_changes_every_case(clone: Path, changed: Changed) -> None:
    path = "bench/framework/measure.c"
    found = re.search(r"#define TIMER_SHARE +\w+", (clone / path).read_text())
    assert found is not None
    assert changed(path, (found[0], "#define TIMER_SHARE 7")) == named(clone, "CASE_")


def test_a_variant_s_source_changes_the_variant_only(clone: Path, changed: Changed) -> None:
    whole = named(clone, "VARIANT_system_")  # made of every mechanism

    def with_one_line_more(path: str) -> set[str]:
        include = re.search(r'#include "\w+.h"\n', (ROOT / path).read_text())
        assert include is not None
        return changed(path, (include[0], include[0] + "extern int more;\n"))

    assert with_one_line_more("kernel/memory/heap_hybrid_slab.c") == {
        "VARIANT_heap_hybrid",
        "VARIANT_heap_hybrid_out_of_line",
        "VARIANT_kmalloc_hybrid",
        *whole,
    }
    # The buddy is below several, and no part of others.
    above = with_one_line_more("kernel/memory/buddy.c")
    assert {"VARIANT_heap_hybrid", "VARIANT_heap_slub", "VARIANT_slub_classic_slab"} <= above
    assert not {"VARIANT_heap_linked_list", "VARIANT_heap_floor"} & above
    assert [name for name in above if not name.startswith("VARIANT_")] == []


def test_another_flag_changes_every_variant(clone: Path) -> None:
    one, other = constants(clone, "-O2", "-g"), constants(clone, "-O2", "-g", "-fno-gcse")
    differing = {name for name in one if one[name] != other[name]}
    assert differing == named(clone, "VARIANT_") and differing


def test_flags_do_not_name_the_folder() -> None:
    build = (ROOT / "site_scons/build.py").read_text()
    assert "getcwd" not in build and str(ROOT) not in build


def test_a_clone_in_another_folder_makes_equal_programs(tmp_path: Path) -> None:
    programs = ["build/recorder", "build/probe/tickmark.elf"]  # of both kinds of code
    if os.environ.get("TICKMARK_SOAK") == "1":
        programs += ["build/qemu/tickmark.elf", "build/host/tickmark"]
    clone = copy_tree(tmp_path / "another/place=with signs")
    done = scons("-Q", *programs, folder=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    for program in programs:
        here, there = ((folder / program).read_bytes() for folder in (ROOT, clone))
        assert here == there, program
        assert str(ROOT).encode() not in here and str(tmp_path).encode() not in there
