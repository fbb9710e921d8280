# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nft -j`` lists -> tables, or an error that says what is wrong. Private to this collection. Pure.

It is strict: keys and objects that are not known are errors, as are numbers that are none. A rule becomes the words in which
nft prints it as text, as far as rules like ours go; any other becomes its JSON, and so is nobody's that we know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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

Object = Mapping[str, Any]

_PLACE = frozenset({"family", "table", "handle"})
_KEYS: Mapping[str, frozenset[str]] = {
    "table": frozenset({"family", "name", "handle", "flags", "comment"}),
    "counter": _PLACE | {"name", "packets", "bytes", "comment"},
    "set": _PLACE | {"name", "type", "size", "count", "flags", "elem", "stmt", "comment", "policy", "timeout", "gc-interval", "auto-merge"},
    "chain": _PLACE | {"name", "type", "hook", "prio", "policy", "dev", "comment"},
    "rule": _PLACE | {"chain", "expr", "comment", "index"},
}
#: They have no counters.
_OTHERS = frozenset(
    {"map", "flowtable", "quota", "limit", "ct helper", "ct timeout", "ct expectation", "secmark", "synproxy", "tunnel"}
)
_ELEMENT_KEYS = frozenset({"val", "counter", "timeout", "expires", "comment", "limit", "quota", "last"})
_NUMBER_DIGITS = 20


def read_json(text: str) -> list[NftTable]:
    """The tables of a listing. Raises NotUnderstood."""
    try:
        return _tables(text)
    except NotUnderstood:
        raise
    except (ValueError, RecursionError) as error:
        raise NotUnderstood(f"no JSON of nft's: {error}") from None


def _tables(text: str) -> list[NftTable]:
    found = json.loads(
        text, object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
    )
    if not isinstance(found, dict) or set(found) != {"nftables"} or not isinstance(found["nftables"], list):
        raise NotUnderstood("no listing of nft")
    reader = _Reader()
    for entry in found["nftables"]:
        reader.take(entry)
    return reader.tables()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotUnderstood(f"a key twice: {', '.join(key for key, _value in pairs)[:80]}")
    return found


def _integer(text: str) -> int:
    if len(text) > _NUMBER_DIGITS:
        _no_number(text)
    return int(text)


def _no_number(text: str) -> NoReturn:
    raise NotUnderstood(f"{text[:40]!r} is no number of nft's")


