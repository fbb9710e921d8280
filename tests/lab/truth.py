# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really passed: an nftables table of the lab's own counts what the router forwards, apart from any iptables.

It sees every packet in FORWARD before iptables' tables ``mangle`` and ``filter`` do. Addresses are learned from the packets, so a
host that comes later, or takes another IPv6 address, is in it, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .namespaces import inside, run

TABLE = """
table inet truth {{
  counter down {{ }}
  counter up {{ }}
  set down4 {{ type ipv4_addr; size 65535; flags dynamic; counter; }}
  set up4 {{ type ipv4_addr; size 65535; flags dynamic; counter; }}
  set down6 {{ type ipv6_addr; size 65535; flags dynamic; counter; }}
  set up6 {{ type ipv6_addr; size 65535; flags dynamic; counter; }}
  chain forward {{
    type filter hook forward priority -160; policy accept;
    iifname "{wan}" counter name down
    oifname "{wan}" counter name up
    iifname "{wan}" update @down4 {{ ip daddr }}
    oifname "{wan}" update @up4 {{ ip saddr }}
    iifname "{wan}" update @down6 {{ ip6 daddr }}
    oifname "{wan}" update @up6 {{ ip6 saddr }}
  }}
}}
"""


@dataclass(frozen=True)
class Passed:
    """Packets with their headers, as IP sees them."""

    download_bytes: int = 0
    download_packets: int = 0
    upload_bytes: int = 0
    upload_packets: int = 0

    def __add__(self, other: Passed) -> Passed:
        return Passed(
            self.download_bytes + other.download_bytes,
            self.download_packets + other.download_packets,
            self.upload_bytes + other.upload_bytes,
            self.upload_packets + other.upload_packets,
        )

    def __sub__(self, other: Passed) -> Passed:
        return Passed(
            self.download_bytes - other.download_bytes,
            self.download_packets - other.download_packets,
            self.upload_bytes - other.upload_bytes,
            self.upload_packets - other.upload_packets,
        )


@dataclass(frozen=True)
class Truth:
    """One reading."""

    total: Passed
    addresses: dict[str, Passed]


def install(namespace: str, wan: str) -> None:
    run(*inside(namespace, "nft", "-f", "-"), stdin=TABLE.format(wan=wan))


def read(namespace: str) -> Truth:
    items = json.loads(run(*inside(namespace, "nft", "-j", "list", "table", "inet", "truth")))["nftables"]
    counters = {item["counter"]["name"]: item["counter"] for item in items if "counter" in item}
    sets = {item["set"]["name"]: _elements(item["set"].get("elem", [])) for item in items if "set" in item}
    return Truth(
        _passed(counters["down"], counters["up"]),
        {**_by_address(sets["down4"], sets["up4"]), **_by_address(sets["down6"], sets["up6"])},
    )


def _elements(elements: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    return {element["elem"]["val"]: element["elem"]["counter"] for element in elements}


def _by_address(down: dict[str, dict[str, int]], up: dict[str, dict[str, int]]) -> dict[str, Passed]:
    return {address: _passed(down.get(address, {}), up.get(address, {})) for address in (*down, *up)}


def _passed(down: dict[str, int], up: dict[str, int]) -> Passed:
    return Passed(down.get("bytes", 0), down.get("packets", 0), up.get("bytes", 0), up.get("packets", 0))
