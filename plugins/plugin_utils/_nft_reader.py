# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table as a router lists it. Private to this collection.

What nft printed is read strictly, as JSON where it can, as text where nft was built without or its JSON is not whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import PERMISSION, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_json import read_json
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_list import FAMILY, list_commands
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftTable, NotUnderstood, is_incomplete
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Answer, Group

_NO_SUPPORT = r"(protocol|operation) not supported|cache initialization failed|function not implemented"


class NftReader:
    """Asks for the table. ``seen`` is how it was listed last; ``cannot`` says why nft is of no use, empty where it is."""

    def __init__(self, questions: Questions, where: str, table: str) -> None:
        self.questions = questions
        self.where = where
        self.seen: NftTable | None = None
        self.cannot = ""
        self._name = table
        self._commands = list_commands(table)
        self._form = 0

    def listing(self) -> Group:
        """The commands of which one lists the table."""
        return Group(self._commands)

    def look(self) -> None:
        """List the table now, or take what was foreseen."""
        self.seen, self.cannot = None, ""
        if not self.questions.has_shell:
            self.cannot = "it has no shell to run nft in"
            return
        if not any(map(self.questions.has_answer, self._commands)):
            self.questions.foresee((), [self.listing()])
        complaints: list[str] = []
        for form, command in enumerate(self._commands):
            if self.questions.has_answer(command):
                answer = self.questions.remembered(command)
                if answer.status == 0:
                    self.seen = self._read(form, answer)
                    return
                complaints.append(answer.text)
        self.cannot = self._why_not(complaints)

    def last_look(self) -> str:
        """The command for a second listing in one exchange, in the form that worked."""
        return f"{self._commands[self._form]} # counted until then"

    def last_seen(self, answer: Answer) -> NftTable | None:
        """What it answered; None where that is of no use."""
        try:
            return self._understood(self._form, answer.text) if answer.status == 0 else None
        except NotUnderstood:
            return None

    def _read(self, form: int, answer: Answer) -> NftTable:
        """The table in a listing. JSON that is not understood is no reason to give up: there is still the text."""
        try:
            found = self._understood(form, answer.text)
        except NotUnderstood as error:
            if form == 0:
                answer = self.questions.ask(self._commands[1])
                if answer.status == 0:
                    return self._read(1, answer)
            raise TrafficError(
                f"{self.where}: what `{self._commands[form]}` printed was not understood, so nothing was taken from it: {error}. Run "
                "it again; if it stays so, this version of nft is not known yet: please report it with this message."
            ) from error
        self._form = form
        return found

    def _understood(self, form: int, text: str) -> NftTable:
        read = _reader(form)
        try:
            tables = read(text)
        except NotUnderstood:
            quiet = self.questions.quiet(text)
            if quiet == text:
                raise
            tables = read(quiet)
            self.questions.note("Lines of the router's own log stood in its answers and were left out.")
        if [(one.family, one.name) for one in tables] != [(FAMILY, self._name)]:
            raise NotUnderstood(f"it is not a listing of the table {self._name}")
        if form == 0 and is_incomplete(tables[0]):
            raise NotUnderstood("there are elements without counters")
        return tables[0]

    def _why_not(self, complaints: Sequence[str]) -> str:
        """Why nft cannot be used; empty where there is just no table. Raises TrafficError for what is no answer at all."""
        if not complaints:
            raise TrafficError(f"{self.where}: `{self._commands[0]}` was not answered. Run it again.")
        codes = [self.questions.complaint(text) for text in complaints]
        if "no_such_table" in codes:
            return ""
        if "permission" in codes:
            raise TrafficError(f"{self.where}: `{self._commands[0]}` failed: {quoted(complaints[-1])}. {PERMISSION}")
        if all(code in ("not_found", "unrecognized_command") for code in codes):
            return "it has no command nft"
        if re.search(_NO_SUPPORT, complaints[-1], re.IGNORECASE):
            return f"its kernel has no nftables ({quoted(complaints[-1])})"
        raise TrafficError(f"{self.where}: `{self._commands[-1]}` failed: {quoted(complaints[-1])}. Run it again.")


def _reader(form: int) -> Callable[[str], list[NftTable]]:
    if form == 0:
        return read_json
    from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_text import read_text  # noqa: PLC0415  (most have JSON)

    return read_text
