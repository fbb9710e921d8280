# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router seen through its profile: what is asked of it, and what is changed on it. Private to this collection.

The only place that runs commands on a router. What a command prints is read strictly; what a command changed is believed
only after it was read back.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Observed,
    Settings,
    Step,
    check_interface,
    command,
    list_all_command,
    list_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import (
    Kind,
    ParseError,
    error_code,
    parse,
    visible,
    without_noise,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Profile, Read
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    Chain,
    InterfaceCounters,
    Lease,
    Neighbor,
    Rule,
    TrafficError,
)

LOCK_PATIENCE = 10.0  # seconds to wait for another program's xtables lock
LOCK_PAUSE = 0.5
ROUNDS = 40  # of planning and doing; two or three are usual, each number of a duplicate rule takes one

_ABSENT = ("not_found", "unrecognized_command", "bad_argument")  # this way of asking is not to be had here: try the next
_HELP = {
    "permission": "The user that logs in may not change the firewall: log in as the router's administrator.",
    "no_such_table": "The firmware lacks this table: choose the other one with traffic_table.",
    "incompatible": "The table was made with nft, and this iptables cannot show it: choose the other one with traffic_table.",
    "lock_held": "Another program has held the lock of the firewall all the time. Run it again.",
}


class UnreadableError(TrafficError):
    """An answer that its template does not describe."""


@dataclass(frozen=True)
class Host:
    """A device that is on the network now."""

    ip: str
    mac: str | None
    name: str | None
    interface: str | None


@dataclass
class Change:
    """What was done to the chain so far; filled in as it happens, so that an error loses nothing."""

    before: Observed | None = None
    after: Observed | None = None
    commands: list[str] = field(default_factory=list)


