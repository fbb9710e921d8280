# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nft lists as text -> tables, or an error that names the line. Private to this collection. Pure.

nft breaks lists over lines and nests braces, so this is a reader of words and not a template. It is strict: what it does not
know is an error. What cannot hold a counter (maps, quotas ...) is passed over by its braces, and named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import (
    NftChain,
    NftRule,
    NftSet,
    NftTable,
    NotUnderstood,
    canonical,
    counter_of,
)

_TOKEN = re.compile(r'[ \t]*(?:#[^\n]*)?(?:(\n)|("[^"\n]*")|([{},;])|([^\s{},;"#]+))?')
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100, "out": 100}
#: What ``nft -s`` prints for a rule's own counter. In braces it says what an element is given.
_NO_NUMBERS = re.compile(r"(?<!\S)counter(?!\S)(?! (?:packets|name)(?!\S))")
_BRACES = re.compile(r"\{[^{}]*\}")
_DEEPEST = 16
_SET_WORDS = frozenset({"flags", "timeout", "gc-interval", "policy", "auto-merge", "comment", "counter", "limit", "quota", "last", "ct"})
_ELEMENT_WORDS = frozenset({"counter", "timeout", "expires", "comment", "limit", "quota", "last", "ct"})


@dataclass(frozen=True)
class _Token:
    """A word, a string with its quotes, one of ``{},;``, or the end of a line."""

    text: str
    line: int


END = _Token("", 0)


def read_text(text: str) -> list[NftTable]:
    """The tables of a listing. Raises NotUnderstood."""
    return _Reader(list(_tokens(text))).tables()


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or found.end() == at:
            raise NotUnderstood(f"line {line}: {text[at : at + 40]!r}")
        word = next((group for group in found.groups() if group is not None), None)
        if word is not None:
            yield _Token(word, line)
        line += word == "\n"
        at = found.end()


