# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template found in a text -> typed records of one kind, or a complaint about a row. Private to this collection. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    Chain,
    InterfaceCounters,
    Lease,
    Neighbor,
    Program,
    Rule,
    System,
)

_LONGEST_EXCERPT = 120
_LARGEST_COUNTER = 2**64 - 1
_ROUNDED = re.compile(r"[0-9]+(?:\.[0-9]+)?[kKMGTPE]i?")
_MAC = re.compile(r"[0-9a-f]{1,2}(?:([:-])[0-9a-f]{1,2})(?:\1[0-9a-f]{1,2}){4}")
_BARE_MAC = re.compile(r"[0-9a-f]{12}")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?:/(?:3[0-2]|[12]?[0-9]|{_OCTET}(?:\.{_OCTET}){{3}}))?")
_DIGITS = re.compile(r"[0-9./]+")
_NO_MAC = "00:00:00:00:00:00"
_NO_NAME = frozenset({"", "*", "?"})
_ADDRESS_AND_MORE = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}[A-Za-z_-]")
_WILDCARDS = frozenset({"", "*", "any", "anywhere", "0.0.0.0/0", "::/0"})
_INCOMPLETE = frozenset({"incomplete", "failed", "none", "proxy", "from_interface", "*"})


@dataclass(frozen=True)
class Row:
    """What a template recorded, and the line on which it did."""

    values: Mapping[str, str]
    line: int

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def refuse(self, detail: str, code: str = "bad_value") -> NoReturn:
        raise BadRow(self.line, detail, code)


class BadRow(Exception):
    def __init__(self, line: int, detail: str, code: str) -> None:
        super().__init__(detail)
        self.line = line
        self.detail = detail
        self.code = code


def excerpt(line: str) -> str:
    """A line for a message, cut when it is long."""
    return line if len(line) <= _LONGEST_EXCERPT else line[: _LONGEST_EXCERPT - 3] + "..."


# ------------------------------------------------------------------------------------------------------- values


def _ip(row: Row, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        row.refuse(f"{excerpt(text)!r} is not an IP address")


def _mac(row: Row, text: str) -> str | None:
    lower = text.lower()
    if lower in {"", "*"}:
        return None
    if _BARE_MAC.fullmatch(lower):
        lower = ":".join(re.findall("..", lower))
    if not _MAC.fullmatch(lower):
        row.refuse(f"{excerpt(text)!r} is not a MAC address")
    mac = ":".join(octet.zfill(2) for octet in re.split("[:-]", lower))
    return None if mac == _NO_MAC else mac


def _name(text: str) -> str | None:
    name = text.strip()
    return None if name in _NO_NAME else name.replace("\t", "\\t")


def _count(row: Row, text: str) -> int:
    if not text or _ROUNDED.fullmatch(text):
        row.refuse("no exact counter", "rounded_counters")
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= _LARGEST_COUNTER):
        row.refuse(f"{excerpt(text)!r} is not a counter")
    return int(text)


