# SPDX-License-Identifier: MIT
"""What `scons test` needs built: Check programs and the host target under sanitisers, and both
targets with the planted suite."""

from __future__ import annotations

import os
from typing import Any

from build import FIBERS, FLAVOURS, RACES, RECORDER_BELOW, SANITISED, WARNINGS
from build import compile_one, outside_names, portable_object, portable_sources, sources
from layers import BOTTOM, PORTABLE
from model_build import model_programs

Env = Any
Node = Any

PLANTED = "tests/planted"
LIBRARIES = ["check", "subunit", "m", "rt", "pthread"]
PROBE = [
    ("tests/boot/probe.c", "bench/framework"),
    ("kernel/lib/string.c", "kernel/lib"),
    ("kernel/lib/format.c", "kernel/lib"),
]
# What looks at every variant of a mechanism. No other test depends on the folder of variants=.
OF_VARIANTS = {
    "heap": [
        "test_heap",
        "test_heap_debug",
        "test_heap_misuse",
        "test_heap_sequences",
        "test_heap_threads",
        "test_suites",
        "test_suites_heap",
        "test_suites_heap_cpus",
        "races_heap",
        "races_suites_heap",
    ],
    "ring": [
        "test_ring",
        "test_ring_model",
        "test_suites_ipc",
        "test_suites_ipc_windows",
        "races_ring",
        "races_suites_ipc",
    ],
}
BELOW = {
    "kernel/lib",
    "kernel/memory",
    "kernel/sched",
    "kernel/ipc",
    "kernel/drivers",
    "bench/suites",
}  # what they link with
SCHEDULER = ["sched", "sched_core", "sched_policy_fifo", "sched_tree"]  # on the target's CPUs
CONTRACT = [
    *((path, "bench/suites") for path in sources("tests/contract")),
    *((f"kernel/sched/{name}.c", "kernel/sched") for name in SCHEDULER),
    ("trace/trace_sched.c", "trace"),
    ("kernel/lib/string.c", "kernel/lib"),
    ("kernel/lib/format.c", "kernel/lib"),
    ("kernel/lib/memory_map.c", "kernel/lib"),
    ("kernel/lib/numa.c", "kernel/lib"),
]
# The scheduler's CPUs in a Linux process, which stand on nothing else of that target.
SCHED_HOST = [f"targets/host/{name}.c" for name in ("sched_host", "host_time", "ring_futex")]
# Its disk, and those that read the same file without us.
DISK_HOST = [
    f"targets/host/{name}.c"
    for name in ("host_disk", "scratch_file", "uring_disk", "uring_sleeper")
]
DISK_PEERS = "bench/suites/peers/driver_peers.c"
# What is built as with writes=on for a test of its own.
WRITING = {"test_block_writes": "kernel/drivers/block_writing.c"}
# A suite in the flavour that records.
TRACED_SUITES = {"test_traced_driver": "bench/suites/driver.c"}
# What a target's own function is called in a test, where the test platform has one of the name.
MACHINE_BLOCKS = {"test_machine_blocks": "targets/qemu/blocks.c"}
# The functions of string.c stand beside libc's under names of their own.
LIB_RENAMES = {f"mem{name}": f"lib_mem{name}" for name in ("cpy", "move", "set", "cmp")}
RENAMED = {"kernel/lib/string.c", "tests/test_lib.c"}

# Privileged tests, linked into the probe's kernel only.
DEEDS = [*sources("tests/boot", "deeds*.c"), "tests/boot/edu.c", "tests/boot/patterns.S"]


# What tests/test_traced_*.c look at in the flavour that records.
TRACED = ["kernel/ipc", "kernel/drivers"]


def sanitised(env: Env, out: str, path: str, layer: str, trace: int = 0) -> Node:
    defines: dict[str, Any] = {"CONFIG_TRACE": trace, "CONFIG_ASSERT_SLOW": 1}
    if path in RENAMED:
        defines.update(LIB_RENAMES)
    return compile_one(env, out, path, layer, SANITISED, defines)


