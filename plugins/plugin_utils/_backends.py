# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way of counting a router gets. Private to this collection.

``auto`` leaves what is installed. Where nothing is, it takes what costs the router least: nftables, whose sets cost the same for
a thousand hosts as for one, before iptables; and iptables with the sets of ipset where so many hosts cost less with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend, State
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import marker
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import FirewallError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_list import has_sets, list_command
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Iptables
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_list import list_commands
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

if TYPE_CHECKING:
    from ansible_collections.homenet.traffic.plugins.plugin_utils._ipsets import Ipset
    from ansible_collections.homenet.traffic.plugins.plugin_utils._nftables import Nftables

CHOICES = ("auto", "iptables", "nftables", "ipset")

# From so many addresses of a family on, a packet costs less with sets than with rules (docs/performance.md).
SETS_PAY = 500
SETS_PAY_ON_NFT = 17


class Backends:
    """The ways that a router may have. ``wish`` is one of CHOICES; ``state`` is what is to be brought about, None for a reading.

    ``learn``: nftables counts a host that nobody named by itself from its first packet on.
    """

    def __init__(self, router: Router, wish: str = "auto", state: State | None = None, learn: bool = True) -> None:
        self._router = router
        self._wish = wish
        self._state = state
        self._learn = learn
        self._both_tables = state in ("present", "absent")
        self._iptables = Iptables(router.chains, self._both_tables, router.chains6, router.routes_ipv6)
        self._nft: Nftables | None = None
        self._sets: Ipset | None = None

    def _nftables(self) -> Nftables:
        """Only where it is needed: Ansible compiles a collection's modules in every run."""
        if self._nft is None:
            from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftSettings  # noqa: PLC0415
            from ansible_collections.homenet.traffic.plugins.plugin_utils._nftables import Nftables  # noqa: PLC0415

            self._nft = Nftables(self._router.questions, self._router.where, NftSettings(learn=self._learn))
        return self._nft

    def _ipset(self) -> Ipset:
        """The same."""
        if self._sets is None:
            from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_reader import SetReader  # noqa: PLC0415
            from ansible_collections.homenet.traffic.plugins.plugin_utils._ipsets import Ipset  # noqa: PLC0415

            router = self._router
            reader = SetReader(router.questions, router.where, router.ipset_programs, router.settings.chain)
            self._sets = Ipset(
                self._iptables, router.questions, reader, router.chains, self._both_tables, router.chains6, router.routes_ipv6
            )
        return self._sets

    def listing(self) -> list[Group]:
        """The commands that ``look`` asks first."""
        if not self._router.questions.has_shell:
            return []
        new = self._state == "present"
        wants_nft = new and self._wish in ("auto", "nftables")
        nft = self._nftables().listing(probe=True) if wants_nft else [Group(list_commands())]
        sets = [Group(self._set_listings(), one_program=True)] if self._router.ipset_programs else []
        probes = self._ipset().probes() if new and self._wish in ("auto", "ipset") else []
        versions = self._router.chains.versions() if new and self._wish == "auto" else []
        return [*self._iptables.listing(), *nft, *sets, *probes, *versions]

    def _set_listings(self) -> tuple[str, ...]:
        return tuple(list_command(program, self._router.settings.chain) for program in self._router.ipset_programs)

    def look(self, hosts: Callable[[], Sequence[str]] = tuple) -> Backend:
        """Look at what is there. The way to count, or that has counted. ``hosts`` are the addresses that are to be counted."""
        if self._wish == "nftables":
            return self._required_nftables()
        if self._wish == "auto" and self._has_table():
            self._nftables().look()
            return self._nftables()
        try:
            self._iptables.look()
        except FirewallError as error:
            if self._wish != "auto" or error.code != "nftables_only" or not self._nft_counts():
                raise
            return self._nftables()
        if self._wish == "ipset":
            return self._required_ipset()
        return self._chosen(hosts) if self._wish == "auto" else self._iptables

    def _chosen(self, hosts: Callable[[], Sequence[str]]) -> Backend:
        """What is installed; otherwise what costs least."""
        if ipset := self._installed_ipset():
            return ipset
        if self._state != "present" or self._iptables.counts():
            return self._iptables
        if not self._iptables.exists() and self._nft_counts():
            return self._nftables()
        if self._router.ipset_programs and self._router.questions.has_shell and self._sets_pay(hosts()):
            self._ipset().see()
            return self._iptables if self._ipset().refusal() else self._ipset()
        return self._iptables

    def _has_table(self) -> bool:
        return any(map(self._router.questions.worked, list_commands()))

    def _installed_ipset(self) -> Ipset | None:
        """The chain that counts in sets, looked at; before a change also where only the sets are left of it."""
        if not (self._iptables.hides() or (self._state is not None and self._shows_sets())):
            return None
        ipset = self._ipset()
        ipset.see()
        return ipset if ipset.is_marked() else None

    def _shows_sets(self) -> bool:
        """Whether a set is listed that may be ours."""
        questions, chain = self._router.questions, self._router.settings.chain
        return any(questions.has_answer(line) and has_sets(questions.said(line), chain) for line in self._set_listings())

    def _sets_pay(self, hosts: Sequence[str]) -> bool:
        most = max(sum(":" in host for host in hosts), sum(":" not in host for host in hosts))
        if most < SETS_PAY_ON_NFT:
            return False
        version = self._router.chains.version()
        return most >= SETS_PAY or (version is not None and version.backend == "nf_tables")

    def _nft_counts(self) -> bool:
        """Whether the router can count with nftables, or has what it takes when nothing is to be installed."""
        if not self._router.questions.has_shell:
            return False
        nftables = self._nftables()
        nftables.look()
        return nftables.usable() if self._state == "present" else nftables.is_there()

    def _required_nftables(self) -> Backend:
        nftables = self._nftables()
        nftables.look()
        if self._state == "present" and (refusal := nftables.refusal()):
            raise TrafficError(
                f"{self._router.where} cannot count with nftables: {refusal}. Set traffic_backend to auto or iptables."
            )
        return nftables

    def _required_ipset(self) -> Backend:
        ipset = self._ipset()
        ipset.see()
        if self._state == "present" and (refusal := ipset.refusal()):
            raise TrafficError(f"{self._router.where} cannot count with ipset: {refusal}. Set traffic_backend to auto or iptables.")
        return ipset

    def others(self, chosen: Backend) -> list[Backend]:
        """What else has counted up to now, and is to be taken away when something is set up or removed."""
        if self._state not in ("present", "absent"):
            return []
        found: list[Backend] = []
        if chosen is self._nft:
            try:
                self._iptables.look()
            except TrafficError as error:
                if error.unreachable:
                    raise
                return []
            if self._iptables.is_marked():
                found.append(self._iptables)
        elif self._has_table():
            self._nftables().look()
            found.append(self._nftables())
        if chosen is self._sets:
            found += [self._iptables] if self._ipset().hides() else []
        elif ipset := self._installed_ipset():
            found.append(ipset)
        return found

    def elsewhere(self) -> str | None:
        """The table that holds a chain of ours, where the one that was asked for holds none."""
        other = self._router.chains.in_other_table()
        return other.settings.table if marker(other.chain()) else None
