# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with the chain: what is wanted and what was observed go in, steps come out. Private to this collection. Pure."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Match,
    Observed,
    Settings,
    Step,
    Wanted,
    by_address,
    list_all_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    Link,
    SetMatch,
    Subs,
    bare,
    foreign_rules,
    host_rule,
    hosts_of,
    is_plain_jump,
    jump_rule,
    link_of,
    marker,
    marker_of,
    marker_rule,
    match_in_chain,
    match_in_sub,
    match_of,
    plain_jumps,
    sub_chains,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_tree import Trees, begun_hosts, is_split, removal, trees
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule


def plan_present(settings: Settings, observed: Observed, wanted: Wanted, new_marker: Marker) -> tuple[Step, ...]:
    """The steps that install the chain or bring it up to date. Empty when nothing is to be done.

    The jump comes last: until it stands, no packet meets a rule of ours. A chain with sub-chains keeps them.
    """
    if wanted.family != settings.family:
        raise ValueError(f"hosts of IPv{wanted.family} for a chain of IPv{settings.family}")
    chain, subs = observed.chain or Chain(settings.chain, 0, None, ()), sub_chains(settings, observed)
    refuse_deciding_rules(chain, subs)
    known = () if wanted.prune else (*hosts_of(chain, subs), *begun_hosts(settings, observed))
    hosts = sorted({*wanted.hosts, *known}, key=by_address)
    split = is_split(settings, observed) or (settings.goto and len(hosts) > settings.full)
    growth = Trees(settings, observed, hosts)
    for direction, interface in trees(wanted.interfaces) if split else ():
        growth.grow(direction, interface)
    return (
        *([Step("new", settings.chain)] if observed.chain is None else ()),
        *_tidied(chain, subs, growth.used, wanted),
        *growth.cleared(),
        *(_marked(settings, chain, split, new_marker)),
        *(growth.steps if split else _listed(settings, chain, hosts, wanted)),
        *jump_steps(settings, observed),
    )


def _marked(settings: Settings, chain: Chain, split: bool, new_marker: Marker) -> list[Step]:
    if marker(chain):
        return []
    return [Step("append" if split or not chain.rules else "insert", settings.chain, marker_rule(new_marker))]


def _listed(settings: Settings, chain: Chain, hosts: Sequence[str], wanted: Wanted) -> list[Step]:
    """What is missing for every host to have its rules in the chain itself."""
    where: Literal["append", "insert"] = "insert" if chain.rules else "append"
    present = {match_of(rule) for rule in chain.rules}
    return [
        *(Step(where, settings.chain, host_rule(match)) for match in _uncounted(chain, hosts, wanted)),
        *(Step("append", settings.chain, host_rule(match)) for match in _catch_alls(wanted) if match not in present),
    ]


def _tidied(chain: Chain, subs: Subs, used: set[str], wanted: Wanted) -> list[Step]:
    """Take away what is there twice, what is not wanted any more, and what a cut-off command put where it was not meant for."""
    hosts = set(wanted.hosts)
    twice: list[Step] = []
    gone = [Step("delete", chain.name, bare(rule)) for rule in _strays(chain, subs)]
    for one in (chain, *(sub for name, sub in subs.items() if name in used)):
        main = one is chain
        rules = [(rule, match_of(rule) if main else match_in_sub(rule)) for rule in one.rules]
        numbers = removable(idle_duplicates(rules))
        twice += [Step("delete_number", one.name, number=number) for number in numbers]
        for number, (rule, match) in enumerate(rules, 1):
            left = match and match.host and match.host not in hosts
            idle_elsewhere = main and match and match.interface not in wanted.interfaces and rule.packets == 0
            if wanted.prune and (left or idle_elsewhere) and number not in numbers:
                gone.append(Step("delete", one.name, bare(rule)))
    return [*twice, *gone]


