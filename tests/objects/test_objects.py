# SPDX-License-Identifier: MIT
"""One object code: what is measured is the same, byte for byte, in the kernel and on the host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

BUILD = Path(__file__).resolve().parents[2] / "build"
FLAVOURS = ["plain", "traced"]
PROGRAMS = {"host": BUILD / "host/tickmark", "qemu": BUILD / "qemu/tickmark.elf"}
RELOCATION_BYTES = {1: 8, 2: 4, 4: 4, 10: 4, 11: 4, 24: 8}  # R_X86_64_64 PC32 PLT32 32 32S PC64


def portable(flavour: str) -> ELFFile:
    return ELFFile(open(BUILD / f"portable_{flavour}.o", "rb"))


def text_of(flavour: str) -> tuple[bytes, set[int]]:
    """The object's text and the offsets of bytes that relocations fill in."""
    elf = portable(flavour)
    name = f".text.portable_{flavour}"
    masked: set[int] = set()
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection) and section.name == ".rela" + name:
            for relocation in section.iter_relocations():
                start = relocation["r_offset"]
                masked |= set(range(start, start + RELOCATION_BYTES[relocation["r_info_type"]]))
    return elf.get_section_by_name(name).data(), masked


def functions(flavour: str) -> dict[str, int]:
    """Offsets of functions in the object's text, names that occur once."""
    elf = portable(flavour)
    index = elf.get_section_index(f".text.portable_{flavour}")
    found: dict[str, list[int]] = {}
    for symbol in elf.get_section_by_name(".symtab").iter_symbols():
        if symbol["st_shndx"] == index and symbol["st_info"]["type"] == "STT_FUNC":
            found.setdefault(symbol.name, []).append(symbol["st_value"])
    return {name: places[0] for name, places in found.items() if len(places) == 1}


def address_of_entry(program: Path, flavour: str) -> int:
    table = ELFFile(open(program, "rb")).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    symbols = table.get_symbol_by_name(f"bench_main_{flavour}")
    assert symbols is not None and len(symbols) == 1
    return symbols[0]["st_value"]


