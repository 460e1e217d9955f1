# SPDX-License-Identifier: MIT
"""Fuzzers over the committed corpus, and two decoders that must agree.

SEED repeats; TICKMARK_SOAK=1 makes it long."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/recorder"))
import wire_decoder  # noqa: E402
import wire_encoder as wire  # noqa: E402

# Each fuzzer with the folder it starts from.
FUZZERS = {
    "fuzz_wire": "corpus",
    "fuzz_session": "corpus",
    "fuzz_acpi": "corpus_acpi",
    "fuzz_smbios": "corpus_smbios",
    "fuzz_pci": "corpus_pci",
    "fuzz_nvme": "corpus_nvme",
    "fuzz_virtio": "corpus_virtio",
}
CORPUS = sorted((ROOT / "tests/fuzz/corpus").glob("*.bin"))
ACPI_CORPUS = sorted((ROOT / "tests/fuzz/corpus_acpi").glob("*.bin"))
SOAK = os.environ.get("TICKMARK_SOAK") == "1"
SEED = int(os.environ.get("SEED", time.time_ns() % 2**31))
SECONDS = 1200 if SOAK else 3
STREAMS = 20000 if SOAK else 150


def test_the_corpus_is_small_and_of_every_kind() -> None:
    assert sum(path.stat().st_size for path in CORPUS) < 200 << 10
    kinds = {
        frame.kind
        for path in CORPUS
        for frame in wire_decoder.decode(path.read_bytes()).frames
        if frame.session == 77
    }
    assert kinds >= {
        wire.HELLO, wire.END, wire.PANIC, wire.STACK, wire.REFUSED, wire.DATA, wire.TEXT, wire.TABLE
    }  # fmt: skip


def test_the_tables_are_small_and_of_every_kind() -> None:
    assert sum(path.stat().st_size for path in ACPI_CORPUS) < 16 << 10
    for signature in (b"RSDT", b"XSDT", b"FACP", b"APIC", b"SRAT", b"SLIT", b"MCFG", b"HPET"):
        assert [path for path in ACPI_CORPUS if signature in path.read_bytes()], signature


@pytest.mark.parametrize("name", FUZZERS)
def test_nothing_breaks_it(tmp_path: Path, name: str) -> None:
    found = tmp_path / "found"
    found.mkdir()
    folder = ROOT / "tests/fuzz" / FUZZERS[name]
    words = [
        str(ROOT / "build/fuzz" / name),
        f"-seed={SEED}",
        f"-max_total_time={SECONDS}",
        "-max_len=12288",
        "-timeout=20",
        "-rss_limit_mb=1500",
        f"-artifact_prefix={tmp_path}/",
        "-print_final_stats=1",
        str(found),
        str(folder),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS + 120)
    print(f"SEED={SEED}")
    assert done.returncode == 0, done.stderr[-4000:]
    stats = dict(
        line.split("::")[1].split(":", 1) for line in done.stderr.splitlines() if "stat::" in line
    )
    assert int(stats["number_of_executed_units"]) > len(list(folder.iterdir())) > 0
    assert int(stats["new_units_added"]) > 0  # the mutator gets somewhere


# ---- two decoders -------------------------------------------------------------------------------


def mutated(chance: random.Random, stream: bytes) -> bytes:
    data = bytearray(stream)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data))
        kind = chance.randrange(6)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = 0
        elif kind == 2:
            del data[at : at + chance.randint(1, 400)]
        elif kind == 3:
            data[at:at] = data[at : at + chance.randint(1, 3000)]
        elif kind == 4:
            data[at:at] = chance.randbytes(chance.randint(1, 40))
        else:
            data[at:at] = awkward(chance)
        if not data:
            data += b"\0"
    return bytes(data)


def awkward(chance: random.Random) -> bytes:
    """A frame of a length COBS finds hard, perhaps with a wrong header or CRC."""
    size = chance.choice([0, 1, 226, 229, 230, 231, 253, 254, 255, 480, 1023, 1024, 1025, 1300])
    byte = chance.choice([b"\0", b"\xff", b"\1"])
    whole = wire.frame(chance.randrange(5), chance.randrange(14), byte * size, session=77)
    return whole if chance.random() < 0.7 else whole[:-2] + b"\x07\0"


def by_c(streams: list[bytes]) -> list[str]:
    fed = b"".join(len(stream).to_bytes(4, "little") + stream for stream in streams)
    done = subprocess.run([str(ROOT / "build/fuzz/wire_dump")], input=fed, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def by_python(stream: bytes) -> list[str]:
    decoded = wire_decoder.decode(stream)
    return [
        f"{f.kind} {f.channel} {f.session} {f.sequence} {f.offset} {len(f.payload)}"
        f" {wire.crc32c(f.payload)}"
        for f in decoded.frames
    ] + [f"noise {decoded.noise_bytes} damaged {decoded.damaged}"]


def test_two_decoders_agree_on_the_corpus_and_on_what_became_of_it() -> None:
    print(f"SEED={SEED}")
    chance = random.Random(SEED)
    whole = [path.read_bytes() for path in CORPUS]
    pieces = [stream[:6000] for stream in whole]
    streams = whole + [mutated(chance, chance.choice(pieces)) for _ in range(STREAMS)]
    expected = [line for stream in streams for line in by_python(stream)]
    assert by_c(streams) == expected
    assert sum("damaged 0" not in line for line in expected if "noise" in line) > STREAMS // 4
