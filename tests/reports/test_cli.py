# SPDX-License-Identifier: MIT
"""The command line: options, exit codes, one line for each mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from build import Store, noisy, whole_run
from conftest import ROOT
from judged import GAIN, TICKS, claims_text

from reports.cli import USAGE, main, progress


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    shown = capfd.readouterr()
    (line,) = shown.err.splitlines()
    assert shown.out == "" and "Traceback" not in line
    return line


@pytest.mark.parametrize(
    "words,complaint",
    [
        ([], "no command"),
        (["reprot"], "unknown command reprot"),
        (["report", "colour=red"], "unknown option colour=red"),
        (["report", "--run"], "unknown option --run"),
        (["report", "run="], "run= wants a value"),
        (["report", "run=a", "run=b"], "run= is given twice"),
        (["report", "\x1b[2J=1"], "unknown option \\x1b[2J=1"),
    ],
)
def test_bad_options_give_one_line_and_two(
    capfd: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(words) == 2
    assert complaint in one_line(capfd)


def test_a_run_that_is_not_there_is_a_bad_option(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.machine().seal()
    assert main(["table", f"results={store.results}", "run=nope"]) == 2
    assert "no such run; the newest is r1" in one_line(capfd)


def test_a_bad_claims_file_gives_one_line_and_two(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "claims.toml"
    bad.write_text(claims_text({**TICKS, "kind": '"x"'}))
    assert main(["report", f"results={store.results}"], bad) == 2
    assert "unknown kind x" in one_line(capfd)


def test_an_option_that_does_not_apply_gets_a_line_not_silence(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.machine().seal()
    assert main(["table", f"results={store.results}", "seed=3"]) == 0
    assert capfd.readouterr().err == "seed= does not apply to table\n"


def test_help_names_every_command_and_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capfd.readouterr().out.strip() == USAGE
    for word in ("report", "table", "check", "results=", "run=", "filter="):
        assert word in USAGE


def test_table_ends_with_the_verdict_and_the_page(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    whole_run(store)
    page = store.results / "report" / "index.html"
    page.parent.mkdir()
    page.touch()
    assert main(["table", f"results={store.results}"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "of 63 claims met" in lines[-2] and "host-native (tsc), qemu-exact (insn)" in lines[-2]
    assert lines[-1] == f"page: {page}"
    text = "\n".join(lines)
    for word in ("heap/pair_64", "fusion_spsc", "alloc.hybrid.gain", "hit_rate", "without data"):
        assert word in text


def test_filter_leaves_other_rows_out(whole: Store, capfd: pytest.CaptureFixture[str]) -> None:
    for pattern in ("ipc/*", "ipc/pair_56", "ipc/pair_56/floor"):
        assert main(["table", f"results={whole.results}", f"filter={pattern}"]) == 0
        text = capfd.readouterr().out
        assert "ipc/pair_56" in text and "heap/pair_64, ticks" not in text


def test_a_damaged_machine_is_named_under_the_verdict(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    whole_run(store)
    store.connection.execute("UPDATE round SET cold = cold + 1 WHERE machine = 'qemu-exact'")
    store.connection.commit()
    assert main(["table", f"results={store.results}"]) == 40
    lines = capfd.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if "— host-native (tsc)" in line)
    assert lines[at + 1].startswith("! qemu-exact of run")


def run_with(store: Store, run: str, utc: str, gain: float, spread: float = 0.005) -> None:
    machine = store.machine(run=run, utc=utc)
    machine.row("heap/pair_64/linked_list", noisy(10_000 * gain, 1, 21, spread))
    machine.row("heap/pair_64/linked_list", noisy(10_000 * gain, 2, 21, spread), aa=1)
    machine.row("heap/pair_64/hybrid", noisy(10_000, 3, 21, spread))
    machine.seal()


def test_check_tells_newly_not_met_from_not_shown(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    claims = tmp_path / "claims.toml"
    claims.write_text(claims_text(GAIN, {**TICKS, "row": '"heap/none/x"'}))
    words = ["check", f"results={store.results}"]
    run_with(store, "n1", "2026-01-01T00:00:00Z", 12)
    assert main(words, claims) == 0
    run_with(store, "n2", "2026-01-02T00:00:00Z", 9)
    assert main(words, claims) == 20
    assert "a.claim0: newly not met (was met)" in capfd.readouterr().out
    run_with(store, "n3", "2026-01-03T00:00:00Z", 8)
    assert main(words, claims) == 0, "not met already in the run before"
    run_with(store, "n4", "2026-01-04T00:00:00Z", 10, 0.05)
    assert main(words, claims) == 10
    assert "a.claim0: not shown" in capfd.readouterr().out
    assert main([*words, "check=a.claim1"], claims) == 10, "no data is never a pass"
    assert main([*words, "check=a.claim0", "run=n1"], claims) == 0
    assert main([*words, "check=b.*"], claims) == 2


def test_where_nothing_can_be_written_one_line_says_so(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.machine().seal()
    (store.results / "report").write_text("in the way")
    assert main(["report", f"results={store.results}"]) == 40
    assert "cannot write" in one_line(capfd)


def test_a_reader_that_leaves_is_no_traceback(whole: Store) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from reports.cli import main; sys.exit(main(sys.argv[2:]))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), "table", f"results={whole.results}"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr and done.returncode in (0, 40)


def test_progress_keeps_quiet_unless_it_takes_long(capfd: pytest.CaptureFixture[str]) -> None:
    step = progress()
    step("one")
    assert capfd.readouterr().err == ""
    slow = progress(quiet_s=0.0)
    slow("heap/pair_64")
    assert capfd.readouterr().err == "drawing heap/pair_64\n"
