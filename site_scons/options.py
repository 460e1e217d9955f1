# SPDX-License-Identifier: MIT
"""The words of the command line: which there are, what they may say, and what is said if not."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field
from typing import Callable, Mapping

import places

TARGETS = {name: module.SUMMARY for name, module in places.TARGETS.items()}
QEMU = places.TARGETS["qemu"]
MEMORY_LEAST, MEMORY_MOST = QEMU.MEMORY_LEAST, QEMU.MEMORY_MOST
CPUS_MOST, NODES_MOST = QEMU.CPUS_MOST, QEMU.NODES_MOST
ALIASES = {
    "bench": "boot the target, run every suite, print tables and verdicts",
    "list": "every row: what it means, what it costs",
    "report": "write results/report/ again from the store",
    "compare": "run b= against run a=: which rows and claims changed, and where that may come from",
    "bisect": "the commit that moved row=ID, of an exact machine",
    "nightly": "measure, judge against the nights before, report; check=silence: is one missing?",
    "export": "a run for other tools, into results/export: format=",
    "import": "file= of Google Benchmark's JSON, as a peer of a run",
    "trace": "open the newest trace in the Perfetto UI, or check=FILE",
    "test": "build, check format and layers, run all tests",
    "soak": "the long campaigns",
    "debug": "GDB on the kernel, stopped at filter=ROW",
    "disasm": "the measured code of filter=ROW",
    "format": "format the sources in place",
    "image": "of target=baremetal: an image to boot a real machine from, and a netboot folder",
}


class UsageError(Exception):
    """A word of the command line is wrong; the text is one line naming the choices."""


def choice(name: str, value: str, there: Mapping[str, str], later: Mapping[str, str]) -> str:
    if value in later:
        raise UsageError(f"{name}={value}: {later[value]}; there are: {', '.join(there)}")
    if value not in there:
        raise UsageError(f"{name}={value}: there are: {', '.join(there)}")
    return value


def is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def number(lowest: int, highest: int) -> Callable[[str, str], str]:
    def check(name: str, value: str) -> str:
        if not is_number(value) or not lowest <= int(value) <= highest:
            raise UsageError(f"{name}={value}: give a number from {lowest} to {highest}")
        return value

    return check


def memory(name: str, value: str) -> str:
    """Whole MiB, or with a suffix M or G; comes back as MiB."""
    unit = {"M": 1, "G": 1024}.get(value[-1:].upper(), 0)
    digits = value[:-1] if unit else value
    # Few digits: what is not in range anyway is not worth reading.
    size = int(digits) * (unit or 1) if is_number(digits) and len(digits) <= 6 else 0
    if not MEMORY_LEAST <= size <= MEMORY_MOST:
        raise UsageError(
            f"{name}={value}: give MiB, or a number with M or G, from {MEMORY_LEAST}M to "
            f"{MEMORY_MOST // 1024}G"
        )
    return str(size)


def disk(name: str, value: str) -> str:
    """For target=qemu an image that can be read, and is never written; for target=host the folder
    of its scratch file."""
    if os.path.isdir(value):
        if not os.access(value, os.W_OK | os.X_OK):
            raise UsageError(f"{name}={value}: no file can be made in this folder")
    elif not os.path.isfile(value) or not os.access(value, os.R_OK):
        raise UsageError(f"{name}={value}: no such file, or it cannot be read")
    return os.path.abspath(value)


def one_of(*words: str) -> Callable[[str, str], str]:
    return lambda name, value: choice(name, value, dict.fromkeys(words, ""), {})


def suite_names(root: str = ".") -> list[str]:
    """A suite is a file of bench/suites with a `NAME_suite` in it; what only some target has lies
    in a folder there. NAME_MORE.c beside NAME.c has further cases of the suite NAME."""
    names: list[str] = []
    paths = glob.glob(os.path.join(root, "bench/suites/*.c"))
    for path in sorted(paths) + sorted(glob.glob(os.path.join(root, "bench/suites/*/*.c"))):
        name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="utf-8") as source:
            if f"{name}_suite = {{" in source.read() and name.split("_")[0] not in names:
                names.append(name)
    return names


def suite_path(name: str, root: str = ".") -> str:
    """The file of a suite that there is."""
    found = glob.glob(os.path.join(root, f"bench/suites/{name}.c"))
    found += glob.glob(os.path.join(root, f"bench/suites/*/{name}.c"))
    return os.path.relpath(found[0], root)


def machine_suites(options: "Options") -> list[str]:
    """Those asked for that only a machine of our own has."""
    names = options.values["suites"].split(",") if "suites" in options.values else []
    return [name for name in names if "/machine/" in suite_path(name)]


def check_suites(options: "Options") -> None:
    """A suite of a machine's own is for targets that are one."""
    for name in machine_suites(options):
        if "host" in options.targets:
            there = [target for target in TARGETS if target != "host"]
            raise UsageError(f"suites={name}: only on target={','.join(there)}")


