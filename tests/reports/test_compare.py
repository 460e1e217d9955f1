# SPDX-License-Identifier: MIT
"""Two runs against each other: what changed is named, what is unlike is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from build import MachineMaker, Store, noisy
from judged import GAIN, claims_of, claims_text

from reports.cli import main
from reports.compare import LESS, MORE, NOT_SHOWN, SAME, Comparison, compare
from reports.functions import Function, body_of, functions_of, hint, read
from reports.store import NoSuchRun, load_run, open_store
from reports.which import resolve

Fill = Callable[[MachineMaker], None]


def two_runs(store: Store, fills: Sequence[Fill], name: str = "host-native", **given: str) -> None:
    """Runs n1 and n2 of one machine, each filled by its own."""
    for number, fill in enumerate(fills, 1):
        made = store.machine(name, f"n{number}", utc=f"2026-01-0{number}T00:00:00Z", **given)
        fill(made)
        made.seal()


def compared(store: Store, folder: Path) -> Comparison:
    with open_store(store.path) as connection:
        runs = [load_run(connection, name) for name in ("n1", "n2")]
    return compare(claims_of(folder, GAIN), *runs)


def exact(instructions: int, **given: object) -> Fill:
    def fill(machine: MachineMaker) -> None:
        machine.row("heap/pair_64/hybrid", [instructions] * 4, rounds=2, operations=100, **given)

    return fill


def sampled(level: float, product: float, seed: int, definition: str = "00112233445566aa") -> Fill:
    """A case whose machine runs at a level, with a product that costs so much of it."""

    def fill(machine: MachineMaker) -> None:
        base, mine = level * 5000, level * product * 5000
        machine.row("heap/pair_64/linked_list", noisy(base, seed, 30, drift=0.05), operations=100)
        twin = noisy(base, seed + 1, 30, drift=0.05)
        machine.row("heap/pair_64/linked_list", twin, aa=1, operations=100)
        ours = noisy(mine, seed + 2, 30, drift=0.05)
        machine.row("heap/pair_64/hybrid", ours, operations=100, definition=definition)

    return fill


@pytest.mark.parametrize("by,said", [(1, MORE), (-1, LESS), (0, SAME)])
def test_of_exact_rows_one_instruction_is_a_change(
    store: Store, tmp_path: Path, by: int, said: str
) -> None:
    two_runs(store, [exact(5000), exact(5000 + by)], "qemu-exact")
    found = compared(store, tmp_path)
    (row,) = found.rows
    assert (row.said, round(row.difference, 9)) == (said, by / 100)
    assert found.status == (20 if by > 0 else 0)


@pytest.mark.parametrize(
    "given,why",
    [
        ({"definition": "ffffffff445566aa"}, "another question: definition 00112233, ffffffff"),
        ({"unit": "ticks"}, "another clock: insn, tsc"),
        ({"status": "checksum wrong"}, "in b: checksum wrong"),
    ],
)
def test_unlike_rows_are_refused_by_name(
    store: Store, tmp_path: Path, given: dict[str, object], why: str
) -> None:
    two_runs(store, [exact(5000), exact(6000, **given)], "qemu-exact")
    found = compared(store, tmp_path)
    assert found.rows == () and [(r.id, r.why) for r in found.refused] == [
        ("heap/pair_64/hybrid", why)
    ]


def test_other_code_for_the_same_question_is_what_comparisons_are_for(
    store: Store, tmp_path: Path
) -> None:
    two_runs(store, [exact(5000), exact(5001, definition="00112233ffffffff")], "qemu-exact")
    (row,) = compared(store, tmp_path).rows
    assert row.said == MORE and not row.same_code


def test_pairing_over_the_baseline_removes_what_both_runs_share(
    store: Store, tmp_path: Path
) -> None:
    two_runs(store, [sampled(1.0, 0.5, 1), sampled(1.6, 0.5, 7)])
    rows = {row.id: row for row in compared(store, tmp_path).rows}
    ours = rows["heap/pair_64/hybrid"]
    assert ours.paired == "heap/pair_64/linked_list" and ours.said == NOT_SHOWN
    assert ours.ratio is not None and ours.ratio.value == pytest.approx(1, abs=0.02)
    assert rows["heap/pair_64/linked_list"].said == MORE, "the baseline itself has no other"


@pytest.mark.parametrize("change,said", [(1.2, MORE), (1.05, MORE), (0.8, LESS), (1.0, NOT_SHOWN)])
def test_planted_changes_are_shown_in_both_directions(
    store: Store, tmp_path: Path, change: float, said: str
) -> None:
    two_runs(store, [sampled(1.0, 0.5, 1), sampled(1.0, 0.5 * change, 11)])
    rows = {row.id: row for row in compared(store, tmp_path).rows}
    found = rows["heap/pair_64/hybrid"]
    assert found.said == said and found.ratio is not None
    assert found.ratio.low <= change * 1.01 and found.ratio.high >= change * 0.99


def test_without_a_common_baseline_the_bootstrap_is_the_same_every_time(
    store: Store, tmp_path: Path
) -> None:
    def alone(level: float, seed: int) -> Fill:
        return lambda m: m.row("heap/pair_64/hybrid", noisy(level, seed, 30), boots=3, rounds=9)

    two_runs(store, [alone(5000, 1), alone(6000, 2)])
    first, second = compared(store, tmp_path), compared(store, tmp_path)
    (row,), (again,) = first.rows, second.rows
    assert row.ratio == again.ratio and row.ratio is not None and row.said == MORE
    assert row.paired == "" and "bootstrap of 3 and 3 boots" in row.ratio.how


def run_of(commits: Sequence[str], store: Store) -> None:
    for number, commit in enumerate(commits, 1):
        made = store.machine(
            "qemu-exact", f"r{number}", commit_id=commit, utc=f"2026-01-0{number}T00:00:00Z"
        )
        made.row("heap/pair_64/hybrid", [500] * 4, rounds=2)
        made.seal()


def test_runs_are_called_by_id_commit_or_how_long_ago(store: Store) -> None:
    run_of(["a" * 40, "b" * 40, "b" * 40], store)
    with open_store(store.path) as connection:
        for word, run in (
            ("latest", "r3"),
            ("latest~2", "r1"),
            ("r2", "r2"),
            ("bbbbbbb", "r3"),
            ("a" * 40, "r1"),
        ):
            assert resolve(connection, word) == run
        for word in ("latest~3", "ccccccc", "aaa", "--all", "\x1b[2J", "r1;", "latest~-1"):
            with pytest.raises(NoSuchRun) as told:
                resolve(connection, word)
            assert "\x1b" not in str(told.value) and "\n" not in str(told.value)


@pytest.fixture
def changed(store: Store, tmp_path: Path) -> list[str]:
    """Two exact runs that differ, and the words of a comparison."""
    two_runs(store, [exact(5000), exact(5001)], "qemu-exact")
    return ["compare", f"results={store.results}", "a=latest~1", "b=latest"]


def test_the_command_says_it_in_text_markdown_and_json(
    changed: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    claims = tmp_path / "claims.toml"
    claims.write_text(claims_text(GAIN))
    assert main(changed, claims) == 20
    text = capfd.readouterr().out
    assert "heap/pair_64/hybrid" in text and "+0.01" in text and "no hint at where" in text
    assert text.splitlines()[-1] == "1 row compared: 1 up, 0 down, 0 neither"
    assert main([*changed, "format=markdown"], claims) == 20
    row = "| heap/pair\\_64/hybrid<br>qemu-exact | 50 | 50.01 | +0.01 |"
    assert row in capfd.readouterr().out
    assert main([*changed, "format=json"], claims) == 20
    told = json.loads(capfd.readouterr().out)
    assert told["rows"][0]["said"] == "more" and told["status"] == 20


def test_what_is_wrong_with_the_words_is_said_in_one_line(
    changed: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    for words, complaint in (
        (changed[:3], "compare: say b="),
        ([*changed, "format=xml"], "compare knows text, markdown, json"),
        ([*changed[:3], "b=none"], "none: no such run"),
    ):
        assert main(words) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert complaint in line


def test_a_machine_that_only_one_run_has_is_missing(store: Store, tmp_path: Path) -> None:
    two_runs(store, [exact(5000), exact(5000)], "qemu-exact")
    extra = store.machine("host-native", "n2", utc="2026-01-02T00:00:00Z")
    extra.row("heap/pair_64/hybrid", noisy(5000, 1))
    extra.seal()
    found = compared(store, tmp_path)
    assert found.missing == ("host-native",) and found.status == 30


def test_a_damaged_run_is_a_harness_error(store: Store, tmp_path: Path) -> None:
    two_runs(store, [exact(5000), exact(5000)], "qemu-exact")
    store.connection.execute("UPDATE round SET cold = cold + 1 WHERE run = 'n1'")
    store.connection.commit()
    found = compared(store, tmp_path)
    assert found.rows == () and found.status == 40


LISTING = """
0000000000400000 <heap_pair_64__hybrid>:
  400000:\tcall   400020 <take>
  400005:\tmov    $0x400{data},%eax
  40000a:\tret

