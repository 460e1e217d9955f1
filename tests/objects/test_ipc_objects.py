# SPDX-License-Identifier: MIT
"""What a batch of messages orders, looked for in machine code and beside what the rings say of
themselves: the claim about fences rests on more than their word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
FOLDERS = ("targets", "kernel/lib", "kernel/arch", "trace", "kernel/memory", "kernel/ipc")
RINGS = ("fusion_spsc", "fusion_stream", "fusion_mpmc")
# A lock prefix; XCHG with memory, which needs none; what orders all memory; what serialises.
ORDERS = re.compile(r"\block\b|\bxchg\w* .*\(|\b[mls]fence\b|\bcpuid\b|\bserialize\b")

Code = dict[str, list[str]]


@pytest.fixture(scope="module", name="code")
def code_fixture() -> Code:
    """The instructions of each function of the object that is measured, with what they call and
    jump to by its name. Those of one name are joined: any of them may be meant."""
    words = ["objdump", "-dr", "--no-show-raw-insn", str(BUILD / "portable_plain.o")]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: Code = {}
    name = ""
    begins = {int(at, 16): one for at, one in re.findall(r"^([0-9a-f]+) <(.+)>:$", listing, re.M)}

    def named(place: re.Match[str]) -> str:
        """What lies in the same section is told by its place, less the four bytes of the offset."""
        name = begins.get(int(place[1], 16) + 4, "in_the_middle")
        return f"R_X86_64_PC32\t{name}"

    for line in listing.splitlines():
        line = re.sub(r"R_X86_64_PC32\s+\.text\.\w+\+0x([0-9a-f]+)", named, line)
        if heading := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            name = heading[1]
            found.setdefault(name, [])
        elif "\t" in line:
            found[name].append(line)
    return found


def path_of(code: Code, name: str) -> set[str]:
    """A function and all that it may call or jump to; panics, which do not come back, apart."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in reached or one not in code:
            continue
        reached.add(one)
        text = "\n".join(code[one])
        waiting += re.findall(r"(?:call|j\w+)\s.*<([\w.]+)>", text)
        waiting += re.findall(r"R_X86_64_P\w+\s+([\w.]+)", text)
    return reached


def orders(code: Code, name: str) -> list[str]:
    return [line for one in path_of(code, name) for line in code[one] if ORDERS.search(line)]


@pytest.fixture(scope="module", name="counted")
def counted_fixture(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[int]]]:
    """Of each batch: ring, and length, credit at hand, releases, acquires, stronger, told fences,
    told acquires."""
    program = tmp_path_factory.mktemp("orders") / "orders"
    objects = [BUILD / f"races/kernel/ipc/ring_{name}.o" for name in (*RINGS, "sides")]
    words = ["gcc", "-std=gnu11", "-O1", "-fno-builtin", "-DCONFIG_TRACE=0", "-DCONFIG_FIBERS=0"]
    words += ["-DCONFIG_ASSERT_SLOW=0", "-DCONFIG_FRAME_POINTER=1", f"-I{BUILD / 'generated'}"]
    words += [f"-I{ROOT / folder}" for folder in FOLDERS]
    words += ["-o", str(program), str(ROOT / "tests/objects/ipc_orders.c"), *map(str, objects)]
    subprocess.run(words, check=True)
    told = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in told.splitlines()]
    return [(name, [int(word) for word in words]) for name, *words in lines]


def test_a_batch_executes_no_fence_and_no_locked_instruction(code: Code) -> None:
    for ring in ("fusion_spsc", "fusion_stream"):
        # The slow half is looked at, too.
        assert path_of(code, f"ring_{ring}_send_batch") & {"send_what_fits", "renew_credit"}
        assert orders(code, f"ring_{ring}_send_batch") == [], ring
        assert orders(code, f"ring_{ring}_receive_batch") == [], ring
    for case in ("batch_1", "batch_16", "batch_64"):
        assert orders(code, f"ipc_{case}__fusion_spsc") == [], case


def test_what_is_looked_for_would_be_found(code: Code) -> None:
    assert orders(code, "ring_fusion_mpmc_send_batch") != []
    assert orders(code, "ipc_batch_16__locked_queue") != []
    assert ORDERS.search("\tmfence") and ORDERS.search("\txchg   %rax,(%rdi)")
    assert not ORDERS.search("\txchg   %ax,%ax")


def test_a_batch_has_the_releases_and_acquires_that_its_ring_says(
    counted: list[tuple[str, list[int]]],
) -> None:
    assert {name for name, _ in counted} == set(RINGS)
    most: dict[str, int] = {}
    for name, (length, at_hand, releases, acquires, stronger, fences, told) in counted:
        what = f"{name}, {length} messages"
        assert stronger == 0, what
        # Of many, a claim is told, too; and who looks for room hands on what it found.
        assert releases == fences == 1 + (name == "fusion_mpmc") * (2 - at_hand), what
        most[what] = max(most.get(what, 0), acquires)
        assert told == most[what], what
    assert len(counted) > 3 * 7
