# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with nftables: the table of ours on a router, listed and changed. Private to this collection.

What nft printed is read strictly; what a change did is believed only after the table was read back.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, ip_interface, ip_network

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, State, Status
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft import (
    LEARNED,
    NftError,
    NftSettings,
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
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_json import read_json
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_list import list_commands
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_state import counted, hosts_of, status
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import FAMILY, NftTable, NotUnderstood, is_incomplete
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_text import read_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Answer, Group

ROUNDS = 4  # of planning and doing; one is usual, and another run that is at it makes for more
OLDEST_KERNEL = (5, 10)  # from here on a look-up in a set surely counts

_KERNEL = "uname -r"
_READERS = (read_json, read_text)
_NO_SUPPORT = re.compile(r"(?i)(protocol|operation) not supported|cache initialization failed|function not implemented")
_PERMISSION = "The user that logs in may not change the firewall: log in as the router's administrator (or set ansible_become)."

Plans = Callable[[NftTable | None], Sequence[Plan]]


class Nftables:
    """The table, asked for and changed through a shell."""

    name = "nftables"
    counts_ipv6 = True

    def __init__(self, questions: Questions, where: str, settings: NftSettings = NftSettings()) -> None:
        self._questions = questions
        self._where = where
        self._commands = list_commands(settings.table)
        self._form = 0
        self._table: NftTable | None = None
        self._cannot = ""
        self._final: NftTable | None = None
        self._before = Counted()
        self.settings = settings

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.settings.table

    # Looking

    def listing(self, probe: bool = False) -> list[Group]:
        """See Backend. ``probe``: ask also what ``refusal`` wants to know, if there is no table yet."""
        if not probe:
            return [Group(self._commands)]
        return [Group((*self._commands, self._check())), Group((_KERNEL,))]

    def look(self) -> None:
        """See Backend."""
        self._look()
        self._before = self.counted()

    def _look(self) -> None:
        self._table, self._cannot = None, ""
        if not self._questions.has_shell:
            self._cannot = "it has no shell to run nft in"
            return
        if not any(map(self._questions.has_answer, self._commands)):
            self._questions.foresee((), self.listing())
        complaints: list[str] = []
        for form, command in enumerate(self._commands):
            if self._questions.has_answer(command):
                answer = self._questions.remembered(command)
                if answer.status == 0:
                    self._table = self._read(form, answer)
                    return
                complaints.append(answer.text)
        self._cannot = self._why_not(complaints)

    def _read(self, form: int, answer: Answer) -> NftTable:
        """The table in a listing. JSON that is not understood is no reason to give up: there is still the text."""
        try:
            found = self._understood(form, answer.text)
        except NotUnderstood as error:
            if form == 0:
                answer = self._questions.ask(self._commands[1])
                if answer.status == 0:
                    return self._read(1, answer)
            raise TrafficError(
                f"{self._where}: what `{self._commands[form]}` printed was not understood, so nothing was taken from it: {error}. Run "
                "it again; if it stays so, this version of nft is not known yet: please report it with this message."
            ) from error
        self._form = form
        return found

    def _understood(self, form: int, text: str) -> NftTable:
        try:
            tables = _READERS[form](text)
        except NotUnderstood:
            quiet = self._questions.quiet(text)
            if quiet == text:
                raise
            tables = _READERS[form](quiet)
            self._questions.note("Lines of the router's own log stood in its answers and were left out.")
        if [(one.family, one.name) for one in tables] != [(FAMILY, self.settings.table)]:
            raise NotUnderstood(f"it is not a listing of the table {self.settings.table}")
        if form == 0 and is_incomplete(tables[0]):
            raise NotUnderstood("there are elements without counters")
        return tables[0]

    def _why_not(self, complaints: Sequence[str]) -> str:
        """Why nft cannot be used; empty where there is just no table. Raises TrafficError for what is no answer at all."""
        codes = [self._questions.complaint(text) for text in complaints]
        if "no_such_table" in codes:
            return ""
        if "permission" in codes:
            raise TrafficError(f"{self._where}: `{self._commands[0]}` failed: {quoted(complaints[-1])}. {_PERMISSION}")
        if all(code in ("not_found", "unrecognized_command") for code in codes):
            return "it has no command nft"
        if _NO_SUPPORT.search(complaints[-1]):
            return f"its kernel has no nftables ({quoted(complaints[-1])})"
        raise TrafficError(f"{self._where}: `{self._commands[-1]}` failed: {quoted(complaints[-1])}. Run it again.")

    def exists(self) -> bool:
        """See Backend."""
        return self._table is not None

    def counted(self) -> Counted:
        """See Backend."""
        return counted(self._table)

    def before(self) -> Counted:
        """See Backend."""
        return self._before

    def final(self) -> Counted | None:
        """What had been counted in the moment in which ``bring`` took it away; None where nothing was taken away."""
        return None if self._final is None else counted(self._final)

    def hosts(self) -> list[str]:
        """The addresses that are counted by themselves."""
        return hosts_of(self._table)

    def status(self, interfaces: Sequence[str]) -> Status:
        """See Backend."""
        return status(self.settings, self._table, interfaces)

    def as_commands(self) -> list[str]:
        """See Backend."""
        return for_people(as_lines(self.settings, self._table))

    # Whether it can be used at all

    def is_there(self) -> bool:
        """Whether the router has an nft that works."""
        return not self._cannot

    def _check(self) -> str:
        """Our own table, checked by nft and the kernel but not made."""
        return transaction(plan_present(self.settings, None, NftWanted((), ("lo",)), "0" * 16).lines, check=True)

    def refusal(self) -> str | None:
        """Why this router cannot count like this, in words that follow its name and "cannot ...: "; None where it can."""
        if self._table is not None or self._cannot:
            return self._cannot or None
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

    # Changing

    def preview(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> tuple[list[str], list[str]]:
        """See Backend."""
        plans = self._plans(state, self._wanted(hosts, interfaces, prune))(self._table)
        lines = [line for plan in plans for line in plan.lines]
        return for_people(lines), for_people(as_lines(self.settings, plans[-1].after))

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """See Backend."""
        plans = self._plans(state, self._wanted(hosts, interfaces, prune))
        todo = _with_lines(plans(self._table))
        if todo and self._cannot:
            raise NftError(f"{self._where} cannot count with nftables: {self._cannot}. Nothing was changed.")
        self._final, words = None, ""
        for _round in range(ROUNDS):
            if not todo:
                return
            words = self._do(todo, commands)
            if not words:
                # Who was taken out and sends again is learned again. That is no reason to take him out again.
                plans = self._plans(state, self._wanted(hosts, interfaces, False))
            todo = _with_lines(plans(self._table))
        if todo:
            raise NftError(self._not_done(todo, words))

    def _wanted(self, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> NftWanted:
        return NftWanted(tuple(hosts), tuple(interfaces), prune, self._networks(interfaces))

    def _networks(self, interfaces: Sequence[str]) -> tuple[str, ...]:
        """The LAN's own networks, where they are not private ones."""
        own: list[Address] = self._questions.read_or_warn("addresses")
        usual = [network for network in map(ip_network, LEARNED) if isinstance(network, IPv4Network)]
        found = []
        for one in own:
            if one.interface in interfaces or one.prefix is None or ":" in one.ip:
                continue
            network = ip_interface(f"{one.ip}/{one.prefix}").network
            local = network.is_loopback or network.is_link_local or not 0 < network.prefixlen < 32
            if isinstance(network, IPv4Network) and not local and not any(map(network.subnet_of, usual)):
                found.append(network)
        return tuple(str(network) for network in sorted(set(found)))

    def _plans(self, state: State, wanted: NftWanted) -> Plans:
        """What is to be done, one transaction after the other. What is counted is read for the last time after counting stopped."""
        settings = self.settings
        if state == "present":
            marker = secrets.token_hex(8)
            return lambda seen: [plan_present(settings, seen, wanted, marker)]
        plan = plan_empty if state == "empty" else plan_absent

        def stop_first(seen: NftTable | None) -> list[Plan]:
            stop = plan_stop(settings, seen)
            return [stop, plan(settings, stop.after)]

        return stop_first

    def _do(self, plans: Sequence[Plan], commands: list[str]) -> str:
        """Run transactions in one exchange, up to the first that fails, and look again. Returns the words of a complaint."""
        changes = [transaction(plan.lines) for plan in plans]
        lines = [line for plan in plans for line in plan.lines]
        last_look = f"{self._commands[self._form]} # counted until then"
        loses = self._table is not None and any(line.startswith("delete") for line in lines)
        together = [*changes[:-1], *([last_look] if loses else []), changes[-1]]
        self._questions.foresee((), [Group(tuple(together), all_of=True), *self.listing()])
        words = ""
        if self._questions.has_answer(last_look):
            self._keep(self._questions.remembered(last_look))
        for plan, change in zip(plans, changes, strict=True):
            if self._questions.has_answer(change):
                answer = self._questions.remembered(change)
                if answer.status:
                    words = quoted(self._questions.quiet(answer.text))
                else:
                    commands += for_people(plan.lines)
        self._look()
        return words

    def _keep(self, answer: Answer) -> None:
        """What was there when it was taken away."""
        try:
            self._final = self._understood(self._form, answer.text) if answer.status == 0 else self._final
        except NotUnderstood:
            return  # what was seen before has to do

    def _not_done(self, left: Sequence[Plan], words: str) -> str:
        lines = [line for plan in left for line in plan.lines]
        missing = "; ".join(lines[:3]) + ("; ..." if len(lines) > 3 else "")
        said = f" (nft said {words})" if words else ""
        return (
            f"{self._where}: the router did not do all that it was told{said}. Still to be done: {missing}. Traffic passes as before; "
            "run it again, and report it if it happens twice."
        )


def _with_lines(plans: Sequence[Plan]) -> list[Plan]:
    return [plan for plan in plans if plan.lines]
