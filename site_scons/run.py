# SPDX-License-Identifier: MIT
"""What the commands do: bench, list, report, trace, test, soak, debug, disasm, format."""

from __future__ import annotations

import atexit
import datetime
import glob
import os
import shlex
import subprocess
import sys
from typing import Any, Callable

from SCons.Script import COMMAND_LINE_TARGETS

sys.path.insert(0, os.path.join(os.getcwd(), "targets", "qemu"))
import machines  # noqa: E402

Env = Any
RESULTS = "results"
TRACE = "trace.perfetto-trace"
HOST_MACHINE = "native"
MISSING, HARNESS = 30, 40  # a target missing, a harness error

_status = 0


def exit_hook() -> None:
    """SCons turns every failed action into 2; the command's own status is passed on instead."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if _status:
            os._exit(_status)

    atexit.register(leave)


def finish(status: int) -> int:
    """Remembers the status of a command for the exit hook."""
    global _status
    _status = max(_status, status)
    return status


def say(text: str) -> None:
    print(text, flush=True)


def git(*words: str, folder: str = ".") -> str:
    try:
        done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# ---- bench --------------------------------------------------------------------------------------


def plan_targets(options: Any) -> list[tuple[str, str]]:
    """(target, machine) of all that is asked for."""
    found = []
    for target in options.targets:
        for machine in options.machines if target == "qemu" else [HOST_MACHINE]:
            found.append((target, machine))
    return found


def target_command(target: str, machine: str, memory: str) -> tuple[list[str], dict[str, str]]:
    """The recorder's template of the command, and what the recorder must know about it."""
    if target == "host":
        about = {"clock": "tsc", "image": "build/host/tickmark", "success-exit": "0"}
        return ["build/host/tickmark", "line={line}", "{arguments}"], about
    chosen = machines.MACHINES[machine]
    image = "build/qemu/tickmark.elf"
    words = chosen.command(image)
    words[words.index("-m") + 1] = f"{memory}M"
    about = {"clock": chosen.clock, "image": image, "success-exit": str(machines.SUCCESS_EXIT)}
    return words, about


def default_boots(target: str, machine: str, options: Any) -> str:
    return options.values.get("boots", "2" if machine == "exact" else "1")


def record(run: str, target: str, machine: str, options: Any) -> int:
    """One (run, machine) through the recorder; returns its exit status."""
    if target == "qemu":
        problem = machines.MACHINES[machine].problem()
        if problem is not None:
            say(f"tickmark: machine={machine} is not usable here: {problem}")
            return MISSING
    words, about = target_command(target, machine, options.values.get("memory", "512"))
    commit = git("rev-parse", "HEAD") or "unknown"
    dirty = "1" if git("status", "--porcelain") else "0"
    facts = []
    if "variants" in options.values:
        folder = options.values["variants"]
        facts = [
            f"fact:variants.folder={os.path.basename(folder)}",
            f"fact:variants.commit={git('rev-parse', 'HEAD', folder=folder) or 'unknown'}",
        ]
    arguments = options.words()
    if target == "qemu":
        arguments = " ".join([*machines.MACHINES[machine].arguments(), arguments]).strip()
    command = [
        "build/recorder",
        "bench",
        f"run={run}",
        f"target={target}",
        f"machine={machine}",
        *(f"{name}={value}" for name, value in about.items()),
        f"results={RESULTS}",
        f"boots={default_boots(target, machine, options)}",
        f"commit={commit}",
        f"dirty={dirty}",
        f"size={options.values.get('size', 'quick')}",
        *facts,
        f"arguments={arguments}",
        "--",
        *words,
    ]
    return subprocess.call(command)


def reports(*words: str) -> int:
    return subprocess.call([sys.executable, "-m", "reports", *words, f"results={RESULTS}"])


def bench_text(options: Any) -> int:
    """output=text: what a person with a terminal program would see, and nothing recorded."""
    worst = 0
    for target, machine in plan_targets(options):
        words, _ = target_command(target, machine, options.values.get("memory", "512"))
        arguments = f"output=text {options.words()}".strip()
        if target == "qemu":
            arguments = " ".join([*machines.MACHINES[machine].arguments(), arguments])
            words = [*machines.serial_to(words, "stdio")]
        else:
            words = [word for word in words if word != "line={line}"]
        done = subprocess.call([word.replace("{arguments}", arguments) for word in words])
        expected = machines.SUCCESS_EXIT if target == "qemu" else 0
        worst = max(worst, 0 if done == expected else HARNESS)
    return worst


def bench(options: Any) -> int:
    if options.values.get("output") == "text":
        return finish(bench_text(options))
    now = datetime.datetime.now(datetime.timezone.utc)
    commit = git("rev-parse", "--short=7", "HEAD") or "unknown"
    run = f"{now:%Y%m%dT%H%M%SZ}-{commit}"
    worst = 0
    for target, machine in plan_targets(options):
        say(f"tickmark: {target}-{machine}, run {run}")
        worst = max(worst, record(run, target, machine, options))
    if os.path.exists(os.path.join(RESULTS, "history.db")):
        worst = max(worst, reports("table", f"run={run}"), reports("report", f"run={run}"))
    return finish(worst)


# ---- looking at the code ------------------------------------------------------------------------


def body_symbols(program: str, row: str) -> list[str]:
    """Symbols SUITE_CASE__VARIANT of the plain flavour that a row's id or a part of it names."""
    listing = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in listing.splitlines():
        name = line.split()[-1]
        suite, _, rest = name.partition("_")
        case, double, variant = rest.partition("__")
        if double and row in f"{suite}/{case}/{variant}":
            found.add(name)
    return sorted(found)


def no_such_row(row: str) -> int:
    say(f"tickmark: filter={row}: no such row; `scons list` shows them all")
    return finish(2)


