# SPDX-License-Identifier: MIT
"""What is said of peers: the missing ones by name, the measured ones by their look and in words."""

from __future__ import annotations

import io
import re
from pathlib import Path

from build import Store
from judged import claims_of, report_of

from reports.claims import variant_of
from reports.document import case_finding
from reports.ecdf import curves_of
from reports.export import to_markdown
from reports.looks import look_of, looks_of
from reports.peers import absent_line, absent_peers
from reports.store import Machine, load_run, open_store
from reports.which import resolve
from reports.tables import rows_of
from reports.terminal import print_report
from reports.write import write_report

GOAL = {
    "kind": '"at_most"',
    "value": "0.85",
    "unit": '"ratio"',
    "row": '"heap/pair_64/hybrid"',
    "baseline": '["tcmalloc", "mimalloc"]',
    "as": '"over"',
    "statistic": '"median"',
    "targets": '["host"]',
    "design": '"house"',
}
ABSENT = {
    "guest.peers.glibc": "2.36",
    "guest.peers.mimalloc": "absent",
    "guest.peers.mimalloc.problem": "no file libmimalloc.so.2",
    "guest.peers.tcmalloc": "absent",
    "guest.peers.tcmalloc.problem": "libtcmalloc_minimal.so.4: cannot open shared object file: "
    "No such file or directory",
    "guest.peers.scudo": "absent",
    "guest.peers.scudo.problem": "scudo.so: file too short \x1b[31m",
    "guest.peers.tuning": "none",
}
NAMES = ("glibc", "jemalloc", "mimalloc", "scudo", "tbbmalloc", "tcmalloc")


def loaded(store: Store) -> tuple[Machine, ...]:
    with open_store(store.path) as connection:
        return load_run(connection, resolve(connection)).machines


def test_what_is_missing_is_one_line_with_what_installs_it(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [80])
    for key, value in ABSENT.items():
        machine.fact(key, value)
    machine.seal()
    report = report_of(store, claims_of(tmp_path, GOAL))
    (found,) = report.intact
    assert list(absent_peers(found)) == ["mimalloc", "scudo", "tcmalloc"]
    line = absent_line(found)
    assert "not installed: mimalloc, tcmalloc (./install-deps --peers installs them)" in line
    assert "scudo: scudo.so: file too short" in line and "\x1b" not in line
    stream = io.StringIO()
    print_report(report, stream=stream)
    assert line in stream.getvalue()
    assert "./install-deps --peers installs them" in to_markdown(report).replace("\\", "")
    write_report(report, tmp_path / "report", lambda what: None)
    page = (tmp_path / "report/index.html").read_text()
    assert "not installed: mimalloc, tcmalloc (./install-deps --peers installs them)" in page


def test_nothing_is_said_where_all_are_there(store: Store) -> None:
    machine = store.machine()
    machine.fact("guest.peers.glibc", "2.36")
    machine.fact("guest.peers.tuning", "none")
    machine.seal()
    (found,) = loaded(store)
    assert absent_line(found) == "" and absent_peers(found) == {}


def test_a_goal_against_the_best_peer_needs_all_of_them(store: Store, tmp_path: Path) -> None:
    for number, measured in enumerate(((), ("tcmalloc",))):
        machine = store.machine(run=f"r{number}")
        machine.row("heap/pair_64/hybrid", [80])
        machine.fact("guest.peers.mimalloc", "absent")
        if not measured:
            machine.fact("guest.peers.tcmalloc", "absent")
        for name in measured:
            machine.row(f"heap/pair_64/{name}", [100], role="peer")
        machine.seal()
    claims = claims_of(tmp_path, GOAL)
    (none,), (one,) = (report_of(store, claims, run).verdicts.judgements for run in ("r0", "r1"))
    assert none.verdict == one.verdict == "no data"
    assert none.note.endswith("without tcmalloc, mimalloc (./install-deps --peers)")
    assert one.note.endswith("is unknown: without mimalloc (./install-deps --peers)")


def test_each_of_many_curves_has_a_look_of_its_own(store: Store) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/list", list(range(900, 960)), role="baseline")
    machine.row("heap/pair_64/hybrid", list(range(100, 160)))
    machine.row("heap/pair_64/other", list(range(120, 180)))
    for i, name in enumerate(NAMES):
        machine.row(f"heap/pair_64/{name}", list(range(200 + i, 260 + i)), role="peer")
    machine.seal()
    (found,) = loaded(store)
    rows = rows_of(found, "heap/pair_64")
    looks = [(curve.colour, curve.line) for curve in curves_of(rows)]
    assert len(looks) == len(set(looks)) == 9
    looks_there = looks_of(rows)
    drawn = {variant_of(row.id): look_of(row, looks_there) for row in rows}
    assert len(drawn) == len(set(drawn.values())) == 9
    assert drawn["hybrid"] == ("blue", "-") and drawn["list"] == ("vermillion", "-")


def test_a_variant_has_one_look_on_the_whole_page(store: Store) -> None:
    """In cases with others, with fewer, and in another suite; those of a suite differ."""
    machine = store.machine()
    cases = {"heap/a": "abhz", "heap/b": "hz", "heap/c": "z", "slub/a": "yz", "ipc/a": "q"}
    for case, names in cases.items():
        for i, name in enumerate(names):
            role = "peer" if name in "bz" else "product"
            machine.row(f"{case}/{name}", [100 + i, 200 + i, 300 + i] * 7, role=role)
    machine.seal()
    (found,) = loaded(store)
    looks = looks_of(found.rows.values())
    assert looks["h"] == ("blue", "-") == looks["q"] == looks["y"] != looks["a"]
    assert len({looks[name] for name in "abhz"}) == 4
    for case, names in cases.items():
        drawn = {c.name: (c.colour, c.line) for c in curves_of(rows_of(found, case), looks)}
        assert drawn == {name: looks[name] for name in names}


def test_more_variants_than_looks_share_them(store: Store) -> None:
    machine = store.machine()
    for i in range(30):
        machine.row(f"heap/a/v{i}", [100], role="peer")
    machine.seal()
    (found,) = loaded(store)
    looks = looks_of(found.rows.values())
    assert len(looks) == 30 and len(set(looks.values())) == 12


def test_of_several_products_the_sentence_says_that_it_is_the_best(store: Store) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/linked_list", [300])
    machine.row("heap/pair_64/hybrid", [80])
    machine.row("heap/pair_64/kmalloc", [60])
    machine.seal()
    (found,) = loaded(store)
    text = case_finding(found, rows_of(found, "heap/pair_64"))
    assert text.endswith("The best product, kmalloc, takes 5 times fewer than linked_list.")


def test_the_best_peer_is_told_in_words(store: Store) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [80])
    machine.row("heap/pair_64/tcmalloc", [120], role="peer")
    machine.row("heap/pair_64/mimalloc", [100], role="peer")
    machine.seal()
    (found,) = loaded(store)
    text = case_finding(found, rows_of(found, "heap/pair_64"))
    assert re.search(r"The best peer: hybrid takes 1\.25 times fewer than mimalloc\.", text)