class _Reader:
    """Reads tokens from the first to the last."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def tables(self) -> list[NftTable]:
        found: list[NftTable] = []
        while self._skip_lines() is not END:
            self._expect("table")
            found.append(self._table(self._word(), self._name()))
            if any((one.family, one.name) == (found[-1].family, found[-1].name) for one in found[:-1]):
                self._refuse("a table that is listed twice")
        return found

    # Tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else END

    def _next(self) -> _Token:
        token = self._peek()
        if token is END:
            self._refuse("the listing ends too early")
        self._at += 1
        return token

    def _skip_lines(self) -> _Token:
        while self._peek().text in ("\n", ";"):
            self._at += 1
        return self._peek()

    def _expect(self, text: str) -> None:
        if self._next().text != text:
            self._at -= 1
            self._refuse(f"{text!r} expected")

    def _word(self) -> str:
        text = self._next().text
        if text in ("\n", "{", "}", ",", ";") or text.startswith('"'):
            self._at -= 1
            self._refuse("a word expected")
        return text

    def _name(self) -> str:
        """A name, which some versions put into quotes."""
        if self._peek().text.startswith('"'):
            return self._next().text[1:-1]
        return self._word()

    def _number(self) -> int:
        word = self._word()
        if not (word.isascii() and word.isdigit() and len(word) <= 20):
            self._at -= 1
            self._refuse("a number expected")
        return int(word)

    def _counts(self) -> Counter:
        """What follows the word ``counter``."""
        self._expect("packets")
        packets = self._number()
        self._expect("bytes")
        try:
            return counter_of(packets, self._number())
        except NotUnderstood as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> NoReturn:
        token = self._peek()
        if token is END:
            raise NotUnderstood(f"after the last line: {why}")
        raise NotUnderstood(f"line {token.line}: {why} at {token.text[:80]!r}")

    def _statement(self) -> list[_Token]:
        """The tokens up to the end of the line, or to the brace that closes the block. Braces may go over several lines."""
        found: list[_Token] = []
        depth = 0
        while depth or self._peek().text not in ("\n", "}"):
            token = self._next()
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth > _DEEPEST:
                self._refuse("braces too deep")
            if token.text != "\n":
                found.append(token)
        return found

    def _blocks(self, read: Callable[[str], None]) -> None:
        """Each statement of a block in braces; ``read`` is given its first word."""
        self._expect("{")
        while self._skip_lines().text != "}":
            read(self._word())
        self._next()

    # Tables

    def _table(self, family: str, name: str) -> NftTable:
        counters: dict[str, Counter] = {}
        sets: dict[str, NftSet] = {}
        chains: dict[str, NftChain] = {}
        others: list[str] = []

        def read(what: str) -> None:
            if what == "counter":
                self._once(counters, self._name(), self._named_counter)
            elif what == "set":
                self._once(sets, self._name(), self._set)
            elif what == "chain":
                self._once(chains, self._name(), self._chain)
            else:
                others.append(self._other(what))

        self._blocks(read)
        return NftTable(family, name, counters, sets, chains, tuple(others))

    def _once(self, found: dict[str, Any], name: str, read: Callable[[], Any]) -> None:
        if name in found:
            self._refuse(f"{name!r} a second time")
        found[name] = read()

    def _other(self, what: str) -> str:
        """Something without counters: ``flags``, a comment, a map and the like. Its words before the brace."""
        words = [what]
        for token in self._statement():
            if token.text == "{":
                break
            words.append(token.text)
        return " ".join(words)

    def _named_counter(self) -> Counter:
        found: list[Counter] = []

        def read(word: str) -> None:
            if word == "comment":
                self._statement()
            elif word == "packets" and not found:
                self._at -= 1
                found.append(self._counts())
            else:
                self._refuse(f"{word!r} in a counter")

        self._blocks(read)
        return found[0] if found else self._refuse("a counter that counts nothing")

    # Sets

    def _set(self) -> NftSet:
        kinds: list[str] = []
        sizes: list[int] = []
        elements: dict[str, Counter | None] = {}

        def read(word: str) -> None:
            if word in ("type", "typeof"):
                words = [token.text for token in self._statement()]
                kinds.append(" ".join(words if word == "type" else [word, *words]))
            elif word == "size":
                sizes.append(self._number())
            elif word == "elements":
                self._expect("=")
                self._elements(elements)
            elif word in _SET_WORDS:
                self._statement()
            else:
                self._refuse(f"{word!r} in a set")

        self._blocks(read)
        if len(kinds) != 1 or len(sizes) > 1:
            self._refuse("a set without a type, or with two sizes")
        return NftSet(kinds[0], sizes[0] if sizes else None, elements)

    def _elements(self, found: dict[str, Counter | None]) -> None:
        self._expect("{")
        while True:
            self._element(found)
            if self._skip_lines().text == "}":
                break
            self._expect(",")
            self._skip_lines()
        self._next()

    def _element(self, found: dict[str, Counter | None]) -> None:
        key: list[str] = []
        while self._skip_lines().text not in (",", "}", "{") and self._peek().text not in _ELEMENT_WORDS:
            key.append(self._next().text.strip('"'))
        name = canonical(" ".join(key))
        if not key or name in found:
            self._refuse("an element twice, or none")
        found[name] = None
        while self._skip_lines().text not in (",", "}", "{"):
            word = self._next().text
            if word == "counter" and found[name] is None:
                found[name] = self._counts()
            elif word in ("timeout", "expires", "comment"):
                self._next()
            elif word in ("limit", "quota", "last"):
                while self._peek().text not in (",", "}", "{", "\n") and self._peek().text not in _ELEMENT_WORDS:
                    self._next()
            else:
                self._refuse(f"{word!r} in an element")

    # Chains

    def _chain(self) -> NftChain:
        rules: list[NftRule] = []
        base: list[NftChain] = []

        def read(word: str) -> None:
            self._at -= 1
            tokens = [token.text for token in self._statement()]
            if word == "type" and "hook" in tokens and not (base or rules):
                base.append(self._base(tokens))
            elif not (word == "comment" and len(tokens) == 2):
                rules.append(self._rule(tokens))

        self._blocks(read)
        start = base[0] if base else NftChain()
        return NftChain(tuple(rules), start.hook, start.priority, start.policy)

    def _base(self, tokens: list[str]) -> NftChain:
        """``type filter hook forward priority filter - 5; policy accept;``"""
        line = " ".join(tokens)
        found = re.fullmatch(r"type \S+ hook (\S+)(?: devices? .+?)? priority (\S+?)(?: ([+-]) (\d{1,9}))? ;(?: policy (\S+) ;)?", line)
        if not found:
            self._refuse("a hook that is not understood")
        hook, name, sign, offset, policy = found.groups()
        if name not in _PRIORITIES and not re.fullmatch(r"-?\d{1,10}", name):
            self._refuse("a priority that is not understood")
        number = _PRIORITIES[name] if name in _PRIORITIES else int(name)
        return NftChain((), hook, number + int(f"{sign}{offset}" if sign else 0), policy)

    def _rule(self, tokens: list[str]) -> NftRule:
        if "counter" in tokens and _NO_NUMBERS.search(_BRACES.sub("", " ".join(word for word in tokens if not word.startswith('"')))):
            self._refuse("a counter without its numbers")
        comment = tokens[-1][1:-1] if len(tokens) > 2 and tokens[-2] == "comment" else None
        words: list[str] = []
        counters: list[Counter] = []
        rest = iter(tokens if comment is None else tokens[:-2])
        for token in rest:
            if words[-2:] == ["counter", "name"] and token.startswith('"'):
                token = token[1:-1]
            if words[-1:] == ["counter"] and token == "packets":
                numbers = [next(rest, "") for _number in range(3)]
                counters.append(self._rule_counts(numbers))
            elif token == "," and words:
                words[-1] += ","
            else:
                words.append(token)
        return NftRule(" ".join(words), counters[-1] if counters else None, comment)

    def _rule_counts(self, words: Sequence[str]) -> Counter:
        packets, name, size = words
        if name != "bytes" or not re.fullmatch(r"\d{1,20} \d{1,20}", f"{packets} {size}", re.ASCII):
            self._refuse("a rule's counter that is not understood")
        return counter_of(int(packets), int(size))
