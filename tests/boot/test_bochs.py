# SPDX-License-Identifier: MIT
"""The kernel in Bochs, which complains about what QEMU takes in silence.

TICKMARK_PROBE is the path of the kernel with tests/boot/probe.c.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bochs  # noqa: E402
import configurations  # noqa: E402
from configurations import Configuration, iso_for  # noqa: E402
from probe_kernel import kernel  # noqa: E402

pytestmark = pytest.mark.skipif(bochs.problem() is not None, reason=str(bochs.problem()))

END = b"probe end=1\n"
OVERRUN = "com1: transmit FIFO overflow"


# As many CPUs of more models as the tests have time for; each instruction takes a hundred of ours.
MACHINES = [(bochs.CPU, 2)]
MORE_MACHINES = [
    (bochs.CPU, 1),
    ("broadwell_ult", 1),
    ("corei7_icelake_u", 1),
    ("ryzen", 2),
    (bochs.CPU, 4),
]


@pytest.mark.parametrize(
    "cpu,cpus", MACHINES + MORE_MACHINES * configurations.is_soak(), ids=lambda v: str(v)
)
def test_the_kernel_boots_and_nothing_complains(cpu: str, cpus: int, tmp_path: Path) -> None:
    machine = Configuration("bochs", "bios-cd", cpus, 64)
    iso = iso_for(kernel(), tmp_path, machine.arguments())
    done = bochs.run(iso, tmp_path, END, cpu, cpus, machine.memory)
    assert done.ended, done.line[-500:].decode("latin-1") + done.log[-2000:]
    assert configurations.wrong_facts(machine, done.facts) == {}
    assert done.complaints == []
    assert f"CPU{cpus - 1}  ] " in done.log and f"CPU{cpus}  ] " not in done.log


def on_two_cpus(tmp_path: Path, deed: str) -> dict[str, str]:
    iso = iso_for(kernel(), tmp_path, f"clock=emulated apic=x2 count=100 do={deed}")
    done = bochs.run(iso, tmp_path, END, cpus=2)
    assert done.ended and done.complaints == [], done.line[-500:]
    assert done.facts["apic"].startswith("x2apic") and done.facts["cpus.running"] == "2"
    assert "pcid" in done.facts["cpu.protection"].split(",")
    return done.facts


def test_timer_fires_at_the_deadline_of_the_time_stamp_counter(tmp_path: Path) -> None:
    facts = on_two_cpus(tmp_path, "timer_once")
    assert facts["apic.deadline"] == "yes"
    assert (facts["once.fired"], facts["once.early"]) == ("100", "0")


def test_messages_between_cpus_arrive_in_x2apic_mode(tmp_path: Path) -> None:
    facts = on_two_cpus(tmp_path, "ipi_storm")
    assert facts["storm.sent"] == facts["storm.calls"] == "100"
    assert facts["storm.changed"] == "0"


def test_address_spaces_keep_apart_by_pcid(tmp_path: Path) -> None:
    """What TCG cannot play: numbers that are kept, used up, and given again."""
    facts = on_two_cpus(tmp_path, "paging_contexts")
    assert facts["contexts.pcid"] == facts["contexts.invpcid"] == "1"
    assert facts["contexts.wrong"] == "0"
    assert int(facts["contexts.kept"]) > 20 and int(facts["contexts.recycled"]) > 0


def test_cpus_shoot_at_each_other_with_pcids(tmp_path: Path) -> None:
    facts = on_two_cpus(tmp_path, "paging_storm")
    assert facts["storm.cpus"] == "2" and facts["storm.answered"] == facts["storm.asked"]
    assert facts["storm.stale"] == facts["storm.failed"] == facts["storm.unanswered"] == "0"
    assert int(facts["storm.shots"]) > 10 and int(facts["storm.seen"]) > 10


def test_a_transmitter_that_is_overrun_is_a_complaint(tmp_path: Path) -> None:
    arguments = "clock=emulated do=overrun"
    done = bochs.run(iso_for(kernel(), tmp_path, arguments), tmp_path, END)
    assert done.ended
    # That is what the model was chosen for.
    assert {"x2apic", "pcid", "tsc_deadline", "smep", "bmi1"} <= done.features
    assert any(OVERRUN in row for row in done.complaints), done.complaints


def test_only_errors_are_complaints() -> None:
    log = (
        "00000000000i[SER   ] com1: FIFO enabled\n"
        f"00000000012e[SER   ] {OVERRUN}\n"
        "00000000013d[SER   ] e[nothing\n"
        "00000000014p[CPU0  ] >>PANIC<< exception\n"
    )
    assert bochs.complaints(log) == [log.splitlines()[1], log.splitlines()[3]]
