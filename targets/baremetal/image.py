# SPDX-License-Identifier: MIT
"""Makes what a real machine boots, for BIOS and UEFI: a hybrid image for a CD or a USB stick, and
a folder for a TFTP server.

    image.py KERNEL SELF_TEST FOLDER SUITE...

Equal input makes equal bytes, whenever and wherever: all times are fixed, and what usually is
drawn by lot (serial numbers, GUIDs) comes from a digest of the content.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import menu

MISSING = 30  # exit code of a target that is missing
GRUB = Path("/usr/lib/grub")
ISO, NETBOOT = "tickmark.iso", "netboot"
EPOCH = 946684800  # 2000-01-01, which GRUB's own tools write as well
EPOCH_DATE = "2000010100000000"  # the same for xorriso, with hundredths
EFI_NAME = "BOOTX64.EFI"  # where UEFI looks (UEFI 2.10, 3.5.1.1)
EFI_MOST = 2 << 20  # bytes of it that a FAT file system of 2880 KiB surely holds

# What the boot images have built in: there is no folder of modules to be found at run time.
COMMON = ["normal", "configfile", "multiboot2", "echo", "read", "test", "terminal", "serial"]
COMMON += ["reboot", "sleep", "true"]
DISKS = ["iso9660", "part_msdos", "part_gpt", "search", "search_fs_file"]
BIOS = ["biosdisk", *DISKS]
EFI = ["fat", "efi_gop", *DISKS]
BIOS_NET = ["pxe", "tftp"]
EFI_NET = ["efinet", "efi_gop", "tftp", "http"]

# Files that must be there, and the package that brings each.
PROGRAMS = {
    "grub-mkimage": "grub-common",
    "xorriso": "xorriso",
    "mformat": "mtools",
    "mmd": "mtools",
    "mcopy": "mtools",
    "objcopy": "binutils",
}
PARTS = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}

IPXE = """\
#!ipxe
# From iPXE on: the same two files, by what firmware this is.
iseq ${platform} efi && chain tickmark.efi ||
chain tickmark.0
"""


class ImageError(Exception):
    """The text is one line for a person."""


def check_tools(grub: Path) -> None:
    for name, package in PROGRAMS.items():
        if shutil.which(name) is None:
            raise ImageError(f"{name} is missing: install {package} (./install-deps)")
    for name, package in PARTS.items():
        if not (grub / name / "moddep.lst").exists():
            raise ImageError(f"{grub / name} is missing: install {package} (./install-deps)")


def run(*words: str | Path) -> None:
    """With all that such tools take from the environment set."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    environment["SOURCE_DATE_EPOCH"] = str(EPOCH)
    environment["MTOOLSRC"] = os.devnull
    done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        told = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise ImageError(f"{words[0]}: {told[-1] if told else f'status {done.returncode}'}")


def grub_image(
    grub: Path, kind: str, out: Path, prefix: str, modules: list[str], early: str = ""
) -> None:
    """GRUB as one file. An empty prefix is the folder it was loaded from."""
    folder = grub / ("x86_64-efi" if kind == "x86_64-efi" else "i386-pc")
    words: list[str | Path] = ["-O", kind, "-d", folder, "-o", out, "-p", prefix]
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(early)
        config.flush()
        run("grub-mkimage", *words, *(["-c", config.name] if early else []), *modules)


def write_common(folder: Path, kernels: dict[str, Path], suites: list[str]) -> str:
    """The menu and the kernels, without what only a debugger reads. Returns the image's name: the
    digest of all that, in hexadecimal."""
    folder.mkdir(parents=True)
    digest = hashlib.sha256(menu.script(suites, "").encode())
    for name, kernel in kernels.items():
        run("objcopy", "--strip-all", kernel, folder / name)
        digest.update((folder / name).read_bytes())
    (folder / "grub.cfg").write_text(menu.script(suites, digest.hexdigest()[:8]))
    return digest.hexdigest()


