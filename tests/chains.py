# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans run in the emulated router's rule engine: what it answers, what it counts, and what happens to packets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Observed,
    Settings,
    is_sub_name,
    list_all_command,
    list_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import link_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, unattributed
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import error_code, parse
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule
from router.firewall import Packet
from router.router import Router

PROFILE = _profile.load("broadcom")
SERVER = "203.0.113.9"


def say(router: Router, line: str) -> str:
    """A line as the router's command line runs it: what is not iptables is an unknown command, and changes nothing."""
    words = line.split()
    return router.iptables(words[1:]).text if words[:1] == ["iptables"] else "unrecognized command"


def observe(router: Router, settings: Settings = Settings()) -> Observed:
    """The chain and FORWARD, each listed by itself."""

    def chain(name: str) -> Chain | None:
        text = say(router, list_command(settings, name))
        if error_code(text, PROFILE.errors) == "no_such_chain":
            return None
        return parse("chains", PROFILE.chain_template, text)[0]

    forward = chain("FORWARD")
    assert forward
    return Observed(chain(settings.chain), forward)


def observe_all(router: Router, settings: Settings) -> Observed:
    """The same with the sub-chains, out of one listing."""
    listed = parse("chains", PROFILE.chain_template, say(router, list_all_command(settings)))
    chains = {chain.name: chain for chain in listed}
    subs = {name: chain for name, chain in chains.items() if is_sub_name(settings.chain, name)}
    return Observed(chains.get(settings.chain), chains["FORWARD"], subs)


def verdicts(router: Router, hosts: Iterable[str]) -> list[str]:
    """What happens to packets of every kind, without counting them."""
    found = []
    for inside in hosts:
        for outside in (SERVER, "127.81.4.9"):
            for state in ("NEW", "ESTABLISHED"):
                for port in (80, 443):
                    found += [
                        Packet(inside, outside, "br0", "ppp0", ctstate=state, destination_port=port, count=0, bytes=0),
                        Packet(outside, inside, "ppp0", "br0", ctstate=state, source_port=port, count=0, bytes=0),
                        Packet(inside, outside, "br0", "br0", ctstate=state, destination_port=port, count=0, bytes=0),
                    ]
    return [router.firewall.walk(packet, "FORWARD") for packet in found]


def foreign(router: Router) -> list[str]:
    """Everybody else's rules and counters. An empty chain that a cut `-N` left is named by a beginning of ours."""
    ours = tuple(f":{'TRAFFIC'[:length]} " for length in range(1, 8))
    lines = router.foreign_firewall(counters=True).splitlines()
    others = [line for line in lines if not re.match(r":TRAFFIC_[DU]?\w{0,3} |(\[[\d:]*\] )?-A TRAFFIC_[DU]\w{3} ", line)]
    return [line for line in others if not line.startswith(ours) and not line.startswith("#")]


class Traffic:
    """Packets through FORWARD, and the truth about them: bytes by host and direction, on interfaces to the Internet."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.truth: Counter[tuple[str, str]] = Counter()

    def use(self, host: str, size: int, wan: str = "ppp0", port: int = 443) -> None:
        """Both directions, and something that stays inside."""
        down = Packet(SERVER, host, wan, "br0", bytes=size, source_port=port)
        up = Packet(host, SERVER, "br0", wan, bytes=size // 3 + 1, destination_port=port)
        for direction, packet in (("download", down), ("upload", up)):
            self._router.firewall.walk(packet, "FORWARD")
            self.truth[host, direction] += packet.bytes
        self._router.firewall.walk(Packet(host, "192.168.1.1", "br0", "br1", bytes=size), "FORWARD")
        self._router.firewall.walk(Packet("192.168.1.1", host, "br1", "br0", bytes=size), "FORWARD")


def counted(observed: Observed) -> Counter[tuple[str, str]]:
    """Bytes by host and direction; those of the catch-all under the name ``rest``."""
    found: Counter[tuple[str, str]] = Counter()
    if observed.chain is None:
        return found
    for host, both in host_counters(observed.chain, observed.subs).items():
        for direction, counter in both.items():
            found[host, direction] = counter.bytes if counter else 0
    for direction, counter in (unattributed(observed.chain, observed.subs) or {}).items():
        found["rest", direction] = counter.bytes
    return found


def rules_met(observed: Observed, host: str, number: int, direction: str, wan: str = "ppp0") -> int:
    """How many rules of ours a packet of this host meets, up to the one that sends it back."""

    def meets(rule: Rule) -> bool:
        sides = (rule.in_interface, rule.out_interface) if direction == "download" else (rule.out_interface, rule.in_interface)
        place, other = (rule.destination, rule.source) if direction == "download" else (rule.source, rule.destination)
        link = link_of(rule)
        inside = link.block.first <= number < link.block.end if link and link.block else place in (None, host)
        return sides[0] in (None, wan) and not sides[1] and not other and inside

    def walk(rules: Iterable[Rule]) -> int:
        met = 0
        for rule in rules:
            met += 1
            if meets(rule):
                link = link_of(rule)
                if link:
                    return met + walk(observed.subs[link.target].rules)
                if rule.target == "RETURN":
                    return met
        return met

    return walk(observed.chain.rules if observed.chain else ())
