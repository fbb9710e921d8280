# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of what passed the interfaces to the Internet the chain has counted, between two readings. Pure.

Private to this collection. Traffic that never meets iptables, because something accelerates it, shows only here. What
cannot be compared is said to be unknown, never estimated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import index, sub
from typing import Any, NamedTuple

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import (
    human_bytes,
    parse_time,
    percent,
    percent_of,
    plain_text,
)

ENOUGH = 1_000_000  # bytes that passed in a direction; of less, a share says nothing
LOW = 90.0  # percent; under it, and with so many bytes missing, the reader is warned
MISSING = 10_000_000

_WRAP = 1 << 32
_MOST_BYTES = 1 << 128
_UPTIME_IN_MINUTES = timedelta(seconds=90)
_CLOCK_ERROR = 1000  # one part in so many
_SLACK = 65_536  # bytes; chain and interface are not read at the same instant

# An Ethernet header counts as part of a packet on an Ethernet device, if not in each direction of each kind of device (a
# VLAN or a bridge counts it only when it sends). It never does on these.
_HEADER = 14
_SHORTEST = _HEADER + 20  # with the header of an empty IP packet
_WITHOUT_HEADER = re.compile("(ppp|pptp|l2tp|3g-|tun|wg|ipip|ds-|map-|rmnet)")

FIRST_READING = "there is no earlier reading"


class NotComparable(TrafficError):
    """Why two readings tell nothing together."""


class Counts(NamedTuple):
    """Bytes and packets in both directions; a direction without a rule has counted nothing."""

    download_bytes: int = 0
    download_packets: int = 0
    upload_bytes: int = 0
    upload_packets: int = 0

    def since(self, old: Counts) -> Counts:
        """What was counted since then. Raises NotComparable when it is less than then."""
        grown = Counts(*map(sub, self, old))
        if min(grown) < 0:
            raise NotComparable("counters were taken away and made anew")
        return grown


