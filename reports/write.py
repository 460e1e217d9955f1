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
from reports.history_page import NightsView
from reports.html import to_html
from reports.trace_picture import trace_figure
from reports.trace_view import views_of


def write_report(
    report: Report,
    folder: Path,
    step: Callable[[str], None],
    nights: NightsView | None = None,
) -> None:
    """Writes index.html, summary.md, report.json and the pictures. Raises OSError. The run's
    traces are looked for beside the folder, in `runs`. `nights`: what stands before it."""
    folder.mkdir(parents=True, exist_ok=True)
    step("traces")
    views = views_of(report.run, folder.parent / "runs")
    view = next((view for view in views if view.moments), None)
    files = {
        "index.html": to_html(report, step, views, nights).encode("utf-8"),
        "summary.md": to_markdown(report, nights).encode("utf-8"),
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
        replace_file(folder / name, content)


def replace_file(path: Path, content: bytes) -> None:
    """Whoever looks while this runs sees the old file or the new one, never half of one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    os.replace(beside, path)
