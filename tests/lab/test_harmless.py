# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Harmless, on a real kernel: a conversation with the router breaks anywhere, and everything passes as before."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from lab.engine import LINES, Line, Order, Stops, TrafficError, processes, wait_for_quiet
from lab.network import Lab, lab
from lab.passing import Passing, passing

HOSTS = ("192.168.1.11", "192.168.1.12")
CUTS = 25  # for each plan in each of eight ways: 200 for each plan

PLANS: dict[str, tuple[Order | None, Order]] = {
    "set-up": (None, Order("present", HOSTS)),
    "update": (Order("present", HOSTS[:1]), Order("present", HOSTS)),
    "flush": (Order("present", HOSTS), Order("empty")),
    "removal": (Order("present", HOSTS), Order("absent")),
}
MARKER = "MARKER"

Counted = tuple[int, int]


@dataclass
class Firewall:
    """``iptables-save -c`` of all tables: ours, and everybody else's with its counters."""

    ours: list[tuple[str, Counted]]
    foreign: list[tuple[str, Counted]]

    @classmethod
    def of(cls, text: str) -> Firewall:
        found = cls([], [])
        table = ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line
            elif row := _row(line):
                (found.ours if "TRAFFIC" in row[0] else found.foreign).append((f"{table} {row[0]}", row[1]))
        return found

    def rules(self) -> list[str]:
        return [rule for rule, _counted in self.ours]

    def total(self, way: str) -> Counted:
        """What all our rules that count ``-i ppp0`` or ``-o ppp0`` have counted."""
        return _sum(counted for rule, counted in self.ours if way in rule)


def _row(line: str) -> tuple[str, Counted] | None:
    if chain := re.match(r":(\S+) (\S+) \[(\d+):(\d+)\]", line):
        # What goes to the router itself, our own conversation, shows in the policies of the other built-in chains.
        there = chain[1] == "FORWARD" or chain[2] == "-"
        return (f":{chain[1]} {chain[2]}", (int(chain[3]), int(chain[4])) if there else (0, 0))
    if rule := re.match(r"\[(\d+):(\d+)\] (.*)", line):
        return re.sub(r"-s 127\.\S+ -d 127\.\S+", MARKER, rule[3]), (int(rule[1]), int(rule[2]))
    return None


def _sum(several: Iterator[Counted] | list[Counted]) -> Counted:
    packets, sizes = zip(*several, strict=True) if (several := list(several)) else ((), ())
    return sum(packets), sum(sizes)


def wanted(order: Order) -> list[str]:
    """What must be there in the end, without the order of hosts."""
    if order.state == "absent":
        return []
    hosts = order.hosts
    rules = [MARKER, *(f"-d {host}/32 -i ppp0 -j RETURN" for host in hosts), *(f"-s {host}/32 -o ppp0 -j RETURN" for host in hosts)]
    rules = [*rules, "-i ppp0", "-o ppp0"] if order.state == "present" else []
    return sorted(f"*filter {one}" for one in (":TRAFFIC -", "-A FORWARD -j TRAFFIC", *(f"-A TRAFFIC {rule}" for rule in rules)))


