# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: selftest
short_description: Fetch a file through the router and tell whether it was counted
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Reads the counters, fetches a file on the control node through the router, reads the counters again in the same session, and
    compares what arrived with what was counted for the control node's address.
  - It fails when less than 99 percent was counted, and says why as far as it shows.
  - On Linux the kernel tells what a connection brought, and how long the headers of its packets are. So the counted bytes are
    compared without headers, to the byte. Elsewhere they are compared with the size of the file, of which up to 4 percent could be
    missing before it shows.
  - No proxy is used, even if the environment names one. What a proxy brings is counted for the proxy, or does not pass the router at all.
  - The control node must be on the router's network. Where it is not, let another host fetch the file between two tasks, see
    O(fetched), as the playbook C(selftest) does with the variable C(traffic_selftest_from).
extends_documentation_fragment:
  - homenet.traffic.router
  - homenet.traffic.router.chain
  - homenet.traffic.router.reads
options:
  url:
    description:
      - The file to fetch, by HTTP or HTTPS, from beyond the router. It must have 1 MB at least, and should have 20 MB or more, since
        acceleration leaves the first packets of a connection to the counters.
      - There is no default, so nobody is asked for a file who was not named. It may not hold a user name and a password.
    type: str
  host:
    description:
      - The address for which the router counts the file. Without it, that of the control node on the way to the file, which it finds out.
      - Needed where the router sees the control node under another address, as that of a container or a virtual machine.
      - If it is one of the control node's, the file is fetched from this address. Name an IPv6 address to fetch it over IPv6.
    type: str
  size_limit:
    description: So many bytes of the file are fetched at most.
    type: int
    default: 100000000
  time_limit:
    description: So many seconds are spent on it at most, from 1 to 60.
    type: float
    default: 30
  before:
    description:
      - What M(homenet.traffic.counters_info) returned before another host fetched the file. Then nothing is fetched here.
      - It belongs together with O(fetched).
    type: dict
  fetched:
    description: What another host has fetched since O(before).
    type: dict
    suboptions:
      by:
        description: The name of that host, for the result.
        type: str
        required: true
      address:
        description: The address for which the router counts the file.
        type: str
        required: true
      bytes:
        description: The number of bytes that arrived.
        type: int
        required: true
      seconds:
        description: How long that took.
        type: float
        required: true
seealso:
  - module: homenet.traffic.counters_info
  - module: homenet.traffic.router_info
"""

EXAMPLES = r"""
- name: Fetch a file through the router and see whether it is counted
  homenet.traffic.selftest:
    url: https://speedtest.example.net/100MB.bin
  register: traffic_reading

- name: Tell how much was counted
  ansible.builtin.debug:
    msg: "{{ traffic_reading.percent }} % counted"
"""

RETURN = r"""
fetched_by:
  description: Who fetched the file, C(this machine) for the control node.
  returned: when something was fetched
  type: str
  sample: this machine
host:
  description: The address for which it should have been counted.
  returned: when something was fetched
  type: str
  sample: 192.168.1.2
url:
  description: From where, without what may be secret in it.
  returned: when something was fetched
  type: str
  sample: https://speedtest.example.net/100MB.bin
payload_bytes:
  description: How much of the file arrived.
  returned: when something was fetched
  type: int
  sample: 100000000
expected_bytes:
  description: All that the connections brought if RV(exact), otherwise the same as RV(payload_bytes).
  returned: when something was fetched
  type: int
  sample: 100000317
exact:
  description: Whether the system told what the connections brought.
  returned: when something was fetched
  type: bool
  sample: true
found_bytes:
  description: What was counted, without the headers of its packets if RV(exact).
  returned: when something was fetched
  type: int
  sample: 100000325
counted_bytes:
  description: By how much the download counter of RV(host) grew meanwhile, other traffic of the host included.
  returned: when something was fetched
  type: int
  sample: 103593188
counted_packets:
  description: The same in packets.
  returned: when something was fetched
  type: int
  sample: 69093
percent:
  description: RV(found_bytes) in percent of RV(expected_bytes), 100 at most.
  returned: when something was fetched
  type: float
  sample: 100.0
fetch_seconds:
  description: How long it took.
  returned: when something was fetched
  type: float
  sample: 8.214
problems:
  description: What is known to be wrong with the counting, each with a C(code) and a C(message), as in C(chain.problems) of
    M(homenet.traffic.counters_info).
  returned: when something was fetched
  type: list
  elements: dict
  sample: []
notes:
  description: What the user should know of the reading, such as lines of the router's own log that were left out.
  returned: when something was fetched
  type: list
  elements: str
  sample: []
"""
