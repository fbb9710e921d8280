# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules return: plain dicts in the shape of the contract (DESIGN, section 5). Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, Counter, Direction, Status
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import Finding
from ansible_collections.homenet.traffic.plugins.plugin_utils._lan import is_usual
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Host, InterfaceCounters, Lease


def hosts_result(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """``hosts``: the devices on the network now."""
    return [
        {"ip": host.ip, "mac": host.mac, "name": host.name, "interface": host.interface, "addresses": list(host.addresses)}
        for host in hosts
    ]


def names_result(leases: Sequence[Lease], hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """``names``: the names of devices that are not there now. Their rules are, and their counters."""
    present = {address for host in hosts for address in host.addresses}
    return [
        {"ip": lease.ip, "mac": lease.mac, "name": lease.name}
        for lease in leases
        if lease.ip and lease.name and lease.ip not in present and is_usual(lease.ip)
    ]


def counted_result(counted: Counted) -> dict[str, Any]:
    """``counters`` and ``unattributed``."""
    return {
        "counters": [{"ip": ip, **_four(both)} for ip, both in counted.hosts.items()],
        "unattributed": None if counted.rest is None else _four(counted.rest),
    }


def _four(both: Mapping[Direction, Counter | None]) -> dict[str, int | None]:
    down, up = both["download"], both["upload"]
    return {
        "download_bytes": None if down is None else down.bytes,
        "download_packets": None if down is None else down.packets,
        "upload_bytes": None if up is None else up.bytes,
        "upload_packets": None if up is None else up.packets,
    }


def wan_result(interfaces: Sequence[str], counters: Sequence[InterfaceCounters | None]) -> list[dict[str, Any]]:
    """``wan``: the own counters of the interfaces to the Internet."""
    return [
        {
            "interface": interface,
            "received_bytes": None if found is None else found.received_bytes,
            "sent_bytes": None if found is None else found.sent_bytes,
        }
        for interface, found in zip(interfaces, counters, strict=True)
    ]


def findings_result(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """``findings``: what will not be counted, or only in part, and why."""
    return [{"code": one.code, "message": one.message} for one in findings]


def status_result(status: Status) -> dict[str, Any]:
    """``chain`` and ``marker``."""
    return {
        "chain": {
            "installed": status.installed,
            "jump_position": status.jump_position,
            "references": status.references,
            "hosts": status.hosts,
            "problems": [{"code": one.code, "message": one.message} for one in status.problems],
        },
        "marker": status.marker,
    }
