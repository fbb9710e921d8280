# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every way of counting has in common, whatever counts on the router. Private to this collection.

A backend is asked what is there, told what is wanted, and brings the router from the one to the other. Its planning is pure
and in a module of its own (``_chain``, ``_nft``); commands are spelled nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

Direction = Literal["download", "upload"]
DIRECTIONS: tuple[Direction, Direction] = ("download", "upload")
State = Literal["present", "empty", "absent"]


@dataclass(frozen=True)
class Counter:
    """Packets and bytes."""

    packets: int
    bytes: int

    def __add__(self, other: Counter) -> Counter:
        return Counter(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Counter) -> Counter:
        return Counter(max(0, self.packets - other.packets), max(0, self.bytes - other.bytes))

    def __or__(self, other: Counter) -> Counter:
        """The larger of two of which one contains the other."""
        return Counter(max(self.packets, other.packets), max(self.bytes, other.bytes))


ZERO = Counter(0, 0)


@dataclass(frozen=True)
class Counted:
    """What was counted: for each address with a counter of its own, and for all others together (None: not counted).

    A direction of an address that has no counter is None.
    """

    hosts: Mapping[str, Mapping[Direction, Counter | None]] = field(default_factory=dict)
    rest: Mapping[Direction, Counter] | None = None


def together(first: Counted, second: Counted) -> Counted:
    """What two have counted, one after the other."""
    hosts = dict(first.hosts)
    for ip, both in second.hosts.items():
        old = hosts.get(ip)
        hosts[ip] = both if old is None else {way: _sum(old.get(way), both.get(way)) for way in both}
    rest = second.rest if first.rest is None else first.rest
    if first.rest is not None and second.rest is not None:
        rest = {way: first.rest[way] + second.rest[way] for way in first.rest}
    return Counted(hosts, rest)


def _sum(first: Counter | None, second: Counter | None) -> Counter | None:
    return second if first is None else first if second is None else first + second


@dataclass(frozen=True)
class Problem:
    """Something that makes the counters less than they should be. The codes are part of the contract."""

    code: str
    message: str


def nearly_full(taken: int, room: int, kind: str = "addresses") -> str | None:
    """What to say of a set in which so many places are taken, while there is still time; None where there is room."""
    if taken * 8 < room * 7:
        return None
    if taken < room:
        return f"{taken} of {room} places for {kind} are taken. When all are, new devices count among the rest"
    return f"All {room} places for {kind} are taken: new devices count among the rest"


@dataclass(frozen=True)
class Status:
    """How the counting is installed. ``jump_position`` and ``references`` are None where there is no such thing."""

    installed: bool
    jump_position: int | None
    references: int | None
    hosts: int
    marker: str | None
    problems: Sequence[Problem]


class Backend(Protocol):
    """A way of counting, on one router. Everything that it does may raise TrafficError."""

    name: str
    """``iptables``, ``nftables`` or ``ipset``."""

    @property
    def table(self) -> str:
        """The table that it counts in."""

    @property
    def counts_ipv6(self) -> bool:
        """Whether IPv6 is counted, too."""

    def listing(self) -> list[Group]:
        """The commands that ``look`` asks first, for the one exchange with a shell."""

    def look(self) -> None:
        """Read what is there now. What follows speaks of that."""

    def exists(self) -> bool:
        """Whether anything of ours is there."""

    def counted(self) -> Counted:
        """What was counted."""

    def before(self) -> Counted:
        """What had been counted when ``look`` looked, whatever was brought about since."""

    def final(self) -> Counted | None:
        """What had been counted in the moment in which ``bring`` took it away; None where nothing was taken away."""

    def status(self, interfaces: Sequence[str]) -> Status:
        """How it is installed; ``interfaces`` are those that lead to the Internet now."""

    def hosts(self) -> list[str]:
        """The addresses that are counted by themselves."""

    def as_commands(self) -> list[str]:
        """What is there, as the commands that would make it: for people."""

    def preview(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool) -> tuple[list[str], list[str]]:
        """The commands that ``bring`` would run, and what ``as_commands`` would say afterwards."""

    def bring(self, state: State, hosts: Sequence[str], interfaces: Sequence[str], prune: bool, commands: list[str]) -> None:
        """Bring it to a state, and read it back. Each command that is run is added to ``commands``, also when it fails later."""
