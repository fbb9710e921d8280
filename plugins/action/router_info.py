# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import UNFIT
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
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

    ARGUMENTS = {**CHAIN_ARGUMENTS, "require_fit": {"type": "bool", "default": False}}

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Look at it."""
        interface_list(arguments["wan_interfaces"])
        router = self.open_router(arguments, Settings(arguments["chain"], arguments["table"]))
        result.update(survey(router, arguments["backend"]), name=arguments["chain"])
        result.update(profile=router.profile_name, sources=router.sources(), read_at=now(), **notes(router))
        if arguments["require_fit"] and not result["fit"]:
            raise TrafficError(f"{router.where}: nothing can be counted. " + _why_unfit(result["findings"]))


def _why_unfit(found: Iterable[Mapping[str, Any]]) -> str:
    return " ".join(one["message"] for one in found if one["code"] in UNFIT)