def suites(name: str, value: str) -> str:
    there = dict.fromkeys(suite_names(), "")
    for word in value.split(","):
        choice(name, word, there, {})
        folder = os.path.dirname(suite_path(word))
        lists = os.path.join(folder, f"{os.path.basename(folder)}.c")
        with open(lists, encoding="utf-8") as source:
            listed = source.read()
        if f"{word}_suite" not in listed:
            raise UsageError(
                f"{name}={word}: {suite_path(word)} is there, but its two lines in {lists} are not"
            )
    return value


def plain_word(name: str, value: str) -> str:
    if not value or any(c.isspace() or ord(c) < 33 or ord(c) > 126 for c in value):
        raise UsageError(f"{name}={value!r}: give one word without spaces")
    return value


def variants(name: str, value: str) -> str:
    """A folder with pairs heap_NAME.{h,c} or ring_NAME.{h,c} whose names are not taken."""
    if not os.path.isdir(value):
        raise UsageError(f"{name}={value}: no such folder")
    found = [
        os.path.basename(path)
        for prefix in ("heap", "ring")
        for path in glob.glob(os.path.join(value, f"{prefix}_*.c"))
        if os.path.exists(path[:-2] + ".h")
    ]
    taken = [file for file in found if glob.glob(f"kernel/*/{file}")]
    if not found:
        raise UsageError(f"{name}={value}: no pair heap_NAME.h, heap_NAME.c (or ring_...) in there")
    if taken:
        raise UsageError(f"{name}={value}: {taken[0]} exists here already: choose another name")
    return os.path.abspath(value)


# What people write for one thing of several.
SINGULAR = {"suite": "suites"}

# Options with their check and the aliases they apply to. Empty: all.
RUNS = {"bench", "debug", "list", "nightly"}
MEASURES = {"bench", "nightly"}
OPTIONS: dict[str, tuple[Callable[[str, str], str], set[str], str]] = {
    "target": (lambda n, v: v, set(), "qemu, host, baremetal; a list runs each"),
    "machine": (
        lambda n, v: v,
        MEASURES | {"debug"},
        "of target=qemu, baremetal; a list runs each",
    ),
    "suites": (suites, RUNS | {"trace"}, "which suites, e.g. heap,ipc"),
    "filter": (
        plain_word,
        RUNS | {"disasm", "trace"},
        "which rows: a part of the id, or a pattern with *",
    ),
    "rounds": (number(1, 1024), MEASURES, "rounds a boot"),
    "samples": (number(1, 4096), MEASURES, "windows a round"),
    "boots": (number(1, 64), MEASURES, "boots, or process starts on the host"),
    "seed": (number(0, 2**64 - 1), MEASURES, "order and random workloads"),
    "size": (one_of("quick", "full"), MEASURES, "quick, full"),
    "trace": (one_of("on", "off"), MEASURES, "off: no second pass, and no trace"),
    "variants": (variants, set(), "a folder with variants of your own"),
    "run": (plain_word, {"report", "trace", "export", "import"}, "which run, e.g. run=latest"),
    "serve": (one_of("on", "off"), {"trace"}, "on: until stopped, to the report's links"),
    "check": (plain_word, {"trace", "nightly"}, "a trace to be checked, a list; nightly: silence"),
    "a": (plain_word, {"compare", "bisect"}, "a run: an id, a commit, latest, latest~1"),
    "b": (plain_word, {"compare", "bisect"}, "the run that is held against it"),
    "format": (
        plain_word,
        {"compare", "export"},
        "text, markdown, json; export: a list of formats",
    ),
    "file": (plain_word, {"import"}, "what is brought in"),
    "row": (plain_word, {"bisect"}, "a row's whole id"),
    "keep": (number(1, 100000), {"nightly"}, "nights whose samples are kept"),
    "hours": (number(1, 100000), {"nightly"}, "of check=silence: how long a night may be ago"),
    "memory": (memory, {"bench", "debug"}, "of target=qemu, e.g. 256M, 8G; no letter: MiB"),
    "cpus": (number(1, CPUS_MOST), {"bench", "debug"}, "of machine=smp"),
    "numa": (number(1, NODES_MOST), {"bench", "debug"}, "nodes of machine=smp"),
    "disk": (disk, {"bench", "debug"}, "image for machine=smp, read-only; folder for target=host"),
    "writes": (
        one_of("on", "off"),
        {"bench", "debug"},
        "off, or on: a build of your own that may write to disks (docs/drivers.md)",
    ),
    "port": (plain_word, {"bench"}, "of target=baremetal: the serial port, e.g. /dev/ttyUSB0"),
    "speed": (number(1200, 4000000), {"bench"}, "of port=: bits a second at the start, 115200"),
    "flow": (one_of("auto", "on", "off"), {"bench"}, "of port=: RTS and CTS; auto: if CTS is on"),
    "disturb": (number(10, 1000000), {"bench"}, "of target=qemu: interrupt it every so many us"),
    "output": (one_of("framed", "text"), {"bench"}, "framed, or text for a person"),
    "die": (
        one_of("panic", "triple", "fault", "overflow", "hang", "exit"),
        {"bench"},
        "fail on purpose: panic, triple, fault, overflow, hang, exit",
    ),
}


