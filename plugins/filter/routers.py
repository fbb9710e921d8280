# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

_PLAIN_NAME = re.compile(r"[\w.-]+\Z")
_LOCALHOST = ("localhost", "127.0.0.1", "::1")

NO_ROUTERS = """The inventory has no router for this playbook: nothing in it matches '{pattern}'. Write one, for example:

    # inventory.yml
    routers:
      hosts:
        home:
          ansible_host: 192.168.1.1
          ansible_connection: homenet.traffic.telnet
          ansible_user: admin
          ansible_password: change-me

and name it with -i: ansible-playbook -i inventory.yml homenet.traffic.report
Routers under another name are chosen with -e traffic_routers=PATTERN."""


def _matches(pattern: str, groups: Mapping[str, Sequence[str]]) -> bool:
    """Whether the pattern matches a host of the inventory."""
    if _PLAIN_NAME.match(pattern):
        return bool(groups[pattern]) if pattern in groups else pattern in groups.get("all", ()) or pattern in _LOCALHOST
    manager = InventoryManager(DataLoader(), parse=False)
    for group, hosts in groups.items():
        manager.add_group(group)
        for host in hosts:
            manager.add_host(host, group=group)
    return bool(manager.get_hosts(pattern=pattern))


def _pattern(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ",".join(map(str, value))
    raise AnsibleFilterError(f"traffic_routers is not a pattern of hosts: {value!r}")


def require_hosts(value: object, groups: Mapping[str, Sequence[str]]) -> object:
    """The pattern itself, or an error that shows how to write an inventory."""
    pattern = _pattern(value)
    if not _matches(pattern, groups) and not _only_reads_the_playbook():
        raise AnsibleFilterError(NO_ROUTERS.format(pattern=pattern))
    return value


def _only_reads_the_playbook() -> bool:
    """Whether nothing will run: a syntax check must not need an inventory."""
    return bool(context.CLIARGS and context.CLIARGS.get("syntax"))


class FilterModule:
    """What the playbooks ask about their routers before anything runs."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {"require_hosts": require_hosts}
