# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules, chains and tables: plain data, and the walk of a packet through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .addresses import ANYWHERE, Network
from .dialect import KernelError
from .extensions import Match, Target
from .packet import Packet

VERDICTS = ("ACCEPT", "DROP")
STANDARD = ("ACCEPT", "DROP", "QUEUE", "RETURN")
HOOKS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
}


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """Everything that makes a rule what it is; ``-D`` compares these."""

    source: Network = ANYWHERE
    destination: Network = ANYWHERE
    in_interface: str = ""
    out_interface: str = ""
    protocol: int = 0
    fragment: bool = False
    inverted: frozenset[str] = frozenset()
    """Letters of the options that were negated: s, d, i, o, p, f."""
    matches: tuple[Match, ...] = ()
    jump: str = ""
    goto: bool = False
    target: Target | None = None

    @property
    def unconditional(self) -> bool:
        return self == RuleSpec(jump=self.jump, goto=self.goto, target=self.target)

    def same_as(self, other: RuleSpec) -> bool:
        """What ``-D`` takes for the same rule: an interface ``+`` is no interface at all."""
        return self == other or self._without_plus() == other._without_plus()

    def _without_plus(self) -> RuleSpec:
        names = (self.in_interface, self.out_interface)
        incoming, outgoing = ("" if name == "+" else name for name in names)
        return replace(self, in_interface=incoming, out_interface=outgoing) if "+" in names else self

    def applies_to(self, packet: Packet) -> bool:
        """Whether everything before the target matches, in the kernel's order."""
        no = self.inverted
        return (
            self.source.contains(packet.source_number) != ("s" in no)
            and self.destination.contains(packet.destination_number) != ("d" in no)
            and _same_interface(self.in_interface, packet.in_interface) != ("i" in no)
            and _same_interface(self.out_interface, packet.out_interface) != ("o" in no)
            and (not self.protocol or (self.protocol == packet.protocol_number) != ("p" in no))
            and (not self.fragment or "f" in no)
            and all(match.applies_to(packet) for match in self.matches)
        )


def _same_interface(pattern: str, name: str) -> bool:
    if pattern.endswith("+"):
        return name.startswith(pattern[:-1])
    return not pattern or pattern == name


@dataclass(slots=True)
class Rule:
    spec: RuleSpec
    packets: int = 0
    bytes: int = 0

    def copy(self) -> Rule:
        spec = self.spec
        if spec.matches:
            spec = replace(spec, matches=tuple(match.copy() for match in spec.matches))
        return Rule(spec, self.packets, self.bytes)

    def count(self, packet: Packet) -> None:
        self.packets += packet.count
        self.bytes += packet.bytes


@dataclass(slots=True)
class Chain:
    """A built-in chain has a policy, a user's chain has none."""

    name: str
    policy: Rule | None = None
    rules: list[Rule] = field(default_factory=list)

    def copy(self) -> Chain:
        return Chain(self.name, self.policy.copy() if self.policy else None, [rule.copy() for rule in self.rules])

    def zero(self) -> None:
        for rule in [*self.rules, *([self.policy] if self.policy else [])]:
            rule.packets = rule.bytes = 0


def _built_in(name: str) -> Chain:
    return Chain(name, Rule(RuleSpec(jump="ACCEPT")))


class Table:
    """One table: its chains, built-in ones first, the others sorted as iptables sorts them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chains: dict[str, Chain] = {hook: _built_in(hook) for hook in HOOKS[name]}

    def copy(self) -> Table:
        table = Table(self.name)
        table.chains = {name: chain.copy() for name, chain in self.chains.items()}
        return table

    def listed(self) -> list[Chain]:
        own = [chain for chain in self.chains.values() if chain.policy is None]
        return [self.chains[hook] for hook in HOOKS[self.name]] + sorted(own, key=lambda chain: chain.name)

    def references(self, name: str) -> int:
        return sum(rule.spec.jump == name for chain in self.chains.values() for rule in chain.rules)

    def check_loops(self) -> None:
        """The kernel refuses a loop only where a packet could get into it."""
        done: set[str] = set()
        for hook in HOOKS[self.name]:
            self._visit(hook, [], done)

    def _visit(self, name: str, path: list[str], done: set[str]) -> None:
        if name in path:
            raise KernelError("Too many levels of symbolic links")
        if name in done:
            return
        for jump in self._reachable_jumps(name):
            self._visit(jump, [*path, name], done)
        done.add(name)

    def _reachable_jumps(self, name: str) -> Iterator[str]:
        for rule in self.chains[name].rules:
            if rule.spec.jump in self.chains:
                yield rule.spec.jump
            # The kernel takes a goto for a jump here, and looks behind it.
            if rule.spec.unconditional and rule.spec.jump in STANDARD:
                return

    def walk(self, packet: Packet, hook: str) -> str:
        """Count the packet wherever it passes; the verdict is ACCEPT or DROP."""
        stack = [iter(self.chains[hook].rules)]
        while stack:
            rule = next((rule for rule in stack[-1] if rule.spec.applies_to(packet)), None)
            if rule is None:
                stack.pop()
                continue
            rule.count(packet)
            verdict = self._follow(rule.spec, stack)
            if verdict:
                return verdict
        policy = self.chains[hook].policy
        assert policy is not None
        policy.count(packet)
        return policy.spec.jump

    def _follow(self, spec: RuleSpec, stack: list[Iterator[Rule]]) -> str:
        """Carry out a rule's target; the empty string means that the walk goes on."""
        if spec.jump in self.chains:
            if spec.goto:
                stack.pop()
            stack.append(iter(self.chains[spec.jump].rules))
        elif spec.jump == "RETURN":
            stack.pop()
        elif spec.jump in VERDICTS:
            return spec.jump
        elif spec.jump == "QUEUE" or (spec.target and spec.target.terminates):
            return "DROP"
        return ""


class Firewall:
    """All tables of one router."""

    def __init__(self) -> None:
        self.tables = {name: Table(name) for name in HOOKS}

    def copy(self) -> Firewall:
        """An independent one, counters included: cheap enough to try every prefix of a plan on."""
        firewall = Firewall()
        firewall.tables = {name: table.copy() for name, table in self.tables.items()}
        return firewall

    def walk(self, packet: Packet, hook: str = "FORWARD") -> str:
        """Through one hook, mangle before filter; the verdict is ACCEPT or DROP (REJECT drops, too)."""
        for name in ("mangle", "filter"):
            if hook in HOOKS[name] and self.tables[name].walk(packet, hook) == "DROP":
                return "DROP"
        return "ACCEPT"
