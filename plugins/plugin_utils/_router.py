# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router seen through its profile: who is on its network, and how it reaches the Internet. Private to this collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import ChainError, Observed, Settings, check_interface
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import Kind
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions, Run
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    InterfaceCounters,
    Lease,
    Neighbor,
    TrafficError,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Shell

HOSTS: tuple[Kind, ...] = ("neighbors", "names", "routes", "addresses")
READING: tuple[Kind, ...] = ("uptime", *HOSTS, "interfaces")


@dataclass(frozen=True)
class Host:
    """A device that is on the network now."""

    ip: str
    mac: str | None
    name: str | None
    interface: str | None


class Router:
    """A router, asked through ``run``: a command in, its output out; or a shell. ``chains`` are those of the table in use.

    ``wan_interfaces`` empty stands for those of the default routes.
    """

    def __init__(
        self,
        run: Run | Shell,
        profile: Profile,
        where: str,
        settings: Settings = Settings(),
        wan_interfaces: Sequence[str] = (),
    ) -> None:
        self._profile = profile
        self._questions = Questions(run, profile, where)
        self._wan = tuple(wan_interfaces)
        self.profile_name = profile.name
        self.where = where
        self.chains = Chains(self._questions, profile, where, settings)

    def foresee(self, kinds: Sequence[Kind], *chains: Chains) -> None:
        """On a shell: ask for all of this in one exchange."""
        self._questions.foresee(kinds, [group for one in chains for group in one.listing()])

    def forget(self, *kinds: Kind) -> None:
        """Ask anew for these kinds."""
        self._questions.forget(*kinds)

    @property
    def settings(self) -> Settings:
        """Which chain, in which table, and by which program."""
        return self.chains.settings

    def observe(self) -> Observed:
        """The chain and FORWARD as they are now."""
        return self.chains.observe()

    def other_table(self) -> Chains:
        """The chain of the same name in the other table."""
        return self.chains.in_table("mangle" if self.chains.settings.table == "filter" else "filter")

    # Questions

    def wan_interfaces(self) -> tuple[str, ...]:
        """The interfaces to the Internet: the given ones, or those of the default routes."""
        if not self._wan:
            found = tuple(dict.fromkeys(self._questions.read("routes", required=True)))
            if not found:
                raise TrafficError(
                    f"{self.where}: no default route, so the interface to the Internet is not known "
                    f"(asked with {self._questions.asked('routes')}). Is the link up? Otherwise set traffic_wan_interfaces, for example "
                    "to [ppp0]."
                )
            for interface in found:
                try:
                    check_interface(interface)
                except ChainError as error:
                    raise TrafficError(
                        f"{self.where}: the default route leads to {quoted(interface)}, which cannot name an interface. Set "
                        "traffic_wan_interfaces."
                    ) from error
            self._wan = found
        return self._wan

    def lan_hosts(self) -> list[Host]:
        """The devices on the network now, in numeric order of addresses: neighbors on the LAN side, with their names."""
        neighbors: list[Neighbor] = self._questions.read("neighbors", required=True)
        wan = self.wan_interfaces()
        own = self.own_addresses()
        names = Names(self.leases())
        hosts = {
            neighbor.ip: Host(neighbor.ip, neighbor.mac, names.of(neighbor.ip, neighbor.mac), neighbor.interface)
            for neighbor in neighbors
            if neighbor.ip and self._is_lan_host(neighbor, wan, own)
        }
        return sorted(hosts.values(), key=lambda host: IPv4Address(host.ip))

    def _is_lan_host(self, neighbor: Neighbor, wan: Sequence[str], own: Sequence[Address]) -> bool:
        if not neighbor.ip or ":" in neighbor.ip or not neighbor.complete or neighbor.interface in wan:
            return False
        lan = self._profile.lan_interfaces
        if lan and neighbor.interface and not lan.fullmatch(neighbor.interface):
            return False  # the device under a PPP connection: its neighbors are the provider's
        address = IPv4Address(neighbor.ip)
        if address.is_multicast or any(one.ip == neighbor.ip for one in own):
            return False
        networks = {
            (one.interface, IPv4Interface(f"{one.ip}/{one.prefix}").network)
            for one in own
            if one.interface not in wan and one.prefix is not None and ":" not in one.ip and not IPv4Address(one.ip).is_loopback
        }
        # An interface without an address of its own, where others have one, is a device under something else.
        return not networks or any(name == neighbor.interface and address in network for name, network in networks)

    def leases(self) -> list[Lease]:
        """The names that the router knows; where it knows several for a device, the last one counts."""
        return self._questions.read_all("names")

    def own_addresses(self) -> list[Address]:
        """The router's own addresses; empty where it cannot tell."""
        return self._questions.read_or_warn("addresses")

    def wan_counters(self) -> list[InterfaceCounters | None]:
        """The own counters of the interfaces to the Internet, in their order; None where the router cannot tell."""
        found = {one.interface: one for one in self._questions.read_or_warn("interfaces")}
        missing = [interface for interface in self.wan_interfaces() if interface not in found]
        if found and missing:
            self._questions.note(
                f"{self.where}: the router shows no interface {', '.join(missing)} now (it shows {', '.join(found)}). Is the link up? "
                "Otherwise set traffic_wan_interfaces to the one that leads to the Internet, or leave it out."
            )
        return [found.get(interface) for interface in self.wan_interfaces()]

    def require_wan(self) -> None:
        """Raise when the router shows its interfaces, and a given one to the Internet is not among them."""
        if None in self.wan_counters() and self._questions.notes():
            raise TrafficError(self._questions.notes()[-1])

    def uptime(self) -> int | None:
        """Seconds since the router started, None where it cannot tell."""
        found = self._questions.read_or_warn("uptime")
        return found[0] if found else None

    def sources(self) -> dict[str, list[str]]:
        """Which commands told what."""
        return dict(self._questions.sources)

    def notes(self) -> list[str]:
        """What the user should know of the reading."""
        return self._questions.notes()


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
