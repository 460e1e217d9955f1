# SPDX-License-Identifier: MIT
"""The pages say what there is: suites, cases, variants; and their links lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site_scons"))
import options  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "targets/README.md"]
MEMORY = (ROOT / "docs/memory.md").read_text()
SUITES = options.suite_names(str(ROOT))
# Each with the files its cases and its variants stand in, in bench/suites and kernel/memory.
EXPLAINED = {
    "frames": ("frames_cases.h", "frame_variants.h"),
    "pages": ("pages.c", "page_variants.h"),
    "paging": ("machine/paging.c", ""),
    "heap": ("heap_cases.h", "heap_variants.h"),
    "kmalloc": ("kmalloc.c", ""),
    "slub": ("slub.c", "objects_variants.h"),
}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|^    .*?$", "", text, flags=re.M | re.S)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(name: str) -> str:
    found = re.search(rf"^## The suite `{name}`$(.*?)(?=^## |\Z)", MEMORY, re.M | re.S)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize("suite", EXPLAINED)
def test_memory_page_explains_every_case_of_its_suites(suite: str) -> None:
    source = (ROOT / "bench/suites" / EXPLAINED[suite][0]).read_text()
    cases = re.findall(r"^    X\(v, (\w+),", source, re.M)
    assert len(cases) > 5
    assert [case for case in cases if f"`{case}`" not in section(suite)] == []


@pytest.mark.parametrize("suite", EXPLAINED)
def test_memory_page_names_every_variant_of_its_suites(suite: str) -> None:
    cases, listed = EXPLAINED[suite]
    path = ROOT / "kernel/memory" / listed if listed else ROOT / "bench/suites" / cases
    found = re.search(r"_VARIANTS\(X\)((?:.*\\\n)*.*)$", path.read_text(), re.M)
    assert found is not None
    variants = re.findall(r"\bX\((\w+)\)", found[1])
    assert variants != []
    # Heaps have a table of their own, in front of the suites.
    text = MEMORY if suite == "heap" else section(suite)
    assert [name for name in variants if f"`{name}`" not in text] == []


def test_drivers_page_explains_every_case_of_the_suite() -> None:
    page = (ROOT / "docs/drivers.md").read_text()
    section = page.split("\n## The suite `driver`\n")[1]
    cases = re.findall(r"\bX\(v, (\w+),", (ROOT / "bench/suites/driver_cases.h").read_text())
    assert len(cases) > 20
    between = {"ordered_4", "ordered_16", "random_4", "random_16"}  # of a range that is named
    assert [case for case in cases if f"`{case}`" not in section and case not in between] == []


def test_system_page_explains_every_case_and_variant_of_the_suite() -> None:
    page = (ROOT / "docs/system.md").read_text()
    suites = ROOT / "bench/suites"
    cases = re.findall(r"\bX\(v, (\w+),", (suites / "system_cases.h").read_text())
    listed = (suites / "system_variants.h").read_text().split("#define SYSTEM_VARIANTS(X)")[1]
    names = re.findall(r"\bX\((\w+)\)", listed)
    assert len(cases) == 3 and len(names) == 12
    assert [name for name in cases + names if f"`{name}`" not in page] == []


def test_readme_names_every_suite() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(SUITES) > 8
    assert [name for name in SUITES if f"| `{name}` |" not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_page_has_one_title_and_room_around_headings(page: Path) -> None:
    lines = page.read_text().split("\n")
    inside = False
    titles = 0
    for number, line in enumerate(lines):
        inside ^= line.startswith("```")
        if not inside and re.match(r"#+ ", line):
            titles += line.startswith("# ")
            assert number == 0 or lines[number - 1] == "", f"line {number + 1}"
            assert lines[number + 1] == "", f"line {number + 1}"
    assert titles == 1


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", without_code(page.read_text())):
        if target.startswith(("http:", "https:")):
            continue
        name, _, fragment = target.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), target
        if fragment:
            assert fragment in [anchor(one) for one in headings(other.read_text())], target


def test_contents_of_the_memory_page_are_all_its_sections() -> None:
    listed = set(re.findall(r"\]\(#([\w-]+)\)", MEMORY.split("\n## ")[0]))
    assert listed == {anchor(one) for one in headings(MEMORY)[1:]}
