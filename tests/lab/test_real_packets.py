# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random firewalls, the same packets through the kernel and through the rule engine: every counter must agree."""

from __future__ import annotations

import random
import re
import shlex
import socket
import time
from collections.abc import Iterator

import pytest

from lab.iptables_grammar import rule_command
from lab.namespaces import run
from lab.network import SERVER, Lab, LanHost, lab
from lab.sockets import listen
from router.firewall import LEGACY_1_8_9, Firewall, Packet
from router.firewall import run as emulate

CHAINS = {"TRAFFIC", "FORWARD", "parental", "A"}
START = [
    "-N TRAFFIC", "-N parental", "-N A", "-A parental -m state --state ESTABLISHED -j ACCEPT", "-A FORWARD -j TRAFFIC",
    "-A FORWARD -i br0 -j parental", "-A TRAFFIC -i ppp0 -d 192.168.1.11 -j RETURN", "-A TRAFFIC -s 192.168.1.12", "-A TRAFFIC -g A",
]  # fmt: skip
PACKETS = 40


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    with lab(hosts=2, servers=()) as built:
        # Without address translation the server can start a conversation, too.
        built.iptables("-t", "nat", "-F")
        run("ip", "-n", built.wan, "route", "add", "192.168.1.0/24", "via", "100.64.7.20")
        yield built


def rules(seed: int) -> list[list[str]]:
    rng = random.Random(seed)
    lines = [shlex.split(line) for line in START]
    while len(lines) < 45:
        words = shlex.split(rule_command(rng))
        chain = next(words[number + 1] for number, word in enumerate(words) if word in ("-A", "-I", "-D", "-R", "-C"))
        # The kernel's limit knows the time, the engine's does not.
        if chain in CHAINS and "limit" not in words:
            lines.append(words)
    return lines


def install(network: Lab, seed: int) -> Firewall:
    firewall = Firewall()
    for table in ("filter", "mangle"):
        network.iptables("-t", table, "-F")
        network.iptables("-t", table, "-X")
    for words in rules(seed):
        if emulate(firewall, words, LEGACY_1_8_9).status == 0:
            network.iptables(*words)
    network.iptables("-Z")
    emulate(firewall, ["-Z"])
    network.iptables("-t", "mangle", "-Z")
    emulate(firewall, ["-t", "mangle", "-Z"])
    return firewall


class Talk:
    """One UDP conversation between a LAN host and the server, in the kernel and in the engine."""

    def __init__(self, network: Lab, firewall: Firewall, host: LanHost, port: int) -> None:
        self._firewall = firewall
        self._host = host
        self._port = port
        self._near = listen(host.namespace, (host.ip, port), socket.SOCK_DGRAM)
        self._far = listen(network.wan, (SERVER, port), socket.SOCK_DGRAM)
        self._opened_by = ""
        self._answered = False

    def say(self, direction: str, size: int) -> None:
        packet = self._packet(direction, size + 28)
        accepted = self._firewall.walk(packet) == "ACCEPT"
        source, destination = (self._near, self._far) if direction == "up" else (self._far, self._near)
        source.sendto(bytes(size), destination.getsockname())
        if accepted:
            destination.settimeout(5)
            destination.recv(2048)
            self._answered = self._answered or self._opened_by not in ("", direction)
            self._opened_by = self._opened_by or direction

    def _packet(self, direction: str, size: int) -> Packet:
        # A conversation is established as soon as one packet of each direction was seen, this one included.
        state = "ESTABLISHED" if self._answered or self._opened_by not in ("", direction) else "NEW"
        ends = (self._host.ip, SERVER, "br0", "ppp0") if direction == "up" else (SERVER, self._host.ip, "ppp0", "br0")
        return Packet(*ends, "udp", size, 1, state, self._port, self._port)

    def close(self) -> None:
        self._near.close()
        self._far.close()


@pytest.mark.parametrize("seed", range(8))
def test_every_counter_agrees(network: Lab, seed: int) -> None:
    firewall = install(network, seed)
    rng = random.Random(seed)
    # Ports that no other test of this module used: the kernel remembers conversations.
    talks = [Talk(network, firewall, rng.choice(network.hosts), 20000 + seed * 100 + number) for number in range(10)]
    try:
        for size in rng.choices(range(1400), k=PACKETS):
            rng.choice(talks).say(rng.choice(["up", "down"]), size)
        time.sleep(0.05)
        for words in (["-nvxL"], ["-t", "mangle", "-nvxL", "FORWARD"], ["-t", "mangle", "-nvxL"]):
            ours, theirs = chains(emulate(firewall, words, LEGACY_1_8_9).text), chains(network.iptables(*words))
            assert ours == theirs
    finally:
        for talk in talks:
            talk.close()


def chains(listing: str) -> dict[str, list[list[str]]]:
    """The packets and bytes of every rule, without the chains of other hooks: the machine may have something to say there."""
    blocks = [block.splitlines() for block in listing.split("\n\n")]
    counters = {lines[0].split()[1]: [line.split()[:2] for line in lines[2:]] for lines in blocks}
    policies = {lines[0].split()[1]: re.findall(r"\d+ (?=packets|bytes)", lines[0]) for lines in blocks}
    return {name: [policies[name], *rules] for name, rules in counters.items() if name in CHAINS}


def test_the_packets_do_reach_the_rules(network: Lab) -> None:
    """Equal zeros everywhere would prove nothing."""
    firewall = install(network, 1)
    talk = Talk(network, firewall, network.hosts[0], 29000)
    talk.say("up", 100)
    talk.close()
    assert ["1", "128"] in chains(network.iptables("-nvxL"))["FORWARD"]
