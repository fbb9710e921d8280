# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a reading to what a report shows. Private to this collection. Pure: no I/O, nothing from Ansible.

A reading is what ``counters_info`` returns. The JSON of a report is a contract (DESIGN, section 5): add, never rename.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

REPORT_SCHEMA = "homenet.traffic/report/1"
INDEX_SCHEMA = "homenet.traffic/index/1"
SINCE_COUNTING_BEGAN = "since counting began"

_TOO_MANY_BYTES = 1 << 128
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Amount:
    """Bytes in both directions."""

    download_bytes: int
    upload_bytes: int

    @property
    def bytes(self) -> int:
        return self.download_bytes + self.upload_bytes

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.download_bytes + other.download_bytes, self.upload_bytes + other.upload_bytes)


@dataclass(frozen=True)
class Share:
    """A part of the period's totals, in percent with two decimals."""

    download_percent: float
    upload_percent: float


@dataclass(frozen=True)
class HostUsage:
    """A host's line in the report."""

    ip: str
    mac: str | None
    name: str | None
    person: str | None
    amount: Amount
    share: Share

    @property
    def label(self) -> str:
        """What to call it: its name, unless that shows nothing."""
        return self.name if self.name and self.name.strip() else self.ip


@dataclass(frozen=True)
class Period:
    """What the report covers. ``start`` is None when nobody knows when counting began."""

    name: str
    start: datetime | None
    end: datetime


@dataclass(frozen=True)
class Notice:
    """Something that the reader must know about the numbers."""

    code: str
    message: str


@dataclass(frozen=True)
class Report:
    """A router's report, whatever it is rendered to. ``hosts`` are in the order to show them in."""

    router: str
    generated_at: datetime
    period: Period
    totals: Amount
    hosts: tuple[HostUsage, ...]
    unattributed: Amount | None
    warnings: tuple[Notice, ...]

    @property
    def active(self) -> tuple[HostUsage, ...]:
        """The hosts with traffic."""
        return tuple(host for host in self.hosts if host.amount.bytes)

    @property
    def idle(self) -> tuple[HostUsage, ...]:
        """The hosts without traffic."""
        return tuple(host for host in self.hosts if not host.amount.bytes)

    @property
    def unattributed_share(self) -> Share:
        return _share(self.unattributed or Amount(0, 0), self.totals)


# --- From a reading ---------------------------------------------------------------------------------------------------


def report_of(router: str, reading: Mapping[str, Any], generated_at: datetime) -> Report:
    """The report of what a router has counted since counting began."""
    read = _Reader(f"{router}: the reading")
    chain = read.mapping(reading, "chain")
    problems = [_notice(read, one) for one in read.mappings(chain, "problems")]
    for problem in problems:
        if problem.code == "chain_missing":
            raise TrafficError(f"{router}: {problem.message}")
    found = read.mapping(reading, "unattributed", optional=True)
    unattributed = _amount(read, found) if found else None
    hosts = _hosts(read, reading)
    totals = sum((amount for _ip, _mac, _name, amount in hosts), unattributed or Amount(0, 0))
    usages = [HostUsage(ip, mac, name, None, amount, _share(amount, totals)) for ip, mac, name, amount in hosts]
    usages.sort(key=lambda usage: (-usage.amount.bytes, address_order(usage.ip)))
    return Report(
        router=plain_text(router),
        generated_at=generated_at,
        period=Period(SINCE_COUNTING_BEGAN, None, read.time(reading, "read_at") or generated_at),
        totals=totals,
        hosts=tuple(usages),
        unattributed=unattributed,
        warnings=(*problems, *_warnings(reading)),
    )


def _hosts(read: _Reader, reading: Mapping[str, Any]) -> list[tuple[str, str | None, str | None, Amount]]:
    """Neighbors and hosts with rules. Who left the network keeps the name that the router knows for the address."""
    amounts: dict[str, Amount] = {}
    for counter in read.mappings(reading, "counters"):
        ip = read.text(counter, "ip")
        amounts[ip] = amounts.get(ip, Amount(0, 0)) + _amount(read, counter)
    known = {
        read.text(lease, "ip"): (read.optional_text(lease, "mac"), read.optional_text(lease, "name"))
        for lease in read.mappings(reading, "names", optional=True)
    }
    neighbors = {
        read.text(host, "ip"): (read.optional_text(host, "mac"), read.optional_text(host, "name"))
        for host in read.mappings(reading, "hosts")
    }
    return [
        (ip, *(neighbors.get(ip) or known.get(ip) or (None, None)), amounts.get(ip, Amount(0, 0)))
        for ip in dict.fromkeys([*neighbors, *amounts])
    ]


def _amount(read: _Reader, counters: Mapping[str, Any]) -> Amount:
    """A direction without a rule counted nothing; a warning of the chain says so."""
    return Amount(read.number(counters, "download_bytes"), read.number(counters, "upload_bytes"))


def _share(amount: Amount, totals: Amount) -> Share:
    return Share(percent_of(amount.download_bytes, totals.download_bytes), percent_of(amount.upload_bytes, totals.upload_bytes))


def percent_of(part: int, whole: int) -> float:
    """A percentage with two decimals, 0.0 of nothing."""
    return (part * 20_000 + whole) // (2 * whole) / 100 if whole else 0.0


@lru_cache(maxsize=4096)
def address_order(ip: str) -> tuple[int, int, str]:
    """Sorts addresses by number, IPv4 before IPv6, and anything else behind."""
    try:
        address = ip_address(ip)
    except ValueError:
        return 9, 0, ip
    return address.version, int(address), ip


