# SPDX-License-Identifier: MIT
"""The image for real machines, booted in QEMU: from a CD, a stick and the network, under BIOS and
UEFI, with somebody at the keyboard or at the other end of the serial line, and without that line.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c, which says what it was told.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(ROOT / part) for part in ("tests/boot", "targets/qemu"))]
sys.path.insert(0, str(ROOT / "site_scons"))
sys.path.append(str(ROOT / "targets/baremetal"))  # behind targets/qemu: both have machines.py

import image  # noqa: E402
import machines  # noqa: E402
import menu  # noqa: E402
import options  # noqa: E402
from acpi_tables import table  # noqa: E402
from configurations import OVMF as OVMF_CODE  # noqa: E402
from configurations import Configuration  # noqa: E402
from screenless import MENU, Booted  # noqa: E402

SUITES = options.suite_names(str(ROOT))
CONTRACT, KERNEL = ROOT / "build/contract/tickmark.elf", ROOT / "build/qemu/tickmark.elf"
SECONDS = 180  # a computer may be busy with much else, and UEFI takes seconds on an idle one
MENU_SECONDS = 8
PATIENT = (8, 25)  # seconds for Esc over the line and for a key of the menu
CALLS = b"\0\x03\x01\x0d\x01"  # the beginning of a CALL (trace/wire.h)
PRESETS = {preset.name: preset for preset in menu.PRESETS}
OVMF = OVMF_CODE.parent
LINE = ["-serial", "chardev:line"]
soak = pytest.mark.skipif(os.environ.get("TICKMARK_SOAK") != "1", reason="long: in a soak")


def made(folder: Path, kernel: Path, ask_seconds: int, menu_seconds: int) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(menu, "ASK_SECONDS", ask_seconds)
        patch.setattr(menu, "TIMEOUT_SECONDS", menu_seconds)
        image.make({menu.KERNEL: kernel, menu.SELF_TEST: CONTRACT}, folder, SUITES, image.GRUB)
    return folder


def probe_kernel() -> Path:
    path = os.environ.get("TICKMARK_PROBE")
    assert path, "TICKMARK_PROBE must be the path of the kernel with tests/boot/probe.c"
    return Path(path)


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an image whose kernel says what it was told; chosen by the keyboard, without the
    time for who is at the line."""
    return made(tmp_path_factory.mktemp("probe"), probe_kernel(), 0, MENU_SECONDS)


@pytest.fixture(scope="session")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, which may also be chosen over the line, with time for that on a busy computer."""
    return made(tmp_path_factory.mktemp("asking"), probe_kernel(), *PATIENT)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the image as `scons target=baremetal image` makes it, but for these times."""
    return made(tmp_path_factory.mktemp("whole"), KERNEL, *PATIENT)


def command(machine: str, way: str, folder: Path, cpus: int = 2) -> list[str]:
    return Configuration(machine, way, cpus, 256).command(KERNEL, folder / image.ISO)


def facts(line: bytes) -> dict[str, str]:
    """What the probe says."""
    rows = [row for row in line.decode("latin-1").splitlines() if row.startswith("probe ")]
    return dict(row[6:].split("=", 1) for row in rows)


def words_of(preset: menu.Preset) -> list[str]:
    return f"{menu.COMMON} {preset.words}".split()


def ends_well(machine: Booted) -> dict[str, str]:
    assert machine.exit_code(SECONDS) == machines.SUCCESS_EXIT, machine.line[-800:]
    found = facts(machine.line)
    assert found["end"] == "1" and found["boot.protocol"] == "multiboot2"
    return found


# ---- every way in, every preset -----------------------------------------------------------------


