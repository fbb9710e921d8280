# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with iptables: the chain of each family of addresses, in its table. Private to this collection.

What only a change needs stands in ``_iptables_change``: Ansible compiles a collection's modules in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, Problem, State, Status, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Observed, as_commands
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    hosts_of,
    marker,
    plain_jumps,
    uses_sets,
    without_chain,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, problems, unattributed
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

if TYPE_CHECKING:
    from ansible_collections.homenet.traffic.plugins.plugin_utils._mover import Mover


@dataclass
class Family:
    """The chain for one family of addresses, as it was seen last."""

    chains: Chains
    elsewhere: Chains
    found: Observed | None = None
    """All that was seen, also a chain that counts in another way and is not spoken of here."""
    there: Chain | None = None
    """The chain in the other table, in whichever way it counts."""
    seen: Observed | None = None
    move: Mover | None = None
    """Where the other table holds a chain of ours."""
    looks: list[Observed] = field(default_factory=list)
    """What was there right before rules that count were taken away out of a chain that goes on."""

    @property
    def observed(self) -> Observed:
        """What was seen. Only after ``look``."""
        if self.seen is None:
            raise ValueError("nobody looked yet")
        return self.seen

    @property
    def counted(self) -> list[Observed]:
        """All that has counted by itself: in both tables, where a chain of ours is in each and neither is the other's copy."""
        here, there = self.observed, self.counting
        apart = marker(here.chain) is not None and marker(here.chain) != marker(there.chain)
        return [there, here] if self.move and apart else [there]

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
        self._candidates = [Family(one, one.in_other_table()) for one in (chains, chains6) if one]
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

    def _look_at(self, family: Family) -> None:
        family.found = family.chains.observe()
        family.there = family.elsewhere.chain() if self._both_tables else None
        self._choose_in(family)

    def _choose_in(self, family: Family) -> None:
        """What of all that was seen counts in this way."""
        if family.found is None:
            return
        family.seen = family.found if self._is_mine(family.found.chain) else without_chain(family.chains.settings, family.found)
        family.move = None
        # One without our marker is somebody else's, whatever its name.
        if family.there and marker(family.there) and self._is_mine(family.there):
            from ansible_collections.homenet.traffic.plugins.plugin_utils._mover import Mover  # noqa: PLC0415

            family.move = Mover(family.elsewhere, family.chains, family.seen)

    def _is_mine(self, chain: Chain | None) -> bool:
        return not uses_sets(chain)

    def hides(self) -> bool:
        """Whether there is a chain, in any table, that counts in another way and so is not spoken of."""
        return any(
            (one.found and not self._is_mine(one.found.chain)) or (marker(one.there) and not self._is_mine(one.there))
            for one in self._candidates
        )

    def sights(self) -> list[tuple[Observed | None, Chain | None]]:
        """All that was seen of each family of addresses: its table, and the chain in the other table."""
        return [(family.found, family.there) for family in self._candidates]

    def _is_for_use(self, family: Family) -> bool:
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
        return self._families[0].counting.chain is not None  # that of IPv6 alone would be a remainder

    def counts(self) -> bool:
        """Whether a chain is there that is not empty."""
        return any(family.counting.chain and family.counting.chain.rules for family in self._families)

    def is_marked(self) -> bool:
        """Whether a chain is there that this collection made."""
        return any(marker(family.counting.chain) for family in self._families)

    def counted(self) -> Counted:
        """See Backend."""
        total = Counted()
        for seen in (seen for family in self._families for seen in family.counted):
            if seen.chain:
                total = together(total, Counted(host_counters(seen.chain, seen.subs), unattributed(seen.chain, seen.subs)))
        return total

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
            hosts=self._host_number(family),
            marker=None if found is None else str(found),
            problems=self._problems(interfaces),
        )

    def _host_number(self, family: Family) -> int:
        seen = family.observed
        return 0 if seen.chain is None else len(hosts_of(seen.chain, seen.subs))

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
        from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables_change import preview  # noqa: PLC0415

        return preview(self._families, state, hosts, interfaces, prune)

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """See Backend."""
        from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables_change import (  # noqa: PLC0415
            bring,
            planned,
            stop,
            until_taken_away,
        )

        plans = planned(self._families, state, hosts, interfaces, prune)
        if state != "present" and any(plan(family.observed) for family, plan in plans):
            stop(self._families, commands)
            self._final = self.counted()
        try:
            bring(plans, state, commands)
        finally:
            self._final = until_taken_away(self._families) or self._final
