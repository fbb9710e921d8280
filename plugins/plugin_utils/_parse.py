# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that a router printed -> typed records, or an error that names the line. Private to this collection.

The texts are described by TextFSM templates, read strictly: a line that a template does not know is an error. Nothing
here reads anything but template files.

Two things are ours and not TextFSM's. After the last line a template is shown one more line, the single character
``\\x04``, which no router can print (``visible`` escapes it): a state in which an output may end says so with a rule
``^\\x04``, and in every other state the end is an error like any unknown line. And ``-> Error "rounded_counters"``
gives an error its code.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NoReturn, overload

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    Chain,
    InterfaceCounters,
    Lease,
    Neighbor,
    Pattern,
    Program,
    Rule,
    System,
    TrafficError,
)

try:
    import textfsm
except ImportError:  # ansible-test imports every file on a Python that has none of our libraries
    HAS_TEXTFSM = False
else:
    HAS_TEXTFSM = True

#: Stands where a noise line stood, so that line numbers stay those of the input. White space that no device prints.
NOISE_LINE = "\t \t \t"
#: Shown to a template after the last line.
END_OF_OUTPUT = "\x04"

_LONGEST_EXCERPT = 120
_LONGEST_LINE = 32768
_LONGEST_MESSAGE = 1000
_LARGEST_COUNTER = 2**64 - 1
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line and paragraph separators, direction marks
    "\ud800-\udfff]"  # halves of a pair, which cannot be written to any file
)
_ROUNDED = re.compile(r"[0-9]+(?:\.[0-9]+)?[KMGTPE]i?")
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
_FSM_ERROR = re.compile(r'Error: "?(\w+)"?\. Rule Line: ')

_EXPLANATIONS = {
    "unknown_line": "line {line} does not fit the template {template}",
    "truncated": "the output ends too early for the template {template}, after line {line}",
    "empty": "the output is empty, which the template {template} does not allow",
    "no_records": "the output holds no {detail} that the template {template} could read",
    "rounded_counters": "line {line}: no exact count can be had from rounded counters or none (template {template})",
    "bad_value": "line {line}: {detail} (template {template})",
}


class ParseError(TrafficError):
    """A text that its template does not describe. ``line`` is that of the input, counted from 1."""

    def __init__(self, code: str, template: str, line: int, text: str, detail: str = "") -> None:
        known = _EXPLANATIONS.get(code, "line {line}: {detail} (template {template})")
        reason = known.format(line=line, template=template, detail=detail or code)
        super().__init__(f"{reason}: {_excerpt(text)!r}" if text else reason)
        self.code = code
        self.template = template
        self.line = line


Kind = Literal[
    "neighbors", "names", "routes", "routes6", "interfaces", "addresses", "uptime", "system", "programs", "chains"
]


def visible(text: str) -> str:
    """``text`` with plain line ends, and every other character that a terminal or str.splitlines obeys written out.

    Carriage returns around a line end belong to it. Line feeds and tabs stay, everything else becomes ``\\x1b`` and
    the like.
    """
    if "\r" in text:
        text = "\n".join(line.strip("\r") for line in text.split("\n"))
    return _HIDDEN.sub(_escape, text)


def without_noise(text: str, patterns: Sequence[Pattern | re.Pattern[str]]) -> tuple[str, int]:
    """``text`` without the lines that are noise as a whole, and how many there were. Line numbers do not change."""
    lines = text.split("\n")
    noisy = [number for number, line in enumerate(lines) if _fits(line, patterns)]
    for number in noisy:
        lines[number] = NOISE_LINE
    return "\n".join(lines), len(noisy)


def error_code(text: str, patterns: Mapping[str, Sequence[Pattern | re.Pattern[str]]]) -> str | None:
    """What kind of error message ``text`` holds: the code of the first line that is one as a whole, or None.

    A wording may be of two lines: nft tells what is missing in the second one.
    """
    lines = visible(text).split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if code := _code_of(line, patterns):
            return _code_of(f"{line}\n{following}", patterns) or code
    return None


def _code_of(message: str, patterns: Mapping[str, Sequence[Pattern | re.Pattern[str]]]) -> str | None:
    return next((code for code, wordings in patterns.items() if _fits(message, wordings)), None)


def _fits(line: str, patterns: Sequence[Pattern | re.Pattern[str]]) -> bool:
    """Whether the whole line fits one of the patterns. Messages are short: a long line is somebody's attempt."""
    return len(line) <= _LONGEST_MESSAGE and any(pattern.fullmatch(line.strip()) for pattern in patterns)