def test_object(env: Env, path: str, flags: list[str] = SANITISED, out: str = "test") -> Node:
    """A test sees the headers of every portable layer, the machine's parsers and the recorder."""
    folders = [*BOTTOM, *PORTABLE, "kernel/hardware", "bench/recorder", "targets/host", "tests"]
    folders += ["bench/suites/peers"]
    if os.path.splitext(os.path.basename(path))[0] in MACHINE_BLOCKS:
        folders += ["kernel/machine", "targets/qemu"]
    paths = [f"#{folder}" for folder in folders] + ["#build/generated"]
    paths += env["VARIANT_FOLDERS"]
    # As what it is linked with: a lock's mark differs.
    trace = int(os.path.basename(path).startswith("test_traced_"))
    defines = {"CONFIG_TRACE": trace, "CONFIG_ASSERT_SLOW": int(flags is not RACES)}
    defines["CONFIG_FRAME_POINTER"] = 1
    defines["CONFIG_BLOCK_WRITES"] = 0
    defines["CONFIG_FIBERS"] = next(FIBERS[flag] for flag in flags if flag in FIBERS)
    if path in RENAMED:
        defines.update(LIB_RENAMES)
    name = os.path.splitext(path)[0]
    return env.Object(
        f"#build/{out}/{name}.o",
        "#" + path,
        CPPPATH=paths,
        CPPDEFINES=defines,
        CCFLAGS=flags + [w for w in WARNINGS if w != "-Wshadow"],
    )


def test_program(env: Env, path: str, objects: list[Node]) -> list[Node]:
    """build/test/NAME of one source of the tests and what it is linked with."""
    name = os.path.splitext(os.path.basename(path))[0]
    made: list[Node] = env.Program(
        f"#build/test/{name}",
        [test_object(env, path), *objects],
        LINKFLAGS=["-fsanitize=address,undefined"],
        LIBS=[*LIBRARIES, "sqlite3", "dw", "elf", "crypto", "uring"],
    )
    return made


def alone(env: Env, name: str) -> list[Node]:
    """What one test only is linked with. In front of the archives, which have some of it without
    writing."""
    if name in MACHINE_BLOCKS:
        renamed = {"CONFIG_TRACE": 0, "CONFIG_ASSERT_SLOW": 1, "platform_block": "machine_block"}
        source = MACHINE_BLOCKS[name]
        return [compile_one(env, "test/machine", source, "targets/qemu", SANITISED, renamed)]
    if name in TRACED_SUITES:
        return [sanitised(env, "test/traced", TRACED_SUITES[name], "bench/suites", 1)]
    if name not in WRITING:
        return []
    path = WRITING[name]
    defines = {"CONFIG_TRACE": 0, "CONFIG_ASSERT_SLOW": 1, "CONFIG_BLOCK_WRITES": 1}
    return [compile_one(env, "test/writing", path, os.path.dirname(path), SANITISED, defines)]


def check_programs(env: Env) -> tuple[list[Node], list[Node], list[Node]]:
    """One program for each tests/test_*.c, the programs that other tests start, and the archives of
    what is tested, in the order for the linker."""
    portable = {
        below: [
            sanitised(env, "test", path, layer)
            for path, layer in portable_sources(env)
            if (layer in BELOW) == below
        ]
        for below in (True, False)
    }
    machine = [
        sanitised(env, "test", path, "kernel/hardware") for path in sources("kernel/hardware")
    ]
    recorder = [
        sanitised(env, "test", path, "bench/recorder")
        for path in sources("bench/recorder")
        if not path.endswith("/main.c")
    ]
    machine += [sanitised(env, "test", path, "targets/host") for path in SCHED_HOST + DISK_HOST]
    machine += [sanitised(env, "test", DISK_PEERS, "bench/suites/peers")]
    # Archives hand each program only what it refers to, and what a test of the variants links with
    # is built without the rest.
    below = env.StaticLibrary("#build/test/tickmark_below", portable[True])
    above = env.StaticLibrary("#build/test/tickmark", portable[False] + machine + recorder)
    platform = test_object(env, "tests/test_platform.c")
    traced = [
        sanitised(env, "test/traced", path, layer, 1) for layer in TRACED for path in sources(layer)
    ]
    programs = []
    for path in sources("tests", "test_*.c"):
        name = os.path.splitext(os.path.basename(path))[0]
        if name != "test_platform":
            only_below = any(name in tests for tests in OF_VARIANTS.values())
            libraries = [below] if only_below else [above, below]
            if name.startswith("test_traced_"):
                libraries = [traced, *libraries]
            programs += test_program(env, path, [platform, *alone(env, name), *libraries])
    helpers = test_program(env, "tests/line/line_target.c", [platform, above, below])
    return programs, helpers, [above, below]


