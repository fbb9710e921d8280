# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real leases: a DHCP server on the router, and a real client on a LAN host that says its name, whatever bytes that has.

What they let through (dnsmasq 2.90, BusyBox 1.35): dnsmasq takes letters, digits, ``-`` and ``_``, up to the first ``.``; with any
other character in it a name is as if not said, and ``*`` or the one before stays. BusyBox's udhcpd takes 19 bytes, and makes ``.`` of
whatever is not a letter, a digit, ``-`` or ``_``. Names of other bytes come from firmware that writes its own files:
``Lab.set_names`` writes one verbatim.
"""

from __future__ import annotations

from collections.abc import Sequence

from .box import Box
from .namespaces import inside, program, run
from .spec import LabSpec, LanHost, lan_host

UDHCPD_LEASES = "/var/lib/misc/udhcpd.leases"
UDHCPD_PID = "/run/udhcpd.pid"
HOST_NAME, FQDN = 12, 81


def server(name: str, router: Box, spec: LabSpec) -> Sequence[str]:
    """The command that runs it; every host gets the address that it has already."""
    known = [lan_host("", number) for number in range(80)]
    if name == "dnsmasq":
        lines = [
            "port=0", "user=root", "no-ping", "no-daemon", "pid-file=", f"interface={spec.lan}", "dhcp-authoritative",
            "dhcp-range=192.168.1.100,192.168.1.199,12h", f"dhcp-leasefile={spec.lease_file}",
            *(f"dhcp-host={host.mac},{host.ip}" for host in known),
        ]  # fmt: skip
        _write(router, "/etc/dnsmasq.conf", lines)
        return ["dnsmasq", "-k"]
    lines = [
        "start 192.168.1.100", "end 192.168.1.199", f"interface {spec.lan}", f"lease_file {UDHCPD_LEASES}", f"pidfile {UDHCPD_PID}",
        "option subnet 255.255.255.0", "option lease 43200", *(f"static_lease {host.mac} {host.ip}" for host in known),
    ]  # fmt: skip
    _write(router, "/etc/udhcpd.conf", lines)
    router.path(UDHCPD_LEASES).touch()
    return ["busybox", "udhcpd", "-f", "/etc/udhcpd.conf"]


def _write(router: Box, name: str, lines: Sequence[str]) -> None:
    router.path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def lease(router: Box, spec: LabSpec, host: LanHost, name: bytes, option: int) -> None:
    """Get one under this name; it stands in the server's file afterwards. The host keeps its address, for it is the same."""
    # A name for DNS (RFC 4702): flags, two bytes of old, and it is no list of labels but text.
    payload = b"\0\0\0" + name if option == FQDN else name
    words = ("udhcpc", "-f", "-q", "-n", "-t", "20", "-T", "1", "-i", "eth0", "-s", program("true"))
    run(*inside(host.namespace, program("busybox"), *words, "-x", f"0x{option:x}:{payload.hex()}"), timeout=40)
    if "udhcpd" in spec.servers:
        written = f"while [ ! -s {UDHCPD_LEASES} ]; do usleep 9999; done"
        router.run("sh", "-c", f"> {UDHCPD_LEASES}; kill -USR1 $(cat {UDHCPD_PID}); {written}")
