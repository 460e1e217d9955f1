# SPDX-License-Identifier: MIT
"""The whole system in the report: both ends, each mechanism alone, and whether they add up."""

from __future__ import annotations

from math import log
from pathlib import Path
from re import findall

import pytest
from build import MachineMaker, Store, noisy
from judged import report_of
from page_check import lacking, plots_of

from reports import synthesis, whole
from reports.claims import load_claims
from reports.export import to_markdown
from reports.html import to_html


def put(
    made: MachineMaker,
    case: str,
    costs: dict[str, int],
    spread: float = 0.0,
    rounds: int = 20,
    twin: float = 1.0,
) -> None:
    """A case whose rows cost so much; with a spread they vary, and the baseline runs twice: its
    twin costs so many times as much, or there is none (0)."""
    for seed, (variant, cost) in enumerate(costs.items()):
        samples = noisy(cost, seed, 60, spread, 0.03) if spread else [cost] * 4
        role = "baseline" if variant == "baseline" else "product"
        rounds = rounds if spread else 2
        made.row(f"system/{case}/{variant}", samples, role=role, rounds=rounds)
        if spread and role == "baseline" and twin:
            again = noisy(cost * twin, 99, 60, spread, 0.03)
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
        " 1\u202f200: 1.88×, a gain. They are counts of one sequence of requests, and of one order"
        " of threads in it. Switched alone, these gain: heap 1.5×, ipc 1.25×; these show no"
        " difference: switch. Multiplied, the single ones come to 1.88×; the whole is 1× of that:"
        " they add up, to within 2 %. Taken out of the whole, it then takes more without heap 1.5×,"
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


def test_a_round_alone_shows_neither_gain_nor_loss(store: Store) -> None:
    """Its interval would be a point, which is beyond any noise."""
    host = store.machine()
    put(host, "request", costs({"heap": 1.3}, {"heap": 1.3}, 600), spread=0.001, rounds=1)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.noise is not None and not one.gain.shown and one.gain.low == one.gain.high
    text = whole.finding(one)
    assert "a gain" not in text and "these gain" not in text and "takes more" not in text
    assert ", not shown (too few rounds)." in text
    assert "these are not shown (too few rounds): heap." in text
    assert "does not tell whether they add up (too few rounds)." in text
    rows = {row[0].text: row for row in whole.table(one).rows}
    assert rows["all"][2].more == "not shown: too few rounds"


@pytest.mark.parametrize(("rounds", "said"), [(5, False), (6, True)])
def test_the_rounds_that_a_level_of_95_percent_needs_are_enough(
    store: Store, rounds: int, said: bool
) -> None:
    host = store.machine()
    put(host, "request", costs({"heap": 1.3}, {}, 600), spread=0.001, rounds=rounds)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.gain.gains == said and one.singles[0].alone.gains == said


def test_where_no_twin_tells_the_noise_nothing_is_called_a_gain_or_a_loss(store: Store) -> None:
    host = store.machine()
    gains = {"heap": 1.5, "ipc": 0.8}
    put(host, "request", costs(gains, gains, 600), spread=0.001, twin=0)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    text = whole.finding(one)
    assert one.noise is None and one.gain.low > 1.9
    assert f"not shown ({whole.NO_TWIN})." in text and "a gain" not in text
    assert f"these are not shown ({whole.NO_TWIN}): heap, ipc." in text
    assert "lose" not in text and "than its parts" not in text and "takes less" not in text
    assert "unknown, there is no A/A pair" in whole.table(one).note


def test_a_rest_that_may_be_anything_is_not_called_a_sum(store: Store) -> None:
    """That it is not shown to be another than 1 does not show that it is 1."""
    host = store.machine()
    put(host, "request", costs({"heap": 1.3, "ipc": 1.2}, {}, 769), spread=0.4)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.rest is not None and not one.rest.shown and one.rest.high / one.rest.low > 1.05
    text = whole.finding(one)
    assert f"the whole is {one.rest.text} of that: this run does not tell whether" in text
    assert "[" in one.rest.text and "they add up, " not in text


def test_a_rest_within_what_is_tolerated_is_a_sum_with_its_interval(store: Store) -> None:
    host = store.machine()
    put(host, "request", costs({"heap": 1.3, "ipc": 1.2}, {}, 769), spread=0.001)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.rest is not None and "[" in one.rest.text and one.rest.even
    assert f"{one.rest.text} of that: they add up, to within 2 %." in whole.finding(one)


def test_product_and_rest_must_pass_the_noise_of_as_many_pairs_as_they_are_made_of(
    store: Store,
) -> None:
    """Equal rows but for one lean: the baseline costs 1 % more than each other in its place."""
    host = store.machine()
    alone = {name: 1.01 for name in ("driver", "heap", "ipc", "sched", "switch")}
    put(host, "request", costs(alone, {}, round(1200 / 1.01)), spread=0.0005, twin=1 / 1.012)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.noise is not None and one.product is not None and one.rest is not None
    assert one.noise[0] == pytest.approx(1 / one.noise[1]), "it reaches as far to either side"
    assert one.noise[1] < one.product.low < one.noise[1] ** 5 and not one.product.shown
    assert one.rest.high < one.noise[0] and not one.rest.shown
    assert "does not tell whether they add up." in whole.finding(one)
    assert "of what is multiplied: [0.94" in whole.table(one).note


