# SPDX-License-Identifier: MIT
"""The rings' protocols in Promela, explored by spin to the end: right as they are, wrong with each
step broken; and the quotes in them stand in the source."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "kernel" / "ipc"
MODELS = {
    "ring_spsc.pml": ("ring_fusion_spsc", "ring_sides"),
    "ring_mpmc.pml": ("ring_fusion_mpmc", "ring_sides"),
    "ring_wait.pml": ("ring_wait",),
}
MUTATIONS = range(1, 6)
STATES_LEAST = 200  # of a protocol that is explored at all


def explored(model: str, mutation: int, folder: Path, *defines: str) -> str:
    """What spin's verifier says of a model."""
    commands = (
        ["spin", f"-DMUTATION={mutation}", *defines, "-a", str(HERE / model)],
        ["gcc", "-O0", "-w", "-DSAFETY", "-o", "pan", "pan.c"],
        ["./pan", "-m100000"],
    )
    said = ""
    for words in commands:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, " ".join(words) + "\n" + done.stdout + done.stderr
        said = done.stdout
    return said


@pytest.mark.parametrize(
    "model,defines", [*((model, []) for model in MODELS), ("ring_wait.pml", ["-DPAYS=1"])]
)
def test_a_protocol_is_right_in_every_interleaving(
    model: str, defines: list[str], tmp_path: Path
) -> None:
    said = explored(model, 0, tmp_path, *defines)
    states = re.search(r"(\d+) states, stored", said)
    assert "errors: 0" in said and "Search not completed" not in said
    assert "max search depth too small" not in said
    assert states is not None and int(states.group(1)) > STATES_LEAST


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_step_is_found(model: str, mutation: int, tmp_path: Path) -> None:
    said = explored(model, mutation, tmp_path)
    assert "errors: 1" in said, said


@pytest.mark.parametrize("model,sources", MODELS.items())
def test_what_a_model_quotes_stands_in_the_source(model: str, sources: tuple[str, ...]) -> None:
    quotes = re.findall(r"// code: (.*)", (HERE / model).read_text())
    files = [SOURCES / f"{source}{end}" for source in sources for end in (".h", ".c")]
    code = "".join(file.read_text() for file in files)
    flat = re.sub(r"\s+", " ", code)
    assert len(quotes) >= 5
    assert [quote for quote in quotes if re.sub(r"\s+", " ", quote) not in flat] == []