class Patient:
    """A router whose conversations break, and who looks after it."""

    plans = PLANS

    def __init__(self, network: Lab, packets: Passing) -> None:
        self.network = network
        self.stops: Stops | None = None
        self.lines: dict[str, Line] = {name: line(network) for name, line in LINES.items()}
        self._packets = packets
        self._idle = processes(network)
        self._prepared: dict[str, str] = {}
        packets.once()
        # With nft, chains have counters of their own only when iptables-restore has made them.
        self.restore(self.save())
        before = self.firewall()
        truth = network.everything().total
        packets.once()
        self.share = [(rule, _minus(now, then)) for (rule, now), (_rule, then) in zip(self.firewall().foreign, before.foreign, strict=True)]
        """By what each foreign rule grows with one lot of packets."""
        passed = network.everything().total - truth
        self.passed = {"-i ppp0": (passed.download_packets, passed.download_bytes), "-o ppp0": (passed.upload_packets, passed.upload_bytes)}
        self._bare = self.save()

    def save(self) -> str:
        """All that is there, as text."""
        return self.network.box.tool("iptables-save", "-c")

    def restore(self, text: str) -> None:
        """Make it so again."""
        self.network.box.tool("iptables-restore", "-c", stdin=text)

    def read(self, text: str) -> Firewall:
        """What such a text says."""
        return Firewall.of(text)

    def wanted(self, order: Order) -> list[str]:
        """What must be there in the end."""
        return wanted(order)

    def firewall(self) -> Firewall:
        return self.read(self.save())

    def prepare(self, plan: str) -> Firewall:
        """As it is before the plan, with something counted already."""
        first = self.plans[plan][0]
        if plan not in self._prepared:
            self.restore(self._bare)
            if first:
                self.lines["exec"].bring(first)
                self._packets.once()
            self._prepared[plan] = self.save()
        self.restore(self._prepared[plan])
        return self.read(self._prepared[plan])

    def undisturbed(self, plan: str, line: Line) -> tuple[int, int]:
        """The bytes of a whole conversation."""
        self.prepare(plan)
        before = line.passed
        line.bring(self.plans[plan][1])
        wait_for_quiet(self.network, self._idle)
        return line.passed[0] - before[0], line.passed[1] - before[1]

    def cut_and_finish(
        self, plan: str, line: Line, cut: AbstractContextManager[None] = nullcontext(), check: Callable[[], None] = lambda: None
    ) -> bool:
        """Whether it was cut. Afterwards all passes as before (and ``check``), and one run reaches what was wanted."""
        before, order = self.prepare(plan), self.plans[plan][1]
        struck = False
        with cut:
            try:
                line.bring(order)
            except TrafficError as error:
                struck = True
                assert "Run it again" in str(error) or "during the log-in" in str(error)
        line.limit()
        wait_for_quiet(self.network, self._idle)
        assert self.firewall().foreign == before.foreign
        check()
        self._packets.once()
        self.lines["exec"].bring(order)
        self._packets.once()
        self._expect_all(plan, before)
        return struck

    def _expect_all(self, plan: str, before: Firewall) -> None:
        twice = [(rule, _plus(then, share, share)) for (rule, then), (_rule, share) in zip(before.foreign, self.share, strict=True)]
        deadline = time.monotonic() + 2  # a packet that is dropped tells nobody when it has arrived
        while (now := self.firewall()).foreign != twice and time.monotonic() < deadline:
            continue
        assert now.foreign == twice
        assert sorted(now.rules()) == self.wanted(self.plans[plan][1])
        for way, passed in self.passed.items():
            grown = _minus(now.total(way), before.total(way))
            # Before a set-up has set its jump, nothing is counted; then every byte, and once.
            assert grown in {"set-up": [passed, _plus(passed, passed)], "update": [_plus(passed, passed)]}.get(plan, [grown])


def _plus(*several: Counted) -> Counted:
    return _sum(list(several))


def _minus(one: Counted, other: Counted) -> Counted:
    return one[0] - other[0], one[1] - other[1]


VARIANTS = [(backend, without) for backend in ("legacy", "nft") for without in ((), ("iptables-restore",))]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: "-no-".join([variant[0], *variant[1]]))
def patient(request: pytest.FixtureRequest) -> Iterator[Patient]:
    backend, without = request.param
    with lab(hosts=2, backend=backend, without=without, servers=("telnet",)) as network, passing(network) as packets:
        yield Patient(network, packets)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("plan", PLANS)
def test_cut_at_random_bytes(patient: Patient, plan: str, line: str) -> None:
    way = patient.lines[line]
    up, down = patient.undisturbed(plan, way)
    chance = random.Random(f"{plan} {line}")
    struck = 0
    for number in range(CUTS):
        way.limit(*((chance.randrange(up), None) if number % 2 else (None, chance.randrange(down))))
        struck += patient.cut_and_finish(plan, way)
    assert struck > CUTS * 0.8


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("plan", PLANS)
def test_cut_before_in_and_after_every_command(patient: Patient, plan: str, line: str) -> None:
    stops = patient.stops = patient.stops or Stops(patient.network)
    way = patient.lines[line]
    patient.prepare(plan)
    stops.reset()
    patient.undisturbed(plan, way)
    calls = stops.calls
    changes = [number for number, call in enumerate(calls, 1) if "-nvxL" not in call]
    assert changes
    for number in range(1, len(calls) + 1):

        def this_command_was_finished_and_no_other_begun(number: int = number) -> None:
            assert len(stops.calls) == number + 1
            assert stops.calls[-1] == "finished"

        assert patient.cut_and_finish(plan, way, stops.at(number, "before", way.cut), this_command_was_finished_and_no_other_begun)
    for number in changes:
        patient.cut_and_finish(plan, way, stops.at(number, "in", way.cut))
