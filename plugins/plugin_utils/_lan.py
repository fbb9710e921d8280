# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the neighbors of a router to the devices on its network. Private to this collection. Pure.

A device is its MAC. It may have several addresses: one of IPv4, and of IPv6 several that change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, Host, Lease, Neighbor, Pattern

_DISCARD = IPv6Network("100::/64")  # RFC 6666: no host has an address of it


def lan_hosts(
    neighbors: Iterable[Neighbor], own: Sequence[Address], wan: Sequence[str], lan: Pattern | None, leases: Sequence[Lease]
) -> list[Host]:
    """The devices on the LAN side, in numeric order. ``own`` are the router's addresses, ``lan`` fits the names of LAN interfaces.

    Two IPv4 addresses of one MAC are two devices (behind a repeater, most likely); the IPv6 ones join the first of them.
    """
    is_lan_host = _lan_side(own, wan, lan)
    found = {neighbor.ip: neighbor for neighbor in neighbors if neighbor.ip and is_lan_host(neighbor)}
    names = Names(leases)
    hosts: list[Host] = []
    by_mac: dict[str, int] = {}
    for ip in sorted(found, key=address_order):
        neighbor = found[ip]
        if ":" in ip and neighbor.mac in by_mac:
            at = by_mac[neighbor.mac or ""]
            hosts[at] = replace(hosts[at], addresses=(*hosts[at].addresses, ip), name=hosts[at].name or names.of(ip, neighbor.mac))
            continue
        if neighbor.mac:
            by_mac.setdefault(neighbor.mac, len(hosts))
        hosts.append(Host(ip, neighbor.mac, names.of(ip, neighbor.mac), neighbor.interface, (ip,)))
    return hosts


def _lan_side(own: Sequence[Address], wan: Sequence[str], lan: Pattern | None) -> Callable[[Neighbor], bool]:
    own_ips = {one.ip for one in own}
    # An interface without an address of its own, where others have one, is a device under something else.
    every = lan_networks(own, wan)
    networks = {version: [one for one in every if one[1].version == version] for version in (4, 6)}

    def is_lan_host(neighbor: Neighbor) -> bool:
        if not neighbor.ip or not neighbor.complete or neighbor.interface in wan or neighbor.ip in own_ips:
            return False
        if lan and neighbor.interface and not lan.fullmatch(neighbor.interface):
            return False  # the device under a PPP connection: its neighbors are the provider's
        address = _address(neighbor.ip)
        if not is_usual(neighbor.ip):
            return False
        near = networks[address.version]
        if address.version == 6 and not near:
            return False  # who has no network of IPv6 routes none, and anybody on the LAN can claim any address
        return not near or any(name == neighbor.interface and address in network for name, network in near)

    return is_lan_host


def lan_networks(own: Sequence[Address], wan: Sequence[str]) -> list[tuple[str, IPv4Network | IPv6Network]]:
    """The networks on the LAN side, by interface, out of the router's own addresses."""
    return [
        (one.interface, ip_interface(f"{one.ip}/{one.prefix}").network)
        for one in own
        if one.interface not in wan and one.prefix is not None and is_usual(one.ip)
    ]


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text)


def is_usual(ip: str) -> bool:
    """Whether a host of a network can be reached at this address through a router."""
    address = _address(ip)
    if address.version == 6 and (address.is_link_local or address.ipv4_mapped or address in _DISCARD):
        return False
    return not (address.is_multicast or address.is_loopback or address.is_unspecified)


def address_order(ip: str) -> tuple[int, int]:
    """Sort key: the numeric order of addresses, IPv4 before IPv6."""
    address = _address(ip)
    return address.version, int(address)


class Names:
    """Names of devices. A device is its MAC; its address may have been somebody else's before."""

    def __init__(self, leases: Sequence[Lease]) -> None:
        leases = [lease for lease in leases if lease.name]
        self._both = {(lease.ip, lease.mac): lease.name for lease in leases}
        self._mac: dict[str | None, str | None] = {lease.mac: lease.name for lease in leases if lease.mac}
        self._ip = {lease.ip: lease for lease in leases}

    def of(self, ip: str, mac: str | None) -> str | None:
        """The name for an address and the MAC that answers there, None where nobody knows one."""
        lease = self._ip.get(ip)
        by_address = lease.name if lease and (mac is None or lease.mac is None) else None
        return self._both.get((ip, mac)) or self._mac.get(mac) or by_address