0000000000400020 <take>:
  400020:\tmov    {place}(%rip),%rax        # 500000 <table>
{more}  400027:\tcall   400040 <put>
  40002c:\tret

0000000000400040 <put>:
  400040:\tret

0000000000400050 <take>:
  400050:\tret
"""


def test_where_a_count_changed_is_hinted_from_the_code() -> None:
    a = functions_of(iter(LISTING.format(data="100", place="0x1000", more="").splitlines()))
    moved = functions_of(iter(LISTING.format(data="200", place="0x2000", more="").splitlines()))
    more = "  400025:\tinc    %eax\n"
    b = functions_of(iter(LISTING.format(data="100", place="0x1000", more=more).splitlines()))
    assert body_of("heap/pair_64/hybrid") == "heap_pair_64__hybrid" and "take#2" in a
    assert a["take"].calls == ("put",) and a == moved, "code that only moved is the same"
    assert hint(a, moved, "heap/pair_64/hybrid") == ()
    assert hint(a, b, "heap/pair_64/hybrid") == ("take (3 to 4 instructions)",)
    gone = {name: function for name, function in b.items() if name != "put"}
    assert "put (gone)" in hint(a, gone, "heap/pair_64/hybrid")
    assert hint(a, b, "heap/other/hybrid") == ()
    other = {**a, "take": Function(3, "x", ("put",))}
    assert hint(a, other, "heap/pair_64/hybrid")[0].startswith("take (other code, 3")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08", b"x" * 100])
def test_a_damaged_file_of_functions_is_no_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "functions.json.gz").write_bytes(content)
    assert read(tmp_path / "functions.json.gz") is None and read(tmp_path / "none") is None
