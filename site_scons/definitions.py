# SPDX-License-Identifier: MIT
"""What a row's number is the number of, as two hashes: what was asked, and what answered.

The first is a case's: its body with every function that it alone calls, its line in the list of
cases, what is left of its suite when the other cases' own are taken away, the interface, and how
it is measured. The second is a variant's: its sources, all that they include, and the flags.
Comments and white space do not count. What cannot be attributed to one case counts for all.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache

from layers import INCLUDES, PORTABLE

# What every case depends on: how it is measured.
MEASURED_BY = [
    "bench/framework/measure.c",
    "bench/framework/clock.c",
    "bench/suites/body.h",
    "kernel/arch/x86_64/cpu_x86_64.h",
    "kernel/lib/random.h",
]

STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
COMMENT = r"//[^\n]*|/\*.*?\*/"
# At the beginning of a line, as clang-format leaves them.
FUNCTION = re.compile(
    r"^(?:ALWAYS_INLINE|static|COLD)\b[^;{}()=#]*?\b(\w+)\([^;{}#]*\)\n\{\n.*?^\}\n", re.M | re.S
)
ALIAS = re.compile(r"^#define (\w+)[ \t]+(\w+)[ \t]*\n", re.M)
NAME = re.compile(r"(?<![.\w])(?<!->)[A-Za-z_]\w*")


def without_comments(text: str) -> str:
    return re.sub(f"({STRING})|{COMMENT}", lambda m: m[1] or " ", text, flags=re.S)


@cache
def folded(text: str) -> str:
    """Without comments; any white space between two words or signs is one space, and so is the end
    of a line that a macro goes on behind."""
    white = f"(?:\\s|\\\\\n|{COMMENT})+"
    return re.sub(f"({STRING})|{white}", lambda m: m[1] or " ", text, flags=re.S).strip()


@cache
def read(path: str) -> str:
    """Files do not change while one process looks at them; many are part of most hashes."""
    with open(path, encoding="utf-8") as file:
        return file.read()


@cache
def folded_file(path: str) -> str:
    return folded(read(path))


@cache
def included(path: str) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.M)


def digest(parts: list[str], digits: int) -> str:
    """Of texts in order; where one ends and the next begins matters."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part.encode()).digest())
    return "0x" + whole.hexdigest()[:digits]


# ---- a suite's text -----------------------------------------------------------------------------


@dataclass
class Suite:
    """A suite's source in pieces, without comments."""

    path: str
    name: str
    mechanism: str
    rows: dict[str, str]  # of each case: its line in SUITE_CASES
    functions: dict[str, str]  # those that a case's body is made of, aliases too
    rest: str
    own: str  # the file itself: all that names the variants

    def reached(self, text: str) -> list[str]:
        """The functions that `text` names, and those that these name, in the order of the file."""
        found: set[str] = set()
        names = set(NAME.findall(text))
        while more := (names & self.functions.keys()) - found:
            found |= more
            names = {name for one in more for name in NAME.findall(self.functions[one])}
        return [name for name in self.functions if name in found]


def closing(text: str, start: int) -> int:
    """Behind the parenthesis that closes the one at `start`."""
    depth = 0
    for match in re.compile(f"{STRING}|[()]").finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    raise ValueError("a parenthesis is never closed")


def headers_of(text: str, found: list[str]) -> list[str]:
    """Adds the headers of bench/suites that a suite is written in, body.h apart."""
    for name in re.findall(r'^#include "(\w+\.h)"', text, re.M):
        path = os.path.join("bench/suites", name)
        if name != "body.h" and path not in found and os.path.exists(path):
            found.append(path)
            headers_of(without_comments(read(path)), found)
    return found


def split(path: str) -> Suite | None:
    """None: this file is no suite whose tables body.h makes. What is asked stands in the headers of
    bench/suites that the file includes, if there are any, and the file then only names who is
    asked: two such files ask the same."""
    own = without_comments(read(path))
    headers = [without_comments(read(header)) for header in headers_of(own, [])]
    text = "\n".join(headers) if headers else own
    said = dict(re.findall(r"^#define (SUITE|SUITE_MECHANISM)[ \t]+(\w+)", text, re.M))
    if len(said) != 2:
        return None
    suite = Suite(path, said["SUITE"], said["SUITE_MECHANISM"], {}, {}, "", own)
    while row := re.search(r"\bX\(v, (\w+),", text[text.index("#define SUITE_CASES(X, v)") :]):
        start = text.index("#define SUITE_CASES(X, v)") + row.start()
        end = closing(text, start + 1)
        suite.rows[row[1]] = text[start:end]
        text = text[:start] + text[end:]
    functions = {match[1]: match[0] for match in FUNCTION.finditer(text)}
    aliases = {m[1]: m[0] for m in ALIAS.finditer(text) if m[1] in suite.rows}
    suite.functions = {**aliases, **functions}
    behind = {name for case in suite.rows for name in suite.reached(case)}
    suite.functions = {name: suite.functions[name] for name in suite.functions if name in behind}
    for one in suite.functions.values():
        text = text.replace(one, "")
    suite.rest = text
    return suite


