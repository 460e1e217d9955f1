# SPDX-License-Identifier: MIT
"""How the pieces are made: the portable object in its flavours, programs, tests.

The portable layers are compiled once for each flavour and joined by `ld -r` into one object that
goes unchanged into every target. After joining, `bench_main` is renamed to
`bench_main_<flavour>` and everything else becomes local, so that two flavours, and the host's
libraries, can stand beside it.
"""

from __future__ import annotations

import glob
import os
import subprocess
from typing import Any

from SCons.Action import Action

import definitions
import places
from layers import PORTABLE, include_path

Env = Any
Node = Any

FLAVOURS = {"plain": 0, "traced": 1}
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
ARCH_FLAGS = ["-mgeneral-regs-only", "-march=x86-64", "-mpopcnt", "-mbmi"]
# The folder of the compilation by a name that is the same in every clone: two clones make equal
# bytes, with whatever compiler, also one that records this flag among the others.
HERE = "/proc/self/cwd"
MAPPED = f"-ffile-prefix-map={HERE}=."
TRACEABLE = ["-frecord-gcc-switches", MAPPED]
FREESTANDING = [
    "-std=gnu11", "-O2", "-g", "-ffreestanding", "-nostdinc", *ARCH_FLAGS, "-mno-red-zone",
    "-fno-pic", "-fno-pie", "-fcf-protection=none", "-fomit-frame-pointer",
    "-falign-functions=64", "-fno-stack-protector", "-fasynchronous-unwind-tables",
    *TRACEABLE,
]  # fmt: skip
HOSTED = ["-std=gnu11", "-O2", "-g", "-fno-pie", "-D_GNU_SOURCE", *TRACEABLE]
# Lines for backtraces; variables, which cost a third of the time to compile, only with -g.
SANITISED = [
    "-std=gnu11",
    "-O1",
    "-g1",
    MAPPED,
    "-D_GNU_SOURCE",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-mpopcnt",
    "-mbmi",
]

RACES = [flag for flag in SANITISED if not flag.startswith("-fsanitize")] + ["-fsanitize=thread"]
# Which sanitiser is to be told of stacks that change (kernel/sched/fiber.h).
FIBERS = {"-fsanitize=address,undefined": 1, "-fsanitize=thread": 2}
# Writes traces: the plain flavour, which makes the numbers, has nothing of it.
TRACED_ONLY = {
    "trace/deflate.c",
    "trace/perfetto.c",
    "trace/perfetto_devices.c",
    "trace/perfetto_flows.c",
    "trace/perfetto_moves.c",
    "trace/perfetto_record.c",
    "trace/perfetto_row.c",
    "trace/perfetto_sched.c",
    "trace/proto.c",
    "trace/trace_sched.c",
    "bench/framework/run_trace.c",
    "bench/framework/trace_round.c",
}

# What the recorder shares with its targets.
RECORDER_BELOW = ["trace/wire.c", "trace/meet.c", "trace/proto.c", "bench/framework/record.c"]

# GCC would turn the loops of memcpy into calls of memcpy. Peers that are headers copy by memcpy of
# a known length, which their users' compilers inline.
FILE_FLAGS = {
    "kernel/lib/string.c": ["-fno-tree-loop-distribute-patterns"],
    "bench/suites/peers/ipc.c": ["-fbuiltin"],
}


def gcc_include() -> str:
    return subprocess.run(
        ["gcc", "-print-file-name=include"], capture_output=True, text=True, check=True
    ).stdout.strip()


def sources(folder: str, pattern: str = "*.c") -> list[str]:
    return sorted(glob.glob(os.path.join(folder, pattern)))


