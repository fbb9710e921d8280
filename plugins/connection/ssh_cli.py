# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ssh_cli
author: homenet.traffic contributors (@homenet-traffic)
short_description: Log in to a router's command line with SSH
version_added: 0.1.0
description:
  - Connects to the SSH server of a router and runs commands in what it starts there, which need not be a shell. Where that
    asks for a user name and a password once more, it gets them.
  - Meant for M(homenet.traffic.lan_hosts_info), M(homenet.traffic.chain), M(homenet.traffic.counters_info) and
    M(ansible.builtin.raw). A router has no Python, so other modules do not work over it.
  - For a router with a real shell, P(ansible.builtin.ssh#connection) does as well, and can more of SSH.
requirements:
  - ansible-pylibssh >= 1.4.0 (Python library)
notes:
  - A password is tried once only. Most routers lock their user out after a few wrong ones.
  - The library also reads C(~/.ssh/config) and C(/etc/ssh/ssh_config). Ciphers, MACs and other algorithms that are set there
    count, even against the options here. The address, the port, the user and a proxy come from the options alone.
  - Some old algorithms that old routers need are off by default. The error message names the option that allows them.
options:
  host:
    description: Name or address of the router.
    type: string
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_ssh_host
      - name: ansible_ssh_cli_host
  port:
    description: Port of its SSH server.
    type: integer
    default: 22
    vars:
      - name: ansible_port
      - name: ansible_ssh_port
      - name: ansible_ssh_cli_port
    env:
      - name: ANSIBLE_REMOTE_PORT
    ini:
      - section: defaults
        key: remote_port
  remote_user:
    description: The user name. Without one, it is that of the user of this machine.
    type: string
    vars:
      - name: ansible_user
      - name: ansible_ssh_user
      - name: ansible_ssh_cli_user
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    cli:
      - name: user
  password:
    description: The password. Not needed with a key. Keep it in a vault.
    type: string
    vars:
      - name: ansible_password
      - name: ansible_ssh_pass
      - name: ansible_ssh_password
      - name: ansible_ssh_cli_password
  private_key_file:
    description:
      - File with the private key.
      - With neither a key nor a password, the keys of an SSH agent and those in C(~/.ssh) are tried.
    type: path
    vars:
      - name: ansible_private_key_file
      - name: ansible_ssh_private_key_file
      - name: ansible_ssh_cli_private_key_file
    env:
      - name: ANSIBLE_PRIVATE_KEY_FILE
    ini:
      - section: defaults
        key: private_key_file
    cli:
      - name: private_key_file
        option: --private-key
  private_key_passphrase:
    description:
      - Passphrase of the private key. Keep it in a vault. For a key in OpenSSH's own format this needs the Python library bcrypt.
      - Without it, an SSH agent is asked for a key that has a passphrase.
    type: string
    vars:
      - name: ansible_private_key_passphrase
      - name: ansible_ssh_private_key_passphrase
    env:
      - name: ANSIBLE_PRIVATE_KEY_PASSPHRASE
    ini:
      - section: ssh_connection
        key: private_key_passphrase
  host_key_checking:
    description:
      - Whether the router's host key must be the one in C(known_hosts).
      - When switched off, anybody in between can read the password. Nothing is written to C(known_hosts).
    type: boolean
    default: true
    vars:
      - name: ansible_host_key_checking
      - name: ansible_ssh_host_key_checking
      - name: ansible_ssh_cli_host_key_checking
    env:
      - name: ANSIBLE_HOST_KEY_CHECKING
      - name: ANSIBLE_SSH_HOST_KEY_CHECKING
    ini:
      - section: defaults
        key: host_key_checking
      - section: ssh_connection
        key: host_key_checking
  known_hosts_file:
    description: The file with the host keys of known routers, in place of C(~/.ssh/known_hosts).
    type: path
    vars:
      - name: ansible_ssh_cli_known_hosts_file
    env:
      - name: ANSIBLE_SSH_CLI_KNOWN_HOSTS_FILE
    ini:
      - section: homenet_traffic_ssh_cli
        key: known_hosts_file
  proxy_command:
    description:
      - A command that connects its standard input and output to the router's SSH server, as in OpenSSH. C(%h) stands for the
        host, C(%p) for the port, C(%r) for the user and C(%%) for a percent sign.
      - To go through another machine, V(ssh -W %h:%p user@machine).
    type: string
    vars:
      - name: ansible_ssh_cli_proxy_command
    env:
      - name: ANSIBLE_SSH_CLI_PROXY_COMMAND
    ini:
      - section: homenet_traffic_ssh_cli
        key: proxy_command
  key_exchange_algorithms:
    description:
      - Key exchanges to offer, with commas between them. A plus sign in front adds them to the usual ones, a minus sign takes
        them away, and C(^) puts them first.
      - Old routers need V(+diffie-hellman-group14-sha1) or V(+diffie-hellman-group1-sha1), which are weak.
    type: string
    vars:
      - name: ansible_ssh_cli_key_exchange_algorithms
    env:
      - name: ANSIBLE_SSH_CLI_KEY_EXCHANGE_ALGORITHMS
    ini:
      - section: homenet_traffic_ssh_cli
        key: key_exchange_algorithms
  host_key_algorithms:
    description: Host key algorithms to accept, in the same form. Old routers need V(+ssh-rsa), which is weak.
    type: string
    vars:
      - name: ansible_ssh_cli_host_key_algorithms
    env:
      - name: ANSIBLE_SSH_CLI_HOST_KEY_ALGORITHMS
    ini:
      - section: homenet_traffic_ssh_cli
        key: host_key_algorithms
  public_key_algorithms:
    description: Algorithms to log in with a key, in the same form. With an RSA key, old routers need V(+ssh-rsa), which is weak.
    type: string
    vars:
      - name: ansible_ssh_cli_public_key_algorithms
    env:
      - name: ANSIBLE_SSH_CLI_PUBLIC_KEY_ALGORITHMS
    ini:
      - section: homenet_traffic_ssh_cli
        key: public_key_algorithms
  profile:
    description:
      - The router profile, C(auto), a name out of the collection or the path of a file of your own.
      - V(auto) picks it from what the router says at log-in.
    type: string
    default: auto
    vars:
      - name: traffic_profile
    env:
      - name: ANSIBLE_SSH_CLI_PROFILE
    ini:
      - section: homenet_traffic_ssh_cli
        key: profile
  timeout:
    description: Seconds from connecting to the end of the log-in, and again from there to the router's first prompt.
    type: float
    default: 10
    vars:
      - name: ansible_timeout
      - name: ansible_ssh_timeout
      - name: ansible_ssh_cli_timeout
    env:
      - name: ANSIBLE_TIMEOUT
      - name: ANSIBLE_SSH_TIMEOUT
    ini:
      - section: defaults
        key: timeout
      - section: ssh_connection
        key: timeout
    cli:
      - name: timeout
  command_timeout:
    description: Seconds that a command may take.
    type: float
    default: 30
    vars:
      - name: ansible_command_timeout
      - name: ansible_ssh_cli_command_timeout
    env:
      - name: ANSIBLE_SSH_CLI_COMMAND_TIMEOUT
    ini:
      - section: homenet_traffic_ssh_cli
        key: command_timeout
  output_limit:
    description: Bytes that a command may print. A router that prints more is not read to its end, and the task fails.
    type: integer
    default: 1048576
    vars:
      - name: ansible_ssh_cli_output_limit
    env:
      - name: ANSIBLE_SSH_CLI_OUTPUT_LIMIT
    ini:
      - section: homenet_traffic_ssh_cli
        key: output_limit
"""

EXAMPLES = r"""
routers:
  hosts:
    home:
      ansible_host: 192.168.1.1
      ansible_connection: homenet.traffic.ssh_cli
      ansible_user: admin
      ansible_password: "{{ vault_home_password }}"
    attic: # an old one, behind another machine, with a key
      ansible_host: 10.0.7.1
      ansible_connection: homenet.traffic.ssh_cli
      ansible_user: root
      ansible_private_key_file: ~/.ssh/routers
      ansible_ssh_cli_key_exchange_algorithms: +diffie-hellman-group14-sha1
      ansible_ssh_cli_host_key_algorithms: +ssh-rsa
      ansible_ssh_cli_proxy_command: ssh -W %h:%p me@gate.example.net
# ansible home -i inventory.yml -m ansible.builtin.raw -a 'arp show'
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._cli_connection import CliConnection
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Stream
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, Shell, executed
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh import SshClient, SshOptions

__all__ = ["Connection"]


class Connection(CliConnection):
    """SSH to a router's command line."""

    transport = "homenet.traffic.ssh_cli"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client: SshClient | None = None

    def _open_stream(self) -> Stream:
        return self._connected_client().shell()

    def open(self) -> tuple[Callable[[str], str] | Shell, _profile.Profile]:
        """Log in. A real shell gets its scripts as the standard input of ``sh``, without a terminal; a command line has one."""
        name = str(self.get_option("profile"))
        if name != "auto" and (profile := _profile.load(name)).shell:
            return Shell(self._run_script, self.where), profile
        run, profile = super().open()
        return (Shell(self._run_script, self.where) if profile.shell else run), profile

    def _run_script(self, made: Script) -> str:
        limits = self._limits()
        status, output = self._connected_client().execute("sh", made.text.encode(), limits.command, limits.output * made.commands)
        return executed(made, self.where, status, output.decode("utf-8", "replace"))

    def _credentials(self) -> Credentials:
        return replace(super()._credentials(), accepted=True)

    def _connected_client(self) -> SshClient:
        if self._client is None:
            self._client = SshClient(self._ssh_options())
        self._client.connect()
        return self._client

    def _ssh_options(self) -> SshOptions:
        credentials = self._credentials()
        return SshOptions(
            host=str(self.get_option("host")),
            port=int(self.get_option("port")),
            user=credentials.user,
            password=credentials.password,
            private_key_file=self._text("private_key_file"),
            passphrase=self._text("private_key_passphrase"),
            timeout=float(self.get_option("timeout")),
            host_key_checking=bool(self.get_option("host_key_checking")),
            known_hosts_file=self._text("known_hosts_file"),
            proxy_command=self._text("proxy_command"),
            key_exchange_algorithms=self._text("key_exchange_algorithms"),
            host_key_algorithms=self._text("host_key_algorithms"),
            public_key_algorithms=self._text("public_key_algorithms"),
        )

    def _text(self, option: str) -> str | None:
        """An option as a plain string (variables are subclasses of it), None for an empty one."""
        value = self.get_option(option)
        return str(value) if value else None

    def close(self) -> None:
        """Log out and close."""
        super().close()
        if self._client is not None:
            self._client.close()
            self._client = None
