# SPDX-License-Identifier: MIT
"""The page as it is written: its parts, and that no plot goes without words and numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from build import Store, whole_run
from conftest import ROOT
from judged import report_of
from page_check import Tree, lacking, plots_of

from reports.claims import load_claims
from reports.html import SIGNS, to_html
from reports.judge import VERDICTS
from reports.tables import cases_of
from reports.trace_view import view_of, views_of


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with everything a page can have."""
    store = Store(tmp_path_factory.mktemp("page") / "results")
    whole_run(store)
    report = report_of(store, load_claims())
    folder = store.results / "runs" / report.run.id / "qemu-exact"
    folder.mkdir(parents=True)
    golden = ROOT / "tests" / "trace" / "golden" / "two_cpus.perfetto-trace"
    (folder / "trace.perfetto-trace").write_bytes(golden.read_bytes())
    return to_html(report, views=views_of(report.run, store.results / "runs"))


def test_every_plot_has_its_finding_in_words_and_a_table(page: str) -> None:
    kinds = {node.attributes["aria-labelledby"] for node in plots_of(page)}
    # Gains, bounds, each case on two machines, tails by suite, noise, trace.
    assert len(kinds) > 25
    for name in ("gain", "limits", "m0-host-native-0", "m1-qemu-exact-0", "trace-0"):
        assert f"{name}-t {name}-d" in kinds
    assert any("-tails-" in kind for kind in kinds) and any("-noise" in kind for kind in kinds)
    assert lacking(page) == []


@pytest.mark.parametrize(
    "pattern,replacement,complaint",
    [
        (r"<figcaption>[^<]*</figcaption>", "", "caption"),
        (r"<figcaption>[^<]*</figcaption>", "<figcaption>A plot.</figcaption>", "caption"),
        (r'<desc id="gain-d">[^<]*</desc>', '<desc id="gain-d"></desc>', "no finding"),
        (r'<title id="gain-t">[^<]*</title>', "", "no title"),
        (r' role="img" aria-labelledby="gain-t gain-d"', "", "no role"),
        (r'(?s)<details class="again">.*?</details>', "", "no table"),
        (r"(?s)(<tbody>).*?(</tbody>)", r"\1\2", "no table"),
        (r'<div class="plot ', '<div class="', "no table"),
    ],
)
def test_a_plot_that_lacks_something_is_found(
    page: str, pattern: str, replacement: str, complaint: str
) -> None:
    count = 0 if "tbody" in pattern else 1
    damaged = re.sub(pattern, replacement, page, count=count)
    assert damaged != page
    assert any(complaint in line for line in lacking(damaged))


def test_the_findings_are_those_of_the_data(page: str) -> None:
    text = re.sub(r"\s+", " ", Tree(page).root.text())
    assert re.search(r"heap on host-native: at p99 the longest tail is \w+/\w+, [\d.]+ times", text)
    assert re.search(r"The widest A/A interval on host-native is that of \w+/\w+: \S", text)
    assert "33 of 33 rows of qemu-exact are constant" in text or re.search(
        r"(\d+) of \1 rows of qemu-exact are constant", text
    )
    assert "Drawn by Tickmark from the trace of this run; not a screenshot of Perfetto." in text
    assert "ipc/pair_56/fusion_spsc on qemu-exact, instructions of traced code" in text


def test_the_contents_lead_to_every_part(page: str) -> None:
    root = Tree(page).root
    links = [a.attributes["href"] for nav in root.all("nav") for a in nav.all("a")]
    parts = ["#claims", "#words", "#m0-host-native", "#m1-qemu-exact", "#tails", "#noise", "#trace"]
    assert links == [*parts, "#method"]
    ids = {node.attributes.get("id") for node in root.all("section")}
    assert {link[1:] for link in links} <= ids


def test_a_verdict_is_a_word_with_a_sign_not_a_colour_alone(page: str) -> None:
    assert set(SIGNS) == set(VERDICTS) and len(set(SIGNS.values())) == len(VERDICTS)
    chips = [
        node
        for node in Tree(page).root.all("span")
        if node.attributes.get("class", "").startswith("chip v-")
    ]
    assert chips
    for chip in chips:
        (sign,) = chip.all("i")
        word = chip.words.strip()
        assert sign.attributes["aria-hidden"] == "true" and SIGNS[word] == sign.text()


def test_without_a_trace_the_page_has_no_such_part(whole: Store) -> None:
    text = to_html(report_of(whole, load_claims()))
    assert 'id="trace"' not in text and 'href="#trace"' not in text and lacking(text) == []


def test_a_trace_that_cannot_be_read_is_left_out(store: Store, tmp_path: Path) -> None:
    whole_run(store)
    report = report_of(store, load_claims())
    folder = store.results / "runs" / report.run.id / "qemu-exact"
    folder.mkdir(parents=True)
    for content in (b"", b"no trace at all", b"\x0a\xff\xff\xff\xff\x7f"):
        (folder / "trace.perfetto-trace").write_bytes(content)
        assert view_of(report.run, store.results / "runs") is None


def test_a_machine_with_many_cases_is_folded_by_suite(
    whole: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(whole, load_claims())
    assert 'class="suite"' not in to_html(report)
    monkeypatch.setattr("reports.html.CASES_MANY", 1)
    page = to_html(report)
    folds = [
        node for node in Tree(page).root.all("details") if node.attributes.get("class") == "suite"
    ]
    titles = [node.all("summary")[0].text().split() for node in folds]
    assert {"heap", "ipc"} <= {word for title in titles for word in title}
    articles = [article for node in folds for article in node.all("article")]
    cases = {case for machine in report.intact for case in cases_of(machine)}
    assert cases <= {article.all("h3")[0].words.strip() for article in articles}
    assert lacking(page) == []
