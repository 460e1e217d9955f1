# SPDX-License-Identifier: MIT
"""What is written: complete, the same each time, and harmless whatever the names are."""

import io
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from build import Store, noisy
from conftest import ROOT
from judged import COUNTED, GAIN, TICKS, claims_of, report_of

from reports.claims import load_claims
from reports.document import case_finding
from reports.export import to_json, to_markdown
from reports.html import to_html
from reports.tables import rows_of
from reports.terminal import print_report
from reports.text import apart, clean, number, quantity
from reports.write import write_report

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e`|$a_b$"


def hostile_store(store: Store) -> None:
    machine = store.machine(
        "host-<b>", "r<1>\x1b[31m", outcome=HOSTILE, detail=HOSTILE, commit_id=HOSTILE
    )
    for variant, cost in (("linked_list", 500.0), (HOSTILE, 100.0)):
        machine.row(f"heap/{HOSTILE}/{variant}", noisy(cost, 1, 30), what=HOSTILE, unit=HOSTILE)
    machine.row(f"heap/{HOSTILE}/bad", [1], status=HOSTILE)
    machine.counter(f"heap/{HOSTILE}/linked_list", HOSTILE, 1, 2, HOSTILE)
    machine.fact(HOSTILE, HOSTILE)
    machine.seal()


@pytest.mark.parametrize("other", [True, False])
def test_the_terminal_says_why_a_measured_row_has_no_data(
    store: Store, tmp_path: Path, other: bool
) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", [15])
    if other:
        host.row("heap/lifo_64/hybrid", [15])
    host.seal()
    missing = {**COUNTED, "row": '"heap/none/hybrid"'}
    more = {**TICKS, "row": '"heap/lifo_64/hybrid"'}
    stream = io.StringIO()
    print_report(report_of(store, claims_of(tmp_path, COUNTED, missing, more)), "*", stream)
    shown = stream.getvalue()
    assert "a design" in shown
    assert "host-native: heap/pair_64/hybrid has no counter hit_rate (a.claim0)" in shown
    assert "heap/none/hybrid" not in shown, "what was not run needs no note"
    assert f"{2 if other else 3} claims of this design without data" in shown


class Page(HTMLParser):
    """Collects the tags, attributes and ids of a page, and that they nest."""

    VOID = {"meta", "link", "br", "img", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_hostile_names_do_nothing_in_html(store: Store) -> None:
    hostile_store(store)
    text = to_html(report_of(store, load_claims()))
    page = Page(text)
    assert not page.open
    assert not page.tags & {"script", "b<", "iframe", "img", "link"}
    assert not any(name.startswith("on") for name in page.attributes)
    assert "\x1b" not in text and "\u202e" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "\\x1b[2J" in text


def test_hostile_names_do_nothing_on_a_terminal_or_in_markdown(store: Store) -> None:
    hostile_store(store)
    report = report_of(store, load_claims())
    out = io.StringIO()
    print_report(report, stream=out)
    for text in (out.getvalue(), to_markdown(report)):
        assert "\x1b" not in text and "\u202e" not in text and "x1b" in text
    assert "<script" not in to_markdown(report)
    # No name may open a column of its own: within a table, all lines have equally many bars.
    for block in to_markdown(report).split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    json.loads(to_json(report))


def test_the_page_is_one_file_with_ids_that_are_unique(whole: Store) -> None:
    text = to_html(report_of(whole, load_claims()))
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    links = re.findall(r'(?:href|src|xlink:href)="([^"]*)"', text)
    assert links and all(link.startswith("#") for link in links)
    assert {link[1:] for link in links} <= set(page.ids)
    assert "@import" not in text and "http://www.w3.org" in text
    assert text.count('role="img"') == text.count("<svg viewBox") - 1 >= 22
    assert "screen and (prefers-color-scheme: dark)" in text
    assert "never confirms one" in text
    assert re.search(r"#0[0-9a-f]f00?[0-9a-f]e\b", text) is None, "a stand-in colour was left"


def test_the_same_store_gives_the_same_bytes(whole: Store, tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from reports.cli import main; sys.exit(main(sys.argv[2:]))"
    )
    folder = whole.results / "report"
    seen = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(ROOT), "report", f"results={whole.results}"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == f"page: {folder / 'index.html'}"
        seen.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert seen[0] == seen[1]
    names = "gain.png index.html limits.png overview.png report.json summary.md"
    assert sorted(seen[0]) == names.split()
    assert seen[0]["summary.md"].decode().splitlines()[0] == done.stdout.splitlines()[0]


def test_a_report_takes_less_than_six_seconds(whole: Store, tmp_path: Path) -> None:
    report_start = time.process_time()
    write_report(report_of(whole, load_claims()), tmp_path / "out", lambda _: None)
    assert time.process_time() - report_start < 6


RUN_KEYS = "id target machine clock commit outcome".split()
ROW_KEYS = (
    "run machine id unit n boots rounds min p50 p90 p99 max mean cold aa_low aa_high counters"
).split()
CLAIM_KEYS = ("id design target machine clock row baseline statistic low high verdict note").split()


def test_json_has_the_fields_of_schema_one(whole: Store) -> None:
    document = json.loads(to_json(report_of(whole, load_claims())))
    assert document["schema"] == 1
    for table, keys in (("runs", RUN_KEYS), ("rows", ROW_KEYS), ("claims", CLAIM_KEYS)):
        assert document[table] and all(set(keys) <= set(entry) for entry in document[table])
    for entry in document["claims"]:
        assert ("gain" in entry) == (entry["kind"] == "ratio") != ("value" in entry)
    named = [(r["run"], r["machine"], r["id"], r["unit"]) for r in document["rows"]]
    assert len(named) == len(set(named)) == 2 * 31
    assert len(document["claims"]) == 2 * len(load_claims().claims)
    exact = {r["id"]: r for r in document["rows"] if r["machine"] == "qemu-exact"}
    row = exact["heap/pair_64/hybrid"]
    assert (row["min"], row["p50"], row["max"], row["n"]) == (21.84, 21.84, 21.84, 80)
    assert (row["aa_low"], row["aa_high"]) == (1, 1)
    sampled = next(r for r in document["rows"] if r["id"] == row["id"] and r is not row)
    assert len(sampled["modes"]) == 1 and sampled["min"] <= sampled["modes"][0] <= sampled["max"]
    assert row["counters"]["header_bytes"] == {"value": 0, "unit": "bytes"}


def test_below_resolution_is_said_and_never_a_number(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [0, -5, 4, 9, 9])
    machine.seal()
    report = report_of(store, claims_of(tmp_path, TICKS))
    (row,) = json.loads(to_json(report))["rows"]
    assert (row["min"], row["p50"], row["below_resolution"]) == (None, 4, True)
    assert "below resolution" in to_html(report) and "below resolution" in to_markdown(report)
    assert "-5" not in to_markdown(report)


def test_a_percentile_wants_ten_samples_beyond_it(store: Store, tmp_path: Path) -> None:
    host, exact = store.machine(), store.machine("qemu-exact")
    for i, rounds in enumerate((9, 10, 99, 100, 999, 1000)):
        host.row(f"heap/case{i}/hybrid", list(range(1, 11)), rounds=rounds)
    host.seal()
    exact.row("heap/case0/hybrid", list(range(1, 11)), rounds=2)
    exact.row("heap/case1/hybrid", [10] * 10, rounds=2)
    exact.seal()
    rows = json.loads(to_json(report_of(store, claims_of(tmp_path, TICKS))))["rows"]
    names = ("p50", "p90", "p99", "p999")
    known = [tuple(row[name] is not None for name in names) for row in rows]
    assert known[:6] == [
        (True, False, False, False),
        (True, True, False, False),
        (True, True, False, False),
        (True, True, True, False),
        (True, True, True, False),
        (True, True, True, True),
    ]
    # Each round of an exact machine repeats the others: only a constant has percentiles.
    assert [row["machine"] for row in rows[6:]] == ["qemu-exact"] * 2
    assert known[6] == (True, False, False, False)
    assert [rows[7][name] for name in names] == [10] * 4


def test_disturbed_samples_are_counted_and_none_is_dropped(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [10, 11, 90], rounds=4, tags=lambda b, r: [0, 0, 1 + 2])
    machine.seal()
    report = report_of(store, claims_of(tmp_path, TICKS))
    (row,) = json.loads(to_json(report))["rows"]
    assert (row["n"], row["max"], row["max_clean"]) == (12, 90, 11)
    assert row["disturbed"]["in all"] == 4 and row["disturbed"]["page fault"] == 4
    assert "4 interrupt, 4 page fault" in to_html(report)


def test_the_text_of_a_figure_states_the_finding(whole: Store, tmp_path: Path) -> None:
    report = report_of(whole, load_claims())
    exact = report.run.machines[1]
    text = case_finding(exact, rows_of(exact, "heap/pair_64"))
    assert text == (
        "Median instructions for one operation on qemu-exact: hybrid 21.84, linked_list 146,"
        " floor 15.34. hybrid takes 6.67 times fewer than linked_list."
    ).replace("21.84", number(21.84)).replace("15.34", number(15.34))
    assert text in to_html(report)


def test_emulated_times_are_shown_under_a_name_that_says_so(store: Store, tmp_path: Path) -> None:
    machine = store.machine("qemu-smp", clock="emulated", hz=0)
    for variant, ticks in (("linked_list", 1200), ("hybrid", 100)):
        machine.row(f"heap/pair_64/{variant}", [ticks])
    machine.seal()
    report = report_of(store, claims_of(tmp_path, GAIN, TICKS))
    name = "qemu-smp (emulated, not judged)"
    out = io.StringIO()
    print_report(report, stream=out)
    assert f"{name}, clock emulated" in out.getvalue()
    assert f"## Rows of {name}" in to_markdown(report)
    page = to_html(report)
    assert re.search(rf"<h2[^>]*>{re.escape(name)}</h2>", page)
    assert f'<th scope="col">{name}</th>' in page
    # No sentence may say who is faster.
    (exact,) = report.run.machines
    assert case_finding(exact, rows_of(exact, "heap/pair_64")) == (
        "Median emulated ticks for one operation on qemu-smp: hybrid 100, linked_list 1\u202f200."
        " Emulated: shown, not judged."
    )
    assert "1 met" not in page and "times fewer" not in page


def test_a_run_with_nothing_in_it_is_still_a_report(store: Store, tmp_path: Path) -> None:
    store.machine(outcome="target could not start", clock="unknown", boots=0).seal()
    report = report_of(store, claims_of(tmp_path, GAIN))
    write_report(report, tmp_path / "out", lambda _: None)
    assert "1 no data" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_names_are_cleaned_and_bounded() -> None:
    assert clean("a\x00\n\x1b\u200b\u2028b") == "a\\x00\\x0a\\x1b\\x200b\\x2028b"
    assert len(clean("x" * 1000, 50)) == 50
    assert clean("naïve – ½") == "naïve – ½"


@pytest.mark.parametrize(
    "value,shown",
    [(0, "0"), (1.5, "1.5"), (1.4567, "1.46"), (12.34, "12.3"), (123.4, "123"), (0.4321, "0.432")]
    + [(20, "20"), (99.96, "100"), (0.00123, "0.00123"), (1234567, "1\u202f234\u202f567")]
    + [(None, "–"), (float("inf"), "–"), (float("nan"), "–"), (-2.5, "-2.5")],
)
def test_numbers_read_well(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_quantities_carry_their_unit() -> None:
    shown = [quantity(v, u) for v, u in ((1, "ticks"), (2, "ticks"), (8, "bytes"), (3, "count"))]
    assert [s.replace("\u00a0", " ") for s in shown] == ["1 tick", "2 ticks", "8 bytes", "3"]
    shares = [quantity(v, "percent") for v in (100, 99.999, 99.98, 99.5, 90.04)]
    assert [s[:-2] for s in shares] == ["100", "99.99", "99.98", "99.5", "90.0"]


def test_numbers_that_differ_are_told_apart() -> None:
    assert apart(31, 30) == ("31", "30")
    assert apart(22.1767578125, 22.17) == ("22.18", "22.17")
    assert apart(13.010001, 13.01) == ("13.010001", "13.01")
    assert apart(1e6 + 0.25, 1e6) == ("1000000.2", "1000000")
