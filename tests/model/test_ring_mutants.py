# SPDX-License-Identifier: MIT
"""Second reads of what a peer may have written meanwhile, planted in each way to receive: the test
that changes the word behind every instruction (tests/model/ring_fetch.c) must find each of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["tests", "tests/model", "targets", "kernel/lib", "kernel/arch", "trace", "kernel/memory"]
FOLDERS += ["kernel/sched", "kernel/ipc", "build/generated"]
SOURCES = [f"kernel/ipc/ring_{name}.c" for name in ("sides", "floor", "locked_queue")]
SOURCES += [f"kernel/ipc/ring_fusion_{name}.c" for name in ("spsc", "stream", "mpmc")]
SOURCES += ["tests/test_platform.c", "tests/model/ring_fetch.c"]
DEFINES = {"TRACE": 0, "ASSERT_SLOW": 0, "FRAME_POINTER": 1, "FIBERS": 0, "BLOCK_WRITES": 0}

SLOT = "__atomic_load_n(&slot->control, __ATOMIC_RELAXED)"
NEXT = "__atomic_load_n(&slot_of(ring, ring->consumer.position)->control, __ATOMIC_RELAXED)"
TAKEN = "__atomic_load_n(&slot_of(ring, *position - 1)->control, __ATOMIC_RELAXED)"
PEEKED = "__atomic_load_n(&slot_of(ring, position)->control, __ATOMIC_RELAXED)"
PAST = f"ring_fusion_past_empty({SLOT}, position)"
KIND = "*kind = (enum ring_kind)ring_fusion_kind(control);\n"
LENGTH = "*length = ring_fusion_length(control);\n"

# name: variant, file, text that stands there once, what stands there then
MUTANTS = {
    "receive": (
        "fusion_spsc",
        "ring_fusion_spsc.h",
        "*length = past_empty;\n    // Release",
        f"*length = {PAST};\n    // Release",
    ),
    "receive_kind's length": (
        "fusion_spsc",
        "ring_fusion_spsc.h",
        LENGTH,
        f"*length = ring_fusion_length({SLOT});\n",
    ),
    "receive_kind's kind": (
        "fusion_spsc",
        "ring_fusion_spsc.h",
        KIND,
        f"*kind = (enum ring_kind)ring_fusion_kind({SLOT});\n",
    ),
    "receive_other's length": (
        "fusion_spsc",
        "ring_fusion_spsc.c",
        "        " + LENGTH,
        f"        *length = ring_fusion_length({NEXT});\n",
    ),
    "receive_other's kind": (
        "fusion_spsc",
        "ring_fusion_spsc.c",
        KIND,
        f"*kind = (enum ring_kind)ring_fusion_kind({NEXT});\n",
    ),
    "receive_batch": (
        "fusion_spsc",
        "ring_fusion_spsc.c",
        ".length = past_empty;",
        f".length = ring_fusion_past_empty({SLOT}, first + there);",
    ),
    "peek": (
        "fusion_spsc_in_place",
        "ring_fusion_spsc.h",
        "*payload = slot->payload;\n    *length = past_empty;",
        f"*payload = slot->payload;\n    *length = {PAST};",
    ),
    "peek_other": (
        "fusion_spsc_in_place",
        "ring_fusion_spsc.c",
        LENGTH + "    return",
        f"*length = ring_fusion_length({NEXT});\n    return",
    ),
    "stream's receive": (
        "fusion_stream",
        "ring_fusion_stream.h",
        "*length = bytes;",
        "*length = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);",
    ),
    "stream's receive_batch": (
        "fusion_stream",
        "ring_fusion_stream.c",
        ".length = bytes;",
        ".length = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);",
    ),
    "mpmc's receive": (
        "fusion_mpmc",
        "ring_fusion_mpmc.h",
        "*length = past_empty;",
        f"*length = ring_fusion_past_empty({SLOT}, position);",
    ),
    "take_any's length": (
        "fusion_mpmc",
        "ring_fusion_mpmc.c",
        LENGTH + "    " + KIND,
        f"*length = ring_fusion_length({PEEKED.replace('position', '*position')});\n    " + KIND,
    ),
    "take_any's kind": (
        "fusion_mpmc",
        "ring_fusion_mpmc.c",
        KIND,
        f"*kind = (enum ring_kind)ring_fusion_kind({PEEKED.replace('position', '*position')});\n",
    ),
    "mpmc's receive_batch": (
        "fusion_mpmc",
        "ring_fusion_mpmc.c",
        ".length = past_empty;",
        f".length = ring_fusion_past_empty({SLOT}, first + there);",
    ),
    "mpmc's peek": (
        "fusion_mpmc_in_place",
        "ring_fusion_mpmc_in_place.h",
        "*length = past_empty;",
        f"*length = {PAST};",
    ),
    "peek_slowly": (
        "fusion_mpmc_in_place",
        "ring_fusion_mpmc.c",
        "            " + LENGTH,
        f"            *length = ring_fusion_length({PEEKED});\n",
    ),
}


def compile_one(source: Path, out: Path, first: Path | None = None) -> None:
    """`source` to an object; headers of the folder `first` go before the others."""
    words = ["gcc", "-std=gnu11", "-O1", "-w", "-D_GNU_SOURCE", "-mpopcnt", "-mbmi", "-c"]
    words += [f"-DCONFIG_{name}={value}" for name, value in DEFINES.items()]
    for folder in [*([first] if first else []), *(ROOT / name for name in FOLDERS)]:
        words += ["-iquote", str(folder)]
    done = subprocess.run([*words, "-o", str(out), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def linked_and_run(objects: list[Path], variant: str, folder: Path) -> tuple[int, str]:
    """Status and output of the cases of one variant."""
    program = folder / "ring_fetch"
    libraries = ["-lcheck", "-lsubunit", "-lm", "-lrt", "-lpthread"]
    subprocess.run(["gcc", *map(str, objects), "-o", str(program), *libraries], check=True)
    environment = {**os.environ, "CK_RUN_CASE": variant}
    done = subprocess.run([program], capture_output=True, text=True, env=environment, timeout=120)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Objects of the sources as they are."""
    folder = tmp_path_factory.mktemp("sound")
    objects = {source: folder / (Path(source).stem + ".o") for source in SOURCES}
    for source, out in objects.items():
        compile_one(ROOT / source, out)
    return objects


