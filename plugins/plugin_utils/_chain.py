# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain: what it is made of, how its commands are spelled, and how its rules are read. Private to this collection.

Pure, and the only place that spells an iptables command or any other command with a variable part.

A router may run a line that was cut in the middle, so a command names its chain *after* the rule: ``iptables -i ppp0
-d 192.168.1.2 -j RETURN -A TRAFFIC`` either does all of it or nothing, where the usual order, cut short, would leave a
rule for another address, or an empty rule in FORWARD. iptables takes its options in any order, the oldest one too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from typing import Literal

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule, TrafficError

Family = Literal[4, 6]

LINE_LIMIT = 500  # bytes; BusyBox ash cuts a terminal's line at 1,024 and runs the rest as another command
BUILT_IN_CHAINS = frozenset({"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"})
TARGETS = frozenset(
    "ACCEPT AUDIT BALANCE CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DROP DSCP ECN FLOWOFFLOAD HL HMARK "
    "IDLETIMER IMQ LED LOG MARK MASQUERADE MIRROR NETMAP NFLOG NFQUEUE NOTRACK QUEUE RATEEST REDIRECT REJECT RETURN ROUTE "
    "SAME SECMARK SET SKIP SNAT SNPT SYNPROXY TARPIT TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG".split()
)

_CHAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,27}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]{0,14}")
# The discard prefix of RFC 6666: nobody has an address of it, and what is sent there goes nowhere.
_DISCARD = IPv6Network("100::/64")


class ChainError(TrafficError):
    """Something about the chain that only the user can decide."""


@dataclass(frozen=True)
class Settings:
    """Which chain, in which table, by which program (the profile's word for iptables, or for ip6tables with family 6)."""

    chain: str = "TRAFFIC"
    table: str = "filter"
    program: str = "iptables"
    family: Family = 4

    def __post_init__(self) -> None:
        if not _CHAIN_NAME.fullmatch(self.chain):
            raise ChainError(
                f"traffic_chain: {self.chain!r} cannot name a chain: letters, digits, '_' and '-', at most 28, "
                "not beginning with '-'."
            )
        if self.chain in BUILT_IN_CHAINS or self.chain in TARGETS:
            raise ChainError(
                f"traffic_chain: {self.chain!r} is a name of iptables' own. Choose another one, such as TRAFFIC: "
                "the chain holds nothing but counting rules and is emptied and removed as a whole."
            )
        if self.chain.startswith(tuple(BUILT_IN_CHAINS)):
            raise ChainError(
                f"traffic_chain: {self.chain!r} begins with the name of a chain of iptables' own, which a command that was cut off "
                "could meet instead. Choose another name, such as TRAFFIC."
            )
        if self.table not in ("filter", "mangle"):
            raise ChainError(f"traffic_table: {self.table!r} is neither 'filter' nor 'mangle'.")


@dataclass(frozen=True)
class Match:
    """What a counting rule of ours counts. ``host`` is None in the catch-all."""

    direction: Direction
    interface: str
    host: str | None


