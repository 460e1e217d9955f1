# SPDX-License-Identifier: MIT
"""What lines look like: a variant has one colour and one dash on the whole page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any

from reports.claims import case_of, variant_of
from reports.figure import peer_look
from reports.store import Row

Look = tuple[str, Any]  # colour, line
Looks = dict[str, Look]

ROLE_LOOKS: Looks = {"baseline": ("vermillion", "-"), "floor": ("muted", "--")}
FIRST_PRODUCT: Look = ("blue", "-")


def looks_of(rows: Iterable[Row]) -> Looks:
    """The look of each variant that is neither baseline nor floor: two of one suite differ as long
    as there are looks left. The product of most cases comes first and is blue."""
    cases: dict[str, set[str]] = {}
    products: set[str] = set()
    for row in rows:
        if row.role not in ROLE_LOOKS:
            cases.setdefault(variant_of(row.id), set()).add(case_of(row.id))
            products |= {variant_of(row.id)} if row.role == "product" else set()
    taken: dict[str, set[Look]] = {}  # by suite
    looks: Looks = {}
    for name in sorted(cases, key=lambda name: (name not in products, -len(cases[name]), name)):
        suites = {case.partition("/")[0] for case in cases[name]}
        used = Counter(look for suite in suites for look in taken.get(suite, ()))
        free = [FIRST_PRODUCT] if name in products and FIRST_PRODUCT not in used else []
        tried: set[Look] = set()
        for i in count():
            look = peer_look(i)
            if free or look in tried:  # they come round again: the one that is met least
                break
            tried.add(look)
            free = [look] if look not in used else []
        looks[name] = free[0] if free else min(sorted(tried, key=str), key=lambda look: used[look])
        for suite in suites:
            taken.setdefault(suite, set()).add(looks[name])
    return looks


def look_of(row: Row, looks: Looks) -> Look:
    """How a row is drawn."""
    return ROLE_LOOKS.get(row.role) or looks[variant_of(row.id)]
