# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the chain: how they are made, and what those that the router lists are. Private to this collection. Pure.

The chain holds the rules of all hosts, or leads to sub-chains that do:

    -A TRAFFIC -i ppp0 -g TRAFFIC_D000
    -A TRAFFIC_D000 -d 192.168.1.0/28 -g TRAFFIC_D001       a link: the addresses of a range
    -A TRAFFIC_D000 -i ppp0 -j RETURN                       an end: the rest of the addresses
    -A TRAFFIC_D001 -i ppp0 -d 192.168.1.2 -j RETURN        a host
    -A TRAFFIC_D001 -i ppp0 -d 192.168.1.0/28 -j RETURN     an end: the rest of the range

A packet goes down by goto and never comes back into a chain that it has left: RETURN leads to the rule behind the jump in
FORWARD. So read in the order in which a packet may meet them, all these rules mean what they would mean in one chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._blocks import Block, block_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    DISCARD,
    GOTO,
    ChainError,
    Marker,
    Match,
    Observed,
    Settings,
    address_of,
    by_address,
    check_host,
    is_interface,
    is_set_name,
    is_sub_name,
    set_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

Subs = Mapping[str, Chain]
NONE: Subs = MappingProxyType({})

# Making rules


def host_rule(match: Match) -> Rule:
    """The rule that counts a match: it returns for a host, and goes on for the catch-all."""
    return _rule(match.direction, match.interface, match.host, "RETURN" if match.host else None)


def end_rule(match: Match) -> Rule:
    """The last rule of a sub-chain: it counts what has met none before it."""
    return _rule(match.direction, match.interface, str(match.block) if match.block else None, "RETURN")


def _rule(direction: Direction, interface: str | None, place: str | None, target: str | None, extra: str = "") -> Rule:
    down = direction == "download"
    return Rule(
        packets=0,
        bytes=0,
        target=target,
        protocol=None,
        in_interface=interface if down else None,
        out_interface=None if down else interface,
        source=None if down else place,
        destination=place if down else None,
        extra=extra,
    )


@dataclass(frozen=True)
class Link:
    """A rule that leads to a sub-chain: all packets of an interface, or those of a range."""

    direction: Direction
    interface: str | None
    block: Block | None
    target: str


def link_rule(link: Link) -> Rule:
    """The rule that is this link."""
    return _rule(link.direction, link.interface, str(link.block) if link.block else None, link.target, GOTO)


@dataclass(frozen=True)
class SetMatch:
    """A rule that counts in a set, with the counter of the address that is in it."""

    direction: Direction
    interface: str
    name: str


def set_rule(match: SetMatch) -> Rule:
    """The rule that is this match. It returns, as that of a host does."""
    end = "dst" if match.direction == "download" else "src"
    return _rule(match.direction, match.interface, None, "RETURN", f"match-set {match.name} {end}")


def marker_rule(marker: Marker) -> Rule:
    """The rule that carries a marker."""
    return Rule(0, 0, None, None, None, None, marker.source, marker.destination)


def jump_rule(settings: Settings) -> Rule:
    """The one jump of ours, as it stands in FORWARD."""
    return Rule(0, 0, settings.chain, None, None, None, None, None)


def bare(rule: Rule) -> Rule:
    """A rule without what it has counted."""
    return replace(rule, packets=0, bytes=0)


# Reading rules


def match_of(rule: Rule) -> Match | None:
    """What a rule of our forms (or of the older script's, without target) counts; None for every other rule."""
    if rule.protocol is not None or rule.extra or rule.target not in (None, "RETURN"):
        return None
    found = _sides(rule)
    if found is None or not is_interface(found[1]):
        return None
    direction, interface, place = found
    if place is None:
        return None if rule.target else Match(direction, interface, None)
    host = _host(place)
    return Match(direction, interface, host) if host else None


def _sides(rule: Rule) -> tuple[Direction, str, str | None] | None:
    """Direction, interface to the Internet, and place in the LAN, None where a rule is of another form."""
    match (rule.in_interface, rule.out_interface, rule.source, rule.destination):
        case (str() as interface, None, None, place):
            return "download", interface, place
        case (None, str() as interface, place, None):
            return "upload", interface, place
    return None


def end_of(rule: Rule) -> Match | None:
    """What the last rule of a sub-chain counts; None for every other rule."""
    if rule.protocol is not None or rule.extra or rule.target != "RETURN":
        return None
    found = _sides(rule)
    if found is None or not is_interface(found[1]):
        return None
    direction, interface, place = found
    block = block_of(place) if place else None
    return None if place and block is None else Match(direction, interface, None, block)


def link_of(rule: Rule) -> Link | None:
    """The link that a rule is; None for every other rule."""
    if rule.extra != GOTO or rule.protocol is not None or not rule.target:
        return None
    match (rule.in_interface, rule.out_interface, rule.source, rule.destination):
        case (str() as interface, None, None, None):
            return Link("download", interface, None, rule.target) if is_interface(interface) else None
        case (None, str() as interface, None, None):
            return Link("upload", interface, None, rule.target) if is_interface(interface) else None
        case (None, None, None, str() as place):
            direction: Direction = "download"
        case (None, None, str() as place, None):
            direction = "upload"
        case _:
            return None
    block = block_of(place)
    return Link(direction, None, block, rule.target) if block else None