def interfaces(suite: Suite) -> list[str]:
    """What a suite measures: beside NAME_variants.h that it includes stands NAME.h; or it includes
    a header of its own name, or of its mechanism's."""
    names = re.findall(r'#include "(\w+)\.h"', suite.rest)
    wanted = [
        name.removesuffix("_variants")
        for name in names
        if name.endswith("_variants") or name in (suite.name, suite.mechanism)
    ]
    folders = [folder for folder in INCLUDES if not folder.startswith("bench/suites")]
    paths = [
        os.path.join(folder, f"{name}.h") for name in dict.fromkeys(wanted) for folder in folders
    ]
    return [path for path in paths if os.path.exists(path)]


def case_hash(suite: Suite, case: str) -> str:
    """16 hexadecimal digits as a C constant."""
    parts = [folded_file(path) for path in [*MEASURED_BY, *interfaces(suite)]]
    own = suite.reached(" ".join([case, suite.rest]))
    parts += [folded(suite.rest), folded(suite.rows[case])]
    parts += [folded(suite.functions[name]) for name in own]
    return digest(parts, 16) + "ull"


# ---- variants -----------------------------------------------------------------------------------


def variants(suite: Suite, outside: list[str]) -> list[str]:
    """The names in the suite's list of variants; `outside` are those of variants=FOLDER."""
    text, word = suite.own, "SUITE_VARIANTS"
    if alias := re.search(rf"^#define {word}[ \t]+(\w+)$", text, re.M):
        word = alias[1]
        header = f"{word.lower()}.h"
        text = "".join(
            without_comments(read(os.path.join(folder, header)))
            for folder in dict.fromkeys([*PORTABLE, os.path.dirname(suite.path)])
            if os.path.exists(os.path.join(folder, header))
        )
    listed = re.search(rf"^#define {word}\(X\)((?:.*\\\n)*.*)", text, re.M)
    assert listed is not None, f"{suite.path}: {word}(X) is nowhere"
    names = re.findall(r"\bX\((\w+)\)", listed[1])
    return names + (outside if f"{word}_OUTSIDE(X)" in listed[1] else [])


@cache
def beside(header: str) -> list[str]:
    """The sources of a header: that of its name, and those beside it that have no nearer one:
    heap_hybrid_slab.c is one of heap_hybrid.h, not of heap.h."""
    found = []
    for path in glob.glob(glob.escape(os.path.splitext(header)[0]) + "*.c"):
        stem = path[:-2]
        while "_" in os.path.basename(stem) and not os.path.exists(stem + ".h"):
            stem = stem.rpartition("_")[0]
        found += [path] if stem + ".h" == header else []
    return found


def sources_of(suite: Suite, variant: str, folders: list[str]) -> list[str]:
    """A variant's own header, which with_included finds the rest from. Those that only a target
    has stand all together in the header that SUITE_VARIANTS names, beside their suite. A variant
    that has neither stands in its suite; what it stands on is the interface."""
    stem = f"{suite.mechanism}_{variant}"
    beside_it = os.path.dirname(suite.path)
    headers = [os.path.join(folder, stem + ".h") for folder in [*PORTABLE, *folders, beside_it]]
    found = [header for header in headers if os.path.exists(header)]
    listed = re.search(r"^#define SUITE_VARIANTS[ \t]+(\w+)$", suite.own, re.M)
    if not found and listed is not None:
        together = os.path.join(os.path.dirname(suite.path), listed[1].lower() + ".h")
        found = [together] if os.path.exists(together) else []
    return found or interfaces(suite)


def with_included(paths: list[str], folders: list[str]) -> list[str]:
    """These files, the headers they include, the sources beside those, and so on."""
    found: list[str] = []
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.append(path)
        waiting += beside(path) if path.endswith(".h") else []
        for name in included(path):
            for folder in [*INCLUDES, "kernel/arch", "targets", *folders]:
                header = os.path.join(folder, name)
                # The suites are the other half.
                if folder != "bench/suites" and os.path.exists(header):
                    waiting.append(header)
    return sorted(found)


def variant_hash(suite: Suite, variant: str, folders: list[str], flags: list[str]) -> str:
    """8 hexadecimal digits as a C constant."""
    paths = with_included(sources_of(suite, variant, folders), folders)
    return digest([" ".join(flags), *(folded_file(path) for path in paths)], 8) + "u"


def headers(
    suites: list[str], outside: dict[str, list[str]], folders: list[str], flags: list[str]
) -> dict[str, str]:
    """The text of definitions_SUITE.h for each suite that these files are of: a constant for each
    of its cases and its variants. `folders` are those of variants=, `outside` has the variants'
    names in them for each mechanism."""
    made: dict[str, list[str]] = {}
    for path in suites:
        suite = split(path)
        if suite is None:
            continue
        lines = made.setdefault(suite.name, ["// Generated: docs/method.md, definition."])
        for case in suite.rows:
            line = f"#define DEFINITION_CASE_{suite.name}_{case} {case_hash(suite, case)}"
            lines += [line] if line not in lines else []
        for variant in variants(suite, outside.get(suite.mechanism, [])):
            value = variant_hash(suite, variant, folders, flags)
            lines += [f"#define DEFINITION_VARIANT_{suite.name}_{variant} {value}"]
    return {name: "\n".join(lines) + "\n" for name, lines in made.items()}
