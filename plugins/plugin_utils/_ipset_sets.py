# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of ipset, and what ``ipset list`` prints of them. Private to this collection. Pure.

A listing is read strictly where it holds what was counted, and tolerantly where versions differ: headers have got more words over
the years, and "Number of entries" came late.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counter, Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._blocks import Family
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import is_set_name

LARGEST = 2**64 - 1

_HEADER = re.compile(r"([A-Z][A-Za-z ]{1,30}): ?(.*)")
_MEMBER = re.compile(r"([0-9a-fA-F:.]{2,45}) packets ([0-9]{1,20}) bytes ([0-9]{1,20})")
# We make none with these. An address may vanish, stand for others or be counted in another way there, or have more words.
_STRANGE = frozenset(("timeout", "netmask", "bitmask", "nomatch", "comment", "skbinfo"))


class NotUnderstood(ValueError):
    """A listing that is not read: what is wrong, and where."""


@dataclass(frozen=True)
class AddressSet:
    """A set of ours. ``room`` is for how many addresses it has; ``references`` is how many rules look into it."""

    name: str
    room: int
    elements: Mapping[str, Counter] = field(default_factory=dict)
    references: int = 0

    @property
    def family(self) -> Family:
        """Of which addresses it is."""
        return 4 if self.name[-10] == "4" else 6

    @property
    def direction(self) -> Direction:
        """Which direction it counts."""
        return "download" if self.name[-11] == "D" else "upload"


Sets = Mapping[str, AddressSet]


def without(sets: Sets, rest: Sets) -> list[AddressSet]:
    """What there was in sets, and is not in the rest of them. One that is gone as a whole is not told."""
    return [
        replace(one, elements={host: counter for host, counter in one.elements.items() if host not in rest[name].elements})
        for name, one in sets.items()
        if name in rest
    ]


def read_sets(text: str, chain: str) -> dict[str, AddressSet]:
    """The sets of a chain that a listing shows, each with an end of ours. Raises NotUnderstood.

    One that has our name and is of another kind is somebody else's, and left out.
    """
    found: dict[str, AddressSet] = {}
    for start, lines in _blocks(text.split("\n")):
        one = _set(start, lines, chain)
        if one is None:
            continue
        if one.name in found:
            raise NotUnderstood(f"line {start}: the set {one.name} a second time")
        found[one.name] = one
    return found


def names(text: str) -> set[str]:
    """The names of all sets of which a listing has the end."""
    return {line[5:].rstrip() for line in text.split("\n") if line.startswith("End: ")}


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines of each set, with the number of the first."""
    block: list[str] = []
    start = 1
    for number, line in enumerate(lines, 1):
        if line.startswith("Name: ") and block:
            yield start, block
            block = []
        if not line.strip():
            continue
        if not block:
            if not line.startswith("Name: "):
                raise NotUnderstood(f"line {number} is no beginning of a set: {line[:80]!r}")
            start = number
        block.append(line.rstrip())
    if block:
        yield start, block


def _set(start: int, lines: Sequence[str], chain: str) -> AddressSet | None:
    if "Members:" not in lines or lines[-1] != f"End: {lines[0].removeprefix('Name: ')}":
        raise NotUnderstood(f"line {start}: the listing of a set has no end")
    at, lines = lines.index("Members:"), lines[:-1]
    facts: dict[str, str] = {}
    for number, line in enumerate(lines[:at], start):
        match = _HEADER.fullmatch(line)
        if not match or match[1] in facts:
            raise NotUnderstood(f"line {number} says nothing of a set: {line[:80]!r}")
        facts[match[1]] = match[2]
    name, words = facts["Name"], facts.get("Header", "").split()
    family = "inet6" if name[-10:-9] == "6" else "inet"
    ours = facts.get("Type") == "hash:ip" and words[:2] == ["family", family] and "counters" in words
    if not is_set_name(chain, name) or not ours or _STRANGE & set(words):
        return None
    elements = dict(_member(number, line, family) for number, line in enumerate(lines[at + 1 :], start + at + 1))
    count = len(lines) - at - 1
    if len(elements) < count:
        raise NotUnderstood(f"an address stands twice in the set {name}")
    if _number(facts.get("Number of entries", str(count))) != count:
        raise NotUnderstood(f"the set {name} has {facts['Number of entries']} addresses, and {count} were listed")
    return AddressSet(name, _room(words), elements, _number(facts.get("References", "")))


def _member(number: int, line: str, family: str) -> tuple[str, Counter]:
    match = _MEMBER.fullmatch(line)
    if not match:
        raise NotUnderstood(f"line {number} is no address with its counters: {line[:80]!r}")
    counter = Counter(int(match[2]), int(match[3]))
    try:
        address = ip_address(match[1])
    except ValueError:
        raise NotUnderstood(f"line {number}: {match[1]!r} is no address") from None
    if (address.version == 6) != (family == "inet6"):
        raise NotUnderstood(f"line {number}: {match[1]!r} is an address of the other kind")
    if max(counter.packets, counter.bytes) > LARGEST:
        raise NotUnderstood(f"line {number}: no number that the kernel counts to")
    return str(address), counter


def _room(words: Sequence[str]) -> int:
    return _number(words[words.index("maxelem") + 1] if "maxelem" in words[:-1] else "")


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text):
        raise NotUnderstood(f"{text[:20]!r} is no number")
    return int(text)
