# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router seen through its profile: who is on its network, and how it reaches the Internet. Private to this collection."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import ChainError, Observed, Settings, check_interface
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import Finding, findings
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import Kind
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Asked, Questions, Run
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    Chain,
    Host,
    InterfaceCounters,
    Lease,
    Neighbor,
    Program,
    System,
    TrafficError,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Shell

HOSTS: tuple[Kind, ...] = ("neighbors", "names", "routes", "addresses")
READING: tuple[Asked, ...] = ("uptime", *HOSTS, "interfaces", "findings")


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

    def foresee(self, kinds: Sequence[Asked], *chains: Chains, versions: bool = False) -> None:
        """On a shell: ask for all of this in one exchange."""
        listings = [group for one in chains for group in one.listing()]
        self._questions.foresee(kinds, [*listings, *(self.chains.versions() if versions else ())])

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
        networks = _lan_networks(wan, own)
        names = Names(self.leases())
        hosts = {
            neighbor.ip: Host(neighbor.ip, neighbor.mac, names.of(neighbor.ip, neighbor.mac), neighbor.interface)
            for neighbor in neighbors
            if neighbor.ip and self._is_lan_host(neighbor, wan, own, networks)
        }
        return sorted(hosts.values(), key=lambda host: IPv4Address(host.ip))

    def _is_lan_host(
        self, neighbor: Neighbor, wan: Sequence[str], own: Sequence[Address], networks: Sequence[tuple[str, IPv4Network]]
    ) -> bool:
        if not neighbor.ip or ":" in neighbor.ip or not neighbor.complete or neighbor.interface in wan:
            return False
        lan = self._profile.lan_interfaces
        if lan and neighbor.interface and not lan.fullmatch(neighbor.interface):
            return False  # the device under a PPP connection: its neighbors are the provider's
        address = IPv4Address(neighbor.ip)
        if address.is_multicast or any(one.ip == neighbor.ip for one in own):
            return False
        # An interface without an address of its own, where others have one, is a device under something else.
        return not networks or any(name == neighbor.interface and address in network for name, network in networks)

    def lan_interfaces(self, wan: Sequence[str]) -> list[str]:
        """The interfaces on which a neighbor is a device of the network; empty where the router's own addresses are not known."""
        lan = self._profile.lan_interfaces
        names = [name for name, _network in _lan_networks(wan, self.own_addresses())]
        return [name for name in dict.fromkeys(names) if not lan or lan.fullmatch(name)]

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

    def findings(self, hosts: Sequence[Host], wan: Sequence[str], forward: Chain | None, thorough: bool = False) -> list[Finding]:
        """What will not be counted, or only in part, and why; out of what was read already, and what the profile wants asked.

        Where each command costs an exchange of its own, the latter is asked only if ``thorough``.
        """
        signs = self._questions.signs() if thorough or self._questions.has_shell else []
        told = {sign.code for sign in signs}
        seen = findings(hosts, self.own_addresses(), wan, forward)
        return [*(Finding(sign.code, sign.message) for sign in signs), *(one for one in seen if one.code not in told)]

    def system(self) -> System:
        """What the router is: of each thing, what the first way tells that tells it; a version goes with its name."""
        told: list[System] = self._questions.read_any("system")
        named = next((one for one in told if one.name or one.version), System(None, None, None, None))
        return System(
            named.name,
            named.version,
            next((one.model for one in told if one.model), None),
            next((one.kernel for one in told if one.kernel), None),
        )

    def programs(self) -> list[Program]:
        """Other programs that matter, with their versions."""
        return self._questions.read_any("programs")

    def sources(self) -> dict[str, list[str]]:
        """Which commands told what."""
        return dict(self._questions.sources)

    def notes(self) -> list[str]:
        """What the user should know of the reading."""
        return self._questions.notes()


def _lan_networks(wan: Sequence[str], own: Sequence[Address]) -> list[tuple[str, IPv4Network]]:
    """The networks on the LAN side, by interface."""
    return [
        (one.interface, IPv4Interface(f"{one.ip}/{one.prefix}").network)
        for one in own
        if one.interface not in wan and one.prefix is not None and ":" not in one.ip and not IPv4Address(one.ip).is_loopback
    ]


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
