# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: counters_info
short_description: Read what was counted for each host
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Reads the counters of the chain that M(homenet.traffic.chain) installed, and who is on the network now.
  - The counters are never set back to be read. They grow until the chain is emptied or the router restarts.
  - Without a chain it succeeds, with RV(chain.installed) false and no counters, unless O(require_chain) is set.
extends_documentation_fragment:
  - homenet.traffic.router
  - homenet.traffic.router.chain
  - homenet.traffic.router.reads
options:
  require_chain:
    description: Fail where there is no chain.
    type: bool
    default: false
  interval:
    description:
      - Read the counters twice in the one login, so many seconds apart, and return rates, too. 0 reads them once.
      - At most 60. Between the two readings the session is idle; only the chain and the WAN interfaces are asked for twice.
      - It fails when the chain was emptied, made anew or lost rules between the two readings.
    type: float
    default: 0.0
seealso:
  - module: homenet.traffic.chain
  - module: homenet.traffic.report
"""

EXAMPLES = r"""
- name: Read the counters
  homenet.traffic.counters_info:
  register: traffic_reading

- name: Measure for ten seconds
  homenet.traffic.counters_info:
    interval: 10
  register: traffic_reading

- name: Name the heaviest downloader
  ansible.builtin.debug:
    msg: "{{ (traffic_reading.counters | sort(attribute='download_bytes') | last).ip }}"
  when: traffic_reading.counters | length > 0
"""

RETURN = r"""
hosts:
  description: The devices on the network now, as M(homenet.traffic.lan_hosts_info) returns them.
  returned: success
  type: list
  elements: dict
  sample:
    - ip: 192.168.1.2
      mac: 00:11:22:33:44:55
      name: ali-laptop
      interface: br0
      addresses: [192.168.1.2, "2001:db8:1::2"]
names:
  description: The names of devices that the router knows but that are not there now.
  returned: success
  type: list
  elements: dict
  sample:
    - ip: 192.168.1.9
      mac: 00:11:22:33:44:66
      name: guest-phone
counters:
  description:
    - What was counted for every host that has rules, over all interfaces to the Internet, since counting began.
    - A direction without a rule is none.
  returned: success
  type: list
  elements: dict
  sample:
    - ip: 192.168.1.2
      download_bytes: 1094857362
      download_packets: 840233
      upload_bytes: 52117840
      upload_packets: 411902
unattributed:
  description: What was counted for hosts without a counter, as the same four numbers. None where the chain has no catch-all.
  returned: success
  type: dict
  sample:
    download_bytes: 61904
    download_packets: 551
    upload_bytes: 71130
    upload_packets: 602
wan:
  description: The own counters of the interfaces to the Internet, none where the router cannot tell.
  returned: success
  type: list
  elements: dict
  sample:
    - interface: ppp0
      received_bytes: 1094919266
      sent_bytes: 52188970
chain:
  description: The state of the chain.
  returned: success
  type: dict
  sample:
    installed: true
    jump_position: 1
    references: 1
    hosts: 1
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
findings:
  description:
    - What keeps traffic from being counted, or from being counted for whom one may think, each with a C(code) and a C(message), as
      M(homenet.traffic.router_info) returns them.
    - Where each command takes time of its own (a command line that is no shell), only what shows in what was read anyway.
  returned: success
  type: list
  elements: dict
  sample: []
marker:
  description: Names this life of the chain. Another marker means that it was emptied or made anew. None without one.
  returned: success
  type: str
  sample: 127.81.4.9/127.200.7.33
table:
  description: The table that the chain is in.
  returned: success
  type: str
  sample: filter
profile:
  description: The router profile that was used.
  returned: success
  type: str
  sample: broadcom
uptime_seconds:
  description: How long the router has been running. None where it cannot tell.
  returned: success
  type: int
  sample: 604871
read_at:
  description: When it was read, by the clock of the control node, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T13:00:00+00:00"
interval_seconds:
  description:
    - The time between the two readings, by a clock of the control node that is never set.
    - It is taken when the answer with the chain's counters has arrived, both times.
  returned: success, with O(interval)
  type: float
  sample: 5.0027
rates:
  description:
    - Bits a second of every host that has rules. A direction without a rule is none.
    - A rate times RV(interval_seconds) is eight times the difference between RV(counters) and RV(before), to the byte.
  returned: success, with O(interval)
  type: list
  elements: dict
  sample:
    - ip: 192.168.1.2
      download_bps: 23088000.5
      upload_bps: 612034.0
unattributed_rate:
  description: Bits a second of hosts without a counter. None where the chain has no catch-all.
  returned: success, with O(interval)
  type: dict
  sample:
    download_bps: 0.0
    upload_bps: 0.0
wan_rates:
  description:
    - Bits a second by the own counters of the interfaces to the Internet, link headers included where they count them.
    - None where the router cannot tell, or where a counter began anew between the two readings.
  returned: success, with O(interval)
  type: list
  elements: dict
  sample:
    - interface: ppp0
      received_bps: 23391200.0
      sent_bps: 640115.5
before:
  description: What the first of the two readings was, as RV(counters), RV(unattributed) and RV(wan).
  returned: success, with O(interval)
  type: dict
  contains:
    counters:
      description: As RV(counters).
      type: list
      elements: dict
    unattributed:
      description: As RV(unattributed).
      type: dict
    wan:
      description: As RV(wan).
      type: list
      elements: dict
notes:
  description: What the user should know of the reading, such as lines of the router's own log that were left out.
  returned: success
  type: list
  elements: str
  sample: []
backend:
  description: What counts on the router, V(iptables), V(nftables) or V(ipset).
  returned: success
  type: str
  sample: iptables
sources:
  description: The commands that told each thing, in the ways of the router profile.
  returned: success
  type: dict
  sample:
    neighbors: [ip neigh]
    names: [cat /tmp/dhcp.leases]
"""
