# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way of counting a router gets. Private to this collection.

``auto`` leaves what is installed. Where nothing is, it takes what costs the router least: nftables, whose sets cost the same for
a thousand hosts as for one, before iptables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend, State
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import marker
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import FirewallError
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Iptables
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_list import list_commands
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

if TYPE_CHECKING:
    from ansible_collections.homenet.traffic.plugins.plugin_utils._nftables import Nftables

CHOICES = ("auto", "iptables", "nftables")


class Backends:
    """The ways that a router may have. ``wish`` is one of CHOICES; ``state`` is what is to be brought about, None for a reading.

    ``learn``: nftables counts a host that nobody named by itself from its first packet on.
    """

    def __init__(self, router: Router, wish: str = "auto", state: State | None = None, learn: bool = True) -> None:
        self._router = router
        self._wish = wish
        self._state = state
        self._learn = learn
        self._iptables = Iptables(router.chains, state in ("present", "absent"), router.chains6, router.routes_ipv6)
        self._nft: Nftables | None = None

    def _nftables(self) -> Nftables:
        """Only where it is needed: Ansible compiles a collection's modules in every run."""
        if self._nft is None:
            from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftSettings  # noqa: PLC0415
            from ansible_collections.homenet.traffic.plugins.plugin_utils._nftables import Nftables  # noqa: PLC0415

            self._nft = Nftables(self._router.questions, self._router.where, NftSettings(learn=self._learn))
        return self._nft

    def listing(self) -> list[Group]:
        """The commands that ``look`` asks first."""
        if not self._router.questions.has_shell:
            return []
        wants_nft = self._state == "present" and self._wish != "iptables"
        nft = self._nftables().listing(probe=True) if wants_nft else [Group(list_commands())]
        return [*self._iptables.listing(), *nft]

    def look(self) -> Backend:
        """Look at what is there. The way to count, or that has counted."""
        if self._wish == "nftables":
            return self._required_nftables()
        if self._wish == "auto" and self._has_table():
            self._nftables().look()
            return self._nftables()
        try:
            self._iptables.look()
        except FirewallError as error:
            if self._wish == "iptables" or error.code != "nftables_only" or not self._nft_counts():
                raise
            return self._nftables()
        if self._wish == "auto" and self._state == "present" and not self._iptables.exists() and self._nft_counts():
            return self._nftables()
        return self._iptables

    def _has_table(self) -> bool:
        return any(map(self._router.questions.worked, list_commands()))

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

    def other(self, chosen: Backend) -> Backend | None:
        """What else has counted up to now, and is to be taken away when something is set up or removed."""
        if self._state not in ("present", "absent"):
            return None
        if chosen is self._iptables:
            if not self._has_table():
                return None
            self._nftables().look()
            return self._nftables()
        try:
            self._iptables.look()
        except TrafficError as error:
            if error.unreachable:
                raise
            return None
        return self._iptables if self._iptables.is_marked() else None

    def elsewhere(self) -> str | None:
        """The table that holds a chain of ours, where the one that was asked for holds none."""
        other = self._router.chains.in_other_table()
        return other.settings.table if marker(other.chain()) else None
