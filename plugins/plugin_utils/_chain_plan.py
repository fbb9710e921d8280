# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with the chain: what is wanted and what was observed go in, steps come out. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    bare,
    by_address,
    host_rule,
    hosts_of,
    is_ours,
    is_plain_jump,
    jump_rule,
    list_all_command,
    marker,
    marker_of,
    marker_rule,
    match_of,
    plain_jumps,
    rules_by_match,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule


def plan_present(settings: Settings, observed: Observed, wanted: Wanted, new_marker: Marker) -> tuple[Step, ...]:
    """The steps that install the chain or bring it up to date. Empty when nothing is to be done.

    The jump comes last: until it stands, no packet meets a rule of ours.
    """
    if wanted.family != settings.family:
        raise ValueError(f"hosts of IPv{wanted.family} for a chain of IPv{settings.family}")
    _refuse_deciding_rules(observed.chain)
    steps: list[Step] = []
    if observed.chain is None:
        steps.append(Step("new", settings.chain))
    chain = observed.chain or Chain(settings.chain, 0, None, ())
    steps += [Step("delete_number", settings.chain, number=number) for number in _removable(_idle_duplicates(chain))]
    if wanted.prune:
        steps += _pruned(settings, chain, wanted)
    where: Literal["append", "insert"] = "insert" if chain.rules else "append"
    if marker(chain) is None:
        steps.append(Step(where, settings.chain, marker_rule(new_marker)))
    steps += [Step(where, settings.chain, host_rule(match)) for match in _uncounted(chain, wanted)]
    present = rules_by_match(chain.rules)
    steps += [
        Step("append", settings.chain, host_rule(match)) for match in _catch_alls(wanted) if match not in present
    ]
    return (*steps, *_jump_steps(settings, observed))


