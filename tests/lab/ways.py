# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control node for a lab: the ways in which Ansible gets into the router, and the playbooks run over one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control import Control, Place, Run, Variables

from .network import Lab
from .spec import PASSWORD


def telnet(network: Lab, folder: Path) -> Variables:
    return {"ansible_connection": "homenet.traffic.telnet", "ansible_user": "root", "ansible_password": PASSWORD}


def _known_hosts(network: Lab, folder: Path) -> Path:
    known = folder / "known_hosts"
    known.write_text(network.known_hosts("sshd"), encoding="ascii")
    return known


def ssh_cli(network: Lab, folder: Path) -> Variables:
    return {
        "ansible_connection": "homenet.traffic.ssh_cli",
        "ansible_user": "root",
        "ansible_password": PASSWORD,
        "ansible_ssh_cli_known_hosts_file": str(_known_hosts(network, folder)),
    }


def ssh(network: Lab, folder: Path) -> Variables:
    trust = f"-F none -o UserKnownHostsFile={_known_hosts(network, folder)} -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes"
    return {
        "ansible_connection": "ansible.builtin.ssh",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(network.key),
        "ansible_ssh_common_args": trust,
    }


def become(network: Lab, folder: Path) -> Variables:
    """By a user who may not change the firewall."""
    rights = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su", "ansible_become_password": PASSWORD}
    return {**ssh(network, folder), "ansible_user": "keeper", **rights}


def local(network: Lab, folder: Path) -> Variables:
    """Ansible runs on the router itself."""
    return {"ansible_connection": "ansible.builtin.local"}


Way = Callable[[Lab, Path], Variables]
SERVERS: dict[Way, str | None] = {telnet: "telnet", ssh_cli: "sshd", ssh: "sshd", become: "sshd", local: None}
"""Which of the router's servers each way needs."""


def servers(way: Way) -> tuple[str, ...]:
    return tuple(filter(None, [SERVERS[way]]))


@dataclass(frozen=True)
class LabControl(Control):
    """``folder`` is the control node's own."""

    network: Lab
    way: Way

    def command(self, *words: str) -> Sequence[str]:
        """See Control."""
        command = super().command(*words)
        if SERVERS[self.way]:
            return command
        self.network.share(self.folder)
        return self.network.in_router(*command, folder=self.folder)

    def play(self, name: str, *flags: str, **variables: Any) -> Run:
        """Run a playbook of ours for the lab's router, which is called ``home``."""
        server = SERVERS[self.way]
        place = Place(*self.network.at(server), password="") if server else Place("127.0.0.1", 0, password="")
        common = {"traffic_backend": "iptables", **self.way(self.network, self.folder)}
        return self.playbook(place, name, *flags, **{**common, **variables})

    def report(self) -> dict[str, Any]:
        """What the last ``report`` wrote."""
        found: dict[str, Any] = json.loads((self.folder / "reports/home.json").read_text(encoding="utf-8"))
        return found
