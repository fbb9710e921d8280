# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables filter and mangle: moved from one to the other, reloaded by the firmware, and not mixed up with others' chains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control import Place

from lab.flows import mixed
from lab.network import Lab, Passed, lab
from lab.spec import BACKENDS
from lab.ways import LabControl, servers, ssh

TABLES = ("filter", "mangle")
OTHER = {"filter": "mangle", "mangle": "filter"}


@pytest.fixture(params=BACKENDS)
def network(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(hosts=2, backend=request.param, servers=servers(ssh)) as built:
        yield built


@pytest.fixture
def control(tmp_path: Path, network: Lab) -> LabControl:
    return LabControl(tmp_path, network, ssh)


def read(control: LabControl, table: str) -> dict[str, Any]:
    """What counters_info says of a table."""
    place = control.network.at("sshd")
    variables = {"traffic_backend": "iptables", "traffic_table": table, **ssh(control.network, control.folder)}
    return control.module(Place(*place, password=""), "counters_info", **variables).result()


def codes(found: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in found["chain"]["problems"]]


def both(one: Any) -> Passed:
    """As the truth has it."""
    return Passed(**{key: one[key] for key in ("download_bytes", "download_packets", "upload_bytes", "upload_packets")})


def by_host(found: dict[str, Any]) -> dict[str, Passed]:
    return {one["ip"]: both(one) for one in found["counters"]}


def in_table(network: Lab, table: str) -> str:
    return network.iptables("-t", table, "-S")


def others(network: Lab) -> list[str]:
    return [network.foreign_firewall(table=table) for table in TABLES]


@pytest.mark.parametrize("table", TABLES)
def test_a_move_keeps_each_byte_and_the_marker(network: Lab, control: LabControl, table: str) -> None:
    untouched = others(network)
    assert control.play("setup_traffic", traffic_table=table).recap()["changed"] == 1
    late = network.add_host()  # without a rule: its bytes are the catch-all's
    network.flows(mixed(network.hosts, 10))
    early = network.settle()
    before = read(control, table)

    assert control.play("setup_traffic", traffic_table=OTHER[table], traffic_hosts=[one.ip for one in network.hosts[:2]]).status == 0
    moved = read(control, OTHER[table])
    assert by_host(moved) == by_host(before) == {one.ip: early[one.ip] for one in network.hosts[:2]}
    assert both(moved["unattributed"]) == both(before["unattributed"]) == early[late.ip]
    assert min(early[one.ip].upload_bytes for one in network.hosts) > 100_000
    assert moved["marker"] == before["marker"]
    assert moved["marker"]
    assert (moved["table"], codes(moved)) == (OTHER[table], [])
    assert "TRAFFIC" not in in_table(network, table)

    network.flows(mixed(network.hosts, 10))
    truth = network.settle()
    counted = read(control, OTHER[table])
    assert by_host(counted) == {one.ip: truth[one.ip] for one in network.hosts[:2]}
    assert both(counted["unattributed"]) == truth[late.ip]
    assert others(network) == untouched


RELOADS = {"rebuild": "jump_missing", "insert": "jump_not_first", "replace": "chain_missing"}


@pytest.mark.parametrize("table", TABLES)
def test_a_reload_is_recognised_and_repaired(network: Lab, control: LabControl, table: str) -> None:
    control.play("setup_traffic", traffic_table=table)
    marker = read(control, table)["marker"]
    begun = network.settle()
    for way, code in RELOADS.items():
        network.flows(mixed(network.hosts, 5))
        network.settle()
        network.reload_firewall(way, table)
        firmware = others(network)
        seen = read(control, table)
        assert codes(seen) == [code]
        assert seen["chain"]["installed"] == (way == "insert")

        # What the firmware has not thrown away is still there; a chain that began anew has another marker.
        assert control.play("setup_traffic", traffic_table=table).recap()["changed"] == 1
        if way == "replace":
            begun = network.settle()
        network.datagrams(network.hosts[0], download=[1400], upload=[7])
        truth = network.settle()
        repaired = read(control, table)
        assert (codes(repaired), repaired["chain"]["jump_position"], repaired["chain"]["references"]) == ([], 1, 1)
        assert by_host(repaired) == {ip: truth[ip] - begun[ip] for ip in truth}
        assert (repaired["marker"] == marker) == (way != "replace")
        assert others(network) == firmware


def test_two_chains_of_ours_are_not_mixed(network: Lab, control: LabControl) -> None:
    """As after firmware that brought back an old table from a copy."""
    control.play("setup_traffic", traffic_table="filter")
    network.datagrams(network.hosts[0], download=[100], upload=[100])
    copied = network.box.tool("iptables-save", "-t", "filter")
    control.play("remove_traffic")
    control.play("setup_traffic", traffic_table="mangle")
    network.box.tool("iptables-restore", stdin=copied)
    network.datagrams(network.hosts[0], download=[100], upload=[100])

    before = [in_table(network, table) for table in TABLES]
    for table in TABLES:
        refused = control.play("setup_traffic", traffic_table=table)
        assert refused.status == 2
        words = " ".join(refused.out.split())
        assert "There is a chain TRAFFIC in both tables, filter and mangle, and each has counted by itself" in words
        assert "run remove_traffic, which shows what both had counted and takes both away." in words
    assert [in_table(network, table) for table in TABLES] == before
    assert control.play("remove_traffic").recap()["changed"] == 1
    assert not any("TRAFFIC" in in_table(network, table) for table in TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_somebody_elses_chain_in_the_other_table_stays(network: Lab, control: LabControl, table: str) -> None:
    theirs = OTHER[table]
    for line in ("-N TRAFFIC", "-A TRAFFIC -p tcp --dport 25", "-A FORWARD -j TRAFFIC"):
        network.iptables("-t", theirs, *line.split())
    network.stream(network.hosts[0], download=1000)
    untouched = in_table(network, theirs)

    assert control.play("setup_traffic", traffic_table=table).recap()["changed"] == 1
    assert codes(read(control, table)) == []
    assert in_table(network, theirs) == untouched
    assert control.play("setup_traffic", traffic_table=table).recap()["changed"] == 0
    assert control.play("remove_traffic", traffic_table=table).recap()["changed"] == 1
    assert "TRAFFIC" not in in_table(network, table)
    assert in_table(network, theirs) == untouched
