# SPDX-License-Identifier: MIT
"""The kernel's address space in QEMU: what must fault does, with the address named, and what the
CPU sees in the tables is what was promised.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import guest  # noqa: E402
import machines  # noqa: E402
from probe_kernel import kernel  # noqa: E402

EXACT = machines.MACHINES["exact"]
FRAMED = "session=7 output=framed "
PAGE, MIB, GIB = 4096, 1 << 20, 1 << 30
PAGE_FAULT, MACHINE_CHECK = 14, 18
READ, WRITE, FETCH, PRESENT = 0, 2, 16, 1  # error codes
DEVICES = {0xFEC00000, 0xFED00000, 0xFEE00000}  # IO-APIC, HPET, local APIC: what is in use
STACKS = ("boot", "fault", "double_fault", "nmi", "machine_check", "panic")


@cache
def symbols() -> dict[str, int]:
    return guest.image_of(kernel()).symbols


def boot(arguments: str, memory: str = "512", cpu: str = "max", **options: object) -> guest.Guest:
    command = [cpu if w == "max" else w for w in EXACT.command(str(kernel()), {"memory": memory})]
    words = " ".join([*EXACT.arguments(), arguments])
    return guest.run(command, words, **options)  # type: ignore[arg-type]


def fault(deed: str, address: int, memory: str = "512") -> guest.Panic:
    done = boot(FRAMED + f"do={deed}_at at={address}", memory)
    assert done.exit_code == machines.FAILURE_EXIT
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == PAGE_FAULT
    assert panic.cr2 == address
    return panic


# ---- what must fault ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deed", "symbol", "error"),
    [
        ("write", "linker_image", WRITE | PRESENT),  # constants
        ("call", "linker_image", FETCH | PRESENT),
        ("write", "linker_text", WRITE | PRESENT),
        ("write", "kernel_main", WRITE | PRESENT),
        ("call", "linker_data", FETCH | PRESENT),
        ("call", "stack_boot_bottom", FETCH | PRESENT),
    ],
)
def test_parts_of_the_image_have_no_more_rights_than_they_need(
    deed: str, symbol: str, error: int
) -> None:
    panic = fault(deed, symbols()[symbol])
    assert panic.error == error
    verb = {"write": "write to", "call": "execution of"}[deed]
    assert panic.reason == f"page fault: {verb} {symbols()[symbol]:x}, not permitted"


def test_arena_is_not_executable() -> None:
    address = int(boot("").facts["arena.start"]) + 0x1000
    panic = fault("call", address)
    assert panic.error == FETCH | PRESENT and panic.rip == address


@pytest.mark.parametrize(
    ("deed", "verb"), [("read", "read of"), ("write", "write to"), ("call", "execution of")]
)
def test_null_pointer_faults_whatever_is_done_with_it(deed: str, verb: str) -> None:
    assert fault(deed, 8).reason == f"page fault: {verb} 8, a null pointer"


@pytest.mark.parametrize("stack", STACKS)
def test_page_below_each_stack_faults_and_the_stack_is_named(stack: str) -> None:
    bottom = symbols()[f"stack_{stack}_bottom"]
    name = {"nmi": "NMI"}.get(stack, stack.replace("_", " "))
    for address in (bottom - 8, bottom - PAGE):
        panic = fault("write", address)
        assert panic.error == WRITE
        assert panic.reason == (
            f"stack overflow of CPU 0: write to {address:x} below the {name} stack"
        )


@pytest.mark.parametrize("address", [0xFEB00000, 0xB8000, 0xF0000000])
def test_device_nobody_asked_for_is_not_mapped(address: int) -> None:
    assert fault("read", address).reason == f"page fault: read of {address:x}, not mapped"


def test_what_lies_behind_the_memory_is_not_mapped() -> None:
    assert fault("read", 512 * MIB).error == READ
    assert fault("read", 9 * GIB, "8192").error == READ


# ---- much memory --------------------------------------------------------------------------------


def test_memory_above_4_gib_is_mapped_and_the_arena_stays_small() -> None:
    last = 9 * GIB - 8  # 3 GiB below, a hole of 1 GiB for devices, 5 GiB above
    for address in (4 * GIB, last):
        done = boot(f"do=write_at at={address}", "8192")
        assert done.exit_code == machines.SUCCESS_EXIT
        assert done.facts["written"] == "1"
    assert int(done.facts["map.ram_bytes"]) > 8191 * MIB
    assert done.facts["map.left_out_bytes"] == "0"
    assert int(done.facts["arena.bytes"]) == 512 * MIB


def test_cpu_without_pages_of_1_gib_maps_all_memory() -> None:
    done = boot("", "8192", "max,-pdpe1gb")
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["map.pages_4k_2m_1g"].endswith("/0")
    assert int(done.facts["map.ram_bytes"]) > 8191 * MIB
    assert done.facts["cpu.protection_absent"] == "pcid,1g"


# ---- features -----------------------------------------------------------------------------------


def test_features_are_on_where_the_cpu_has_them() -> None:
    done = boot("do=echo", send=b"\n", monitor=("info registers",))
    assert done.facts["cpu.protection"] == "nx,wp,mce,pge,umip,smep,smap,1g"
    assert done.facts["cpu.protection_absent"] == "pcid"
    registers = {
        name: int(value, 16)
        for name, value in re.findall(r"(CR0|CR4|EFER|RFL)=([0-9a-f]+)", done.answers[0])
    }
    assert registers["CR0"] >> 16 & 1  # WP
    assert registers["EFER"] >> 11 & 1  # NXE
    on = {
        name: registers["CR4"] >> bit & 1
        for name, bit in {
            "mce": 6,
            "pge": 7,
            "fxsave": 9,
            "sse": 10,
            "umip": 11,
            "pcid": 17,
            "xsave": 18,
            "smep": 20,
            "smap": 21,
        }.items()
    }
    assert on == {name: int(name != "pcid") for name in on}
    assert registers["CR0"] & 0x2E == 0x22  # MP and NE; neither EM nor TS
    assert done.facts["cpu.vectors"] == "xcr0=7"
    assert registers["RFL"] >> 18 & 1 == 0  # AC


def test_features_that_are_missing_are_told() -> None:
    done = boot("", cpu="max,-smep,-smap,-umip,-pge,-mce,-xsave")
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["cpu.protection"] == "nx,wp,1g"
    assert done.facts["cpu.protection_absent"] == "mce,pge,umip,pcid,smep,smap"
    assert done.facts["cpu.vectors"] == "fxsave"


# ---- what the CPU sees --------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One line of QEMU's `info tlb`: its own walk through the tables."""

    address: int
    physical: int
    no_execute: bool
    is_global: bool
    uncached: bool
    user: bool
    writable: bool


