# SPDX-License-Identifier: MIT
"""Commands over runs that there are: compare, export, import."""

from __future__ import annotations

from typing import Any

from run import finish, reports


def given(options: Any, *names: str) -> list[str]:
    """These options as the reports take them, where they are given."""
    return [f"{name}={options.values[name]}" for name in names if name in options.values]


def compare(options: Any) -> int:
    return finish(reports("compare", *given(options, "a", "b", "format")))


def export(options: Any) -> int:
    return finish(reports("export", *given(options, "run", "format")))


def bring_in(options: Any) -> int:
    return finish(reports("import", *given(options, "file", "run")))
