# SPDX-License-Identifier: MIT
"""The image for real machines as it is made: equal bytes from equal input, one line where a tool is
missing, a menu whose words the kernel knows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site_scons"))
sys.path.append(str(ROOT / "targets/baremetal"))  # behind targets/qemu: both have machines.py

import image  # noqa: E402
import menu  # noqa: E402
import options  # noqa: E402

SUITES = options.suite_names(str(ROOT))
KERNEL, SELF_TEST = ROOT / "build/probe/tickmark.elf", ROOT / "build/contract/tickmark.elf"
FAT_TIME_SECONDS = 2  # what a FAT file system's times count in


def make(
    folder: Path, *words: str, kernel: Path = KERNEL, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    script = ROOT / "targets/baremetal/image.py"
    command = [sys.executable, str(script), str(kernel), str(SELF_TEST), str(folder), *SUITES]
    return subprocess.run(
        [*command, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in it by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ---- equal bytes --------------------------------------------------------------------------------


def test_two_images_are_equal_byte_by_byte(tmp_path: Path) -> None:
    assert make(tmp_path / "one").returncode == 0
    time.sleep(FAT_TIME_SECONDS + 0.1)
    # In another folder and at another time, by somebody with other habits.
    elsewhere = tmp_path / "a longer name" / "two"
    mtoolsrc = tmp_path / "mtoolsrc"
    mtoolsrc.write_text("mtools_lower_case=1\n")
    before = os.umask(0o077)
    try:
        done = make(
            elsewhere,
            cwd=tmp_path,
            TZ="Asia/Tokyo",
            SOURCE_DATE_EPOCH="1234567890",
            MTOOLSRC=str(mtoolsrc),
        )
    finally:
        os.umask(before)
    assert done.returncode == 0 and done.stdout + done.stderr == ""
    one, two = contents(tmp_path / "one"), contents(elsewhere)
    assert {"tickmark.iso", "netboot/tickmark.0", "netboot/tickmark.efi"} < set(one)
    assert set(one) == set(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_no_date_but_the_fixed_one_is_in_an_image(tmp_path: Path) -> None:
    assert make(tmp_path).returncode == 0
    data = (tmp_path / "tickmark.iso").read_bytes()
    # As ISO 9660 writes a date: sixteen digits in its volume descriptors.
    dates = set(re.findall(rb"(?<!\d)(?:19|20)\d{14}(?=[\0-\x7f])", data[32768:65536]))
    assert dates == {image.EPOCH_DATE.encode()}
    assert time.strftime("%Y%m%d", time.gmtime()).encode() not in data


def test_another_kernel_makes_an_image_of_another_name(tmp_path: Path) -> None:
    data = bytearray(KERNEL.read_bytes())
    at = data.index(b"hypervisor\0")
    data[at] ^= 1
    changed = tmp_path / "kernel.elf"
    changed.write_bytes(data)
    names = []
    for folder, kernel in (("one", KERNEL), ("two", changed)):
        assert make(tmp_path / folder, kernel=kernel).returncode == 0
        text = (tmp_path / folder / "netboot/grub.cfg").read_text()
        found = re.match(r"# Tickmark ([0-9a-f]{8})\.", text)
        assert found is not None
        names.append(found[1])
        # The name of the file that GRUB under UEFI finds its medium by, and the GUID of the disk.
        assert found[1].encode() in (tmp_path / folder / "tickmark.iso").read_bytes()
    assert names[0] != names[1]


def test_an_image_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "netboot").mkdir()
    (tmp_path / "netboot/old").write_text("of an older version")
    (tmp_path / "tickmark.iso").write_text("old")
    (tmp_path / "other").write_text("not ours")
    assert make(tmp_path).returncode == 0
    found = contents(tmp_path)
    assert "netboot/old" not in found and found["other"] == b"not ours"
    assert len(found["tickmark.iso"]) > 1 << 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["netboot", "other", "tickmark.iso"]


# ---- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", image.PROGRAMS)
def test_a_missing_program_is_named_with_its_package(missing: str, tmp_path: Path) -> None:
    there = tmp_path / "bin"
    there.mkdir()
    for name in image.PROGRAMS:
        found = shutil.which(name)
        assert found is not None
        if name != missing:
            (there / name).symlink_to(found)
    done = make(tmp_path / "out", PATH=str(there))
    assert done.returncode == image.MISSING and done.stdout == ""
    package = image.PROGRAMS[missing]
    assert done.stderr == (
        f"tickmark: image: {missing} is missing: install {package} (./install-deps)\n"
    )
    assert not (tmp_path / "out").exists()
    assert package in (ROOT / "packages").read_text().split()


@pytest.mark.parametrize("missing", image.PARTS)
def test_missing_parts_of_grub_are_named_with_their_package(missing: str, tmp_path: Path) -> None:
    for name in image.PARTS:
        if name != missing:
            (tmp_path / name).symlink_to(image.GRUB / name)
    done = make(tmp_path / "out", "--grub", str(tmp_path))
    package = image.PARTS[missing]
    assert done.returncode == image.MISSING
    assert done.stderr == (
        f"tickmark: image: {tmp_path}/{missing} is missing: install {package} (./install-deps)\n"
    )
    assert package in (ROOT / "packages").read_text().split()


@pytest.mark.parametrize("broken", ["xorriso", "grub-mkimage", "mcopy", "objcopy"])
def test_a_tool_that_fails_leaves_the_older_image_alone(broken: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / broken
    tool.write_text("#!/bin/sh\necho begins\necho no space left >&2\nexit 3\n")
    tool.chmod(0o755)
    out = tmp_path / "out"
    (out / "netboot").mkdir(parents=True)
    (out / "netboot/grub.cfg").write_text("older")
    (out / "tickmark.iso").write_text("older")
    done = make(out, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.returncode == image.MISSING
    assert done.stderr.startswith(f"tickmark: image: {broken}: ") and done.stderr.count("\n") == 1
    assert contents(out) == {"netboot/grub.cfg": b"older", "tickmark.iso": b"older"}


def test_a_kernel_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    done = make(tmp_path / "out", kernel=tmp_path / "none.elf")
    assert done.returncode == image.MISSING and done.stderr.count("\n") == 1
    assert "none.elf" in done.stderr


# ---- the menu -----------------------------------------------------------------------------------


def level(presets: list[str]) -> list[str]:
    return [key for text in presets for key in re.findall(r"--hotkey=(\S+)", text)]


def test_every_key_of_the_menu_means_one_thing() -> None:
    text = menu.script(SUITES, "0")
    inside = re.findall(r"^ +menuentry .*$", text, re.M)
    outside = re.findall(r"^(?:menuentry|submenu) .*$", text, re.M)
    assert len(inside) == len(SUITES) and len(outside) == len(menu.PRESETS) + 3
    for keys in (level(inside), level(outside)):
        assert len(set(keys)) == len(keys) and not {"e", "c"} & set(keys)
    assert len(level(inside)) == len(inside) and len(level(outside)) == len(outside)


def test_every_suite_has_an_entry() -> None:
    text = menu.script(SUITES, "0")
    assert [name for name in SUITES if f" suites={name}\n" not in text] == []


def test_words_that_grub_would_change_are_refused() -> None:
    for words in ("filter='x'", 'a="b"', "a=$b", "a\\b", "a;b", "a\nb", "a{b", "a#b"):
        with pytest.raises(ValueError):
            menu.entry(menu.Preset("x", "x", "x", words))


def lines_of(text: str) -> list[list[str]]:
    """The words of each entry that starts the benchmarks."""
    found = re.findall(rf"multiboot2 \$prefix/{menu.KERNEL} (.*)", text)
    return [line.replace("$words", "").split() for line in found]


def test_the_target_knows_the_words_of_every_entry() -> None:
    """The Linux process reads its words by the kernel's own code, but has no machine's suites."""
    elsewhere = [name for name in SUITES if "/machine/" in options.suite_path(name, str(ROOT))]
    lines = [words for words in lines_of(menu.script(SUITES, "0"))]
    assert len(lines) == len(SUITES) + len(menu.PRESETS)
    for words in lines:
        if not {f"suites={name}" for name in elsewhere} & set(words):
            told = " ".join([*words, "output=list"])
            done = subprocess.run([ROOT / "build/host/tickmark", told], capture_output=True)
            assert done.returncode == 0, told
    told = "colour=red output=list"
    assert subprocess.run([ROOT / "build/host/tickmark", told], capture_output=True).returncode