def seen(text: str) -> list[Seen]:
    row = re.compile(
        r"([0-9a-f]{16}): ([0-9a-f]{16}) ([X-])([G-])[P-][D-][A-]([C-])[T-]([U-])([W-])"
    )
    found = [row.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    assert found and all(found)
    return [
        Seen(int(m[1], 16), int(m[2], 16), *(m[i] != "-" for i in range(3, 8))) for m in found if m
    ]


@pytest.mark.parametrize("memory", ["512", "8192"])
def test_tables_hold_what_was_promised_and_nothing_else(memory: str) -> None:
    done = boot("do=echo", memory, send=b"\n", monitor=("info tlb",))
    assert done.exit_code == machines.SUCCESS_EXIT
    pages = seen(done.answers[0])
    small, large, huge = (int(n) for n in done.facts["map.pages_4k_2m_1g"].split("/"))
    assert len(pages) == small + large + huge
    text = range(symbols()["linker_text"], symbols()["linker_data"])
    constants = range(symbols()["linker_image"], symbols()["linker_text"])
    guards = {symbols()[f"stack_{name}_bottom"] - PAGE for name in STACKS}
    for page in pages:
        assert page.address == page.physical
        assert page.writable <= page.no_execute  # never both writable and executable
        assert not page.user
        assert page.no_execute == (page.address not in text)
        assert page.writable == (page.address not in text and page.address not in constants)
        assert page.uncached == (page.address in DEVICES)
        assert page.is_global == (page.address not in DEVICES)
    addresses = {page.address for page in pages}
    assert 0 not in addresses and not addresses & guards
    assert {*range(text.start, text.stop, PAGE), *range(constants.start, constants.stop, PAGE)} < (
        addresses
    )
    assert DEVICES < addresses
    assert max(addresses - DEVICES) < int(memory) * MIB + GIB


# ---- machine checks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bank", "status", "text"),
    [
        (0, 0xBD00000000000000, "address 1000, uncorrected"),
        (3, 0xB900000000000000, "no address, uncorrected"),
    ],
)
def test_machine_check_tells_bank_status_and_address(bank: int, status: int, text: str) -> None:
    inject = f"mce 0 {bank} {status:#x} 0x5 0x1000 0"
    done = boot(FRAMED + "do=echo", monitor=(inject,))
    assert done.answers == [""]
    assert done.exit_code == machines.FAILURE_EXIT
    panic = guest.read_panic(done.line)
    assert panic is not None and panic.vector == MACHINE_CHECK
    assert panic.reason == f"machine check: bank {bank}, status {status:016x}, {text}"