def faulty_store(env: Env) -> list[Node]:
    """build/test/faulty_store: the recorder as it is, over a disk that fails on purpose."""
    values = {"CONFIG_TRACE": 0, "CONFIG_ASSERT_SLOW": 0, "main": "recorder_main"}
    layers = [(path, "bench/recorder") for path in sources("bench/recorder")]
    layers += [(path, os.path.dirname(path)) for path in RECORDER_BELOW]
    objects = [
        compile_one(env, "test/faulty", path, layer, SANITISED, values) for path, layer in layers
    ]
    made: list[Node] = env.Program(
        "#build/test/faulty_store",
        [compile_one(env, "test/faulty", "tests/recorder/faulty_store.c", "tests", SANITISED, {})]
        + objects,
        LINKFLAGS=["-fsanitize=address,undefined"],
        LIBS=["sqlite3", "dw", "elf", "crypto"],
    )
    return made


# What the fuzzers are linked with, besides the mutator.
FUZZED = [
    *((path, os.path.dirname(path)) for path in RECORDER_BELOW),
    *(
        (f"bench/recorder/{name}.c", "bench/recorder")
        for name in ("common", "model", "results", "session", "session_gaps", "trace_file")
    ),
]

FUZZED_HARDWARE = [
    *(f"kernel/lib/{name}.c" for name in ("format", "numa", "string")),
    *sources("kernel/hardware"),
    *(f"kernel/memory/page_{name}.c" for name in ("map", "query")),
    "tests/test_platform.c",
]

FUZZED_DRIVERS = [*sources("kernel/drivers"), *FUZZED_HARDWARE]


def fuzzers(env: Env) -> list[Node]:
    """build/fuzz/: clang's libFuzzer under both sanitisers, and the decoder as a filter."""
    clang = env.Clone(CC="clang")
    folders = [*BOTTOM, *PORTABLE, "kernel/hardware", "bench/recorder", "tests"]
    defines = {"CONFIG_TRACE": 0, "CONFIG_ASSERT_SLOW": 1, "CONFIG_FRAME_POINTER": 1}
    defines["CONFIG_BLOCK_WRITES"] = 0
    common = ["-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE", "-mpopcnt", "-mbmi"]
    sanitisers = "-fsanitize=fuzzer-no-link,address,undefined"
    flags = [*common, sanitisers, "-fno-sanitize-recover=all"]
    paths = [path for path, _ in FUZZED]
    objects = {
        path: clang.Object(
            f"#build/fuzz/{os.path.splitext(path)[0]}.o",
            "#" + path,
            CPPPATH=[f"#{folder}" for folder in [*folders, "tests/fuzz"]],
            CPPDEFINES={**defines, **LIB_RENAMES} if path in RENAMED else defines,
            CCFLAGS=flags + ["-Wall", "-Wextra", "-Werror"],
        )
        for path in dict.fromkeys([*paths, *FUZZED_DRIVERS, *sources("tests/fuzz")])
    }
    below = [objects[path] for path in paths]
    made = []
    for name in ("fuzz_wire", "fuzz_session"):
        made += clang.Program(
            f"#build/fuzz/{name}",
            [objects[f"tests/fuzz/{name}.c"], objects["tests/fuzz/mutator.c"], below],
            LINKFLAGS=["-fsanitize=fuzzer,address,undefined"],
        )
    for name in ("fuzz_acpi", "fuzz_smbios", "fuzz_pci", "fuzz_nvme", "fuzz_virtio"):
        below_it = FUZZED_DRIVERS if name in ("fuzz_nvme", "fuzz_virtio") else FUZZED_HARDWARE
        made += clang.Program(
            f"#build/fuzz/{name}",
            [objects[path] for path in [f"tests/fuzz/{name}.c", *below_it]],
            LINKFLAGS=["-fsanitize=fuzzer,address,undefined"],
        )
    made += clang.Program(
        "#build/fuzz/wire_dump",
        [objects["tests/fuzz/wire_dump.c"], objects["trace/wire.c"]],
        LINKFLAGS=["-fsanitize=address,undefined"],
    )
    return made


RACES_TESTS = {
    "crew": "tests/test_crew.c",
    "heap": "tests/test_heap_threads.c",
    "suites_heap": "tests/test_suites_heap_cpus.c",
    "ring": "tests/test_ring_model.c",
    "suites_ipc": "tests/test_suites_ipc_windows.c",
    "ring_many": "tests/test_ring_many.c",
    "ring_wait": "tests/test_ring_wait.c",
    "ring_wait_sched": "tests/test_ring_wait_sched.c",
    "call": "tests/test_call.c",
    "ring_pool": "tests/test_ring_pool_threads.c",
    "block": "tests/test_block_threads.c",
    "uring": "tests/test_uring_threads.c",
    "nvme": "tests/test_nvme_threads.c",
    "virtio": "tests/test_virtio_threads.c",
    "sched": "tests/test_sched_storm.c",
    "sched_host": "tests/test_sched_host.c",
    "sched_host_storm": "tests/test_sched_host_storm.c",
    "kmalloc": "tests/test_kmalloc_threads.c",
    "frame": "tests/test_frame_storm.c",
    "frames": "tests/test_frames_races.c",
    "slub": "tests/test_slub_threads.c",
    "thread": "tests/test_thread.c",
    "shootdown": "tests/test_shootdown.c",
    "tsc_sync": "tests/test_tsc_sync.c",
}


