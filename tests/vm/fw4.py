# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ruleset in the shape that OpenWrt's fw4 has, with what it does to load it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The devices of the flowtable: as fw4 has them since 2024, and those under them, as before and for offloading in hardware.
ROUTED, PHYSICAL = ("br-lan", "eth0.2"), ("eth0", "lan1", "lan2")

_FLOWTABLE = """
  flowtable ft {{
    hook ingress priority 0;
    devices = {{ {devices} }};
    {counter}
  }}
"""
_TABLE = """
table inet fw4
flush table inet fw4
{forget}
table inet fw4 {{
  {flowtable}
  chain input {{
    type filter hook input priority filter; policy drop;
    iif "lo" accept comment "!fw4: Accept traffic from loopback"
    ct state vmap {{ established : accept, related : accept }} comment "!fw4: Handle inbound flows"
    iifname {{ "br-lan", "mgmt0" }} accept comment "!fw4: accept lan IPv4/IPv6 traffic"
    meta l4proto {{ icmp, ipv6-icmp }} accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    {offload}
    ct state vmap {{ established : accept, related : accept }} comment "!fw4: Handle forwarded flows"
    iifname "br-lan" jump forward_lan comment "!fw4: Handle lan IPv4/IPv6 forward traffic"
    jump handle_reject
  }}
  chain forward_lan {{ jump accept_to_wan; }}
  chain accept_to_wan {{
    meta nfproto ipv4 oifname "eth0.2" ct state invalid counter drop comment "!fw4: Prevent NAT leakage"
    oifname "eth0.2" counter accept comment "!fw4: accept wan IPv4/IPv6 traffic"
  }}
  chain handle_reject {{
    meta l4proto tcp reject with tcp reset comment "!fw4: Reject TCP traffic"
    reject with icmpx type port-unreachable comment "!fw4: Reject any other traffic"
  }}
  chain dstnat {{ type nat hook prerouting priority dstnat; policy accept; }}
  chain srcnat {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "eth0.2" jump srcnat_wan comment "!fw4: Handle wan IPv4/IPv6 srcnat traffic"
  }}
  chain srcnat_wan {{ meta nfproto ipv4 masquerade comment "!fw4: Masquerade IPv4 wan traffic"; }}
  chain raw_prerouting {{ type filter hook prerouting priority raw; policy accept; }}
  chain mangle_prerouting {{ type filter hook prerouting priority mangle; policy accept; }}
  chain mangle_forward {{
    type filter hook forward priority mangle; policy accept;
    iifname "eth0.2" tcp flags & (fin | syn | rst) == syn tcp option maxseg size set rt mtu comment "!fw4: Zone wan IPv4/IPv6 ingress MTU fixing"
    oifname "eth0.2" tcp flags & (fin | syn | rst) == syn tcp option maxseg size set rt mtu comment "!fw4: Zone wan IPv4/IPv6 egress MTU fixing"
  }}
}}
"""  # noqa: E501  as fw4 has it


@dataclass(frozen=True)
class Offloading:
    """The settings of fw4 that matter here."""

    devices: Sequence[str] = ()
    """Of the flowtable. Without any there is none, and flow offloading is off."""
    counter: bool = True
    """With it the kernel goes on to count for each connection."""


OFF = Offloading()
# Software flow offloading as the first release of each series had it.
OPENWRT = {"22.03": Offloading(PHYSICAL, counter=False), "23.05": Offloading(PHYSICAL), "24.10": Offloading(ROUTED)}


def ruleset(wanted: Offloading, *, had_flowtable: bool = False) -> str:
    """For ``nft -f``, which does all of it in one transaction."""
    devices = ", ".join(f'"{device}"' for device in wanted.devices)
    return _TABLE.format(
        forget="delete flowtable inet fw4 ft" if had_flowtable else "",
        flowtable=_FLOWTABLE.format(devices=devices, counter="counter;" if wanted.counter else "") if devices else "",
        offload="meta l4proto { tcp, udp } flow offload @ft;" if devices else "",
    )
