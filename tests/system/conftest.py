# SPDX-License-Identifier: MIT
"""The fixtures of these tests; what they are made of stands in system_run.py."""

from system_run import bench, clone

__all__ = ["bench", "clone"]
