# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with iptables: what only a change of the chain needs. Private to this collection."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, State, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Marker, Observed, Step, Wanted, as_commands, command
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_move import plan_unhook
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import last_counted
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Change
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Family

Plan = Callable[[Observed], Sequence[Step]]


def preview(
    families: Sequence[Family], state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool
) -> tuple[list[str], list[str]]:
    """The commands that a change would take, and what would be there afterwards, as commands."""
    commands: list[str] = []
    after: list[str] = []
    for family, plan in planned(families, state, hosts, interfaces, prune):
        settings = family.chains.settings
        moving, observed = family.move.preview(state == "present") if family.move else ([], family.observed)
        observed = family.chains.ready(plan, observed)
        steps = plan(observed)
        commands += [*moving, *(command(settings, step) for step in steps)]
        after += as_commands(settings, simulate(settings, observed, steps))
    return commands, after


def planned(
    families: Sequence[Family], state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool
) -> list[tuple[Family, Plan]]:
    """What is to be done for each family. All that can be refused is refused here, before anything is changed."""
    if state != "present":
        # What is taken away is taken away whole: also sub-chains that an earlier run has begun, and that nothing leads to yet.
        for family in families:
            family.seen = family.chains.closer(family.observed)
    plans = [(family, _plan(family, state, hosts, interfaces, prune)) for family in families]
    for family, plan in plans:
        plan(family.observed)
    return plans


def stop(families: Sequence[Family], commands: list[str]) -> None:
    """Take the jumps away: what the chains have counted then is all that they will have."""
    change = Change(commands=commands)
    for family in families:
        if family.move:
            family.move.stop(change)
        family.chains.converge(partial(plan_unhook, family.chains.settings), change, family.observed, whole=True)
        family.seen = change.after


def bring(plans: Sequence[tuple[Family, Plan]], state: State, commands: list[str]) -> None:
    """Carry out what was planned."""
    for family, plan in plans:
        change = Change(commands=commands)
        observed = family.observed
        if family.move and state == "present":
            observed = family.move.move(change)
        elif family.move:
            family.move.remove(change)
        change.looks = family.looks if state == "present" else None
        family.chains.converge(plan, change, observed, whole=state != "present")
        family.seen, family.move = change.after, None


def until_taken_away(families: Sequence[Family]) -> Counted | None:
    """What had been counted when rules were taken away, one after the other; None where none were."""
    if not any(family.looks for family in families):
        return None
    found = Counted()
    for family in families:
        found = together(found, last_counted(family.looks or [family.observed]))
    return found


def _plan(family: Family, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> Plan:
    chains = family.chains
    if state == "empty":
        return lambda seen: plan_empty(chains.settings, seen)
    if state == "absent":
        return lambda seen: plan_absent(chains.settings, seen)
    if family.move:
        family.move.require_movable()
    of_family = tuple(host for host in hosts if (":" in host) == (chains.settings.family == 6))
    wanted = Wanted(of_family, tuple(interfaces), prune, chains.settings.family)
    new_marker = Marker.of(chains.settings.family, secrets.randbits(128))
    return lambda seen: plan_present(chains.settings, seen, wanted, new_marker)
