# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router is asked, in the ways that its profile knows, and what it answered as records. Private to this collection.

On a shell many commands make one exchange: what is going to be asked is asked at once, and answered from memory later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import (
    Kind,
    ParseError,
    error_code,
    parse,
    visible,
    without_noise,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Profile, Read, Sign
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Rule, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Answer, Group, Shell

Run = Callable[[str], str]
Asked = Kind | Literal["findings"]

# This way of asking is not to be had here: try the next.
_ABSENT = ("not_found", "unrecognized_command", "bad_argument")

# Each way of asking may tell something that the others don't.
_ALL_WAYS = ("names", "system", "programs")


class UnreadableError(TrafficError):
    """An answer that its template does not describe."""


class Questions:
    """Asks a router. ``run`` takes one command and returns what it printed, or is a shell, which takes many at once."""

    def __init__(self, run: Run | Shell, profile: Profile, where: str) -> None:
        self._run = run
        self._profile = profile
        self._where = where
        self._said: dict[str, Answer] = {}
        self._read: dict[tuple[Kind, Read], tuple[Answer, list[Any]]] = {}
        self._noise = 0
        self._unread: list[str] = []
        self.sources: dict[str, list[str]] = {}

    @property
    def has_shell(self) -> bool:
        """Whether many commands can go in one exchange."""
        return isinstance(self._run, Shell)

    # Commands

    def ask(self, line: str) -> Answer:
        """The answer to one command, made visible."""
        return self.ask_all([Group((line,))]).get(line) or Answer("")

    def ask_all(self, groups: Sequence[Group]) -> dict[str, Answer]:
        """The answers to the commands of these groups, as far as they were run; without a shell each is."""
        if isinstance(self._run, Shell):
            found: Mapping[str, Answer] = self._run.run(groups)
        else:
            found = {line: Answer(self._run(line)) for group in groups for line in group.commands}
        return {line: Answer(visible(answer.text), answer.status) for line, answer in found.items()}

    def foresee(self, kinds: Iterable[Asked], groups: Sequence[Group] = ()) -> None:
        """On a shell: ask for all of these kinds and groups in one exchange, to be taken from memory."""
        if not self.has_shell:
            return
        ways = [group for kind in kinds for group in self._groups(kind)]
        self._said.update(self.ask_all([*groups, *ways]))

    def _groups(self, kind: Asked) -> list[Group]:
        if kind == "findings":
            return _each(sign.command for sign in self._profile.findings)
        commands = tuple(dict.fromkeys(way.command for way in self._profile.read.get(kind, ())))
        return _each(commands) if kind in _ALL_WAYS else [Group(commands)]

    def remembered(self, line: str) -> Answer:
        """The answer that was foreseen, once; or that to the command now."""
        return self._said.pop(line, None) or self.ask(line)

    def worked(self, line: str) -> bool:
        """Whether the answer to a command was foreseen, and is a good one."""
        return line in self._said and self._said[line].status == 0

    def has_answer(self, line: str) -> bool:
        """Whether the answer to a command was foreseen."""
        return line in self._said

    def said(self, line: str) -> str:
        """The words of an answer that was foreseen. It stays foreseen."""
        return self._said[line].text

    def forget(self, *kinds: Kind) -> None:
        """Ask anew for these kinds."""
        for kind in kinds:
            for way in self._profile.read.get(kind, ()):
                self._said.pop(way.command, None)

    # Records

    def read(self, kind: Kind, required: bool = False) -> list[Any]:
        """Ask in every way that the profile knows, until one works."""
        unread: UnreadableError | None = None
        for way in self._profile.read.get(kind, ()):
            try:
                records = self._asked_in(kind, way)
            except UnreadableError as error:
                unread = unread or error
                continue
            if records is not None:
                self.sources[kind] = [way.command]
                return records
        if unread:
            raise unread
        if required:
            raise TrafficError(
                f"{self._where}: the router has no command for its {kind}; tried {self.asked(kind)}. Add one to read.{kind} of the "
                f"profile (it is {self._profile.name}; docs/profiles.md)."
            )
        return []

    def read_all(self, kind: Kind) -> list[Any]:
        """What all the ways tell that work, the best way last. One that cannot be read is a note where another one can.

        Where none can, it is an error on a command line, whose answers may have got out of step. On a shell each answer has marks of
        its own, so what is wrong in this one can only be what somebody on the network had written into it: he must not be able to keep
        a report from being made.
        """
        found: list[Any] = []
        unread: list[UnreadableError] = []
        worked: list[str] = []
        for way in self._profile.read.get(kind, ()):
            try:
                records = self._asked_in(kind, way)
            except UnreadableError as error:
                unread.append(error)
                continue
            if records is not None:
                found = records + found
                worked.append(way.command)
        if unread and not worked and not self.has_shell:
            raise unread[0]
        self.sources[kind] = worked
        for one in unread:
            self.note(str(one))
        return found

    def read_any(self, kind: Kind) -> list[Any]:
        """What all the ways tell that work, the best way first. One that cannot be read is passed over."""
        found: list[Any] = []
        for way in self._profile.read.get(kind, ()):
            try:
                found += self._asked_in(kind, way) or []
            except UnreadableError:
                continue
        return found

    def signs(self) -> list[Sign]:
        """The findings of the profile that are there to be seen: of each code, the first."""
        if not all(self.has_answer(sign.command) for sign in self._profile.findings):
            self.foresee(["findings"])
        seen: dict[str, Sign] = {}
        for sign in self._profile.findings:
            if sign.code not in seen and sign.pattern.search(self._kept(sign.command).text):
                seen[sign.code] = sign
        return list(seen.values())

    def interfaces_of(self, sign: Sign) -> list[str]:
        """The interfaces that a sign which was seen speaks of: what the group of that name in its pattern fits."""
        found = sign.pattern.compiled.finditer(self._kept(sign.command).text)
        return list(dict.fromkeys(one["interface"] for one in found)) if "interface" in sign.pattern.compiled.groupindex else []

    def known_signs(self) -> tuple[Sign, ...]:
        """The findings that the profile knows."""
        return self._profile.findings

    def answers(self, line: str) -> bool:
        """Whether the router has an answer to a command, if only that there is no such file."""
        said = self._kept(line).text
        return "No such file or directory" in said or (bool(said.strip()) and self.complaint(said) is None)

    def forget_signs(self) -> None:
        """Look anew for them."""
        for sign in self._profile.findings:
            self._said.pop(sign.command, None)

    def read_or_warn(self, kind: Kind) -> list[Any]:
        """Something that is good to know but that counting does not hang on."""
        try:
            return self.read(kind)
        except UnreadableError as error:
            self.note(str(error))
            return []

    def _asked_in(self, kind: Kind, way: Read) -> list[Any] | None:
        """The records, None where this way of asking is not to be had."""
        answer = self._kept(way.command)
        seen, records = self._read.get((kind, way), (None, []))
        if seen is answer:
            return records
        if answer.status and self.complaint(answer.text) in _ABSENT:
            return None
        try:
            records = self.parsed(kind, way, answer.text)
        except UnreadableError:
            if answer.status or self.complaint(answer.text) in _ABSENT:
                return None
            raise
        self._read[kind, way] = answer, records
        return records

    def _kept(self, line: str) -> Answer:
        """The answer to a command, asked once."""
        if line not in self._said:
            self._said[line] = self.ask(line)
        return self._said[line]

    def parsed(self, kind: Kind, way: Read, text: str) -> list[Any]:
        """The records in an answer, read strictly. Raises UnreadableError."""
        try:
            return self._records(kind, way, text)
        except ParseError as error:
            raise UnreadableError(
                f"{self._where}: the answer to `{way.command}` was not understood, so nothing was taken from it: {error}. If the "
                "router always answers like this, it wants a template of its own (docs/profiles.md)."
            ) from error

    def _records(self, kind: Kind, way: Read, text: str) -> list[Any]:
        try:
            return list(parse(kind, way.template, text))
        except ParseError:
            quiet, noise = without_noise(text, self._profile.noise)
            if not noise:
                raise
        records = list(parse(kind, way.template, quiet))
        self._noise += noise
        return records

    def quiet_rule(self, rule: Rule) -> Rule:
        """A line of the router's log may have begun in the blanks at the end of a rule, where matches would stand."""
        if not (rule.extra and any(pattern.fullmatch(rule.extra) for pattern in self._profile.noise)):
            return rule
        self._noise += 1
        return replace(rule, extra="")

    # What to tell

    def note(self, said: str) -> None:
        """Keep something that the user should know, once."""
        if said not in self._unread:
            self._unread.append(said)

    def notes(self) -> list[str]:
        """What the user should know of the reading."""
        noise = f"{self._noise} line(s) of the router's own log stood between its answers and were left out."
        return [*self._unread, *([noise] if self._noise else [])]

    def asked(self, kind: Kind) -> str:
        """The ways of asking for something, for a message."""
        return ", ".join(f"`{way.command}`" for way in self._profile.read.get(kind, ())) or "nothing: the profile has no way"

    def complaint(self, text: str) -> str | None:
        """What kind of complaint an answer is, if any. It is short, or stands before or behind what else was printed."""
        lines = text.strip("\n").split("\n")
        return error_code("\n".join(lines if len(lines) <= 8 else [*lines[:6], *lines[-2:]]), self._profile.errors)

    def quiet(self, text: str) -> str:
        """A text without the router's log."""
        return without_noise(text, self._profile.noise)[0]


def _each(commands: Iterable[str]) -> list[Group]:
    """Groups that ask every command, once."""
    return [Group((command,)) for command in dict.fromkeys(commands)]
