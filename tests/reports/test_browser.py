# SPDX-License-Identifier: MIT
"""The page in a browser: light, dark, narrow, printed; nothing fetched, no complaint."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from build import Store, whole_run
from conftest import ROOT
from judged import report_of

sys.path.append(str(ROOT / "tests"))
import chromium  # noqa: E402

from reports.claims import load_claims  # noqa: E402
from reports.history_page import NightsView, nights_view  # noqa: E402
from reports.ledger import open_ledger, remember  # noqa: E402
from reports.store import Round, Run  # noqa: E402
from reports.write import write_report  # noqa: E402

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing())

WIDE, NARROW, PAPER, HEIGHT = 1280, 380, 794, 900
CONTRAST_LEAST = 4.5  # WCAG 2.1, AA, for text of ordinary size

# Of every element with text of its own: the contrast of its colour with what is painted behind it.
CONTRASTS = r"""
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  canvas.canvas.width = canvas.canvas.height = 1;
  const rgba = (css) => {  // whatever notation the browser computes, as numbers
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement)
      layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => v / 255).map(
      (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter((n) => n.nodeType === 3)
      .map((n) => n.data).join('').trim();
    if (!own || !element.checkVisibility({opacityProperty: true})) continue;
    const style = getComputedStyle(element);
    const drawn = element instanceof SVGElement;
    if (drawn && !element.closest('text')) continue;
    let opacity = 1;
    for (let at = element; at; at = at.parentElement)
      opacity *= Number(getComputedStyle(at).opacity);
    const below = behind(element.closest('svg')?.parentElement ?? element);
    const ink = rgba(drawn ? style.fill : style.color);
    const seen = over([...ink.slice(0, 3), ink[3] * opacity], below);
    const [high, low] = [luminance(seen), luminance(below)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), own.slice(0, 40), style.fontSize, element.tagName]);
  }
  return found;
})()
"""

WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all parts, written as `scons report` writes it."""
    store = Store(tmp_path_factory.mktemp("browser") / "results")
    whole_run(store)
    report = report_of(store, load_claims())
    folder = store.results / "runs" / report.run.id / "qemu-exact"
    folder.mkdir(parents=True)
    golden = ROOT / "tests" / "trace" / "golden" / "one_row.perfetto-trace"
    (folder / "trace.perfetto-trace").write_bytes(golden.read_bytes())
    nights = nights_before(store, report.run)
    write_report(report, store.results / "report", lambda _: None, nights)
    return store.results / "report" / "index.html"


def nights_before(store: Store, run: Run) -> NightsView:
    """The run as the last of four nights, on the last of which a row stepped and the machine was
    another."""
    with open_ledger(store.results / "nights.db", write=True) as ledger:
        for name in ("n1", "n2", "n3"):
            for machine in run.machines:
                old = {
                    key: replace(row, rounds=tuple(grown(r, key) for r in row.rounds))
                    for key, row in machine.rows.items()
                }
                facts = (*machine.facts, ("host.kernel", "Linux 6 of a name that is rather long"))
                remember(ledger, replace(machine, run=name, rows=old, facts=facts))
        for machine in run.machines:
            remember(ledger, machine)
    view = nights_view(store.results, run, load_claims())
    assert view is not None and len(view.machines) == 2 and view.alarming
    return view


def grown(round_: Round, key: tuple[str, int]) -> Round:
    more = 1 if key[0] == "heap/pair_64/hybrid" else 0
    return replace(round_, samples=round_.samples + more * round_.operations)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    with chromium.Chromium(tmp_path_factory.mktemp("chromium") / "profile") as started:
        yield started


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_loads_fits_and_can_be_read(
    browser: chromium.Chromium, file: Path, width: int, dark: bool
) -> None:
    page = browser.page()
    page.look(width, HEIGHT, dark)
    page.go(file.as_uri())
    assert page.value("document.querySelectorAll('main section').length") >= 7
    assert page.complaints() == []
    assert page.requests() == [file.as_uri()], "the page needs nothing but itself"
    whole, window = page.value(WIDTHS)
    assert whole <= window == width, "the page is wider than the window"
    cut = page.value(
        "[...document.querySelectorAll('.scroll')].filter((s) => s.scrollWidth > s.clientWidth + 1)"
        ".map((s) => s.getAttribute('aria-label'))"
    )
    assert width < WIDE or cut == [], "on a wide page every table is seen whole"
    background = page.value("getComputedStyle(document.body).backgroundColor")
    shade = [int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(shade) < 64) == dark, f"asked for {'dark' if dark else 'light'}: {background}"
    contrasts = page.value(CONTRASTS)
    assert len(contrasts) > 500
    assert [c for c in contrasts if c[0] < CONTRAST_LEAST] == []


def test_each_width_shows_the_drawing_made_for_it(browser: chromium.Chromium, file: Path) -> None:
    shown = {}
    for width in (WIDE, NARROW):
        page = browser.page()
        page.look(width, HEIGHT)
        page.go(file.as_uri())
        shown[width] = page.value(
            "[...document.querySelectorAll('svg[role=img]')].filter((s) => s.checkVisibility())"
            ".map((s) => [s.getAttribute('aria-labelledby').split('-t ')[0],"
            " s.getBoundingClientRect().width,"
            " Math.min(...[...s.querySelectorAll('text')].map((t) =>"
            "  parseFloat(getComputedStyle(t).fontSize) * s.getBoundingClientRect().width"
            "  / s.viewBox.baseVal.width))])"
        )
    names = {width: {name for name, _, _ in found} for width, found in shown.items()}
    assert "gain" in names[WIDE] and "gain-narrow" not in names[WIDE]
    assert "gain-narrow" in names[NARROW] and "gain" not in names[NARROW]
    for width, found in shown.items():
        for name, wide, letters in found:
            assert 0 < wide <= width and letters >= 8.5, f"{name}: letters of {letters:.1f} pixels"


def test_on_paper_nothing_is_folded_or_cut(browser: chromium.Chromium, file: Path) -> None:
    page = browser.page()
    page.look(PAPER, HEIGHT, dark=True, media="print")
    page.go(file.as_uri())
    whole, window = page.value(WIDTHS)
    assert whole <= window, "the page is wider than the paper"
    folded = "[...document.querySelectorAll('details:not(.again) table')]"
    assert page.value(f"{folded}.length") > 3
    heights = page.value(f"{folded}.map((t) => t.getBoundingClientRect().height)")
    assert min(heights) > 10, "a table that is folded on the screen is printed"
    contrasts = page.value(CONTRASTS)
    assert [c for c in contrasts if c[0] < CONTRAST_LEAST] == []


def test_the_checks_of_this_file_would_notice(
    browser: chromium.Chromium, file: Path, tmp_path: Path
) -> None:
    whole = file.read_text(encoding="utf-8")
    bad = tmp_path / "bad.html"
    script = "<script>console.error('x'); fetch('http://127.0.0.1:9/x').catch(() => 0)</script>"
    pale = '<p style="color: #aaa">pale</p><p style="width: 900px">wide</p>'
    bad.write_text(whole.replace("</main>", f"{pale}{script}</main>"), encoding="utf-8")
    page = browser.page()
    page.look(NARROW, HEIGHT)
    page.go(bad.as_uri())
    said = json.dumps(page.complaints())
    assert "'x'" in said.replace('\\"', "'") or '"x"' in said.replace('\\"', '"')
    assert "http://127.0.0.1:9/x" in page.requests()
    whole_width, window = page.value(WIDTHS)
    assert whole_width > window
    assert [c[1] for c in page.value(CONTRASTS) if c[0] < CONTRAST_LEAST] == ["pale"]