def compile_one(
    env: Env, out: str, path: str, layer: str, flags: list[str], defines: dict[str, Any]
) -> Node:
    """One object of one source, seeing only its layer's includes."""
    # Generated headers stand in the build folder; the user's own variants in theirs.
    defines = {"CONFIG_FRAME_POINTER": int("-fno-omit-frame-pointer" in flags), **defines}
    defines.setdefault("CONFIG_BLOCK_WRITES", env.get("BLOCK_WRITES", 0))
    defines["CONFIG_FIBERS"] = next((FIBERS[f] for f in flags if f in FIBERS), 0)
    paths = [f"#{folder}" for folder in include_path(layer)] + ["#build/generated"]
    paths += env.get("VARIANT_FOLDERS", [])
    stem, kind = os.path.splitext(path.lstrip("/"))
    target = f"#build/{out}/{stem}{'_s' if kind == '.S' else ''}.o"
    source = path if os.path.isabs(path) else "#" + path
    return env.Object(
        target,
        source,
        CPPPATH=paths,
        CPPDEFINES=defines,
        ASPPFLAGS=flags,
        CCFLAGS=flags + WARNINGS + FILE_FLAGS.get(path, []),
    )


def portable_sources(env: Env, suites: str = "bench/suites") -> list[tuple[str, str]]:
    """(source, layer) of the portable layers; `suites` is the folder the suites come from."""
    found = [
        (path, layer)
        for layer in PORTABLE
        for path in sources(suites if layer == "bench/suites" else layer)
    ]
    for folder in env.get("VARIANT_FOLDERS", []):
        found += [(path, "kernel/memory") for path in sources(folder, "heap_*.c")]
        found += [(path, "kernel/ipc") for path in sources(folder, "ring_*.c")]
    return found


def portable_object(env: Env, flavour: str, chosen: list[tuple[str, str]], name: str = "") -> Node:
    """build/[NAME/]portable_FLAVOUR.o of the (source, layer) pairs: only platform_* is undefined,
    only the entry is global."""
    defines = {"CONFIG_TRACE": FLAVOURS[flavour], "CONFIG_ASSERT_SLOW": 0}
    flags = FREESTANDING + ["-isystem", gcc_include()]
    objects = [
        compile_one(env, flavour, path, layer, flags, defines)
        for path, layer in chosen
        if FLAVOURS[flavour] or path not in TRACED_ONLY
    ]
    joined = env.Command(
        f"#build/{os.path.join(name, flavour)}/joined.o",
        [objects, "#targets/portable.ld"],
        Action(
            "ld -r --build-id=none -T targets/portable.ld -o $TARGET ${SOURCES[:-1]}",
            env["JOINSTR"],
        ),
    )
    # objcopy applies renaming after it has made symbols local, so the two are two calls.
    rename = f"objcopy --redefine-sym bench_main=bench_main_{flavour}"
    section = f"--rename-section .text.portable=.text.portable_{flavour}"
    keep = f"objcopy --keep-global-symbol=bench_main_{flavour} $TARGET"
    return env.Command(
        f"#build/{os.path.join(name, 'portable_' + flavour)}.o",
        joined,
        Action(f"{rename} {section} $SOURCE $TARGET && {keep}", env["JOINSTR"]),
    )


def program_objects(
    env: Env,
    out: str,
    folders: list[str],
    flags: list[str],
    extra: list[str] = [],
    defines: dict[str, Any] = {},
    assembly: bool = False,
) -> list[Node]:
    """Objects of whole folders, plus single files of layers below."""
    values = {"CONFIG_TRACE": 0, "CONFIG_ASSERT_SLOW": 0, **defines}
    paths = [path for folder in folders for path in sources(folder)] + extra
    if assembly:
        paths += [path for folder in folders for path in sources(folder, "*.S")]
    return [compile_one(env, out, path, os.path.dirname(path), flags, values) for path in paths]


def outside_names(env: Env) -> dict[str, list[str]]:
    """The variants in the folder of variants=, for each mechanism."""
    return {
        prefix: [
            os.path.splitext(os.path.basename(path))[0][len(prefix) + 1 :]
            for folder in env.get("VARIANT_FOLDERS", [])
            for path in sources(folder, f"{prefix}_*.c")
            if os.path.exists(os.path.splitext(path)[0] + ".h")
        ]
        for prefix in ("heap", "ring")
    }