@pytest.mark.parametrize(
    "way,machine,preset,keyboard",
    [
        ("bios-cd", "pc", "quick", True),
        ("bios-usb", "q35", "full", False),
        ("uefi-usb", "q35", "host", True),
        ("uefi-cd", "pc", "emulated", False),
        pytest.param("bios-cd", "q35", "host", True, marks=soak),
        pytest.param("bios-usb", "pc", "emulated", True, marks=soak),
        pytest.param("uefi-usb", "pc", "quick", False, marks=soak),
        pytest.param("uefi-cd", "q35", "full", True, marks=soak),
    ],
)
def test_a_preset_is_chosen_from_every_medium(
    way: str, machine: str, preset: str, keyboard: bool, probe: Path, asking: Path
) -> None:
    chosen = PRESETS[preset]
    with Booted(command(machine, way, probe if keyboard else asking)) as booted:
        if not keyboard:
            booted.take_keys_of_the_line(SECONDS)
        booted.wait_for(MENU, SECONDS)
        if keyboard:
            booted.press(chosen.key)
        else:
            booted.send(chosen.key.encode())
        if preset == "host":
            booted.wait_for(CALLS, SECONDS)
            return
        assert ends_well(booted)["arguments"].split() == words_of(chosen)


def test_one_suite_is_chosen_from_the_menu_below(probe: Path) -> None:
    last = menu.suite_presets(SUITES)[-1]
    with Booted(command("pc", "bios-usb", probe)) as booted:
        booted.wait_for(MENU, SECONDS)
        booted.press("o")
        booted.wait_for(b": this suite only", SECONDS)  # the last one may be further down
        booted.press(last.key)
        assert ends_well(booted)["arguments"].split() == words_of(last)


@pytest.mark.parametrize(
    "way,program",
    [
        ("bios-cd", "tickmark.0"),
        pytest.param("bios-cd", "boot.ipxe", marks=soak),
        pytest.param("uefi-cd", "tickmark.efi", marks=soak),
    ],
)
def test_a_machine_boots_from_the_network_without_a_person(
    way: str, program: str, probe: Path, tmp_path: Path
) -> None:
    """As docs/baremetal.md says for boards: which entry boots in grub.cfg, and that at once."""
    folder = tmp_path / image.NETBOOT
    shutil.copytree(probe / image.NETBOOT, folder)
    script = (folder / "grub.cfg").read_text()
    head = f"set default=auto\nset timeout={MENU_SECONDS}\n"
    assert script.count(head) == 1
    at_once = script.replace(head, "set default=quick\nset timeout=0\n")
    (folder / "grub.cfg").write_text(at_once)
    words = command("q35", "pvh", probe)
    words = words[: words.index("-kernel")] + Configuration("q35", way).firmware_words()
    server = f"user,id=net,tftp={folder},bootfile={program}"
    words += ["-netdev", server, "-device", "virtio-net-pci,netdev=net,bootindex=0"]
    with Booted(words) as booted:
        assert ends_well(booted)["arguments"].split() == words_of(PRESETS["quick"])


# ---- words of one's own -------------------------------------------------------------------------


def test_the_command_line_of_an_entry_can_be_edited(asking: Path) -> None:
    with Booted(command("pc", "bios-cd", asking)) as booted:
        booted.take_keys_of_the_line(SECONDS)
        booted.wait_for(MENU, SECONDS)
        booted.send(b"e")
        booted.wait_for(b"multiboot2", SECONDS)
        # As in Emacs: down over the title, an empty line and `tell`, to the end; and boot.
        booted.send(b"\x0e\x0e\x0e\x05 wait=0 seed=77\x18")
        told = ends_well(booted)["arguments"].split()
        assert told == [*words_of(PRESETS["auto"]), "wait=0", "seed=77"]


def test_words_are_typed_on_the_keyboard(probe: Path) -> None:
    with Booted(command("q35", "bios-usb", probe)) as booted:
        booted.wait_for(MENU, SECONDS)
        booted.press("w")
        booted.wait_for(b"then Enter:", SECONDS)
        booted.type("suites=heap filter=heap/pair_64\n")
        told = ends_well(booted)["arguments"].split()
        assert told == [menu.COMMON, "suites=heap", "filter=heap/pair_64"]


# ---- serial ports -------------------------------------------------------------------------------


def without_line(words: list[str]) -> list[str]:
    at = words.index(LINE[0])
    assert words[at : at + 2] == LINE
    return [*words[:at], *words[at + 2 :]]


