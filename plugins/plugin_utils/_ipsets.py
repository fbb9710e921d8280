# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with iptables and ipset: the chain of each family of addresses, and the sets that it looks into. Private to this collection.

What only a change needs stands in ``_ipset_change``: Ansible compiles a collection's modules in every run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, Problem, State, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    as_commands,
    set_help_command,
    set_name,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import link_of, match_of, uses_sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset import as_lines, probe_command, set_matches, single_commands
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_reader import SetReader
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_state import counted_in, in_order, left_over, problems, total
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Family, Iptables
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group


class Ipset(Iptables):
    """The chain and its sets. It takes what ``iptables`` has seen, so that nothing is asked twice."""

    name = "ipset"

    def __init__(
        self,
        iptables: Iptables,
        questions: Questions,
        reader: SetReader,
        chains: Chains,
        both_tables: bool = False,
        chains6: Chains | None = None,
        routes_ipv6: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(chains, both_tables, chains6, routes_ipv6)
        self._iptables = iptables
        self._questions = questions
        self._reader = reader

    # Looking

    def listing(self) -> list[Group]:
        """See Backend."""
        return [*self._iptables.listing(), *self._reader.listing()]

    def look(self) -> None:
        """See Backend."""
        self._iptables.look()
        self.see()

    def see(self) -> None:
        """Take what ``iptables`` has seen, and list the sets."""
        for family, (found, there) in zip(self._candidates, self._iptables.sights(), strict=True):
            family.found, family.there = found, there
            self._choose_in(family)
        first, *others = self._candidates
        self._families = [first, *(one for one in others if one.seen and (one.counting.chain or self._routes_ipv6()))]
        self._reader.look()
        missing = sorted(self._names() - set(self._reader.seen) - self._reader.strange)
        if missing:
            cannot = self._reader.cannot
            what = f": {cannot}. Make it work again, or take chain and sets away by hand." if cannot else ". Run it again."
            raise TrafficError(f"{self._reader.where}: the chain looks into the set {missing[0]}, which was not listed{what}")
        self._before = in_order(together(self.counted(), counted_in(self.left_over())))

    def _is_mine(self, chain: Chain | None) -> bool:
        """A chain in which no host has a rule of its own can be gone on with."""
        hosts = any(link_of(rule) or ((match := match_of(rule)) and match.host) for rule in (chain.rules if chain else ()))
        return uses_sets(chain) or not hosts

    def _names(self) -> set[str]:
        """The sets that are looked into."""
        return {match.name for family in self._families for seen in family.counted for match in set_matches(seen.chain)}

    def left_over(self) -> list[AddressSet]:
        """The sets of lives that are over."""
        seen = [(family.chains.settings, one) for family in self._families for one in family.counted]
        return left_over(seen, self._reader.seen)

    def is_marked(self) -> bool:
        """Whether something is there that counts or has counted with ipset."""
        return bool(self._names() or self.left_over())

    def counted(self) -> Counted:
        """See Backend."""
        return total([one for family in self._families for one in family.counted], self._reader.seen)

    def hosts(self) -> list[str]:
        """The addresses that are in the sets."""
        return list(self.counted().hosts)

    def _host_number(self, family: Family) -> int:
        return len(total([family.observed], self._reader.seen).hosts)

    def _problems(self, interfaces: Sequence[str]) -> list[Problem]:
        first, *others = self._families
        found = list(problems(first.chains.settings, first.observed, self._reader.seen, interfaces))
        if first.observed.chain is None:
            return found  # nothing is counted, so that of IPv6 need not be said
        for family in others:
            for problem in problems(family.chains.settings, family.observed, self._reader.seen, interfaces):
                found.append(Problem(problem.code, f"IPv6: {problem.message}"))
        return found

    def as_commands(self) -> list[str]:
        """See Backend."""
        lines = single_commands(self._reader.program, as_lines(self._reader.seen))
        for family in self._families:
            lines += family.move.before_commands() if family.move else as_commands(family.chains.settings, family.observed)
        return lines

    # Whether it can be used at all

    def probes(self) -> list[Group]:
        """What ``refusal`` wants to know. Nothing is changed to find out."""
        if not self._reader.listing():
            return []
        help_lines = tuple(line for family in self._candidates[:1] for line in family.chains.help_commands())
        return [Group((self._probe(),)), Group(help_lines, one_program=True)]

    def refusal(self) -> str | None:
        """Why this router cannot count like this, in words that follow "cannot ...: "; None where it can."""
        if self._names():
            return None
        if self._reader.cannot:
            return self._reader.cannot
        settings = self._candidates[0].chains.settings
        try:
            set_name(settings, "download", Marker.of(4, 0))
        except ChainError as error:
            return str(error).rstrip(".")
        words = self._questions.remembered(self._probe()).text
        if not re.search(r"Missing .*`maxelem'", words):
            return f"its ipset or kernel has no sets of addresses that count ({quoted(words)}), as from ipset 6.19 and Linux 3.10 on"
        words = self._questions.remembered(set_help_command(settings)).text
        if "--update-counters" not in words:
            return f"its iptables cannot look into sets that count; `{set_help_command(settings)}` said {quoted(words)}"
        return None

    def _probe(self) -> str:
        return probe_command(self._reader.program, self._candidates[0].chains.settings)

    # Changing

    def preview(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> tuple[list[str], list[str]]:
        """See Backend."""
        from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_change import SetChange  # noqa: PLC0415

        return SetChange(self._families, self._reader, state, hosts, interfaces, prune).preview()

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """See Backend."""
        from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_change import SetChange  # noqa: PLC0415

        change = SetChange(self._families, self._reader, state, hosts, interfaces, prune)
        try:
            change.bring(commands)
        finally:
            self._final = change.final