def race_programs(env: Env) -> list[Node]:
    """build/test/races_*: what runs on two CPUs, between two threads under ThreadSanitizer; and
    the same code under the model checker."""
    defines: dict[str, Any] = {"CONFIG_TRACE": 0, "CONFIG_ASSERT_SLOW": 0}
    mechanisms = [pair for pair in portable_sources(env) if pair[1].startswith("kernel/")]
    mechanisms += [
        (f"kernel/hardware/{name}.c", "kernel/hardware") for name in ("ruler", "tsc_sync")
    ]
    mechanisms += [(f"bench/suites/{name}.c", "bench/suites") for name in ("heap", "ipc")]
    mechanisms += [(path, "targets/host") for path in SCHED_HOST + DISK_HOST]
    mechanisms += [(DISK_PEERS, "bench/suites/peers")]
    below = env.StaticLibrary(
        "#build/races/tickmark_races",
        [
            compile_one(
                env,
                "races",
                path,
                layer,
                RACES,
                {**defines, **LIB_RENAMES} if path in RENAMED else defines,
            )
            for path, layer in mechanisms
        ],
    )
    platform = test_object(env, "tests/test_platform.c", RACES, "races")
    made = []
    for name, test in RACES_TESTS.items():
        made += env.Program(
            f"#build/test/races_{name}",
            [test_object(env, test, RACES, "races"), platform, below],
            LINKFLAGS=["-fsanitize=thread"],
            LIBS=[*LIBRARIES, "uring"],
        )
    return made + model_programs(env, below)


def sanitised_host(env: Env, libraries: list[Node]) -> list[Node]:
    """build/test/tickmark_sanitised: every benchmark's body with invariants on."""
    objects = [sanitised(env, "test", path, "targets/host") for path in sources("targets/host")]
    objects += [
        sanitised(env, "test/host", f"tests/{path}.c", "tests") for path in ("passes", "no_suites")
    ]
    return env.Program(
        "#build/test/tickmark_sanitised",
        [*objects, *libraries],
        LINKFLAGS=["-fsanitize=address,undefined"],
        LIBS=["uring"],
    )


def other_programs(
    env: Env,
    name: str,
    chosen: list[tuple[str, str]],
    targets: list[str],
    deeds: list[str] = [],
) -> list[Node]:
    """build/NAME/...: targets with another portable object, and more ways to die."""
    portable = {flavour: portable_object(env, flavour, chosen, name) for flavour in FLAVOURS}
    made = []
    for target in targets:
        exports = {"env": env, "portable": portable, "name": name, "deeds": deeds}
        made += env.SConscript(f"targets/{target}/SConscript", exports=exports)
    return made


def declare_contract(env: Env) -> list[Node]:
    """The contract of the platform seam, on every target that has one of its own."""
    return other_programs(env, "contract", CONTRACT, ["host", "qemu"])


def declare_tests(env: Env) -> tuple[list[str], list[Node]]:
    """The Check programs to run, and all that must be built for the tests. With variants=FOLDER
    only what looks at the variants of its mechanisms."""
    programs, helpers, libraries = check_programs(env)
    programs = race_programs(env) + programs  # the longest first: others fill up beside them
    if env["VARIANT_FOLDERS"]:
        wanted = {
            test
            for mechanism, names in outside_names(env).items()
            for test in OF_VARIANTS[mechanism]
            if names
        }
        programs = [one for one in programs if os.path.basename(one.path) in wanted]
        return [program.path for program in programs], programs
    # Bodies whose answer is known, in place of the suites.
    planted = other_programs(env, "planted", portable_sources(env, PLANTED), ["host", "qemu"])
    # No benchmarks at all: asks the kernel questions.
    probe = other_programs(env, "probe", PROBE, ["qemu"], DEEDS)
    needs = [
        *programs,
        *helpers,
        *faulty_store(env),
        *fuzzers(env),
        sanitised_host(env, libraries),
        planted,
        probe,
        declare_contract(env),
    ]
    return [program.path for program in programs], needs