def make_efi_disk(grub: Path, folder: Path, disk: Path, name: str) -> None:
    """A FAT file system with GRUB, which looks for the medium that it came from."""
    program = folder / EFI_NAME
    early = f"search --no-floppy --file --set=root /boot/{name}\nset prefix=($root)/boot/grub\n"
    grub_image(grub, "x86_64-efi", program, "/boot/grub", [*COMMON, *EFI], early)
    if program.stat().st_size > EFI_MOST:
        raise ImageError(f"{program.stat().st_size} bytes of GRUB: too many for its file system")
    os.utime(program, (EPOCH, EPOCH))
    run("mformat", "-C", "-f", "2880", "-N", name[:8], "-i", disk, "::")
    run("mmd", "-i", disk, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-m", "-i", disk, program, f"::/EFI/BOOT/{EFI_NAME}")


def settle(tree: Path) -> None:
    """Rights and times that do not tell who made it when; a TFTP server may read it."""
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH, EPOCH))


def make_iso(grub: Path, work: Path, common: Path, iso: Path, name: str) -> None:
    """As grub-mkrescue lays it out: El Torito for CDs, for sticks a boot sector and GPT."""
    tree = work / "iso"
    shutil.copytree(common, tree / "boot/grub")
    (tree / "boot" / name).write_text("The boot loader knows its medium by this file.\n")
    core = tree / "boot/grub/eltorito.img"
    grub_image(grub, "i386-pc-eltorito", core, "/boot/grub", [*COMMON, *BIOS])
    make_efi_disk(grub, work, tree / "efi.img", name)
    settle(tree)
    bios = ["-b", "boot/grub/eltorito.img", "-no-emul-boot", "-boot-load-size", "4"]
    bios += ["-boot-info-table", "--grub2-boot-info"]
    bios += ["--grub2-mbr", str(grub / "i386-pc/boot_hybrid.img")]
    uefi = ["--efi-boot", "efi.img", "-efi-boot-part", "--efi-boot-image"]
    fixed = [f"--modification-date={EPOCH_DATE}", "--gpt_disk_guid", name[:32], "-V", "TICKMARK"]
    fixed += ["-r", "--sort-weight", "0", "/", "--sort-weight", "1", "/boot"]
    run("xorriso", "-as", "mkisofs", "-quiet", *bios, *uefi, "--protective-msdos-label", *fixed,
        "-o", iso, tree)  # fmt: skip


def make_netboot(grub: Path, common: Path, folder: Path) -> None:
    """Everything in one folder: GRUB asks for the rest where it came from itself."""
    shutil.copytree(common, folder)
    grub_image(grub, "i386-pc-pxe", folder / "tickmark.0", "", [*COMMON, *BIOS_NET])
    grub_image(grub, "x86_64-efi", folder / "tickmark.efi", "", [*COMMON, *EFI_NET])
    (folder / "boot.ipxe").write_text(IPXE)
    settle(folder)


def make(kernels: dict[str, Path], out: Path, suites: list[str], grub: Path) -> None:
    """Puts ISO and NETBOOT into `out` when both are whole, in place of older ones."""
    check_tools(grub)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix="image-") as name:
        work = Path(name)
        image = write_common(work / "common", kernels, suites)
        make_iso(grub, work, work / "common", work / ISO, image)
        make_netboot(grub, work / "common", work / NETBOOT)
        shutil.rmtree(out / NETBOOT, ignore_errors=True)
        (work / NETBOOT).rename(out / NETBOOT)
        (work / ISO).replace(out / ISO)


def main() -> int:
    parser = argparse.ArgumentParser(description="makes a bootable image and a netboot folder")
    parser.add_argument("kernel", type=Path)
    parser.add_argument("self_test", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("suites", nargs="+")
    parser.add_argument("--grub", type=Path, default=GRUB, help="folder of GRUB's parts")
    words = parser.parse_args()
    kernels = {menu.KERNEL: words.kernel, menu.SELF_TEST: words.self_test}
    try:
        make(kernels, words.folder, words.suites, words.grub)
    except (ImageError, OSError) as error:
        print(f"tickmark: image: {error}", file=sys.stderr)
        return MISSING
    return 0


if __name__ == "__main__":
    sys.exit(main())
