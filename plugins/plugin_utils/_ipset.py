# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of ipset that the chain counts in: what is wanted and what was observed go in, commands come out. Private to this collection.

Pure, and the only place that spells an ipset command that changes something. What is put on a router::

    ipset create TRAFFIC_D4_0f3a9c21 hash:ip family inet counters maxelem 4096     what each received, and
    ipset create TRAFFIC_U4_0f3a9c21 hash:ip family inet counters maxelem 4096     what each sent
    iptables -A TRAFFIC -s 127.81.4.9 -d 127.200.7.33                              marker, as in every chain of ours
    iptables -A TRAFFIC -i ppp0 -m set --match-set TRAFFIC_D4_0f3a9c21 dst -j RETURN
    iptables -A TRAFFIC -o ppp0 -m set --match-set TRAFFIC_U4_0f3a9c21 src -j RETURN
    iptables -A TRAFFIC -i ppp0                                                    the rest
    iptables -A TRAFFIC -o ppp0

The names of the sets follow from the marker. A firewall that is built anew loses the chain and keeps the sets: these are then left over
from a life that is over, their counters stand still, and what they hold can be read for good before they are taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, ZERO
from ansible_collections.homenet.traffic.plugins.plugin_utils._blocks import Family
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Match,
    Observed,
    Settings,
    Step,
    Wanted,
    by_address,
    set_name,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import (
    idle_duplicates,
    jump_steps,
    refuse_deciding_rules,
    removable,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    SetMatch,
    bare,
    host_rule,
    link_of,
    marker,
    marker_rule,
    match_of,
    set_match_of,
    set_rule,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet, Sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

SMALLEST, LARGEST = 4096, 65536  # addresses that there is room for in a set

Placed = Sequence[tuple[Rule, Match | SetMatch | None]]


# Commands


def probe_command(program: str, settings: Settings) -> str:
    """A command that never does anything: an ipset that can count, on a kernel that can, misses what follows ``maxelem``."""
    return f"{program} create {settings.chain}_probe hash:ip family inet counters maxelem"


def restore_command(program: str, lines: Iterable[str]) -> str:
    """The command that hands lines to ipset, which does them one after the other, up to the first that fails."""
    body = "".join(f"{line}\n" for line in lines)
    return f"{program} restore <<'END'\n{body}END"


def single_commands(program: str, lines: Iterable[str]) -> list[str]:
    """The same as commands of their own."""
    return [f"{program} {line}" for line in lines]


def as_lines(sets: Sets) -> list[str]:
    """The lines that would make these sets, counting from zero."""
    lines: list[str] = []
    for name in sorted(sets):
        one = sets[name]
        lines += [_create(name, one.family, one.room), *(f"add {name} {host}" for host in sorted(one.elements, key=by_address))]
    return lines


# Never with -exist: two that set up at once would put the counters of the other one back to zero.


def _create(name: str, family: Family, room: int) -> str:
    return f"create {name} hash:ip family {'inet6' if family == 6 else 'inet'} counters maxelem {room}"


# Planning


def is_sound(settings: Settings, observed: Observed, sets: Sets) -> bool:
    """Whether chain and sets are a pair that can go on counting. Where they are not, a new life begins."""
    rules = observed.chain.rules if observed.chain else ()
    mine = life_sets(settings, observed)
    if any(match.name not in mine or match.name not in sets for match in set_matches(observed.chain)):
        return False
    return not any(link_of(rule) or ((match := match_of(rule)) and match.host) for rule in rules)


def life_sets(settings: Settings, observed: Observed) -> set[str]:
    """The names of the sets that go with the chain's marker."""
    life = marker(observed.chain)
    return {set_name(settings, direction, life) for direction in DIRECTIONS} if life else set()


def set_matches(chain: Chain | None) -> list[SetMatch]:
    """All rules of a chain that count in sets."""
    return [match for rule in (chain.rules if chain else ()) if (match := set_match_of(chain.name if chain else "", rule))]


def plan_sets(settings: Settings, sets: Sets, wanted: Wanted, life: Marker) -> tuple[str, ...]:
    """The lines that make the sets of a life, or bring them up to date. Empty when nothing is to be done.

    What is not known of a family is no reason to prune it.
    """
    names = [set_name(settings, direction, life) for direction in DIRECTIONS]
    known = {host for name in names if name in sets for host in sets[name].elements}
    gone = known - set(wanted.hosts) if wanted.prune and wanted.hosts else set()
    hosts = sorted((known - gone) | set(wanted.hosts), key=by_address)
    lines: list[str] = []
    for name in names:
        there = sets.get(name) or AddressSet(name, _room(hosts))
        lines += [] if name in sets else [_create(name, settings.family, there.room)]
        lines += [f"del {name} {host}" for host in sorted(gone & set(there.elements), key=by_address)]
        missing = [host for host in hosts if host not in there.elements]
        lines += [f"add {name} {host}" for host in missing[: max(0, there.room - len(set(there.elements) - gone))]]
    return tuple(lines)


def simulate_sets(sets: Sets, lines: Iterable[str]) -> dict[str, AddressSet]:
    """What sets there would be after these lines."""
    after = dict(sets)
    for line in lines:
        verb, name, *words = line.split(" ")
        if verb == "create":
            after[name] = AddressSet(name, int(words[-1]))
        elif verb == "destroy":
            after.pop(name, None)
        else:
            kept = {host: counter for host, counter in after[name].elements.items() if host != words[0]}
            after[name] = AddressSet(name, after[name].room, {**kept, words[0]: ZERO} if verb == "add" else kept, after[name].references)
    return after


def plan_chain(settings: Settings, observed: Observed, wanted: Wanted, new_marker: Marker) -> tuple[Step, ...]:
    """The steps that bring the chain up to date, when its sets are there. The jump comes last."""
    chain = observed.chain or Chain(settings.chain, 0, None, ())
    refuse_deciding_rules(chain, {})
    life = marker(chain) or new_marker
    rules: Placed = [(rule, match_of(rule) or set_match_of(chain.name, rule)) for rule in chain.rules]
    where: Literal["append", "insert"] = "insert" if chain.rules else "append"
    looked_into, rest = _counting(rules)
    catch_alls = [Match(direction, interface, None) for interface in wanted.interfaces for direction in DIRECTIONS]
    matches = [SetMatch(one.direction, one.interface, set_name(settings, one.direction, life)) for one in catch_alls]
    return (
        *([Step("new", chain.name)] if observed.chain is None else ()),
        *_tidied(chain, rules, wanted),
        *([] if marker(chain) else [Step(where, chain.name, marker_rule(life))]),
        *(Step(where, chain.name, set_rule(match)) for match in matches if match not in looked_into),
        *(Step("append", chain.name, host_rule(match)) for match in catch_alls if match not in rest),
        *jump_steps(settings, observed),
    )


def _counting(rules: Placed) -> tuple[set[SetMatch], set[Match]]:
    """The rules that look into sets before the rest is counted, and those that count the rest."""
    before: set[SetMatch] = set()
    rest: set[Match] = set()
    for _rule, match in rules:
        if isinstance(match, SetMatch) and Match(match.direction, match.interface, None) not in rest:
            before.add(match)
        elif isinstance(match, Match) and match.host is None:
            rest.add(match)
    return before, rest


def _tidied(chain: Chain, rules: Placed, wanted: Wanted) -> list[Step]:
    """Take away what is there twice, and when pruning what was for another interface; never what has counted."""
    numbers = removable(idle_duplicates(rules))
    elsewhere = [
        Step("delete", chain.name, bare(rule))
        for number, (rule, match) in enumerate(rules, 1)
        if wanted.prune and match and match.interface not in wanted.interfaces and rule.packets == 0 and number not in numbers
    ]
    return [*(Step("delete_number", chain.name, number=number) for number in numbers), *elsewhere]


def _room(hosts: Sequence[str]) -> int:
    """Room for twice as many hosts as there are, at the least, and for no more than a listing may hold."""
    room = SMALLEST
    while room < min(2 * len(hosts), LARGEST):
        room *= 2
    return room