def _strays(chain: Chain, subs: Subs) -> Iterator[Rule]:
    """Ends of sub-chains that stand in the chain itself, unless they alone know of something that they have counted."""
    counted: set[Match] = set()
    for rule in chain.rules:
        match = match_in_chain(rule, subs)
        if match and match_of(rule):
            counted.add(match)
        elif match and (rule.packets == 0 or replace(match, block=None) in counted):
            yield rule


def plan_empty(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps that take every rule out of the chain, and its sub-chains away. Chain and jump stay.

    The jump is away meanwhile, so that what was read then is all that was counted.
    """
    emptying, jump = _emptying(settings, observed), jump_rule(settings)
    jumps = len(plain_jumps(settings, observed))
    if observed.chain is None or (jumps and not emptying):
        return emptying
    return (*[Step("delete", "FORWARD", jump)] * jumps, *emptying, Step("insert", "FORWARD", jump))


def _emptying(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    subs = sub_chains(settings, observed)
    _refuse_foreign_rules(observed.chain, subs)
    _refuse_other_jumps(settings, observed.chain, subs)
    # Rule by rule: `-F TRAFFIC` cut after `-F` would flush everybody's rules. The marker goes first, so that a chain
    # that was emptied halfway is not taken for the one that it was; what leads to sub-chains goes last.
    rules = sorted(observed.chain.rules if observed.chain else (), key=lambda rule: (marker_of(rule) is None, link_of(rule) is not None))
    return (*(Step("delete", settings.chain, bare(rule)) for rule in rules), *removal(subs))


def plan_absent(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps that take the jump and the chain away. The jump goes first."""
    emptying = _emptying(settings, observed)
    if observed.chain is None:
        return emptying
    jumps = [rule for rule in observed.forward.rules if is_plain_jump(settings, rule)]
    if observed.chain.references is not None and observed.chain.references > len(jumps):
        raise ChainError(
            f"Other rules jump to {settings.chain} ({observed.chain.references - len(jumps)} more than the plain jumps of "
            f"FORWARD), so it cannot be removed, and nothing was. Find them with "
            f"`{list_all_command(settings)}`, delete them, and run it again."
        )
    return (*[Step("delete", "FORWARD", jump_rule(settings))] * len(jumps), *emptying, Step("delete_chain", settings.chain))


def simulate(settings: Settings, observed: Observed, steps: Iterable[Step]) -> Observed:
    """What would be observed after these steps."""
    chains = {"FORWARD": observed.forward, **observed.subs, **({settings.chain: observed.chain} if observed.chain else {})}
    rules = {name: list(chain.rules) for name, chain in chains.items()}
    for step in steps:
        if step.action == "new":
            rules[step.chain] = []
        elif step.action == "delete_chain":
            rules.pop(step.chain, None)
        elif step.chain in rules:
            _edit(rules[step.chain], step)
    empty = Chain(settings.chain, 0, None, ())
    after = {name: replace(chains.get(name, replace(empty, name=name)), rules=tuple(found)) for name, found in rules.items()}
    more = _jumps(after) - _jumps(chains)
    less = _jumps(chains) - _jumps(after)
    subs = {
        name: sub if sub.references is None else replace(sub, references=sub.references + more[name] - less[name])
        for name, sub in after.items()
        if name not in ("FORWARD", settings.chain)
    }
    return Observed(after.get(settings.chain), after["FORWARD"], subs)


def _edit(rules: list[Rule], step: Step) -> None:
    if step.action == "delete_number":
        del rules[step.number - 1 : step.number]
    elif step.rule and step.action == "append":
        rules.append(step.rule)
    elif step.rule and step.action == "insert":
        rules.insert(0, step.rule)
    elif step.action == "delete":
        found = next((at for at, rule in enumerate(rules) if bare(rule) == step.rule), len(rules))
        del rules[found : found + 1]


def _jumps(chains: Mapping[str, Chain]) -> Counts[str]:
    return Counts(rule.target for chain in chains.values() for rule in chain.rules if rule.target and rule.target in chains)


def _uncounted(chain: Chain, hosts: Iterable[str], wanted: Wanted) -> Iterator[Match]:
    """The matches that need a rule: hosts that have none yet, or only rules that let the packet go on to the catch-all."""
    returning: set[Match] = set()
    open_catch_alls = set(_catch_alls(wanted))
    for rule in chain.rules:
        match = match_of(rule)
        if match and match.host is None:
            open_catch_alls.discard(match)
        elif match and rule.target == "RETURN" and replace(match, host=None) in open_catch_alls:
            returning.add(match)
    for host in hosts:
        for interface in wanted.interfaces:
            for direction in DIRECTIONS:
                match = Match(direction, interface, host)
                if match not in returning:
                    yield match


def _catch_alls(wanted: Wanted) -> Iterator[Match]:
    for interface in wanted.interfaces:
        for direction in DIRECTIONS:
            yield Match(direction, interface, None)


def idle_duplicates(rules: Iterable[tuple[Rule, Match | SetMatch | None]]) -> list[int]:
    """Numbers, highest first, of rules that repeat an earlier one and never counted.

    By number, because deleting by specification takes the first, which counts.
    """
    seen: set[tuple[Match | SetMatch | None, Link | None, str | None]] = set()
    numbers = []
    for number, (rule, match) in enumerate(rules, 1):
        link = link_of(rule)
        if not (match or link or marker_of(rule)):
            continue
        key = (match, link, rule.target)
        if key in seen and rule.packets == 0:
            numbers.append(number)
        seen.add(key)
    return numbers[::-1]


def removable(numbers: list[int]) -> list[int]:
    """Those of them whose digits, cut off anywhere, are again one of them or no number of a rule."""
    return [
        number for number in numbers if all(int(str(number)[:length]) in numbers for length in range(1, len(str(number))))
    ]


def jump_steps(settings: Settings, observed: Observed) -> list[Step]:
    """One plain jump at position 1. Never two at a time, or packets count twice: what is wrong is deleted first.

    By specification: a number cut short is the number of somebody else's rule.
    """
    positions = plain_jumps(settings, observed)
    if positions == [1]:
        return []
    jump = jump_rule(settings)
    return [*[Step("delete", "FORWARD", jump)] * len(positions), Step("insert", "FORWARD", jump)]


def refuse_deciding_rules(chain: Chain, subs: Subs) -> None:
    """A foreign rule that decides about packets would decide about fewer of them behind rules that return."""
    rules = {one.name: one.rules for one in (chain, *subs.values())}
    for name, numbers in foreign_rules(chain, subs).items():
        targets = ((number, rules[name][number - 1].target) for number in numbers)
        deciding = [f"{number} (-j {target})" for number, target in targets if target not in (None, "RETURN")]
        if deciding:
            raise ChainError(
                f"The chain {name} is in use for something else: rule {', '.join(deciding)} decides about packets. Nothing was "
                "changed. Choose another name with traffic_chain."
            )


def _refuse_foreign_rules(chain: Chain | None, subs: Subs) -> None:
    for name, foreign in foreign_rules(chain, subs).items():
        numbers = ", ".join(map(str, foreign))
        commands = ", ".join(f"`iptables -D {name} {number}`" for number in foreign[:-4:-1])
        raise ChainError(
            f"The chain {name} holds rules that homenet.traffic did not make (number {numbers}), so it is left as it "
            f"is. Delete them by hand if they are yours to delete ({commands}), or choose another name with traffic_chain."
        )


def _refuse_other_jumps(settings: Settings, chain: Chain | None, subs: Subs) -> None:
    """A sub-chain that something else leads to cannot be removed."""
    ours = Counts(link.target for one in (chain, *subs.values()) if one for rule in one.rules if (link := link_of(rule)))
    for name, sub in subs.items():
        if (sub.references or 0) > ours[name]:
            raise ChainError(
                f"Rules that homenet.traffic did not make jump to {name}, so it cannot be removed, and nothing was. Find them with "
                f"`{list_all_command(settings)}`, delete them, and run it again."
            )
