# SPDX-License-Identifier: MIT
"""Each export against the rules of those who read it, and foreign files brought in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from build import Store, noisy, whole_run
from judged import report_of

from reports.claims import load_claims
from reports.cli import FORMATS as WORDS
from reports.cli import main
from reports.document import Report
from reports.export_ci import FORMATS, junit, kcidb
from reports.exports import benchfmt, google_benchmark, openmetrics, to_csv
from reports.foreign import ForeignError, read_google_benchmark
from reports.html import to_html
from reports.judge import VERDICTS
from reports.store import load_run, open_store

HOSTILE = (
    "\x1b[31mred",
    "</script><b>",
    '=cmd|"x"!A1',
    'a",b\r\nc',
    '{x="1"} 5 # EOF',
    "x\u202ey\ufffe\U0001f600",
    "'; DROP TABLE run; --",
    "../../etc/passwd",
    "BenchmarkEvil 1 1 ns/op",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A whole run, with a machine whose times are emulated and a row that failed."""
    store = Store(tmp_path_factory.mktemp("exports") / "results")
    whole_run(store)
    smp = store.machine("qemu-smp", "20261121T101500Z-1a2b3c4", clock="emulated", hz=10**9)
    smp.row("heap/pair_64/hybrid", noisy(5000, 1))
    smp.row("heap/pair_64/floor", [], status="checksum wrong")
    smp.seal()
    return report_of(store, load_claims())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run whose every text tries to be something else."""
    store = Store(tmp_path_factory.mktemp("hostile") / "results")
    for number, text in enumerate(HOSTILE):
        machine = store.machine(
            text,
            "run " + HOSTILE[0],
            target=text,
            clock="tsc",
            utc=text,
            commit_id=text,
            outcome=text,
            detail=text,
            size=text,
        )
        for other in HOSTILE:
            row = f"heap/{other}/x{number}"
            machine.row(row, noisy(5000, 1, 5), rounds=2, role=other, what=other)
            machine.counter(row, text, 1, 2, other)
        machine.row("heap/unit/x", noisy(5000, 1, 5), rounds=2, unit=text, status=text)
        machine.fact(text, text)
        machine.seal()
    return report_of(store, load_claims())


BOTH = pytest.mark.parametrize("name", ["report", "hostile"])


def test_times_for_google_benchmark_are_in_nanoseconds(report: Report) -> None:
    export = google_benchmark(report)
    told = json.loads(export.text)
    assert {"date", "host_name", "num_cpus", "library_build_type"} <= set(told["context"])
    rows: dict[str, list[dict[str, float]]] = {}
    for entry in told["benchmarks"]:
        assert entry["time_unit"] in ("ns", "us", "ms", "s") and entry["run_type"] == "iteration"
        assert entry["iterations"] > 0 and entry["real_time"] > 0
        rows.setdefault(entry["name"], []).append(entry)
    for entries in rows.values():
        assert [e["repetition_index"] for e in entries] == list(range(len(entries)))
        assert {e["repetitions"] for e in entries} == {len(entries)}
    host = rows["host-native/heap/pair_64/hybrid"]
    assert host[0]["real_time"] == pytest.approx(8.4 / 2.5, rel=0.1), "ticks of 2.5 GHz"
    exact = rows["qemu-exact/heap/pair_64/hybrid"]
    assert {e["real_time"] for e in exact} == {round(8.4 * 2.6 * 5000) / 5000}
    assert not any("qemu-smp" in name for name in rows) and "1 rows left out" in export.said


# https://golang.org/design/14313-benchmark-format
GO_RESULT = re.compile(r"Benchmark([^a-z\s]\S*)? +[1-9][0-9]*( +[-+.e0-9]+ +\S+)+")
GO_CONFIGURATION = re.compile(r"[a-z][^A-Z\s]*:( .*)?")
GO_UNIT = re.compile(r"Unit \S+( [a-z]+=\S+)+")


@BOTH
def test_every_line_for_benchstat_follows_gos_grammar(
    name: str, request: pytest.FixtureRequest
) -> None:
    text = benchfmt(request.getfixturevalue(name)).text
    lines = text.split("\n")
    assert lines[-1] == "" and any(line.startswith("Benchmark") for line in lines)
    grammar = (GO_RESULT, GO_CONFIGURATION, GO_UNIT)
    odd = [line for line in lines if line and not any(g.fullmatch(line) for g in grammar)]
    assert odd == []
    assert "cycles" not in text or "core-cycles/op" in text


@BOTH
def test_openmetrics_are_a_page_without_time_stamps(
    name: str, request: pytest.FixtureRequest
) -> None:
    text = openmetrics(request.getfixturevalue(name)).text
    assert text.endswith("# EOF\n") and text.count("\n# EOF") == 1
    sample = re.compile(
        r'([a-z_]+)\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
        r'(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*)\} (\S+)'
    )
    seen: set[str] = set()
    families: list[str] = []
    for line in text.split("\n")[:-2]:
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif line.startswith("# UNIT "):
            _, _, family, unit = line.split()
            assert family == families[-1] and family.endswith("_" + unit)
        elif not line.startswith("# HELP "):
            found = sample.fullmatch(line)
            assert found is not None, line
            assert found[1] in (families[-1], families[-1] + "_info")
            float(found[3])
            assert f"{found[1]}{{{found[2]}" not in seen
            seen.add(f"{found[1]}{{{found[2]}")
    assert len(families) == len(set(families))


def test_openmetrics_are_what_prometheus_reads(report: Report) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    families = {f.name: f for f in parser.text_string_to_metric_families(openmetrics(report).text)}
    assert families["tickmark_cost_ticks"].unit == "ticks"
    claims = families["tickmark_claim"].samples
    assert len(claims) == len(VERDICTS) * len(load_claims().claims)
    assert all(sample.timestamp is None for f in families.values() for sample in f.samples)


@BOTH
def test_junit_counts_what_it_holds(name: str, request: pytest.FixtureRequest) -> None:
    judged: Report = request.getfixturevalue(name)
    root = ElementTree.fromstring(junit(judged).text.encode())
    assert root.tag == "testsuites"
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for kind, word in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            count = sum(case.find(kind) is not None for case in cases)
            assert int(suite.get(word, "")) == count
        assert all(case.get("name") and case.get("classname") for case in cases)
    for word in ("tests", "failures", "errors"):
        assert int(root.get(word, "")) == sum(int(suite.get(word, "")) for suite in root)


def test_junit_fails_for_claims_and_errs_for_rows(report: Report) -> None:
    root = ElementTree.fromstring(junit(report).text.encode())
    failed = {
        case.get("name") for case in root.iter("testcase") if case.find("failure") is not None
    }
    missed = {j.claim.id for j in report.verdicts.judgements if j.verdict == "not met"}
    assert failed == missed != set()
    erred = {case.get("name") for case in root.iter("testcase") if case.find("error") is not None}
    assert erred == {"heap/pair_64/floor"}


def nulls(part: object) -> bool:
    if isinstance(part, dict):
        return any(map(nulls, part.values()))
    return part is None or (isinstance(part, list) and any(map(nulls, part)))


@BOTH
def test_kcidb_has_what_its_schema_asks(name: str, request: pytest.FixtureRequest) -> None:
    told = json.loads(kcidb(request.getfixturevalue(name)).text)
    assert told["version"] == {"major": 4, "minor": 0}
    assert set(told) == {"version", "checkouts", "builds", "tests"}
    ids = [entry["id"] for part in ("checkouts", "builds", "tests") for entry in told[part]]
    assert len(ids) == len(set(ids)) and all(i == i.lower() for i in ids)
    assert all(re.fullmatch(r"[a-z0-9_]+:[a-z0-9_./-]+", i) for i in ids)
    checkouts, builds = ({e["id"] for e in told[part]} for part in ("checkouts", "builds"))
    assert {b["checkout_id"] for b in told["builds"]} <= checkouts
    for test in told["tests"]:
        assert test["build_id"] in builds and test["origin"] == "tickmark"
        assert test["status"] in ("FAIL", "ERROR", "PASS", "DONE", "SKIP")
        assert re.fullmatch(r"[.a-zA-Z0-9_-]*", test["path"])
        assert "start_time" not in test or datetime.fromisoformat(test["start_time"]).tzinfo
    assert not nulls(told)


@BOTH
def test_csv_is_read_back_and_starts_no_formula(name: str, request: pytest.FixtureRequest) -> None:
    judged: Report = request.getfixturevalue(name)
    text = to_csv(judged).text
    assert "\n" not in text.replace("\r\n", "")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert {len(line) for line in lines} == {len(lines[0])}
    rows = sum(aa == 0 for machine in judged.intact for _, aa in machine.rows)
    assert len(lines) == 1 + rows
    for line in lines[1:]:
        assert not any(cell[:1] in ("=", "+", "@", "\t") for cell in line)


@pytest.mark.parametrize("make", [make for _, make in FORMATS.values()], ids=list(FORMATS))
def test_no_hidden_character_leaves_by_any_format(
    hostile: Report, make: Callable[[Report], object]
) -> None:
    text = make(hostile).text  # type: ignore[attr-defined]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", text)
    assert make(hostile).text == text  # type: ignore[attr-defined]


def test_nothing_escapes_on_the_page(hostile: Report) -> None:
    page = to_html(hostile)
    assert HOSTILE[1] not in page and "&lt;/script&gt;&lt;b&gt;" in page
    assert "\x1b" not in page and "\u202e" not in page


def test_the_command_writes_every_format(
    whole: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "history.db").write_bytes(whole.path.read_bytes())
    assert main(["export", f"results={results}"]) == 0
    assert tuple(FORMATS) == WORDS["export"]
    said = capfd.readouterr().out
    for file, _ in FORMATS.values():
        assert (results / "export" / file).stat().st_size > 1000
        assert str(results / "export" / file) in said
    assert main(["export", f"results={results}", "format=xlsx"]) == 2
    assert "export knows google-benchmark" in capfd.readouterr().err


# ---- import -------------------------------------------------------------------------------------


def google(name: str = "BM_pair/64", **given: object) -> dict[str, object]:
    entry = {"name": name, "run_name": name, "run_type": "iteration", "iterations": 1000}
    return {**entry, "real_time": 12.5, "cpu_time": 12.5, "time_unit": "ns", **given}


def file_of(folder: Path, *benchmarks: object, name: str = "my_heap.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"context": {"date": "x"}, "benchmarks": list(benchmarks)}))
    return path


def test_what_we_export_can_be_brought_in_again(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(google_benchmark(report).text)
    foreign = read_google_benchmark(path)
    assert len(foreign.rows) == len({e["name"] for e in json.loads(path.read_text())["benchmarks"]})
    row = next(r for r in foreign.rows.values() if r.name == "host-native/heap/pair_64/hybrid")
    assert len(row.repetitions) == 20
    iterations, whole = row.repetitions[0]
    assert whole / iterations == pytest.approx(8.4 / 2.5, rel=0.1)


def test_a_foreign_program_stands_beside_ours_and_is_labelled(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole_run(store)
    before = report_of(store, load_claims())
    path = file_of(
        tmp_path,
        google("heap/pair_64/mine", repetition_index=0),
        google("heap/pair_64/mine", repetition_index=1, real_time=0.0141, time_unit="us"),
        google("BM_pair/64"),
        google("BM_pair/64_mean", run_type="aggregate", aggregate_name="mean"),
        google("Broken", error_occurred=True, error_message="x"),
    )
    words = ["import", f"results={store.results}", f"file={path}"]
    assert main(words) == 0
    assert "3 rows" in capfd.readouterr().out
    after = report_of(store, load_claims())
    (machine,) = [m for m in after.run.machines if m.foreign]
    assert machine.intact and machine.name == "foreign-my_heap" and machine.clock == "foreign"
    assert set(machine.rows) == {
        ("heap/pair_64/mine", 0),
        ("foreign/bm_pair_64/my_heap", 0),
        ("foreign/broken/my_heap", 0),
    }
    mine = machine.rows["heap/pair_64/mine", 0]
    assert mine.unit == "nanoseconds" and mine.role == "peer"
    assert [float(r.costs[0]) for r in mine.rounds] == [12.5, 14.1]
    assert after.verdicts == before.verdicts, "what is foreign is never judged"
    page = to_html(after)
    assert "foreign-my_heap (foreign, not judged)" in page and "Another harness measured" in page
    assert main(words) == 2, "once is enough"
    assert "has a foreign-my_heap already" in capfd.readouterr().err
    with open_store(store.path) as connection:
        assert all(m.intact for m in load_run(connection, after.run.id).machines)


@pytest.mark.parametrize(
    "entry,complaint",
    [
        (google(time_unit="cycles"), "time_unit must be one of ns"),
        (google(iterations=0), "iterations must be"),
        (google(iterations=True), "iterations must be"),
        (google(real_time=-1), "real_time must be"),
        (google(real_time="12"), "real_time must be"),
        (google(real_time=1e300), "too long to be true"),
        ({"iterations": 1}, "has no name"),
        ("x", "has no name"),
    ],
)
def test_a_number_that_could_be_misread_refuses_the_file(
    tmp_path: Path, entry: object, complaint: str
) -> None:
    with pytest.raises(ForeignError, match=complaint):
        read_google_benchmark(file_of(tmp_path, entry))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"benchmarks": []}', b"\xff\xfe"])
def test_what_is_no_such_file_is_said_in_one_line(
    store: Store, tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    store.machine().seal()
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert main(["import", f"results={store.results}", f"file={path}"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("file=x.json: ")


def test_hostile_names_become_plain_ids(tmp_path: Path) -> None:
    path = file_of(tmp_path, *(google(name) for name in HOSTILE), name="A b;c.json")
    foreign = read_google_benchmark(path)
    assert foreign.name == "a_b_c" and len(foreign.rows) == len(HOSTILE)
    assert all(re.fullmatch(r"[a-z0-9_./-]+", row) for row in foreign.rows)
    assert not any(".." in part for row in foreign.rows for part in row.split("/") if part == "..")