def disasm(options: Any) -> int:
    row = options.values["filter"]
    symbols = body_symbols("build/portable_plain.o", row)
    if not symbols:
        return no_such_row(row)
    for symbol in symbols:
        status = subprocess.call(
            [
                "objdump",
                "-dr",
                "--no-show-raw-insn",
                "--source",
                f"--disassemble={symbol}",
                "build/portable_plain.o",
            ]
        )
        if status != 0:
            return finish(HARNESS)
    return 0


def debug(options: Any) -> int:
    """GDB starts QEMU itself, so that nothing is left behind when either ends."""
    row = options.values["filter"]
    symbols = body_symbols("build/portable_plain.o", row)
    if not symbols:
        return no_such_row(row)
    if not sys.stdin.isatty():
        say("tickmark: debug needs a terminal; commands on its input are read by GDB")
    machine = options.machines[0]
    words, _ = target_command("qemu", machine, options.values.get("memory", "512"))
    arguments = " ".join([*machines.MACHINES[machine].arguments(), "output=text", f"filter={row}"])
    words = [
        word.replace("{arguments}", arguments)
        for word in machines.serial_to(words, "file:build/debug-serial.txt")
    ]
    qemu = shlex.join([*words, "-gdb", "stdio", "-S"])
    # Both flavours have the body under this name: the plain one is linked first.
    stops = [f"break {symbol}" for symbol in symbols]
    commands = [f"target remote | exec {qemu}", *stops, "continue"]
    gdb = ["gdb", "-q", "build/qemu/tickmark.elf"]
    for command in commands:
        gdb += ["-ex", command]
    say("tickmark: the target's line goes to build/debug-serial.txt")
    return finish(subprocess.call(gdb))


# ---- the rest -----------------------------------------------------------------------------------


def list_rows(options: Any) -> int:
    words = f"output=list {options.words()}".strip()
    return finish(subprocess.call(["build/host/tickmark", words]))


def report(options: Any) -> int:
    run = [f"run={options.values['run']}"] if "run" in options.values else []
    return finish(reports("report", *run))


def trace(options: Any) -> int:
    """Checks what is about to be shown, too: a trace that Perfetto takes may still be wrong."""
    check = [sys.executable, "-m", "reports.perfetto_check"]
    if "check" in options.values:
        return finish(subprocess.call([*check, *options.values["check"].split(",")]))
    path = os.path.join(RESULTS, "latest", TRACE)
    if "run" in options.values and options.values["run"] != "latest":
        path = os.path.join(RESULTS, "runs", options.values["run"], TRACE)
    elif not os.path.exists(path):
        found = sorted(glob.glob(os.path.join(RESULTS, "runs", "*", TRACE)))
        path = found[-1] if found else path
    if not os.path.exists(path):
        say(f"tickmark: {path}: no such trace; `scons bench` makes one unless trace=off")
        return finish(2)
    checked = subprocess.call([*check, path])
    if checked != 0:
        return finish(checked)
    return finish(subprocess.call([sys.executable, "-m", "reports.serve_trace", path]))


def c_files() -> list[str]:
    found = []
    for top in ("targets", "kernel", "trace", "bench", "tests"):
        found += glob.glob(f"{top}/**/*.[ch]", recursive=True)
    return sorted(found)


PYTHON = ["reports", "tests", "site_scons", "targets", "SConstruct"]


def format_sources(options: Any) -> int:
    worst = subprocess.call(["clang-format", "-i", *c_files()])
    return finish(max(worst, subprocess.call(["black", "-q", "-l", "100", *PYTHON])))


def run_tests(programs: list[str], soak: bool) -> int:
    """Check programs one by one, then pytest, whose closing lines end the output."""
    for program in programs:
        say(f"tickmark: {program}")
        if subprocess.call([program], env={**os.environ, "CK_VERBOSITY": "normal"}) != 0:
            return finish(1)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environment = {
        **os.environ,
        "TICKMARK_SOAK": "1" if soak else "0",
        "TICKMARK_PROBE": os.path.abspath("build/probe/tickmark.elf"),
        "TICKMARK_RECORDER": os.path.abspath("build/recorder"),
    }
    return finish(1 if subprocess.call(words, env=environment) != 0 else 0)


def commands(env: Env, options: Any) -> None:
    """Binds each name to its action and what must be built for it."""
    made = env["PROGRAMS"]
    images = [made[target] for target in dict.fromkeys(options.targets)]
    database = "compile_commands.json"
    table: dict[str, tuple[list[Any], Callable[[Any], int]]] = {
        "bench": ([made["recorder"], *images, database], bench),
        "list": ([made["host"]], list_rows),
        "report": ([], report),
        "trace": ([], trace),
        "format": ([], format_sources),
        "disasm": (["build/portable_plain.o"], disasm),
        "debug": (["build/portable_plain.o", made["qemu"]], debug),
    }
    for name, (needs, action) in table.items():

        def act(target: Any, source: Any, env: Any, run: Any = action) -> int:
            return run(options)

        env.AlwaysBuild(env.Alias(name, needs, env.Action(act, lambda *_: "")))
    # One of the test programs alone: scons build/test/test_NAME.
    alone = any(str(word).startswith("build/") for word in COMMAND_LINE_TARGETS)
    for name in ("test", "soak"):
        if name in options.aliases or (name == "test" and alone):
            from tests_build import declare_tests

            programs, needs = declare_tests(env)

            def test(target: Any, source: Any, env: Any, soak: bool = name == "soak") -> int:
                return run_tests(programs, soak)

            env.AlwaysBuild(
                env.Alias(
                    name,
                    [*needs, made["recorder"], made["host"], made["qemu"], database],
                    env.Action(test, lambda *_: ""),
                )
            )
