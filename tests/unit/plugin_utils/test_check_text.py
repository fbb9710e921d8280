# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `check` tells in the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from readings import HOSTILE_NAMES

from ansible_collections.homenet.traffic.plugins.plugin_utils._check_text import check_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import UNFIT
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import WIDTH
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import width

GOOD: dict[str, Any] = {
    "fit": True,
    "system": {"name": "OpenWrt", "version": "21.02.3", "model": "TP-Link Archer C7 v2", "kernel": "5.4.188"},
    "iptables": {"program": "iptables -w 5", "version": "1.8.7", "backend": "legacy"},
    "nftables": None,
    "ipset": None,
    "wan": [
        {"interface": "pppoe-wan", "addresses": ["203.0.113.7/32", "fe80::1/64"], "received_bytes": 1_094_919_266, "sent_bytes": 52_188_970}
    ],
    "lan": [{"interface": "br-lan", "addresses": ["192.168.1.1/24"]}],
    "hosts": 14,
    "chain": {"installed": True, "jump_position": 1, "references": 1, "hosts": 14, "problems": []},
    "name": "TRAFFIC",
    "table": "filter", "backend": "iptables",
    "sources": {"neighbors": ["ip neigh"], "names": ["cat /tmp/dhcp.leases", "cat /etc/hosts"]},
    "findings": [],
}


