# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMP types by the names that iptables knows."""

from __future__ import annotations

from dataclasses import dataclass

from .addresses import read_number
from .dialect import UsageError
from .extensions import Match
from .packet import Packet

ANY_CODE = (0, 0xFF)
# name, type, code (None for every code); the first of several names for the same thing is the one that is shown.
TYPES: tuple[tuple[str, int, int | None], ...] = (
    ("any", 0xFF, None), ("echo-reply", 0, None), ("pong", 0, None), ("destination-unreachable", 3, None),
    ("network-unreachable", 3, 0), ("host-unreachable", 3, 1), ("protocol-unreachable", 3, 2),
    ("port-unreachable", 3, 3), ("fragmentation-needed", 3, 4), ("source-route-failed", 3, 5),
    ("network-unknown", 3, 6), ("host-unknown", 3, 7), ("network-prohibited", 3, 9), ("host-prohibited", 3, 10),
    ("TOS-network-unreachable", 3, 11), ("TOS-host-unreachable", 3, 12), ("communication-prohibited", 3, 13),
    ("host-precedence-violation", 3, 14), ("precedence-cutoff", 3, 15), ("source-quench", 4, None),
    ("redirect", 5, None), ("network-redirect", 5, 0), ("host-redirect", 5, 1), ("TOS-network-redirect", 5, 2),
    ("TOS-host-redirect", 5, 3), ("echo-request", 8, None), ("ping", 8, None), ("router-advertisement", 9, None),
    ("router-solicitation", 10, None), ("time-exceeded", 11, None), ("ttl-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, 0), ("ttl-zero-during-reassembly", 11, 1), ("parameter-problem", 12, None),
    ("ip-header-bad", 12, 0), ("required-option-missing", 12, 1), ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None), ("address-mask-request", 17, None), ("address-mask-reply", 18, None),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IcmpMatch(Match):
    type: int = 0xFF
    code: int | None = None
    inverted: bool = False

    @property
    def protocol(self) -> int:
        return 1

    def applies_to(self, packet: Packet) -> bool:
        if packet.protocol != "icmp":
            return False
        same = self.type in (0xFF, packet.icmp_type) and self.code in (None, 0)
        return same != self.inverted

    def show(self, numeric: bool) -> str:
        sign = "!" if self.inverted else ""
        name = next((name for name, kind, code in TYPES if (kind, code) == (self.type, self.code)), "")
        if name and not numeric:
            return f" icmp {sign}{name}"
        code = "" if self.code is None else f" code {self.code}"
        return f" icmp{' !' if self.inverted else ''}type {self.type}{code}"

    def save(self) -> str:
        value = "any" if self.type == 0xFF else f"{self.type}" + ("" if self.code is None else f"/{self.code}")
        return f" -m icmp{' !' if self.inverted else ''} --icmp-type {value}"


def read_icmp(text: str, inverted: bool) -> IcmpMatch:
    named = [entry for entry in TYPES if entry[0].lower().startswith(text.lower())]
    if len(named) > 1:
        raise UsageError(f"Ambiguous ICMP type `{text}': `{named[0][0]}' or `{named[1][0]}'?")
    if named:
        return IcmpMatch(named[0][1], named[0][2], inverted)
    kind, slash, code = text.partition("/")
    type_number, code_number = read_number(kind, 0, 255), read_number(code, 0, 255)
    if type_number is None:
        raise UsageError(f"Invalid ICMP type `{kind}'\n")
    if slash and code_number is None:
        raise UsageError(f"Invalid ICMP code `{code}'\n")
    return IcmpMatch(type_number, code_number if slash else None, inverted)
