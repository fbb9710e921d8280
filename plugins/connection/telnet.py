# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: telnet
author: homenet.traffic contributors (@homenet-traffic)
short_description: Log in to a router's command line with telnet
version_added: 0.1.0
description:
  - Connects to the telnet server of a router, answers its questions for a user name and a password, and runs commands in
    its command line, which need not be a shell.
  - Meant for M(homenet.traffic.lan_hosts_info), M(homenet.traffic.chain), M(homenet.traffic.counters_info) and
    M(ansible.builtin.raw). A router has no Python, so other modules do not work over it.
  - Telnet sends everything, the password included, as plain text. Use it inside your own network only.
notes:
  - A password is tried once only. Most routers lock their user out after a few wrong ones.
  - The session is ended with the router's own log-out command, also after an error, since many routers let in one
    administrator at a time.
options:
  host:
    description: Name or address of the router.
    type: string
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_telnet_host
  port:
    description: Port of its telnet server.
    type: integer
    default: 23
    vars:
      - name: ansible_port
      - name: ansible_telnet_port
    env:
      - name: ANSIBLE_TELNET_PORT
    ini:
      - section: homenet_traffic_telnet
        key: port
  remote_user:
    description: The user name. Not needed where the router asks for none.
    type: string
    vars:
      - name: ansible_user
      - name: ansible_telnet_user
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    cli:
      - name: user
  password:
    description: The password. Not needed where the router asks for none. Keep it in a vault.
    type: string
    vars:
      - name: ansible_password
      - name: ansible_telnet_password
      - name: ansible_ssh_pass
      - name: ansible_ssh_password
  profile:
    description:
      - The router profile, C(auto), a name out of the collection or the path of a file of your own.
      - V(auto) picks it from what the router says at log-in.
    type: string
    default: auto
    vars:
      - name: traffic_profile
    env:
      - name: ANSIBLE_TELNET_PROFILE
    ini:
      - section: homenet_traffic_telnet
        key: profile
  timeout:
    description: Seconds from connecting to the router's first prompt.
    type: float
    default: 10
    vars:
      - name: ansible_timeout
      - name: ansible_telnet_timeout
    env:
      - name: ANSIBLE_TIMEOUT
    ini:
      - section: defaults
        key: timeout
    cli:
      - name: timeout
  command_timeout:
    description: Seconds that a command may take.
    type: float
    default: 30
    vars:
      - name: ansible_command_timeout
      - name: ansible_telnet_command_timeout
    env:
      - name: ANSIBLE_TELNET_COMMAND_TIMEOUT
    ini:
      - section: homenet_traffic_telnet
        key: command_timeout
  output_limit:
    description: Bytes that a command may print. A router that prints more is not read to its end, and the task fails.
    type: integer
    default: 1048576
    vars:
      - name: ansible_telnet_output_limit
    env:
      - name: ANSIBLE_TELNET_OUTPUT_LIMIT
    ini:
      - section: homenet_traffic_telnet
        key: output_limit
"""

EXAMPLES = r"""
routers:
  hosts:
    home:
      ansible_host: 192.168.1.1
      ansible_connection: homenet.traffic.telnet
      ansible_user: admin
      ansible_password: "{{ vault_home_password }}"
# ansible home -i inventory.yml -m ansible.builtin.raw -a 'arp show'
"""

from ansible_collections.homenet.traffic.plugins.plugin_utils._cli_connection import CliConnection
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Stream
from ansible_collections.homenet.traffic.plugins.plugin_utils._telnet import TelnetStream

__all__ = ["Connection"]


class Connection(CliConnection):
    """Telnet to a router's command line."""

    transport = "homenet.traffic.telnet"

    def _open_stream(self) -> Stream:
        return TelnetStream(str(self.get_option("host")), int(self.get_option("port")), float(self.get_option("timeout")))