@pytest.mark.parametrize("variant", sorted({variant for variant, *_ in MUTANTS.values()}))
def test_nothing_is_found_in_the_source_as_it_is(
    variant: str, sound: dict[str, Path], tmp_path: Path
) -> None:
    status, said = linked_and_run(list(sound.values()), variant, tmp_path)
    assert status == 0 and "Checks: 1" in said, said


@pytest.mark.parametrize("name", MUTANTS)
def test_a_second_read_is_found(name: str, sound: dict[str, Path], tmp_path: Path) -> None:
    variant, file, text, instead = MUTANTS[name]
    ipc = ROOT / "kernel" / "ipc"
    source = (ipc / file).read_text()
    assert source.count(text) == 1, "the mutant does not apply any more"
    own = f"{variant.removesuffix('_in_place')}.c"
    for path in (
        ipc / f"ring_{own}",
        ROOT / "tests" / "model" / "ring_fetch.c",
        ROOT / "tests" / "ring_subject.h",
    ):
        shutil.copy(path, tmp_path)
    for path in ipc.glob("ring*.h"):
        shutil.copy(path, tmp_path)
    (tmp_path / file).write_text(source.replace(text, instead))
    objects = dict(sound)
    for changed in (f"kernel/ipc/ring_{own}", "tests/model/ring_fetch.c"):
        objects[changed] = tmp_path / (Path(changed).stem + ".o")
        compile_one(tmp_path / Path(changed).name, objects[changed], tmp_path)
    status, said = linked_and_run(list(objects.values()), variant, tmp_path)
    assert status != 0 and "behind instruction" in said, said
