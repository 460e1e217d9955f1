# SPDX-License-Identifier: MIT
"""Makes a CD image that boots a kernel by Multiboot2 through GRUB, under BIOS and, where GRUB's
modules for it are installed (grub-efi-amd64-bin), UEFI."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

# The kernel's own console is COM1; GRUB keeps quiet there, so that all bytes are the kernel's. The
# screen, if there is one, stays in text mode under BIOS; UEFI has pixels only.
GRUB_CFG = """\
set timeout=0
terminal_output console
menuentry "Tickmark" {{
    multiboot2 /boot/kernel.elf {arguments}
    if [ "$grub_platform" = efi ]; then
        insmod efi_gop
    else
        set gfxpayload=text
    fi
    boot
}}
"""


def quoted(arguments: str) -> str:
    """The words as GRUB's script language takes them literally. It hands on quotes and backslashes
    with a backslash before them, so they must not occur."""
    if set(arguments) & set("'\"\\"):
        raise ValueError("GRUB passes no quotes and backslashes on")
    return " ".join(f"'{word}'" for word in arguments.split())


def make_iso(kernel: Path, iso: Path, arguments: str) -> None:
    """Writes `iso`, or raises RuntimeError with what the tool said."""
    with tempfile.TemporaryDirectory() as name:
        boot = Path(name) / "boot"
        (boot / "grub").mkdir(parents=True)
        shutil.copyfile(kernel, boot / "kernel.elf")
        (boot / "grub" / "grub.cfg").write_text(GRUB_CFG.format(arguments=quoted(arguments)))
        done = subprocess.run(
            ["grub-mkrescue", "-o", str(iso), name], capture_output=True, text=True, check=False
        )
    if done.returncode != 0 or not iso.exists():
        raise RuntimeError(f"grub-mkrescue: {done.stderr.strip() or done.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel", type=Path)
    parser.add_argument("iso", type=Path)
    parser.add_argument("arguments", nargs="*", help="words of the kernel's command line")
    options = parser.parse_args()
    make_iso(options.kernel, options.iso, " ".join(options.arguments))


if __name__ == "__main__":
    main()