def plan_empty(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps that take every rule out of the chain. Chain and jump stay."""
    if observed.chain is None:
        return ()
    _refuse_foreign_rules(observed.chain)
    # Rule by rule: `-F TRAFFIC` cut after `-F` would flush everybody's rules. The marker goes first, so that a chain
    # that was emptied halfway is not taken for the one that it was.
    rules = sorted(observed.chain.rules, key=lambda rule: marker_of(rule) is None)
    return tuple(Step("delete", settings.chain, bare(rule)) for rule in rules)


def plan_absent(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps that take the jump and the chain away. The jump goes first."""
    if observed.chain is None:
        return ()
    _refuse_foreign_rules(observed.chain)
    jumps = [rule for rule in observed.forward.rules if is_plain_jump(settings, rule)]
    if observed.chain.references is not None and observed.chain.references > len(jumps):
        raise ChainError(
            f"Other rules jump to {settings.chain} ({observed.chain.references - len(jumps)} more than the plain jumps of "
            f"FORWARD), so it cannot be removed, and nothing was. Find them with "
            f"`{list_all_command(settings)}`, delete them, and run it again."
        )
    return (
        *[Step("delete", "FORWARD", jump_rule(settings))] * len(jumps),
        *plan_empty(settings, observed),
        Step("delete_chain", settings.chain),
    )


def simulate(settings: Settings, observed: Observed, steps: Iterable[Step]) -> Observed:
    """What would be observed after these steps."""
    for step in steps:
        observed = _after(settings, observed, step)
    return observed


def _after(settings: Settings, observed: Observed, step: Step) -> Observed:
    if step.action == "new":
        return replace(observed, chain=Chain(settings.chain, 0, None, ()))
    if step.action == "delete_chain":
        return replace(observed, chain=None)
    target = observed.forward if step.chain == "FORWARD" else observed.chain
    if target is None:
        return observed
    changed = replace(target, rules=_edited(list(target.rules), step))
    return replace(observed, forward=changed) if step.chain == "FORWARD" else replace(observed, chain=changed)


def _edited(rules: list[Rule], step: Step) -> tuple[Rule, ...]:
    if step.action == "delete_number":
        del rules[step.number - 1 : step.number]
    elif step.rule and step.action == "append":
        rules.append(step.rule)
    elif step.rule and step.action == "insert":
        rules.insert(0, step.rule)
    elif step.action == "delete":
        found = [at for at, rule in enumerate(rules) if bare(rule) == step.rule]
        del rules[slice(found[0], found[0] + 1) if found else slice(0, 0)]
    return tuple(rules)


def _uncounted(chain: Chain, wanted: Wanted) -> Iterator[Match]:
    """The matches that need a rule: hosts that have none yet, or only rules that let the packet go on to the catch-all."""
    known = () if wanted.prune else hosts_of(chain)
    returning: set[Match] = set()
    open_catch_alls = set(_catch_alls(wanted))
    for rule in chain.rules:
        match = match_of(rule)
        if match and match.host is None:
            open_catch_alls.discard(match)
        elif match and rule.target == "RETURN" and replace(match, host=None) in open_catch_alls:
            returning.add(match)
    for host in sorted({*wanted.hosts, *known}, key=by_address):
        for interface in wanted.interfaces:
            for direction in DIRECTIONS:
                match = Match(direction, interface, host)
                if match not in returning:
                    yield match


def _catch_alls(wanted: Wanted) -> Iterator[Match]:
    for interface in wanted.interfaces:
        for direction in DIRECTIONS:
            yield Match(direction, interface, None)


def _idle_duplicates(chain: Chain) -> list[int]:
    """Numbers, highest first, of rules that repeat an earlier one and never counted.

    By number, because deleting by specification takes the first, which counts.
    """
    seen: set[tuple[Match | None, str | None]] = set()
    numbers = []
    for number, rule in enumerate(chain.rules, 1):
        if not is_ours(rule):
            continue
        key = (match_of(rule), rule.target)
        if key in seen and rule.packets == 0:
            numbers.append(number)
        seen.add(key)
    return numbers[::-1]


def _removable(numbers: list[int]) -> list[int]:
    """Those of them whose digits, cut off anywhere, are again one of them or no number of a rule."""
    return [
        number for number in numbers if all(int(str(number)[:length]) in numbers for length in range(1, len(str(number))))
    ]


def _pruned(settings: Settings, chain: Chain, wanted: Wanted) -> list[Step]:
    duplicates = set(_removable(_idle_duplicates(chain)))
    gone = []
    for number, rule in enumerate(chain.rules, 1):
        match = match_of(rule)
        left = match and match.host and match.host not in wanted.hosts
        idle_elsewhere = match and match.interface not in wanted.interfaces and rule.packets == 0
        if (left or idle_elsewhere) and number not in duplicates:
            gone.append(Step("delete", settings.chain, bare(rule)))
    return gone


def _jump_steps(settings: Settings, observed: Observed) -> list[Step]:
    """One plain jump at position 1. Never two at a time, or packets count twice: what is wrong is deleted first.

    By specification: a number cut short is the number of somebody else's rule.
    """
    positions = plain_jumps(settings, observed)
    if positions == [1]:
        return []
    jump = jump_rule(settings)
    return [*[Step("delete", "FORWARD", jump)] * len(positions), Step("insert", "FORWARD", jump)]


def _refuse_deciding_rules(chain: Chain | None) -> None:
    """A foreign rule that decides about packets would decide about fewer of them behind rules that return."""
    deciding = [
        f"{number} (-j {rule.target})"
        for number, rule in enumerate(chain.rules if chain else (), 1)
        if not is_ours(rule) and rule.target not in (None, "RETURN")
    ]
    if chain and deciding:
        raise ChainError(
            f"The chain {chain.name} is in use for something else: rule {', '.join(deciding)} decides about packets. Nothing was "
            "changed. Choose another name with traffic_chain."
        )


def _refuse_foreign_rules(chain: Chain) -> None:
    foreign = [number for number, rule in enumerate(chain.rules, 1) if not is_ours(rule)]
    if foreign:
        numbers = ", ".join(map(str, foreign))
        commands = ", ".join(f"`iptables -D {chain.name} {number}`" for number in foreign[:-4:-1])
        raise ChainError(
            f"The chain {chain.name} holds rules that homenet.traffic did not make (number {numbers}), so it is left as it "
            f"is. Delete them by hand if they are yours to delete ({commands}), or choose another name with traffic_chain."
        )