@overload
def parse(kind: Literal["neighbors"], template: Path, text: str) -> list[Neighbor]: ...
@overload
def parse(kind: Literal["names"], template: Path, text: str) -> list[Lease]: ...
@overload
def parse(kind: Literal["routes", "routes6"], template: Path, text: str) -> list[str]: ...
@overload
def parse(kind: Literal["interfaces"], template: Path, text: str) -> list[InterfaceCounters]: ...
@overload
def parse(kind: Literal["addresses"], template: Path, text: str) -> list[Address]: ...
@overload
def parse(kind: Literal["uptime"], template: Path, text: str) -> list[int]: ...
@overload
def parse(kind: Literal["system"], template: Path, text: str) -> list[System]: ...
@overload
def parse(kind: Literal["programs"], template: Path, text: str) -> list[Program]: ...
@overload
def parse(kind: Literal["chains"], template: Path, text: str) -> list[Chain]: ...


def parse(kind: Kind, template: Path, text: str) -> list[Any]:
    """The records of one kind that ``text`` holds, read with a template. Raises ParseError, and skips nothing.

    ``routes`` (and ``routes6``, of IPv6) are the interfaces of the default routes, in order; ``uptime`` is one number of seconds.
    """
    description = load_template(template)
    lacking = _KINDS[kind].lacks(description.values)
    if lacking:
        raise TrafficError(f"{template} defines no Value {lacking.replace('|', ' or ')}, which a template for {kind} needs")
    shown = visible(text)
    lines = shown.removesuffix("\n").split("\n")
    rows = _rows(description, lines)
    if kind == "chains" and not shown.endswith("\n") and _is_cut_rule(rows, lines):
        raise ParseError("truncated", description.name, len(lines), lines[-1])
    try:
        records = _KINDS[kind].build(rows)
    except _BadRow as bad:
        raise ParseError(bad.code, description.name, bad.line, lines[bad.line - 1], bad.detail) from None
    if not records and not _KINDS[kind].may_be_empty:
        raise ParseError("no_records", description.name, len(lines), "", kind)
    return records


# ---------------------------------------------------------------------------------------------------- templates


@dataclass(frozen=True)
class Description:
    """A compiled template."""

    name: str
    fsm: Any
    header: tuple[str, ...]
    values: frozenset[str]
    names_its_ends: bool


@dataclass(frozen=True)
class _Row:
    """What a template recorded, and the line on which it did."""

    values: Mapping[str, str]
    line: int

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def refuse(self, detail: str, code: str = "bad_value") -> NoReturn:
        raise _BadRow(self.line, detail, code)


class _BadRow(Exception):
    def __init__(self, line: int, detail: str, code: str) -> None:
        super().__init__(detail)
        self.line = line
        self.detail = detail
        self.code = code


@cache
def load_template(path: Path) -> Description:
    """A template, compiled once. Worth calling in the process that Ansible forks its workers from."""
    if not HAS_TEXTFSM:
        raise TrafficError("the Python package textfsm is missing on the control node: pip install textfsm")
    try:
        source = path.read_text(encoding="utf-8")
        fsm = textfsm.TextFSM(StringIO(source))
    except (OSError, UnicodeDecodeError) as error:
        raise TrafficError(f"the template {path} cannot be read: {error}") from None
    except (textfsm.TextFSMTemplateError, re.error) as error:
        raise TrafficError(f"{path} is not a TextFSM template: {error}") from None
    _refuse_lenient(path, fsm)
    header = tuple(fsm.header)
    return Description(path.name, fsm, header, frozenset(header), "\\x04" in source)


def _refuse_lenient(path: Path, fsm: Any) -> None:
    """A template must not be able to skip a line or a record without a word."""
    for option in ("List", "Required"):
        if fsm.GetValuesByAttrib(option):
            raise TrafficError(f"{path}: Values with the option {option} cannot be used here")
    for state, rules in fsm.states.items():
        if state != "EOF" and not (rules and rules[-1].line_op == "Error" and rules[-1].match.strip() == "^."):
            raise TrafficError(f"{path}: the state {state} must end in the rule '^. -> Error', or it skips lines")


def _rows(description: Description, lines: Sequence[str]) -> list[_Row]:
    """Feed the lines one by one, so that errors and rows know their line."""
    description.fsm.Reset()
    rows: list[_Row] = []
    last = len(lines)
    for number, line in enumerate([*lines, END_OF_OUTPUT], start=1):
        if line == NOISE_LINE or (number > last and not description.names_its_ends):
            continue
        if len(line) > _LONGEST_LINE:
            raise _unknown_line(description, lines, number, "")
        try:
            found = description.fsm.ParseText(line + "\n", eof=False)
        except textfsm.TextFSMError as error:
            raise _unknown_line(description, lines, number, str(error)) from None
        rows += _new_rows(description, found[len(rows) :], min(number, last))
    if not description.names_its_ends:
        found = description.fsm.ParseText("", eof=True)
        rows += _new_rows(description, found[len(rows) :], last)
    return rows


