# SPDX-License-Identifier: MIT
"""Other people's allocators beside our heaps, on the host: loaded where they are, named where they
are not. What must hold whatever is installed is tried with an allocator of the test's own, under
the name of one of theirs."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from system_run import ROOT, Bench, scons

NAMES = ("glibc", "tcmalloc", "mimalloc", "jemalloc", "tbbmalloc", "scudo")
CASES = (
    *("pair_64", "lifo_64", "random_1000", "mixed_100k", "mixed_large", "pollution", "miss_64"),
    *("scale_one_cpu", "fragmentation", "latency_1000"),
    # Where there is a second CPU.
    *("remote_free", "remote_reuse", "stream", "scale_most_cpus") * (os.cpu_count() != 1),
)
SHORT = "rounds=2 samples=2 trace=off"
ONE = f"suites=heap filter=heap/pair_64 {SHORT}"

# Hands on to the C library and counts, with more static thread-local storage than the loader keeps
# for libraries that come late.
ALLOCATOR = """
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
extern void *__libc_malloc(size_t size);
extern void __libc_free(void *pointer);
static __thread volatile char storage[8000] __attribute__((tls_model("initial-exec")));
static _Atomic long allocated, freed;
void *malloc(size_t size) { allocated++; storage[size % 8000] = 1; return __libc_malloc(size); }
void free(void *pointer) { freed++; __libc_free(pointer); }
__attribute__((destructor)) static void tell(void)
{
    FILE *file = fopen(getenv("SEEN_BY_ALLOCATOR"), "w");
    fprintf(file, "%ld %ld", allocated, freed);
    fclose(file);
}
"""
# Stands in every process that is started, and says so each time a program begins in it.
WITNESS = """
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void tell(int count, char **words)
{
    char line[4096];
    const char *tunables = getenv("GLIBC_TUNABLES");
    int file = open(getenv("SEEN_BY_WITNESS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    int length = snprintf(line, sizeof line, "%s|%d|%s|%s\\n", program_invocation_short_name,
                          getpid(), count > 1 ? words[count - 1] : "", tunables ? tunables : "");
    if (write(file, line, length) != length)
        abort();
    close(file);
}
"""


def library(text: str, path: Path) -> Path:
    words = ["gcc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-x", "c", "-", "-o", str(path)]
    subprocess.run(words, input=text, text=True, check=True)
    return path


def facts(bench: Bench) -> dict[str, str]:
    """Of the peers, by name."""
    database = sqlite3.connect(bench.results / "history.db")
    found = database.execute("SELECT key, value FROM fact WHERE key LIKE 'guest.peers.%'")
    return {key.removeprefix("guest.peers."): value for key, value in found}


def rows(bench: Bench) -> dict[str, tuple[str, str, str]]:
    """Role, status and definition of each row."""
    database = sqlite3.connect(bench.results / "history.db")
    found = database.execute("SELECT id, role, status, definition FROM bench_row WHERE aa = 0")
    return {row: (role, status, definition) for row, role, status, definition in found}


def table(bench: Bench) -> str:
    words = [sys.executable, "-m", "reports", "table", f"results={bench.results}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


class World:
    """An environment in which peers lie in one folder, and what is seen from within."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peers = folder / "peers"
        self.peers.mkdir()
        self._witness, self._allocator = folder / "witness", folder / "allocator"
        self._patch = monkeypatch
        monkeypatch.setenv("TICKMARK_PEERS", str(self.peers))
        monkeypatch.setenv("SEEN_BY_WITNESS", str(self._witness))
        monkeypatch.setenv("SEEN_BY_ALLOCATOR", str(self._allocator))
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)

    def watch(self, tunables: str = "") -> None:
        """From now on."""
        built = library(WITNESS, self._witness.with_suffix(".so"))
        self._patch.setenv("LD_PRELOAD", str(built))
        if tunables:
            self._patch.setenv("GLIBC_TUNABLES", tunables)

    def add_allocator(self) -> None:
        library(ALLOCATOR, self.peers / "libjemalloc.so.2")

    def started(self) -> list[list[str]]:
        """Of each time the program began: process, words, tunables."""
        lines = [line.split("|") for line in self._witness.read_text().splitlines()]
        return [line[1:] for line in lines if line[0] == "tickmark"]

    def counted(self) -> tuple[int, int]:
        """What the allocator was asked for, and what came back."""
        allocated, freed = map(int, self._allocator.read_text().split())
        return allocated, freed


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_peers_are_measured_beside_ours_and_asked_the_same(bench: Bench) -> None:
    assert bench.run("host", ONE) == 0, bench.output
    versions, measured = facts(bench), rows(bench)
    present = [name for name in NAMES if versions[name] != "absent"]
    assert "glibc" in present
    for name in NAMES:
        assert (f"heap/pair_64/{name}" in measured) == (name in present)
    _, _, ours = measured["heap/pair_64/hybrid"]
    answers = {ours[8:]}
    for name in present:
        role, status, definition = measured[f"heap/pair_64/{name}"]
        assert (role, status, definition[:8]) == ("peer", "ok", ours[:8])
        answers.add(definition[8:])
        assert re.search(r"\d\.\d", versions[name]), versions[name]
    assert len(answers) == 2  # ours, and theirs as they are called
    assert versions["tuning"] == "none"
    if set(present) != set(NAMES):
        pytest.skip(f"only {', '.join(present)}; ./install-deps --peers installs the others")


