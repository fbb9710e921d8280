# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules on a router have in common."""

    DOCUMENTATION = r"""
options:
  profile:
    description:
      - The router profile, V(auto), a name out of the collection or the path of a file of your own.
      - Without it, the connection's own setting counts, which is the variable C(traffic_profile) or V(auto).
    type: str
  wan_interfaces:
    description:
      - The interfaces to the Internet. V(auto) takes those of the default routes.
      - It must be the routed interface, such as V(ppp0), not the Ethernet or ATM device under it.
      - Without it, the variable C(traffic_wan_interfaces) counts, then the default.
    type: list
    elements: str
    default: [auto]
notes:
  - It runs in the process of Ansible on the control node, since routers have no Python, and takes one login.
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: routers with a router profile
"""

    CHAIN = r"""
options:
  backend:
    description:
      - What counts on the router. V(iptables) is the chain, of IPv4 and where the router has it of IPv6. V(nftables) is a table of
        sets of its own, for IPv4 and IPv6, which learns a host with its first packet. V(ipset) is the chain with two rules that look into
        sets of ipset, which count each address.
      - V(auto) leaves what is installed. Where nothing is, it takes nftables where the router can count with it, since its sets cost the
        router the same for a thousand hosts as for one, and iptables otherwise; with ipset, if the router has it, from 500 hosts on, or
        from 17 on where iptables is the kind that makes rules of nftables.
      - O(chain) and O(table) are for iptables and ipset only.
      - Without it, the variable C(traffic_backend) counts, then the default.
    type: str
    choices: [auto, iptables, nftables, ipset]
    default: auto
  chain:
    description: The name of the chain. Without it, the variable C(traffic_chain) counts, then the default.
    type: str
    default: TRAFFIC
  table:
    description: The table that the chain is in. Without it, the variable C(traffic_table) counts, then the default.
    type: str
    choices: [filter, mangle]
    default: filter
"""

    READS = r"""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: This action only reads.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: N/A
    details: This action only reads.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
    details: This action only reads.
"""

    CHANGES = r"""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
"""
