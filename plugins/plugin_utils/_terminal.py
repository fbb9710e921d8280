# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees in the terminal. Private to this collection. Pure.

No line is wider than WIDTH cells, and nothing but printable text comes out, whatever a host called itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import coverage_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import Failure
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import LOW_COVERAGE, Amount, HostUsage, Report, late_lines
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import (
    cut,
    human_bytes,
    pad,
    percent,
    plain_text,
    visible,
    width,
    wrapped,
)

WIDTH = 100
WITHOUT_COUNTER = "hosts without a counter"
_GAP = "  "
_UNNAMED = "-"


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    most: int  # cells that a value may take; the rest is cut
    right: bool = False


NAME = Column("NAME", 32)
IP = Column("IP", 24)
MAC = Column("MAC", 17)
DOWN = Column("DOWN", 8, right=True)
UP = Column("UP", 8, right=True)
SHARE = Column("SHARE", 7, right=True)


def aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]], rules_before: Iterable[int] = ()) -> list[str]:
    """Aligned lines, the titles first; a line is drawn before the rows of these numbers."""
    cells = [[cut(visible(cell), column.most) for column, cell in zip(columns, row, strict=True)] for row in rows]
    widths = [max([len(column.title), *(width(row[number]) for row in cells)]) for number, column in enumerate(columns)]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - WIDTH
    if excess > 0:
        widths[0] -= excess
        cells = [[cut(row[0], widths[0]), *row[1:]] for row in cells]

    def line(row: Sequence[str]) -> str:
        padded = (pad(cell, room, right=column.right) for cell, room, column in zip(row, widths, columns, strict=True))
        return _GAP.join(padded).rstrip()

    rule = "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    lines = [line([column.title for column in columns])]
    for number, row in enumerate(cells):
        if number in rules_before:
            lines.append(rule)
        lines.append(line(row))
    return lines


def shown_name(name: str | None) -> str:
    """A name, or a dash for one that shows nothing."""
    return name if name and name.strip() else _UNNAMED


def count_of(number: int, what: str) -> str:
    """So many of something."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


Line = tuple[str, bool]  # a line of text, and whether it is red


def report_table(report: Report) -> str:
    """A router's report: the heaviest host first, what hosts without a counter used, and the totals."""
    return "\n".join(line for line, _red in _report_lines(report))


def _report_lines(report: Report) -> list[Line]:
    lines = wrapped(f"{visible(report.router)}: {report.period.name}, until {report.period.end:%Y-%m-%d %H:%M} UTC", WIDTH)
    rows = [_row(shown_name(host.name), host.ip, host.mac or "", host.amount, report.totals) for host in report.active]
    if report.unattributed and report.unattributed.bytes:
        rows.append(_row(WITHOUT_COUNTER, "", "", report.unattributed, report.totals))
    if rows:
        rows.append(_row("total", "", "", report.totals, report.totals))
        lines += aligned((NAME, IP, MAC, DOWN, SHARE, UP, SHARE), rows, rules_before=[len(rows) - 1])
    else:
        lines.append("Nothing has been counted yet.")
    if report.idle:
        lines.append(_idle_line(report.idle))
    for line in late_lines(report):
        lines += wrapped(visible(line), WIDTH, following="  ")
    found = [(line, False) for line in lines]
    if covered := coverage_text(report.coverage):
        found += [(line, report.coverage.low) for line in wrapped(visible(covered), WIDTH, following="  ")]
    for warning in report.warnings:
        red = warning.code == LOW_COVERAGE
        found += [(line, red) for line in wrapped(visible(warning.message), WIDTH, "! ", "  ")]
    return found


def _row(name: str, ip: str, mac: str, amount: Amount, totals: Amount) -> list[str]:
    return [
        name,
        ip,
        mac,
        human_bytes(amount.download_bytes),
        percent(amount.download_bytes, totals.download_bytes),
        human_bytes(amount.upload_bytes),
        percent(amount.upload_bytes, totals.upload_bytes),
    ]


def _idle_line(idle: Sequence[HostUsage]) -> str:
    return f"{count_of(len(idle), 'host')} without traffic."


def failures_list(failures: Sequence[Failure], what: str = "No report of") -> str:
    """The routers without a result, each with its error."""
    lines = [f"{what} {count_of(len(failures), 'router')}:"]
    for failure in failures:
        lines += wrapped(f"{visible(failure.router)}: {visible(failure.message)}", WIDTH, "! ", "  ")
    return "\n".join(lines)


def reports_text(reports: Iterable[Report], failures: Sequence[Failure], last: str = "") -> list[Line]:
    """The reports of several routers one after the other, the failed ones named at the end, in pieces of one colour."""
    blocks = [_report_lines(report) for report in reports]
    blocks += [[(text, False)] for text in (failures_list(failures) if failures else "", last) if text]
    return pieces(blocks)


def pieces(blocks: Sequence[Sequence[Line]], *, dense: bool = False) -> list[Line]:
    """Blocks of lines with an empty line in between, in pieces of one colour. ``dense``: not between blocks of a single line."""
    lines: list[Line] = []
    for number, block in enumerate(blocks):
        if number and not (dense and _is_single(block) and _is_single(blocks[number - 1])):
            lines.append(("", False))
        lines += block
    return [("\n".join(line for line, _red in piece), red) for red, piece in groupby(lines, key=lambda line: line[1])]


def _is_single(block: Sequence[Line]) -> bool:
    return len(block) == 1 and "\n" not in block[0][0]


def hosts_table(router: str, hosts: Sequence[Mapping[str, Any]]) -> str:
    """Who is on a router's network now, from the ``hosts`` of ``lan_hosts_info`` or ``counters_info``."""
    head = wrapped(f"{visible(plain_text(router))}: {count_of(len(hosts), 'device')} on the network now", WIDTH)
    rows = [
        [shown_name(host["name"] and plain_text(host["name"])), plain_text(host["ip"]), plain_text(host["mac"] or "")]
        for host in hosts
    ]
    return "\n".join([*head, *(aligned((NAME, IP, MAC), rows) if rows else [])])


def files_text(directory: str, files: Sequence[str], *, dry: bool = False) -> str:
    """Where the files are: their names where they are few, else how to reach them."""
    if not files:
        return ""
    place = directory.rstrip("/") + "/"
    pages = [name for name in files if name != "index.json"]
    if len(pages) <= 10:
        what = ", ".join(pages)
    else:
        what = f"{len(pages)} files" + (", all routers on one page in index.html" if "index.html" in pages else "")
    return "\n".join(wrapped(visible(f"{'Would be written' if dry else 'Written'} to {place}: {what}"), WIDTH, following="  "))
