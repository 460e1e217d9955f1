# SPDX-License-Identifier: MIT
"""The machines as QEMU sees them: what cpus=, memory=, numa= and disk= make of them."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import machines  # noqa: E402
import pattern_disk  # noqa: E402
from machines import MACHINES, Topology, distance, shares  # noqa: E402
from monitor import Paused  # noqa: E402

SMP = MACHINES["smp"]
NO_KERNEL = "/dev/null"  # never reached: the machine does not run


def smp(**values: str) -> list[str]:
    command = SMP.command(NO_KERNEL, values)
    at = command.index("-kernel")
    return command[:at]


@pytest.mark.parametrize("total,parts", [(8, 2), (7, 3), (64, 8), (1, 4), (257, 8)])
def test_shares_are_even_and_add_up(total: int, parts: int) -> None:
    made = shares(total, parts)
    assert len(made) == parts and sum(made) == total
    assert max(made) - min(made) <= 1 and made == sorted(made)


def test_a_nearer_node_is_never_further() -> None:
    for i in range(machines.NODES_MOST):
        assert distance(i, i) == 10
        others = sorted(range(machines.NODES_MOST), key=lambda j: abs(i - j))
        costs = [distance(i, j) for j in others]
        assert costs == sorted(costs) and set(costs[1:3]) <= {20, 30} and max(costs) < 255
        assert all(distance(i, j) == distance(j, i) for j in others)


def test_default_cpus_are_several_and_at_most_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, wanted in ((None, 2), (1, 2), (2, 2), (3, 3), (4, 4), (96, 4)):
        monkeypatch.setattr(machines.os, "cpu_count", lambda count=there: count)
        assert SMP.topology({}) == Topology(wanted, 512, 1)


def test_only_smp_takes_cpus_nodes_and_disks() -> None:
    for name in ("exact", "kvm"):
        command = MACHINES[name].command("image", {"cpus": "8", "numa": "4", "disk": "/x"})
        assert command[command.index("-smp") + 1] == "1"
        assert not {"-numa", "-drive"} & set(command)
        assert not MACHINES[name].options & {"cpus", "numa", "disk"}


def test_the_run_carries_what_the_machine_is_made_of() -> None:
    values = {"cpus": "8", "memory": "256", "numa": "2"}
    assert list(SMP.facts(values).values()) == ["8", "256", "2"]
    assert list(MACHINES["exact"].facts(values).values()) == ["1", "256", "1"]


# CPUs, MiB, nodes: the smallest, the largest, nodes without CPUs, shares that do not divide.
@pytest.mark.parametrize(
    "cpus,memory,nodes",
    [(1, 64, 1), (64, 65536, 8), (8, 256, 2), (1, 64, 4), (3, 1000, 3), (2, 8192, 8)],
)
def test_qemu_makes_the_nodes_asked_for(cpus: int, memory: int, nodes: int) -> None:
    with Paused(smp(cpus=str(cpus), memory=str(memory), numa=str(nodes))) as machine:
        numa = machine.ask("info numa")
        found = re.findall(r"node (\d+) cpus:([ \d]*)\r?\nnode \d+ size: (\d+) MB", numa)
        assert machine.ask("info cpus").count("CPU #") == cpus
    assert numa.startswith(f"{nodes if nodes > 1 else 0} nodes")
    if nodes > 1:
        assert [int(size) for _, _, size in found] == shares(memory, nodes)
        counts = [len(listed.split()) for _, listed, _ in found]
        assert counts == shares(cpus, nodes)
        listed = [int(cpu) for _, listed, _ in found for cpu in listed.split()]
        assert listed == list(range(cpus))


def first_words(generation: int) -> list[int]:
    """Of a pattern: SplitMix64 once more, in whole numbers."""
    word = []
    for i in range(3):
        z = (generation + i * 0x9E3779B97F4A7C15) % (1 << 64)
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % (1 << 64)
        z = (z ^ z >> 27) * 0x94D049BB133111EB % (1 << 64)
        word.append(z ^ z >> 31)
    return word


def test_scratch_disks_have_a_pattern_of_their_own_where_it_was_built(tmp_path: Path) -> None:
    images = [tmp_path / f"disk{i}.img" for i in range(2)]
    for i, image in enumerate(images):
        pattern_disk.main(str(image), i)
    contents = [image.read_bytes() for image in images]
    for generation, content in zip(machines.GENERATIONS, contents):
        assert list(struct.unpack_from("<3Q", content)) == first_words(generation)
        assert len(content) == machines.SCRATCH_BYTES
    assert contents[0] != contents[1]
    command = SMP.command(str(tmp_path / "kernel"), {})
    with Paused(command[: command.index("-kernel")]) as machine:
        tree = machine.ask("info qtree")
        for i, generation in enumerate(machines.GENERATIONS):
            # NVMe and virtio have room for 20 characters.
            assert f'serial = "pattern-{generation}"' in tree and len(str(generation)) <= 12
            assert "read 4096/4096" in machine.ask(f'qemu-io disk{i} "read 8192 4096"')
            assert "wrote 4096/4096" in machine.ask(f'qemu-io disk{i} "write -P 7 8192 4096"')
    assert [image.read_bytes() for image in images] == contents


def files_left(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir()]


def test_scratch_disks_take_writes_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Paused(smp()) as machine:
        assert re.findall(r"Virtual disk|nvme|virtio", machine.ask("info qtree"))
        for disk in ("disk0", "disk1"):
            assert "wrote 4096/4096" in machine.ask(f'qemu-io {disk} "write -P 7 8192 4096"')
            assert "read 4096/4096" in machine.ask(f'qemu-io {disk} "read -P 7 8192 4096"')
            assert "verification failed" in machine.ask(f'qemu-io {disk} "read -P 7 0 4096"')
        # Gone from the folder although it is in use: even a killed QEMU leaves no file.
        assert files_left(tmp_path) == []
        opened = Path(f"/proc/{machine.process.pid}/fd")
        links = [str(path.readlink()) for path in opened.iterdir() if path.is_symlink()]
        assert sum(f"{tmp_path}/" in link and "(deleted)" in link for link in links) == 2
    assert files_left(tmp_path) == []


def test_an_image_of_the_user_s_is_shown_and_never_written(tmp_path: Path) -> None:
    image = tmp_path / "a,name with=odd characters.img"
    image.write_bytes(bytes([42]) * (1 << 20))
    with Paused(smp(disk=str(image))) as machine:
        for disk in ("disk0", "disk1"):
            assert "read 4096/4096" in machine.ask(f'qemu-io {disk} "read -P 42 8192 4096"')
            assert "wrote" not in machine.ask(f'qemu-io {disk} "write -P 7 8192 4096"')
        assert machine.ask("info block").count("read-only") == 2
    assert image.read_bytes() == bytes([42]) * (1 << 20)
