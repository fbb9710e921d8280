# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for people, from text that anybody may have written. Private to this collection. Pure.

A host on the network chooses its own name. Each function here makes such text inert for one reader: a terminal,
a Markdown renderer, a spreadsheet. (HTML is escaped by Jinja2.)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

ELLIPSIS = "…"
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS_IN_A_ROW = 4
_SI_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_SI_RATES = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s", "Zbit/s", "Ybit/s")


def plain_text(text: str) -> str:
    """The text as a plain string that can be written as UTF-8 (Ansible's variables are subclasses of str)."""
    exact = str.__str__(text)
    return exact if exact.isascii() else _SURROGATE.sub("\ufffd", exact)


def some(texts: Sequence[str], most: int = 5) -> str:
    """A few of many, and how many more there are."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def parse_time(value: object) -> datetime | None:
    """A time as ISO 8601 writes it, with its offset, in UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", str.__str__(value)))
        return found.astimezone(timezone.utc) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _si(amount: int, units: tuple[str, ...]) -> str:
    """Three significant digits in the largest unit that keeps a digit before the point, in integers only."""
    sign, rest = ("-", -amount) if amount < 0 else ("", amount)
    power, place = divmod(len(str(rest)) - 1, 3)
    if power == 0:
        return f"{sign}{rest} {units[0]}"
    if power >= len(units):
        return f"{sign}{rest // 1000 ** (len(units) - 1)} {units[-1]}"
    digits = 2 - place
    step = 10 ** (3 * power - digits)
    number = str((rest + step // 2) // step)
    if len(number) > 3:  # rounded up to the next power of ten
        number, digits = number[:-1], digits - 1
        if digits < 0:
            power, digits = power + 1, 2
            if power == len(units):
                return f"{sign}1000 {units[-1]}"
    return f"{sign}{number[:-digits]}.{number[-digits:]} {units[power]}" if digits else f"{sign}{number} {units[power]}"


def human_bytes(amount: int) -> str:
    """Bytes in decimal units, as providers bill them: 1 kB is 1,000 bytes."""
    return _si(amount, _SI_UNITS)


def human_rate(bytes_per_second: float) -> str:
    """Bytes a second as bits a second in decimal units, as providers sell them."""
    return human_bits(bytes_per_second * 8)


def human_bits(bits_per_second: float) -> str:
    """Bits a second in decimal units."""
    return _si(round(bits_per_second), _SI_RATES)


def grouped(amount: int) -> str:
    """An exact number with its thousands apart."""
    return f"{amount:,}"


def percent(part: int, whole: int) -> str:
    """A share with one decimal, but never 0.0 for something nor 100.0 for less than all."""
    if not part or not whole:
        return "0.0 %"
    tenths = (part * 2000 + whole) // (2 * whole)
    if tenths == 0:
        return "<0.1 %"
    if tenths >= 1000 and part < whole:
        return ">99.9 %"
    return f"{tenths // 10}.{tenths % 10} %"


def percent_of(part: int, whole: int) -> float:
    """A percentage with two decimals, 0.0 of nothing."""
    return (part * 20_000 + whole) // (2 * whole) / 100 if whole else 0.0


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me")


def visible(text: str) -> str:
    """The text with nothing but printable characters: each other one (control, format, bidi ...) as a visible escape.

    Combining marks are kept where a script uses them; one without a base, or after four others, becomes an escape too.
    """
    if text.isascii():
        return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)
    shown: list[str] = []
    marks = _MARKS_IN_A_ROW
    for character in text:
        if not character.isprintable():
            shown.append(_escaped(character))
            marks = _MARKS_IN_A_ROW
        elif _is_mark(character):
            shown.append(character if marks < _MARKS_IN_A_ROW else _escaped(character))
            marks += 1
        else:
            shown.append(character)
            marks = 0 if character != " " else _MARKS_IN_A_ROW
    return "".join(shown)


def _cells(character: str) -> int:
    if _is_mark(character) or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str) -> int:
    """How many terminal cells a visible text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, cells: int) -> str:
    """The text in at most so many cells; what was cut is shown as an ellipsis."""
    if width(text) <= cells:
        return text
    kept: list[str] = []
    left = cells - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text filled up with blanks to so many cells."""
    blanks = " " * (cells - width(text))
    return blanks + text if right else text + blanks


