# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All routers together, and what is kept of each from run to run. Private to this collection. Pure.

``index.json`` is read by other versions too: add, never rename.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import Reading, kept_of, reading_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import Amount, Report, amount_contract
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import parse_time, plain_text

INDEX_SCHEMA = "homenet.traffic/index/1"


@dataclass(frozen=True)
class Summary:
    """What the index says of a router's last good report."""

    generated_at: datetime
    period_end: datetime
    totals: Amount
    hosts: int
    active_hosts: int
    heaviest: str | None
    warnings: tuple[str, ...]
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why there is no newer report."""

    router: str
    message: str
    at: datetime
    unreachable: bool = False


@dataclass(frozen=True)
class IndexRow:
    """A router in the index: its last good report, if any, with its reading, and its failure, if it failed after that."""

    router: str
    summary: Summary | None
    failure: Failure | None
    reading: Reading | None = None

    @property
    def seen_at(self) -> datetime | None:
        """When a run last tried this router."""
        return self.failure.at if self.failure else self.summary.generated_at if self.summary else None


def row_of(report: Report, formats: Iterable[str]) -> IndexRow:
    """A report in one line."""
    return IndexRow(report.router, _summary_of(report, formats), None, report.reading)


def _summary_of(report: Report, formats: Iterable[str]) -> Summary:
    heaviest = report.active[0] if report.active else None
    return Summary(
        generated_at=report.generated_at,
        period_end=report.period.end,
        totals=report.totals,
        hosts=len(report.hosts),
        active_hosts=len(report.active),
        heaviest=heaviest.label if heaviest else None,
        warnings=tuple(dict.fromkeys(one.code for one in report.warnings)),
        formats=tuple(formats),
    )


def merge_index(
    old: Iterable[IndexRow],
    reported: Mapping[str, IndexRow],
    failures: Mapping[str, Failure],
    keep: Callable[[str], bool],
) -> list[IndexRow]:
    """The index after a run: this run's routers anew, the last good report kept under a failure, others as they were.

    ``keep`` says which of the others are still wanted.
    """
    rows = {row.router: row for row in old if row.router in failures or keep(row.router)}
    for router, failure in failures.items():
        before = rows.get(router)
        rows[router] = replace(before, failure=failure) if before else IndexRow(router, None, failure)
    rows.update(reported)
    return sorted(rows.values(), key=lambda row: router_order(row.router))


def router_order(router: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts names as people do: home-2 before home-10."""
    parts = re.findall(r"([0-9]{1,18})|([^0-9]+)", router.casefold())
    return [(0, int(digits), "") if digits else (1, 0, rest) for digits, rest in parts], router


def index_contract(rows: Iterable[IndexRow], generated_at: datetime) -> dict[str, Any]:
    """The index as ``index.json`` has it."""
    return {
        "schema": INDEX_SCHEMA,
        "generated_at": generated_at.isoformat(),
        "routers": [
            {
                "router": row.router,
                "report": row.summary and _summary_contract(row.summary),
                "error": row.failure
                and {
                    "message": row.failure.message,
                    "at": row.failure.at.isoformat(),
                    "unreachable": row.failure.unreachable,
                },
                "reading": row.reading and kept_of(row.reading),
            }
            for row in rows
        ],
    }


def _summary_contract(summary: Summary) -> dict[str, Any]:
    return {
        "generated_at": summary.generated_at.isoformat(),
        "to": summary.period_end.isoformat(),
        "totals": amount_contract(summary.totals),
        "hosts": summary.hosts,
        "active_hosts": summary.active_hosts,
        "heaviest": summary.heaviest,
        "warnings": list(summary.warnings),
        "formats": list(summary.formats),
    }


def index_rows(document: object) -> list[IndexRow]:
    """The rows of an ``index.json``. An error when it is not one."""
    if not isinstance(document, Mapping) or document.get("schema") != INDEX_SCHEMA:
        raise TrafficError("it is not an index of homenet.traffic")
    try:
        return [_index_row(row) for row in document["routers"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrafficError("it is not an index of homenet.traffic") from error


def _index_row(row: Mapping[str, Any]) -> IndexRow:
    report, error = row["report"], row["error"]
    router = _as(str, row["router"])
    return IndexRow(
        router,
        None
        if report is None
        else Summary(
            generated_at=_time(report["generated_at"]),
            period_end=_time(report["to"]),
            totals=Amount(_as(int, report["totals"]["download_bytes"]), _as(int, report["totals"]["upload_bytes"])),
            hosts=_as(int, report["hosts"]),
            active_hosts=_as(int, report["active_hosts"]),
            heaviest=None if report["heaviest"] is None else _as(str, report["heaviest"]),
            warnings=tuple(_as(str, code) for code in report["warnings"]),
            formats=tuple(_as(str, one) for one in report["formats"]),
        ),
        None
        if error is None
        else Failure(router, _as(str, error["message"]), _time(error["at"]), _as(bool, error["unreachable"])),
        reading_of(row.get("reading")),  # older versions wrote none
    )


def _as(kind: type, value: object) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise TypeError(f"{value!r} is not {kind}")
    return plain_text(value) if isinstance(value, str) else value


def _time(value: object) -> datetime:
    found = parse_time(value)
    if found is None:
        raise ValueError(f"{value!r} is not a time")
    return found
