# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Show results of all routers of the play in the terminal
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Prints what an earlier task of the same play registered for each router as text that a person can read.
  - It runs once for all routers, failed and unreachable ones included, which are named at the end with their errors.
options:
  what:
    description:
      - V(hosts) shows who is on the network, out of M(homenet.traffic.lan_hosts_info) or M(homenet.traffic.counters_info).
      - V(chain) shows what M(homenet.traffic.chain) did.
      - V(live) shows who is using the link right now, out of M(homenet.traffic.counters_info) with its option C(interval).
      - V(check) shows what M(homenet.traffic.router_info) found out, and whether the router is fit for counting. It
        fails after that for a router on which nothing can be counted, unless its own task failed already.
      - V(selftest) shows how much of a file M(homenet.traffic.selftest) found to be counted.
    type: str
    choices: [hosts, chain, live, check, selftest]
    required: true
  result:
    description: The variable under which the earlier task registered its result.
    type: str
    default: traffic_reading
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: This action only shows.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: N/A
    details: This action only shows.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
    details: This action only shows.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: the control node
seealso:
  - module: homenet.traffic.report
"""

EXAMPLES = r"""
- name: Who is there
  homenet.traffic.lan_hosts_info:
  register: traffic_reading

- name: Show it
  homenet.traffic.show:
    what: hosts
  run_once: true
"""

RETURN = r"""
"""