def generated_headers(env: Env) -> None:
    """heap_variants_outside.h and ring_variants_outside.h from the folder of variants=, and
    definitions_SUITE.h of each suite: a variant more is only its own suite's business."""
    outside = outside_names(env)
    texts = {}
    for prefix, names in outside.items():
        lines = ["// Generated from variants=FOLDER."]
        lines += [f'#include "{prefix}_{name}.h"' for name in names]
        lines += [
            f"#define {prefix.upper()}_VARIANTS_OUTSIDE(X) "
            + " ".join(f"X({name})" for name in names)
        ]
        texts[f"{prefix}_variants_outside"] = "\n".join(lines) + "\n"
    flags = [*FREESTANDING, *(word for path, own in FILE_FLAGS.items() for word in (path, *own))]
    known = definitions.headers(
        [path for part in ("", "/peers", "/machine") for path in sources("bench/suites" + part)],
        outside,
        env["VARIANT_FOLDERS"],
        flags,
    )
    texts.update({f"definitions_{suite}": text for suite, text in known.items()})
    for name, text in texts.items():
        env.Command(
            f"#build/generated/{name}.h", env.Value(text), Action(write_value, env["WRITESTR"])
        )


def recorder(env: Env) -> Node:
    """build/recorder: starts targets, records them, writes the store."""
    for name in ("schema", "digest"):
        env.Command(
            f"#build/generated/{name}_sql.h",
            f"#bench/recorder/{name}.sql",
            Action(embed_text, env["WRITESTR"]),
        )
    objects = program_objects(
        env,
        "recorder_objects",
        ["bench/recorder"],
        HOSTED,
        RECORDER_BELOW,
    )
    return env.Program(
        "#build/recorder", objects, LIBS=["sqlite3", "dw", "elf", "crypto"], LINKFLAGS=["-no-pie"]
    )


def write_value(target: list[Node], source: list[Node], env: Env) -> None:
    with open(target[0].path, "w", encoding="utf-8") as file:
        file.write(source[0].get_text_contents())


def embed_text(target: list[Node], source: list[Node], env: Env) -> None:
    """A text file as a C string constant NAME_sql."""
    with open(source[0].path, encoding="utf-8") as text, open(target[0].path, "w") as header:
        name = os.path.basename(source[0].path).replace(".", "_")
        header.write(f"static const char {name}[] =\n")
        for line in text:
            escaped = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
            header.write(f'    "{escaped}\\n"\n')
        header.write("    ;\n")


def declare(env: Env, options: Any) -> Env:
    """All there is to build. Nothing is built that the command line does not ask for."""
    env.SetOption("num_jobs", os.cpu_count() or 1)
    env.SetOption("no_progress", True)
    env.SConscriptChdir(False)
    env.Decider("content-timestamp")
    env["INCPREFIX"] = "-iquote"
    env["ENV"]["PATH"] = os.environ["PATH"]
    env["ENV"]["PWD"] = HERE  # compilers believe it where it is the folder they run in
    env["JOINSTR"] = "  join    $TARGET"
    env["WRITESTR"] = env["COMPILATIONDB_COMSTR"] = "  write   $TARGET"
    if "verbose" not in options.values:
        env["CCCOMSTR"] = env["ASPPCOMSTR"] = "  compile $TARGET"
        env["LINKCOMSTR"] = env["ARCOMSTR"] = "  link    $TARGET"
        env["RANLIBCOMSTR"] = "  index   $TARGET"

    env["BLOCK_WRITES"] = int(options.values.get("writes") == "on")
    env["VARIANT_FOLDERS"] = [options.values["variants"]] if "variants" in options.values else []
    generated_headers(env)
    portable = {
        flavour: portable_object(env, flavour, portable_sources(env)) for flavour in FLAVOURS
    }
    env["PROGRAMS"] = {"recorder": recorder(env)}
    for target in places.TARGETS:
        env["PROGRAMS"][target] = env.SConscript(
            f"targets/{target}/SConscript",
            exports={"env": env, "portable": portable, "name": target, "deeds": []},
        )
    database = env.CompilationDatabase("#compile_commands.json")
    asked = dict.fromkeys(["recorder", "host", "qemu", *options.targets])
    env.Default([*(env["PROGRAMS"][name] for name in asked), database])
    return env