@dataclass(frozen=True)
class Marker:
    """A rule that never matches and names this life of the chain: a random source and a random destination.

    Of IPv4 both are out of 127.0.0.0/8, which the kernel does not forward. Of IPv6 both are out of the discard prefix 100::/64: no
    device has such an address, and only a packet with both of 2^128 could meet the rule. One that somebody forges is counted
    there, where nobody looks, and goes on: the rule has no target.
    """

    source: str
    destination: str

    def __str__(self) -> str:
        return f"{self.source}/{self.destination}"

    @staticmethod
    def of(family: Family, number: int) -> Marker:
        """The marker that a random number of 128 bits stands for."""
        halves = number >> 64, number % 2**64
        if family == 6:
            return Marker(*(str(_DISCARD[half % 2**64]) for half in halves))
        return Marker(*(".".join(["127", *(str(half // 254**place % 254 + 1) for place in range(3))]) for half in halves))


@dataclass(frozen=True)
class Observed:
    """The two chains as the router lists them. ``chain`` is None where it does not exist."""

    chain: Chain | None
    forward: Chain


@dataclass(frozen=True)
class Wanted:
    """The hosts to count, on the interfaces to the Internet. ``prune`` takes away the rules of all other hosts."""

    hosts: tuple[str, ...]
    interfaces: tuple[str, ...]
    prune: bool = False
    family: Family = 4

    def __post_init__(self) -> None:
        for host in self.hosts:
            check_host(host, self.family)
        for interface in self.interfaces:
            check_interface(interface)


@dataclass(frozen=True)
class Step:
    """One command: what it does to which rule of which chain. ``counted``: the rule starts with its counters, not with zero."""

    action: Literal["new", "append", "insert", "delete", "delete_number", "delete_chain"]
    chain: str
    rule: Rule | None = None
    number: int = 0
    counted: bool = False


def check_host(host: str, family: Family = 4) -> None:
    """Raise unless this is the canonical text of an address that a host of a LAN can have towards the Internet."""
    address = _address(host)
    if address is None or address.version != family:
        raise ChainError(f"traffic_hosts: {host!r} is not an IPv{family} address.")
    if str(address) != host:
        raise ChainError(f"traffic_hosts: {host!r} is written {str(address)!r} on routers.")
    if address.is_multicast or address.is_loopback or address.is_unspecified or _is_no_host(address):
        raise ChainError(f"traffic_hosts: {host!r} is not the address of a host.")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, without a scope such as ``%br0``: that can be anything."""
    try:
        if ":" not in text:
            return IPv4Address(text)
        return None if "%" in text else IPv6Address(text)
    except AddressValueError:
        return None


def _is_no_host(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return address == IPv4Address("255.255.255.255")
    return address.is_link_local or address.ipv4_mapped is not None or address in _DISCARD


def check_interface(interface: str) -> None:
    """Raise unless this can name a network interface."""
    if not _INTERFACE.fullmatch(interface):
        raise ChainError(
            f"traffic_wan_interfaces: {interface!r} cannot name an interface: letters, digits and '_.:-', at most 15."
        )


def by_address(host: str) -> int:
    """Sort key: the numeric order of addresses."""
    return int(IPv6Address(host) if ":" in host else IPv4Address(host))


# Commands


def list_command(settings: Settings, chain: str) -> str:
    """The command that lists a chain with exact counters and without name look-ups."""
    return _command(settings, "-nvxL", chain)


def version_command(settings: Settings) -> str:
    """The command that tells the version of iptables."""
    return f"{settings.program} --version"


def list_all_command(settings: Settings) -> str:
    """The command that lists every chain of the table."""
    return _command(settings, "-nvxL")


def command(settings: Settings, step: Step) -> str:
    """A step as a command line."""
    spec = rule_words(step.rule) if step.rule else ()
    if step.rule and step.counted:
        spec = (*spec, "-c", str(step.rule.packets), str(step.rule.bytes))
    match step.action:
        case "new":
            return _command(settings, "-N", step.chain)
        case "append":
            return _command(settings, *spec, "-A", step.chain)
        case "insert":
            return _command(settings, *spec, "-I", step.chain, *(("1",) if step.chain == "FORWARD" else ()))
        case "delete":
            return _command(settings, *spec, "-D", step.chain)
        case "delete_number":
            return _command(settings, "-D", step.chain, str(step.number))
        case "delete_chain":
            return _command(settings, "-X", step.chain)


def restore_command(settings: Settings, program: str, steps: Iterable[Step]) -> str:
    """The steps as one change, handed to iptables-restore by a shell."""
    plain = replace(settings, program="", table="filter")
    lines = (command(plain, step).strip() for step in steps)
    body = "".join(f"{line}\n" for line in lines)
    return f"{program} <<'END'\n*{settings.table}\n{body}COMMIT\nEND"


def _command(settings: Settings, *words: str) -> str:
    table = () if settings.table == "filter" else ("-t", settings.table)
    line = " ".join((settings.program, *table, *words))
    if len(line.encode()) > LINE_LIMIT:
        raise ChainError(f"A command would be longer than {LINE_LIMIT} bytes, which routers cut: {line[:80]}...")
    return line


def rule_words(rule: Rule) -> tuple[str, ...]:
    """The words that specify a rule of our forms."""
    fields = (
        ("-s", rule.source if not rule.in_interface else None),
        ("-i", rule.in_interface),
        ("-d", rule.destination),
        ("-o", rule.out_interface),
        ("-j", rule.target),
    )
    return tuple(word for option, value in fields if value for word in (option, value))


def as_commands(settings: Settings, observed: Observed) -> list[str]:
    """The chain and its jumps as the iptables commands that would make them: for people, in the usual order of words."""
    settings = replace(settings, program=settings.program.partition(" -w")[0])
    if observed.chain is None:
        return []
    lines = [_command(settings, "-N", settings.chain)]
    lines += [_command(settings, "-A", settings.chain, *_words_for_people(rule)) for rule in observed.chain.rules]
    for number, rule in enumerate(observed.forward.rules, 1):
        if rule.target == settings.chain:
            lines.append(_command(settings, "-I", "FORWARD", str(number), *_words_for_people(rule)))
    return lines


def _words_for_people(rule: Rule) -> tuple[str, ...]:
    if is_ours(rule):
        return rule_words(rule)
    fields = (
        ("-p", rule.protocol),
        ("-s", rule.source),
        ("-i", rule.in_interface),
        ("-d", rule.destination),
        ("-o", rule.out_interface),
        ("", rule.extra),
        ("-j", rule.target),
    )
    return tuple(word for option, value in fields if value for word in (option, value) if word)


# Reading a chain


def host_rule(match: Match) -> Rule:
    """The rule that counts a match: it returns for a host, and goes on for the catch-all."""
    down = match.direction == "download"
    return Rule(
        packets=0,
        bytes=0,
        target="RETURN" if match.host else None,
        protocol=None,
        in_interface=match.interface if down else None,
        out_interface=None if down else match.interface,
        source=None if down else match.host,
        destination=match.host if down else None,
    )


def marker_rule(marker: Marker) -> Rule:
    """The rule that carries a marker."""
    return Rule(0, 0, None, None, None, None, marker.source, marker.destination)


def jump_rule(settings: Settings) -> Rule:
    """The one jump of ours, as it stands in FORWARD."""
    return Rule(0, 0, settings.chain, None, None, None, None, None)


@lru_cache(maxsize=4096)
def match_of(rule: Rule) -> Match | None:
    """What a rule of our forms (or of the older script's, without target) counts; None for every other rule."""
    if rule.protocol is not None or rule.extra or rule.target not in (None, "RETURN"):
        return None
    match (rule.in_interface, rule.out_interface, rule.source, rule.destination):
        case (str() as interface, None, None, host):
            found = Match("download", interface, host)
        case (None, str() as interface, host, None):
            found = Match("upload", interface, host)
        case _:
            return None
    if not _INTERFACE.fullmatch(found.interface):
        return None
    if found.host is None:
        return None if rule.target else found
    host = _host(found.host)
    return replace(found, host=host) if host else None


def marker_of(rule: Rule) -> Marker | None:
    """The marker that a rule carries, if it is one."""
    if rule.protocol or rule.extra or rule.target or rule.in_interface or rule.out_interface:
        return None
    places = (_host_part(rule.source or ""), _host_part(rule.destination or ""))
    return Marker(*places) if all(map(_names_a_life, places)) else None


def is_ours(rule: Rule) -> bool:
    """Whether a rule of the chain is of a form that this collection makes or understands."""
    return match_of(rule) is not None or marker_of(rule) is not None


def is_plain_jump(settings: Settings, rule: Rule) -> bool:
    """Whether a rule of FORWARD sends every packet to the chain."""
    return bare(rule) == jump_rule(settings)


def bare(rule: Rule) -> Rule:
    """A rule without what it has counted."""
    return replace(rule, packets=0, bytes=0)


@lru_cache(maxsize=4096)
def _host(text: str) -> str | None:
    """The host that a rule names, None where it names something else."""
    address = _address(_host_part(text))
    try:
        if address is not None:
            check_host(str(address), address.version)
    except ChainError:
        return None
    return None if address is None else str(address)


def _host_part(text: str) -> str:
    """Old versions of ip6tables list an address with its /128."""
    return text.removesuffix("/128") if ":" in text else text


def _names_a_life(text: str) -> bool:
    address = _address(text)
    return address is not None and (address in _DISCARD if address.version == 6 else address.is_loopback)


def plain_jumps(settings: Settings, observed: Observed) -> list[int]:
    """The positions of the plain jumps in FORWARD, from 1."""
    return [number for number, rule in enumerate(observed.forward.rules, 1) if is_plain_jump(settings, rule)]


def rules_by_match(rules: Iterable[Rule]) -> dict[Match, list[Rule]]:
    """The counting rules, gathered by what they count, each list in the order of the chain."""
    found: dict[Match, list[Rule]] = {}
    for rule in rules:
        match = match_of(rule)
        if match:
            found.setdefault(match, []).append(rule)
    return found


def marker(chain: Chain | None) -> Marker | None:
    """The marker of this life of the chain, None where it has none."""
    found = (marker_of(rule) for rule in (chain.rules if chain else ()))
    return next((one for one in found if one), None)


def hosts_of(chain: Chain) -> list[str]:
    """The hosts that have rules, in numeric order."""
    return sorted({match.host for match in rules_by_match(chain.rules) if match.host}, key=by_address)
