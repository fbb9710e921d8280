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

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, Literal, overload

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Address,
    Chain,
    InterfaceCounters,
    Lease,
    Neighbor,
    Pattern,
    Program,
    System,
    TrafficError,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._rows import KINDS, BadRow, Row, excerpt

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

_LONGEST_LINE = 32768
_LONGEST_MESSAGE = 1000
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line and paragraph separators, direction marks
    "\ud800-\udfff]"  # halves of a pair, which cannot be written to any file
)
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
        super().__init__(f"{reason}: {excerpt(text)!r}" if text else reason)
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
    lacking = KINDS[kind].lacks(description.values)
    if lacking:
        raise TrafficError(f"{template} defines no Value {lacking.replace('|', ' or ')}, which a template for {kind} needs")
    shown = visible(text)
    lines = shown.removesuffix("\n").split("\n")
    rows = _rows(description, lines)
    if kind == "chains" and not shown.endswith("\n") and _is_cut_rule(rows, lines):
        raise ParseError("truncated", description.name, len(lines), lines[-1])
    try:
        records = KINDS[kind].build(rows)
    except BadRow as bad:
        raise ParseError(bad.code, description.name, bad.line, lines[bad.line - 1], bad.detail) from None
    if not records and not KINDS[kind].may_be_empty:
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


def _rows(description: Description, lines: Sequence[str]) -> list[Row]:
    """Feed the lines one by one, so that errors and rows know their line."""
    description.fsm.Reset()
    rows: list[Row] = []
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


def _new_rows(description: Description, found: Sequence[Sequence[str]], line: int) -> list[Row]:
    return [Row(dict(zip(description.header, values, strict=True)), line) for values in found]


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


def _is_cut_rule(rows: Sequence[Row], lines: Sequence[str]) -> bool:
    """Whether the last line ends inside the destination: iptables fills that column with blanks, like its heading."""
    heads = [line for line in lines if line.rstrip().endswith(" destination")]
    if not (heads and rows and rows[-1].line == len(lines) and rows[-1]["DESTINATION"]) or rows[-1]["EXTRA"].strip():
        return False
    width = len(heads[-1]) - heads[-1].rindex("destination")
    return len(lines[-1]) - lines[-1].rindex(rows[-1]["DESTINATION"]) < width > len("destination")
