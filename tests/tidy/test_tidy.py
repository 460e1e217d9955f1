# SPDX-License-Identifier: MIT
"""The house's style as a test: layers, licences, sizes, names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site_scons"))
import layers  # noqa: E402

TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\n")
FILES = [ROOT / name for name in TRACKED if name and (ROOT / name).is_file()]
C_FILES = [path for path in FILES if path.suffix in (".c", ".h")]
PYTHON = [
    path for path in FILES if path.suffix == ".py" or path.name in ("SConstruct", "SConscript")
]
SOURCES = C_FILES + PYTHON + [path for path in FILES if path.suffix in (".S", ".ld", ".sql")]
TEXTS = SOURCES + [path for path in FILES if path.suffix in (".md", ".toml", ".sh", ".html")]
KERNEL_SIDE = ("kernel/", "trace/", "bench/")
FILE_LINES, LINE_COLUMNS = 550, 100


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert len(C_FILES) > 40 and len(PYTHON) > 10


# A file is no test of its own: thousands of them cost more than what they look at.
def test_files_open_with_their_licence() -> None:
    licence = "SPDX-License-Identifier: MIT"
    assert [relative(p) for p in SOURCES if licence not in "".join(p.open().readlines()[:2])] == []


def test_files_are_a_sitting_and_lines_fit() -> None:
    large, long = [], []
    for path in SOURCES:
        lines = path.read_text().split("\n")
        if len(lines) > FILE_LINES:
            large.append(f"{relative(path)}: {len(lines)} lines")
        columns = LINE_COLUMNS + 20 * (path.suffix == ".sql")
        long += [f"{relative(path)}:{n}" for n, line in enumerate(lines, 1) if len(line) > columns]
    assert (large, long) == ([], [])


def test_includes_stay_inside_their_layer() -> None:
    """A forbidden include does not compile; this catches the ways around that."""
    found = [(relative(p), name) for p in C_FILES for name in quoted_includes(p)]
    assert [one for one in found if ".." in one[1] or one[1].startswith("/")] == []


def quoted_includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)


@pytest.mark.parametrize("folder", layers.INCLUDES)
def test_each_layer_includes_only_what_lies_below(folder: str) -> None:
    visible = set()
    for other in layers.include_path(folder):
        visible |= {p.relative_to(ROOT / other).as_posix() for p in (ROOT / other).rglob("*.h")}
    generated = {
        *(f"definitions_{path.stem}.h" for path in (ROOT / "bench/suites").rglob("*.c")),
        "heap_variants_outside.h",
        "ipc_peers_built.h",
        "ring_variants_outside.h",
        "schema_sql.h",
        "digest_sql.h",
    }
    for path in C_FILES:
        if relative(path.parent) == folder:
            assert set(quoted_includes(path)) <= visible | generated, relative(path)


def test_portable_layers_do_not_see_targets_or_machine() -> None:
    for folder in layers.PORTABLE:
        path = layers.include_path(folder)
        assert "kernel/machine" not in path
        assert [other for other in path if other.startswith("targets/")] == []


def test_hardware_layer_is_free_of_privilege() -> None:
    """Parsers and logic over registers run on the host too: no assembly, nothing from above."""
    assert not {"kernel/machine", "targets/qemu"} & set(layers.include_path("kernel/hardware"))
    files = [p for p in FILES if relative(p.parent) == "kernel/hardware"]
    assert len(files) > 1 and [p for p in files if p.suffix not in (".c", ".h")] == []
    assert [relative(p) for p in files if re.search(r"\basm\b|\b__asm", p.read_text())] == []


def test_no_preprocessor_conditionals_outside_guards() -> None:
    found = []
    for path in C_FILES:
        name = relative(path)
        if not name.startswith(KERNEL_SIDE) or name.endswith("arch/cpu.h"):
            continue
        text = path.read_text()
        conditionals = re.findall(r"^\s*#\s*(?:if|ifdef|elif|else)\b.*$", text, re.M)
        guards = re.findall(r"^#ifndef \w+_H$", text, re.M)
        found += [f"{name}: {line}" for line in conditionals]
        if len(guards) != (1 if path.suffix == ".h" else 0):
            found.append(f"{name}: {len(guards)} include guards")
    assert found == []


INTEGERS_ONLY = [*layers.PORTABLE, "kernel/sched", "kernel/hardware", "kernel/machine"]
PORTABLE_C = [p for p in C_FILES if relative(p.parent) in INTEGERS_ONLY]


def test_kernel_code_has_no_floating_point() -> None:
    found = []
    for path in PORTABLE_C:
        code = re.sub(r"//.*|\"(?:\\.|[^\"])*\"", "", path.read_text())
        found += [relative(path)] * bool(re.search(r"\b(?:float|double)\b", code))
    assert found == []


def test_every_folder_has_its_line_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    folders = {relative(path).split("/")[0] for path in FILES if "/" in relative(path)}
    folders -= {".ci", ".github"}
    folders |= {
        "kernel/" + f
        for f in ("lib", "arch", "memory", "ipc", "sched", "drivers", "hardware", "machine")
    }
    folders |= {"bench/" + f for f in ("framework", "suites", "recorder")}
    assert [f for f in sorted(folders) if f"`{f}/`" not in readme] == []


def test_no_file_names_this_machine() -> None:
    hostile = re.compile(r"/work/|/root/|/home/\w+/|\.example\b")
    found = [
        relative(path)
        for path in TEXTS
        if path.resolve() != Path(__file__).resolve() and hostile.search(path.read_text())
    ]
    assert found == []


def test_c_is_formatted() -> None:
    words = ["clang-format", "--dry-run", "-Werror", *map(str, C_FILES)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]


def test_python_is_formatted_and_clean() -> None:
    for words in (
        ["black", "-q", "--check", "-l", "100", *map(str, PYTHON)],
        [
            "flake8",
            "--max-line-length",
            "100",
            "--extend-ignore",
            "E203,W503",
            *[str(p) for p in PYTHON if p.suffix == ".py"],
        ],
    ):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, " ".join(words[:1]) + "\n" + done.stdout + done.stderr


def test_python_types_check() -> None:
    words = [
        "mypy",
        "--ignore-missing-imports",
        "--no-error-summary",
        "--cache-dir=build/mypy",
        "-p",
        "reports",
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
