# SPDX-License-Identifier: MIT
"""What the commands do: bench, list, report, trace, test, soak, debug, disasm, format,
image. Those over several runs are in history.py, nightly.py and bisecting.py."""

from __future__ import annotations

import atexit
import datetime
import fcntl
import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile
from typing import Any, Callable

import SCons.SConsign
from SCons.Script import COMMAND_LINE_TARGETS

import options as option_words
import places
from tests_run import run_tests

Env = Any
RESULTS = "results"
SELF_TEST = "build/contract/tickmark.elf"
TRACE = "trace.perfetto-trace"
TRACE_WORDS = ("suites", "filter", "serve")
MISSING, HARNESS = 30, 40  # a target missing, a harness error
SIGNALLED = 128  # and more: the person stopped it
DIE_SECONDS = 10
TEXT_SECONDS = 1800  # output=text has no recorder that would notice a hang

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


def variant_facts(options: Any) -> list[str]:
    """Whose variants took part: the folder's name and its commit."""
    if "variants" not in options.values:
        return []
    folder = options.values["variants"]
    commit = git("rev-parse", "HEAD", folder=folder) or "unknown"
    if git("status", "--porcelain", folder=folder):
        commit += " with local changes"
    return [f"fact:variants.folder={os.path.basename(folder)}", f"fact:variants.commit={commit}"]


def machine_facts(machine: Any, options: Any) -> list[str]:
    return [f"fact:{key}={value}" for key, value in machine.facts(options.values).items()]


def record(run: str, target: str, name: str, options: Any) -> int:
    """One (run, machine) through the recorder; returns its exit status."""
    module = places.TARGETS[target]
    machine = module.MACHINES[name]
    problem = machine.problem()
    if problem is not None:
        say(f"tickmark: machine={name} is not usable here: {problem}")
        return MISSING
    about = {
        "run": run,
        "target": target,
        "machine": name,
        "clock": machine.clock,
        "image": places.image(target),
        "success-exit": str(module.SUCCESS_EXIT),
        "results": RESULTS,
        "boots": options.values.get("boots", str(machine.boots)),
        "commit": git("rev-parse", "HEAD") or "unknown",
        "dirty": "1" if git("status", "--porcelain") else "0",
        "size": options.values.get("size", "quick"),
        "arguments": " ".join([*machine.arguments(), options.words()]).strip(),
    }
    words = [f"{key}={value}" for key, value in about.items()]
    facts = [*machine_facts(machine, options), *variant_facts(options)]
    if hasattr(machine, "attachment"):  # nobody here starts it
        attached = machine.attachment(options.values)
        return subprocess.call(["build/recorder", "bench", *words, *facts, *attached])
    command = machine.command(places.image(target), options.values)
    status = subprocess.call(["build/recorder", "bench", *words, *facts, "--", *command])
    folder = os.path.join(RESULTS, "runs", run, f"{target}-{name}")
    if machine.clock == "insn" and os.path.isdir(folder):
        # Where a count changed, a later comparison can then say which functions did.
        kept = [places.image(target), os.path.join(folder, "functions.json.gz")]
        subprocess.call([sys.executable, "-m", "reports.functions", *kept])
    return status


def reports(*words: str, stdout: int | None = None) -> int:
    command = [sys.executable, "-m", "reports", *words, f"results={RESULTS}"]
    return subprocess.call(command, stdout=stdout)


def bench_text(options: Any) -> int:
    """output=text: what a person with a terminal program would see, and nothing recorded."""
    worst = 0
    for target, name in options.machines:
        module = places.TARGETS[target]
        machine = module.MACHINES[name]
        arguments = " ".join([*machine.arguments(), "output=text", options.words()]).strip()
        command = machine.command_for_a_person(places.image(target), options.values, "stdio")
        words = [word.replace("{arguments}", arguments) for word in command]
        seconds = DIE_SECONDS if "die" in options.values else TEXT_SECONDS
        try:
            done = subprocess.call(words, timeout=seconds)  # kills it
        except subprocess.TimeoutExpired:
            say(f"tickmark: {target} did not end within {seconds} s")
            return HARNESS
        worst = max(worst, 0 if done == module.SUCCESS_EXIT else HARNESS)
    return worst


