# SPDX-License-Identifier: MIT
"""The claims file: ours is whole, a wrong one is refused in one line."""

from pathlib import Path

import pytest
from build import Store
from judged import COUNTED, GAIN, TICKS, claims_of, claims_text, judged

from reports.claims import ClaimsError, claimed, load_claims


def test_the_projects_claims_load_and_are_all_there() -> None:
    claims = load_claims()
    designs = [claim for claim in claims.claims if not claim.house]
    house = {claim.id for claim in claims.claims if claim.house}
    assert len(designs) == 63
    # Two goals of the table have two limits each; the second one has an id below the first one's.
    assert len({".".join(name.split(".")[:3]) for name in house}) == 16 and len(house) == 18
    assert all(claim.targets == ("host",) for claim in claims.claims if claim.house)


def test_every_floor_that_a_goal_leans_on_has_its_bounds() -> None:
    claims = load_claims()
    for claim in claims.claims:
        for name in claim.baselines:
            if claim.house and name.endswith("/floor"):
                assert name in claims.floors


@pytest.mark.parametrize(
    "change,complaint",
    [
        ({"colour": '"red"'}, "unknown key colour"),
        ({"kind": '"maybe"'}, "unknown kind maybe"),
        ({"unit": '"fortnights"'}, "unknown unit fortnights"),
        ({"statistic": '"mode"'}, "unknown statistic mode"),
        ({"statistic": '"counter:"'}, "unknown statistic counter:"),
        ({"band": "[20, 10]"}, r"band wants \[low, high\]"),
        ({"band": "[1]"}, r"band wants \[low, high\]"),
        ({"value": "3"}, "either band or value"),
        ({"row": '"heap/hybrid"'}, "bad row"),
        ({"row": "[]"}, "bad row"),
        ({"baseline": '"floor"'}, "baseline and as go together"),
        ({"design": '"nobody"'}, "unknown design nobody"),
        ({"targets": '["moon"]'}, "unknown target"),
        ({"rival": "[0, 3]"}, "above 0"),
        ({"unit": '"percent"'}, "median of samples is no percent"),
        ({"statistic": '"counter:hits"'}, "a counter is no ticks"),
        ({"note": "3"}, "note wants text"),
        ({"whole": "0", "unit": '"percent"'}, "whole wants a number above 0"),
        ({"whole": "100"}, "parts of a whole are percent of samples"),
        (
            {"whole": "9", "unit": '"percent"', "statistic": '"counter:hits"'},
            "parts of a whole are percent of samples",
        ),
    ],
)
def test_a_wrong_claim_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ClaimsError, match=complaint) as caught:
        claims_of(tmp_path, {**TICKS, **change})
    assert "\n" not in str(caught.value) and "a.claim0" in str(caught.value)


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    for key in ("kind", "row", "statistic"):
        with pytest.raises(ClaimsError, match=f"{key} is missing"):
            claims_of(tmp_path, {k: v for k, v in TICKS.items() if k != key})
    with pytest.raises(ClaimsError, match="baseline is missing"):
        claims_of(tmp_path, {k: v for k, v in GAIN.items() if k != "baseline"})


def test_two_claims_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match="stands twice"):
        claims_of(tmp_path, {**TICKS, "id": '"a.b"'}, {**COUNTED, "id": '"a.b"'})


def test_what_is_no_claims_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    for text in ("[[claim\n", "[other]\n", "claim = 3\n", claims_text(), "\udcff"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ClaimsError):
            load_claims(path)
    with pytest.raises(ClaimsError):
        load_claims(tmp_path / "nothing.toml")


def test_a_wrong_floor_is_refused(tmp_path: Path) -> None:
    floor = '[[floor]]\nrow = "heap/pair_64/floor"\n'
    for text in ("ticks = 0", "ticks = 3\ntiles = 2", "peers = ['a']\nticks = 2", ""):
        with pytest.raises(ClaimsError, match="floor heap/pair_64/floor"):
            claims_of(tmp_path, TICKS, extra=floor + text)


def test_claims_read_as_people_write_them(tmp_path: Path) -> None:
    loaded = claims_of(tmp_path, GAIN, TICKS, COUNTED, {**GAIN, "band": "[3, 3]"}).claims
    assert [claimed(claim).replace("\u00a0", " ") for claim in loaded] == [
        "10–20×",
        "≤ 10–20 ticks",
        "≥ 90 %",
        "3×",
    ]


@pytest.mark.parametrize("parts,verdict", [(10000, "met"), (4200, "not met")])
def test_parts_of_a_whole_are_percent_of_it_and_never_more(
    store: Store, tmp_path: Path, parts: int, verdict: str
) -> None:
    kind = {"kind": '"assumption"', "unit": '"percent"', "whole": "10000", "band": "[90, 100]"}
    machine = store.machine()
    machine.fact("guest.clock.step", "26")
    machine.row("heap/pair_64/hybrid", [parts])
    machine.seal()
    found = judged(store, tmp_path, {**TICKS, **kind})
    assert (found.value, found.high, found.unit) == (parts / 100, parts / 100, "percent")
    assert found.verdict == verdict
