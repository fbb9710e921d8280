# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sub-chains by ranges of addresses, for networks of many hosts. Private to this collection. Pure.

For each direction and interface to the Internet there is a tree of sub-chains. Its first one holds hosts, or links to sub-chains of
ranges, which again hold either. A sub-chain is made and filled before anything leads to it, and what leads to it is one rule, set
in front of all that counted these packets before: at any moment a packet is counted by the old rules or by the new ones. The old
ones stay behind and keep what they have counted; no packet meets them any more.

A tree that was left half-built is taken up where it was left: every sub-chain says by its end which addresses it is for.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._blocks import Block, everything, gaps, shared_out
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Match,
    Observed,
    Settings,
    Step,
    by_address,
    sub_name,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    Link,
    Subs,
    bare,
    end_of,
    end_rule,
    foreign_rules,
    host_rule,
    link_of,
    link_rule,
    marker,
    match_in_chain,
    match_in_sub,
    sub_chains,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

_MOST_SUBS = 36**3  # of one direction


@dataclass
class _Node:
    """A sub-chain: what it is for, where it leads to, and the hosts that it counts itself."""

    name: str
    end: Match
    block: Block
    ended: bool = True
    links: dict[Block, str] = field(default_factory=dict)
    hosts: set[int] = field(default_factory=set)


def is_split(settings: Settings, observed: Observed) -> bool:
    """Whether the chain leads to sub-chains."""
    subs = sub_chains(settings, observed)
    return any((link := link_of(rule)) and link.target in subs for rule in (observed.chain.rules if observed.chain else ()))


def linked(chain: Chain, subs: Subs) -> set[str]:
    """The sub-chains that a packet can get into."""
    found: set[str] = set()
    rules = list(chain.rules)
    while rules:
        link = link_of(rules.pop())
        if link and link.target in subs and link.target not in found:
            found.add(link.target)
            rules += subs[link.target].rules
    return found


def begun_hosts(settings: Settings, observed: Observed) -> set[str]:
    """The hosts of sub-chains to which nothing leads yet, but will: an earlier run was cut off."""
    if observed.chain is None or marker(observed.chain) is None:
        return set()
    loose = _loose(observed.chain, sub_chains(settings, observed)).values()
    return {match.host for sub in loose for rule in sub.rules if (match := match_in_sub(rule)) and match.host}