def quick_in_the_dark(booted: Booted) -> None:
    """Nobody sees the menu: the key again and again."""
    for _ in range(SECONDS):
        if booted.ended():
            break
        booted.press("q")
        booted.wait(1)


@pytest.mark.parametrize("way", ["bios-cd", pytest.param("uefi-usb", marks=soak)])
def test_a_machine_without_serial_port_comes_to_its_end(way: str, probe: Path) -> None:
    """Its results are lost; QEMU's exit port says that the kernel has ended well."""
    with Booted(without_line(command("q35", way, probe))) as booted:
        quick_in_the_dark(booted)
        assert booted.exit_code(SECONDS) == machines.SUCCESS_EXIT
        assert booted.line == b""


@pytest.mark.parametrize("number,port", [(2, "2f8"), pytest.param(4, "2e8", marks=soak)])
def test_another_port_than_com1_is_the_line(number: int, port: str, probe: Path) -> None:
    words = without_line(command("pc", "bios-cd", probe))
    with Booted([*words, "-device", f"isa-serial,iobase=0x{port},irq=3,chardev=line"]) as booted:
        quick_in_the_dark(booted)
        found = ends_well(booted)
    assert found["line"] == f"port {port}", f"COM{number}"


def test_words_choose_the_port(asking: Path, tmp_path: Path) -> None:
    second = tmp_path / "com2"
    words = [*command("pc", "bios-cd", asking), "-chardev", f"file,id=second,path={second}"]
    with Booted([*words, "-device", "isa-serial,iobase=0x2f8,irq=3,chardev=second"]) as booted:
        booted.take_keys_of_the_line(SECONDS)
        booted.wait_for(MENU, SECONDS)
        booted.send(b"w")
        booted.wait_for(b"then Enter:", SECONDS)
        booted.send(b"line=com2\r")
        assert booted.exit_code(SECONDS) == machines.SUCCESS_EXIT
        assert b"probe" not in booted.line
    assert facts(second.read_bytes())["line"] == "port 2f8"


def test_a_port_that_is_none_is_refused(asking: Path) -> None:
    with Booted(command("pc", "bios-cd", asking)) as booted:
        booted.take_keys_of_the_line(SECONDS)
        booted.wait_for(MENU, SECONDS)
        booted.send(b"w")
        booted.wait_for(b"then Enter:", SECONDS)
        booted.send(b"line=com5\r")
        assert booted.exit_code(SECONDS) == machines.FAILURE_EXIT
    assert b"REFUSED: line= is none of com1, com2, com3, com4" in booted.line


def test_the_console_of_the_firmware_is_the_line_where_no_com_port_is(
    probe: Path, tmp_path: Path
) -> None:
    # Interface 0, a 16550; a generic address: ports, 8 bits, at 3220h.
    content = struct.pack("<B3xBBBBQ", 0, 1, 8, 0, 1, 0x3220) + bytes(28)
    (tmp_path / "spcr").write_bytes(table(b"SPCR", content, 2))
    words = without_line(command("q35", "bios-cd", probe))
    words += ["-acpitable", f"file={tmp_path / 'spcr'}"]
    with Booted([*words, "-device", "isa-serial,iobase=0x3220,irq=3,chardev=line"]) as booted:
        quick_in_the_dark(booted)
        assert ends_well(booted)["line"] == "port 3220"


@pytest.mark.parametrize("kind", ["pci-serial", pytest.param("pci-serial-2x", marks=soak)])
def test_a_serial_card_is_the_line_where_no_other_port_is(kind: str, probe: Path) -> None:
    words = without_line(command("q35", "bios-usb", probe))
    first = "chardev1" if kind == "pci-serial-2x" else "chardev"
    with Booted([*words, "-device", f"{kind},{first}=line"]) as booted:
        quick_in_the_dark(booted)
        found = ends_well(booted)
    port = int(found["line"].removeprefix("port "), 16)
    assert port >= 0x1000 and port % 8 == 0
    assert [key for key, said in found.items() if key[:4] == "pci." and f"io@{port:x}+" in said]