def _number(row: Row, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        row.refuse(f"{excerpt(text)!r} is not a number")
    return int(text)


def _optional(text: str) -> str | None:
    return None if text in _WILDCARDS else text


# ------------------------------------------------------------------------------------------------------ records


def _neighbors(rows: Iterable[Row]) -> list[Neighbor]:
    return [Neighbor(_host(row)[0], _mac(row, row["MAC"]), row["INTERFACE"] or None, _is_complete(row)) for row in rows]


def _host(row: Row) -> tuple[str | None, str | None]:
    """The address and the name of a row. Some devices print either of them in one column: the value HOST."""
    if row["IP"]:
        return _ip(row, row["IP"]), _name(row["NAME"])
    try:
        return str(ipaddress.ip_address(row["HOST"])), _name(row["NAME"])
    except ValueError:
        return None, _name(row["HOST"])


def _is_complete(row: Row) -> bool:
    if re.fullmatch("0x[0-9a-fA-F]{1,8}", row["FLAGS"]):
        return bool(int(row["FLAGS"], 16) & 0x2)
    return _INCOMPLETE.isdisjoint(row["STATE"].strip("<>()").lower().split(","))


def _leases(rows: Iterable[Row]) -> list[Lease]:
    """One for each address: the value IP may hold several, with or without a prefix length."""
    leases = []
    for row in rows:
        for address in row["IP"].split() or [""]:
            ip, name = _host(Row({**row.values, "IP": address.partition("/")[0]}, row.line))
            leases.append(Lease(ip, _mac(row, row["MAC"]), name))
    return leases


def _routes(rows: Iterable[Row]) -> list[str]:
    return [row["INTERFACE"] or row.refuse("a default route without an interface") for row in rows]


def _interfaces(rows: Iterable[Row]) -> list[InterfaceCounters]:
    """A row has both counters, or one of them: some devices print two tables, one for each direction."""
    found: dict[str, dict[str, int]] = {}
    lines: dict[str, Row] = {}
    for row in rows:
        counters = found.setdefault(row["INTERFACE"] or row.refuse("no interface"), {})
        lines[row["INTERFACE"]] = row
        for value in ("RECEIVED", "SENT"):
            if row[value] and value in counters:
                row.refuse("an interface that is listed twice")
            if row[value]:
                counters[value] = _count(row, row[value])
    for interface, counters in found.items():
        if len(counters) < 2:
            lines[interface].refuse("an interface without one of its two counters")
    return [InterfaceCounters(name, counters["RECEIVED"], counters["SENT"]) for name, counters in found.items()]


def _addresses(rows: Iterable[Row]) -> list[Address]:
    return [Address(row["INTERFACE"], _ip(row, row["IP"]), _prefix(row)) for row in rows]


def _prefix(row: Row) -> int | None:
    """The value PREFIX, which may be a mask in dots."""
    if not row["PREFIX"]:
        return None
    try:
        return ipaddress.ip_network(f"{'::' if ':' in row['IP'] else '0.0.0.0'}/{row['PREFIX']}").prefixlen
    except ValueError:
        row.refuse(f"{excerpt(row['PREFIX'])!r} is not a prefix length or a mask")


def _uptime(rows: Sequence[Row]) -> list[int]:
    units = {"YEARS": 31536000, "WEEKS": 604800, "DAYS": 86400, "HOURS": 3600, "MINUTES": 60, "SECONDS": 1}
    seconds = [sum(_number(row, row[unit] or "0") * size for unit, size in units.items()) for row in rows]
    if len(seconds) > 1:
        rows[1].refuse("a second uptime")
    return seconds


def _systems(rows: Iterable[Row]) -> list[System]:
    """One for each row that tells anything at all."""
    told = ([row[value].strip() or None for value in ("NAME", "VERSION", "MODEL", "KERNEL")] for row in rows)
    return [System(*values) for values in told if any(values)]


def _programs(rows: Iterable[Row]) -> list[Program]:
    return [Program(row["PROGRAM"], row["VERSION"], row["BACKEND"] or None) for row in rows]


def _chains(rows: Iterable[Row]) -> list[Chain]:
    found: list[tuple[Row, list[Rule]]] = []
    for row in rows:
        if row["CHAIN"]:
            found.append((row, []))
        elif found:
            found[-1][1].append(_rule(row))
        else:
            row.refuse("a rule before any chain")
    return [Chain(row["CHAIN"], _references(row), row["POLICY"] or None, tuple(rules)) for row, rules in found]


def _references(row: Row) -> int | None:
    """How many jumps lead to a user's chain. Some iptables-nft say -1 when they cannot tell."""
    return None if row["REFERENCES"] in {"", "-1"} else _number(row, row["REFERENCES"])


def _rule(row: Row) -> Rule:
    return Rule(
        packets=_count(row, row["PACKETS"]),
        bytes=_count(row, row["BYTES"]),
        target=row["TARGET"] or None,
        protocol=None if row["PROTOCOL"] in {"all", "0"} else row["PROTOCOL"],
        in_interface=_optional(row["IN"]),
        out_interface=_optional(row["OUT"]),
        source=_place(row, row["SOURCE"]),
        destination=_place(row, row["DESTINATION"]),
        extra=" ".join(word for word in (row["OPT"].strip("-") and row["OPT"], row["EXTRA"].strip()) if word),
    )


def _place(row: Row, text: str) -> str | None:
    """An address or a network of a rule, perhaps with a mask or negated. Without -n it can be a name."""
    if text in _WILDCARDS:
        return None
    plain = text.removeprefix("!")
    glued = _ADDRESS_AND_MORE.match(plain)  # a line of the router's log that began at its end
    if glued or (":" in plain and not _is_network(plain)) or (_DIGITS.fullmatch(plain) and not _IPV4.fullmatch(plain)):
        row.refuse(f"{excerpt(text)!r} is neither an address nor a network")
    return text


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class KindOfRecord:
    needs: tuple[str, ...]  # Values that a template must define; "IP|HOST" stands for one of them
    build: Callable[[list[Row]], list[Any]]
    may_be_empty: bool = False

    def lacks(self, values: frozenset[str]) -> str | None:
        return next((need for need in self.needs if values.isdisjoint(need.split("|"))), None)


KINDS: Mapping[str, KindOfRecord] = {
    "neighbors": KindOfRecord(("IP|HOST", "MAC"), _neighbors, may_be_empty=True),
    "names": KindOfRecord(("IP|HOST", "NAME|HOST"), _leases, may_be_empty=True),
    "routes": KindOfRecord(("INTERFACE",), _routes, may_be_empty=True),
    "routes6": KindOfRecord(("INTERFACE",), _routes, may_be_empty=True),
    "interfaces": KindOfRecord(("INTERFACE", "RECEIVED", "SENT"), _interfaces),
    "addresses": KindOfRecord(("INTERFACE", "IP"), _addresses),
    "uptime": KindOfRecord(("WEEKS|DAYS|HOURS|MINUTES|SECONDS",), _uptime),
    "system": KindOfRecord(("NAME|VERSION|MODEL|KERNEL",), _systems, may_be_empty=True),
    "programs": KindOfRecord(("PROGRAM", "VERSION"), _programs),
    "chains": KindOfRecord(("CHAIN", "PACKETS", "BYTES"), _chains),
}
