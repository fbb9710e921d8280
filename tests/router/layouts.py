# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Broadcom CLI lays out what it knows. Pure: values in, text with LF line ends out.

Host names are bytes of the host's choosing; they travel through text as surrogate escapes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

ARP_HEADER = "IP address       HW type     Flags       HW address            Mask     Device\n"
ROUTE_HEADER = (
    "\nKernel IP routing table\n"
    "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface\n"
)  # fmt: skip
LEASE_HEADER = "   MAC Addr          IP Addr     Lease Time Remaining    Hostname\n"


@dataclass(frozen=True)
class ArpEntry:
    ip: str
    mac: str
    device: str
    flags: int = 2


@dataclass(frozen=True)
class LeaseEntry:
    mac: str
    ip: str
    seconds: int
    name: bytes | None


@dataclass(frozen=True)
class Route:
    destination: str
    gateway: str
    mask: str
    flags: str
    interface: str


@dataclass(frozen=True)
class Interface:
    name: str
    encapsulation: str
    flags: str
    mtu: int
    received_bytes: int
    received_packets: int
    sent_bytes: int
    sent_packets: int
    mac: str = ""
    address: str = ""
    """The line that starts with ``inet addr:``."""
    queue: int = 0


def arp_table(entries: Iterable[ArpEntry], *, blank_line: bool) -> str:
    lines = [f"{entry.ip:<16} 0x{1:<10x}0x{entry.flags:<10x}{entry.mac}     *        {entry.device}\n" for entry in entries]
    return ("\n" if blank_line else "") + ARP_HEADER + "".join(lines)


def lease_table(entries: Iterable[LeaseEntry], layout: str, bridge: str) -> str:
    head = "" if layout == "bare" else f"Bridge {bridge}\n{LEASE_HEADER}"
    return head + "".join(_lease_line(entry, layout) + "\n" for entry in entries)


def _lease_line(entry: LeaseEntry, layout: str) -> str:
    name = None if entry.name is None else entry.name.decode("utf-8", "surrogateescape")
    if layout == "words":
        lease = f"{entry.seconds // 3600} hours, {entry.seconds // 60 % 60} minutes, {entry.seconds % 60} seconds"
        start, width = f"{entry.mac}  {entry.ip:<15} ", 35
    elif layout == "seconds":
        lease, start, width = str(entry.seconds), f"{entry.mac}  {entry.ip:<18} ", 24
    else:
        lease, start, width = str(entry.seconds), f"{entry.mac} {entry.ip:<15} ", 11
    if name is None:
        return start + lease + (" " if layout == "words" else "")
    return f"{start}{lease:<{width}}{name}"


def route_table(routes: Iterable[Route]) -> str:
    lines = [
        f"{route.destination:<15} {route.gateway:<15} {route.mask:<15} {route.flags:<5} {0:<6} {0:<6} {0:>3} {route.interface}\n"
        for route in routes
    ]
    return ROUTE_HEADER + "".join(lines) + "\n"


def human(value: int) -> str:
    """As net-tools puts it: in the largest unit that leaves a number of at least one."""
    units = ["", "Ki", "Mi", "Gi", "Ti"]
    amount, index = float(value), 0
    while amount >= 1024 and index < len(units) - 1:
        amount, index = amount / 1024, index + 1
    return f"({int(amount * 10) / 10:.1f} {units[index]}B)"


def interface_text(item: Interface) -> str:
    mac = f"  HWaddr {item.mac.upper()}" if item.mac else "  "
    indent = " " * 10
    address = f"{indent}{item.address}\n" if item.address else ""
    return (
        f"{item.name:<9} Link encap:{item.encapsulation}{mac}\n{address}"
        f"{indent}{item.flags}  MTU:{item.mtu}  Metric:1\n"
        f"{indent}RX packets:{item.received_packets} errors:0 dropped:0 overruns:0 frame:0\n"
        f"{indent}TX packets:{item.sent_packets} errors:0 dropped:0 overruns:0 carrier:0\n"
        f"{indent}collisions:0 txqueuelen:{item.queue}\n"
        f"{indent}RX bytes:{item.received_bytes} {human(item.received_bytes)}"
        f"  TX bytes:{item.sent_bytes} {human(item.sent_bytes)}\n\n"
    )


def proc_net_dev(items: Iterable[Interface]) -> str:
    head = (
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
    )
    return head + "".join(
        f"{item.name:>6}:{item.received_bytes:>8} {item.received_packets:>7}    0    0    0     0          0         0 "
        f"{item.sent_bytes:>8} {item.sent_packets:>7}    0    0    0     0       0          0\n"
        for item in items
    )


def proc_net_arp(entries: Iterable[ArpEntry]) -> str:
    return arp_table(entries, blank_line=False)


def uptime_phrase(seconds: float) -> str:
    minutes = int(seconds) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    text = f"{days} day{'s' if days != 1 else ''}, " if days else ""
    return text + (f"{hours:2}:{minutes:02}" if hours else f"{minutes} min")


def uptime_text(seconds: float) -> str:
    now = time.strftime("%H:%M:%S")
    return f" {now} up {uptime_phrase(seconds)}, load average: 0.41, 0.63, 0.52\n"


def sysinfo_text(seconds: float) -> str:
    now = time.strftime("%I:%M%p").lower().lstrip("0")
    return (
        "Number of processes: 26\n"
        f" {now:>7}  up {uptime_phrase(seconds)},\n"
        "load average: 1 min:0.41, 5 min:0.63, 15 min:0.52\n"
        "              total         used         free       shared      buffers\n"
        "  Mem:        29916        24108         5808            0         2260\n"
        " Swap:            0            0            0\n"
        "Total:        29916        24108         5808\n\n"
    )
