# SPDX-License-Identifier: MIT
"""Every C example of README.md and docs/ compiles as it is printed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site_scons"))
import layers  # noqa: E402

# By its file: tests/reports has a module of this name, too.
SPEC = importlib.util.spec_from_file_location("scons_build", ROOT / "site_scons/build.py")
assert SPEC is not None and SPEC.loader is not None
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# As docs/interfaces.md tells the reader to do it.
FOLDERS = [*layers.BOTTOM, *layers.PORTABLE, "kernel/hardware", "kernel/machine"]
DEFINES = ("CONFIG_TRACE", "CONFIG_ASSERT_SLOW", "CONFIG_FRAME_POINTER", "CONFIG_FIBERS")
DEFINES += ("CONFIG_BLOCK_WRITES",)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# The last line in front of a block may name the file that the block is.
FILE_NAME = re.compile(r"`(?:[\w/]+/)?(\w+\.[ch])`:\n\n\Z")


class Example(NamedTuple):
    page: str
    line: int
    file: str  # the name it is printed under; empty: none
    text: str


def examples_of(page: Path) -> list[Example]:
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        if match[1] == "c":
            name = FILE_NAME.search(text[: match.start()])
            line = text[: match.start()].count("\n") + 2
            found.append(Example(page.name, line, name[1] if name else "", match[2]))
    return found


EXAMPLES = [example for page in PAGES for example in examples_of(page)]


def words_of_the_build(folder: Path) -> list[str]:
    words = ["gcc", *build.FREESTANDING, "-isystem", build.gcc_include(), "-Wall", "-Wextra"]
    words += ["-Wstrict-prototypes", "-Werror", *(f"-D{name}=0" for name in DEFINES)]
    for place in [folder, *(ROOT / one for one in FOLDERS), ROOT / "build/generated"]:
        words += ["-iquote", str(place)]
    return words


def words_as_printed(folder: Path) -> list[str]:
    """The command of docs/interfaces.md."""
    page = (ROOT / "docs/interfaces.md").read_text()
    command = re.search(r"^    (gcc (?:.*\\\n)*.*) -c YOUR_FILE\.c$", page, re.M)
    assert command is not None
    return [*command[1].replace("\\\n", " ").split(), "-iquote", str(folder)]


def compiled(
    folder: Path, example: Example, printed: bool = False
) -> subprocess.CompletedProcess[str]:
    """Checks one example's syntax and types, beside the files that its page names."""
    for other in EXAMPLES:
        if other.file and other.page == example.page:
            (folder / other.file).write_text(other.text)
    path = folder / (example.file or "example.c")
    path.write_text(example.text)
    words = words_as_printed(folder) if printed else words_of_the_build(folder)
    words += ["-fsyntax-only", "-x", "c", str(path)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_pages_have_examples() -> None:
    with_examples = {example.page for example in EXAMPLES}
    assert {"README.md", "interfaces.md", "memory.md", "trace.md"} <= with_examples
    assert [example.file for example in EXAMPLES if example.page == "README.md"] == [
        "heap_bump.h",
        "heap_bump.c",
    ]


def test_blocks_of_other_languages_say_so() -> None:
    """A block without a word would never be compiled."""
    nameless = [
        (page.name, match[2].split("\n")[0])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text())
        if match[1] == ""
    ]
    assert nameless == []


@pytest.mark.parametrize("printed", [False, True], ids=["build", "printed"])
@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{e.page}:{e.line}" for e in EXAMPLES])
def test_example_compiles_as_printed(example: Example, printed: bool, tmp_path: Path) -> None:
    done = compiled(tmp_path, example, printed)
    assert done.returncode == 0, done.stderr[:4000]


def test_an_example_with_an_unknown_name_is_found(tmp_path: Path) -> None:
    wrong = '#include "heap.h"\nvoid example(void)\n{\n    heap_no_such_call();\n}\n'
    done = compiled(tmp_path, Example("heap.md", 1, "", wrong))
    assert done.returncode != 0 and "heap_no_such_call" in done.stderr
