# SPDX-License-Identifier: MIT
"""Writes a report's files: the same store gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from reports.document import Report
from reports.export import to_json, to_markdown
from reports.figure import PICTURE, to_png
from reports.gain import gain_figure, limit_figure, overview_figure
from reports.html import to_html
from reports.trace_picture import trace_figure
from reports.trace_view import view_of


def write_report(report: Report, folder: Path, step: Callable[[str], None]) -> None:
    """Writes index.html, summary.md, report.json and the pictures. Raises OSError. The run's
    traces are looked for beside the folder, in `runs`."""
    folder.mkdir(parents=True, exist_ok=True)
    view = view_of(report.run, folder.parent / "runs")
    files = {
        "index.html": to_html(report, step, view).encode("utf-8"),
        "summary.md": to_markdown(report).encode("utf-8"),
        "report.json": to_json(report).encode("utf-8"),
    }
    figures = {
        "gain.png": gain_figure(report, PICTURE),
        "limits.png": limit_figure(report, PICTURE),
        "overview.png": overview_figure(report, PICTURE),
        "trace.png": trace_figure(view, PICTURE) if view is not None else None,
    }
    for name, figure in figures.items():
        step(name)
        if figure is not None:
            files[name] = to_png(figure)
        else:
            (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        _replace(folder / name, content)


def _replace(path: Path, content: bytes) -> None:
    """Whoever looks while this runs sees the old file or the new one, never half of one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    os.replace(beside, path)