def set_match_of(chain: str, rule: Rule) -> SetMatch | None:
    """How a rule counts in a set of this chain's; None for every other rule."""
    looked_into, sides = set_of(rule), _sides(rule)
    if looked_into is None or sides is None or not is_set_name(chain, looked_into[0]) or not is_interface(sides[1]):
        return None
    match = SetMatch(sides[0], sides[1], looked_into[0])
    return match if bare(rule) == set_rule(match) else None


def uses_sets(chain: Chain | None) -> bool:
    """Whether a chain counts in sets."""
    return chain is not None and any(set_match_of(chain.name, rule) for rule in chain.rules)


def marker_of(rule: Rule) -> Marker | None:
    """The marker that a rule carries, if it is one."""
    if rule.protocol or rule.extra or rule.target or rule.in_interface or rule.out_interface:
        return None
    places = (_host_part(rule.source or ""), _host_part(rule.destination or ""))
    return Marker(*places) if all(map(_names_a_life, places)) else None


def is_ours(rule: Rule) -> bool:
    """Whether a rule is of a form that this collection makes or understands in a chain without sub-chains."""
    return match_of(rule) is not None or marker_of(rule) is not None


def is_plain_jump(settings: Settings, rule: Rule) -> bool:
    """Whether a rule of FORWARD sends every packet to the chain."""
    return bare(rule) == jump_rule(settings)


@lru_cache(maxsize=65536)
def _host(text: str) -> str | None:
    """The host that a rule names, None where it names something else."""
    address = address_of(_host_part(text))
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
    address = address_of(text)
    return address is not None and (address in DISCARD if address.version == 6 else address.is_loopback)


# Reading chains


def sub_chains(settings: Settings, observed: Observed) -> dict[str, Chain]:
    """The sub-chains, whether something leads to them or not yet."""
    return {name: chain for name, chain in observed.subs.items() if is_sub_name(settings.chain, name)}


def match_in_chain(rule: Rule, subs: Subs) -> Match | None:
    """What a rule of the chain itself counts. Beside sub-chains, an end may stand there: it was meant for one of them."""
    return match_of(rule) or (end_of(rule) if subs else None)


def match_in_sub(rule: Rule) -> Match | None:
    """What a rule of a sub-chain counts."""
    found = match_of(rule)
    return found if found and found.host else end_of(rule)


def foreign_rules(chain: Chain | None, subs: Subs) -> dict[str, list[int]]:
    """The numbers of the rules that are not ours, for each chain that has some."""
    found: dict[str, list[int]] = {}
    for one, main in ((chain, True), *((sub, False) for sub in subs.values())):
        for number, rule in enumerate(one.rules if one else (), 1):
            link = link_of(rule)
            match = match_in_chain(rule, subs) if main else match_in_sub(rule)
            known = main and one and (marker_of(rule) or set_match_of(one.name, rule))
            ours = match or known or (link and link.target in subs and (link.interface is not None) == main)
            if one and not ours:
                found.setdefault(one.name, []).append(number)
    return found


def in_order(chain: Chain, subs: Subs = NONE) -> list[tuple[Rule, Match | None]]:
    """All rules that a packet may meet, in that order, and what they count. A sub-chain stands where the first link to it is."""
    found: list[tuple[Rule, Match | None]] = []
    entered: set[str] = set()

    def add(rules: Sequence[Rule], main: bool) -> None:
        for rule in rules:
            link = link_of(rule)
            if link and is_sub_name(chain.name, link.target):
                if link.target not in subs:
                    raise ChainError(f"The chain {chain.name} leads to {link.target}, which was not listed. Run it again.")
                if link.target not in entered:
                    entered.add(link.target)
                    add(subs[link.target].rules, False)
            else:
                found.append((rule, match_in_chain(rule, subs) if main else match_in_sub(rule)))

    add(chain.rules, True)
    return found


def by_match(rules: Iterable[tuple[Rule, Match | None]]) -> dict[Match, list[Rule]]:
    """The counting rules, gathered by what they count, each list in the order of the chain."""
    found: dict[Match, list[Rule]] = {}
    for rule, match in rules:
        if match:
            found.setdefault(match, []).append(rule)
    return found


def marker(chain: Chain | None) -> Marker | None:
    """The marker of this life of the chain, None where it has none."""
    found = (marker_of(rule) for rule in (chain.rules if chain else ()))
    return next((one for one in found if one), None)


def hosts_of(chain: Chain, subs: Subs = NONE) -> list[str]:
    """The hosts that have rules, in numeric order."""
    return sorted({match.host for _one, match in in_order(chain, subs) if match and match.host}, key=by_address)


def without_chain(settings: Settings, observed: Observed) -> Observed:
    """What would be there without the chain and its jumps."""
    forward = tuple(rule for rule in observed.forward.rules if not is_plain_jump(settings, rule))
    return Observed(None, replace(observed.forward, rules=forward))


def plain_jumps(settings: Settings, observed: Observed) -> list[int]:
    """The positions of the plain jumps in FORWARD, from 1."""
    return [number for number, rule in enumerate(observed.forward.rules, 1) if is_plain_jump(settings, rule)]
