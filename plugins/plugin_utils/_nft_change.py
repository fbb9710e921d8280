# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing the nftables table to a state. Private to this collection.

What a change did is believed only after the table was read back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, ip_interface, ip_network

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import State
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft import (
    LEARNED,
    NftWanted,
    Plan,
    as_lines,
    for_people,
    plan_absent,
    plan_empty,
    plan_present,
    plan_stop,
    transaction,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_reader import NftReader
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftError, NftSettings, NftTable
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

ROUNDS = 4  # of planning and doing; one is usual, and another run that is at it makes for more

Plans = Callable[[NftTable | None], Sequence[Plan]]


def check_command(settings: NftSettings) -> str:
    """Our own table, checked by nft and the kernel but not made."""
    return transaction(plan_present(settings, None, NftWanted((), ("lo",)), "0" * 16).lines, check=True)


def table_as_commands(settings: NftSettings, table: NftTable | None) -> list[str]:
    """A table as the commands that would make it."""
    return for_people(as_lines(settings, table))


class NftChange:
    """A wish. ``final`` is how the table was listed when something was taken away."""

    def __init__(self, reader: NftReader, settings: NftSettings, state: State, hosts: Sequence[str], interfaces: Sequence[str]) -> None:
        self._reader = reader
        self._settings = settings
        self._state = state
        self._wanted = NftWanted(tuple(hosts), tuple(interfaces), False, self._networks(interfaces))
        self.final: NftTable | None = None

    def preview(self, prune: bool) -> tuple[list[str], list[str]]:
        """The commands that it would take, and what would be there afterwards."""
        plans = self._plans(prune)(self._reader.seen)
        lines = [line for plan in plans for line in plan.lines]
        return for_people(lines), table_as_commands(self._settings, plans[-1].after)

    def bring(self, prune: bool, commands: list[str]) -> None:
        """Do it, and read it back; plan again for what is still missing, because another run was at it, too."""
        plans = self._plans(prune)
        todo = _with_lines(plans(self._reader.seen))
        words = ""
        for _round in range(ROUNDS):
            if not todo:
                return
            if self._reader.cannot:
                raise NftError(f"{self._reader.where} cannot count with nftables: {self._reader.cannot}. Nothing was changed.")
            words = self._do(todo, commands)
            if not words:
                # Who was taken out and sends again is learned again. That is no reason to take him out again.
                plans = self._plans(prune=False)
            todo = _with_lines(plans(self._reader.seen))
        if todo:
            raise NftError(self._not_done(todo, words))

    def _networks(self, interfaces: Sequence[str]) -> tuple[str, ...]:
        """The LAN's own networks, where they are not private ones."""
        own: list[Address] = self._reader.questions.read_or_warn("addresses")
        usual = [network for network in map(ip_network, LEARNED) if isinstance(network, IPv4Network)]
        found = set()
        for one in own:
            if one.interface in interfaces or one.prefix is None or ":" in one.ip:
                continue
            network = ip_interface(f"{one.ip}/{one.prefix}").network
            local = network.is_loopback or network.is_link_local or not 0 < network.prefixlen < 32
            if isinstance(network, IPv4Network) and not local and not any(map(network.subnet_of, usual)):
                found.add(network)
        return tuple(map(str, sorted(found)))

    def _plans(self, prune: bool) -> Plans:
        """What is to be done, one transaction after the other. What is taken away is read for the last time after counting stopped."""
        settings = self._settings
        if self._state == "present":
            wanted = NftWanted(self._wanted.hosts, self._wanted.interfaces, prune, self._wanted.networks)
            marker = secrets.token_hex(8)
            return lambda seen: [plan_present(settings, seen, wanted, marker)]
        plan = plan_empty if self._state == "empty" else plan_absent

        def stop_first(seen: NftTable | None) -> list[Plan]:
            stop = plan_stop(settings, seen)
            return [stop, plan(settings, stop.after)]

        return stop_first

    def _do(self, plans: Sequence[Plan], commands: list[str]) -> str:
        """Run transactions in one exchange, up to the first that fails, and look again. Returns the words of a complaint."""
        questions, last_look = self._reader.questions, self._reader.last_look()
        changes = [transaction(plan.lines) for plan in plans]
        loses = self._reader.seen is not None and any(line.startswith("delete") for plan in plans for line in plan.lines)
        together = [*changes[:-1], *([last_look] if loses else []), changes[-1]]
        questions.foresee((), [Group(tuple(together), all_of=True), self._reader.listing()])
        words = ""
        if questions.has_answer(last_look):
            self.final = self._reader.last_seen(questions.remembered(last_look)) or self.final
        for plan, change in zip(plans, changes, strict=True):
            if questions.has_answer(change):
                answer = questions.remembered(change)
                if answer.status:
                    words = quoted(questions.quiet(answer.text))
                else:
                    commands += for_people(plan.lines)
        self._reader.look()
        return words

    def _not_done(self, left: Sequence[Plan], words: str) -> str:
        lines = [line for plan in left for line in plan.lines]
        missing = "; ".join(lines[:3]) + ("; ..." if len(lines) > 3 else "")
        said = f" (nft said {words})" if words else ""
        return (
            f"{self._reader.where}: the router did not do all that it was told{said}. Still to be done: {missing}. Traffic passes as "
            "before; run it again, and report it if it happens twice."
        )


def _with_lines(plans: Sequence[Plan]) -> list[Plan]:
    return [plan for plan in plans if plan.lines]
