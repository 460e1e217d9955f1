# SPDX-License-Identifier: MIT
"""Verdicts: the six of them and no data, with their edges."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from build import UNITS, MachineMaker, Samples, Store, noisy
from judged import COUNTED, GAIN, TICKS, claims_of, judged, judgements, report_of

from reports.judge import VERDICTS, best, verdict_of

RATIO, AT_MOST = GAIN, TICKS
AT_LEAST = {**TICKS, "kind": '"at_least"'}
ASSUMED = {**TICKS, "kind": '"assumption"', "band": "[50, 100]"}
EDGES = [
    (RATIO, 10, 20, "met"),
    (RATIO, 10, 10, "met"),
    (RATIO, 10 - 1e-12, 12, "met"),
    (RATIO, 19, 25, "met"),
    (RATIO, 20, 30, "met"),
    (RATIO, 20.1, 30, "exceeded"),
    (RATIO, 9.9, 10.1, "not shown"),
    (RATIO, 5, 25, "not shown"),
    (RATIO, 5, 10, "not shown"),
    (RATIO, 5, 9.9, "not met"),
    ({**RATIO, "band": "[8, 8]"}, 8, 8, "met"),
    ({**RATIO, "band": "[8, 8]"}, 7, 9, "met"),
    ({**RATIO, "band": "[8, 8]"}, 9, 10, "met"),
    ({**RATIO, "band": "[8, 8]"}, 6, 7.9, "not met"),
    (AT_MOST, 15, 20, "met"),
    (AT_MOST, 10, 20, "met"),
    (AT_MOST, 9, 10, "met"),
    (AT_MOST, 9, 9.9, "exceeded"),
    (AT_MOST, 19, 20.1, "not shown"),
    (AT_MOST, 20.1, 22, "not met"),
    (AT_LEAST, 9, 9.9, "not met"),
    (AT_LEAST, 9, 10.1, "not shown"),
    (AT_LEAST, 10, 11, "met"),
    (AT_LEAST, 20.1, 22, "exceeded"),
    (ASSUMED, 50, 100, "met"),
    (ASSUMED, 101, 102, "exceeded"),
    (ASSUMED, 48, 49, "not met"),
    (ASSUMED, 49, 51, "not shown"),
    (ASSUMED, 99, 101, "not shown"),
    (COUNTED, 90, 90, "met"),
    (COUNTED, 1000, 1000, "met"),
    (COUNTED, 89.9, 89.9, "not met"),
    (COUNTED, 89, 91, "not shown"),
]


@pytest.mark.parametrize("claim,low,high,verdict", EDGES)
def test_an_interval_earns_its_verdict(
    tmp_path: Path, claim: dict[str, str], low: float, high: float, verdict: str
) -> None:
    assert verdict_of(claims_of(tmp_path, claim).claims[0], low, high) == verdict


def pair(store: Store, baseline: float, hybrid: float, **given: object) -> None:
    """One machine with the pair of rows and the twin that most claims here are about."""
    spread = float(given.pop("spread", 0.005))  # type: ignore[arg-type]
    counts: dict[str, Any] = {key: given.pop(key, n) for key, n in (("boots", 1), ("rounds", 20))}
    machine = store.machine(**given)  # type: ignore[arg-type]
    ticks, list_row = 10_000, "heap/pair_64/linked_list"
    made: dict[str, Any] = {"operations": ticks, **counts}
    if machine.clock == "insn":
        machine.row(list_row, [round(baseline * ticks)], **made)
        machine.row(list_row, [round(baseline * ticks)], aa=1, **made)
        machine.row("heap/pair_64/hybrid", [round(hybrid * ticks)], **made)
    else:
        machine.row(list_row, noisy(baseline * ticks, 1, 21, spread), **made)
        machine.row(list_row, noisy(baseline * ticks, 2, 21, spread), aa=1, **made)
        machine.row("heap/pair_64/hybrid", noisy(hybrid * ticks, 3, 21, spread), **made)
    machine.seal()


def test_a_gain_is_the_ratio_of_the_rows_and_is_met(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10)
    found = judged(store, tmp_path, GAIN)
    assert found.verdict == "met" and found.value == pytest.approx(12, rel=0.005)
    assert found.low is not None and found.high is not None and found.aa is not None
    assert found.low <= 12 <= found.high and found.aa[0] < 1 < found.aa[1]
    assert "within one boot only" in found.how


def test_a_claim_planted_five_percent_slower_flips(store: Store, tmp_path: Path) -> None:
    pair(store, 102, 10)
    assert judged(store, tmp_path, GAIN).verdict == "met"
    pair(store, 102, 10 * 1.05, run="r2x")
    assert judged(store, tmp_path, GAIN).verdict == "not met"


def test_a_bound_planted_five_percent_slower_flips(store: Store, tmp_path: Path) -> None:
    goal = {**TICKS, "unit": '"ratio"', "baseline": '"linked_list"', "as": '"over"'}
    goal.pop("band")
    goal["value"] = "0.2"
    pair(store, 100, 19.6)
    assert judged(store, tmp_path, goal).verdict == "met"
    pair(store, 100, 19.6 * 1.05, run="r2x")
    found = judged(store, tmp_path, goal)
    assert found.verdict == "not met" and found.value == pytest.approx(0.2058, rel=0.01)


def test_past_the_band_is_exceeded_and_says_straw_man(store: Store, tmp_path: Path) -> None:
    pair(store, 300, 10)
    found = judged(store, tmp_path, GAIN)
    assert found.verdict == "exceeded" and "straw man" in found.note


def test_a_difference_inside_the_noise_floor_is_not_shown(store: Store, tmp_path: Path) -> None:
    pair(store, 10.02, 10, spread=0.3)
    found = judged(store, tmp_path, {**GAIN, "band": "[2, 3]"})
    assert found.verdict == "not shown" and "A/A" in found.note


def test_a_difference_that_reaches_into_the_noise_floor_is_not_shown(
    store: Store, tmp_path: Path
) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/linked_list", [1300])
    machine.row("heap/pair_64/hybrid", lambda b, r: [1150 if r % 2 else 1000])
    # The twin says that this baseline may be off by 18 % all by itself.
    machine.row("heap/pair_64/linked_list", lambda b, r: [1300 if r % 2 else 1100], aa=1)
    machine.seal()
    found = judged(store, tmp_path, {**GAIN, "band": "[1.1, 3]"})
    assert found.verdict == "not shown" and "reaches into" in found.note


TWO_CASES = {**GAIN, "row": '["heap/a/hybrid", "heap/b/hybrid"]', "baseline": '"linked_list"'}


def case_with_twin(
    machine: MachineMaker, case: str, hybrid: Any, twin: Any = None, baseline: int = 1300
) -> None:
    """A baseline of 1300, its twin if there is one, and the row that is compared."""
    machine.row(f"{case}/linked_list", [baseline])
    machine.row(f"{case}/hybrid", hybrid if callable(hybrid) else [hybrid])
    if twin is not None:
        machine.row(f"{case}/linked_list", twin if callable(twin) else [twin], aa=1)


def by_turns(low: int, high: int) -> Samples:
    """Rounds that alternate."""
    return lambda boot, number: [high if number % 2 else low]


@pytest.mark.parametrize(
    "gain,twin,verdict,note",
    [
        (1.40, 1300, "met", ""),
        (1.40, by_turns(650, 1300), "not shown", "heap/b/hybrid: inside the noise floor (A/A)"),
        (1.40, None, "not shown", "heap/b/hybrid: the noise floor is unknown: no A/A pair"),
    ],
)
def test_each_row_of_a_claim_is_held_against_the_noise_of_its_own_case(
    store: Store, tmp_path: Path, gain: float, twin: Any, verdict: str, note: str
) -> None:
    machine = store.machine()
    # The worst row's case is quiet: it vouches for no other.
    case_with_twin(machine, "heap/a", 1000, 1300)
    case_with_twin(machine, "heap/b", round(1300 / gain), twin)
    machine.seal()
    found = judged(store, tmp_path, {**TWO_CASES, "band": "[1.2, 3]"})
    assert (found.verdict, found.row, found.note) == (verdict, "heap/a/hybrid", note)
    assert found.aa == (1, 1)


@pytest.mark.parametrize(
    "worst,noise,verdict,note",
    [
        (2600, by_turns(650, 1300), "not met", ""),
        (1350, by_turns(650, 1300), "not shown", "inside the noise floor"),
        # That another row is shown to keep the claim does not refute it.
        (1350, 1300, "not shown", "inside the noise floor"),
    ],
)
def test_a_row_that_refutes_a_claim_outside_its_own_noise_is_enough(
    store: Store, tmp_path: Path, worst: int, noise: Any, verdict: str, note: str
) -> None:
    machine = store.machine()
    case_with_twin(machine, "heap/a", worst, by_turns(1170, 1300))
    case_with_twin(machine, "heap/b", 1000, noise)
    machine.seal()
    found = judged(store, tmp_path, {**TWO_CASES, "band": "[1.2, 3]"})
    assert found.verdict == verdict and found.note.startswith(note)


@pytest.mark.parametrize("twin", [by_turns(1300, 1950), by_turns(870, 1300)])
def test_noise_reaches_as_far_to_either_side(store: Store, tmp_path: Path, twin: Samples) -> None:
    machine = store.machine()
    # A/A from 0.67 to 1, or from 1 to 1.49: a gain of 1.3 is inside both, taken both ways.
    case_with_twin(machine, "heap/pair_64", 1000, twin)
    machine.seal()
    found = judged(store, tmp_path, {**GAIN, "band": "[1.2, 3]"})
    assert found.aa is not None and (found.aa[0] == 1) != (found.aa[1] == 1)
    assert (found.verdict, found.note) == ("not shown", "inside the noise floor (A/A)")


def test_the_interval_of_several_rows_reaches_to_the_worst_end_of_each(
    store: Store, tmp_path: Path
) -> None:
    machine = store.machine()
    # Gains: a from 12 to 14, in the middle 13; b from 11 to 16, in the middle 13.5: a is worse.
    case_with_twin(machine, "heap/a", by_turns(1200, 1400), 16800, 16800)
    case_with_twin(machine, "heap/b", by_turns(1050, 1527), 16800, 16800)
    machine.seal()
    found = judged(store, tmp_path, TWO_CASES)
    assert found.row == "heap/a/hybrid"
    assert found.low == pytest.approx(16800 / 1527) and found.high == pytest.approx(14)
    bounds = {**TICKS, "row": '["heap/a/hybrid", "heap/b/hybrid"]', "band": "[1100, 1450]"}
    ticks = judged(store, tmp_path, bounds)
    assert (ticks.low, ticks.high) == (1200, 1527) and ticks.verdict == "not shown"


def test_noise_is_held_against_all_that_several_rows_reach(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    noise = by_turns(1000, 1300)
    # b is the better one in the middle and reaches lower: into the noise that a keeps clear of.
    case_with_twin(machine, "heap/a", by_turns(840, 870), noise)
    case_with_twin(machine, "heap/b", by_turns(600, 1010), noise)
    machine.seal()
    found = judged(store, tmp_path, {**TWO_CASES, "band": "[1.2, 3]"})
    assert found.row == "heap/a/hybrid" and found.verdict == "not shown"
    assert found.note == "heap/b/hybrid: reaches into the noise floor (A/A)"


def test_several_rows_have_the_level_of_the_least_certain(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/a/hybrid", [15], rounds=5)
    machine.row("heap/b/hybrid", [19], rounds=20)
    machine.seal()
    found = judged(store, tmp_path, {**TICKS, "row": '["heap/a/hybrid", "heap/b/hybrid"]'})
    assert found.row == "heap/b/hybrid" and found.level == pytest.approx(0.9375)
    assert found.verdict == "not shown" and "too few rounds" in found.note


@pytest.mark.parametrize("operations,wider", [(1, 26), (26, 1)])
def test_an_interval_of_ticks_is_as_much_wider_as_the_clock_steps(
    store: Store, tmp_path: Path, operations: int, wider: int
) -> None:
    machine = store.machine()
    machine.fact("guest.clock.step", "26")
    machine.row("heap/pair_64/hybrid", [115], operations=operations)
    machine.seal()
    found = judged(store, tmp_path, TICKS)
    assert found.value is not None and found.value == 115 / operations
    assert found.low == pytest.approx(found.value - wider)
    assert found.high == pytest.approx(found.value + wider)


def test_without_a_twin_no_difference_is_shown(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/linked_list", [1200])
    machine.row("heap/pair_64/hybrid", [100])
    machine.seal()
    found = judged(store, tmp_path, GAIN)
    assert found.verdict == "not shown" and "noise floor is unknown" in found.note


def test_parity_is_judged_by_its_own_interval_alone(store: Store, tmp_path: Path) -> None:
    pair(store, 10, 10, spread=0.1)
    assert judged(store, tmp_path, {**GAIN, "band": "[1, 1]"}).verdict == "met"


def test_too_few_rounds_confirm_nothing(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10, rounds=5)
    found = judged(store, tmp_path, GAIN)
    assert found.verdict == "not shown" and "93.75 %" in found.note


def test_instruction_counts_are_shown_and_not_judged(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10, name="qemu-exact", boots=2, rounds=2)
    gain, ticks = judgements(store, tmp_path, GAIN, TICKS)
    assert (gain.verdict, gain.value, gain.low, gain.high) == ("not judged here", 12, 12, 12)
    assert (ticks.verdict, ticks.value, ticks.unit) == ("not judged here", 10, "instructions")
    assert "never confirm" in gain.note and "never confirm" in ticks.note
    assert gain.aa == (1, 1) and gain.how == "exact" and gain.level is None


def test_instruction_counts_that_differ_between_boots_give_no_number(
    store: Store, tmp_path: Path
) -> None:
    machine = store.machine("qemu-exact")
    machine.row("heap/pair_64/hybrid", lambda boot, r: [100 + boot], boots=2, rounds=2)
    machine.seal()
    found = judged(store, tmp_path, TICKS)
    assert found.verdict == "no data" and found.value is None
    assert "not deterministic" in found.note


@pytest.mark.parametrize("clock", ["emulated", "unknown"])
def test_other_clocks_are_judged_never(store: Store, tmp_path: Path, clock: str) -> None:
    pair(store, 120, 10, name="qemu-smp", clock=clock)
    found = judgements(store, tmp_path, GAIN, TICKS)
    assert {j.verdict for j in found} == {"not judged here"}
    assert [(j.value is None, j.low is None, j.high is None) for j in found] == [(False,) * 3] * 2
    assert found[1].unit == UNITS[clock]


def test_core_cycles_judge_gains_but_not_ticks(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10, clock="core")
    gain, ticks = judgements(store, tmp_path, GAIN, TICKS)
    assert gain.verdict == "met" and ticks.verdict == "not judged here"


@pytest.mark.parametrize("variant", ["hybrid", "linked_list"])
def test_what_two_cpus_of_one_core_did_is_no_data(
    store: Store, tmp_path: Path, variant: str
) -> None:
    machine = store.machine("host", clock="tsc")
    for name, cost in (("hybrid", 10), ("linked_list", 120)):
        machine.row(f"heap/pair_64/{name}", [cost] * 20)
        machine.counter(f"heap/pair_64/{name}", "one_core", int(name == variant), 3, "observed")
    machine.seal()
    (gain,) = judgements(store, tmp_path, GAIN)
    assert gain.verdict == "no data" and "both CPUs were one core" in gain.note


@pytest.mark.parametrize("clock", ["insn", "emulated", "tsc"])
def test_counters_are_judged_on_every_clock(store: Store, tmp_path: Path, clock: str) -> None:
    machine = store.machine("qemu-exact", clock=clock)
    machine.row("heap/pair_64/hybrid", [100])
    machine.counter("heap/pair_64/hybrid", "hit_rate", 899, 1000, "percent")
    machine.counter("heap/pair_64/hybrid", "served", 9, 10, "percent")
    machine.counter("heap/pair_64/hybrid", "bytes", 9, 10, "bytes")
    machine.seal()
    rate, served, unit, missing = judgements(
        store,
        tmp_path,
        COUNTED,
        {**COUNTED, "statistic": '"counter:served"'},
        {**COUNTED, "statistic": '"counter:bytes"'},
        {**COUNTED, "statistic": '"counter:nothing"'},
    )
    assert (rate.verdict, rate.value) == ("not met", 89.9)
    assert (served.verdict, served.value) == ("met", 90)
    assert unit.verdict == "no data" and "is in bytes" in unit.note
    assert missing.verdict == "no data" and "no counter nothing" in missing.note


def test_ratios_of_counters_are_exact(store: Store, tmp_path: Path) -> None:
    machine = store.machine("qemu-exact")
    for variant, count in (("hybrid", 16), ("linked_list", 128)):
        machine.row(f"heap/pair_64/{variant}", [100])
        machine.counter(f"heap/pair_64/{variant}", "stored", count, 1, "bytes")
    machine.seal()
    claim = {**GAIN, "band": "[8, 8]", "statistic": '"counter:stored"'}
    found = judged(store, tmp_path, claim)
    assert found.verdict == "met" and found.value == pytest.approx(8)


def test_nanoseconds_come_from_the_frequency(store: Store, tmp_path: Path) -> None:
    claim = {**TICKS, "unit": '"ns"', "band": "[40, 100]"}
    pair(store, 1200, 100, hz=2_000_000_000)
    found = judged(store, tmp_path, claim)
    assert found.verdict == "met" and found.value == pytest.approx(50, rel=0.01)
    pair(store, 1200, 100, hz=0, run="r2x")
    assert judged(store, tmp_path, claim).verdict == "not judged here"


@pytest.mark.parametrize("status", ["missing", "checksum wrong", "work deleted", "failed"])
def test_rows_that_are_not_ok_give_no_number(store: Store, tmp_path: Path, status: str) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/linked_list", [1200])
    machine.row("heap/pair_64/linked_list", [1200], aa=1)
    machine.row("heap/pair_64/hybrid", [100], status=status)
    machine.counter("heap/pair_64/hybrid", "hit_rate", 99, 100, "percent")
    machine.seal()
    for found in judgements(store, tmp_path, GAIN, TICKS, COUNTED):
        assert found.verdict == "no data" and found.value is None and status in found.note


def test_samples_below_resolution_give_no_data(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [0, -2, 1])
    machine.seal()
    found = judged(store, tmp_path, TICKS)
    assert found.verdict == "no data" and found.note == "below resolution"


def test_the_worst_of_several_rows_decides(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("kmalloc/a/k", [12])
    machine.row("kmalloc/b/k", [23])
    machine.seal()
    rows = {**TICKS, "row": '["kmalloc/a/k", "kmalloc/b/k"]'}
    found = judged(store, tmp_path, rows)
    assert (found.verdict, found.row, found.value) == ("not met", "kmalloc/b/k", 23)
    missing = {**TICKS, "row": '["kmalloc/a/k", "kmalloc/c/k"]'}
    assert judged(store, tmp_path, missing).verdict == "no data"


def test_the_mean_the_worst_and_percentiles_judge_what_they_say(
    store: Store, tmp_path: Path
) -> None:
    machine = store.machine(boots=6)
    machine.row(
        "heap/pair_64/hybrid",
        [10] * 190 + [15] * 8 + [110, 500],
        boots=6,
        rounds=5,
        tags=lambda boot, r: [0] * 199 + [1],
    )
    machine.seal()
    names = ("median", "mean", "p99", "p99.9", "worst")
    claims = [{**TICKS, "statistic": f'"{name}"'} for name in names]
    values = [j.value for j in judgements(store, tmp_path, *claims)]
    # A boot has 1000 samples: its 999th is one of the five of 500. The worst clean one is 110.
    assert values == [10, pytest.approx(13.15), 15, 500, 110]


def test_a_percentile_without_enough_samples_is_no_data(store: Store, tmp_path: Path) -> None:
    machine = store.machine()
    machine.row("heap/pair_64/hybrid", [10] * 40)
    machine.seal()
    found = judged(store, tmp_path, {**TICKS, "statistic": '"p99.9"'})
    assert found.verdict == "no data" and "needs 1000 samples" in found.note


PEERS = {
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


def test_goals_take_the_best_peer_and_only_the_host(store: Store, tmp_path: Path) -> None:
    for name, run in (("host-native", "r1"), ("baremetal-box", "r2x"), ("host-bare", "r3xx")):
        machine = store.machine(name, run)
        machine.row("heap/pair_64/hybrid", [80])
        if name != "host-bare":
            machine.row("heap/pair_64/tcmalloc", [100], role="peer")
            machine.row("heap/pair_64/mimalloc", [130], role="peer")
        machine.seal()
    claims = claims_of(tmp_path, PEERS)
    (host,), (metal,), (bare,) = (
        report_of(store, claims, run).verdicts.judgements for run in ("r1", "r2x", "r3xx")
    )
    assert host.verdict == "met" and host.value == pytest.approx(0.8)
    assert host.baseline == "heap/pair_64/tcmalloc"
    assert metal.verdict == "not judged here" and metal.value == pytest.approx(0.8)
    assert bare.verdict == "no data" and "no peer" in bare.note


FLOOR = """
[[floor]]
row = "heap/pair_64/floor"
ticks = 6
peer_ticks = 20
peers = ["tcmalloc"]
"""


@pytest.mark.parametrize(
    "committed,counted,peer,verdict,note",
    [
        ("instructions_most = 30", 30, 200, "met", ""),
        ("instructions_most = 30", 31, 200, "no data", "grew to 31 instructions"),
        (
            "instructions_most = 22.17",
            22.176,
            200,
            "no data",
            "grew to 22.18 instructions, 22.17 are",
        ),
        ("instructions_most = 30", 30, 170, "no data", "of the best peer"),
        ("instructions_most = 30", 30, None, "met", "none measured"),
        ("instructions_most = 30", None, 200, "met", "no exact machine"),
        ("", 30, 200, "no data", "not frozen"),
    ],
)
def test_a_goal_needs_a_floor_that_is_frozen_and_a_floor(
    store: Store,
    tmp_path: Path,
    committed: str,
    counted: float | None,
    peer: int | None,
    verdict: str,
    note: str,
) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", [75])
    host.row("heap/pair_64/floor", [60])
    if peer is not None:
        host.row("heap/pair_64/tcmalloc", [peer], role="peer")
    host.seal()
    if counted is not None:
        exact = store.machine("qemu-exact")
        samples = [round(1000 * counted)]
        exact.row("heap/pair_64/floor", samples, boots=2, rounds=2, operations=1000)
        exact.seal()
    goal = {**PEERS, "value": "1.45", "baseline": '"floor"'}
    found = judgements(store, tmp_path, goal, extra=FLOOR + committed)
    (host_found,) = [j for j in found if j.machine == "host-native"]
    assert host_found.verdict == verdict and note in host_found.note


def test_confidence_is_shared_among_all_that_is_judged(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10)
    one = judged(store, tmp_path, GAIN)
    many = judgements(store, tmp_path, *[GAIN] * 9, {**TICKS, "row": '"heap/none/x"'}, COUNTED)
    assert one.low is not None and many[0].low is not None and one.high is not None
    assert one.level == pytest.approx(0.9586, abs=1e-4)
    # 0.05 / 9 = 0.0056: of 20 rounds the 4th smallest to the 4th largest, at 99.74 %.
    assert many[0].level == pytest.approx(0.9974, abs=1e-4)
    assert many[0].low <= one.low and (many[0].high or 0) >= one.high


def test_a_run_too_small_for_the_shared_level_says_which_level_it_has(
    store: Store, tmp_path: Path
) -> None:
    pair(store, 120, 10, rounds=8)
    found = judgements(store, tmp_path, *[GAIN] * 40)
    assert found[0].verdict == "not shown" and "99.21 % (99.87 % wanted)" in found[0].how


def test_the_best_machine_counts_and_all_are_listed(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10)
    pair(store, 50, 10, name="qemu-exact", boots=2, rounds=2)
    report = report_of(store, claims_of(tmp_path, GAIN, COUNTED))
    assert [j.verdict for j in report.verdicts.of("a.claim0")] == ["met", "not judged here"]
    verdict, _, machines = report.headline.partition(" — ")
    assert verdict == "1 of 2 claims met, 1 no data"
    assert machines == "host-native (tsc), qemu-exact (insn)"


def test_verdicts_rank_conclusive_before_not(store: Store, tmp_path: Path) -> None:
    pair(store, 120, 10)
    found = judged(store, tmp_path, GAIN)
    for better, worse in zip(VERDICTS, VERDICTS[1:]):
        both = tuple(replace(found, verdict=v) for v in (worse, better))
        assert best(both) == better