def new_run_id() -> str:
    """Time and commit; a second run within a second gets a number."""
    now = datetime.datetime.now(datetime.timezone.utc)
    first = f"{now:%Y%m%dT%H%M%SZ}-{git('rev-parse', '--short=7', 'HEAD') or 'unknown'}"
    run, number = first, 1
    while True:
        try:
            os.makedirs(os.path.join(RESULTS, "runs", run))
            return run
        except FileExistsError:
            number += 1
            run = f"{first}-{number}"


def lock_path() -> str:
    # In the system's folder for such things: two clones disturb each other as well.
    return os.path.join(tempfile.gettempdir(), f"tickmark-{os.getuid()}.lock")


def measures_here(options: Any) -> bool:
    """Machines at a port disturb nobody on this one."""
    return any(target != "baremetal" for target, _ in options.machines)


def alone() -> Any:
    """A lock that says that nobody else measures on this machine; None if somebody does. It goes
    with the process. In the file stands who holds it."""
    file = open(lock_path(), "a+", encoding="utf-8")  # not emptied: another's name may stand there
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    since = datetime.datetime.now().strftime("%H:%M:%S")
    file.truncate(0)
    file.write(f"pid {os.getpid()} in {os.getcwd()}, since {since}")
    file.flush()
    return file


def who_measures() -> str:
    """Who holds the lock: its process, its folder and since when, as far as it says."""
    try:
        with open(lock_path(), encoding="utf-8", errors="replace") as file:
            told = "".join(c for c in file.read(400) if c.isprintable())
    except OSError:
        told = ""
    return f" ({told})" if told else ""


_lock: Any = None  # of this process's bench


def lock_for(options: Any) -> bool:
    """Takes the lock unless it has it or needs none; False, and says so, if somebody measures."""
    global _lock
    if measures_here(options):
        _lock = _lock or alone()
        if _lock is None:
            say(
                f"tickmark: another bench is measuring on this machine{who_measures()}:"
                " wait until it ends"
            )
            return False
    return True


def remove_if_empty(run: str) -> None:
    """A run of which nothing was recorded leaves no folder."""
    try:
        os.rmdir(os.path.join(RESULTS, "runs", run))
    except OSError:
        pass


def bench(options: Any) -> int:
    if options.values.get("output") == "text":
        return finish(bench_text(options))
    if "filter" in options.values and not is_row(options, options.targets):
        return no_such_row(options)
    if not lock_for(options):
        return finish(HARNESS)
    try:
        run = new_run_id()
    except OSError as error:
        say(f"tickmark: cannot write in {RESULTS}: {error.strerror}")
        return finish(HARNESS)
    worst = 0
    for target, machine in options.machines:
        say(f"tickmark: {target}-{machine}, run {run}")
        status = record(run, target, machine, options)
        if status >= SIGNALLED:
            remove_if_empty(run)
            return finish(status)
        worst = max(worst, status)
    remove_if_empty(run)
    if os.path.exists(os.path.join(RESULTS, "runs", run)):
        # The page first and in silence: the table ends with the verdict and where the page is.
        page = reports("report", f"run={run}", stdout=subprocess.DEVNULL)
        worst = max(worst, page, reports("table", f"run={run}"))
    return finish(worst)


# ---- looking at the code ------------------------------------------------------------------------


def matches(pattern: str, row: str) -> bool:
    """As in the target: with a `*` the whole id must match, without one a part of it."""
    if "*" not in pattern:
        return pattern in row
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), row) is not None


def chosen(options: Any) -> list[str]:
    """The suites that are asked for."""
    return options.values["suites"].split(",") if "suites" in options.values else []


