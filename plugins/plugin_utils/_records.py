# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router's answers are read into. Private to this collection.

Plain values only: no I/O, no Ansible. Addresses are canonical text, MACs are lower case with colons, bytes and packets
are integers that were never rounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


class TrafficError(Exception):
    """Something that the user must be told. The message says what happened and what to do next.

    ``unreachable`` becomes Ansible's ``unreachable``; everything else becomes ``failed``.
    """

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class Pattern:
    """A regular expression without regard to case, ``^`` and ``$`` at line ends; compiled when it is first used.

    Profiles hold about a hundred wordings of errors, and most runs meet none: compiling them all would cost each run more
    than talking to the router.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The compiled expression. Raises re.error."""
        return re.compile(self.pattern, re.IGNORECASE | re.MULTILINE)

    def search(self, text: str) -> re.Match[str] | None:
        """Where it is found in a text."""
        return self.compiled.search(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """The match, if the whole text fits."""
        return self.compiled.fullmatch(text)


@dataclass(frozen=True)
class Neighbor:
    """An entry of the ARP table. ``ip`` is None where the device printed a name in its place."""

    ip: str | None
    mac: str | None
    interface: str | None
    complete: bool


@dataclass(frozen=True)
class Lease:
    """A name that the router knows for an address. ``ip`` is None where the device printed the name in its place."""

    ip: str | None
    mac: str | None
    name: str | None


@dataclass(frozen=True)
class Host:
    """A device that is on the network now. ``ip`` is its IPv4 address where it has one; ``addresses`` are all."""

    ip: str
    mac: str | None
    name: str | None
    interface: str | None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class InterfaceCounters:
    """An interface's own byte counters, as printed (32 bit on old firmwares)."""

    interface: str
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class Address:
    """One of the router's own addresses."""

    interface: str
    ip: str
    prefix: int | None


@dataclass(frozen=True)
class System:
    """What a router is, as far as one file or command of it tells. None stands for what it does not."""

    name: str | None
    version: str | None
    model: str | None
    kernel: str | None


@dataclass(frozen=True)
class Program:
    """The version of a program. ``backend`` is ``legacy`` or ``nf_tables`` where an iptables names it."""

    name: str
    version: str
    backend: str | None


@dataclass(frozen=True)
class Rule:
    """A rule as ``iptables -nvxL`` lists it. None stands for a wildcard, and for a blank target.

    A negated field keeps its ``!`` in front. ``extra`` is all that follows the destination (matches, target options).
    """

    packets: int
    bytes: int
    target: str | None
    protocol: str | None
    in_interface: str | None
    out_interface: str | None
    source: str | None
    destination: str | None
    extra: str = ""


@dataclass(frozen=True)
class Chain:
    """A chain as listed. ``references`` is None for a built-in chain, ``policy`` for a user's."""

    name: str
    references: int | None
    policy: str | None
    rules: tuple[Rule, ...]
