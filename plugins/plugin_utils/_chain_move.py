# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving the chain from one table to the other with all that it has counted. Private to this collection. Pure.

First the jump is taken away, so that the old chain stands still; then the new one is made with the old one's counters, its
jump last; then the old one is removed. Wherever it is cut off, the next run goes on from there: a byte that was counted is in
the one chain or in the other, and the marker tells that the new one is the old one's copy. What passes in the moment between
is not counted.
"""

from __future__ import annotations

from collections import Counter as Counts

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import ChainError, Observed, Settings, Step
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    foreign_rules,
    is_plain_jump,
    jump_rule,
    marker,
    plain_jumps,
    sub_chains,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_tree import linked
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Rule


def is_copied(settings: Settings, old: Observed, new: Observed) -> bool:
    """Whether the new chain is a complete copy already, so that only the old one is left to be removed."""
    return (
        new.chain is not None
        and bool(plain_jumps(settings, new))
        and marker(new.chain) is not None
        and marker(new.chain) == marker(old.chain)
    )


def require_movable(old_settings: Settings, old: Observed, new_settings: Settings, new: Observed) -> None:
    """Raise where the chain cannot be moved without mixing up two counts, or touching somebody else's rules."""
    if old.chain is None or is_copied(new_settings, old, new):
        return
    name, table = old_settings.chain, old_settings.table
    for where, foreign in foreign_rules(old.chain, sub_chains(old_settings, old)).items():
        raise ChainError(
            f"The chain {where} is in the table {table} and holds rules that homenet.traffic did not make (number "
            f"{', '.join(map(str, foreign))}), so it is not moved to {new_settings.table}. Set "
            f"traffic_table to {table}, or delete them by hand."
        )
    elsewhere = (old.chain.references or 0) - len(plain_jumps(old_settings, old))
    if elsewhere > 0:
        raise ChainError(
            f"Other rules jump to {name} in the table {table} ({elsewhere} more than the plain jumps of FORWARD), so it is not moved to "
            f"{new_settings.table}. Set traffic_table to {table}, or delete them by hand."
        )
    if plain_jumps(new_settings, new) or not _is_begun(old_settings, old, new_settings, new):
        raise ChainError(
            f"There is a chain {name} in both tables, filter and mangle, and each has counted by itself (or a move from one to the other "
            f"was cut off: then set traffic_table to {table} and run setup_traffic first). Nothing was changed. To begin anew, run "
            "remove_traffic, which shows what both had counted and takes both away."
        )


def plan_unhook(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps after which no packet meets the old chain any more."""
    jumps = [rule for rule in observed.forward.rules if is_plain_jump(settings, rule)]
    return (*[Step("delete", "FORWARD", jump_rule(settings))] * len(jumps),)


def plan_copy(settings: Settings, observed: Observed, still: Observed) -> tuple[Step, ...]:
    """The steps that make the new chain a copy of one that stands still, counters included. The jump comes last."""
    if is_copied(settings, still, observed):
        return ()  # it counts already, so its counters have gone on
    wanted, there = _chains(settings, still), _chains(settings, observed, loose=True)
    steps: list[Step] = []
    if any(rules != wanted.get(name, ())[: len(rules)] for name, rules in there.items()):
        # A command that was cut off has put a rule where it does not belong: begin again.
        steps += plan_absent(settings, observed)
        observed = simulate(settings, observed, steps)
        there = {}
    steps += [Step("new", name) for name in wanted if name not in there]
    for name, rules in wanted.items():
        steps += [Step("append", name, rule, counted=True) for rule in rules[len(there.get(name, ())) :]]
    if not plain_jumps(settings, observed):
        steps.append(Step("insert", "FORWARD", jump_rule(settings)))
    return tuple(steps)


def _is_begun(old_settings: Settings, old: Observed, new_settings: Settings, new: Observed) -> bool:
    """Whether the new chain holds nothing but rules of the old one, with the same counters."""
    begun = [rule for rules in _chains(new_settings, new, loose=True).values() for rule in rules]
    return not Counts(begun) - Counts(rule for rules in _chains(old_settings, old).values() for rule in rules)


def _chains(settings: Settings, observed: Observed, loose: bool = False) -> dict[str, tuple[Rule, ...]]:
    """The chain's rules and those of its sub-chains (``loose``: also of such as nothing leads to)."""
    if observed.chain is None and not loose:
        return {}
    chain, subs = observed.chain, sub_chains(settings, observed)
    used = set(subs) if loose or chain is None else linked(chain, subs)
    rules = {name: subs[name].rules for name in sorted(used)}
    return {**({settings.chain: chain.rules} if chain else {}), **rules}
