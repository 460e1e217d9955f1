# SPDX-License-Identifier: MIT
"""PCI in QEMU: what the kernel finds is what QEMU says is there, and messages arrive.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "targets" / "qemu")]

import guest  # noqa: E402
import machines  # noqa: E402
from probe_kernel import kernel  # noqa: E402

EXACT = machines.MACHINES["exact"]
NET = ("-netdev", "user,id=net,restrict=on", "-device")
ROM_SLOT = 6  # QEMU's number of the expansion ROM, which the kernel leaves out
FUNCTION = re.compile(
    r"([0-9a-f]{4}):([0-9a-f]{4}) class ([0-9a-f]{6}) [a-z]+"
    r"(?: bus=([0-9a-f]{2})-([0-9a-f]{2}))?(?: bars=(\S+))?(?: msi=(\d+))?(?: msix=(\d+))?"
)
BAR = re.compile(r"(\d):(io|m32|m64)(p?)@(none|[0-9a-f]+)\+([0-9a-f]+)")


def boot(machine: str, devices: tuple[str, ...], arguments: str, **more: Any) -> guest.Guest:
    words = [w.replace("pc,accel", f"{machine},accel") for w in EXACT.command(str(kernel()))]
    line = " ".join([*EXACT.arguments(), arguments])
    done = guest.run([*words, *devices], line, **more)
    assert done.exit_code == machines.SUCCESS_EXIT
    assert done.facts["end"] == "1"
    return done


# ---- what there is ------------------------------------------------------------------------------

Row = dict[str, Any]  # of one function: ids, class, buses behind it, BARs by slot


def qemus(buses: list[dict[str, Any]]) -> dict[str, Row]:
    """The answer of query-pci by bus:device.function."""
    found: dict[str, Row] = {}
    for bus in buses:
        for device in bus["devices"]:
            bars = {
                region["bar"]: (
                    region["type"] == "io",
                    region.get("mem_type_64", False),
                    region.get("prefetch", False),
                    None if region["address"] == -1 else region["address"],
                    region["size"],
                )
                for region in device["regions"]
                if region["bar"] != ROM_SLOT
            }
            behind = device.get("pci_bridge")
            found[f"{device['bus']:02x}:{device['slot']:02x}.{device['function']}"] = {
                "ids": (device["id"]["vendor"], device["id"]["device"]),
                "class": device["class_info"]["class"],
                "behind": behind and (behind["bus"]["secondary"], behind["bus"]["subordinate"]),
                "bars": bars,
            }
            if behind:
                found |= qemus([{"devices": behind.get("devices", [])}])
    return found


def kernels(facts: dict[str, str]) -> dict[str, Row]:
    """The same from the kernel's facts."""
    found: dict[str, Row] = {}
    for key, value in facts.items():
        if not key.startswith("pci.0:"):
            continue
        match = FUNCTION.fullmatch(value)
        assert match, f"{key}={value}"
        vendor, device, code, first, last, bars, _, _ = match.groups()
        rows = [BAR.fullmatch(text) for text in bars.split(",")] if bars else []
        assert all(rows), f"{key}={value}"
        found[key.removeprefix("pci.0:")] = {
            "ids": (int(vendor, 16), int(device, 16)),
            "class": int(code[:4], 16),
            "behind": first and (int(first, 16), int(last, 16)),
            "bars": {
                int(row[1]): (
                    row[2] == "io",
                    row[2] == "m64",
                    row[3] == "p",
                    None if row[4] == "none" else int(row[4], 16),
                    int(row[5], 16),
                )
                for row in rows
                if row
            },
        }
    return found


