# SPDX-License-Identifier: MIT
"""Runs the kernel in Bochs: a second machine, stricter than QEMU, which says in its log when a
program asks of a device what no real one would take."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import guest

ROMS = Path("/usr/share/bochs")
PLUGINS = "lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so"
# Instructions in a second of the machine's time. Few: firmware and GRUB wait for seconds to pass.
# The counter of RDTSC runs at this rate.
INSTRUCTIONS_A_SECOND = 10_000_000

# It has what TCG lacks (x2APIC, PCID, TSC deadline, SMEP) and what our code needs (BMI1); models
# after it add SMAP (broadwell_ult) and UMIP (corei7_icelake_u).
CPU = "corei7_haswell_4770"

RC = """\
display_library: term
config_interface: textconfig
cpu: model={cpu}, count={cpus}, ips={ips}, reset_on_triple_fault=0
megs: {memory}
romimage: file={roms}/BIOS-bochs-latest
vgaromimage: file={roms}/VGABIOS-lgpl-latest
plugin_ctrl: sb16=0, es1370=0, speaker=0
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{iso}", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="{folder}/line"
port_e9_hack: enabled=1
log: {folder}/log
panic: action=fatal
error: action=report
"""


def problem() -> str | None:
    """Why it cannot be used here, one line; None if it can."""
    program = shutil.which("bochs")
    if program is None:
        return "bochs is missing: install bochs and bochs-term"
    prefix = Path(program).resolve().parents[1]
    if not (prefix / PLUGINS).exists():
        return "Bochs has no display for terminals: install bochs-term"
    if not (ROMS / "BIOS-bochs-latest").exists():
        return "Bochs has no BIOS: install bochsbios"
    return None


@dataclass
class Run:
    line: bytes
    log: str
    screen: bytes
    seconds: float
    ended: bool  # the kernel wrote its last line

    @property
    def facts(self) -> dict[str, str]:
        return guest.Guest(None, self.line, 0.0).facts

    @property
    def complaints(self) -> list[str]:
        """What Bochs calls an error or worse, of any device: none is to be expected."""
        return complaints(self.log)

    @property
    def features(self) -> set[str]:
        """What the first CPU can do, as Bochs names it."""
        return set(re.findall(r"\[CPU0  \] \t\t(\S+)", self.log))


# Registers that the CPU it plays has by its CPUID or model (SMI count, machine check banks, fixed
# counters, microcode, MPERF and APERF, SpeedStep)
# and Bochs does not: it says so at every use. The kernel has to live with that.
NOT_PLAYED = re.compile(
    r"(RD|WR)MSR: Unknown register 0x(34|8b|ce|e7|e8|199|1a0|179|309|30a|30b|38d|38f)$"
)


def complaints(log: str) -> list[str]:
    # Ticks, the severity (i, d, e, p), and the device in brackets.
    rows = [row for row in log.splitlines() if re.match(r"\d+[ep]\[", row)]
    return [row for row in rows if not NOT_PLAYED.search(row)]


def stop(process: subprocess.Popen[bytes]) -> None:
    """Politely at first, so that the log is whole."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_new(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def run(
    iso: Path,
    folder: Path,
    last: bytes,
    cpu: str = CPU,
    cpus: int = 1,
    memory: int = 64,
    timeout: float = 180,
) -> Run:
    """Boots the CD until the kernel's line holds `last`, or for `timeout` seconds. Bochs has no way
    for a program to end it."""
    rc = folder / "bochsrc"
    rc.write_text(
        RC.format(
            cpu=cpu,
            cpus=cpus,
            ips=INSTRUCTIONS_A_SECOND,
            memory=memory,
            roms=ROMS,
            iso=iso,
            folder=folder,
        )
    )
    commands = folder / "commands"  # of its debugger, which waits for them
    commands.write_text("c\n")
    line = folder / "line"
    line.unlink(missing_ok=True)
    # Its display wants a terminal; somebody must read what it draws.
    ours, theirs = pty.openpty()
    began = time.monotonic()
    screen, said = b"", b""
    process = subprocess.Popen(
        ["bochs", "-q", "-f", str(rc), "-rc", str(commands)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    try:
        while process.poll() is None and time.monotonic() - began < timeout:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    screen = (screen + os.read(ours, 65536))[-65536:]
                except OSError:
                    break  # nobody has its end open any more
            said = read_new(line)
            if last in said:
                break
    finally:
        stop(process)
        os.close(ours)
    said = read_new(line)
    log = (folder / "log").read_text(errors="replace") if (folder / "log").exists() else ""
    return Run(said, log, screen, time.monotonic() - began, last in said)
