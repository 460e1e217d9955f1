# SPDX-License-Identifier: MIT
"""The whole system in the report: both ends, each mechanism alone, and whether they add up."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
from build import MachineMaker, Store, noisy
from judged import report_of
from page_check import lacking, plots_of

from reports import synthesis, whole
from reports.claims import load_claims
from reports.export import to_markdown
from reports.html import to_html


def put(made: MachineMaker, case: str, costs: dict[str, int], spread: float = 0.0) -> None:
    """A case whose rows cost so much; with a spread they vary, and the baseline runs twice."""
    for seed, (variant, cost) in enumerate(costs.items()):
        samples = noisy(cost, seed, 60, spread, 0.03) if spread else [cost] * 4
        role = "baseline" if variant == "baseline" else "product"
        rounds = 20 if spread else 2
        made.row(f"system/{case}/{variant}", samples, role=role, rounds=rounds)
        if spread and role == "baseline":
            again = noisy(cost, 99, 60, spread, 0.03)
            made.row(f"system/{case}/{variant}", again, aa=1, role=role, rounds=rounds)


def costs(alone: dict[str, float], without: dict[str, float], best: int) -> dict[str, int]:
    """Planted gains: baseline 1200, optimised `best`."""
    made = {"baseline": 1200, "optimised": best}
    made |= {name: round(1200 / gain) for name, gain in alone.items()}
    return made | {f"without_{name}": round(best * loss) for name, loss in without.items()}


def test_gains_that_multiply_to_the_whole_add_up(store: Store) -> None:
    exact = store.machine("qemu-exact", boots=2)
    alone = {"heap": 1.5, "ipc": 1.25, "switch": 1.0}
    put(exact, "request", costs(alone, {"heap": 1.5, "ipc": 1.25, "switch": 1.0}, 640))
    exact.seal()
    report = report_of(store, load_claims())
    (one,) = whole.wholes(report)
    assert synthesis.caveat(report).startswith("Instruction counts support a claim")
    assert one.gain.value == pytest.approx(1.875) and one.gain.gains
    assert {s.name: s.alone.value for s in one.singles} == pytest.approx(alone)
    assert one.product is not None and one.product.value == pytest.approx(1.875)
    assert one.rest is not None and not one.rest.shown
    assert whole.finding(one) == (
        "On qemu-exact, in instructions: all optimised take 640 where all baselines take"
        " 1\u202f200: 1.88×, a gain. Switched alone, these gain: heap 1.5×, ipc 1.25×; these show"
        " no difference: switch. Multiplied, the single ones come to 1.88×; the whole is no other"
        " than that: they add up. Taken out of the whole, it then takes more without heap 1.5×,"
        " ipc 1.25×."
    )


def test_a_loss_is_called_a_loss_and_what_the_whole_is_better_without_is_named(
    store: Store,
) -> None:
    exact = store.machine("qemu-exact", boots=2)
    alone, without = {"heap": 1.2, "ipc": 0.8}, {"heap": 1.1, "ipc": 0.5}
    put(exact, "request", costs(alone, without, 2400))
    exact.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    text = whole.finding(one)
    assert "0.5×, a loss" in text and "these lose: ipc 0.8×" in text
    assert "The whole takes less without ipc 0.5×." in text
    assert "the whole is 0.521× of that, less than its parts" in text
    assert one.gain.loses and one.rest is not None and one.rest.loses


def test_what_is_inside_the_noise_shows_no_difference(store: Store) -> None:
    host = store.machine()
    alone, without = {"heap": 1.3, "ipc": 1.002}, {"heap": 1.3, "ipc": 1.0}
    put(host, "request", costs(alone, without, 920), spread=0.02)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    singles = {single.name: single for single in one.singles}
    assert singles["heap"].alone.gains and not singles["ipc"].alone.shown
    assert "show no difference: ipc" in whole.finding(one)
    assert one.noise is not None and one.noise[0] <= one.noise[1]
    low, high = singles["heap"].alone.low, singles["heap"].alone.high
    assert low <= 1.3 * 1.01 and high >= 1.3 * 0.99 and low < high
    rows = {row[0].text: row for row in whole.table(one).rows}
    assert rows["ipc"][2].more == "not shown" and rows["heap"][2].more == ""
    assert "[" in rows["all"][2].text


def test_the_product_is_made_round_by_round(store: Store) -> None:
    """Rounds that drift together do not widen what the single ones come to."""
    host = store.machine()
    put(host, "request", costs({"heap": 1.3, "ipc": 1.2}, {}, 769), spread=0.001)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.product is not None and one.rest is not None
    assert log(one.product.high / one.product.low) < 0.01
    assert one.product.value == pytest.approx(1.56, rel=0.01)
    assert [single.taken for single in one.singles] == [None, None]


def test_the_machine_whose_clock_says_most_tells_and_the_request_comes_first(
    store: Store,
) -> None:
    for name in ("qemu-exact", "host-native"):
        made = store.machine(name)
        for case in ("busy", "request", "slowest"):
            put(made, case, costs({"heap": 1.5}, {"heap": 1.5}, 800))
        made.row("heap/a/hybrid", [100] * 4)
        made.row("heap/a/linked_list", [200] * 4)
        made.seal()
    emulated = store.machine("qemu-smp", clock="emulated")
    put(emulated, "request", costs({"heap": 3.0}, {}, 100))
    emulated.seal()
    report = report_of(store, load_claims())
    found = whole.wholes(report)
    assert [one.case for one in found] == ["system/request", "system/busy", "system/slowest"]
    assert {one.machine.name for one in found} == {"host-native"}
    assert synthesis.caveat(report) == ""
    told = [one.suite for one in synthesis.paragraphs(report)]
    assert told == ["system/request", "system/busy", "system/slowest", "heap"]


@pytest.mark.parametrize("missing", ["baseline", "optimised"])
def test_without_one_of_both_ends_there_is_no_whole(store: Store, missing: str) -> None:
    exact = store.machine("qemu-exact", boots=2)
    planted = costs({"heap": 1.5}, {"heap": 1.5}, 800)
    del planted[missing]
    put(exact, "request", planted)
    exact.seal()
    report = report_of(store, load_claims())
    assert whole.wholes(report) == ()
    page = to_html(report)
    assert "The whole</h3>" not in page and lacking(page) == []


def test_a_row_that_failed_is_left_out_and_the_rest_stands(store: Store) -> None:
    exact = store.machine("qemu-exact", boots=2, outcome="rejected")
    put(exact, "request", costs({"heap": 1.5}, {"heap": 1.5}, 800))
    exact.row("system/request/ipc", [900] * 4, rounds=2, status="checksum")
    exact.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert [single.name for single in one.singles] == ["heap"]


def test_the_page_opens_its_synthesis_with_the_whole(store: Store, tmp_path: Path) -> None:
    exact = store.machine("qemu-exact", boots=2)
    gains = {"heap": 1.5, "ipc": 1.25}
    put(exact, "request", costs(gains, gains, 640))
    exact.row("heap/a/hybrid", [100] * 4, rounds=2)
    exact.row("heap/a/linked_list", [200] * 4, rounds=2)
    exact.seal()
    report = report_of(store, load_claims())
    page = to_html(report)
    words = page[page.index('id="words"') : page.index('id="claims"')]
    assert words.index("The whole</h3>") < words.index("<dt>heap</dt>")
    assert "<dt>system/request</dt>" not in words, "what stands beside its plot is said once"
    names = [p.attributes.get("aria-labelledby", "") for p in plots_of(page)]
    assert sum(name.startswith("whole-0") for name in names) == 2, "a wide and a narrow one"
    assert lacking(page) == []
    assert to_html(report_of(store, load_claims())) == page
    text = to_markdown(report)
    assert text.index("**system/request**") < text.index("**heap**: On")
