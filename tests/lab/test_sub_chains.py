# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sub-chains in a real kernel, with real packets: iptables of both kinds, IPv4 and IPv6, to the byte."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from chains import counted

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Observed,
    Settings,
    Step,
    Wanted,
    command,
    is_sub_name,
    list_all_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import problems
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_tree import is_split
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import parse
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import TEMPLATES
from lab.gateway import Gateway, gateway
from lab.namespaces import SYSTEM_PATH

HOSTS = 100
STRANGERS = 5
NAMES = {4: "iptables", 6: "ip6tables"}


class Counting:
    """The chain on a gateway's router, by one program of one family."""

    def __init__(self, network: Gateway, kind: str) -> None:
        self._network = network
        self._program = f"{NAMES[network.family]}-{kind}"
        program = shutil.which(self._program, path=SYSTEM_PATH)
        assert program, f"no {self._program} on this machine"
        self.settings = Settings(program=program, family=4 if network.family == 4 else 6)
        self._marker = Marker.of(self.settings.family, 1 << 100 | 1)

    def observe(self) -> Observed:
        text = self._network.run(*list_all_command(self.settings).split())
        template = TEMPLATES / "textfsm" / f"{NAMES[self._network.family]}.textfsm"
        listed = {chain.name: chain for chain in parse("chains", template, text)}
        subs = {name: chain for name, chain in listed.items() if is_sub_name("TRAFFIC", name)}
        return Observed(listed.get("TRAFFIC"), listed["FORWARD"], subs)

    def plan(self, hosts: Sequence[str]) -> tuple[Step, ...]:
        return plan_present(self.settings, self.observe(), Wanted(tuple(hosts), ("ppp0",), family=self.settings.family), self._marker)

    def restore(self, steps: Sequence[Step]) -> None:
        """All in one change."""
        lines = [command(self.settings, step).removeprefix(f"{self.settings.program} ") for step in steps]
        text = "\n".join(["*filter", *lines, "COMMIT", ""])
        self._network.run(f"{self._program}-restore", "--noflush", stdin=text)

    def one_by_one(self, steps: Sequence[Step]) -> None:
        for step in steps:
            assert self._network.run(*command(self.settings, step).split()) == ""


@pytest.fixture(scope="module", params=[4, 6], ids=["IPv4", "IPv6"])
def network(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with gateway(request.param, HOSTS + STRANGERS) as built:
        yield built


@pytest.fixture(params=["legacy", "nft"])
def counting(request: pytest.FixtureRequest, network: Gateway) -> Iterator[Counting]:
    made = Counting(network, request.param)
    yield made
    made.restore(plan_absent(made.settings, made.observe()))
    left = made.observe()
    assert (left.chain, left.forward.rules, left.subs) == (None, (), {})


def test_every_host_and_the_rest_to_the_byte(network: Gateway, counting: Counting) -> None:
    hosts, strangers = network.hosts[:HOSTS], network.hosts[HOSTS:]
    steps = counting.plan(hosts)
    before = counting.observe()
    counting.restore(steps)
    seen = counting.observe()
    expected = simulate(counting.settings, before, steps)
    assert seen.chain
    assert seen.subs == expected.subs
    assert is_split(counting.settings, seen)
    assert problems(counting.settings, seen, ["ppp0"]) == []
    assert counting.plan(hosts) == ()

    truth: Counter[tuple[str, str]] = Counter()
    with network.server() as far:
        for number, host in enumerate((*hosts, *strangers)):
            truth += network.talk(far, host, 10 + number, 500 + 2 * number)
    found = counted(counting.observe())
    assert {key: found[key] for key in truth if key[0] in hosts} == {key: truth[key] for key in truth if key[0] in hosts}
    for direction in ("download", "upload"):
        assert found["rest", direction] == sum(truth[host, direction] for host in strangers)


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "command by command"])
def test_growing_under_traffic_loses_nothing(network: Gateway, counting: Counting, whole: bool) -> None:
    """From one chain to sub-chains, and to more of them: no byte is lost, none is counted twice, not even for a moment."""
    few, more = network.hosts[:10], network.hosts[:40]
    talkers = [*few[:3], more[20], network.hosts[-1]]
    bring = counting.restore if whole else counting.one_by_one
    counting.restore(counting.plan(few))
    with network.chatter(talkers) as truth:
        for hosts in (more, network.hosts[:HOSTS]):
            before = counted(counting.observe())
            bring(counting.plan(hosts))
            after = counted(counting.observe())
            assert all(after[key] >= before[key] for key in before)
    found = counted(counting.observe())
    assert {host for host, _direction in truth} == set(talkers)
    assert sum(found.values()) == sum(truth.values())
    for key in ((host, direction) for host in few[:3] for direction in ("download", "upload")):
        assert found[key] == truth[key]