def total_of(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    return Counts(*map(sum, zip(*counts, strict=True)))


@dataclass(frozen=True)
class Reading:
    """What of a reading is needed to compare it with another."""

    read_at: datetime
    uptime: timedelta | None
    marker: str | None
    hosts: Mapping[str, Counts]
    unattributed: Counts | None
    wan: Mapping[str, tuple[int, int] | None]  # received and sent bytes
    since: Mapping[str, datetime] = field(default_factory=dict)  # of an address: the last reading in which it was not counted yet


def reading_of(result: object) -> Reading | None:
    """What is needed of a result of ``counters_info``, or of what was kept of one. None when it is neither."""
    try:
        return _reading(result)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _reading(result: Mapping[str, Any]) -> Reading:
    read_at = parse_time(result["read_at"])
    if read_at is None:
        raise ValueError
    rest, uptime, marker = result["unattributed"], result["uptime_seconds"], result["marker"]
    return Reading(
        read_at,
        None if uptime is None else timedelta(seconds=index(uptime)),
        None if marker is None else plain_text(marker),
        {plain_text(one["ip"]): _counts(one) for one in result["counters"]},
        None if rest is None else _counts(rest),
        {plain_text(one["interface"]): _both(one["received_bytes"], one["sent_bytes"]) for one in result["wan"]},
        {plain_text(one["ip"]): time for one in result["counters"] if (time := parse_time(one.get("since")))},
    )


def _counts(numbers: Mapping[str, Any]) -> Counts:
    return Counts(*_checked([index(numbers[key] or 0) for key in Counts._fields]))


def _both(received: Any, sent: Any) -> tuple[int, int] | None:
    if received is None or sent is None:
        return None
    received, sent = _checked([index(received), index(sent)])
    return received, sent


def _checked(numbers: list[int]) -> list[int]:
    if min(numbers) < 0 or max(numbers) >= _MOST_BYTES:
        raise ValueError
    return numbers


def kept_of(reading: Reading) -> dict[str, Any]:
    """What to keep of a reading until the next one, in the shape of ``counters_info``."""
    return {
        "read_at": reading.read_at.isoformat(),
        "uptime_seconds": None if reading.uptime is None else int(reading.uptime.total_seconds()),
        "marker": reading.marker,
        "counters": [{"ip": ip, **counts._asdict(), **_kept_since(reading, ip)} for ip, counts in reading.hosts.items()],
        "unattributed": None if reading.unattributed is None else reading.unattributed._asdict(),
        "wan": [
            {"interface": interface, "received_bytes": both and both[0], "sent_bytes": both and both[1]}
            for interface, both in reading.wan.items()
        ],
    }


def _kept_since(reading: Reading, ip: str) -> dict[str, str]:
    return {"since": reading.since[ip].isoformat()} if ip in reading.since else {}


def with_since(old: Reading | None, new: Reading | None) -> Reading | None:
    """The new reading, with what two readings tell of when each address began to be counted: after the old one, or before."""
    if old is None or new is None or old.read_at > new.read_at:
        return new
    # A marker is added to counters that lack one; another marker is other counters.
    anew = old.marker is not None and old.marker != new.marker
    begun = {
        ip: old.read_at if anew or not _goes_on(old.hosts.get(ip), counts) else old.since.get(ip)
        for ip, counts in new.hosts.items()
    }
    return replace(new, since={ip: time for ip, time in begun.items() if time})


def _goes_on(old: Counts | None, new: Counts) -> bool:
    return old is not None and min(map(sub, new, old)) >= 0


# --- Growth -----------------------------------------------------------------------------------------------------------


def growth_of_hosts(old: Reading, new: Reading) -> dict[str, Counts]:
    """What each host's rules counted since then. Raises NotComparable."""
    if old.marker != new.marker:
        raise NotComparable("the counters were emptied or made anew")
    if not old.hosts.keys() <= new.hosts.keys():
        raise NotComparable("counters of hosts were taken away")
    return {ip: counts.since(old.hosts.get(ip, Counts())) for ip, counts in new.hosts.items()}


def growth_of_rest(old: Reading, new: Reading) -> Counts | None:
    """What the catch-all counted since then, None without one. Raises NotComparable."""
    if new.unattributed is None:
        if old.unattributed is not None:
            raise NotComparable("the counter for all other hosts was taken away")
        return None
    return new.unattributed.since(old.unattributed or Counts())


def _growth_of_wan(old: Reading, new: Reading) -> dict[str, tuple[int, int]]:
    if old.wan.keys() != new.wan.keys():
        raise NotComparable("the interfaces to the Internet are others now")
    grown = {}
    for interface, now in new.wan.items():
        then = old.wan[interface]
        if now is None or then is None:
            raise NotComparable(f"the router does not tell what passed {interface}")
        grown[interface] = _growth_of_interface(interface, then, now, old.uptime is not None and new.uptime is not None)
    if not grown:
        raise NotComparable("the interface to the Internet is not known")
    return grown


def _growth_of_interface(interface: str, then: Sequence[int], now: Sequence[int], runs_on: bool) -> tuple[int, int]:
    """Counters of 32 bits begin again when they are full, one of them at a time; both do when a link is made anew."""
    received, sent = (number - before for number, before in zip(now, then, strict=True))
    if received >= 0 and sent >= 0:
        return received, sent
    if (received < 0 and sent < 0) or max(*then, *now) >= _WRAP or not runs_on:
        raise NotComparable(f"{interface} has begun to count anew: it was connected anew, or the router was restarted")
    return received % _WRAP, sent % _WRAP


def _refuse_restart(old: Reading, new: Reading) -> None:
    elapsed = new.read_at - old.read_at
    if elapsed < timedelta(0):
        raise NotComparable("the last reading is newer than this one")
    error = _UPTIME_IN_MINUTES + elapsed / _CLOCK_ERROR
    if old.uptime is not None and new.uptime is not None and new.uptime + error < old.uptime + elapsed:
        # One that runs for longer than then may have run all the time, and the clock of the control node have been wrong.
        doubt = ", or this machine's clock was set" if new.uptime >= old.uptime else ""
        raise NotComparable(f"the router was restarted{doubt}")


# --- Coverage ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explained:
    """In one direction: how many of the bytes that passed the interfaces to the Internet the chain has counted."""

    counted: int
    passed: int

    @property
    def percent(self) -> float | None:
        """From 0 to 100 with two decimals; None when too little passed."""
        return percent_of(self.counted, self.passed) if self.passed >= ENOUGH else None

    @property
    def low(self) -> bool:
        """Whether the reader must be warned."""
        share = self.percent
        return share is not None and share < LOW and self.passed - self.counted >= MISSING


@dataclass(frozen=True)
class Coverage:
    """What the chain explains since an earlier reading. Without one that compares, ``unknown`` says why not."""

    since: datetime | None = None
    interfaces: tuple[str, ...] = ()
    download: Explained | None = None
    upload: Explained | None = None
    unknown: str | None = FIRST_READING

    @property
    def low(self) -> bool:
        """Whether the reader must be warned."""
        return any(one is not None and one.low for one in (self.download, self.upload))

    def shares(self) -> list[tuple[str, Explained]]:
        """The directions of which there is something to say."""
        both = (("download", self.download), ("upload", self.upload))
        return [(name, one) for name, one in both if one is not None and one.percent is not None]


def coverage_of(old: Reading | None, new: Reading | None) -> Coverage:
    """What the chain explains of what passed between two readings."""
    if old is None or new is None:
        return Coverage()
    try:
        if new.marker is None and old.marker is None:
            raise NotComparable("the counters have no marker, which tells whether they are the same ones; setup_traffic adds it")
        _refuse_restart(old, new)
        counted = total_of([*growth_of_hosts(old, new).values(), growth_of_rest(old, new) or Counts()])
        wan = _growth_of_wan(old, new)
        return Coverage(
            old.read_at,
            tuple(wan),
            _explained(counted.download_bytes, counted.download_packets, {name: grown[0] for name, grown in wan.items()}),
            _explained(counted.upload_bytes, counted.upload_packets, {name: grown[1] for name, grown in wan.items()}),
            None,
        )
    except NotComparable as why:
        return Coverage(since=old.read_at, unknown=str(why))


def _explained(counted: int, packets: int, wan: Mapping[str, int]) -> Explained:
    whole = sum(wan.values())
    if counted > whole + whole // 10 + _SLACK:
        raise NotComparable(f"more was counted than passed {_names(wan)}, so one of the two is wrong")
    passed = whole - headers_of(packets, wan)
    return Explained(min(counted, passed), passed)


def headers_of(packets: int, wan: Mapping[str, int]) -> int:
    """How many of an interface's bytes may be Ethernet headers of counted packets, which have none in the chain."""
    ethernet = sum(grown for interface, grown in wan.items() if not _WITHOUT_HEADER.match(interface))
    return min(_HEADER * packets, ethernet * _HEADER // _SHORTEST)


def _names(interfaces: Iterable[str]) -> str:
    return " and ".join(interfaces)


# --- In words ---------------------------------------------------------------------------------------------------------


def coverage_text(coverage: Coverage) -> str | None:
    """The share in a sentence, or why it is not known. None when there is nothing to say, as after the first reading."""
    if coverage.since is None:
        return None
    if coverage.unknown:
        return f"Coverage since {_moment(coverage.since)} is not known: {coverage.unknown}."
    shares = [f"{percent(one.counted, one.passed)} of the {name}" for name, one in coverage.shares()]
    if not shares:
        return None
    return f"Coverage since {_moment(coverage.since)}: {' and '.join(shares)} on {_names(coverage.interfaces)} was counted."


def low_coverage_message(coverage: Coverage, broken: bool) -> str:
    """What to do about traffic that was not counted. ``broken`` says that other warnings tell of holes in the chain."""
    shares = " and ".join(
        f"{percent(one.counted, one.passed)} of the {name} ({human_bytes(one.counted)} of {human_bytes(one.passed)})"
        for name, one in coverage.shares()
        if one.low
    )
    first = "Mend first what the other warnings tell. " if broken else ""
    since = f" since {_moment(coverage.since)}" if coverage.since else ""
    return (
        f"Only {shares} on {_names(coverage.interfaces)}{since} was counted. The rest is the router's own traffic, or traffic that "
        f"bypassed the counters. {first}Acceleration (flow cache, flow offload) does that, whatever its vendor calls it, and so does IPv6 "
        "on a router that cannot count it: ansible-playbook homenet.traffic.check tells what there is, and what to do about it."
    )


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
