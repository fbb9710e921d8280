# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks against a real kernel: set up, use the link, report exactly those bytes, leave no trace."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control import Control, Place

from lab.network import Lab, Passed, lab


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    with lab(hosts=3) as built:
        yield built


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def router(network: Lab) -> Place:
    return Place(*network.loopback)


def report(control: Control) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((control.folder / "reports/home.json").read_text(encoding="utf-8"))
    return found


def bytes_of(passed: Passed) -> tuple[int, int]:
    return passed.download_bytes, passed.upload_bytes


def test_the_report_is_what_the_kernel_forwarded(network: Lab, control: Control) -> None:
    """To the byte, against counters of another table, with a host that appears after the set-up."""
    first, second, late = network.hosts
    untouched = network.foreign_firewall(), network.foreign_firewall(table="mangle")
    start = network.truth()
    done = control.playbook(router(network), "setup_traffic", "-e", json.dumps({"traffic_hosts": [first.ip, second.ip]}))
    assert done.status == 0, done.out
    assert "home: counting 2 hosts on ppp0, after 9 commands." in done.out

    network.stream(first, download=3_000_000, upload=40_000)
    network.datagrams(second, download=[1400, 0, 17], upload=[5])
    network.stream(late, download=500_000, upload=1)
    early = network.settle()[late.ip]
    again = control.playbook(router(network), "setup_traffic")
    assert again.recap()["changed"] == 1
    network.stream(late, download=70_000, upload=9_000)
    truth = network.settle()

    shown = control.playbook(router(network), "report")
    assert shown.status == 0, shown.out
    assert "ali-laptop" in shown.out
    found = report(control)
    rows = {host["ip"]: (host["download_bytes"], host["upload_bytes"]) for host in found["hosts"]}
    assert rows[first.ip] == bytes_of(truth[first.ip])
    assert rows[second.ip] == bytes_of(truth[second.ip])
    assert rows[late.ip] == tuple(a - b for a, b in zip(bytes_of(truth[late.ip]), bytes_of(early), strict=True))
    assert found["unattributed"] == {"download_bytes": early.download_bytes, "upload_bytes": early.upload_bytes}
    assert found["totals"]["download_bytes"] == sum(one.download_bytes for one in truth.values())
    assert all(passed.download_bytes == 0 for passed in start.values())
    assert (network.foreign_firewall(), network.foreign_firewall(table="mangle")) == untouched

    with (control.folder / "reports/home.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert any(str(truth[first.ip].download_bytes) in row.values() for row in table)

    assert control.playbook(router(network), "setup_traffic").recap()["changed"] == 0
    assert control.playbook(router(network), "remove_traffic").recap()["changed"] == 1
    assert "TRAFFIC" not in network.iptables("-S")
    assert (network.foreign_firewall(), network.foreign_firewall(table="mangle")) == untouched
    assert all(session["ended"] == "exit" for session in network.sessions())


def test_the_plan_means_the_same_to_the_real_iptables(network: Lab, control: Control) -> None:
    """What the router lists afterwards is what the preview showed."""
    previewed = control.playbook(router(network), "setup_traffic", "--check", "--diff", "-e", "traffic_chain=Who_is-it")
    expected = [line[len("+iptables ") :] for line in previewed.out.splitlines() if line.startswith("+iptables ")]
    assert "Who_is-it" not in network.iptables("-S")
    assert control.playbook(router(network), "setup_traffic", "-e", "traffic_chain=Who_is-it").status == 0
    assert rules(network.iptables("-S").splitlines()) == rules(expected)
    assert network.iptables("-S", "FORWARD").splitlines()[1] == "-A FORWARD -j Who_is-it"
    assert control.playbook(router(network), "remove_traffic", "-e", "traffic_chain=Who_is-it").status == 0
    assert "Who_is-it" not in network.iptables("-S")


def rules(lines: list[str]) -> list[list[str]]:
    """The rules of the chain, without the random marker; iptables prints the words of a rule in an order of its own."""
    ours = (line.replace("/32", "") for line in lines if line.startswith("-A Who_is-it "))
    return [sorted(line.split()) for line in ours if " -s 127." not in line]


@pytest.mark.parametrize("playbook", ["setup_traffic", "remove_traffic"])
def test_cut_in_the_middle_of_a_command_and_run_again(network: Lab, control: Control, playbook: str) -> None:
    untouched = network.foreign_firewall()
    if playbook == "remove_traffic":
        control.playbook(router(network), "setup_traffic")
    try:
        for limit in (380, 401, 422, 443, 464):
            network.set_faults(cut_after_received=limit, cut_runs_partial=True)
            cut = control.playbook(router(network), playbook)
            assert cut.status == 2, cut.out
            assert "Run it again" in cut.out
            network.datagrams(network.hosts[0], download=[100], upload=[100])
            assert network.foreign_firewall() == untouched
    finally:
        network.set_faults()
    assert control.playbook(router(network), playbook).status == 0
    assert network.iptables("-S").count("-j TRAFFIC") == (1 if playbook == "setup_traffic" else 0)
    assert control.playbook(router(network), playbook).recap()["changed"] == 0
    control.playbook(router(network), "remove_traffic")
    assert network.foreign_firewall() == untouched
