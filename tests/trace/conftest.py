# SPDX-License-Identifier: MIT
"""Traces made by the kernel's own encoder, and a decoder for them that protoc makes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

MADE_BY = (
    "test_perfetto",
    "test_perfetto_devices",
    "test_perfetto_sched",
    "test_traced_block",
    "test_traced_rings",
)
ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every trace that tests/test_perfetto*.c and test_traced_*.c make."""
    folder = tmp_path_factory.mktemp("traces")
    words = {**os.environ, "TICKMARK_TRACES": str(folder), "CK_EXCLUDE_TAGS": "no-traces"}
    for name in MADE_BY:
        program = ROOT / "build/test" / name
        done = subprocess.run([program], cwd=ROOT, env=words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert len(list(folder.iterdir())) > 20
    return folder


@pytest.fixture(scope="session")
def subset(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("proto")
    here = Path(__file__).resolve().parent
    words = ["protoc", f"-I{here}", f"--python_out={folder}", str(here / "subset.proto")]
    subprocess.run(words, check=True)
    spec = importlib.util.spec_from_file_location("subset_pb2", folder / "subset_pb2.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def decode(subset: ModuleType) -> Any:
    def read(data: bytes) -> list[Any]:
        trace = subset.Trace()  # type: ignore[attr-defined]
        trace.ParseFromString(data)
        return list(trace.packet)

    return read
