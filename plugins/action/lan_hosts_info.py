# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import HOSTS
from ansible_collections.homenet.traffic.plugins.plugin_utils._router_action import (
    CHAIN_ARGUMENTS,
    RouterAction,
    interface_list,
    known_hosts,
    notes,
)


class ActionModule(RouterAction):
    """Which devices are on the network now."""

    ARGUMENTS = {key: CHAIN_ARGUMENTS[key] for key in ("profile", "wan_interfaces")}

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Ask the router."""
        interface_list(arguments["wan_interfaces"])
        router = self.open_router(arguments, Settings())
        router.foresee(HOSTS)
        result.update(known_hosts(router, in_outage=True), **notes(router))
