# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""getopt_long as iptables calls it: options and other words in any order, in the order given.

Worth doing exactly, because a command line that was cut off is still parsed: ``-nvx`` clusters, ``-LTRAFFIC``, long
options shortened to any unambiguous prefix, and the odd word that an error message quotes.
"""

from __future__ import annotations

from dataclasses import dataclass

NONE, REQUIRED, OPTIONAL = 0, 1, 2
UNKNOWN, MISSING, WORD, END = "?", ":", "word", "end"


@dataclass(frozen=True)
class Option:
    """``name`` is a letter, a long name, or one of UNKNOWN, MISSING, WORD and END."""

    name: str
    value: str | None = None


class Getopt:
    """Reads one option at a time; ``index`` is what C calls optind, and callers may move it."""

    def __init__(self, argv: list[str], short: dict[str, int], long: dict[str, tuple[str, int]]) -> None:
        self.argv = argv
        self.index = 1
        self._short = short
        self._long = dict(long)
        self._cluster = ""

    def add_long(self, names: dict[str, int]) -> None:
        self._long.update({name: (name, has_value) for name, has_value in names.items()})

    @property
    def previous(self) -> str:
        """The word that iptables quotes in a complaint."""
        return self.argv[self.index - 1]

    def peek_word(self) -> str | None:
        """The next word when it is not an option: an optional rule number or chain."""
        if self.index < len(self.argv) and self.argv[self.index][:1] not in ("-", "!"):
            return self.argv[self.index]
        return None

    def take_word(self) -> str | None:
        word = self.peek_word()
        if word is not None:
            self.index += 1
        return word

    def next(self) -> Option:
        if not self._cluster:
            if self.index >= len(self.argv):
                return Option(END)
            word = self.argv[self.index]
            if word == "--":
                self.index += 1
                return Option(END)
            if not word.startswith("-") or word == "-":
                self.index += 1
                return Option(WORD, word)
            if word.startswith("--"):
                self.index += 1
                return self._next_long(word[2:])
            self._cluster = word[1:]
        return self._next_short()

    def _next_short(self) -> Option:
        letter, self._cluster = self._cluster[0], self._cluster[1:]
        if not self._cluster:
            self.index += 1
        has_value = self._short.get(letter)
        if has_value is None:
            return Option(UNKNOWN)
        if has_value == NONE:
            return Option(letter)
        if self._cluster:
            value, self._cluster = self._cluster, ""
            self.index += 1
            return Option(letter, value)
        return Option(letter) if has_value == OPTIONAL else self._required(letter)

    def _next_long(self, text: str) -> Option:
        name, equals, value = text.partition("=")
        found = self._find_long(name)
        if found is None:
            return Option(UNKNOWN)
        letter, has_value = found
        if equals:
            return Option(letter, value) if has_value != NONE else Option(UNKNOWN)
        return self._required(letter) if has_value == REQUIRED else Option(letter)

    def _find_long(self, name: str) -> tuple[str, int] | None:
        if name in self._long:
            return self._long[name]
        candidates = {option for long, option in self._long.items() if long.startswith(name)}
        return candidates.pop() if len(candidates) == 1 else None

    def _required(self, letter: str) -> Option:
        if self.index >= len(self.argv):
            return Option(MISSING)
        self.index += 1
        return Option(letter, self.argv[self.index - 1])
