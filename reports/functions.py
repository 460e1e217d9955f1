# SPDX-License-Identifier: MIT
"""Which functions a program is made of, kept beside each exact run: where a row's instruction count
changed, the functions that its body reaches and whose code changed are a hint at where.

    python3 -m reports.functions IMAGE FILE

FILE is gzip of JSON: {name: [instructions in its code, digest of the code, [names it calls]]}. Of
functions of one name the second is NAME#2 and so on, in the order of addresses: the plain flavour
is linked before the traced one. Addresses do not count, so that a function which only moved is
the same.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "functions.json.gz"
HINTS_MOST = 4
_BYTES_MOST = 1 << 26
_HEAD = re.compile(r"([0-9a-f]+) <([^>]+)>:$")
_NAMED = re.compile(r"[0-9a-f]+ (<[^>]+>)")
_DISPLACED = re.compile(r"-?0x[0-9a-f]+(?=\(%rip\))")
_NUMBER = re.compile(r"0x([0-9a-f]{5,16})")
_CALLED = re.compile(r"\b([0-9a-f]+) <[^>+]+>")


@dataclass(frozen=True)
class Function:
    instructions: int
    digest: str
    calls: tuple[str, ...]


Functions = dict[str, Function]


def blocks(listing: Iterator[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Address, name and instructions of each function of `objdump -d --no-show-raw-insn`."""
    address, name, lines = 0, "", list[str]()
    for line in listing:
        if head := _HEAD.match(line):
            if name:
                yield address, name, lines
            address, name, lines = int(head[1], 16), head[2], []
        elif name and "\t" in line:
            lines.append(line.split("\t", 1)[1].strip())
    if name:
        yield address, name, lines


def functions_of(listing: Iterator[str]) -> Functions:
    """All functions of a program's listing."""
    found = sorted(blocks(listing))
    low, high = (found[0][0], found[-1][0] + (16 << 20)) if found else (0, 0)

    def placed(match: re.Match[str]) -> str:
        # A number within the program is an address, which moves with everything before it.
        return "ADDRESS" if low <= int(match[1], 16) < high else match[0]

    seen: dict[str, int] = {}
    keys: dict[int, str] = {}  # by address: two files may have functions of one name
    for address, name, _ in found:
        seen[name] = seen.get(name, 0) + 1
        keys[address] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    table: Functions = {}
    for address, name, lines in found:
        text = "\n".join(lines)
        text = _NUMBER.sub(placed, _NAMED.sub(r"\1", _DISPLACED.sub("", text)))
        code = hashlib.sha256(text.encode()).hexdigest()[:16]
        called = {int(at, 16) for line in lines for at in _CALLED.findall(line)} - {address}
        calls = sorted(keys[at] for at in called if at in keys)
        # Padding between functions is no code of either.
        count = sum(not line.startswith(("nop", "xchg   %ax,%ax", "cs nopw")) for line in lines)
        table[keys[address]] = Function(count, code, tuple(calls))
    return table


def write(image: Path, path: Path) -> None:
    """The functions of a program; made once for each image, beside which a copy is kept."""
    kept = image.with_name(image.name + ".functions.gz")
    if not kept.exists() or kept.stat().st_mtime < image.stat().st_mtime:
        words = ["objdump", "-d", "--no-show-raw-insn", str(image)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            table = functions_of(program.stdout)
        if program.returncode != 0:
            raise OSError(f"objdump {image}: {program.returncode}")
        plain = {n: [f.instructions, f.digest, list(f.calls)] for n, f in table.items()}
        data = json.dumps(plain, separators=(",", ":")).encode()
        beside = kept.with_name(f".{kept.name}.{os.getpid()}")
        beside.write_bytes(gzip.compress(data, 6, mtime=0))
        os.replace(beside, kept)
    shutil.copyfile(kept, path)


def read(path: Path) -> Functions | None:
    """What was kept with a run; None if nothing was, or it is damaged."""
    try:
        with gzip.open(path) as file:
            told: Any = json.loads(file.read(_BYTES_MOST))
        return {n: Function(int(f[0]), str(f[1]), tuple(map(str, f[2]))) for n, f in told.items()}
    except (OSError, EOFError, ValueError, TypeError, IndexError, AttributeError):
        return None


def body_of(row: str) -> str:
    """The function that measures a row: SUITE_CASE__VARIANT."""
    suite, _, rest = row.partition("/")
    case, _, variant = rest.partition("/")
    return f"{suite}_{case}__{variant}"


def reached(table: Functions, start: str) -> list[str]:
    """A function and all that it calls, the nearest first."""
    found, at = [start] if start in table else [], 0
    known = set(found)
    while at < len(found):
        for name in table[found[at]].calls:
            if name in table and name not in known:
                known.add(name)
                found.append(name)
        at += 1
    return found


def hint(a: Functions, b: Functions, row: str) -> tuple[str, ...]:
    """The functions that a row's body reaches and whose code differs, the nearest first, in words:
    `take (118 to 119 instructions)`. Those with as many instructions as before only if there are
    no others: a line's number in an assertion is enough to be one of them."""
    body = body_of(row)
    grown, other = [], []
    for name in dict.fromkeys([*reached(b, body), *reached(a, body)]):
        old, new = a.get(name), b.get(name)
        if old is None or new is None:
            grown.append(f"{name} ({'gone' if new is None else 'new'})")
        elif old.instructions != new.instructions:
            grown.append(f"{name} ({old.instructions} to {new.instructions} instructions)")
        elif old.digest != new.digest:
            other.append(f"{name} (other code, {new.instructions} instructions as before)")
    said = grown or other
    more = len(said) - HINTS_MOST
    return (*said[:HINTS_MOST], f"{more} more") if more > 0 else tuple(said)


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
    except OSError as error:
        sys.exit(f"tickmark: the functions of the program are not kept: {error}")
