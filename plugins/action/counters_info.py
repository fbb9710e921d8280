# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Iptables
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING
from ansible_collections.homenet.traffic.plugins.plugin_utils._router_action import (
    CHAIN_ARGUMENTS,
    RouterAction,
    interface_list,
    known_hosts,
    notes,
    reading,
)


class ActionModule(RouterAction):
    """What the chain has counted."""

    ARGUMENTS = {**CHAIN_ARGUMENTS, "require_chain": {"type": "bool", "default": False}}

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Read the counters."""
        interface_list(arguments["wan_interfaces"])
        settings = Settings(arguments["chain"], arguments["table"])
        router = self.open_router(arguments, settings)
        backend = Iptables(router.chains)
        router.foresee(READING, backend.listing())
        known = known_hosts(router)
        backend.look()
        if arguments["require_chain"] and not backend.exists():
            raise TrafficError(
                f"{router.where}: there is no chain {settings.chain} in the table {settings.table}, so nothing has been counted. "
                "Run setup_traffic first; reports of earlier days are kept as they are."
            )
        result.update(known, **reading(router, backend), **notes(router))