def test_a_pci_serial_card_beside_com1_does_no_harm_nor_do_strange_texts(probe: Path) -> None:
    card = ["-chardev", "null,id=card", "-device", "pci-serial,chardev=card"]
    # What firmware says of the machine, with what a terminal would take for commands.
    texts = "type=1,manufacturer=\x1b[2JMaker\x7f\n,product=\r\u00e9<b>"
    with Booted([*command("pc", "bios-cd", probe), *card, "-smbios", texts]) as booted:
        booted.wait_for(MENU, SECONDS)
        booted.press("q")
        found = ends_well(booted)
    assert found["arguments"].split() == words_of(PRESETS["quick"])
    assert found["line"] == "port 3f8"
    assert found["system"] == "?[2JMaker??, ???<b>"


# ---- the kernels themselves ---------------------------------------------------------------------


def test_the_self_test_finds_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Instructions counted: what it checks about clocks then holds on a busy computer, too. A second
    # of waiting is a thousand million of them.
    words = command("pc", "bios-cd", made(tmp_path, KERNEL, 0, MENU_SECONDS), cpus=1)
    at = words.index("-accel")
    words[at : at + 2] = ["-accel", "tcg", "-icount", "shift=0,sleep=off"]
    with Booted(words) as booted:
        booted.wait_for(MENU, SECONDS)
        booted.press(PRESETS["self-test"].key)
        code = booted.exit_code(SECONDS)
    rows = booted.line.decode("latin-1").replace("\r", "").splitlines()
    assert "KTAP version 1" in rows and rows[-1] == "# contract-end", rows[-20:]
    assert [row for row in rows if row.startswith("not ok")] == []
    (planned,) = (int(row[3:]) for row in rows if row.startswith("1.."))
    assert len([row for row in rows if row.startswith("ok ")]) == planned >= 17
    assert code == machines.SUCCESS_EXIT


def test_a_table_comes_out_of_the_serial_port(whole: Path) -> None:
    with Booted(command("q35", "bios-usb", whole)) as booted:
        booted.take_keys_of_the_line(SECONDS)
        booted.wait_for(MENU, SECONDS)
        booted.send(b"w")
        booted.wait_for(b"then Enter:", SECONDS)
        booted.send(b"clock=emulated suites=heap filter=heap/pair_64/hybrid rounds=1\r")
        assert booted.exit_code(SECONDS) == machines.SUCCESS_EXIT, booted.line[-800:]
    text = booted.line.decode("latin-1")
    assert re.search(r"^# heap/pair_64/hybrid +\d+ .* emulated ticks\r?$", text, re.M), text[-2000:]
    assert text.rstrip().endswith("# bench-end")


def test_a_counter_that_is_not_invariant_is_refused(whole: Path) -> None:
    """As of QEMU's CPUs: no entry but `emulated` prints numbers there."""
    with Booted(command("pc", "bios-cd", whole)) as booted:
        booted.wait_for(MENU, SECONDS)
        booted.press("q")
        assert booted.exit_code(SECONDS) == machines.FAILURE_EXIT
    assert b"Bail out! clock proof failed: this CPU has no invariant" in booted.line


# ---- Secure Boot --------------------------------------------------------------------------------


@soak
def test_firmware_with_secure_boot_does_not_start_it(probe: Path, tmp_path: Path) -> None:
    """As docs/baremetal.md says. The keys in these variables are Microsoft's."""
    variables = tmp_path / "variables.fd"
    shutil.copyfile(OVMF / "OVMF_VARS_4M.ms.fd", variables)
    machine = Configuration("q35", "uefi-cd", 2, 256)
    words = command("q35", "pvh", probe)
    words = words[: words.index("-kernel")] + machine.medium_words(probe / image.ISO)
    words += ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]
    code = OVMF / "OVMF_CODE_4M.ms.fd"
    words += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
    words += ["-drive", f"if=pflash,format=raw,file={variables}"]
    with Booted(words) as booted:
        booted.wait_for(b"Access Denied", SECONDS)
        assert MENU not in booted.line
