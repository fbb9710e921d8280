# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lan_hosts_info
short_description: Tell which devices are on the network now
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Reads the ARP table of a router and the names that it gave out, and returns the devices on the side of the LAN.
  - Neighbors on the side of the Internet, incomplete and failed entries and the router itself are left out. While there is no default
    route, nothing tells which side that is; then all neighbors are there, with a warning.
extends_documentation_fragment:
  - homenet.traffic.router
  - homenet.traffic.router.reads
seealso:
  - module: homenet.traffic.counters_info
"""

EXAMPLES = r"""
- name: Ask the router who is there
  homenet.traffic.lan_hosts_info:
  register: lan

- name: Say how many there are
  ansible.builtin.debug:
    msg: "{{ lan.hosts | length }} devices: {{ lan.hosts | map(attribute='ip') | join(', ') }}"
"""

RETURN = r"""
hosts:
  description: The devices, in numeric order of their addresses.
  returned: success
  type: list
  elements: dict
  sample:
    - ip: 192.168.1.2
      mac: 00:11:22:33:44:55
      name: ali-laptop
      interface: br0
      addresses: [192.168.1.2, "2001:db8:1::2"]
  contains:
    ip:
      description: The address.
      type: str
    mac:
      description: The MAC address in lower case, none where the router does not tell.
      type: str
    name:
      description:
        - The name under which the device asked for its address, none where it gave none.
        - It was chosen by the device. It may be misleading, and may hold anything that can be printed.
      type: str
    interface:
      description: The router's interface to it.
      type: str
names:
  description: The names of devices that the router knows but that are not there now.
  returned: success
  type: list
  elements: dict
  sample:
    - ip: 192.168.1.9
      mac: 00:11:22:33:44:66
      name: guest-phone
notes:
  description: What the user should know of the reading, such as lines of the router's own log that were left out.
  returned: success
  type: list
  elements: str
  sample: []
"""