def _notice(read: _Reader, problem: Mapping[str, Any]) -> Notice:
    return Notice(read.text(problem, "code"), read.text(problem, "message"))


def _warnings(reading: Mapping[str, Any]) -> Iterable[Notice]:
    """What the router's answers were read with; ``warnings`` itself becomes Ansible's own objects in some versions."""
    found = reading.get("notes")
    for one in found if isinstance(found, Sequence) and not isinstance(found, str) else ():
        if isinstance(one, Mapping):
            yield Notice(plain_text(str(one.get("code", "reading"))), plain_text(str(one.get("message", ""))))
        else:
            yield Notice("reading", plain_text(str(one)))


def plain_text(text: str) -> str:
    """The text as a plain string that can be written as UTF-8 (Ansible's variables are subclasses of str)."""
    exact = str.__str__(text)
    return exact if exact.isascii() else _SURROGATE.sub("\ufffd", exact)


class _Reader:
    """Takes values out of a result, and says what is wrong with it where it is not of the expected shape."""

    def __init__(self, what: str) -> None:
        self._what = what

    def _wrong(self, key: str, wanted: str) -> TrafficError:
        return TrafficError(
            f"{self._what} is not a result of homenet.traffic.counters_info: {key!r} is not {wanted}. Register "
            "the result of that module and report on it."
        )

    def mapping(self, source: Mapping[str, Any], key: str, *, optional: bool = False) -> Mapping[str, Any]:
        value = source.get(key)
        if value is None and optional:
            return {}
        if not isinstance(value, Mapping):
            raise self._wrong(key, "a dictionary")
        return value

    def mappings(self, source: Mapping[str, Any], key: str, *, optional: bool = False) -> Sequence[Mapping[str, Any]]:
        value = source.get(key)
        if value is None and optional:
            return ()
        if not isinstance(value, Sequence) or not all(isinstance(one, Mapping) for one in value):
            raise self._wrong(key, "a list of dictionaries")
        return value

    def text(self, source: Mapping[str, Any], key: str) -> str:
        value = source.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return plain_text(value)

    def optional_text(self, source: Mapping[str, Any], key: str) -> str | None:
        return None if source.get(key) is None else self.text(source, key)

    def number(self, source: Mapping[str, Any], key: str) -> int:
        value = source.get(key)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _TOO_MANY_BYTES:
            raise self._wrong(key, "a number of bytes")
        return int(value)

    def time(self, source: Mapping[str, Any], key: str) -> datetime | None:
        value = source.get(key)
        if value is None:
            return None
        found = parse_time(value)
        if found is None:
            raise self._wrong(key, "a time with its time zone")
        return found


def parse_time(value: object) -> datetime | None:
    """A time as ISO 8601 writes it, with its offset, in UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", str.__str__(value)))
        return found.astimezone(timezone.utc) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


# --- To the contract --------------------------------------------------------------------------------------------------


def report_contract(report: Report) -> dict[str, Any]:
    """The report as ``NAME.json`` has it."""
    period = report.period
    return {
        "schema": REPORT_SCHEMA,
        "router": report.router,
        "generated_at": report.generated_at.isoformat(),
        "period": {
            "name": period.name,
            "from": period.start.isoformat() if period.start else None,
            "to": period.end.isoformat(),
        },
        "totals": _amount_contract(report.totals),
        "hosts": [
            {
                "ip": host.ip,
                "mac": host.mac,
                "name": host.name,
                "person": host.person,
                "download_bytes": host.amount.download_bytes,
                "upload_bytes": host.amount.upload_bytes,
                "download_percent": host.share.download_percent,
                "upload_percent": host.share.upload_percent,
            }
            for host in report.hosts
        ],
        "unattributed": None if report.unattributed is None else _amount_contract(report.unattributed),
        "coverage": {"download": None, "upload": None},
        "gaps": [],
        "warnings": [{"code": one.code, "message": one.message} for one in report.warnings],
    }


def _amount_contract(amount: Amount) -> dict[str, int]:
    return {"download_bytes": amount.download_bytes, "upload_bytes": amount.upload_bytes}


# --- All routers ------------------------------------------------------------------------------------------------------


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
    """A router in the index: its last good report, if any, and its failure, if it failed after that."""

    router: str
    summary: Summary | None
    failure: Failure | None

    @property
    def seen_at(self) -> datetime | None:
        """When a run last tried this router."""
        return self.failure.at if self.failure else self.summary.generated_at if self.summary else None


def summary_of(report: Report, formats: Iterable[str]) -> Summary:
    """A report in one line."""
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
    summaries: Mapping[str, Summary],
    failures: Mapping[str, Failure],
    keep: Callable[[str], bool],
) -> list[IndexRow]:
    """The index after a run: this run's routers anew, the last good report kept under a failure, others as they were.

    ``keep`` says which of the others are still wanted.
    """
    rows = {row.router: row for row in old if row.router in failures or keep(row.router)}
    for router, failure in failures.items():
        before = rows.get(router)
        rows[router] = IndexRow(router, before.summary if before else None, failure)
    rows.update({router: IndexRow(router, summary, None) for router, summary in summaries.items()})
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
            }
            for row in rows
        ],
    }


def _summary_contract(summary: Summary) -> dict[str, Any]:
    return {
        "generated_at": summary.generated_at.isoformat(),
        "to": summary.period_end.isoformat(),
        "totals": _amount_contract(summary.totals),
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