def finding(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def last_line(text: str) -> str:
    """The last paragraph."""
    return " ".join(text.rsplit("\n\n", 1)[1].split())


def test_a_router_that_is_fit() -> None:
    assert check_text("home", GOOD) == """\
home: fit for counting (it was only looked at; nothing was changed)
  System     OpenWrt 21.02.3 on TP-Link Archer C7 v2, Linux 5.4.188
  Firewall   iptables 1.8.7 (legacy), called as `iptables -w 5`
  Internet   pppoe-wan, 203.0.113.7/32; by its own counters received 1.09 GB, sent 52.2 MB
  Network    br-lan, 192.168.1.1/24
  Devices    14 on the network now, from `ip neigh`; names from `cat /tmp/dhcp.leases`, `cat
             /etc/hosts`
  Counting   the chain TRAFFIC in the table filter has rules for 14 hosts; the jump to it is rule 1
             of FORWARD

Nothing was found that keeps traffic from being counted. What the router does not tell of would show
in the report, as a low share of counted traffic.
No router can tell what stands behind another router that does NAT: all its devices are one device
here. Nor does it see what devices send to each other without it.

Fit for counting. Counting is installed."""


def test_before_the_set_up() -> None:
    missing = finding("chain_missing", "There is no chain TRAFFIC: nothing is counted. Run setup_traffic.")
    text = check_text("home", {**GOOD, "chain": {**GOOD["chain"], "installed": False, "hosts": 0, "problems": [missing]}})
    assert "Counting   not installed: the chain TRAFFIC in the table filter is not there\n" in text
    assert "nothing is counted" not in text, "that is no problem yet"
    assert last_line(text) == (
        "Fit for counting. Counting is not installed yet: setup_traffic does it (with --check --diff it only shows what it would do), and "
        "remove_traffic undoes it."
    )


def test_a_chain_to_which_nothing_leads() -> None:
    problem = finding("jump_missing", "No rule of FORWARD jumps to TRAFFIC: nothing is counted. Run setup_traffic.")
    text = check_text("home", {**GOOD, "chain": {**GOOD["chain"], "installed": False, "problems": [problem]}})
    assert "not installed: the chain TRAFFIC in the table filter is there, but nothing leads to it" in " ".join(text.split())
    assert "\n! No rule of FORWARD jumps to TRAFFIC" in text
    assert last_line(text).endswith("Counting was installed, and is so no more: setup_traffic does it again.")
    empty = check_text("home", {**GOOD, "chain": {**GOOD["chain"], "installed": False, "hosts": 0, "problems": [problem]}})
    assert "is there, but nothing leads to it" in " ".join(empty.split())


def test_acceleration() -> None:
    text = check_text("home", {**GOOD, "findings": [finding("flow_offloading", "Flow offloading is on. Turn it off.")]})
    assert "\n! Flow offloading is on. Turn it off.\n" in text
    assert "Nothing was found" not in text
    assert last_line(text).startswith("Fit for counting, but not for all traffic: see the lines that begin with an exclamation mark.")


def test_a_problem_of_the_chain() -> None:
    problem = finding("jump_not_first", "The jump to TRAFFIC is rule 3 of FORWARD. Run setup_traffic.")
    text = check_text("home", {**GOOD, "chain": {**GOOD["chain"], "jump_position": 3, "problems": [problem]}})
    assert "\n! The jump to TRAFFIC is rule 3 of FORWARD. Run setup_traffic.\n" in text
    assert last_line(text).startswith("Fit for counting, but not for all traffic")


def test_what_loses_nothing_is_told_and_is_no_but() -> None:
    text = check_text("home", {**GOOD, "findings": [finding("behind_nat", "wan has a private address.")]})
    assert "\n! wan has a private address.\n" in text
    assert last_line(text) == "Fit for counting. Counting is installed."


def test_sets_of_ipset() -> None:
    text = " ".join(check_text("home", {**GOOD, "nftables": "1.0.2", "ipset": "7.17", "backend": "ipset"}).split())
    assert "called as `iptables -w 5`; beside it nftables 1.0.2 and ipset 7.17" in text
    assert "the chain TRAFFIC in the table filter counts, with sets of ipset, 14 hosts; the jump to it is rule 1 of FORWARD" in text


@pytest.mark.parametrize("code", sorted(UNFIT))
def test_a_router_that_is_not_fit(code: str) -> None:
    result = {**GOOD, "fit": False, "iptables": None, "nftables": "1.0.2", "chain": None, "findings": [finding(code, "It has none.")]}
    text = check_text("home", result)
    assert "Firewall   no iptables; nftables 1.0.2" in text
    assert "Nothing was found" not in text
    assert last_line(text) == "Not fit for counting: It has none."


def test_a_router_that_tells_nothing() -> None:
    nothing = {
        "system": None, "iptables": {"program": "iptables", "version": "1.3.8", "backend": None}, "wan": [], "lan": [], "hosts": None,
        "sources": {}, "chain": None,
    }  # fmt: skip
    text = check_text("home", {**GOOD, **nothing})
    for line in (
        "  System     the router does not tell",
        "  Firewall   iptables 1.3.8",
        "  Internet   not known by which interface",
        "  Network    the router does not tell its addresses",
        "  Devices    not known",
        "  Counting   not known",
    ):
        assert f"\n{line}\n" in text


def test_parts_of_a_system_and_of_an_interface() -> None:
    system = {"name": None, "version": "386.7_2", "model": "RT-AC68U", "kernel": None}
    wan = [{"interface": "ppp0", "addresses": ["100.64.7.20/32"], "received_bytes": None, "sent_bytes": None}]
    text = check_text("home", {**GOOD, "system": system, "wan": wan, "sources": {"neighbors": ["arp show"], "names": []}})
    assert "System     firmware 386.7_2 on RT-AC68U\n" in text
    assert "ppp0, 100.64.7.20/32 (the provider shares it among customers; counting is not affected); the router" in " ".join(text.split())
    assert "from `arp show`; without names" in text


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_whatever_a_router_says_stays_text(name: str) -> None:
    system = {"name": name, "version": name, "model": name, "kernel": name}
    text = check_text(name, {**GOOD, "system": system, "findings": [finding("second_router", name)]})
    for line in text.split("\n"):
        assert width(line) <= WIDTH
        assert line.isprintable()
    assert last_line(text) == "Fit for counting. Counting is installed."
