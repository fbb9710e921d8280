# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans for IPv6, run by real programs of both kinds, and read back from their listings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Observed,
    Settings,
    Step,
    Wanted,
    command,
    list_all_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import hosts_of, marker
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import problems
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import parse
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import TEMPLATES
from lab.namespaces import SYSTEM_PATH, inside, namespaces, run

MARKER = Marker.of(6, 0x0123456789ABCDEF_FEDCBA9876543210)
HOSTS = ("2001:db8:1::2", "2001:db8:1:0:a00:27ff:fe4e:66a1", "fd12:3456::9")
Plan = Callable[[Settings, Observed], Sequence[Step]]


@pytest.fixture(params=["ip6tables-legacy", "ip6tables-nft"])
def network(request: pytest.FixtureRequest) -> Iterator[tuple[str, Settings]]:
    program = shutil.which(request.param, path=SYSTEM_PATH)
    assert program, f"no {request.param} on this machine"
    with namespaces("ip6") as (name,):
        yield name, Settings(program=program, family=6)


def observe(name: str, settings: Settings) -> Observed:
    text = run(*inside(name, *list_all_command(settings).split()))
    chains = {chain.name: chain for chain in parse("chains", TEMPLATES / "textfsm" / "ip6tables.textfsm", text)}
    return Observed(chains.get(settings.chain), chains["FORWARD"])


def present(*hosts: str) -> Plan:
    return lambda settings, seen: plan_present(settings, seen, Wanted(hosts, ("ppp0",), family=6), MARKER)


@pytest.mark.parametrize("table", ["filter", "mangle"])
def test_every_plan_leads_where_it_should(network: tuple[str, Settings], table: str) -> None:
    name, settings = network
    settings = replace(settings, table=table)
    for number, plan in enumerate((present(*HOSTS[:2]), present(*HOSTS), plan_empty, present(*HOSTS), plan_absent)):
        seen = observe(name, settings)
        steps = plan(settings, seen)
        assert steps
        for step in steps:
            assert run(*inside(name, *command(settings, step).split())) == ""
        after = observe(name, settings)
        assert plan(settings, after) == ()
        expected = simulate(settings, seen, steps)
        assert (after.chain and after.chain.rules, after.forward) == (expected.chain and expected.chain.rules, expected.forward)
        if after.chain and number in (1, 3):
            assert hosts_of(after.chain) == list(HOSTS)
            assert marker(after.chain) == MARKER
            assert problems(settings, after, ["ppp0"]) == []
