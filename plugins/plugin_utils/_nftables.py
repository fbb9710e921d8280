# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with nftables: the table of ours. Private to this collection.

What only a change needs is imported when there is one: Ansible compiles a collection's modules in every run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, State, Status
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_reader import NftReader
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_state import counted, hosts_of, status
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftSettings, NftTable
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

if TYPE_CHECKING:
    from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_change import NftChange

OLDEST_KERNEL = (5, 10)  # from here on a look-up in a set surely counts

_KERNEL = "uname -r"


class Nftables:
    """The table, asked for and changed through a shell."""

    name = "nftables"
    counts_ipv6 = True

    def __init__(self, questions: Questions, where: str, settings: NftSettings = NftSettings()) -> None:
        self._questions = questions
        self._reader = NftReader(questions, where, settings.table)
        self._before = Counted()
        self._final: NftTable | None = None
        self.settings = settings

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.settings.table

    # Looking

    def listing(self, probe: bool = False) -> list[Group]:
        """See Backend. ``probe``: ask also what ``refusal`` wants to know, if there is no table yet."""
        group = self._reader.listing()
        return [Group((*group.commands, self._check())), Group((_KERNEL,))] if probe else [group]

    def look(self) -> None:
        """See Backend."""
        self._reader.look()
        self._before = self.counted()

    def exists(self) -> bool:
        """See Backend."""
        return self._reader.seen is not None

    def counted(self) -> Counted:
        """See Backend."""
        return counted(self._reader.seen)

    def before(self) -> Counted:
        """See Backend."""
        return self._before

    def final(self) -> Counted | None:
        """See Backend."""
        return None if self._final is None else counted(self._final)

    def hosts(self) -> list[str]:
        """See Backend."""
        return hosts_of(self._reader.seen)

    def status(self, interfaces: Sequence[str]) -> Status:
        """See Backend."""
        return status(self.settings, self._reader.seen, interfaces)

    def as_commands(self) -> list[str]:
        """See Backend."""
        from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_change import table_as_commands  # noqa: PLC0415

        return table_as_commands(self.settings, self._reader.seen)

    # Whether it can be used at all

    def is_there(self) -> bool:
        """Whether the router has an nft that works."""
        return not self._reader.cannot

    def refusal(self) -> str | None:
        """Why this router cannot count like this, in words that follow "cannot ...: "; None where it can."""
        if self.exists() or not self.is_there():
            return self._reader.cannot or None
        kernel = self._questions.remembered(_KERNEL).text.strip()
        version = re.match(r"(\d{1,3})\.(\d{1,3})", kernel)
        if not version or tuple(map(int, version.groups())) < OLDEST_KERNEL:
            oldest = ".".join(map(str, OLDEST_KERNEL))
            return f"its kernel is {quoted(kernel)}, and sets count reliably from Linux {oldest} on"
        answer = self._questions.remembered(self._check())
        return f"nft or the kernel refused the table ({quoted(answer.text)})" if answer.status else None

    def usable(self) -> bool:
        """Whether this router can count like this. Nothing is changed to find out."""
        return self.refusal() is None

    def _check(self) -> str:
        from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_change import check_command  # noqa: PLC0415

        return check_command(self.settings)

    # Changing

    def preview(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> tuple[list[str], list[str]]:
        """See Backend."""
        return self._change(state, hosts, interfaces).preview(prune)

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """See Backend."""
        change = self._change(state, hosts, interfaces)
        try:
            change.bring(prune, commands)
        finally:
            self._final = change.final

    def _change(self, state: State, hosts: Sequence[str], interfaces: Sequence[str]) -> NftChange:
        from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_change import NftChange  # noqa: PLC0415

        return NftChange(self._reader, self.settings, state, hosts, interfaces)
