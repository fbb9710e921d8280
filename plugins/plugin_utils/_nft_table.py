# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table of ours: its form, and what of a listing has it. Private to this collection. Pure.

What is put on a router::

    table inet homenet_traffic {
        set hosts4 ...          who is counted by itself; with learning, whoever sent a packet to the Internet
        set download4 ...       what each of them received, and
        set upload4 ...         what each of them sent: addresses with counters
        counter rest_download   what all others received, and
        counter rest_upload     what all others sent
        chain forward { type filter hook forward priority -5; policy accept; ... }
        chain download, upload, learn, and an empty one whose name marks this life of the table
    }

and the same sets for IPv6. No rule decides about a packet. At -5 in ``forward`` addresses are those of the LAN, whatever is
translated, and each packet to be forwarded is met, also one that the firewall drops afterwards: as with iptables at the head
of FORWARD.

A packet of a known host meets one look-up, which counts it. A host is learned when it *sends* to the Internet, from an address
that a LAN can have; never from what arrives from outside, or a scan from there could fill the sets. No element has a timeout:
what was counted stays until somebody takes it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, Counter, Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_list import TABLE
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

PRIORITY = -5
RESTS = ("rest_download", "rest_upload")
WORDS: Mapping[int, str] = {4: "ip", 6: "ip6"}
SETS: Mapping[str, str] = {f"{what}{version}": f"ipv{version}_addr" for what in ("hosts", *DIRECTIONS) for version in WORDS}
CHAINS = ("learn", "download", "upload", "forward")
LARGEST = 2**64 - 1

_MARKER = re.compile(r"marker_([0-9a-f]{16})")
_NAME = r'"[A-Za-z0-9_.:-]{1,15}"'
_JUMP = re.compile(rf"(iif|oif)name ({_NAME}) jump (download|upload)")
_VARYING_RULE = re.compile(
    rf"iifname {_NAME} jump download|oifname {_NAME} jump upload|iifname {_NAME} counter name rest_upload return"
    r"|ip saddr [0-9.]+/[0-9]+ goto learn|ip6 saddr [0-9a-f:]+/[0-9]+ goto learn"
)


class NftError(TrafficError):
    """Something about the table that only the user can decide."""


class NotUnderstood(ValueError):
    """A listing that is not read: what is wrong, and where."""


@dataclass(frozen=True)
class NftSettings:
    """Which table; whether a host that nobody named is counted by itself from its first packet on; for how many there is room.

    A terminal gives up at 1 MiB of output: with 2,048 addresses of each family a full table stays below.
    """

    table: str = TABLE
    learn: bool = True
    size: int = 2048

    def __post_init__(self) -> None:
        if not re.fullmatch(r"homenet_[a-z0-9_]{1,20}", self.table):
            raise NftError(
                f"{self.table!r} cannot name the table: 'homenet_', then lower-case letters, digits and '_', so that it is nobody else's."
            )
        if not 1 <= self.size <= 65536:
            raise NftError(f"{self.size} is no size for the sets: 1 to 65,536.")


@dataclass(frozen=True)
class NftRule:
    """A rule in nft's words with single blanks between them. ``counter`` is that of a rule with a counter of its own."""

    words: str
    counter: Counter | None = None
    comment: str | None = None


@dataclass(frozen=True)
class NftChain:
    """A chain; ``hook`` and ``priority`` are None for one that is only jumped to."""

    rules: tuple[NftRule, ...] = ()
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None


@dataclass(frozen=True)
class NftSet:
    """A set, and the counters of its elements (None for one without). ``kind`` is its type in nft's words."""

    kind: str
    size: int | None = None
    elements: Mapping[str, Counter | None] = field(default_factory=dict)


@dataclass(frozen=True)
class NftTable:
    """A table. ``others`` names what it holds besides counters, sets and chains, and flags that it has."""

    family: str
    name: str
    counters: Mapping[str, Counter] = field(default_factory=dict)
    sets: Mapping[str, NftSet] = field(default_factory=dict)
    chains: Mapping[str, NftChain] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def by_address(host: str) -> tuple[int, int]:
    """Sort key: IPv4 first, each in numeric order."""
    address = ip_address(host)
    return address.version, int(address)


def counter_of(packets: int, size: int) -> Counter:
    """A counter as read. Raises ValueError where the kernel cannot have counted so much."""
    if not (0 <= packets <= LARGEST and 0 <= size <= LARGEST):
        raise NotUnderstood("no number that the kernel counts to")
    return Counter(packets, size)


