# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is to be like, its addresses, and who is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .sockets import End

ROUTER_IP, WAN_IP, GATEWAY, SERVER = "192.168.1.1", "100.64.7.20", "100.64.7.1", "203.0.113.10"
ROUTER_MAC = "02:00:5e:10:00:01"
LAN6, ULA6, WAN6, SERVER6 = "2001:db8:1::", "fd00:db8:1::", "2001:db8:7::", "2001:db8:ffff::10"
NAMES = (b"ali-laptop", b"sara-phone", b"reza-pc", b"mina-tablet")
PASSWORD = "admin"
"""Of every user of the router."""

WANS = ("ppp0", "eth0.2", "pppoe-wan")
BACKENDS = ("legacy", "nft")
SERVERS = ("telnet", "broadcom", "dropbear", "sshd", "dnsmasq", "udhcpd")
SHELLS = ("ash", "dash", "bash")


@dataclass(frozen=True)
class LabSpec:
    """``lab(hosts=3, wan="eth0.2")`` is short for ``lab(LabSpec(hosts=3, wan="eth0.2"))``."""

    hosts: int = 3
    wan: str = "ppp0"
    """``ppp0`` and ``pppoe-wan`` are point to point; ``eth0.2`` is a VLAN, with the gateway as a neighbor."""
    lan: str = "br0"
    backend: str = "legacy"
    """What ``iptables`` and its relatives are inside the router: ``legacy`` or ``nft``."""
    servers: tuple[str, ...] = ("broadcom",)
    """``telnet``: login and a real shell as root; ``broadcom``: telnet to the emulated CLI; ``dropbear``; ``sshd``; and one of
    ``dnsmasq`` and ``udhcpd``."""
    shell: str = "ash"
    """Of ``root``: BusyBox ``ash``, ``dash`` or ``bash``. The user ``keeper`` is not root and can ``su``."""
    prompt: str = ""
    """PS1 of that shell; empty: as OpenWrt has it for ``ash``, else the shell's own."""
    hostname: str = "router"
    without: tuple[str, ...] = ()
    """Commands that the router does not have. ``ash`` runs its own applets (``ip``, ``arp`` ...) all the same; ``dash`` does not."""
    files: Mapping[str, str] = field(default_factory=dict)
    """More files of the router, by absolute path, such as ``/etc/openwrt_release``."""
    lease_file: str = "/tmp/dhcp.leases"
    """Where the names stand: OpenWrt's place, or say ``/var/lib/misc/dnsmasq.leases``."""
    sshd_options: tuple[str, ...] = ()
    """Lines for the front of ``sshd_config``, say an old ``KexAlgorithms``."""
    host_keys: tuple[str, ...] = ("ed25519", "ecdsa", "rsa")
    """Types of the host keys of both SSH servers."""
    ipv6: bool = False
    """Dual stack: a global and a unique local address for every host, forwarding without translation."""

    def __post_init__(self) -> None:
        choices = ((self.wan, WANS), (self.backend, BACKENDS), (self.shell, SHELLS), *((one, SERVERS) for one in self.servers))
        for value, allowed in choices:
            if value not in allowed:
                raise ValueError(f"{value!r} is none of {', '.join(allowed)}")

    def port(self, server: str) -> int:
        """Inside the router. Of two servers for one thing, the second moves aside."""
        first_telnet, first_ssh = "telnet" in self.servers, "dropbear" in self.servers
        ports = {"telnet": 23, "broadcom": 2323 if first_telnet else 23, "dropbear": 22, "sshd": 2222 if first_ssh else 22}
        return ports[server]


@dataclass(frozen=True)
class LanHost:
    """A device on the LAN."""

    namespace: str
    ip: str
    mac: str
    name: bytes
    ip6: str = ""

    @property
    def end(self) -> End:
        return End(self.namespace, self.ip)

    @property
    def end6(self) -> End:
        return End(self.namespace, self.ip6)


def lan_host(namespace: str, number: int, *, ipv6: bool = False) -> LanHost:
    """The ``number``-th from 0."""
    last = 11 + number
    mac = f"02:00:5e:10:00:{last:02x}"
    return LanHost(namespace, f"192.168.1.{last}", mac, NAMES[number % len(NAMES)], f"{LAN6}{last}" if ipv6 else "")
