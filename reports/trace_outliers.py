# SPDX-License-Identifier: MIT
"""The moments behind a row's tail: its slowest windows of the traced round, and what overlapped
them, read from the trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.store import TAGS, Outlier
from reports.text import number
from reports.trace_link import around, link, row_tracks, served_name
from reports.trace_read import Slice, TracedRow


@dataclass(frozen=True)
class Overlap:
    """Things of one name that overlapped a moment: how many, and how long they were in all and at
    the longest; both 0 of what takes no time."""

    name: str
    count: int
    total: int
    longest: int

    def __str__(self) -> str:
        many = f"{self.count} × " if self.count > 1 else ""
        if not self.total:
            return f"{many}{self.name}"
        most = f", longest {number(self.longest)}" if self.count > 1 else ""
        return f"{many}{self.name} ({number(self.total)} ns{most})"


@dataclass(frozen=True)
class TracedOutlier:
    """An outlier with what the trace has there. `longest` is the operation that took the longest of
    those drawn, and what lies in it; None if none is drawn."""

    outlier: Outlier
    interrupts: tuple[Overlap, ...]
    nested: tuple[Overlap, ...]
    marks: tuple[Overlap, ...]
    longest: Slice | None

    @property
    def causes(self) -> list[str]:
        """What overlapped it, in words: interrupts, what nests in its operations, marks, and what
        was counted around it and has no place in the trace."""
        said = [f"interrupt {one}" for one in self.interrupts]
        said += [str(one) for one in (*self.nested, *self.marks)]
        counted = [name for bit, name in TAGS.items() if self.outlier.tags & bit]
        if self.interrupts and "interrupt" in counted:
            counted.remove("interrupt")
        return said + [f"{name}, counted" for name in counted]


def _overlaps(found: Iterable[tuple[str, int, int]], begin: int, end: int) -> tuple[Overlap, ...]:
    """Of (name, begin, end), those that overlap, by name; the ones that took most come first."""
    lengths: dict[str, list[int]] = {}
    for name, since, until in found:
        if since < end and until > begin or since == until and begin <= since <= end:
            lengths.setdefault(name, []).append(until - since)
    made = [Overlap(name, len(each), sum(each), max(each)) for name, each in lengths.items()]
    return tuple(sorted(made, key=lambda one: (-one.total, one.name)))


def look(outlier: Outlier, row: TracedRow) -> TracedOutlier:
    """What the trace of a row has where one of its outliers is."""
    begin, end = outlier.begin, outlier.end
    inside = [s for s in row.slices if s.begin < end and s.end > begin]
    tops = [s for s in inside if s.depth == 0]
    beside = row.beside
    return TracedOutlier(
        outlier,
        _overlaps(((i.name, i.begin, i.end) for i in beside.interrupts), begin, end),
        _overlaps(((s.name, s.begin, s.end) for s in inside if s.depth > 0), begin, end),
        _overlaps(((name, at, at) for at, name, _ in row.marks), begin, end),
        max(tops, key=lambda s: s.length) if tops else None,
    )


def outlier_link(run: str, machine: str, file: str, outlier: Outlier) -> str:
    """Opens the trace where the outlier is, with the tracks of its row pinned."""
    return link(
        served_name(run, machine, file),
        shown=around(outlier.begin, outlier.end),
        pinned=row_tracks(outlier.id),
    )
