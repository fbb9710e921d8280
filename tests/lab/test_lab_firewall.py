# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware's firewall: what it lets through, and that each way of reloading it does to a counting chain what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.network import Lab, connect, lab
from lab.spec import BACKENDS

COUNTING = ("-N TRAFFIC", "-A TRAFFIC -i eth0.2", "-I FORWARD 1 -j TRAFFIC")


@pytest.fixture(params=BACKENDS)
def network(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(hosts=2, wan="eth0.2", backend=request.param, servers=()) as built:
        yield built


def count(network: Lab, table: str) -> None:
    for line in COUNTING:
        network.iptables("-t", table, *line.split())
    network.datagrams(network.hosts[0], download=[1], upload=[1])


def forward(network: Lab, table: str) -> list[str]:
    return network.iptables("-t", table, "-S", "FORWARD").splitlines()[1:]


def test_it_is_the_backend_that_was_asked_for(network: Lab) -> None:
    version = network.box.run("iptables", "-V")
    assert ("nf_tables" in version) == (network.spec.backend == "nft")
    assert ("nf_tables" in network.box.run("iptables-restore", "-V")) == (network.spec.backend == "nft")


def test_out_is_open_and_in_is_shut(network: Lab) -> None:
    assert all(network.ping(host) for host in network.hosts)
    with pytest.raises(OSError):
        connect(network.wan, ("192.168.1.11", 80)).close()


@pytest.mark.parametrize("table", ["filter", "mangle"])
def test_rebuild_takes_the_jump_and_leaves_the_chain(network: Lab, table: str) -> None:
    fresh = forward(network, table)
    count(network, table)
    network.reload_firewall("rebuild", table)
    assert forward(network, table) == fresh
    assert network.iptables("-t", table, "-nvxL", "TRAFFIC").splitlines()[2].split()[:2] == ["1", "29"]
    assert network.ping(network.hosts[0])


@pytest.mark.parametrize("table", ["filter", "mangle"])
def test_insert_pushes_the_jump_down(network: Lab, table: str) -> None:
    count(network, table)
    before = forward(network, table)
    network.reload_firewall("insert", table)
    after = forward(network, table)
    assert after[2:] == before
    assert after.index("-A FORWARD -j TRAFFIC") == 2
    assert network.ping(network.hosts[0])


@pytest.mark.parametrize("table", ["filter", "mangle"])
def test_replace_takes_everything(network: Lab, table: str) -> None:
    fresh = network.foreign_firewall(table=table)
    other = {"filter": "mangle", "mangle": "filter"}[table]
    count(network, table)
    count(network, other)
    network.reload_firewall("replace", table)
    assert "TRAFFIC" not in network.iptables("-t", table, "-S")
    assert "TRAFFIC" in network.iptables("-t", other, "-S")
    assert network.foreign_firewall(table=table) == fresh
    assert network.ping(network.hosts[0])


def test_foreign_rules_and_their_counters_are_seen_without_ours(network: Lab) -> None:
    count(network, "filter")
    before = network.foreign_firewall(counters=True)
    assert "TRAFFIC" not in before
    network.iptables("-A", "TRAFFIC", "-o", "eth0.2")
    assert network.foreign_firewall(counters=True) == before
    network.datagrams(network.hosts[0], download=[1], upload=[1])
    assert network.foreign_firewall(counters=True) != before
    without = network.foreign_firewall()
    network.iptables("-A", "FORWARD", "-p", "tcp")
    assert network.foreign_firewall() != without
