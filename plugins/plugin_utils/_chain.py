# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain: what it is made of, and how its commands are spelled. Private to this collection.

Pure, and the only place that spells an iptables command or any other command with a variable part.

A router may run a line that was cut in the middle, so a command names its chain *after* the rule: ``iptables -i ppp0
-d 192.168.1.2 -j RETURN -A TRAFFIC`` either does all of it or nothing, where the usual order, cut short, would leave a
rule for another address, or an empty rule in FORWARD. iptables takes its options in any order, the oldest one too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from typing import Literal

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._blocks import Block, Family
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule, TrafficError

FULL = 16  # hosts, or sub-chains, in one chain: each is a rule that a packet may meet
GOTO = "[goto]"  # as iptables lists -g
LINE_LIMIT = 500  # bytes; BusyBox ash cuts a terminal's line at 1,024 and runs the rest as another command
BUILT_IN_CHAINS = frozenset({"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"})
TARGETS = frozenset(
    "ACCEPT AUDIT BALANCE CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DROP DSCP ECN FLOWOFFLOAD HL HMARK "
    "IDLETIMER IMQ LED LOG MARK MASQUERADE MIRROR NETMAP NFLOG NFQUEUE NOTRACK QUEUE RATEEST REDIRECT REJECT RETURN ROUTE "
    "SAME SECMARK SET SKIP SNAT SNPT SYNPROXY TARPIT TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG".split()
)

LONGEST_NAME = 28  # of a chain; more is refused by the kernel
LONGEST_SET_NAME = 31
_SUB_LENGTH = 5  # of what the name of a sub-chain has more than that of the chain
_SET_LENGTH = 12  # of what the name of a set has more
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_CHAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,27}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]{0,14}")
_SET_EXTRA = re.compile(r"match-set ([A-Za-z0-9_][A-Za-z0-9_-]{0,30}) (src|dst)")
# The discard prefix of RFC 6666: nobody has an address of it, and what is sent there goes nowhere.
DISCARD = IPv6Network("100::/64")


class ChainError(TrafficError):
    """Something about the chain that only the user can decide."""


