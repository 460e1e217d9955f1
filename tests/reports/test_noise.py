# SPDX-License-Identifier: MIT
"""The noise part: A/A intervals, the timer's part of a window, the clock, the machine."""

from pathlib import Path

import pytest
from build import MachineMaker, Store, noisy
from judged import TICKS, claims_of, report_of

from reports import noise
from reports.measure import noise_floor
from reports.noise_figure import noise_plot
from reports.store import Machine

ALPHA = 0.05
FACTS = {
    "guest.clock.class": "tsc",
    "guest.clock.pair_min": "52",
    "guest.clock.pair_max": "78",
    "guest.clock.pair_max:boot1": "494",
    "guest.clock.step": "26",
    "guest.clock.pairs_negative": "0",
    "guest.clock.hz": "2000000000",
    "guest.clock.hz_measured": "2000020000",
    "host.smt": "notsupported",
    "host.turbo": "unknown",
    "host.governor": "performance",
    "host.hypervisor": "yes",
    "host.memory": "8388608 kB",
    "host.mitigations": "a: Not affected; b: Vulnerable; x; c: Not affected",
}


def machine_of(store: Store, tmp_path: Path) -> Machine:
    (machine,) = report_of(store, claims_of(tmp_path, TICKS)).intact
    return machine


def twins(made: MachineMaker, case: str, spread: float, shift: float = 1.0) -> None:
    made.row(f"{case}/linked_list", noisy(10_000, 1, 30, spread))
    made.row(f"{case}/linked_list", noisy(10_000 * shift, 2, 30, spread), aa=1)


@pytest.fixture
def machine(store: Store, tmp_path: Path) -> Machine:
    host = store.machine(boots=2)
    for key, value in FACTS.items():
        host.fact(key, value)
    twins(host, "heap/pair_64", 0.002)
    twins(host, "heap/mixed_large", 0.1)
    twins(host, "heap/lifo_64", 0.002, 1.05)
    host.row("heap/refill/hybrid", [160] * 10, boots=2)
    host.seal()
    return machine_of(store, tmp_path)


def test_each_case_has_the_interval_that_its_gains_are_held_against(machine: Machine) -> None:
    tests = noise.self_tests(machine, ALPHA)
    assert {test.case for test in tests} == {"heap/pair_64", "heap/mixed_large", "heap/lifo_64"}
    for test in tests:
        floor = noise_floor(machine, test.case, "median", ALPHA)
        assert floor is not None
        assert (test.low, test.high) == tuple(pytest.approx(100 * (f - 1)) for f in floor)
    reaches = [test.reach for test in tests]
    assert reaches == sorted(reaches, reverse=True)


def test_the_finding_says_how_wide_the_noise_is_and_where_twins_differ(machine: Machine) -> None:
    tests = noise.self_tests(machine, ALPHA)
    text = noise.noise_finding(machine, tests)
    widest = tests[0]
    assert f"The widest A/A interval on host-native is that of {widest.case}:" in text
    assert f"a difference smaller than {widest.reach:.2f}\u00a0% is not shown there" in text
    assert "The narrowest is that of heap/pair_64" in text
    assert "1 of 3 intervals does not hold 0 (heap/lifo_64)" in text


def test_the_table_beside_it_has_the_same_numbers(machine: Machine) -> None:
    tests = noise.self_tests(machine, ALPHA)
    table = noise.self_test_table(machine, tests)
    assert [row[0].text for row in table.rows] == [test.case for test in tests]
    for row, test in zip(table.rows, tests):
        assert row[2].text == noise.signed_percent(test.low)
        assert row[4].text == f"±{test.reach:.2f}\u00a0%"
    assert "No baseline to run against itself: heap/refill." in table.note
    plot = noise_plot(tests)
    assert plot is not None
    named = [words for words in plot.texts if "/" in words]
    assert named == [test.case for test in tests]
    assert noise_plot([]) is None


def test_the_timers_part_counts_what_was_taken_off(machine: Machine) -> None:
    found = noise.shares(machine)
    assert found[0].row == "heap/refill/hybrid"
    # Made-up rounds have an overhead of 40: 40 of 160 + 40.
    assert (found[0].window, found[0].timer, found[0].part) == (200, 40, 0.2)
    text = noise.timer_finding(machine, found)
    assert "less than 1\u00a0% of the window in 3 of 4 rows" in text
    assert "the most in heap/refill/hybrid, 20\u00a0%" in text
    table = noise.shares_table(machine, found)
    assert [cell.text for cell in table.rows[0]][2:] == ["200", "40", "20\u00a0%"]


def test_each_boot_has_its_own_empty_twin(machine: Machine) -> None:
    table = noise.timer_table(machine)
    boots = [[cell.text for cell in row] for row in table.rows]
    # Rounds of six rows in the first boot, of one in the second, which differs in one fact only.
    assert boots == [["0", "40", "0", "52", "78", "140"], ["1", "40", "0", "52", "494", "20"]]


def test_the_proofs_figures_are_told_in_numbers_and_words(machine: Machine) -> None:
    said = {row[0].text: row[1].text for row in noise.proof_table(machine).rows}
    assert said["the counter moves in steps of"] == "26\u00a0ticks"
    assert said["pairs that ran backwards"] == "0"
    text = noise.proof_finding(machine)
    assert text == (
        "None of the clock's pairs ran backwards; the counter moves in steps of 26; its two"
        " frequencies differ by 10 millionths."
    )


def test_the_environment_reads_as_a_person_says_it(machine: Machine) -> None:
    said = {row[0].text: row[1].text for row in noise.environment_table(machine).rows}
    assert said["SMT"] == "not supported" and said["frequency governor"] == "performance"
    assert said["turbo"] == "unknown" and said["under a hypervisor"] == "yes"
    assert said["memory"] == "8.0\u00a0GiB"
    assert said["mitigations"] == "b: Vulnerable; x; not affected by 2 more"


def test_an_exact_machine_has_no_noise_and_says_why(store: Store, tmp_path: Path) -> None:
    exact = store.machine("qemu-exact", boots=2)
    exact.row("heap/pair_64/hybrid", [500] * 4, boots=2, rounds=2)
    exact.fact("guest.clock.100_instructions", "100")
    exact.fact("guest.clock.pair_min", "10")
    exact.fact("guest.clock.step", "10")
    exact.seal()
    machine = machine_of(store, tmp_path)
    tests = noise.self_tests(machine, ALPHA)
    assert tests == [] and "no noise" in noise.noise_finding(machine, tests)
    assert "100 instructions read 100" in noise.proof_finding(machine)
    assert not any("step" in row[0].text for row in noise.proof_table(machine).rows)


def test_a_run_that_knows_nothing_says_so(store: Store, tmp_path: Path) -> None:
    host = store.machine()
    host.row("heap/pair_64/hybrid", [], status="missing")
    host.seal()
    machine = machine_of(store, tmp_path)
    assert "its noise is not known" in noise.noise_finding(machine, [])
    assert noise.timer_finding(machine, []) == "No row of host-native has a number."
    assert noise.proof_finding(machine).startswith("An unknown number")
    assert noise.environment_table(machine).rows == ()