class Router:
    """A router, asked through ``run`` (a command in, its output out).

    ``wan_interfaces`` empty stands for those of the default routes.
    """

    def __init__(
        self,
        run: Callable[[str], str],
        profile: Profile,
        where: str,
        settings: Settings = Settings(),
        wan_interfaces: Sequence[str] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._profile = profile
        self.profile_name = profile.name
        self.where = where
        self.settings = settings
        self._wan = tuple(wan_interfaces)
        self._sleep = sleep
        self._said: dict[str, str] = {}
        self._noise = 0
        self._unread: list[str] = []

    # Questions

    def wan_interfaces(self) -> tuple[str, ...]:
        """The interfaces to the Internet: the given ones, or those of the default routes."""
        if not self._wan:
            found = tuple(dict.fromkeys(self._read("routes", required=True)))
            if not found:
                raise TrafficError(
                    f"{self.where}: no default route, so the interface to the Internet is not known "
                    f"(asked with {self._asked('routes')}). Is the link up? Otherwise set traffic_wan_interfaces, for example "
                    "to [ppp0]."
                )
            for interface in found:
                try:
                    check_interface(interface)
                except ChainError as error:
                    raise TrafficError(
                        f"{self.where}: the default route leads to {_quote(interface)}, which cannot name an interface. Set "
                        "traffic_wan_interfaces."
                    ) from error
            self._wan = found
        return self._wan

    def lan_hosts(self) -> list[Host]:
        """The devices on the network now, in numeric order of addresses: neighbors on the LAN side, with their names."""
        neighbors: list[Neighbor] = self._read("neighbors", required=True)
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
        """The names that the router knows; empty where it knows none."""
        return self._read("names")

    def own_addresses(self) -> list[Address]:
        """The router's own addresses; empty where it cannot tell."""
        return self._read_or_warn("addresses")

    def wan_counters(self) -> list[InterfaceCounters | None]:
        """The own counters of the interfaces to the Internet, in their order; None where the router cannot tell."""
        found = {one.interface: one for one in self._read_or_warn("interfaces")}
        missing = [interface for interface in self.wan_interfaces() if interface not in found]
        if found and missing:
            said = (
                f"{self.where}: the router shows no interface {', '.join(missing)} now (it shows {', '.join(found)}). Is the link up? "
                "Otherwise set traffic_wan_interfaces to the one that leads to the Internet, or leave it out."
            )
            self._unread += [] if said in self._unread else [said]
        return [found.get(interface) for interface in self.wan_interfaces()]

    def require_wan(self) -> None:
        """Raise when the router shows its interfaces, and a given one to the Internet is not among them."""
        if None in self.wan_counters() and self._unread:
            raise TrafficError(self._unread[-1])

    def uptime(self) -> int | None:
        """Seconds since the router started, None where it cannot tell."""
        found = self._read_or_warn("uptime")
        return found[0] if found else None

    def observe(self) -> Observed:
        """The chain and FORWARD as they are now."""
        forward = self._chain("FORWARD")
        if forward is None:
            raise TrafficError(f"{self.where}: iptables shows no chain FORWARD in the table {self.settings.table}.")
        return Observed(self._chain(self.settings.chain), forward)

    def warnings(self) -> list[str]:
        """What the user should know of the reading."""
        noise = f"{self._noise} line(s) of the router's own log stood between its answers and were left out."
        return [*self._unread, *([noise] if self._noise else [])]

    def _chain(self, name: str) -> Chain | None:
        line = list_command(self.settings, name)
        text = self._iptables(line)
        try:
            chains: list[Chain] = self._parsed("chains", Read(line, self._profile.chain_template), text)
        except UnreadableError:
            if self._complaint(text) == "no_such_chain":
                return None
            raise
        found = [chain for chain in chains if chain.name == name]
        if not found:
            raise TrafficError(f"{self.where}: `{line}` did not list the chain {name}. It printed {_quote(text)}.")
        return found[0]

    def _iptables(self, line: str) -> str:
        """Run an iptables command, waiting for another program to give back the lock."""
        waited = 0.0
        text = self._ask(line)
        if not text.strip() or text.startswith("Chain "):
            return text  # silence, or a listing: nothing to complain of
        while (code := self._complaint(text)) == "lock_held" and waited < LOCK_PATIENCE:
            self._sleep(LOCK_PAUSE)
            waited += LOCK_PAUSE
            text = self._ask(line)
        if code in ("not_found", "unrecognized_command"):
            raise TrafficError(
                f"{self.where} has no command `{self._profile.iptables}` ({_quote(text)}): without iptables it cannot count each "
                "host. Where it has one under another name, write a profile with the key iptables (docs/profiles.md)."
            )
        if code in _HELP:
            raise TrafficError(f"{self.where}: `{line}` failed: {_quote(text)}. {_HELP[code]}")
        return text

    # Reading

    def _read_or_warn(self, kind: Kind) -> list[Any]:
        """Something that is good to know but that counting does not hang on."""
        try:
            return self._read(kind)
        except UnreadableError as error:
            if str(error) not in self._unread:
                self._unread.append(str(error))
            return []

    def _read(self, kind: Kind, required: bool = False) -> list[Any]:
        """Ask in every way that the profile knows, until one works."""
        unread: UnreadableError | None = None
        for way in self._profile.read.get(kind, ()):
            if way.command not in self._said:
                self._said[way.command] = self._ask(way.command)
            text = self._said[way.command]
            try:
                return self._parsed(kind, way, text)
            except UnreadableError as error:
                if self._complaint(text) not in _ABSENT:
                    unread = unread or error
        if unread:
            raise unread
        if required:
            raise TrafficError(
                f"{self.where}: the router has no command for its {kind}; tried {self._asked(kind)}. Add one to read.{kind} of the "
                f"profile (it is {self.profile_name}; docs/profiles.md)."
            )
        return []

    def _parsed(self, kind: Kind, way: Read, text: str) -> list[Any]:
        try:
            return self._records(kind, way, text)
        except ParseError as error:
            raise UnreadableError(
                f"{self.where}: the answer to `{way.command}` was not understood, so nothing was taken from it: {error}. If the "
                "router always answers like this, it wants a template of its own (docs/profiles.md)."
            ) from error

    def _records(self, kind: Kind, way: Read, text: str) -> list[Any]:
        try:
            return self._without_glued_noise(list(parse(kind, way.template, text)))
        except ParseError:
            quiet, noise = without_noise(text, self._profile.noise)
            if not noise:
                raise
        records = self._without_glued_noise(list(parse(kind, way.template, quiet)))
        self._noise += noise
        return records

    def _without_glued_noise(self, records: list[Any]) -> list[Any]:
        """A line of the router's log may have begun in the blanks at the end of a rule, where matches would stand."""
        return [
            replace(one, rules=tuple(self._quiet_rule(one.name, rule) for rule in one.rules)) if isinstance(one, Chain) else one
            for one in records
        ]

    def _quiet_rule(self, chain: str, rule: Rule) -> Rule:
        ours = self.settings.chain in (chain, rule.target)
        if not (ours and rule.extra and any(pattern.fullmatch(rule.extra) for pattern in self._profile.noise)):
            return rule
        self._noise += 1
        return replace(rule, extra="")

    def _asked(self, kind: Kind) -> str:
        return ", ".join(f"`{way.command}`" for way in self._profile.read.get(kind, ())) or "nothing: the profile has no way"

    def _ask(self, line: str) -> str:
        return visible(self._run(line))

    def _complaint(self, text: str) -> str | None:
        """What kind of complaint an answer is, if any. It is short, or stands before or behind what else was printed."""
        lines = text.strip("\n").split("\n")
        return error_code("\n".join(lines if len(lines) <= 8 else [*lines[:6], *lines[-2:]]), self._profile.errors)

    # Changes

    def converge(self, plan: Callable[[Observed], Sequence[Step]], change: Change, observed: Observed) -> None:
        """Run a plan and read back; plan again for what is still missing, until nothing is, or nothing changes.

        Stops at the first command that is answered with words, since nearly every iptables is silent when all went well:
        what is there then decides, not the words.
        """
        change.before = change.after = observed
        steps = plan(observed)
        if steps:
            self._refuse_prefixes()
        for _round in range(ROUNDS):
            if not steps:
                return
            words = self._perform(steps, change)
            change.after = self.observe()
            left = plan(change.after)
            if left == steps and words:
                break
            steps = left
        if steps:
            raise ChainError(self._not_done(steps, words))

    def _perform(self, steps: Sequence[Step], change: Change) -> str:
        """Run steps up to one that is answered with words, which are returned, or that wants another look before or after."""
        for number, step in enumerate(steps):
            if number and step.chain == "FORWARD" and step.action == "insert":
                return ""  # never a second jump: see first whether another run has set one meanwhile
            line = command(self.settings, step)
            change.commands.append(line)
            words, _noise = without_noise(self._iptables(line), self._profile.noise)
            if words.strip():
                return f"`{line}` was answered with {_quote(words)}"
            if step.action == "delete_number":
                return ""  # the numbers of the others may have changed meanwhile
        return ""

    def _refuse_prefixes(self) -> None:
        """A command that was cut in the name of our chain must not meet somebody else's."""
        text = self._iptables(list_all_command(self.settings))
        # An empty chain that nobody uses does no harm: such a cut may have left it itself.
        used = re.findall(r"^Chain (\S+) \((?!0 references\)\n[^\n]*\n*(?:Chain|\Z))", text, re.MULTILINE)
        shorter = [name for name in used if name != self.settings.chain and self.settings.chain.startswith(name)]
        if shorter:
            raise ChainError(
                f"{self.where}: there is a chain {shorter[0]}, whose name is the beginning of {self.settings.chain}. A command that was "
                "cut off could meet it, so nothing was changed. Choose another name with traffic_chain."
            )

    def _not_done(self, left: Sequence[Step], words: str) -> str:
        missing = "; ".join(command(self.settings, step) for step in left[:3]) + ("; ..." if len(left) > 3 else "")
        said = f" ({words})" if words else ""
        return (
            f"{self.where}: the router did not do all that it was told{said}. Still to be done: {missing}. Traffic passes as "
            "before; run it again, and report it if it happens twice."
        )


class Names:
    """Names of devices. A device is its MAC; its address may have been somebody else's before."""

    def __init__(self, leases: Sequence[Lease]) -> None:
        self._both = {(lease.ip, lease.mac): lease.name for lease in leases}
        self._mac: dict[str | None, str | None] = {lease.mac: lease.name for lease in leases if lease.mac}
        self._ip = {lease.ip: lease for lease in leases}

    def of(self, ip: str, mac: str | None) -> str | None:
        """The name for an address and the MAC that answers there, None where nobody knows one."""
        lease = self._ip.get(ip)
        by_address = lease.name if lease and (mac is None or lease.mac is None) else None
        return self._both.get((ip, mac)) or self._mac.get(mac) or by_address


def _quote(text: str) -> str:
    line = " ".join(text.split())
    return '"' + (line if len(line) <= 160 else f"{line[:157]}...") + '"'