def test_a_lean_beyond_the_noise_of_all_pairs_is_shown(store: Store) -> None:
    host = store.machine()
    put(host, "request", costs({"heap": 1.2, "ipc": 1.2}, {}, 1000), spread=0.001, twin=1.01)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.product is not None and one.product.gains
    assert one.rest is not None and one.rest.loses
    assert ", less than its parts." in whole.finding(one)


def test_of_instruction_counts_nothing_is_said_about_the_slowest_request(store: Store) -> None:
    exact = store.machine("qemu-exact", boots=2)
    for case in ("busy", "request", "slowest"):
        put(exact, case, costs({"heap": 1.5}, {"heap": 1.5}, 800))
    exact.seal()
    found = whole.wholes(report_of(store, load_claims()))
    assert [one.case for one in found] == ["system/request", "system/busy"]
    assert all("counts of one sequence of requests" in whole.finding(one) for one in found)
    assert all("Counted: " in whole.table(one).note for one in found)


def test_noise_wider_than_all_marks_is_drawn_to_the_ends_of_the_axis(store: Store) -> None:
    host = store.machine()
    put(host, "request", costs({"heap": 1.02}, {}, 1180), spread=0.001, twin=3)
    host.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.noise is not None and one.noise[1] > 2.9
    drawn = whole.plot(one)
    bands = [findall(r"([-0-9.]+),", part) for part in drawn.parts if "var(--band)" in part]
    assert len(bands) == 2, "below the axis and in the key"
    assert all(74 <= float(x) <= drawn.width - 14 for places in bands for x in places)


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


def test_a_row_that_failed_is_left_out_by_name_and_nothing_is_multiplied(store: Store) -> None:
    exact = store.machine("qemu-exact", boots=2, outcome="rejected")
    put(exact, "request", costs({"heap": 1.5}, {"heap": 1.5, "ipc": 1.2}, 800))
    exact.row("system/request/ipc", [900] * 4, rounds=2, status="checksum")
    exact.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert [single.name for single in one.singles] == ["heap"]
    assert one.product is None and one.rest is None
    text = whole.finding(one)
    assert "Missing: ipc (checksum), so the single ones are not multiplied." in text
    assert "add up" not in text and "these gain: heap 1.5×." in text
    assert "multiplied" not in {row[0].text for row in whole.table(one).rows}


def test_a_mechanism_whose_only_row_here_is_the_one_without_it_is_missed(store: Store) -> None:
    exact = store.machine("qemu-exact", boots=2)
    put(exact, "request", costs({"heap": 1.5}, {"heap": 1.5, "ipc": 1.2}, 800))
    exact.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert one.missing == ("ipc (not in this run)",) and one.rest is None


def test_a_row_all_of_whose_samples_were_disturbed_takes_no_other_with_it(store: Store) -> None:
    exact = store.machine("qemu-exact", boots=2)
    put(exact, "request", costs({"heap": 1.5, "ipc": 1.2}, {"heap": 1.5}, 800))
    put(exact, "busy", costs({"heap": 1.5, "ipc": 1.2}, {}, 800) | {"optimised": 0})
    for variant in ("switch", "without_ipc"):
        row = f"system/request/{variant}"
        exact.row(row, [1100] * 4, rounds=2, tags=lambda boot, number: [1] * 4)
    exact.seal()
    (one,) = whole.wholes(report_of(store, load_claims()))
    assert [single.name for single in one.singles] == ["heap", "ipc"]
    assert one.missing == (
        "switch (every sample was disturbed)",
        "without_ipc (every sample was disturbed)",
    )
    assert one.product is None and one.singles[1].taken is None
    assert one.untold == ("system/busy on qemu-exact: optimised is missing (below resolution)",)
    assert whole.finding(one).endswith(f"Nothing is told of {one.untold[0]}.")


def test_the_page_opens_its_synthesis_with_the_whole(store: Store, tmp_path: Path) -> None:
    exact = store.machine("qemu-exact", boots=2)
    gains = {"heap": 1.5, "ipc": 1.25}
    put(exact, "request", costs(gains, gains, 640))
    exact.row("heap/a/hybrid", [100] * 4, rounds=2)
    exact.row("heap/a/linked_list", [200] * 4, rounds=2)
    exact.seal()
    report = report_of(store, load_claims())
    page = to_html(report)
    assert page.index('id="claims"') < page.index('id="words"')
    words = page[page.index('id="words"') : page.index('id="m0-qemu-exact"')]
    assert words.index("The whole</h3>") < words.index("<dt>heap</dt>")
    assert "<dt>system/request</dt>" not in words, "what stands beside its plot is said once"
    names = [p.attributes.get("aria-labelledby", "") for p in plots_of(page)]
    assert sum(name.startswith("whole-0") for name in names) == 2, "a wide and a narrow one"
    assert lacking(page) == []
    assert to_html(report_of(store, load_claims())) == page
    text = to_markdown(report)
    assert text.index("**system/request**") < text.index("**heap**: On")
