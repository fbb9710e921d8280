# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of ipset as a router lists them. Private to this collection."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import PERMISSION, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_list import list_command
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet, NotUnderstood, Sets, names, read_sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Answer, Group

TRIES = 3  # another run may take a set away between its name and its listing

_NO_PROGRAM = (126, 127)


class SetReader:
    """Asks for the sets of a chain. ``seen`` are those that were listed last; ``cannot`` says why ipset is of no use.

    ``strange`` are the names of sets that have our name and are of another kind.
    """

    def __init__(self, questions: Questions, where: str, programs: Sequence[str], chain: str) -> None:
        self.questions = questions
        self.where = where
        self.seen: Sets = {}
        self.strange: set[str] = set()
        self.cannot = ""
        self.program = programs[0] if programs else "ipset"
        self._programs = programs
        self._chain = chain

    def listing(self) -> list[Group]:
        """The commands of which one lists the sets."""
        lines = tuple(list_command(program, self._chain) for program in self._programs)
        return [Group(lines, one_program=True)] if lines and self.questions.has_shell else []

    def look(self) -> None:
        """List the sets now, or take what was foreseen."""
        self.seen, self.strange, self.cannot = {}, set(), ""
        if not self.questions.has_shell:
            self.cannot = "it has no shell to run ipset in"
            return
        if not self._programs:
            self.cannot = "its profile does not say how ipset is called (docs/profiles.md, the key ipset)"
            return
        for _try in range(TRIES):
            if self._looked(self._answer()):
                return
        raise TrafficError(f"{self.where}: the sets of {self._chain} were changed again and again while they were listed. Run it again.")

    def _answer(self) -> Answer:
        lines = [list_command(program, self._chain) for program in self._programs]
        if not any(map(self.questions.has_answer, lines)):
            self.questions.foresee((), self.listing())
        found = Answer("", 127)
        for program, line in zip(self._programs, lines, strict=True):
            if self.questions.has_answer(line):
                found = self.questions.remembered(line)
                self.program = program
        return found

    def _looked(self, answer: Answer) -> bool:
        """Whether an answer was of use."""
        if answer.status == 0:
            try:
                self.seen = self._understood(answer.text)
                self.strange = names(answer.text) - set(self.seen)
            except NotUnderstood as error:
                raise TrafficError(
                    f"{self.where}: what `{self.program} list` printed was not understood, so nothing was taken from it: {error}. Run it "
                    "again; if it stays so, this version of ipset is not known yet: please report it with this message."
                ) from error
            return True
        code = self.questions.complaint(answer.text)
        if answer.status in _NO_PROGRAM or code in ("not_found", "unrecognized_command"):
            self.cannot = f"it has no command {self.program}, which comes with the package ipset of many firmwares"
            return True
        if code == "no_such_set":
            return False
        if code == "permission":
            raise TrafficError(f"{self.where}: `{self.program} list` failed: {quoted(answer.text)}. {PERMISSION}")
        self.cannot = f"ipset does not work there ({quoted(answer.text)})"
        return True

    def last_look(self) -> str:
        """The command for a second listing in one exchange."""
        return f"{list_command(self.program, self._chain)} # counted until then"

    def last_seen(self, answer: Answer) -> Sets | None:
        """What it answered; None where that is of no use."""
        try:
            return self._understood(answer.text) if answer.status == 0 else None
        except NotUnderstood:
            return None

    def _understood(self, text: str) -> dict[str, AddressSet]:
        try:
            return read_sets(text, self._chain)
        except NotUnderstood:
            quiet = self.questions.quiet(text)
            if quiet == text:
                raise
            found = read_sets(quiet, self._chain)
            self.questions.note("Lines of the router's own log stood in its answers and were left out.")
            return found