def _new_rows(description: Description, found: Sequence[Sequence[str]], line: int) -> list[_Row]:
    return [_Row(dict(zip(description.header, values, strict=True)), line) for values in found]


def _unknown_line(description: Description, lines: Sequence[str], number: int, message: str) -> ParseError:
    if number > len(lines):
        filled = [at for at, line in enumerate(lines, start=1) if line.strip()]
        if not filled:
            return ParseError("empty", description.name, 1, "")
        return ParseError("truncated", description.name, filled[-1], lines[filled[-1] - 1])
    code = _FSM_ERROR.match(message)
    return ParseError(code[1] if code else "unknown_line", description.name, number, lines[number - 1])


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _excerpt(line: str) -> str:
    return line if len(line) <= _LONGEST_EXCERPT else line[: _LONGEST_EXCERPT - 3] + "..."


# ------------------------------------------------------------------------------------------------------- values


def _ip(row: _Row, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        row.refuse(f"{_excerpt(text)!r} is not an IP address")


def _mac(row: _Row, text: str) -> str | None:
    lower = text.lower()
    if lower in {"", "*"}:
        return None
    if _BARE_MAC.fullmatch(lower):
        lower = ":".join(re.findall("..", lower))
    if not _MAC.fullmatch(lower):
        row.refuse(f"{_excerpt(text)!r} is not a MAC address")
    mac = ":".join(octet.zfill(2) for octet in re.split("[:-]", lower))
    return None if mac == _NO_MAC else mac


def _name(text: str) -> str | None:
    name = text.strip()
    return None if name in _NO_NAME else name.replace("\t", "\\t")


def _count(row: _Row, text: str) -> int:
    if not text or _ROUNDED.fullmatch(text):
        row.refuse("no exact counter", "rounded_counters")
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= _LARGEST_COUNTER):
        row.refuse(f"{_excerpt(text)!r} is not a counter")
    return int(text)