def bodies(
    pattern: str, suites: list[str] = [], target: str = "qemu"
) -> dict[str, tuple[int, int]]:
    """SUITE_CASE__VARIANT of the plain flavour with the address and size of its code, for the
    rows that the pattern selects in these suites; none given: in all. Of a target that is built."""
    known = suites or option_words.suite_names()
    words = ["nm", "-S", places.image(target)]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: dict[str, tuple[int, int]] = {}
    for line in listing.splitlines():
        *numbers, name = line.split()
        suite, _, rest = name.partition("_")
        case, double, variant = rest.partition("__")
        if len(numbers) != 3 or not double or suite not in known:
            continue
        address, size = int(numbers[0], 16), int(numbers[1], 16)
        # Both flavours have the body under this name; the plain one is linked first.
        if (
            matches(pattern, f"{suite}/{case}/{variant}")
            and address < found.get(name, (1 << 64,))[0]
        ):
            found[name] = (address, size)
    return dict(sorted(found.items()))


def is_row(options: Any, targets: list[str]) -> bool:
    """Does filter= select a row on one of these targets?"""
    pattern, suites = options.values["filter"], chosen(options)
    return any(bodies(pattern, suites, target) for target in targets)


def no_such_row(options: Any) -> int:
    words = [
        f"{name}={options.values[name]}" for name in ("filter", "suites") if name in options.values
    ]
    say(f"tickmark: {' '.join(words)}: no such row; `scons list` shows them all")
    return finish(2)


def disasm(options: Any) -> int:
    """The linked code: calls have their targets' names."""
    target = options.targets[0]
    found = bodies(options.values["filter"], target=target)
    if not found:
        return no_such_row(options)
    for address, size in found.values():
        limits = [f"--start-address={address}", f"--stop-address={address + size}"]
        words = ["objdump", "-d", "--no-show-raw-insn", *limits, places.image(target)]
        listing = subprocess.run(words, capture_output=True, text=True).stdout
        say(listing[listing.find("<") - 17 :].rstrip() + "\n")
    return 0


def debug(options: Any) -> int:
    """GDB starts QEMU itself, so that nothing is left behind when either ends."""
    row = options.values["filter"]
    symbols = bodies(row)
    if not symbols:
        return no_such_row(options)
    if not sys.stdin.isatty():
        say("tickmark: debug needs a terminal; commands on its input are read by GDB")
    (target, name), *_ = options.machines
    machine = places.TARGETS[target].MACHINES[name]
    arguments = " ".join([*machine.arguments(), "output=text", f"filter={row}"])
    line = "file:build/debug-serial.txt"
    command = machine.command_for_a_person(places.image(target), options.values, line)
    words = [word.replace("{arguments}", arguments) for word in command]
    qemu = shlex.join([*words, "-gdb", "stdio", "-S"])
    stops = [f"break *{address}" for address, _ in symbols.values()]
    commands = [f"target remote | exec {qemu}", *stops, "continue"]
    gdb = ["gdb", "-q", places.image(target)]
    for command in commands:
        gdb += ["-ex", command]
    say("tickmark: the target's line goes to build/debug-serial.txt")
    return finish(subprocess.call(gdb))


# ---- the rest -----------------------------------------------------------------------------------


def list_rows(options: Any) -> int:
    if "filter" in options.values and not is_row(options, ["host", "qemu"]):
        return no_such_row(options)
    words = f"output=list {options.words()}".strip()
    # The host is the quickest to say what all targets have; what a machine has besides it says
    # itself, with several CPUs: then it has all.
    worst = 0
    told = "target" in options.values or option_words.machine_suites(options)
    for target in options.targets if told else ["host"]:
        command = [places.image(target), words]
        if target != "host":
            machine = places.TARGETS[target].MACHINES["smp"]
            command = machine.command_for_a_person(places.image(target), {}, "stdio")
            words_of = " ".join([*machine.arguments(), words])
            command = [word.replace("{arguments}", words_of) for word in command]
        done = subprocess.call(command)
        worst = max(worst, 0 if done == places.TARGETS[target].SUCCESS_EXIT else HARNESS)
    return finish(worst)


