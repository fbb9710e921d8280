# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers for people, and text that stays text for a terminal, a Markdown renderer and a spreadsheet."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import HOSTILE_NAMES

from ansible_collections.homenet.traffic.plugins.plugin_utils._text import (
    csv_line,
    csv_text,
    cut,
    human_bytes,
    human_rate,
    markdown_code,
    markdown_text,
    pad,
    percent,
    percent_of,
    visible,
    width,
    wrapped,
)

names = st.text() | st.sampled_from(HOSTILE_NAMES) | st.text(st.sampled_from("=+-@＝;\"' \t\r\n|`\\*_<>[]()&#!a\u0301\u202e日"))


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1.00 kB"), (1004, "1.00 kB"), (1005, "1.01 kB"),
        (9994, "9.99 kB"), (9995, "10.0 kB"), (99_949, "99.9 kB"), (99_950, "100 kB"), (999_499, "999 kB"),
        (999_500, "1.00 MB"), (1_094_857_362, "1.09 GB"), (2**64, "18.4 EB"), (10**27, "1000 YB"), (-1500, "-1.50 kB"),
    ],
)  # fmt: skip
def test_human_bytes(number: int, shown: str) -> None:
    assert human_bytes(number) == shown


@pytest.mark.parametrize(
    ("part", "whole", "percent"),
    [
        (0, 0, 0.0), (0, 5, 0.0), (5, 5, 100.0), (1, 3, 33.33), (2, 3, 66.67), (1, 20_000, 0.01), (1, 20_001, 0.0),
        (10**30, 3 * 10**30, 33.33),
    ],
)
def test_percent_of(part: int, whole: int, percent: float) -> None:
    assert percent_of(part, whole) == percent


@given(st.integers(0, 10**26))
def test_human_bytes_are_three_digits_and_right(number: int) -> None:
    shown, unit = human_bytes(number).split()
    size = 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"].index(unit)
    assert len(shown.replace(".", "")) == 3 or unit == "B"
    assert abs(float(shown) * size - number) <= 0.0051 * max(number, 1)
    assert len(f"{shown} {unit}") <= 8


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 bit/s"), (12.5, "100 bit/s"), (125_000, "1.00 Mbit/s"), (1_562_500, "12.5 Mbit/s")]
)
def test_human_rate(number: float, shown: str) -> None:
    assert human_rate(number) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "0.0 %"), (0, 9, "0.0 %"), (1, 10**9, "<0.1 %"), (1, 2000, "0.1 %"), (1, 3, "33.3 %"), (2, 3, "66.7 %"),
        (9_999, 10_000, ">99.9 %"), (999, 1000, "99.9 %"), (5, 5, "100.0 %"),
    ],
)  # fmt: skip
def test_percent(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ali-laptop", "ali-laptop"),
        ("کامپیوتر علی", "کامپیوتر علی"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("one\x0btwo\u2028three", "one\\x0btwo\\u2028three"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("a\u00a0b\u3000c", "a\\xa0b\\u3000c"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("e\u0301", "e\u0301"),
        ("\u0301e", "\\u0301e"),
        ("a \u0301", "a \\u0301"),
        ("z\u0301\u0301\u0301\u0301\u0301", "z\u0301\u0301\u0301\u0301\\u0301"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(names)
def test_visible_is_printable_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown


@given(names, st.integers(1, 40))
def test_cut_and_pad_keep_to_the_cells(text: str, cells: int) -> None:
    shown = cut(visible(text), cells)
    assert width(shown) <= cells
    assert width(pad(shown, cells)) == cells
    assert width(pad(shown, cells, right=True)) == cells
    if width(visible(text)) <= cells:
        assert shown == visible(text)
    else:
        assert shown.endswith("…")


def test_cut_counts_wide_characters_twice_and_marks_not() -> None:
    assert cut("日本語です", 5) == "日本…"
    assert width("e\u0301") == 1


@given(names, st.integers(8, 40))
def test_wrapped_loses_nothing_but_blanks(text: str, cells: int) -> None:
    lines = wrapped(visible(text), cells, "! ", "  ")
    assert all(width(line) <= cells for line in lines)
    assert all(line.startswith("! " if number == 0 else "  ") for number, line in enumerate(lines))
    assert "".join("".join(line[2:] for line in lines).split()) == "".join(visible(text).split())


# CSV

FORMULA = re.compile(r"[\s'\"]*[=+\-@\t\r＝＋－＠]")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("ali-laptop", "ali-laptop"),
        ("=cmd()", "'=cmd()"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("x;=1", "x;'=1"),
        ("\t=1", "\\x09=1"),
        ("a=b", "a=b"),
    ],
)
def test_csv_text(text: str, cell: str) -> None:
    assert csv_text(text) == cell


@given(names)
def test_no_cell_is_a_formula_and_none_loses_its_text(text: str) -> None:
    cell = csv_text(text)
    for part in cell.split(";"):
        assert part.startswith("'") or not FORMULA.match(part)
    assert cell.replace("'", "") == visible(text).replace("'", "")


@given(st.lists(names | st.integers() | st.none(), min_size=2))
def test_csv_lines_are_read_back(cells: list[str | int | None]) -> None:
    line = csv_line(cells)
    assert line.endswith("\r\n") and "\n" not in line[:-2]
    (found,) = csv.reader(io.StringIO(line, newline=""), strict=True)
    assert found == [csv_text(one) if isinstance(one, str) else "" if one is None else str(one) for one in cells]


# Markdown: what a renderer makes of it is tested in test_render.py


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("ali-laptop", "`ali-laptop`"),
        ("", ""),
        (" ", ""),
        ("`", "`` ` ``"),
        ("a``b`c", "``` a``b`c ```"),
        ("a|b", "`a\\|b`"),
        (" x ", "`  x  `"),
        ("\x1b", "`\\x1b`"),
    ],
)
def test_markdown_code(text: str, markdown: str) -> None:
    assert markdown_code(text) == markdown


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("Run setup_traffic, please (now).", "Run `setup_traffic,` please (now)."),
        ("see http://x.example or www.x.example or x.example", "see `http://x.example` or `www.x.example` or `x.example`"),
        ("@all: 10.0.0.1 port 23", "`@all:` 10.0.0.1 port 23"),
        ("<b> & *x*", "`<b>` `&` `*x*`"),
    ],
)
def test_markdown_text(text: str, markdown: str) -> None:
    assert markdown_text(text) == markdown
