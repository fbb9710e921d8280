# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is using the link right now: rates out of two readings of one login. Private to this collection. Pure.

Rates are in bits a second. What cannot be told is None, never an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import (
    Counts,
    NotComparable,
    growth_of_hosts,
    growth_of_rest,
    headers_of,
    reading_of,
    total_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import (
    Notice,
    address_order,
    devices_of,
    label_of,
    names_of,
    notices_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import cut, human_bits, percent, plain_text, visible

ENOUGH = 5_000.0  # bit/s; with less in a direction, nobody is using it
_UNCOUNTED = 0.1  # of what passes: so much may be headers, and the moment between two commands
_UNCOUNTED_RATE = 100_000.0  # bit/s


@dataclass(frozen=True)
class Growth:
    """What was counted between two readings, and what passed the interfaces, None where they do not tell."""

    read_at: datetime
    seconds: float
    hosts: Mapping[str, Counts]
    unattributed: Counts | None
    wan: Mapping[str, tuple[int | None, int | None]]


def growth_of(first: Mapping[str, Any], second: Mapping[str, Any], seconds: float) -> Growth:
    """The growth between two readings of the shape of ``counters_info``. Raises NotComparable."""
    old, new = reading_of(first), reading_of(second)
    if old is None or new is None:
        raise NotComparable("one of them is not complete")
    if old.wan.keys() != new.wan.keys():
        raise NotComparable("the interfaces to the Internet are others now")
    wan = {interface: _passed(old.wan[interface], both) for interface, both in new.wan.items()}
    return Growth(new.read_at, seconds, growth_of_hosts(old, new), growth_of_rest(old, new), wan)


def _passed(old: tuple[int, int] | None, new: tuple[int, int] | None) -> tuple[int | None, int | None]:
    """A counter that was full, or began anew, tells nothing this time."""
    if old is None or new is None:
        return None, None
    received, sent = (now - then if now >= then else None for now, then in zip(new, old, strict=True))
    return received, sent


# --- To the contract --------------------------------------------------------------------------------------------------


def rates_result(where: str, first: Mapping[str, Any], second: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The keys that ``counters_info`` adds for an interval."""
    try:
        growth = growth_of(first, second, seconds)
    except NotComparable as why:
        raise TrafficError(f"{where}: the two readings cannot be compared: between them {why}. Run it again.") from why

    def bits(grown: int | None, counter: object = 0) -> float | None:
        return None if grown is None or counter is None else grown * 8 / seconds

    def both(grown: Counts, counters: Mapping[str, Any]) -> dict[str, float | None]:
        return {
            "download_bps": bits(grown.download_bytes, counters["download_bytes"]),
            "upload_bps": bits(grown.upload_bytes, counters["upload_bytes"]),
        }

    rest = growth.unattributed
    return {
        "interval_seconds": seconds,
        "before": {key: first[key] for key in ("counters", "unattributed", "wan")},
        "rates": [{"ip": one["ip"], **both(growth.hosts[one["ip"]], one)} for one in second["counters"]],
        "unattributed_rate": None if rest is None else both(rest, second["unattributed"]),
        "wan_rates": [
            {"interface": interface, "received_bps": bits(received), "sent_bps": bits(sent)}
            for interface, (received, sent) in growth.wan.items()
        ],
    }


# --- To show ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Bits a second in both directions; None where it is not known."""

    download: float | None
    upload: float | None

    @property
    def total(self) -> float:
        return (self.download or 0.0) + (self.upload or 0.0)


@dataclass(frozen=True)
class HostSpeed:
    """A host's line."""

    ip: str
    name: str | None
    speed: Speed

    @property
    def label(self) -> str:
        return label_of(self.ip, self.name)


@dataclass(frozen=True)
class Live:
    """Who is using a router's link. ``active`` are in the order to show them in."""

    router: str
    read_at: datetime
    seconds: float
    active: tuple[HostSpeed, ...]
    idle: tuple[HostSpeed, ...]
    others: Speed | None  # hosts without a counter
    uncounted: Speed  # what the router itself used, or what bypassed the counters; 0 where it is little
    interfaces: tuple[str, ...]
    wan: Speed  # what passed the interfaces
    whole: Speed  # that, or what was counted where it is more or where the interfaces do not tell
    warnings: tuple[Notice, ...]


def live_of(router: str, result: Mapping[str, Any]) -> Live:
    """What to show of a result of ``counters_info`` with an interval."""
    if not result.get("interval_seconds") or not isinstance(result.get("before"), Mapping):
        raise TrafficError(f"{router}: there are no rates to show: homenet.traffic.counters_info was run without the option interval.")
    growth = growth_of({**result, **result["before"]}, result, result["interval_seconds"])
    names = names_of(router, result)
    devices = devices_of(router, result)
    grown_of: dict[str, list[Counts]] = {}
    for address, grown in growth.hosts.items():
        grown_of.setdefault(devices.get(address, address), []).append(grown)
    speeds = [HostSpeed(ip, names.get(ip), _speed(total_of(all_grown), growth.seconds)) for ip, all_grown in grown_of.items()]
    speeds.sort(key=lambda host: (-host.speed.total, address_order(host.ip)))
    counted = total_of([*growth.hosts.values(), growth.unattributed or Counts()])
    down = _direction(growth, 0, counted.download_bytes, counted.download_packets)
    up = _direction(growth, 1, counted.upload_bytes, counted.upload_packets)
    return Live(
        router=plain_text(router),
        read_at=growth.read_at,
        seconds=growth.seconds,
        active=tuple(host for host in speeds if host.speed.total),
        idle=tuple(host for host in speeds if not host.speed.total),
        others=_speed(growth.unattributed, growth.seconds) if growth.unattributed else None,
        uncounted=Speed(down.uncounted, up.uncounted),
        interfaces=tuple(growth.wan),
        wan=Speed(down.wan, up.wan),
        whole=Speed(down.whole, up.whole),
        warnings=tuple(notices_of(router, result)),
    )


def _speed(grown: Counts, seconds: float) -> Speed:
    return Speed(grown.download_bytes * 8 / seconds, grown.upload_bytes * 8 / seconds)


@dataclass(frozen=True)
class _Direction:
    wan: float | None
    whole: float
    uncounted: float


def _direction(growth: Growth, which: int, counted: int, packets: int) -> _Direction:
    passed = {interface: both[which] for interface, both in growth.wan.items()}
    known = {interface: grown for interface, grown in passed.items() if grown is not None}
    if not known or len(known) < len(passed):
        return _Direction(None, counted * 8 / growth.seconds, 0.0)
    wan = sum(known.values())
    left = (wan - headers_of(packets, known) - counted) * 8 / growth.seconds
    rate = wan * 8 / growth.seconds
    much = left >= max(_UNCOUNTED_RATE, rate * _UNCOUNTED)
    return _Direction(rate, max(rate, counted * 8 / growth.seconds), left if much else 0.0)


# --- In words ---------------------------------------------------------------------------------------------------------


def headline(live: Live) -> str:
    """Who is using the link, in a sentence."""
    takes = [
        words
        for words in (
            _heaviest(live, lambda speed: speed.download, "down"),
            _heaviest(live, lambda speed: speed.upload, "up"),
        )
        if words
    ]
    if not takes:
        return "nobody is using the link now"
    first, *second = takes
    if second and first[0] == second[0][0]:
        return f"{first[0]} {first[1]} and {second[0][1]}"
    return ", ".join(f"{who} {what}" for who, what in takes)


def _heaviest(live: Live, rate: Callable[[Speed], float | None], direction: str) -> tuple[str, str] | None:
    """Who takes most of a direction, and how much. None when hardly anything passes there."""
    whole = rate(live.whole) or 0.0
    takers = [(rate(host.speed) or 0.0, f"{cut(visible(host.label), 32)} takes") for host in live.active]
    if live.others:
        takers.append((rate(live.others) or 0.0, "hosts without a counter take"))
    takers.append((rate(live.uncounted) or 0.0, "the router itself, or what bypasses the counters, takes"))
    most, who = max(takers, key=lambda taker: taker[0])
    return (who, f"{_of(most, whole)} {direction}") if most and whole >= ENOUGH else None


def _of(part: float, whole: float) -> str:
    number, unit = human_bits(part).split(" ")
    all_of_it = human_bits(whole)
    return f"{number} of {all_of_it}" if all_of_it.endswith(f" {unit}") else f"{number} {unit} of {all_of_it}"


def share(part: float | None, whole: float | None) -> str:
    """A rate's share of what passes."""
    return "" if part is None or whole is None else percent(round(part), round(whole))
