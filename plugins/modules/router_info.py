# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: router_info
short_description: Find out whether a router is fit for counting
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Finds out what a router is, how it reaches the Internet, what its firewall is like, and what makes traffic pass it uncounted.
  - It only reads. What it cannot find out is one of RV(findings) and no failure; it fails where nobody can log in.
options:
  require_fit:
    description:
      - Fail where nothing can be counted, which is where RV(fit) is V(false). All that was found is returned then, too.
      - That not all traffic can be counted is no failure.
    type: bool
    default: false
extends_documentation_fragment:
  - homenet.traffic.router
  - homenet.traffic.router.chain
  - homenet.traffic.router.reads
seealso:
  - module: homenet.traffic.show
    description: Shows what was found out in words.
  - module: homenet.traffic.counters_info
    description: Returns the same findings with each reading, as far as they cost it nothing.
"""

EXAMPLES = r"""
- name: Look at the router
  homenet.traffic.router_info:
  register: traffic_reading

- name: Go no further where nothing can be counted
  homenet.traffic.router_info:
    require_fit: true
"""

RETURN = r"""
fit:
  description: Whether traffic can be counted on this router, if perhaps not all of it.
  returned: success, and failure with O(require_fit)
  type: bool
  sample: true
findings:
  description:
    - What keeps traffic from being counted, or from being counted for whom one may think, and what to do about it.
    - What is wrong with the chain itself stands in RV(chain.problems).
    - Nothing can be counted with one of V(nftables_only), V(no_iptables), V(no_such_table), V(incompatible), V(permission),
      V(lock_held), V(no_wan) and V(unreadable).
    - Not all is counted with one of V(flow_offloading), V(broadcom_flow_cache), V(broadcom_ctf), V(shortcut_fe), V(qualcomm_ecm),
      V(mediatek_hwnat), V(edgeos_offload), V(ipv6_uncounted), V(vpn_routes), or a code out of a profile of your own.
    - It is counted under another name, or elsewhere, with one of V(behind_nat), V(shared_mac), V(second_router) and V(other_table).
    - With V(one_armed) what is counted for devices without a counter of their own is too much.
    - V(ipv6_unseen) tells that no command shows whether the router forwards IPv6, which would not be counted.
    - V(acceleration_off) tells what O(homenet.traffic.chain#module:acceleration=off) has turned off.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: Names the finding.
      type: str
    message:
      description: What was found, what follows from it, and what to do.
      type: str
  sample:
    - code: flow_offloading
      message: Flow offloading is on (in OpenWrt's settings) ...
system:
  description: What the router is. None where it does not tell, each of its values as well.
  returned: success
  type: dict
  contains:
    name:
      description: The name of its firmware.
      type: str
    version:
      description: The version of its firmware.
      type: str
    model:
      description: The model of the device.
      type: str
    kernel:
      description: The version of its Linux.
      type: str
  sample:
    name: OpenWrt
    version: 21.02.3
    model: TP-Link Archer C7 v2
    kernel: 5.4.188
iptables:
  description: The iptables that is used. None where there is none.
  returned: success
  type: dict
  contains:
    program:
      description: How it is called.
      type: str
    version:
      description: Its version.
      type: str
    backend:
      description: V(legacy) or V(nf_tables), none where it does not tell, as before version 1.8.
      type: str
  sample:
    program: iptables -w 5
    version: 1.8.7
    backend: legacy
nftables:
  description: The version of nftables. None where there is none.
  returned: success
  type: str
  sample: 1.0.2
ipset:
  description: The version of ipset. None where there is none.
  returned: success
  type: str
  sample: "7.17"
wan:
  description: The interfaces to the Internet with their own counters, none where the router cannot tell.
  returned: success
  type: list
  elements: dict
  sample:
    - interface: pppoe-wan
      addresses: [203.0.113.7/32]
      received_bytes: 1094919266
      sent_bytes: 52188970
lan:
  description: The interfaces to the local network.
  returned: success
  type: list
  elements: dict
  sample:
    - interface: br-lan
      addresses: [192.168.1.1/24]
hosts:
  description: How many devices are on the network now. None where it could not be found out.
  returned: success
  type: int
  sample: 14
chain:
  description: The state of the chain, as M(homenet.traffic.counters_info) returns it. None where it could not be found out.
  returned: success
  type: dict
  sample:
    installed: true
    jump_position: 1
    references: 1
    hosts: 14
    problems: []
  contains:
    installed:
      description: Whether the chain and a jump to it exist.
      type: bool
    jump_position:
      description: The position of the jump in FORWARD, from 1. None without a jump.
      type: int
    references:
      description: How many rules jump to the chain.
      type: int
    hosts:
      description: How many hosts have rules.
      type: int
    problems:
      description: What makes the counters less than they should be, each with a C(code) and a C(message).
      type: list
      elements: dict
name:
  description: The name of the chain.
  returned: success
  type: str
  sample: TRAFFIC
table:
  description: The table that the chain is in.
  returned: success
  type: str
  sample: filter
sources:
  description: Which commands told what, such as the names of devices.
  returned: success
  type: dict
  sample:
    neighbors: [ip neigh]
    names: [cat /tmp/dhcp.leases, cat /etc/hosts]
profile:
  description: The router profile that was used.
  returned: success
  type: str
  sample: linux
read_at:
  description: When it was looked at, by the clock of the control node, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T13:00:00+00:00"
notes:
  description: What the user should know of the reading, such as lines of the router's own log that were left out.
  returned: success
  type: list
  elements: str
  sample: []
"""