DISK = ("-drive", "if=none,id=disk,format=raw,read-only=on,file.driver=null-co,file.size=1M")
CONFIGURATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pc": ("pc", ()),
    "pc_disks": (
        "pc",
        (*DISK, "-device", "virtio-blk-pci,drive=disk", "-device", "nvme,serial=1"),
    ),
    "pc_bridges": (
        "pc",
        (
            *("-device", "pci-bridge,id=outer,chassis_nr=1", "-device", "edu,bus=outer,addr=4"),
            *("-device", "pci-bridge,id=inner,chassis_nr=2,bus=outer,addr=7"),
            *("-device", "nvme,serial=1,bus=inner,addr=9", "-device", "VGA"),
        ),
    ),
    "q35": ("q35", ()),
    "q35_ports": (
        "q35",
        (
            *("-device", "pcie-root-port,id=root1,chassis=1,addr=4.0,multifunction=on"),
            *("-device", "pcie-root-port,id=root2,chassis=2,addr=4.1"),
            *("-device", "x3130-upstream,id=up,bus=root2"),
            *("-device", "xio3130-downstream,id=down1,bus=up,chassis=3"),
            *("-device", "xio3130-downstream,id=down2,bus=up,chassis=4"),
            *("-device", "nvme,serial=1,bus=root1", *DISK),
            *("-device", "virtio-blk-pci,drive=disk,bus=down2", *NET, "e1000e,netdev=net"),
        ),
    ),
    "q35_large": (
        "q35",
        ("-device", "ivshmem-plain,memdev=shared")
        + ("-object", "memory-backend-ram,id=shared,size=64M,share=on"),
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_kernel_finds_what_qemu_has(name: str) -> None:
    machine, devices = CONFIGURATIONS[name]
    done = boot(machine, devices, "do=echo", ask="query-pci", send=b"\n")
    said = next(m["return"] for m in done.qmp if m.get("id") == "query-pci")
    there, found = qemus(said), kernels(done.facts)
    assert found == there
    assert done.facts["pci.functions"] == str(len(there))
    assert not {"pci.left_out", "pci.problems"} & set(done.facts)


def test_vectors_are_those_of_the_devices() -> None:
    _, devices = CONFIGURATIONS["pc_disks"]
    facts = boot("pc", (*devices, "-device", "edu"), "").facts
    by_ids = {value[:9]: value for value in facts.values() if " class " in value}
    assert by_ids["1b36:0010"].endswith(" msix=65") and " nvme " in by_ids["1b36:0010"]
    assert by_ids["1af4:1001"].endswith(" msix=2")  # one queue, one for the configuration
    assert by_ids["1234:11e8"].endswith(" msi=1")


# ---- interrupts ---------------------------------------------------------------------------------


def said(done: guest.Guest, what: str) -> dict[str, int]:
    return {
        key.removeprefix(what + "."): int(value)
        for key, value in done.facts.items()
        if key.startswith(what + ".")
    }


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_message_of_a_device_arrives(machine: str) -> None:
    answers = said(boot(machine, ("-device", "edu"), "do=pci_msi"), "msi")
    assert answers == {
        **{"found": 1, "opened": 1, "pin": 1, "pin_released": 1, "refused": 1, "routed": 1},
        **{"early": 0, "arrived": 1, "rerouted": 1, "arrived_again": 1, "status": 0},
        "times": 2,
    }


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_masked_vector_waits_and_arrives_later(machine: str) -> None:
    answers = said(boot(machine, (*NET, "e1000e,netdev=net"), "do=pci_msix"), "msix")
    assert answers == {
        **{"found": 1, "opened": 1, "attached": 1, "routed": 1, "pending_early": 0},
        **{"pending": 1, "early": 0, "early_still": 0, "arrived": 1, "pending_late": 0},
        "times": 1,
    }


# ---- ECAM ---------------------------------------------------------------------------------------


def test_memory_shows_what_the_ports_do_and_more() -> None:
    _, devices = CONFIGURATIONS["q35_ports"]
    answers = said(boot("q35", devices, "do=pci_ecam"), "ecam")
    assert answers.pop("window") % (1 << 28) == 0
    assert answers.pop("extended") >= 3  # of e1000e alone: errors, serial number, and so on
    assert answers == {"refused": 1, "same": 1, "reach": 4096, "differences": 0}