def _number(row: _Row, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        row.refuse(f"{_excerpt(text)!r} is not a number")
    return int(text)


def _optional(text: str) -> str | None:
    return None if text in _WILDCARDS else text


# ------------------------------------------------------------------------------------------------------ records


def _neighbors(rows: Iterable[_Row]) -> list[Neighbor]:
    return [Neighbor(_host(row)[0], _mac(row, row["MAC"]), row["INTERFACE"] or None, _is_complete(row)) for row in rows]


def _host(row: _Row) -> tuple[str | None, str | None]:
    """The address and the name of a row. Some devices print either of them in one column: the value HOST."""
    if row["IP"]:
        return _ip(row, row["IP"]), _name(row["NAME"])
    try:
        return str(ipaddress.ip_address(row["HOST"])), _name(row["NAME"])
    except ValueError:
        return None, _name(row["HOST"])


def _is_complete(row: _Row) -> bool:
    if re.fullmatch("0x[0-9a-fA-F]{1,8}", row["FLAGS"]):
        return bool(int(row["FLAGS"], 16) & 0x2)
    return _INCOMPLETE.isdisjoint(row["STATE"].strip("<>()").lower().split(","))


def _leases(rows: Iterable[_Row]) -> list[Lease]:
    """One for each address: the value IP may hold several, with or without a prefix length."""
    leases = []
    for row in rows:
        for address in row["IP"].split() or [""]:
            ip, name = _host(_Row({**row.values, "IP": address.partition("/")[0]}, row.line))
            leases.append(Lease(ip, _mac(row, row["MAC"]), name))
    return leases


def _routes(rows: Iterable[_Row]) -> list[str]:
    return [row["INTERFACE"] or row.refuse("a default route without an interface") for row in rows]


def _interfaces(rows: Iterable[_Row]) -> list[InterfaceCounters]:
    """A row has both counters, or one of them: some devices print two tables, one for each direction."""
    found: dict[str, dict[str, int]] = {}
    lines: dict[str, _Row] = {}
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


def _addresses(rows: Iterable[_Row]) -> list[Address]:
    return [Address(row["INTERFACE"], _ip(row, row["IP"]), _prefix(row)) for row in rows]


def _prefix(row: _Row) -> int | None:
    """The value PREFIX, which may be a mask in dots."""
    if not row["PREFIX"]:
        return None
    try:
        return ipaddress.ip_network(f"{'::' if ':' in row['IP'] else '0.0.0.0'}/{row['PREFIX']}").prefixlen
    except ValueError:
        row.refuse(f"{_excerpt(row['PREFIX'])!r} is not a prefix length or a mask")


def _uptime(rows: Sequence[_Row]) -> list[int]:
    units = {"WEEKS": 604800, "DAYS": 86400, "HOURS": 3600, "MINUTES": 60, "SECONDS": 1}
    seconds = [sum(_number(row, row[unit] or "0") * size for unit, size in units.items()) for row in rows]
    if len(seconds) > 1:
        rows[1].refuse("a second uptime")
    return seconds


def _systems(rows: Iterable[_Row]) -> list[System]:
    """One for each row that tells anything at all."""
    told = ([row[value].strip() or None for value in ("NAME", "VERSION", "MODEL", "KERNEL")] for row in rows)
    return [System(*values) for values in told if any(values)]


def _programs(rows: Iterable[_Row]) -> list[Program]:
    return [Program(row["PROGRAM"], row["VERSION"], row["BACKEND"] or None) for row in rows]


def _chains(rows: Iterable[_Row]) -> list[Chain]:
    found: list[tuple[_Row, list[Rule]]] = []
    for row in rows:
        if row["CHAIN"]:
            found.append((row, []))
        elif found:
            found[-1][1].append(_rule(row))
        else:
            row.refuse("a rule before any chain")
    return [Chain(row["CHAIN"], _references(row), row["POLICY"] or None, tuple(rules)) for row, rules in found]


def _references(row: _Row) -> int | None:
    """How many jumps lead to a user's chain. Some iptables-nft say -1 when they cannot tell."""
    return None if row["REFERENCES"] in {"", "-1"} else _number(row, row["REFERENCES"])


def _rule(row: _Row) -> Rule:
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


def _place(row: _Row, text: str) -> str | None:
    """An address or a network of a rule, perhaps with a mask or negated. Without -n it can be a name."""
    if text in _WILDCARDS:
        return None
    plain = text.removeprefix("!")
    glued = _ADDRESS_AND_MORE.match(plain)  # a line of the router's log that began at its end
    if glued or (":" in plain and not _is_network(plain)) or (_DIGITS.fullmatch(plain) and not _IPV4.fullmatch(plain)):
        row.refuse(f"{_excerpt(text)!r} is neither an address nor a network")
    return text


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_cut_rule(rows: Sequence[_Row], lines: Sequence[str]) -> bool:
    """Whether the last line ends inside the destination: iptables fills that column with blanks, like its heading."""
    heads = [line for line in lines if line.rstrip().endswith(" destination")]
    if not (heads and rows and rows[-1].line == len(lines) and rows[-1]["DESTINATION"]) or rows[-1]["EXTRA"].strip():
        return False
    width = len(heads[-1]) - heads[-1].rindex("destination")
    return len(lines[-1]) - lines[-1].rindex(rows[-1]["DESTINATION"]) < width > len("destination")


@dataclass(frozen=True)
class _KindOfRecord:
    needs: tuple[str, ...]  # Values that a template must define; "IP|HOST" stands for one of them
    build: Callable[[list[_Row]], list[Any]]
    may_be_empty: bool = False

    def lacks(self, values: frozenset[str]) -> str | None:
        return next((need for need in self.needs if values.isdisjoint(need.split("|"))), None)


_KINDS: Mapping[str, _KindOfRecord] = {
    "neighbors": _KindOfRecord(("IP|HOST", "MAC"), _neighbors, may_be_empty=True),
    "names": _KindOfRecord(("IP|HOST", "NAME|HOST"), _leases, may_be_empty=True),
    "routes": _KindOfRecord(("INTERFACE",), _routes, may_be_empty=True),
    "routes6": _KindOfRecord(("INTERFACE",), _routes, may_be_empty=True),
    "interfaces": _KindOfRecord(("INTERFACE", "RECEIVED", "SENT"), _interfaces),
    "addresses": _KindOfRecord(("INTERFACE", "IP"), _addresses),
    "uptime": _KindOfRecord(("WEEKS|DAYS|HOURS|MINUTES|SECONDS",), _uptime),
    "system": _KindOfRecord(("NAME|VERSION|MODEL|KERNEL",), _systems, may_be_empty=True),
    "programs": _KindOfRecord(("PROGRAM", "VERSION"), _programs),
    "chains": _KindOfRecord(("CHAIN", "PACKETS", "BYTES"), _chains),
}