def report(options: Any) -> int:
    run = (
        [f"run={options.values['run']}"] if options.values.get("run", "latest") != "latest" else []
    )
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
        newest = sorted(glob.glob(os.path.join(RESULTS, "runs", "*", TRACE)))
        there = (
            f"the newest is of run={newest[-1].split(os.sep)[-2]}"
            if newest
            else ("`scons bench` makes one unless trace=off")
        )
        say(f"tickmark: {path}: no such trace; {there}")
        return finish(2)
    checked = subprocess.call([*check, path])
    if checked != 0:
        return finish(checked)
    words = [f"{name}={options.values[name]}" for name in TRACE_WORDS if name in options.values]
    return finish(subprocess.call([sys.executable, "-m", "reports.trace_command", path, *words]))


def image(options: Any) -> int:
    """What a real machine boots, into build/baremetal. The contract of the platform is its
    self-test."""
    folder = os.path.dirname(places.image("baremetal"))
    kernels = [places.image("baremetal"), SELF_TEST]
    words = ["targets/baremetal/image.py", *kernels, folder, *option_words.suite_names()]
    done = subprocess.call([sys.executable, *words])
    if done == 0:
        say(f"tickmark: {folder}/tickmark.iso for a CD or a stick, {folder}/netboot for TFTP")
        say("tickmark: docs/baremetal.md says how to go on")
    return finish(done)


def c_files() -> list[str]:
    found = []
    for top in ("targets", "kernel", "trace", "bench", "tests"):
        found += glob.glob(f"{top}/**/*.[ch]", recursive=True)
    return sorted(found)


PYTHON = ["reports", "tests", "site_scons", "targets", "SConstruct"]


def format_sources(options: Any) -> int:
    worst = subprocess.call(["clang-format", "-i", *c_files()])
    return finish(max(worst, subprocess.call(["black", "-q", "-l", "100", *PYTHON])))


def commands(env: Env, options: Any) -> None:
    """Binds each name to its action and what must be built for it."""
    import history  # these stand on this file
    from bisecting import bisect
    from nightly import nightly

    # From before anything is built: a program that is measured must not be built anew, nor its CPU
    # be taken by compilers.
    if "bench" in options.aliases and options.values.get("output") != "text":
        if not lock_for(options):
            env.Exit(finish(HARNESS))
    made = env["PROGRAMS"]
    images = [made[target] for target in dict.fromkeys(options.targets)]
    database = "compile_commands.json"
    table: dict[str, tuple[list[Any], Callable[[Any], int]]] = {
        "bench": ([made["recorder"], made["qemu"], *images, database], bench),
        "list": ([made["host"], made["qemu"]], list_rows),
        "report": ([], report),
        "trace": ([], trace),
        "format": ([], format_sources),
        "disasm": (images, disasm),
        "debug": ([made["qemu"]], debug),
        "image": ([made["baremetal"], f"#{SELF_TEST}"], image),
        "compare": ([], history.compare),
        "export": ([], history.export),
        "import": ([], history.bring_in),
        "nightly": ([made["recorder"], made["qemu"], *images], nightly),
        "bisect": ([], bisect),
    }
    # Tests, the self-test among them, are declared only when asked for, as a whole or by a file's
    # name.
    named = [word for word in COMMAND_LINE_TARGETS if word.startswith("build/")]
    if named or {"test", "soak"} & set(options.aliases):
        from tests_build import declare_tests

        programs, needs = declare_tests(env)
    elif "image" in options.aliases:
        from tests_build import declare_contract

        declare_contract(env)
    for name, (needed, action) in table.items():

        def act(target: Any, source: Any, env: Any, run: Any = action) -> int:
            return run(options)

        env.AlwaysBuild(env.Alias(name, needed, env.Action(act, lambda *_: "")))
    for name in ("test", "soak"):
        if name in options.aliases:

            def test(target: Any, source: Any, env: Any, soak: bool = name == "soak") -> int:
                # Tests start scons themselves. It must know what this one has built, or it builds
                # the programs again while other tests run them.
                SCons.SConsign.write()
                good = run_tests(programs, soak, options.values.get("variants", ""))
                return finish(0 if good else 1)

            if "variants" not in options.values:
                needs = [*needs, made["recorder"], made["host"], made["qemu"], database]
            env.AlwaysBuild(env.Alias(name, needs, env.Action(test, lambda *_: "")))