@dataclass(frozen=True)
class Settings:
    """Which chain, in which table, by which program (the profile's word for iptables, or for ip6tables with family 6).

    ``goto``: this iptables knows ``-g``, without which there are no sub-chains. Above ``full`` hosts there are.
    """

    chain: str = "TRAFFIC"
    table: str = "filter"
    program: str = "iptables"
    family: Family = 4
    goto: bool = True
    full: int = FULL

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
    """What a counting rule of ours counts. ``host`` is None in the catch-all; ``block`` is its range in a sub-chain of a range."""

    direction: Direction
    interface: str
    host: str | None
    block: Block | None = None


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
            return Marker(*(str(DISCARD[half % 2**64]) for half in halves))
        return Marker(*(".".join(["127", *(str(half // 254**place % 254 + 1) for place in range(3))]) for half in halves))


@dataclass(frozen=True)
class Observed:
    """The two chains as the router lists them. ``chain`` is None where it does not exist; ``subs`` are its sub-chains by name."""

    chain: Chain | None
    forward: Chain
    subs: Mapping[str, Chain] = field(default_factory=dict)


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
    address = address_of(host)
    if address is None or address.version != family:
        raise ChainError(f"traffic_hosts: {host!r} is not an IPv{family} address.")
    if str(address) != host:
        raise ChainError(f"traffic_hosts: {host!r} is written {str(address)!r} on routers.")
    if address.is_multicast or address.is_loopback or address.is_unspecified or _is_no_host(address):
        raise ChainError(f"traffic_hosts: {host!r} is not the address of a host.")


def address_of(text: str) -> IPv4Address | IPv6Address | None:
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
    return address.is_link_local or address.ipv4_mapped is not None or address in DISCARD


def check_interface(interface: str) -> None:
    """Raise unless this can name a network interface."""
    if not is_interface(interface):
        raise ChainError(
            f"traffic_wan_interfaces: {interface!r} cannot name an interface: letters, digits and '_.:-', at most 15, "
            "and neither any nor anywhere, which stand for all of them where rules are listed."
        )


def is_interface(text: str) -> bool:
    """Whether this can name a network interface, in a listing, too: some words there stand for all interfaces."""
    return _INTERFACE.fullmatch(text) is not None and text not in ("any", "anywhere")


def by_address(host: str) -> int:
    """Sort key: the numeric order of addresses."""
    return int(IPv6Address(host) if ":" in host else IPv4Address(host))


# Names of sub-chains: of one length, so that no part of one is another's, and a command that was cut off in one can only meet the
# chain itself. There each rule of a sub-chain counts as it does where it belongs, or not at all.


def sub_name(settings: Settings, direction: Direction, number: int) -> str:
    """The name of a sub-chain."""
    if len(settings.chain) > LONGEST_NAME - _SUB_LENGTH:
        raise ChainError(
            f"traffic_chain: more than {settings.full} hosts are counted in sub-chains, whose names begin with {settings.chain!r} and have "
            f"{_SUB_LENGTH} characters more, which makes more than {LONGEST_NAME}. Choose a name of at most {LONGEST_NAME - _SUB_LENGTH}."
        )
    digits = [_DIGITS[number // 36**place % 36] for place in (2, 1, 0)]
    return f"{settings.chain}_{direction[0].upper()}{''.join(digits)}"


def is_sub_name(chain: str, name: str) -> bool:
    """Whether a name is that of a sub-chain of this chain."""
    return name.startswith(f"{chain}_") and re.fullmatch(r"_[DU][0-9a-z]{3}", name[len(chain) :]) is not None


# Names of sets: with the marker of the chain's life, so that chain and sets are always a pair.


def set_name(settings: Settings, direction: Direction, marker: Marker) -> str:
    """The name of the set that counts one direction in a life of the chain."""
    name = f"{settings.chain}_{direction[0].upper()}{settings.family}_{zlib.crc32(str(marker).encode()):08x}"
    if len(name) > LONGEST_SET_NAME:
        raise ChainError(
            f"traffic_chain: the names of sets of ipset begin with {settings.chain!r} and have {_SET_LENGTH} characters more, which makes "
            f"more than {LONGEST_SET_NAME}. Choose a name of at most {LONGEST_SET_NAME - _SET_LENGTH}."
        )
    return name


def is_set_name(chain: str, name: str) -> bool:
    """Whether a name is that of a set of this chain."""
    return name.startswith(f"{chain}_") and re.fullmatch(r"_[DU][46]_[0-9a-f]{8}", name[len(chain) :]) is not None


def set_of(rule: Rule) -> tuple[str, str] | None:
    """The set that a rule looks into, and with which end of a packet (``src`` or ``dst``); None for every other rule."""
    found = _SET_EXTRA.fullmatch(rule.extra)
    return (found[1], found[2]) if found else None


# Commands


def list_command(settings: Settings, chain: str) -> str:
    """The command that lists a chain with exact counters and without name look-ups."""
    return _command(settings, "-nvxL", chain)


def version_command(settings: Settings) -> str:
    """The command that tells the version of iptables."""
    return f"{settings.program} --version"


def set_help_command(settings: Settings) -> str:
    """The command that tells whether iptables and the kernel can look into sets, and count there."""
    return f"{settings.program} -m set --help"


def goto_command(settings: Settings) -> str:
    """A command that does nothing: an iptables that knows ``-g`` misses what follows it."""
    return _command(settings, "-g")


def list_all_command(settings: Settings) -> str:
    """The command that lists every chain of the table."""
    return _command(settings, "-nvxL")


def last_look(settings: Settings) -> str:
    """The same for a shell, to be told from the listing that follows a change in the same exchange."""
    return f"{list_all_command(settings)} # counted until then"


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
        ("-m", _set_words(rule)),
        ("-g" if rule.extra == GOTO else "-j", rule.target),
    )
    return tuple(word for option, value in fields if value for word in (option, value))


def _set_words(rule: Rule) -> str | None:
    found = set_of(rule)
    return f"set --match-set {found[0]} {found[1]}" if found else None


def as_commands(settings: Settings, observed: Observed) -> list[str]:
    """The chain and its jumps as the iptables commands that would make them: for people, in the usual order of words."""
    settings = replace(settings, program=settings.program.partition(" -w")[0])
    if observed.chain is None:
        return []
    chains = [observed.chain, *(observed.subs[name] for name in sorted(observed.subs))]
    lines = [_command(settings, "-N", chain.name) for chain in chains]
    lines += [_command(settings, "-A", chain.name, *_words_for_people(rule)) for chain in chains for rule in chain.rules]
    for number, rule in enumerate(observed.forward.rules, 1):
        if rule.target == settings.chain:
            lines.append(_command(settings, "-I", "FORWARD", str(number), *_words_for_people(rule)))
    return lines


def _words_for_people(rule: Rule) -> tuple[str, ...]:
    goto = rule.extra.startswith(GOTO)
    fields = (
        ("-p", rule.protocol),
        ("-s", rule.source),
        ("-i", rule.in_interface),
        ("-d", rule.destination),
        ("-o", rule.out_interface),
        ("-m", _set_words(rule)),
        ("", None if set_of(rule) else rule.extra.removeprefix(GOTO).strip()),
        ("-g" if goto else "-j", rule.target),
    )
    return tuple(word for option, value in fields if value for word in (option, value) if word)