def test_rows_are_of_the_cases_that_mean_something_to_them(bench: Bench) -> None:
    assert bench.run("host", f"suites=heap filter=heap/*/glibc {SHORT}") == 0, bench.output
    assert {row.split("/")[1] for row in rows(bench)} == set(CASES)
    listed = scons("-Q", "list", "suites=heap").stdout
    for name in NAMES:
        assert {case for case in re.findall(rf"heap/(\w+)/{name}\b", listed)} == set(CASES)


def test_what_is_not_there_is_said_and_the_run_is_whole(world: World, bench: Bench) -> None:
    assert bench.run("host", ONE) == 0, bench.output
    told = facts(bench)
    assert [name for name in NAMES if told[name] != "absent"] == ["glibc"]
    assert told["jemalloc.problem"] == "no file libjemalloc.so.2"
    assert "heap/pair_64/glibc" in rows(bench) and "heap/pair_64/jemalloc" not in rows(bench)
    line = "not installed: " + ", ".join(sorted(set(NAMES) - {"glibc"}))
    assert f"{line} (./install-deps --peers installs them)" in table(bench)
    bench = Bench(bench.results.with_name("other"))
    assert bench.run("host", f"suites=heap filter=heap/random_1000 {SHORT}") == 0, bench.output
    goal = "house.heap.random1000"
    assert re.search(
        rf"the best peer is unknown: without tcmalloc, jemalloc, mimalloc .*\({goal}",
        table(bench).replace("\n", " "),
    )


def test_a_file_that_is_no_such_library_is_told_from_none(world: World, bench: Bench) -> None:
    (world.peers / "libmimalloc.so.2").write_text("not an object at all")
    library("int unrelated;", world.peers / "libtbbmalloc.so.2")
    assert bench.run("host", ONE) == 0, bench.output
    told = facts(bench)
    assert (told["mimalloc"], told["tbbmalloc"]) == ("absent", "absent")
    assert "file too short" in told["mimalloc.problem"]
    assert told["tbbmalloc.problem"] == "libtbbmalloc.so.2 has no scalable_malloc"
    assert "tbbmalloc: libtbbmalloc.so.2 has no scalable_malloc" in table(bench)


def test_the_program_starts_again_once_where_a_library_needs_it(world: World, bench: Bench) -> None:
    world.add_allocator()
    world.watch("glibc.malloc.tcache_count=5")
    assert bench.run("host", ONE) == 0, bench.output
    assert rows(bench)["heap/pair_64/jemalloc"][:2] == ("peer", "ok")
    first, second = world.started()
    assert first[:2] == second[:2]  # process and words
    assert first[2] == "glibc.malloc.tcache_count=5"
    assert re.fullmatch(rf"{re.escape(first[2])}:glibc\.rtld\.optional_static_tls=\d+", second[2])
    assert facts(bench)["jemalloc"] == "unknown"  # its version: it says none
    assert facts(bench)["tuning"] == "GLIBC_TUNABLES"


def test_it_does_not_start_again_a_second_time(world: World, bench: Bench) -> None:
    world.add_allocator()
    world.watch("glibc.rtld.optional_static_tls=600")
    assert bench.run("host", ONE) == 0, bench.output
    assert len(world.started()) == 1
    assert facts(bench)["jemalloc"] == "absent"
    assert "static TLS" in facts(bench)["jemalloc.problem"]
    assert "heap/pair_64/jemalloc" not in rows(bench)


@pytest.mark.parametrize(
    "words",
    [
        f"suites=ipc output=text {SHORT}",
        f"filter=ipc/pair_56 output=text {SHORT}",
        f"suites=trace,ipc filter=e output=text {SHORT}",
        "output=list",
    ],
)
def test_nothing_is_loaded_for_words_that_ask_for_no_peer(world: World, words: str) -> None:
    world.add_allocator()
    world.watch()
    program = ROOT / "build/host/tickmark"
    subprocess.run([program, words], capture_output=True, check=True)
    assert len(world.started()) == 1
    assert not world._allocator.exists()


def test_all_that_was_allocated_comes_back(world: World, bench: Bench) -> None:
    world.add_allocator()
    assert bench.run("host", f"suites=heap filter=heap/*/jemalloc {SHORT}") == 0, bench.output
    assert len(rows(bench)) == len(CASES)
    allocated, freed = world.counted()
    assert allocated == freed and allocated > 100000


def test_commands_know_their_rows_where_they_are() -> None:
    listed = scons("-Q", "list", "filter=heap/pair_64/glibc")
    assert listed.returncode == 0 and "heap/pair_64/glibc" in listed.stdout
    code = scons("-Q", "disasm", "target=host", "filter=heap/pair_64/glibc").stdout
    assert "<heap_pair_64__glibc>:" in code and "<heap_peer_glibc>" in code
    done = scons("-Q", "target=qemu", "bench", "filter=heap/pair_64/glibc")
    assert done.returncode == 2 and "no such row" in done.stdout


def test_the_program_itself_needs_none_of_them() -> None:
    assert shutil.which("objdump")
    words = ["objdump", "-p", ROOT / "build/host/tickmark"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"NEEDED\s+(\S+)", told)) <= {"libc.so.6", "ld-linux-x86-64.so.2"}
