# SPDX-License-Identifier: MIT
"""The recorder's test tools, and a recorder whose target speaks over a bad line."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/recorder"), str(ROOT / "tests/line"), str(ROOT / "targets/qemu")]
