# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with iptables: the chain of each family of addresses, in its table. Private to this collection."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, State, Status
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Observed,
    Step,
    Wanted,
    as_commands,
    command,
    hosts_of,
    marker,
    plain_jumps,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, problems, unattributed
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, Change
from ansible_collections.homenet.traffic.plugins.plugin_utils._mover import Mover, mover
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

Plan = Callable[[Observed], Sequence[Step]]


@dataclass
class _Family:
    """The chain for one family of addresses, as it was seen last."""

    chains: Chains
    elsewhere: Chains
    seen: Observed | None = None
    move: Mover | None = None
    """Where the other table holds a chain of ours."""

    @property
    def observed(self) -> Observed:
        """What was seen. Only after ``look``."""
        assert self.seen is not None
        return self.seen

    @property
    def counting(self) -> Observed:
        """What has counted up to now, in whichever table."""
        return self.move.before() if self.move else self.observed


class Iptables:
    """The chain, wherever it is. ``both_tables``: a chain of ours in the other table is moved or removed, too."""

    name = "iptables"

    def __init__(self, chains: Chains, both_tables: bool = False) -> None:
        self._families = [_Family(chains, chains.in_other_table())]
        self._both_tables = both_tables

    def listing(self) -> list[Group]:
        """See Backend."""
        asked = [one for family in self._families for one in (family.chains, *([family.elsewhere] if self._both_tables else []))]
        return [group for one in asked for group in one.listing()]

    def look(self) -> None:
        """See Backend."""
        for family in self._families:
            family.seen = family.chains.observe()
            family.move = mover(family.elsewhere, family.chains, family.seen) if self._both_tables else None

    def exists(self) -> bool:
        """See Backend."""
        return any(family.counting.chain for family in self._families)

    def counted(self) -> Counted:
        """See Backend."""
        found = [family.counting.chain for family in self._families]
        rests = [unattributed(chain) for chain in found if chain]
        return Counted(
            {host: both for chain in found if chain for host, both in host_counters(chain).items()},
            next((rest for rest in rests if rest is not None), None),
        )

    def status(self, interfaces: Sequence[str]) -> Status:
        """See Backend."""
        family = self._families[0]
        chain, settings = family.observed.chain, family.chains.settings
        positions = plain_jumps(settings, family.observed)
        found = marker(chain)
        return Status(
            installed=chain is not None and bool(positions),
            jump_position=positions[0] if positions else None,
            references=0 if chain is None else chain.references,
            hosts=0 if chain is None else len(hosts_of(chain)),
            marker=None if found is None else str(found),
            problems=problems(settings, family.observed, interfaces),
        )

    def hosts(self) -> list[str]:
        """The addresses that have rules."""
        return [host for family in self._families if family.counting.chain for host in hosts_of(family.counting.chain)]

    def as_commands(self) -> list[str]:
        """See Backend."""
        lines: list[str] = []
        for family in self._families:
            lines += family.move.before_commands() if family.move else as_commands(family.chains.settings, family.observed)
        return lines

    def preview(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> tuple[list[str], list[str]]:
        """See Backend."""
        commands: list[str] = []
        after: list[str] = []
        for family in self._families:
            plan, settings = self._plan(family, state, hosts, interfaces, prune), family.chains.settings
            moving, observed = family.move.preview(state == "present") if family.move else ([], family.observed)
            steps = plan(observed)
            commands += [*moving, *(command(settings, step) for step in steps)]
            after += as_commands(settings, simulate(settings, observed, steps))
        return commands, after

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """See Backend."""
        plans = [(family, self._plan(family, state, hosts, interfaces, prune)) for family in self._families]
        for family, plan in plans:
            change = Change(commands=commands)
            observed = family.observed
            if family.move and state == "present":
                observed = family.move.move(change)
            elif family.move:
                family.move.remove(change)
            family.chains.converge(plan, change, observed)
            family.seen, family.move = change.after, None

    def _plan(self, family: _Family, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> Plan:
        """What is to be done, decided (and refused) before anything is changed."""
        chains = family.chains
        if state == "empty":
            return lambda seen: plan_empty(chains.settings, seen)
        if state == "absent":
            return lambda seen: plan_absent(chains.settings, seen)
        if family.move:
            family.move.require_movable()
        wanted = Wanted(tuple(hosts), tuple(interfaces), prune, chains.settings.family)
        new_marker = Marker.of(chains.settings.family, secrets.randbits(128))
        return lambda seen: plan_present(chains.settings, seen, wanted, new_marker)