@dataclass
class Options:
    """What the command line says, checked. `words` are passed on to the target."""

    targets: list[str] = field(default_factory=lambda: ["qemu"])
    machines: list[tuple[str, str]] = field(default_factory=list)  # (target, machine)
    aliases: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    def words(self) -> str:
        """The words of the target's own command line."""
        passed = ("suites", "filter", "rounds", "samples", "seed", "size", "die", "trace")
        passed += ("disturb",)
        return " ".join(f"{name}={self.values[name]}" for name in passed if name in self.values)


def machines_of(options: Options) -> list[tuple[str, str]]:
    """Every (target, machine) asked for, in order."""
    found = []
    for target in options.targets:
        module = places.TARGETS[target]
        names = list(module.DEFAULT_MACHINES)
        if "machine" in options.values and "machine" in module.OPTIONS:
            there = {name: machine.summary for name, machine in module.MACHINES.items()}
            names = [
                choice("machine", word, there, {}) for word in options.values["machine"].split(",")
            ]
        found += [(target, name) for name in names]
    return list(dict.fromkeys(found))


def check_places(options: Options) -> None:
    """Options of a target, or of a machine, must have one among those asked for."""
    for name in options.values:
        there = [target for target, module in places.TARGETS.items() if name in module.OPTIONS]
        if there and not set(there) & set(options.targets):
            raise UsageError(
                f"{name}= does not apply to target={','.join(options.targets)}, only "
                f"to target={','.join(there)}"
            )
        takers = [
            machine.name
            for module in places.TARGETS.values()
            for machine in module.MACHINES.values()
            if name in machine.options
        ]
        asked = [machine for _, machine in options.machines]
        if takers and not set(takers) & set(asked):
            raise UsageError(
                f"{name}= does not apply to machine={','.join(asked)}, only to "
                f"machine={','.join(takers)}"
            )


def check_disk(options: Options) -> None:
    """A folder is where target=host has its scratch file; an image is for a machine."""
    place = options.values.get("disk", "")
    if os.path.isdir(place) and "host" not in options.targets:
        raise UsageError(f"disk={place}: this is a folder: give a file with a disk's image")
    if os.path.isfile(place) and "smp" not in [name for _, name in options.machines]:
        raise UsageError(f"disk={place}: an image is for machine=smp; give target=host a folder")


def check_commands(options: Options) -> None:
    """What a target cannot do, and what only one of them can."""
    for target in options.targets:
        refused = getattr(places.TARGETS[target], "COMMANDS_NOT_HERE", {})
        for alias in options.aliases:
            if alias in refused:
                raise UsageError(f"target={target} {alias}: {refused[alias]}")
    if "bench" in options.aliases and "baremetal" in options.targets:
        if options.values.get("output") == "text":
            raise UsageError(
                "target=baremetal output=text: a terminal program shows it; choose quick in the"
                " machine's menu (docs/baremetal.md)"
            )
        if "port" not in options.values:
            raise UsageError(
                "target=baremetal bench: say where the machine is: port=/dev/ttyUSB0"
                " (docs/baremetal.md)"
            )
    if "image" in options.aliases and options.targets != ["baremetal"]:
        raise UsageError("image: only of target=baremetal: scons target=baremetal image")


