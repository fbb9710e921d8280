# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is on the network: which neighbors are devices of the LAN, and which addresses are one device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._lan import address_order, lan_hosts
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, Host, Lease, Neighbor, Pattern

ALI, SARA, MODEM = "02:00:5e:10:00:0b", "02:00:5e:10:00:0c", "02:00:5e:10:00:99"
OWN = [
    Address("lo", "127.0.0.1", 8),
    Address("br0", "192.168.1.1", 24),
    Address("br0", "2001:db8:1::1", 60),
    Address("br0", "fe80::1", 64),
    Address("eth0", "192.168.100.2", 24),
    Address("ppp0", "100.64.7.20", 32),
]


def on_lan(ip: str, mac: str | None = ALI, interface: str | None = "br0", complete: bool = True) -> Neighbor:
    return Neighbor(ip, mac, interface, complete)


@pytest.mark.parametrize(
    ("neighbor", "is_host"),
    [
        (on_lan("192.168.1.11"), True),
        (on_lan("192.168.1.11", complete=False), False),
        (on_lan("192.168.1.1"), False),  # the router itself
        (on_lan("100.64.7.1", interface="ppp0"), False),  # the provider's
        (on_lan("192.168.1.11", interface="ppp0"), False),
        (on_lan("192.168.100.1", interface="eth0"), True),  # in a network of the router's own
        (on_lan("10.9.9.9"), False),  # in none
        (on_lan("192.168.1.11", interface="nas_0"), False),
        (on_lan("224.0.0.1"), False),
        (on_lan("2001:db8:1::b"), True),
        (on_lan("2001:db8:1:f::b"), True),  # a part of the /60 that the router has
        (on_lan("2001:db8:2::b"), False),
        (on_lan("fe80::b"), False),  # link-local: never forwarded
        (on_lan("2001:db8:1::1"), False),
        (on_lan("ff02::1"), False),
    ],
)
def test_which_neighbors_are_devices(neighbor: Neighbor, is_host: bool) -> None:
    assert bool(lan_hosts([neighbor], OWN, ["ppp0"], None, [])) is is_host


def test_without_the_routers_own_addresses_the_interface_decides() -> None:
    neighbors = [on_lan("192.168.1.11"), on_lan("10.0.0.5", SARA, "ppp0"), on_lan("10.0.0.6", MODEM, "nas0")]
    assert [host.ip for host in lan_hosts(neighbors, [], ["ppp0"], Pattern("br0"), [])] == ["192.168.1.11"]


def test_one_device_has_several_addresses() -> None:
    neighbors = [
        on_lan("2001:db8:1::b:2"), on_lan("192.168.1.11"), on_lan("2001:db8:1::b:1"),
        on_lan("2001:db8:1::c:2", SARA), on_lan("2001:db8:1::c:1", SARA), on_lan("fe80::c", SARA),
    ]  # fmt: skip
    assert lan_hosts(neighbors, OWN, ["ppp0"], None, [Lease(None, SARA, "sara-phone"), Lease("2001:db8:1::b:2", ALI, "ali")]) == [
        Host("192.168.1.11", ALI, "ali", "br0", ("192.168.1.11", "2001:db8:1::b:1", "2001:db8:1::b:2")),
        Host("2001:db8:1::c:1", SARA, "sara-phone", "br0", ("2001:db8:1::c:1", "2001:db8:1::c:2")),
    ]


def test_two_ipv4_addresses_of_one_mac_are_two_devices_behind_a_repeater() -> None:
    neighbors = [on_lan("192.168.1.12"), on_lan("192.168.1.11"), on_lan("2001:db8:1::b")]
    assert [(host.ip, host.addresses) for host in lan_hosts(neighbors, OWN, ["ppp0"], None, [])] == [
        ("192.168.1.11", ("192.168.1.11", "2001:db8:1::b")),
        ("192.168.1.12", ("192.168.1.12",)),
    ]


def test_no_mac_joins_nothing() -> None:
    neighbors = [on_lan("192.168.1.11", None), on_lan("2001:db8:1::b", None), on_lan("2001:db8:1::c", None)]
    assert [host.ip for host in lan_hosts(neighbors, OWN, ["ppp0"], None, [])] == ["192.168.1.11", "2001:db8:1::b", "2001:db8:1::c"]


addresses = st.one_of(
    st.integers(2, 254).map(lambda number: f"192.168.1.{number}"), st.integers(2, 65535).map(lambda number: f"2001:db8:1::{number:x}")
)
macs = st.integers(0, 5).map(lambda number: f"02:00:00:00:00:0{number}")


@given(st.lists(st.builds(on_lan, addresses, st.none() | macs), max_size=12))
def test_every_neighbor_is_an_address_of_exactly_one_device(neighbors: list[Neighbor]) -> None:
    hosts = lan_hosts(neighbors, OWN, ["ppp0"], None, [])
    found = [address for host in hosts for address in host.addresses]
    assert sorted(found) == sorted({neighbor.ip for neighbor in neighbors if neighbor.ip})
    assert [host.ip for host in hosts] == sorted((host.ip for host in hosts), key=address_order)
    assert all(host.addresses[0] == host.ip for host in hosts)
