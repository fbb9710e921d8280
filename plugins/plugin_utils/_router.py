# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router seen through its profile: who is on its network, and how it reaches the Internet. Private to this collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import ChainError, Observed, Settings, check_interface
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import IPV6_UNCOUNTED, Finding, findings
from ansible_collections.homenet.traffic.plugins.plugin_utils._lan import lan_hosts, lan_networks
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import Kind
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Profile, Sign
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Asked, Questions, Run
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    Host,
    InterfaceCounters,
    Lease,
    Neighbor,
    Program,
    System,
    TrafficError,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group, Shell

HOSTS: tuple[Kind, ...] = ("neighbors", "names", "routes", "routes6", "addresses")
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
        self.questions = Questions(run, profile, where)
        self._wan = tuple(wan_interfaces)
        self.profile_name = profile.name
        self.ipset_programs = profile.ipset
        self.where = where
        self.chains = Chains(self.questions, profile, where, settings)
        six = profile.ip6tables and self.questions.has_shell
        self.chains6 = Chains(self.questions, profile, where, replace(settings, family=6)) if six else None

    def foresee(self, kinds: Sequence[Asked], listing: Sequence[Group] = ()) -> None:
        """On a shell: ask for all of this in one exchange."""
        self.questions.foresee(kinds, listing)

    def forget(self, *kinds: Kind) -> None:
        """Ask anew for these kinds."""
        self.questions.forget(*kinds)

    @property
    def settings(self) -> Settings:
        """Which chain, in which table, and by which program."""
        return self.chains.settings

    def observe(self) -> Observed:
        """The chain and FORWARD as they are now."""
        return self.chains.observe()

    # Questions

    def wan_interfaces(self) -> tuple[str, ...]:
        """The interfaces to the Internet: the given ones, or those of the default routes, of IPv6 too."""
        if not self._wan:
            found = self._default_routes()
            if not found:
                raise TrafficError(
                    f"{self.where}: no default route, so the interface to the Internet is not known "
                    f"(asked with {self.questions.asked('routes')}). Is the link up? Otherwise set traffic_wan_interfaces, for example "
                    "to [ppp0]."
                )
            self._wan = tuple(self._checked(interface) for interface in found)
        return self._wan

    def _default_routes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.questions.read("routes", required=True), *self.questions.read_or_warn("routes6")]))

    def _checked(self, interface: str) -> str:
        try:
            check_interface(interface)
        except ChainError as error:
            raise TrafficError(
                f"{self.where}: the default route leads to {quoted(interface)}, which cannot name an interface. Set "
                "traffic_wan_interfaces."
            ) from error
        return interface

    def routes_ipv6(self) -> bool:
        """Whether it has a way to the IPv6 Internet."""
        return bool(self.questions.read_or_warn("routes6"))

    def can_tell_ipv6(self) -> bool:
        """Whether it answers what would show that it forwards IPv6. A kernel without IPv6 has no file of that name."""
        asked = [sign.command for sign in self.questions.known_signs() if sign.code == IPV6_UNCOUNTED]
        return any(self.questions.answers(command) for command in asked)

    def lan_hosts(self, in_outage: bool = False) -> list[Host]:
        """The devices on the network now, in numeric order of addresses: neighbors on the LAN side, with their names.

        ``in_outage``: also while no default route tells which side is the LAN's.
        """
        neighbors: list[Neighbor] = self.questions.read("neighbors", required=True)
        if in_outage and not (self._wan or self._default_routes()):
            self.questions.note(
                f"{self.where}: no default route now, so the way to the Internet is not known: whoever is on that side is among the "
                "devices, too. Is the link up?"
            )
            wan: tuple[str, ...] = ()
        else:
            wan = self.wan_interfaces()
        return lan_hosts(neighbors, self.own_addresses(), wan, self._profile.lan_interfaces, self.leases())

    def lan_interfaces(self, wan: Sequence[str]) -> list[str]:
        """The interfaces on which a neighbor is a device of the network; empty where the router's own addresses are not known."""
        lan = self._profile.lan_interfaces
        names = [name for name, _network in lan_networks(self.own_addresses(), wan)]
        return [name for name in dict.fromkeys(names) if not lan or lan.fullmatch(name)]

    def leases(self) -> list[Lease]:
        """The names that the router knows; where it knows several for a device, the last one counts."""
        return self.questions.read_all("names")

    def own_addresses(self) -> list[Address]:
        """The router's own addresses; empty where it cannot tell."""
        return self.questions.read_or_warn("addresses")

    def wan_counters(self) -> list[InterfaceCounters | None]:
        """The own counters of the interfaces to the Internet, in their order; None where the router cannot tell."""
        found = {one.interface: one for one in self.questions.read_or_warn("interfaces")}
        missing = [interface for interface in self.wan_interfaces() if interface not in found]
        if found and missing:
            self.questions.note(
                f"{self.where}: the router shows no interface {', '.join(missing)} now (it shows {', '.join(found)}). Is the link up? "
                "Otherwise set traffic_wan_interfaces to the one that leads to the Internet, or leave it out."
            )
        return [found.get(interface) for interface in self.wan_interfaces()]

    def require_wan(self) -> None:
        """Raise when the router shows its interfaces, and a given one to the Internet is not among them."""
        if None in self.wan_counters() and self.questions.notes():
            raise TrafficError(self.questions.notes()[-1])

    def uptime(self) -> int | None:
        """Seconds since the router started, None where it cannot tell."""
        found = self.questions.read_or_warn("uptime")
        return found[0] if found else None

    def findings(self, hosts: Sequence[Host], wan: Sequence[str], counts_ipv6: bool = False, thorough: bool = False) -> list[Finding]:
        """What will not be counted, or only in part, and why; out of what was read already, and what the profile wants asked.

        Where each command costs an exchange of its own, the latter is asked only if ``thorough``.
        """
        signs = self.questions.signs() if thorough or self.questions.has_shell else []
        signs = [sign for sign in signs if not (counts_ipv6 and sign.code == IPV6_UNCOUNTED)]
        told = {sign.code for sign in signs}
        seen = findings(hosts, self.own_addresses(), wan, self.chains.forward)
        signed = [Finding(sign.code, advice) for sign in signs if (advice := self._advice(sign, wan))]
        return [*signed, *(one for one in seen if one.code not in told)]

    def _advice(self, sign: Sign, wan: Sequence[str]) -> str:
        """What to do about a sign. Nothing, where the interfaces that it speaks of are among those on which is counted."""
        named = self.questions.interfaces_of(sign)
        missing = [name for name in named if name not in wan]
        if named and not missing:
            return ""
        own = " Or set traffic_acceleration: off, and setup_traffic turns it off while counting is installed."
        return sign.message.replace("{interface}", ", ".join(missing)) + (own if sign.off else "")

    def system(self) -> System:
        """What the router is: of each thing, what the first way tells that tells it; a version goes with its name."""
        told: list[System] = self.questions.read_any("system")
        named = next((one for one in told if one.name or one.version), System(None, None, None, None))
        return System(
            named.name,
            named.version,
            next((one.model for one in told if one.model), None),
            next((one.kernel for one in told if one.kernel), None),
        )

    def programs(self) -> list[Program]:
        """Other programs that matter, with their versions."""
        return self.questions.read_any("programs")

    def sources(self) -> dict[str, list[str]]:
        """Which commands told what."""
        return dict(self.questions.sources)

    def notes(self) -> list[str]:
        """What the user should know of the reading."""
        return self.questions.notes()
