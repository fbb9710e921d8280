# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with iptables: the chain of each family of addresses, in its table. Private to this collection."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, ZERO, Counted, Problem, State, Status
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Observed,
    Step,
    Wanted,
    as_commands,
    command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_move import plan_unhook
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import hosts_of, marker, plain_jumps
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, problems, unattributed
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, Change
from ansible_collections.homenet.traffic.plugins.plugin_utils._mover import Mover, mover
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
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
        if self.seen is None:
            raise ValueError("nobody looked yet")
        return self.seen

    @property
    def counting(self) -> Observed:
        """What has counted up to now, in whichever table."""
        return self.move.before() if self.move else self.observed


class Iptables:
    """The chain, wherever it is. ``both_tables``: a chain of ours in the other table is moved or removed, too.

    ``chains6`` is that of ip6tables, for a router that has one; it counts where ``routes_ipv6`` says so, or where it is there already.
    """

    name = "iptables"

    def __init__(
        self,
        chains: Chains,
        both_tables: bool = False,
        chains6: Chains | None = None,
        routes_ipv6: Callable[[], bool] = lambda: False,
    ) -> None:
        self._candidates = [_Family(one, one.in_other_table()) for one in (chains, chains6) if one]
        self._families = self._candidates[:1]
        self._both_tables = both_tables
        self._routes_ipv6 = routes_ipv6
        self._before = Counted()
        self._final: Counted | None = None

    @property
    def table(self) -> str:
        """The table that the chain is in."""
        return self._families[0].chains.settings.table

    @property
    def counts_ipv6(self) -> bool:
        """Whether it does, or will with the next change."""
        return len(self._families) > 1

    def listing(self) -> list[Group]:
        """See Backend."""
        asked = [one for family in self._candidates for one in (family.chains, *([family.elsewhere] if self._both_tables else []))]
        return [group for one in asked for group in one.listing()]

    def look(self) -> None:
        """See Backend."""
        self._look_at(self._candidates[0])
        self._families = [self._candidates[0], *(family for family in self._candidates[1:] if self._is_for_use(family))]
        self._before = self.counted()

    def _look_at(self, family: _Family) -> None:
        family.seen = family.chains.observe()
        family.move = mover(family.elsewhere, family.chains, family.seen) if self._both_tables else None

    def _is_for_use(self, family: _Family) -> bool:
        """Whether IPv6 is counted; a router without ip6tables can go on without."""
        try:
            self._look_at(family)
        except TrafficError as error:
            if error.unreachable:
                raise
            return False
        return bool(family.counting.chain) or self._routes_ipv6()

    def exists(self) -> bool:
        """See Backend."""
        return any(family.counting.chain for family in self._families)

    def is_marked(self) -> bool:
        """Whether a chain is there that this collection made."""
        return any(marker(family.counting.chain) for family in self._families)

    def counted(self) -> Counted:
        """See Backend."""
        found = [(seen.chain, seen.subs) for family in self._families if (seen := family.counting).chain]
        rests = [rest for chain, subs in found if chain and (rest := unattributed(chain, subs)) is not None]
        return Counted(
            {host: both for chain, subs in found if chain for host, both in host_counters(chain, subs).items()},
            {direction: sum((rest[direction] for rest in rests), ZERO) for direction in DIRECTIONS} if rests else None,
        )

    def before(self) -> Counted:
        """See Backend."""
        return self._before

    def final(self) -> Counted | None:
        """See Backend."""
        return self._final

    def status(self, interfaces: Sequence[str]) -> Status:
        """See Backend. Position, references and marker are those of IPv4."""
        family = self._families[0]
        chain, settings = family.observed.chain, family.chains.settings
        positions = plain_jumps(settings, family.observed)
        found = marker(chain)
        return Status(
            installed=chain is not None and bool(positions),
            jump_position=positions[0] if positions else None,
            references=0 if chain is None else chain.references,
            hosts=0 if chain is None else len(hosts_of(chain, family.observed.subs)),
            marker=None if found is None else str(found),
            problems=self._problems(interfaces),
        )

    def _problems(self, interfaces: Sequence[str]) -> list[Problem]:
        found = problems(self._families[0].chains.settings, self._families[0].observed, interfaces)
        if self._families[0].observed.chain is None:
            return found  # nothing is counted, so that of IPv6 need not be said
        for family in self._families[1:]:
            for problem in problems(family.chains.settings, family.observed, interfaces):
                found.append(Problem(problem.code, f"IPv6: {problem.message}"))
        return found

    def hosts(self) -> list[str]:
        """The addresses that have rules."""
        seen = [family.counting for family in self._families]
        return [host for one in seen if one.chain for host in hosts_of(one.chain, one.subs)]

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
        self._look_closer(state)
        for family in self._families:
            plan, settings = self._plan(family, state, hosts, interfaces, prune), family.chains.settings
            moving, observed = family.move.preview(state == "present") if family.move else ([], family.observed)
            steps = plan(observed)
            commands += [*moving, *(command(settings, step) for step in steps)]
            after += as_commands(settings, simulate(settings, observed, steps))
        return commands, after

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """See Backend."""
        self._look_closer(state)
        plans = [(family, self._plan(family, state, hosts, interfaces, prune)) for family in self._families]
        for family, plan in plans:
            plan(family.observed)  # a refusal comes before anything is changed
        change = Change(commands=commands)
        if state == "absent":
            self._stop(change)
        for family, plan in plans:
            observed = family.observed
            if family.move and state == "present":
                observed = family.move.move(change)
            elif family.move:
                family.move.remove(change)
            family.chains.converge(plan, change, observed, whole=state != "present")
            family.seen, family.move = change.after, None

    def _look_closer(self, state: State) -> None:
        """What is taken away is taken away whole: also sub-chains that an earlier run has begun, and that nothing leads to yet."""
        for family in self._families if state != "present" else ():
            family.seen = family.chains.observe(whole=True)

    def _stop(self, change: Change) -> None:
        """Take the jumps away: what the chains have counted then is all that they will have."""
        for family in self._families:
            if family.move:
                family.move.stop(change)
            settings = family.chains.settings
            family.chains.converge(partial(plan_unhook, settings), change, family.observed, whole=True)
            family.seen = change.after
        self._final = self.counted()

    def _plan(self, family: _Family, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> Plan:
        """What is to be done, decided (and refused) before anything is changed."""
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