class Trees:
    """Brings the trees to what is wanted. ``steps`` is what is to be done for it, in order; ``used`` are the sub-chains in use then."""

    def __init__(self, settings: Settings, observed: Observed, hosts: Sequence[str] = ()) -> None:
        self.steps: list[Step] = []
        self._settings = settings
        self._chain = observed.chain or Chain(settings.chain, 0, None, ())
        self._subs = sub_chains(settings, observed)
        self._texts = {by_address(host): host for host in hosts}
        self._numbers = sorted(self._texts)
        self._loose = _loose(self._chain, self._subs)
        self.used = linked(self._chain, self._subs)
        self._free = {direction: self._names(direction, set(observed.subs)) for direction in DIRECTIONS}
        self._begun = self._to_take_up()

    def grow(self, direction: Direction, interface: str) -> None:
        """Have every host counted in the tree of this direction and interface."""
        end, block = Match(direction, interface, None), everything(self._settings.family)
        name, in_use = self._first(end)
        node = self._read(name, end, block) if name else self._made(end, block)
        self._fill(node, self._numbers)
        if not in_use:
            self._insert(self._settings.chain, link_rule(Link(direction, interface, None, node.name)))

    def cleared(self) -> list[Step]:
        """The steps that take away what nothing leads to and no tree has use for, unless it has counted in this life of the chain."""
        alive = marker(self._chain) is not None
        counted = [sub for sub in self._loose.values() if alive and any(rule.packets for rule in sub.rules)]
        kept = {sub.name for sub in counted}.union(*(linked(sub, self._subs) for sub in counted))
        return removal({name: sub for name, sub in self._loose.items() if name not in kept})

    def _to_take_up(self) -> dict[Match | Direction | None, str]:
        """The sub-chains that an earlier run has begun, by what they are for."""
        if marker(self._chain) is None:
            return {}  # without its marker the chain is another one than that for which they were made
        circular = {name for name, sub in self._loose.items() if name in linked(sub, self._subs)}
        sound = {name: sub for name, sub in self._loose.items() if circular.isdisjoint({name, *linked(sub, self._subs)})}
        return {_purpose(sub): name for name, sub in reversed(sound.items())}

    def _first(self, end: Match) -> tuple[str | None, bool]:
        """The first sub-chain of a tree, and whether packets get there: nothing in front of the link to it ends their way."""
        reached = True
        for rule in self._chain.rules:
            link = link_of(rule)
            if link and link.target in self._subs and (link.direction, link.interface) == (end.direction, end.interface):
                return link.target, reached
            reached = reached and match_in_chain(rule, self._subs) != end
        return None, False

    def _read(self, name: str, end: Match, block: Block) -> _Node:
        self._loose.pop(name, None)
        self.used.add(name)
        node = _Node(name, end, block, ended=False)
        for rule in self._subs[name].rules:
            link, match = link_of(rule), match_in_sub(rule)
            if match == end:
                node.ended = True
                break
            if link and link.block and link.direction == end.direction and link.target in self._subs:
                if link.block != block and block.contains(link.block):
                    node.links.setdefault(link.block, link.target)
            elif match and match.host and rule.target == "RETURN" and (match.direction, match.interface) == (end.direction, end.interface):
                node.hosts.add(by_address(match.host))
        return node

    def _made(self, end: Match, block: Block) -> _Node:
        """A new sub-chain, or one that an earlier run has begun."""
        begun = self._begun.pop(end, None) or self._begun.pop(end.direction, None)
        if begun:
            return self._read(begun, end, block)
        name = next(self._free[end.direction])
        self.steps.append(Step("new", name))
        return _Node(name, end, block, ended=False)

    def _names(self, direction: Direction, taken: set[str]) -> Iterator[str]:
        names = (sub_name(self._settings, direction, number) for number in range(_MOST_SUBS))
        yield from (name for name in names if name not in taken)
        raise ChainError(f"There are no more names for sub-chains of {self._settings.chain}. Run flush_traffic, then setup_traffic.")

    def _insert(self, chain: str, rule: Rule) -> None:
        self.steps.append(Step("insert", chain, rule))

    def _fill(self, node: _Node, numbers: Sequence[int]) -> None:
        """Have these hosts counted in a sub-chain or below it."""
        if not node.ended:
            self.steps.append(Step("append", node.name, end_rule(node.end)))
        here = list(numbers)
        for block, name in node.links.items():
            self._fill(self._read(name, replace(node.end, block=block), block), here[block.part(here)])
            del here[block.part(here)]
        missing = [number for number in here if number not in node.hosts]
        full = self._settings.full
        if not node.links and len(here) <= (2 * full if node.hosts else full):
            for number in reversed(missing):
                self._insert(node.name, host_rule(replace(node.end, host=self._texts[number], block=None)))
        elif not node.links or missing or len(here) > 2 * full:
            self._divide(node, numbers, here)

    def _divide(self, node: _Node, numbers: Sequence[int], here: Sequence[int]) -> None:
        """Count those of a sub-chain's hosts that no link leads on in sub-chains of their own."""
        blocks = shared_out(self._settings.family, numbers, self._settings.full)
        if not set(node.links) <= set(blocks):
            blocks = gaps(here, node.block, node.links)
        for block in reversed(blocks):
            inside = here[block.part(here)]
            if inside and block not in node.links:
                child = self._made(replace(node.end, block=block), block)
                self._fill(child, inside)
                self._insert(node.name, link_rule(Link(node.end.direction, None, block, child.name)))


def _purpose(sub: Chain) -> Match | Direction | None:
    """What a sub-chain is for: as its end says, or anything in its direction while it is empty."""
    if not sub.rules:
        return "download" if sub.name[-4] == "D" else "upload"
    return end_of(sub.rules[-1])


def _loose(chain: Chain, subs: Subs) -> dict[str, Chain]:
    """The sub-chains that nothing leads to but others of them, and that hold no rules but ours."""
    used = linked(chain, subs)
    loose = {name: sub for name, sub in sorted(subs.items()) if name not in used}
    jumps = Counts(link.target for sub in loose.values() for rule in sub.rules if (link := link_of(rule)))
    foreign = foreign_rules(None, subs)
    misused = [sub for name, sub in loose.items() if name in foreign or (sub.references or 0) > jumps[name]]
    kept = {sub.name for sub in misused}.union(*(linked(sub, subs) for sub in misused))
    return {name: sub for name, sub in loose.items() if name not in kept}


def removal(subs: Subs) -> list[Step]:
    """The steps that take sub-chains away, first what leads from one to another."""
    rules = [Step("delete", name, bare(rule)) for name, sub in sorted(subs.items()) for rule in sub.rules]
    return [*rules, *(Step("delete_chain", name) for name in sorted(subs))]


def trees(interfaces: Sequence[str]) -> list[tuple[Direction, str]]:
    """All that there should be, in the order in which they are set in front of the chain: the last one is met first."""
    return [(direction, interface) for interface in reversed(interfaces) for direction in reversed(DIRECTIONS)]
