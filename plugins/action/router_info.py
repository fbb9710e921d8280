# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._router_action import (
    CHAIN_ARGUMENTS,
    RouterAction,
    interface_list,
    notes,
    now,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._survey import survey


class ActionModule(RouterAction):
    """What the router is, and what counting on it will be like."""

    ARGUMENTS = CHAIN_ARGUMENTS

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Look at it."""
        interface_list(arguments["wan_interfaces"])
        router = self.open_router(arguments, Settings(arguments["chain"], arguments["table"]))
        result.update(survey(router, arguments["backend"]), name=arguments["chain"])
        result.update(profile=router.profile_name, sources=router.sources(), read_at=now(), **notes(router))
