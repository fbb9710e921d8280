# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a reading to what a report shows. Private to this collection. Pure: no I/O, nothing from Ansible.

A reading is what ``counters_info`` returns. The JSON of a report is a contract (DESIGN, section 5): add, never rename.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import (
    Coverage,
    Reading,
    coverage_of,
    low_coverage_message,
    reading_of,
    with_since,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._reading import ReadingReader
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import cut, percent_of, plain_text, some

REPORT_SCHEMA = "homenet.traffic/report/1"
SINCE_COUNTING_BEGAN = "since counting began"

LOW_COVERAGE = "low_coverage"

# Problems of the chain that leave traffic uncounted.
_HOLES = {"jump_missing", "jump_not_first", "foreign_rule", "no_catch_all", "one_direction_only", "wan_changed"}


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
    since: datetime | None = None  # the last report in which it was not counted yet; None: counted as long as anybody knows
    has_counter: bool = True

    @property
    def label(self) -> str:
        """What to call it."""
        return label_of(self.ip, self.name)


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
    coverage: Coverage
    reading: Reading | None  # for the coverage of the next one

    @property
    def active(self) -> tuple[HostUsage, ...]:
        """The hosts with traffic."""
        return tuple(host for host in self.hosts if host.amount.bytes)

    @property
    def idle(self) -> tuple[HostUsage, ...]:
        """The hosts without traffic."""
        return tuple(host for host in self.hosts if not host.amount.bytes and host.has_counter)

    @property
    def uncounted(self) -> tuple[HostUsage, ...]:
        """The hosts of which nobody can say what they used: it is among that of all without a counter."""
        return tuple(host for host in self.hosts if not host.has_counter)

    @property
    def late(self) -> list[tuple[datetime, list[str]]]:
        """The hosts with traffic that were not counted from the beginning, by the report after which they were first."""
        begun = {host.since for host in self.active}
        times = sorted(time for time in begun if time)
        if None not in begun:
            del times[:1]  # all began anew, and these were the first
        return [(time, [host.label for host in self.active if host.since == time]) for time in times]

    @property
    def unattributed_share(self) -> Share:
        return _share(self.unattributed or Amount(0, 0), self.totals)


# --- From a reading ---------------------------------------------------------------------------------------------------


def report_of(router: str, reading: Mapping[str, Any], generated_at: datetime, before: Reading | None = None) -> Report:
    """The report of what a router has counted since counting began. ``before`` is the reading of its last report."""
    read = ReadingReader(f"{router}: the reading")
    notices = notices_of(router, reading)
    for notice in notices:
        if notice.code == "chain_missing":
            raise TrafficError(f"{router}: {notice.message}")
    found = read.mapping(reading, "unattributed", optional=True)
    unattributed = _amount(read, found) if found else None
    hosts = _hosts(read, reading)
    totals = sum((amount for _ip, _mac, _name, amount in hosts if amount), unattributed or Amount(0, 0))
    now = with_since(before, reading_of(reading))
    since = _since(now, _owners(read, reading)) if now and now.since else {}
    missing = _misses_hosts(reading, unattributed)
    usages = []
    for ip, mac, name, counted in hosts:
        amount = counted or Amount(0, 0)
        has_counter = counted is not None or not missing
        usages.append(HostUsage(ip, mac, name, None, amount, _share(amount, totals), since.get(ip), has_counter))
    usages.sort(key=lambda usage: (-usage.amount.bytes, address_order(usage.ip)))
    coverage = coverage_of(before, now)
    findings = [_notice(read, one) for one in read.mappings(reading, "findings", optional=True)]
    return Report(
        router=plain_text(router),
        generated_at=generated_at,
        period=Period(SINCE_COUNTING_BEGAN, None, read.time(reading, "read_at") or generated_at),
        totals=totals,
        hosts=tuple(usages),
        unattributed=unattributed,
        warnings=(*_low_coverage(coverage, notices), *notices, *findings),
        coverage=coverage,
        reading=now,
    )


def _low_coverage(coverage: Coverage, notices: Iterable[Notice]) -> Iterable[Notice]:
    if coverage.low:
        broken = any(notice.code in _HOLES for notice in notices)
        yield Notice(LOW_COVERAGE, low_coverage_message(coverage, broken))


def _misses_hosts(reading: Mapping[str, Any], unattributed: Amount | None) -> bool:
    """Whether a host without a counter can have used the link. nftables gives a host its counter with the first packet that it sends."""
    return bool(reading.get("counters")) and reading.get("backend") != "nftables" and (unattributed is None or bool(unattributed.bytes))


def _hosts(read: ReadingReader, reading: Mapping[str, Any]) -> list[tuple[str, str | None, str | None, Amount | None]]:
    """Neighbors and hosts with rules. What the addresses of a device have counted is one amount; None without a counter."""
    device = _owners(read, reading)
    amounts: dict[str, Amount] = {}
    for counter in read.mappings(reading, "counters"):
        address = read.text(counter, "ip")
        ip = device.get(address, address)
        amounts[ip] = amounts.get(ip, Amount(0, 0)) + _amount(read, counter)
    neighbors = [read.text(host, "ip") for host in read.mappings(reading, "hosts")]
    known = _devices(read, reading)
    return [(ip, *known.get(ip, (None, None)), amounts.get(ip)) for ip in dict.fromkeys([*neighbors, *amounts])]


def _since(now: Reading, device: Mapping[str, str]) -> dict[str, datetime | None]:
    """By device: after which report the first of its addresses was counted."""
    found: dict[str, list[datetime | None]] = {}
    for address in now.hosts:
        found.setdefault(device.get(address, address), []).append(now.since.get(address))
    return {ip: min(time for time in times if time) for ip, times in found.items() if None not in times}


def _devices(read: ReadingReader, reading: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """MAC and name of each address. Who left the network keeps the name that the router knows for the address."""
    known = [*read.mappings(reading, "names", optional=True), *read.mappings(reading, "hosts")]
    return {read.text(one, "ip"): (read.optional_text(one, "mac"), read.optional_text(one, "name")) for one in known}


def _owners(read: ReadingReader, reading: Mapping[str, Any]) -> dict[str, str]:
    """The device that each address belongs to, by the address that stands for it.

    An IPv6 address that the device has given up meanwhile is told by its MAC where a lease or the address itself holds that.
    """
    hosts = read.mappings(reading, "hosts")
    devices = {read.optional_text(host, "mac"): read.text(host, "ip") for host in reversed(hosts)}
    addresses = [read.text(counter, "ip") for counter in read.mappings(reading, "counters")]
    leases = {
        read.text(lease, "ip"): read.optional_text(lease, "mac") for lease in read.mappings(reading, "names", optional=True)
    }
    given_up = {
        address: leases.get(address) or _mac_in(address) for address in addresses if ":" in address
    }
    return {
        **{address: devices[mac] for address, mac in given_up.items() if mac and mac in devices},
        **{plain_text(str(address)): read.text(host, "ip") for host in hosts for address in host.get("addresses") or ()},
    }


def _mac_in(address: str) -> str | None:
    """The MAC that an IPv6 address was made of, if it was (RFC 4291, appendix A)."""
    try:
        last = ip_address(address).packed[-8:]
    except ValueError:
        return None
    if last[3:5] != b"\xff\xfe":
        return None
    return bytes([last[0] ^ 2, *last[1:3], *last[5:]]).hex(":")


def devices_of(router: str, reading: Mapping[str, Any]) -> dict[str, str]:
    """The address that stands for the device, for each address of a reading that has another one."""
    return _owners(ReadingReader(f"{router}: the reading"), reading)


def late_lines(report: Report) -> list[str]:
    """Who was not counted from the beginning, and so looks lighter than he is; and who is not counted yet."""
    lines = [f"First counted after {time:%Y-%m-%d %H:%M} UTC: {_labels(labels)}." for time, labels in report.late]
    if report.uncounted:
        one = len(report.uncounted) == 1
        names = _labels([host.label for host in report.uncounted])
        lines.append(f"Without a counter: {names}. setup_traffic gives {'it one' if one else 'each its own'}.")
    return lines


def _labels(labels: Sequence[str]) -> str:
    return some([cut(label, 32) for label in labels], 8)


def names_of(router: str, reading: Mapping[str, Any]) -> dict[str, str | None]:
    """The name of each address in a reading."""
    return {ip: name for ip, (_mac, name) in _devices(ReadingReader(f"{router}: the reading"), reading).items()}


def label_of(ip: str, name: str | None) -> str:
    """What to call a host: its name, unless that shows nothing."""
    return name if name and name.strip() else ip


def notices_of(router: str, reading: Mapping[str, Any]) -> list[Notice]:
    """What the reader must know of a reading: what is wrong with the chain, and what the router's answers were read with."""
    read = ReadingReader(f"{router}: the reading")
    return [*(_notice(read, one) for one in read.mappings(read.mapping(reading, "chain"), "problems")), *_warnings(reading)]


def _amount(read: ReadingReader, counters: Mapping[str, Any]) -> Amount:
    """A direction without a rule counted nothing; a warning of the chain says so."""
    return Amount(read.number(counters, "download_bytes"), read.number(counters, "upload_bytes"))


def _share(amount: Amount, totals: Amount) -> Share:
    return Share(percent_of(amount.download_bytes, totals.download_bytes), percent_of(amount.upload_bytes, totals.upload_bytes))


@lru_cache(maxsize=4096)
def address_order(ip: str) -> tuple[int, int, str]:
    """Sorts addresses by number, IPv4 before IPv6, and anything else behind."""
    try:
        address = ip_address(ip)
    except ValueError:
        return 9, 0, ip
    return address.version, int(address), ip


def _notice(read: ReadingReader, problem: Mapping[str, Any]) -> Notice:
    return Notice(read.text(problem, "code"), read.text(problem, "message"))


def _warnings(reading: Mapping[str, Any]) -> Iterable[Notice]:
    """What the router's answers were read with; ``warnings`` itself becomes Ansible's own objects in some versions."""
    found = reading.get("notes")
    for one in found if isinstance(found, Sequence) and not isinstance(found, str) else ():
        if isinstance(one, Mapping):
            yield Notice(plain_text(str(one.get("code", "reading"))), plain_text(str(one.get("message", ""))))
        else:
            yield Notice("reading", plain_text(str(one)))


# --- To the contract --------------------------------------------------------------------------------------------------


def report_contract(report: Report) -> dict[str, Any]:
    """The report as ``NAME.json`` has it."""
    period, coverage = report.period, report.coverage
    return {
        "schema": REPORT_SCHEMA,
        "router": report.router,
        "generated_at": report.generated_at.isoformat(),
        "period": {
            "name": period.name,
            "from": period.start.isoformat() if period.start else None,
            "to": period.end.isoformat(),
        },
        "totals": amount_contract(report.totals),
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
                "since": host.since and host.since.isoformat(),
            }
            for host in report.hosts
        ],
        "unattributed": None if report.unattributed is None else amount_contract(report.unattributed),
        "coverage": {
            "download": coverage.download and coverage.download.percent,
            "upload": coverage.upload and coverage.upload.percent,
        },
        "gaps": [],
        "warnings": [{"code": one.code, "message": one.message} for one in report.warnings],
    }


def amount_contract(amount: Amount) -> dict[str, int]:
    return {"download_bytes": amount.download_bytes, "upload_bytes": amount.upload_bytes}
