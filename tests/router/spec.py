# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router is like before anybody logs in: its hosts, its wiring, its texts. Deterministic from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .faults import Faults
from .firewall import ROUTER, Dialect

HOST_NAMES = (
    "ali-laptop", "sara-phone", "living-room-tv", "reza-pc", "mina-tablet", "PlayStation-4", "desk-pc", "nas",
    "kitchen-radio", "android-7f3a", "iPhone", "printer", "omid-laptop", "ESP_4F0C2D", "guest-phone",
)  # fmt: skip

# As a Broadcom firmware leaves it: clamp, a parental chain of its own, log and drop what comes from outside.
FOREIGN_FIREWALL = (
    "-N parental",
    "-A parental -s 192.168.1.250 -p tcp --dport 80 -j DROP",
    "-A parental -j RETURN",
    "-A INPUT -i ppp0 -m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -p icmp --icmp-type echo-request -j ACCEPT",
    "-A INPUT -i ppp0 -j DROP",
    "-A FORWARD -o ppp0 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "-A FORWARD -i br0 -j parental",
    "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",
    '-A FORWARD -i ppp0 -p tcp --syn -m limit --limit 6/hour -j LOG --log-level 1 --log-prefix "Intrusion -> "',
    "-A FORWARD -i ppp0 -j DROP",
    "-t mangle -N voip",
    "-t mangle -A voip -p udp --dport 5060 -j RETURN",
    "-t mangle -A FORWARD -i br0 -j voip",
)

# Names that a hostile (or merely odd) host may choose; the prompt of the router has to be added by whoever knows it.
HOSTILE_NAMES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" ",
    "blanks_inside": b"Living  Room TV",
    "four_kilobytes": b"n" * 4096,
    "not_utf8": b"caf\xe9-\xff\xfe",
    "script": b"<script>alert(1)</script>",
    "template": b"{{ 7*7 }}",
    "ansi": b"\x1b[2J\x1b[31mred",
    "vertical_tab": b"one\x0btwo",
    "line_separator": "one\u2028two".encode(),
    "substitution": b"$(reboot)",
    "formula": b"=cmd()",
    "prompt": b" > ",
    "prompt_on_a_line": b"x\r\n > ",
    "pipe": b"| pipe",
    "backticks": b"`reboot`",
}


@dataclass(frozen=True)
class Host:
    """A device on the LAN. ``name`` None leaves the column out; ``lease_seconds`` None leaves the line out."""

    ip: str
    mac: str
    name: bytes | None = b""
    lease_seconds: int | None = 86400
    in_arp: bool = True
    complete: bool = True


@dataclass(frozen=True)
class RouterSpec:
    """One router. Everything has a default; ``hosts`` may be a number."""

    name: str = "home"
    seed: int = 1
    hosts: tuple[Host, ...] | int = 15
    incomplete_hosts: int = 1
    user: str = "admin"
    password: str = "admin"
    login: Literal["user", "password", "none"] = "user"
    banner: str = "BCM96338 ADSL Router"
    prompt: str = " > "
    login_prompt: str = "Login: "
    password_prompt: str = "Password: "
    line_end: str = "\r\n"
    wan: str = "ppp0"
    wan_device: str = "nas_0_0_35"
    lan: str = "br0"
    lan_ip: str = "192.168.1.1"
    wan_ip: str = "100.64.7.20"
    gateway: str = "100.64.7.1"
    arp_blank_line: bool = True
    lanhosts_layout: Literal["words", "seconds", "bare"] = "words"
    dialect: Dialect = ROUTER
    firewall: tuple[str, ...] = FOREIGN_FIREWALL
    """iptables commands (without the word iptables) of the firmware; WAN and LAN must be named as above."""
    setup: tuple[str, ...] = ()
    """More of them, run after the firmware's and not repeated at a restart: a hand-made chain, for instance."""
    counters_32_bit: bool = False
    uptime: float = 3120.0
    files: Mapping[str, str] = field(default_factory=dict)
    """More files that ``cat`` shows, by path, such as ``/proc/modules``."""
    max_sessions: int = 2
    tries: int = 3
    lockout_seconds: float = 300.0
    line_limit: int = 1024
    address: str = "127.0.0.1"
    port: int = 0
    faults: Faults = field(default_factory=Faults)

    def all_hosts(self) -> tuple[Host, ...]:
        if isinstance(self.hosts, int):
            return make_hosts(self.hosts, self.seed, self.lan_ip, self.incomplete_hosts)
        return self.hosts

    def with_changes(self, **changes: Any) -> RouterSpec:
        return replace(self, **changes)


def make_mac(rng: random.Random) -> str:
    """A locally administered address, so that it can be nobody's."""
    return ":".join(f"{octet:02x}" for octet in [rng.randrange(256) & 0xFE | 0x02, *rng.randbytes(5)])


def make_hosts(count: int, seed: int, lan_ip: str = "192.168.1.1", incomplete: int = 0) -> tuple[Host, ...]:
    """Hosts from .2 on, and incomplete ARP entries (a device that left) after them."""
    if count + incomplete > 252:
        raise ValueError(f"{count} hosts do not fit into a /24")
    rng = random.Random(seed)
    own = int(lan_ip.rsplit(".", maxsplit=1)[-1])
    base = lan_ip.rsplit(".", 1)[0]
    numbers = [number for number in range(2, 255) if number != own]
    hosts = [_make_host(rng, f"{base}.{number}", index) for index, number in enumerate(numbers[:count])]
    lost = [_lost_host(f"{base}.{number}") for number in numbers[count : count + incomplete]]
    return (*hosts, *lost)


def _lost_host(ip: str) -> Host:
    return Host(ip, "00:00:00:00:00:00", None, None, complete=False)


def _make_host(rng: random.Random, ip: str, index: int) -> Host:
    name = HOST_NAMES[index % len(HOST_NAMES)] + (f"-{index}" if index >= len(HOST_NAMES) else "")
    # Some devices send no name, as in every real list.
    unnamed = index % 7 == 5
    return Host(ip, make_mac(rng), None if unnamed else name.encode(), rng.randrange(60, 86400))


def hostile_hosts(names: dict[str, bytes] | None = None, seed: int = 1) -> tuple[Host, ...]:
    """One host for every hostile name, at 192.168.1.2 and up, in the order of the names."""
    rng = random.Random(seed)
    chosen = HOSTILE_NAMES if names is None else names
    return tuple(Host(f"192.168.1.{number}", make_mac(rng), name) for number, name in enumerate(chosen.values(), 2))


def fleet(count: int, *, seed: int = 1, first_port: int = 0, prefix: str = "router", **changes: Any) -> list[RouterSpec]:
    """``count`` routers named router0001 ... with hosts of their own; one is named by the prefix alone."""
    return [
        RouterSpec(
            name=f"{prefix}{number + 1:04}" if count > 1 else changes.get("name", "home"),
            seed=seed * 100003 + number,
            port=first_port + number if first_port else 0,
            **{key: value for key, value in changes.items() if key != "name"},
        )
        for number in range(count)
    ]
