# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What walks through the rules."""

from __future__ import annotations

from dataclasses import dataclass

from .addresses import read_address

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "ospf": 89, "ipip": 94, "l2tp": 115, "isis": 124, "sctp": 132, "udplite": 136,
}  # fmt: skip
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
SYN, ACK = 0x02, 0x10


@dataclass(frozen=True, slots=True)
class Packet:
    """``count`` equal-looking packets of a flow may walk in one step; ``bytes`` is their total."""

    source: str
    destination: str
    in_interface: str = ""
    out_interface: str = ""
    protocol: str = "tcp"
    bytes: int = 40
    count: int = 1
    ctstate: str = "ESTABLISHED"
    source_port: int = 40000
    destination_port: int = 443
    tcp_flags: int = ACK
    icmp_type: int = 8

    @property
    def source_number(self) -> int:
        return read_address(self.source)

    @property
    def destination_number(self) -> int:
        return read_address(self.destination)

    @property
    def protocol_number(self) -> int:
        return PROTOCOLS[self.protocol]
