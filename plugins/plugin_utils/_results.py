# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules return: plain dicts in the shape of the contract (DESIGN, section 5). Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Direction,
    Observed,
    Settings,
    hosts_of,
    marker,
    plain_jumps,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import (
    Counter,
    host_counters,
    problems,
    unattributed,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import Finding
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Host, InterfaceCounters, Lease


def hosts_result(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """``hosts``: the devices on the network now."""
    return [{"ip": host.ip, "mac": host.mac, "name": host.name, "interface": host.interface} for host in hosts]


def names_result(leases: Sequence[Lease], hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """``names``: the names of devices that are not there now. Their rules are, and their counters."""
    present = {host.ip for host in hosts}
    return [
        {"ip": lease.ip, "mac": lease.mac, "name": lease.name} for lease in leases if lease.ip and lease.name and lease.ip not in present
    ]


def counted_result(chain: Chain | None) -> dict[str, Any]:
    """``counters`` and ``unattributed``."""
    if chain is None:
        return {"counters": [], "unattributed": None}
    rest = unattributed(chain)
    return {
        "counters": [{"ip": ip, **_four(both)} for ip, both in host_counters(chain).items()],
        "unattributed": None if rest is None else _four(rest),
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


def chain_result(settings: Settings, observed: Observed, interfaces: Sequence[str]) -> dict[str, Any]:
    """``chain``, ``marker`` and ``table``."""
    chain = observed.chain
    positions = plain_jumps(settings, observed)
    found = marker(chain)
    return {
        "chain": {
            "installed": chain is not None and bool(positions),
            "jump_position": positions[0] if positions else None,
            "references": 0 if chain is None else chain.references,
            "hosts": 0 if chain is None else len(hosts_of(chain)),
            "problems": [
                {"code": one.code, "message": one.message} for one in problems(settings, observed, interfaces)
            ],
        },
        "marker": None if found is None else str(found),
        "table": settings.table,
    }
