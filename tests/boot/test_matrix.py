# SPDX-License-Identifier: MIT
"""The kernel on machines of many shapes: each boot ends well and says what it found.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c. With TICKMARK_SOAK=1 the whole
product is booted, otherwise so many that every two values of two factors meet in one boot.
"""

from __future__ import annotations

import sys
from itertools import combinations, product
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import configurations  # noqa: E402
import guest  # noqa: E402
import machines  # noqa: E402
import pairwise  # noqa: E402
from configurations import FACTORS, FACTS, Configuration, is_soak, iso_for, matrix  # noqa: E402
from probe_kernel import kernel  # noqa: E402

# Generous: a computer may be busy with much else, and UEFI takes seconds on an idle one.
SECONDS = 180


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where images are made, once for each command line."""
    return tmp_path_factory.mktemp("media")


def boot(configuration: Configuration, media: Path) -> guest.Guest:
    assert configuration.firmware != "ovmf" or configurations.OVMF.exists(), "install ovmf"
    arguments = configuration.arguments()
    iso = media if configuration.loader == "pvh" else iso_for(kernel(), media, arguments)
    return guest.run(configuration.command(kernel(), iso), arguments, timeout=SECONDS)


def check(configuration: Configuration, media: Path) -> None:
    done = boot(configuration, media)
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-500:]
    assert configurations.wrong_facts(configuration, done.facts) == {}


@pytest.mark.parametrize("configuration", matrix(whole=is_soak()), ids=lambda c: c.name)
def test_boot_ends_well_and_says_what_it_found(configuration: Configuration, media: Path) -> None:
    check(configuration, media)


# The largest that can be asked for, a stick instead of a CD, the clock that counts.
EDGES = [
    Configuration(cpus=64, memory=65536, numa=8),
    Configuration(cpus=64, memory=64, numa=8),
    Configuration("pc", "bios-usb", 2, 256, 2),
]
SLOW_EDGES = [Configuration("q35", "uefi-usb", 2, 256, 2), Configuration("pc", "uefi-cd", 64, 8192)]


@pytest.mark.parametrize(
    "configuration", EDGES + SLOW_EDGES * is_soak(), ids=lambda edge: edge.name
)
def test_boot_of_an_odd_machine(configuration: Configuration, media: Path) -> None:
    check(configuration, media)


# ---- the choice of machines ---------------------------------------------------------------------


def pairs_met(choices: list[pairwise.Choice]) -> set[tuple[int, object, int, object]]:
    """Counted in another way than the generator does."""
    return {
        (i, choice[i], j, choice[j])
        for choice in choices
        for i in range(len(choice))
        for j in range(i + 1, len(choice))
    }


@pytest.mark.parametrize(
    "factors",
    [
        FACTORS,
        {"one": (1, 2, 3)},
        {"a": (0, 1), "b": (0, 1)},
        {"a": (0,), "b": (0, 1, 2), "c": (5,)},
        {str(i): tuple(range(1 + i % 4)) for i in range(7)},
    ],
    ids=["boots", "one", "two", "single", "seven"],
)
def test_every_pair_of_values_meets_in_one_choice(factors: dict[str, tuple[object, ...]]) -> None:
    chosen = pairwise.covering(factors)
    values = list(factors.values())
    for i, j in combinations(range(len(values)), 2):
        for a, b in product(values[i], values[j]):
            assert (i, a, j, b) in pairs_met(chosen)
    assert all(value in values[i] for choice in chosen for i, value in enumerate(choice))
    assert len(set(chosen)) == len(chosen)


def test_no_choice_could_be_left_out() -> None:
    chosen = pairwise.covering(FACTORS, configurations.cost)
    whole = pairs_met(chosen)
    for left_out in chosen:
        assert pairs_met([choice for choice in chosen if choice != left_out]) < whole


def test_the_choice_is_small_cheap_and_always_the_same() -> None:
    first, second = matrix(whole=False), matrix(whole=False)
    assert first == second
    # Four counts of CPUs meet four sizes of memory: fewer than 16 cannot do, nor fewer than 4 with
    # each firmware.
    assert 16 <= len(first) <= 20
    assert sum(c.firmware == "ovmf" for c in first) <= 5
    names = {c.name for c in matrix(whole=True)}
    assert len(names) == 576 and {c.name for c in first} < names


# ---- what is expected ---------------------------------------------------------------------------


def said_by(configuration: Configuration) -> dict[str, str]:
    return {
        "arguments": "clock=emulated",
        "boot.protocol": "pvh",
        "hypervisor": "TCGTCGTCGTCG",
        "memory.bytes": str(256 << 20),
        "arena.start": str(18 << 20),
        "arena.bytes": str(200 << 20),
        "arena.dirty_pages": "0",
        "arena.same": "1",
        "clock.class": "2",
        "clock.ns_of_2m_ticks": "800000" if configuration.hpet else "0",
        "end": "1",
    }


WRONG = {
    "arguments": "clock=insn",
    "boot.protocol": "multiboot2",
    "hypervisor": "none",
    "memory.bytes": str(128 << 20),
    "arena.start": str(19 << 20),
    "arena.bytes": str(8 << 20),
    "arena.dirty_pages": "1",
    "arena.same": "0",
    "clock.class": "1",
    "clock.ns_of_2m_ticks": "12",
    "end": "0",
}


def test_each_fact_is_looked_at() -> None:
    for configuration in (Configuration(memory=256), Configuration(memory=256, hpet=False)):
        right = said_by(configuration)
        assert configurations.wrong_facts(configuration, right) == {}
        assert set(WRONG) == set(FACTS)
        for key, value in WRONG.items():
            assert configurations.wrong_facts(configuration, {**right, key: value}) == {key: value}
            without = {other: said for other, said in right.items() if other != key}
            assert configurations.wrong_facts(configuration, without) == {key: "missing"}


def test_a_fact_that_must_not_be_there_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_nodes = configurations.equals(2)
    monkeypatch.setitem(FACTS, "numa.x", lambda c: with_nodes if c.numa > 1 else None)
    one, two = Configuration(memory=256), Configuration(memory=256, numa=2)
    right = said_by(one)
    assert configurations.wrong_facts(one, right) == {}
    assert configurations.wrong_facts(one, {**right, "numa.x": "2"}) == {"numa.x": "2"}
    assert configurations.wrong_facts(two, {**right, "numa.x": "2"}) == {}
    assert configurations.wrong_facts(two, right) == {"numa.x": "missing"}
