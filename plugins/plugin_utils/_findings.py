# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes the counts less than the truth, as far as it shows in what was read anyway. Private to this collection. Pure.

What is seen in answers to commands of its own stands in the profiles (their key ``findings``); what is wrong with the chain, in
_chain_state.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from ansible_collections.homenet.traffic.plugins.plugin_utils._lan import is_usual
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, Chain, Host
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import some

#: With one of these nothing can be counted, as the router is or is reached now.
UNFIT = frozenset({"nftables_only", "no_iptables", "no_such_table", "incompatible", "permission", "lock_held", "no_wan", "unreadable"})
#: With these all that passes the router is counted, but not for whom one may think.
NOTHING_LOST = frozenset({"behind_nat", "shared_mac", "second_router", "acceleration_off", "other_table", "ipv6_unseen"})
#: Nothing is known to be wrong.
NOTES = frozenset({"ipv6_unseen"})
IPV6_UNCOUNTED = "ipv6_uncounted"
#: Of what the profiles look for: the traffic meets the firewall, but no rule that counts.
NO_ACCELERATION = frozenset({IPV6_UNCOUNTED, "vpn_routes"})
#: True of every router, so no finding.
UNSEEN = (
    "No router can tell what stands behind another router that does NAT: all its devices are one device here. Nor does it see "
    "what devices send to each other without it."
)

FEW = 3  # addresses of one MAC: with two, one may have been left by a device that has got another
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_CARRIERS = IPv4Network("100.64.0.0/10")
# Words of names that nothing but routers, access points and repeaters have. No makers: they also make plugs and cameras.
_ROUTER_NAME = re.compile(
    r"(?<![a-z0-9])(router|openwrt|lede|dd-?wrt|asuswrt|edgerouter|mikrotik|routerboard|fritz[.-]?box|fritz[.-]?repeater|repeater|"
    r"(range-?|wifi-?)?extender|access-?point|ap\d{0,2}|mesh|archer|deco|orbi|velop|eero|unifi|uap|tl-w[ar]\d+\w*|rt-(ac|ax|be|n)\d+\w*|"
    r"dir-\d+\w*|wndr\d+|wrt\d+\w*|re\d{3}\w?)(?![a-z0-9])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Finding:
    """Something that the user should know. The codes are part of the contract."""

    code: str
    message: str


def findings(hosts: Sequence[Host], own: Sequence[Address], wan: Sequence[str], forward: Chain | None) -> list[Finding]:
    """All that can be told from the hosts, the router's own addresses, the interfaces to the Internet, and FORWARD."""
    return [*_offloaded(forward), *_behind_nat(own, wan), *_one_armed(own, wan), *_shared_macs(hosts), *_other_routers(hosts)]


def _offloaded(forward: Chain | None) -> Iterator[Finding]:
    if forward and any(rule.target == "FLOWOFFLOAD" for rule in forward.rules):
        yield Finding(
            "flow_offloading",
            "A rule of FORWARD hands connections over to flow offloading (FLOWOFFLOAD): after their first packets they pass the router "
            "without meeting iptables, so most traffic is not counted. Turn off flow offloading in the settings of the firewall.",
        )


def _behind_nat(own: Sequence[Address], wan: Sequence[str]) -> Iterator[Finding]:
    for interface in wan:
        addresses = [IPv4Address(one.ip) for one in own if one.interface == interface and ":" not in one.ip]
        if addresses and all(any(address in network for network in _PRIVATE) for address in addresses):
            yield Finding(
                "behind_nat",
                f"{interface} has a private address ({addresses[0]}): another router stands between this one and the Internet (or a VPN "
                "does). What passes this router is counted as ever, but devices that are connected to the other one use the link too and "
                "are not seen here. To see them, count on the other router, or let it only bridge (modem mode).",
            )


def _one_armed(own: Sequence[Address], wan: Sequence[str]) -> Iterator[Finding]:
    """A packet that leaves on the interface on which it came meets the rules of both directions."""
    interfaces = {one.interface for one in own if ":" not in one.ip and is_usual(one.ip)}
    if interfaces and interfaces <= set(wan):
        yield Finding(
            "one_armed",
            f"All addresses of this router are on {some(sorted(interfaces))}, which counts as the way to the Internet. If "
            "traffic_wan_interfaces names the interface of the devices, take it out there. Otherwise packets leave the router on the "
            "interface on which they came: the numbers of each device are right, but those of the rest are not, for what devices without a "
            "counter of their own send and receive counts there as download and as upload, and with nftables what all others do, too. Give "
            "the devices a network of their own on another interface; one of a VLAN will do.",
        )


def is_carriers(address: str) -> bool:
    """Whether an address, perhaps with a prefix length, is of those that a provider shares among its customers."""
    return ":" not in address and IPv4Address(address.partition("/")[0]) in _CARRIERS


def _shared_macs(hosts: Iterable[Host]) -> Iterator[Finding]:
    addresses: dict[str, list[str]] = {}
    for host in hosts:
        if host.mac:
            addresses.setdefault(host.mac, []).append(host.ip)
    shared = {mac: ips for mac, ips in addresses.items() if len(ips) >= FEW}
    if shared:
        told = "; ".join(f"{mac} for {some(ips, 3)}" for mac, ips in list(shared.items())[:3])
        yield Finding(
            "shared_mac",
            f"One device answers for several addresses ({told}): supposedly a repeater, or an access point that passes others on. Each "
            "address is counted by itself; the names may be the repeater's, because its MAC is all that the router sees.",
        )


def _other_routers(hosts: Iterable[Host]) -> Iterator[Finding]:
    called = [f"{host.name[:40]} ({host.ip})" for host in hosts if host.name and _ROUTER_NAME.search(host.name)]
    if called:
        several = len(called) > 1
        yield Finding(
            "second_router",
            f"By {'their names' if several else 'its name'}, {some(called, 3)} {'are' if several else 'is'} a router, an access point or a "
            "repeater. If it does NAT, all who use it count as this one device; switch it to access point mode to tell them apart. "
            "If it is in that mode already, nothing is wrong.",
        )


def ipv6_unseen() -> Finding:
    """What no command of the router would tell."""
    return Finding(
        "ipv6_unseen",
        "Whether this router forwards IPv6 cannot be seen over this command line. If it does, that traffic is not counted, and shows in "
        "the report as a low share of counted traffic.",
    )


def other_table(table: str) -> Finding:
    """The chain, where it is not looked for."""
    return Finding(
        "other_table",
        f"The chain is in the table {table}, and counts there. Set traffic_table: {table} in the inventory, or setup_traffic moves it.",
    )


def acceleration_off(codes: Sequence[str]) -> Finding:
    """What setup_traffic turned off on request."""
    return Finding(
        "acceleration_off",
        f"setup_traffic has turned off {', '.join(codes)} here, as traffic_acceleration asked; remove_traffic turns it on again.",
    )