def wrapped(text: str, cells: int, first: str = "", following: str = "") -> list[str]:
    """Lines of at most so many cells, broken at blanks, and within a word only where it is longer than a line."""
    lines: list[str] = []
    line = first
    empty = True
    for word in text.split():
        while True:
            gap = "" if empty else " "
            if width(line) + len(gap) + width(word) <= cells:
                line += gap + word
                empty = False
                break
            if not empty:
                lines.append(line)
                line, empty = following, True
                continue
            room = cells - width(line)
            count = 0
            while count < len(word) and width(word[: count + 1]) <= room:
                count += 1
            count = max(count, 1)
            lines.append(line + word[:count])
            line, word = following, word[count:]
    if not empty:
        lines.append(line)
    return lines


# --- Markdown ---------------------------------------------------------------------------------------------------------

_PLAIN_WORD = re.compile(r"(\(?[A-Za-z0-9][A-Za-z0-9,.;:()%'/+-]*|%)\Z")
_LINK_LIKE = re.compile(r"://|www\.|\.[A-Za-z]|:[A-Za-z]", re.IGNORECASE)


class Markdown(str):
    """Text that is already Markdown."""

    __slots__ = ()


def markdown_code(text: str) -> Markdown:
    """A code span that shows exactly this text: no link, mention, HTML or emphasis can arise inside.

    Pipes are escaped as GitHub's tables want them, so use it inside tables only, or for text without a pipe.
    """
    shown = visible(text)
    if not shown.strip():
        return Markdown("")
    fence = "`" * (max(map(len, re.findall(r"`+", shown)), default=0) + 1)
    inner = shown.replace("|", "\\|")
    gap = " " if len(fence) > 1 or inner[0] == " " or inner[-1] == " " else ""
    return Markdown(f"{fence}{gap}{inner}{gap}{fence}")


def markdown_text(text: str) -> Markdown:
    """A sentence in which every word that a renderer could take for more than a word stands in a code span.

    Not for the beginning of a line: a first word such as ``1.`` would begin a list there.
    """
    words = []
    for word in visible(text).split():
        plain = _PLAIN_WORD.match(word) and not _LINK_LIKE.search(word)
        words.append(word if plain else markdown_code(word))
    return Markdown(" ".join(words))


def markdown_escape(value: object) -> str:
    """Jinja2's ``finalize`` for Markdown: what is not Markdown already becomes inert text."""
    if isinstance(value, Markdown):
        return value
    return markdown_text(str(value))


# --- CSV --------------------------------------------------------------------------------------------------------------

# A spreadsheet takes a cell for a formula by its first character, blanks before it or not, in its full-width form too.
# A semicolon separates cells where the comma is the decimal separator, so what follows one may be a first character.
_FORMULA = re.compile(r"(^|;)(?=['\"\s\u200b\u2060\ufeff]*[=+\-@\t\r\n＝＋－＠﹢﹣﹦﹫−])")

_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]*\Z")  # most names and addresses, and quicker to see


def csv_text(text: str) -> str:
    """The text of a CSV cell, with an apostrophe in front of anything that a spreadsheet could run as a formula."""
    return _FORMULA.sub(r"\1'", visible(text))


def csv_line(cells: Iterable[str | int | float | None]) -> str:
    """A line of RFC 4180: text quoted and inert, numbers bare, nothing for None."""
    return ",".join(_csv_cell(cell) for cell in cells) + "\r\n"


def _csv_cell(cell: str | int | float | None) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return str(cell)
    if _HARMLESS.match(cell):
        return f'"{cell}"'
    return '"' + csv_text(cell).replace('"', '""') + '"'
