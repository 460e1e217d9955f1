# SPDX-License-Identifier: MIT
"""Real disks of QEMU, read by the kernel's drivers (deeds_block.c): all of them right, with errors,
late, and taken out."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import guest  # noqa: E402
import machines  # noqa: E402

EXACT = machines.MACHINES["exact"]
CPUS = 3
WORDS = 1 << 17  # of a disk of 1 MiB
BAD_BLOCK = 37
# A timeout, an abort and a reset take some 3 s: what the layer promises at most (block_bound_ns)
# is far more, with all that a controller may ask for.
IN_TIME_MS = 12_000

# How each kind is attached. QEMU's virtio disk merges requests too, and would fail what is beside.
DEVICES = {"virtio": "virtio-blk-pci", "nvme": "nvme"}
UNMERGED = {"virtio": ",request-merging=off"}
SHUT_DOWN = "pci_nvme_mmio_shutdown_set"  # QEMU's event


def image_in(folder: Path) -> Path:
    """A disk each of whose words says where it stands."""
    path = folder / "disk.img"
    words = ((i + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for i in range(WORDS))
    path.write_bytes(struct.pack(f"<{WORDS}Q", *words))
    return path


def drive(path: Path, more: str = "") -> list[str]:
    """Writable, so that it would show."""
    return ["-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={path}{more}"]


def logged(path: Path, log: Path) -> list[str]:
    """The same with a log of what is written (QEMU's blklogwrites)."""
    log.touch()
    files = f"file.driver=file,file.filename={path},log.driver=file,log.filename={log}"
    return ["-drive", f"if=none,id=disk,driver=blklogwrites,{files}"]


def entries_in(log: Path) -> list[int]:
    """Blocks that each entry of a log wrote; a flush writes none (Linux,
    Documentation/admin-guide/device-mapper/log-writes.rst). QEMU begins one when there is
    something to log."""
    content = log.read_bytes()
    if not content.strip(b"\0"):
        return []
    magic, version, count, sector = struct.unpack_from("<QQQI", content)
    assert (magic, version) == (0x6A736677736872, 1)
    at, written = sector, []
    for _ in range(count):
        _, blocks, _, data = struct.unpack_from("<4Q", content, at)
        written.append(blocks)
        at += sector + blocks * sector if not data else sector + data
    return written


def boot(
    deed: str, kind: str, words: list[str], options: str = "", machine: str = "pc", **more: Any
) -> dict[str, int]:
    """What the deed says of the disk, on several CPUs."""
    path = os.environ.get("TICKMARK_PROBE")
    assert path, "TICKMARK_PROBE must be the path of the kernel with tests/boot/probe.c"
    command = [w for w in EXACT.command(path) if w not in ("-icount", "shift=0,sleep=off")]
    command[command.index("-smp") + 1] = str(CPUS)
    command[command.index("pc,accel=tcg")] = f"{machine},accel=tcg"
    device = f"{DEVICES[kind]},id=it,serial=tickmark,drive=disk{options}"
    line = f"clock=emulated do={deed} disk={kind}"
    done = guest.run([*command, *words, "-device", device], line, **more)
    assert done.exit_code == machines.SUCCESS_EXIT, done.line[-600:]
    facts = {k[5:]: int(v) for k, v in done.facts.items() if k.startswith("disk.")}
    assert facts["found"] == 1, done.facts
    return facts


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


ONE_QUEUE = "one queue"
ATTACHED = {
    "as it comes": ("virtio", "", "pc", CPUS),
    ONE_QUEUE: ("virtio", ",num-queues=1", "pc", 1),
    "no events": ("virtio", ",event_idx=off", "pc", CPUS),
    "no tables": ("virtio", ",indirect_desc=off", "pc", CPUS),
    "nothing older": ("virtio", ",disable-legacy=on", "q35", CPUS),
    "large blocks": ("virtio", ",logical_block_size=4096,physical_block_size=4096", "pc", CPUS),
    "no vectors": ("virtio", ",vectors=0", "pc", CPUS),
    "nvme": ("nvme", "", "pc", CPUS),
    "nvme on PCI Express": ("nvme", "", "q35", CPUS),
    "nvme, one queue": ("nvme", ",max_ioqpairs=1", "pc", 1),
    "nvme, one vector": ("nvme", ",msix_qsize=1", "pc", 1),
    "nvme, short transfers": ("nvme", ",mdts=1", "pc", CPUS),
    "nvme, transfers without a limit": ("nvme", ",mdts=0", "pc", CPUS),
    "nvme, large blocks": (
        "nvme",
        ",logical_block_size=4096,physical_block_size=4096",
        "pc",
        CPUS,
    ),
}


@pytest.mark.parametrize("name", ATTACHED)
def test_every_block_is_read_by_every_cpu_and_nothing_written(name: str, tmp_path: Path) -> None:
    kind, options, machine, queues = ATTACHED[name]
    path = image_in(tmp_path)
    before = digest(path)
    told = tmp_path / "trace"
    trace = ["-trace", SHUT_DOWN, "-D", str(told)] if kind == "nvme" else []
    facts = boot("block_read", kind, [*drive(path), *trace], options, machine)
    block = 4096 if "large" in name else 512
    assert (facts["blocks"], facts["block_bytes"]) == (WORDS * 8 // block, block)
    assert (facts["queues"], facts["read_only"], facts["serial"]) == (queues, 0, 1)
    assert (facts["wrong"], facts["failed"], facts["strays"]) == (0, 0, 0)
    interrupts = "no vectors" not in name
    assert facts["interrupts"] == facts["slept"] == interrupts
    assert facts["cpus_interrupted"] == (queues if interrupts else 0)
    assert facts["refused"] == 3
    assert digest(path) == before
    # Once, in the end: told that it is shut down.
    assert kind != "nvme" or told.read_text().count(SHUT_DOWN) == 1


@pytest.mark.parametrize("kind", DEVICES)
def test_a_log_of_writes_stays_empty(kind: str, tmp_path: Path) -> None:
    path, log = image_in(tmp_path), tmp_path / "log"
    before = digest(path)
    facts = boot("block_read", kind, logged(path, log))
    assert (facts["wrong"], facts["failed"], facts["refused"]) == (0, 0, 3)
    assert sum(entries_in(log)) == 0 and digest(path) == before


def test_a_write_would_be_in_the_log(tmp_path: Path) -> None:
    path, log = image_in(tmp_path), tmp_path / "log"
    words = [machines.PROGRAM, "-machine", "none", "-display", "none", "-monitor", "stdio"]
    asked = 'qemu-io disk "write -P 7 4096 8192"\nqemu-io disk "write 0 512"\nquit\n'
    subprocess.run(
        [*words, *logged(path, log)], input=asked.encode(), stdout=subprocess.DEVNULL, check=True
    )
    assert [blocks for blocks in entries_in(log) if blocks] == [16, 1]


def test_a_disk_that_is_read_only_says_so(tmp_path: Path) -> None:
    facts = boot("block_read", "virtio", drive(image_in(tmp_path), ",readonly=on"))
    assert (facts["read_only"], facts["wrong"], facts["failed"], facts["refused"]) == (1, 0, 0, 3)


@pytest.mark.parametrize("kind", DEVICES)
def test_only_the_block_that_cannot_be_read_fails(kind: str, tmp_path: Path) -> None:
    image_in(tmp_path)
    rules = tmp_path / "rules"
    rules.write_text(
        "[inject-error]\n"
        f'event = "read_aio"\nerrno = "5"\nsector = "{BAD_BLOCK}"\nonce = "off"\n'
    )
    words = [
        *("-blockdev", f"driver=file,node-name=file,filename={tmp_path / 'disk.img'}"),
        *("-blockdev", f"driver=blkdebug,node-name=bad,image=file,config={rules}"),
        *("-blockdev", "driver=raw,node-name=disk,file=bad"),  # which tells blkdebug of reads
    ]
    facts = boot("block_errors", kind, words, UNMERGED.get(kind, ""))
    assert (facts["failed"], facts["failed_place"], facts["failed_answer"]) == (1, BAD_BLOCK, 1)
    assert (facts["batch_failed"], facts["batch_failed_place"]) == (1, BAD_BLOCK)
    assert (facts["merged"], facts["split"], facts["wrong"]) == (1, 1, 0)


@pytest.mark.parametrize("kind", DEVICES)
def test_requests_of_a_disk_that_stalls_end_in_time(kind: str, tmp_path: Path) -> None:
    path = image_in(tmp_path)
    facts = boot("block_late", kind, drive(path, ",throttling.iops-total=2"))
    assert facts["late"] == facts["resets"] == 1 and facts["worst_ms"] <= IN_TIME_MS
    assert (facts["sum"], facts["other"]) == (10, 0)
    assert facts["running"] == facts["after"] == 1


@pytest.mark.parametrize("kind", DEVICES)
def test_a_disk_that_is_taken_out_with_requests_on_their_way_closes(
    kind: str, tmp_path: Path
) -> None:
    # Slow, so that most of them are still to be read when it goes.
    words = drive(image_in(tmp_path), ",throttling.iops-total=40")
    facts = boot("block_gone", kind, words, monitor=("device_del it",))
    assert facts["read_before"] == facts["ejected"] == facts["busy"] == 1
    assert facts["ended"] == 16 and facts["worst_ms"] <= IN_TIME_MS
    # QEMU's virtio disk finishes what it has begun before it goes; NVMe gives it up.
    assert facts["closed"] > 0 or kind == "virtio"
    assert facts["gone"] == facts["still_closed"] == 1