class _Reader:
    """Gathers what belongs to each table."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._others: dict[tuple[str, str], list[str]] = {}
        self._take: Mapping[str, Callable[[Object], None]] = {
            "metainfo": self._metainfo,
            "table": self._table,
            "counter": self._counter,
            "set": self._set,
            "chain": self._chain,
            "rule": self._rule,
        }

    def take(self, entry: Any) -> None:
        if not isinstance(entry, dict) or len(entry) != 1:
            raise NotUnderstood(f"no object of nft's: {_shown(entry)}")
        [(what, body)] = entry.items()
        if not isinstance(body, dict):
            raise NotUnderstood(f"no {what}: {_shown(body)}")
        if what in _OTHERS:
            self._others[self._place(body)].append(f"{what} {_text(body, 'name')}")
            return
        if what not in self._take:
            raise NotUnderstood(f"an object that is not known: {what[:40]!r}")
        unknown = set(body) - _KEYS.get(what, frozenset(body))
        if unknown:
            raise NotUnderstood(f"a {what} with what is not known: {', '.join(sorted(unknown))[:80]}")
        self._take[what](body)

    def tables(self) -> list[NftTable]:
        found = []
        for (family, name), parts in self._parts.items():
            chains = {
                chain: NftChain(tuple(rules), base.hook, base.priority, base.policy)
                for chain, (base, rules) in parts["chain"].items()
            }
            found.append(NftTable(family, name, parts["counter"], parts["set"], chains, tuple(self._others[(family, name)])))
        return found

    def _place(self, body: Object) -> tuple[str, str]:
        """The table that something is in. Not all listings name it before: those of counters, of a set or of a chain do not."""
        place = _text(body, "family"), _text(body, "table")
        self._begin(place)
        return place

    def _begin(self, place: tuple[str, str]) -> None:
        self._parts.setdefault(place, {"counter": {}, "set": {}, "chain": {}})
        self._others.setdefault(place, [])

    def _keep(self, what: str, body: Object, value: Any) -> None:
        name, place = _text(body, "name"), self._place(body)
        if name in self._parts[place][what]:
            raise NotUnderstood(f"the {what} {name[:40]!r} a second time")
        self._parts[place][what][name] = value

    def _metainfo(self, body: Object) -> None:
        if body.get("json_schema_version") != 1:
            raise NotUnderstood(f"a listing of another kind: {_shown(body)}")

    def _table(self, body: Object) -> None:
        place = _text(body, "family"), _text(body, "name")
        if place in self._parts:
            raise NotUnderstood("a table that is listed twice")
        self._begin(place)
        flags = body.get("flags", [])
        self._others[place] += [f"flags {_shown(flags)}"] if flags else []

    def _counter(self, body: Object) -> None:
        self._keep("counter", body, _counts(body))

    def _set(self, body: Object) -> None:
        kind = body.get("type")
        size = body.get("size")
        elements = body.get("elem", [])
        if not isinstance(elements, list) or not (size is None or _is_number(size)):
            raise NotUnderstood(f"no set: {_shown(body)}")
        found: dict[str, Counter | None] = {}
        for element in elements:
            key, counter = _element(element)
            if key in found:
                raise NotUnderstood(f"the element {key[:40]!r} a second time")
            found[key] = counter
        self._keep("set", body, NftSet(kind if isinstance(kind, str) else _shown(kind), size, found))

    def _chain(self, body: Object) -> None:
        priority = body.get("prio")
        if not (priority is None or _is_number(priority)):
            raise NotUnderstood(f"no chain: {_shown(body)}")
        base = NftChain((), _optional(body, "hook"), priority, _optional(body, "policy"))
        self._keep("chain", body, (base, []))

    def _rule(self, body: Object) -> None:
        chains = self._parts[self._place(body)]["chain"]
        expressions = body.get("expr")
        if _text(body, "chain") not in chains or not isinstance(expressions, list):
            raise NotUnderstood(f"no rule: {_shown(body)}")
        words: list[str] = []
        counter = None
        for one in expressions:
            if one == {"counter": None}:
                raise NotUnderstood("a counter without its numbers")
            own = one.get("counter") if isinstance(one, dict) and set(one) == {"counter"} else None
            if isinstance(own, dict) and set(own) == {"map"}:
                own = None  # which named counter counts, the map tells
            if isinstance(own, dict):
                counter = _counts(own)
            words.append("counter" if isinstance(own, dict) else _words(one) or _shown(one))
        chains[body["chain"]][1].append(NftRule(" ".join(words), counter, _optional(body, "comment")))


def _element(element: Any) -> tuple[str, Counter | None]:
    """An element is its value, or an object with a value and more."""
    if not (isinstance(element, dict) and set(element) == {"elem"}):
        return _key(element), None
    body = element["elem"]
    if not isinstance(body, dict) or set(body) - _ELEMENT_KEYS or "val" not in body:
        raise NotUnderstood(f"no element: {_shown(element)}")
    counter = body.get("counter")
    if not (counter is None or isinstance(counter, dict)):
        raise NotUnderstood(f"no counter: {_shown(element)}")
    return _key(body["val"]), None if counter is None else _counts(counter)


def _key(value: Any) -> str:
    """The value of an element, in the words of the text form."""
    if isinstance(value, str) and value:
        return canonical(value)
    if _is_number(value):
        return str(value)
    match value:
        case {"prefix": {"addr": str() as address, "len": int() as length}}:
            return f"{address}/{length}"
        case {"range": [first, last]}:
            return f"{_key(first)}-{_key(last)}"
        case {"concat": [*parts]}:
            return " . ".join(map(_key, parts))
        case {"|": [_first, *_others] as parts}:
            return " | ".join(map(_key, parts))
    raise NotUnderstood(f"no element: {_shown(value)}")


def _words(expression: Any) -> str | None:
    """An expression of a rule as text; None for one that no rule of ours has."""
    match expression:
        case {"match": {"op": "==", "left": left, "right": right}} if len(expression["match"]) == 3:
            place, value = _place_words(left), _value_words(right)
            return f"{place} {value}" if place and value else None
        case {"set": {"op": str() as verb, "elem": element, "set": str() as name}}:
            place = _place_words(element)
            statements = expression["set"].get("stmt", [])
            if place is None or statements not in ([], [{"counter": None}]) or set(expression["set"]) - {"op", "elem", "set", "stmt"}:
                return None
            return f"{verb} {name} {{ {place}{' counter' if statements else ''} }}"
        case {"counter": str() as name}:
            return f"counter name {name}"
        case {"return": None}:
            return "return"
        case {"jump": {"target": str() as name}}:
            return f"jump {name}"
        case {"goto": {"target": str() as name}}:
            return f"goto {name}"
    return None


def _place_words(place: Any) -> str | None:
    match place:
        case {"meta": {"key": str() as key}}:
            return key
        case {"payload": {"protocol": str() as protocol, "field": str() as name}}:
            return f"{protocol} {name}"
    return None


def _value_words(value: Any) -> str | None:
    match value:
        case str():
            return value if value.startswith("@") else f'"{value}"'
        case {"prefix": {"addr": str() as address, "len": int() as length}}:
            return f"{address}/{length}"
    return None


def _counts(body: Object) -> Counter:
    packets, size = body.get("packets"), body.get("bytes")
    if not (_is_number(packets) and _is_number(size)):
        raise NotUnderstood(f"no counter: {_shown(body)}")
    return counter_of(packets, size)  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(body: Object, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise NotUnderstood(f"no {key}: {_shown(body)}")
    return value


def _optional(body: Object, key: str) -> str | None:
    return None if body.get(key) is None else _text(body, key)


def _shown(value: Any) -> str:
    """A part of the listing, for a message."""
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
