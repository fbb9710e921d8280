# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: chain
short_description: Install, empty or remove the chain that counts each host
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Installs an iptables chain with two counting rules for each host and one jump to it, brings it up to date, empties it, or
    takes it away without leaving a trace.
  - No rule of it accepts, drops or alters a packet. The router forwards exactly as before, whatever happens on the way.
  - Nothing but the chain and the jump is ever changed. Counters are kept, other people's rules too.
  - What was changed is read back and compared with what was wanted.
extends_documentation_fragment:
  - homenet.traffic.router
  - homenet.traffic.router.chain
  - homenet.traffic.router.changes
options:
  state:
    description:
      - V(present) installs the chain or brings it up to date. Rules of hosts that left stay.
      - V(empty) takes all rules out of the chain. Chain and jump stay. Counting starts from zero with the next V(present).
      - V(absent) takes the jump and the chain away.
      - V(empty) and V(absent) refuse a chain that holds rules which this collection does not know.
    type: str
    choices: [present, empty, absent]
    default: present
  hosts:
    description:
      - The addresses to count, IPv4 or IPv6. V(arp) takes the devices on the network now.
      - An address of the router itself gets no counter, since what it fetches for itself is not forwarded.
      - Without it, the variable C(traffic_hosts) counts, then the default.
    type: list
    elements: str
    default: [arp]
  prune:
    description:
      - With O(state=present), take away the rules of hosts that are not among O(hosts) any more.
      - Without it, the variable C(traffic_prune) counts, then the default.
    type: bool
    default: false
  acceleration:
    description:
      - V(off) turns off, with O(state=present), what passes packets by the counters and can be turned off from the command line until the
        router restarts (Broadcom's flow cache, shortcut forwarding, Qualcomm's connection manager). O(state=absent) turns it on again.
        A fast line may become slower without it.
      - V(keep) changes nothing of it.
      - Without it, the variable C(traffic_acceleration) counts, then the default.
    type: str
    choices: [keep, 'off']
    default: keep
seealso:
  - module: homenet.traffic.counters_info
"""

EXAMPLES = r"""
- name: Count every device that is on the network now
  homenet.traffic.chain:

- name: Count these two, on an interface that is known
  homenet.traffic.chain:
    hosts: [192.168.1.2, 192.168.1.3]
    wan_interfaces: [ppp0]

- name: Take everything away again
  homenet.traffic.chain:
    state: absent
  register: removed

- name: Show what had been counted until then
  ansible.builtin.debug:
    var: removed.before.counters
"""

RETURN = r"""
commands:
  description: The commands that were run or, in check mode, would be.
  returned: always, once the state of the chain is known
  type: list
  elements: str
  sample:
    - iptables -N TRAFFIC
    - iptables -s 127.81.4.9 -d 127.200.7.33 -A TRAFFIC
    - iptables -i ppp0 -d 192.168.1.2 -j RETURN -A TRAFFIC
    - iptables -s 192.168.1.2 -o ppp0 -j RETURN -A TRAFFIC
    - iptables -i ppp0 -A TRAFFIC
    - iptables -o ppp0 -A TRAFFIC
    - iptables -j TRAFFIC -I FORWARD 1
name:
  description: The name of the chain.
  returned: success
  type: str
  sample: TRAFFIC
state:
  description: The state that was asked for.
  returned: always, once the state of the chain is known
  type: str
  sample: present
before:
  description: The RV(counters) and RV(unattributed) that were read before the change, so that nothing is lost by it.
  returned: always, once the state of the chain is known
  type: dict
  sample:
    counters: []
    unattributed: null
diff:
  description: The chain as iptables commands, C(before) and C(after).
  returned: success
  type: dict
  sample:
    before: ""
    after: |
      iptables -N TRAFFIC
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
      M(homenet.traffic.counters_info) returns them.
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
