# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated router, seen through the CLI's eyes."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Mapping

from .layouts import ArpEntry, Interface, LeaseEntry, Route
from .router import Counters, Router
from .spec import make_mac

UP = "UP BROADCAST RUNNING MULTICAST"


class EmulatedSystem:
    """Implements ``commands.System`` over one :class:`Router`."""

    def __init__(self, router: Router) -> None:
        self._router = router
        rng = random.Random(router.spec.seed ^ 0xA5A5)
        self._mac = make_mac(rng)
        self._gateway_mac = make_mac(rng)

    def option(self, name: str) -> str:
        spec = self._router.spec
        options = {
            "arp_blank_line": "yes" if spec.arp_blank_line else "no",
            "lanhosts_layout": spec.lanhosts_layout,
            "lan": spec.lan,
            "no_command": self._router.faults.no_command,
            "software": "3.12L.04.A2pB023k.d20k_rc2",
        }
        return options[name]

    def files(self) -> Mapping[str, str]:
        return self._router.spec.files

    def uptime(self) -> float:
        return self._router.uptime

    def arp(self) -> list[ArpEntry]:
        router = self._router
        if router.faults.no_arp:
            return []
        hosts = [host for host in router.hosts.values() if host.in_arp]
        entries = [ArpEntry(host.ip, host.mac, router.spec.lan, 2 if host.complete else 0) for host in hosts]
        # The kernel hashes its neighbours; a fixed shuffle shows no order either.
        random.Random(router.spec.seed).shuffle(entries)
        gateway = ArpEntry(router.spec.gateway, self._gateway_mac, router.spec.wan_device)
        return [*entries[:2], gateway, *entries[2:]]

    def leases(self) -> list[LeaseEntry]:
        hosts = self._router.hosts.values()
        return [
            LeaseEntry(host.mac, host.ip, host.lease_seconds, host.name)
            for host in hosts
            if host.lease_seconds is not None
        ]

    def routes(self) -> list[Route]:
        router = self._router
        spec = router.spec
        lan = str(ipaddress.ip_network(f"{spec.lan_ip}/24", strict=False).network_address)
        routes = [
            Route(spec.gateway, "*", "255.255.255.255", "UH", router.wan),
            Route(lan, "*", "255.255.255.0", "U", spec.lan),
        ]
        if not router.faults.no_default_route:
            routes.append(Route("default", spec.gateway, "0.0.0.0", "UG", router.wan))
        return routes

    def interfaces(self) -> list[Interface]:
        return [self._interface(name, counters) for name, counters in sorted(self._router.interfaces.items())]

    def _interface(self, name: str, counters: Counters) -> Interface:
        router = self._router
        spec = router.spec
        modulus = 2**32 if spec.counters_32_bit else 2**64
        address, encapsulation, flags, mac, mtu = "", "Ethernet", UP, self._mac, 1500
        if name == "lo":
            encapsulation, flags, mac, mtu = "Local Loopback", "UP LOOPBACK RUNNING", "", 16436
            address = "inet addr:127.0.0.1  Mask:255.0.0.0"
        elif name == router.wan:
            encapsulation, flags, mac, mtu = "Point-Point Protocol", "UP POINTOPOINT RUNNING NOARP MULTICAST", "", 1492
            address = f"inet addr:{spec.wan_ip}  P-t-P:{spec.gateway}  Mask:255.255.255.255"
        elif name == spec.lan:
            broadcast = str(ipaddress.ip_network(f"{spec.lan_ip}/24", strict=False).broadcast_address)
            address = f"inet addr:{spec.lan_ip}  Bcast:{broadcast}  Mask:255.255.255.0"
        return Interface(
            name, encapsulation, flags, mtu, counters.received_bytes % modulus, counters.received_packets % modulus,
            counters.sent_bytes % modulus, counters.sent_packets % modulus, mac, address,
        )  # fmt: skip

    def iptables(self, words: list[str]) -> str | None:
        if self._router.faults.no_iptables:
            return None
        return self._router.iptables(words).text