def bytes_at(program: Path, address: int, length: int) -> bytes:
    for segment in ELFFile(open(program, "rb")).iter_segments():
        start = segment["p_vaddr"]
        if segment["p_type"] == "PT_LOAD" and start <= address < start + segment["p_filesz"]:
            return segment.data()[address - start : address - start + length]
    raise AssertionError("address is in no segment")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_portable_object_asks_for_nothing_but_the_platform(flavour: str) -> None:
    words = ["nm", "-u", str(BUILD / f"portable_{flavour}.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    undefined = [line.split()[-1] for line in listing.splitlines()]
    assert undefined and [name for name in undefined if not name.startswith("platform_")] == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_portable_object_offers_nothing_but_its_entry(flavour: str) -> None:
    words = ["nm", "-g", "--defined-only", str(BUILD / f"portable_{flavour}.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in listing.splitlines()] == [f"bench_main_{flavour}"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_measured_bytes_are_equal_in_both_programs(flavour: str) -> None:
    text, masked = text_of(flavour)
    entry = functions(flavour)[f"bench_main_{flavour}"]
    for program in PROGRAMS.values():
        start = address_of_entry(program, flavour) - entry
        linked = bytes_at(program, start, len(text))
        assert len(linked) == len(text)
        different = [i for i in range(len(text)) if i not in masked and linked[i] != text[i]]
        assert different == [], f"{program.name}: {len(different)} bytes, first at {different[:4]}"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_text_starts_on_a_page_in_every_program(flavour: str) -> None:
    entry = functions(flavour)[f"bench_main_{flavour}"]
    places = {
        name: (address_of_entry(path, flavour) - entry) % 4096 for name, path in PROGRAMS.items()
    }
    assert set(places.values()) == {0}, places


def test_every_body_is_aligned_and_has_its_symbol() -> None:
    # A cold part lies elsewhere, as it likes.
    bodies = {
        name: at
        for name, at in functions("plain").items()
        if "__" in name and not name.endswith(".cold")
    }
    assert len(bodies) > 20
    assert [name for name, at in bodies.items() if at % 64 != 0] == []


def instructions(flavour: str) -> dict[str, list[str]]:
    """Of each function, by the last one of its name."""
    words = ["objdump", "-d", "--no-show-raw-insn", str(BUILD / f"portable_{flavour}.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    name = ""
    for line in listing.splitlines():
        if heading := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            name = heading[1]
            found[name] = []
        elif "\t" in line:
            found[name].append(line.split("\t", 1)[1])
    return found


def looks_for_the_buffer(code: list[str]) -> bool:
    """Reads the third word of what the CPU owns, which is the trace buffer: at once, or by finding
    that first."""
    for at, line in enumerate(code):
        if "%gs:0x10," in line:
            return True
        if not (found := re.search(r"%gs:0x0,%r(\w+)", line)):
            continue
        register = found[1]
        for later in code[at + 1 : at + 40]:
            if f"0x10(%r{register})" in later:
                return True
            if re.search(rf",%[re]{register}$", later):
                break  # holds something else from here on
    return False


def test_plain_flavour_has_no_tracing_left() -> None:
    def recording(flavour: str) -> set[str]:
        return {name for name, code in instructions(flavour).items() if looks_for_the_buffer(code)}

    # The suite that measures the tracer is the one that has it.
    plain = recording("plain")
    assert {"trace_event__recorder", "trace_off__recorder"} <= plain
    assert all(name.startswith("trace_") for name in plain) and "trace_off__out" not in plain
    assert {"heap_pair_64__hybrid", "ipc_pair_56__fusion_spsc"} <= recording("traced")
    assert [name for name in functions("plain") if name.startswith(("perfetto_", "deflate_"))] == []


def locked(code: list[str]) -> list[str]:
    """Instructions with a lock prefix, or XCHG with memory, which needs none."""
    return [line for line in code if line.startswith("lock") or re.match(r"xchg.*\(", line)]


def test_hits_of_the_hybrid_heap_execute_no_locked_instruction() -> None:
    """A hit is inlined into the body, all else behind a call: bodies have none, slow paths do."""
    words = ["objdump", "-dr", "--no-show-raw-insn", str(BUILD / "portable_plain.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    locked: set[str] = set()
    called: dict[str, set[str]] = {}
    name = ""
    for line in listing.splitlines():
        if heading := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            name = heading[1]
            called[name] = set()
        elif re.search(r"\block\b|\bxchg\w* .*\(", line):  # XCHG with memory needs no prefix
            locked.add(name)
        elif call := re.search(r"R_X86_64_PLT32\s+(\w+)", line):
            called[name].add(call[1])
    cases = ("pair_64", "lifo_64", "alloc_64", "random_1000", "mixed_100k", "pollution")
    bodies = {f"heap_{case}__hybrid" for case in cases}
    assert bodies <= set(called) and bodies & locked == set()
    slow = {
        f"heap_hybrid_cache_{what}"
        for what in ("miss", "large", "release_slow", "release_large", "release_early")
    }
    assert set().union(*(called[body] for body in bodies)) == slow
    # What the detector finds, it finds.
    assert {"heap_hybrid_give", "heap_hybrid_cpu_enter", "heap_linked_list_allocate"} <= locked


def test_inline_fast_paths_of_slub_have_no_locked_instruction() -> None:
    code = instructions("plain")
    bodies = [
        f"{body}__slub"
        for body in ("heap_pair_64", "slub_alloc_128", "slub_free_128", "slub_cycle_128")
    ]
    for body in [*bodies, "slub_cache_cycle__slub", "slub_mixed__slub"]:
        assert any("decl   %gs:" in line for line in code[body]), body  # it is inlined
        assert locked(code[body]) == [], body
    # What they are spared: the slow paths, and every allocation of the others.
    assert locked(code["slub_give"]) and locked(code["heap_linked_list_allocate"])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_vector_or_floating_point_register_is_used(flavour: str) -> None:
    words = ["objdump", "-d", "--no-show-raw-insn", str(BUILD / f"portable_{flavour}.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"%[xyz]mm\d|%st\b|%mm\d", listing) == []


def test_host_libraries_do_not_bind_to_our_functions() -> None:
    words = ["nm", "-D", "--defined-only", str(PROGRAMS["host"])]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listing.splitlines()}
    assert names & {"memcpy", "memset", "memmove", "memcmp", "bench_main_plain"} == set()


def test_kernel_does_not_use_memory_above_its_reach() -> None:
    for segment in ELFFile(open(PROGRAMS["qemu"], "rb")).iter_segments():
        if segment["p_type"] == "PT_LOAD":
            assert segment["p_vaddr"] + segment["p_memsz"] < 1 << 31