def canonical(key: str) -> str:
    """The key of an element: an address in its usual form, everything else as it is."""
    try:
        return str(ip_address(key))
    except ValueError:
        return key


# The rules


def counting(direction: Direction, *before_the_rest: str) -> Iterator[str]:
    """What counts one direction: hosts with a counter, then those that are to get one, then all the rest."""
    end = "daddr" if direction == "download" else "saddr"
    for version, word in WORDS.items():
        yield f"{word} {end} @{direction}{version} return"
    for version, word in WORDS.items():
        yield f"{word} {end} @hosts{version} add @{direction}{version} {{ {word} {end} counter }} return"
    yield from before_the_rest
    yield f"counter name rest_{direction}"


def learning() -> Iterator[str]:
    """What makes a host known by a packet that it sent. When a set is full, the rule ends there, and the packet is of the rest."""
    for version, word in WORDS.items():
        yield f"add @hosts{version} {{ {word} saddr }} add @upload{version} {{ {word} saddr counter }} return"
    yield "counter name rest_upload"


def jumps(interfaces: Sequence[str]) -> Iterator[str]:
    """What leads packets from and to the Internet to the chains that count."""
    yield from (f'iifname "{name}" jump download' for name in interfaces)
    yield from (f'oifname "{name}" jump upload' for name in interfaces)


_FIXED_RULES = frozenset((*counting("download"), *counting("upload"), *learning()))


def plain(words: str) -> str:
    """A rule without what the JSON of nft up to 1.0.2 leaves out: that the elements which it adds have counters."""
    return words.replace(" counter }", " }")


_PLAIN_RULES = frozenset(map(plain, _FIXED_RULES))


def is_our_rule(rule: NftRule) -> bool:
    """Whether a rule is of a form that this collection makes."""
    return not rule.comment and (plain(rule.words) in _PLAIN_RULES or is_varying(rule))


def is_varying(rule: NftRule) -> bool:
    """Whether a rule is one that differs from router to router: an interface or a network stands in it."""
    return _VARYING_RULE.fullmatch(rule.words) is not None


def marker(table: NftTable | None) -> str | None:
    """What names this life of the table, None where nothing does."""
    return min((found[1] for found in map(_MARKER.fullmatch, table.chains if table else ()) if found), default=None)


def interfaces_of(table: NftTable) -> list[str]:
    """The interfaces whose traffic is counted in both directions, in their order."""
    forward = table.chains.get("forward", NftChain())
    found = [match.groups() for match in (_JUMP.fullmatch(rule.words) for rule in forward.rules) if match]
    down = [name for way, name, chain in found if (way, chain) == ("iif", "download")]
    up = {name for way, name, chain in found if (way, chain) == ("oif", "upload")}
    return [name.strip('"') for name in down if name in up]


def known(sets: Mapping[str, NftSet], version: int) -> set[str]:
    """The addresses of a family that are counted by themselves, or were."""
    mine = (sets.get(f"{what}{version}") for what in ("hosts", *DIRECTIONS))
    return {host for one in mine if one for host in one.elements if _is_address(host, version)}


def is_incomplete(table: NftTable) -> bool:
    """Whether elements have lost their counters on the way, as they do in the JSON of nft up to 0.9.3."""
    counting_sets = (table.sets.get(f"{direction}{version}") for direction in DIRECTIONS for version in WORDS)
    return any(counter is None for one in counting_sets if one for counter in one.elements.values())


def foreign(table: NftTable) -> list[str]:
    """What in the table is not of homenet.traffic, each in a few words."""
    found = list(table.others)
    found += [f"counter {name}" for name in table.counters if name not in RESTS]
    for name, one in table.sets.items():
        if SETS.get(name) != one.kind or not all(_is_element(name, *element) for element in one.elements.items()):
            found.append(f"set {name}")
    for name, chain in table.chains.items():
        hooked = (chain.hook, chain.priority, chain.policy) == (("forward", PRIORITY, "accept") if name == "forward" else (None,) * 3)
        if not hooked or not (name in CHAINS or (_MARKER.fullmatch(name) and not chain.rules)):
            found.append(f"chain {name}")
        found += [f"rule `{rule.words}` of chain {name}" for rule in chain.rules if not is_our_rule(rule)]
    return found


def _is_element(name: str, key: str, counter: Counter | None) -> bool:
    """Whether an element of a set of ours is an address, with a counter where there must be one."""
    return _is_address(key, int(name[-1])) and (name.startswith("hosts") or counter is not None)


def _is_address(text: str, version: int) -> bool:
    try:
        (IPv4Address if version == 4 else IPv6Address)(text)
    except ValueError:
        return False
    return True
