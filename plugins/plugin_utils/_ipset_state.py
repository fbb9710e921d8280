# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain and its sets have counted, and what is wrong with them. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import (
    DIRECTIONS,
    ZERO,
    Counted,
    Counter,
    Direction,
    Problem,
    nearly_full,
    together,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Match, Observed, Settings, by_address
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import foreign_rules, match_of, set_match_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, jump_problems, unattributed
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset import is_sound, life_sets, set_matches
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet, Sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import some


def counted(observed: Observed) -> Counted:
    """What the rules of a chain have counted by themselves: the rest, and hosts that have rules."""
    if observed.chain is None:
        return Counted()
    return Counted(host_counters(observed.chain, observed.subs), _rest(observed.chain, observed))


def counted_in(sets: Iterable[AddressSet]) -> Counted:
    """What sets have counted. A direction in whose set a host is not, is not counted."""
    total = Counted()
    for one in sets:
        hosts: dict[str, dict[Direction, Counter | None]] = {
            host: {direction: counter if direction == one.direction else None for direction in DIRECTIONS}
            for host, counter in one.elements.items()
        }
        total = together(total, Counted(hosts))
    return total


def total(seen: Iterable[Observed], sets: Sets) -> Counted:
    """What chains and the sets that they look into have counted."""
    found = Counted()
    names: set[str] = set()
    for observed in seen:
        found = together(found, counted(observed))
        names |= {match.name for match in set_matches(observed.chain)}
    return in_order(together(found, counted_in(sets[name] for name in sorted(names) if name in sets)))


def left_over(seen: Iterable[tuple[Settings, Observed]], sets: Sets) -> list[AddressSet]:
    """The sets of lives that are over: no rule looks into them, and they do not go with the marker of a chain."""
    kept: set[str] = set()
    for settings, observed in seen:
        kept |= {match.name for match in set_matches(observed.chain)} | life_sets(settings, observed)
    return [sets[name] for name in sorted(sets) if name not in kept and not sets[name].references]


def in_order(found: Counted) -> Counted:
    """The same with IPv4 first, each in numeric order."""
    return Counted({host: found.hosts[host] for host in sorted(found.hosts, key=lambda host: (":" in host, by_address(host)))}, found.rest)


def _rest(chain: Chain, observed: Observed) -> dict[Direction, Counter] | None:
    """What the catch-alls have counted, without what a rule behind them found in a set and so counted again."""
    total = unattributed(chain, observed.subs)
    if total is None:
        return None
    passed: set[Match] = set()
    late = dict.fromkeys(DIRECTIONS, ZERO)
    for rule in chain.rules:
        match, looked_into = match_of(rule), set_match_of(chain.name, rule)
        if match and match.host is None:
            passed.add(match)
        elif looked_into and Match(looked_into.direction, looked_into.interface, None) in passed:
            late[looked_into.direction] += Counter(rule.packets, rule.bytes)
    return {direction: total[direction] - late[direction] for direction in DIRECTIONS}


def problems(settings: Settings, observed: Observed, sets: Sets, interfaces: Sequence[str]) -> Iterator[Problem]:
    """What is wrong, as the user should be told. ``sets`` are those of the settings' family."""
    chain = observed.chain
    if chain is None:
        yield Problem("chain_missing", f"There is no chain {settings.chain}: nothing is counted. Run setup_traffic.")
        return
    yield from jump_problems(settings, observed)
    for name, numbers in foreign_rules(chain, observed.subs).items():
        some = ", ".join(map(str, numbers))
        what = f"Rule {some} of {name} is not of homenet.traffic; it was left alone. What it lets return is not counted behind it."
        yield Problem("foreign_rule", what)
    if not set_matches(chain):
        yield Problem("no_catch_all", f"The chain {chain.name} is empty: nothing is counted. Run setup_traffic.")
        return
    if not is_sound(settings, observed, sets):
        yield Problem(
            "rules_differ",
            f"The chain {chain.name} and its sets do not belong together: what passes may be counted in the wrong place. Run "
            "setup_traffic.",
        )
    yield from _rule_problems(chain, interfaces)
    yield from _set_problems([sets[name] for name in sorted({match.name for match in set_matches(chain)}) if name in sets])


def _rule_problems(chain: Chain, interfaces: Sequence[str]) -> Iterator[Problem]:
    ways = [Match(direction, interface, None) for interface in interfaces for direction in DIRECTIONS]
    looked_into, rest, late = _places(chain)
    counting = sorted({match.interface for match in looked_into | rest})
    missing = [interface for interface in interfaces if interface not in counting]
    if missing:
        yield Problem(
            "wan_changed",
            f"The way to the Internet is {some(missing)}, but the chain counts on {some(counting)}: new traffic is not "
            "counted. Run setup_traffic.",
        )
    if any(way not in rest for way in ways if way.interface in counting):
        yield Problem("no_catch_all", "Traffic of hosts without a rule is not counted. Run setup_traffic.")
    if any(way not in looked_into for way in ways if way.interface in counting):
        yield Problem(
            "catch_all_not_last",
            "What single hosts pass is counted with the rest, for the rules that look into the sets stand behind it or are missing. Run "
            "setup_traffic.",
        )
    elif late:
        yield Problem("duplicate_rule", f"Repeated rules in {chain.name}; no byte is counted twice.")


def _places(chain: Chain) -> tuple[set[Match], set[Match], bool]:
    """In which ways sets are looked into, in which the rest is counted, and whether a set is looked into again behind that."""
    looked_into: set[Match] = set()
    rest: set[Match] = set()
    late = False
    for rule in chain.rules:
        match, found = match_of(rule), set_match_of(chain.name, rule)
        if found:
            way = Match(found.direction, found.interface, None)
            late = late or way in looked_into
            if way not in rest:
                looked_into.add(way)
        elif match and match.host is None:
            late = late or match in rest
            rest.add(match)
    return looked_into, rest, late


def _set_problems(sets: Sequence[AddressSet]) -> Iterator[Problem]:
    known = {direction: {host for one in sets if one.direction == direction for host in one.elements} for direction in DIRECTIONS}
    lame = sorted(known["download"] ^ known["upload"], key=by_address)
    if lame:
        yield Problem("one_direction_only", f"Only one direction is counted for {some(lame)}. Run setup_traffic.")
    taken, room = max(((len(one.elements), one.room) for one in sets), default=(0, 1))
    what = nearly_full(taken, room)
    if what is None:
        return
    yield Problem(
        "set_full",
        f"{what}. Run setup_traffic with traffic_prune: true to take out the addresses of devices that are not on the network now, with "
        "what was counted for them.",
    )