NEEDED = {"compare": ("a", "b"), "bisect": ("row",), "import": ("file",)}
NIGHTLY_TARGETS = ["qemu", "host"]


def check_history(options: Options) -> None:
    """What the commands over several runs cannot do without."""
    for alias, needed in NEEDED.items():
        for name in needed:
            if alias in options.aliases and name not in options.values:
                raise UsageError(f"{alias}: say {name}= ({OPTIONS[name][2]})")
    if "nightly" in options.aliases and options.values.get("check", "silence") != "silence":
        raise UsageError(f"check={options.values['check']}: of nightly there is: silence")
    if "nightly" in options.aliases and "baremetal" in options.targets:
        raise UsageError("nightly: a real machine is booted by a person: scons bench port=")


def check_aliases(names: list[str]) -> list[str]:
    for name in names:
        if name not in ALIASES and name != "compile_commands.json" and name[:6] != "build/":
            raise UsageError(f"nothing is called {name}; there are: {', '.join(ALIASES)}")
    return [name for name in names if name in ALIASES]


def read(arguments: Mapping[str, str], names: list[str]) -> Options:
    """Checks everything; raises UsageError with one line."""
    options = Options(aliases=check_aliases(names))
    for given, value in arguments.items():
        name = SINGULAR.get(given, given)
        if name in arguments and name != given:
            raise UsageError(f"{given}= is the same as {name}=: give one of them")
        if name not in OPTIONS:
            raise UsageError(f"{name}=: no such option; there are: {', '.join(OPTIONS)}")
        check, applies, meaning = OPTIONS[name]
        if not value:
            raise UsageError(f"{name}=: give a value ({meaning}), or leave {name}= out")
        if applies and options.aliases and not applies & set(options.aliases):
            raise UsageError(
                f"{name}= does not apply to {' '.join(options.aliases)}; it is for "
                f"{', '.join(sorted(applies))}"
            )
        options.values[name] = check(name, value)
    if "target" in options.values:
        options.targets = [
            choice("target", word, TARGETS, {}) for word in options.values["target"].split(",")
        ]
    elif "nightly" in options.aliases:
        options.targets = list(NIGHTLY_TARGETS)
    check_commands(options)
    options.machines = machines_of(options)
    if "debug" in options.aliases:
        options.machines = options.machines[:1]
    check_places(options)
    check_disk(options)
    check_suites(options)
    check_history(options)
    for alias in ("debug", "disasm"):
        if alias in options.aliases and "filter" not in options.values:
            raise UsageError(
                f"{alias}: say which row: filter=heap/pair_64/hybrid; "
                "`scons list` shows them all"
            )
    if options.values.get("output") == "text" and options.values.get("trace") == "on":
        raise UsageError("trace=on: a trace needs output=framed")
    if "debug" in options.aliases and options.targets != ["qemu"]:
        raise UsageError("debug: only target=qemu; for the host run gdb on build/host/tickmark")
    return options


def help_text() -> str:
    lines = ["Tickmark finds out what kernel mechanisms really cost.", "", "Commands:"]
    lines += [f"  scons {name:<10} {text}" for name, text in ALIASES.items()]
    lines += ["", "Options, as name=value:"]
    lines += [f"  {name + '=':<10} {text}" for name, (_, _, text) in OPTIONS.items()]
    lines += [
        "",
        "Targets:  " + "; ".join(f"{n}: {t}" for n, t in TARGETS.items()),
        "Machines: "
        + "; ".join(
            f"{name}: {machine.summary}"
            for module in places.TARGETS.values()
            for name, machine in module.MACHINES.items()
            if "machine" in module.OPTIONS
        ),
        "Suites:   " + ", ".join(suite_names()),
        "Variable: TICKMARK_PEERS=FOLDER: where target=host looks for peers, and nowhere else",
        "Variable: TICKMARK_NOTIFY=COMMAND: run by nightly when its state changes",
        "",
        "Example:  scons target=qemu,host bench suites=heap",
    ]
    return "\n".join(lines) + "\n"
