# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend
from ansible_collections.homenet.traffic.plugins.plugin_utils._backends import Backends
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._results import counted_result, wan_result
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import HOSTS, READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._router_action import (
    CHAIN_ARGUMENTS,
    RouterAction,
    interface_list,
    known_hosts,
    notes,
    now,
    reading,
)

LONGEST = 60.0  # seconds between two readings; a session in which nothing is said for longer may be ended by the router


class ActionModule(RouterAction):
    """What the chain has counted."""

    ARGUMENTS = {
        **CHAIN_ARGUMENTS,
        "require_chain": {"type": "bool", "default": False},
        "interval": {"type": "float", "default": 0.0},
    }

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Read the counters."""
        interface_list(arguments["wan_interfaces"])
        interval = arguments["interval"]
        if not 0 <= interval <= LONGEST:
            raise TrafficError(f"interval (traffic_interval) is {interval:g}; it is a number of seconds from 0 to {LONGEST:g}.")
        router = self.open_router(arguments, Settings(arguments["chain"], arguments["table"]))
        backends = Backends(router, arguments["backend"])
        if interval:
            self._read_twice(router, backends, arguments["require_chain"], interval, result)
        else:
            router.foresee(READING, backends.listing())
            backend = _look(router, backends, arguments["require_chain"], for_report=True)
            self._add(router, backend, result)

    def _read_twice(self, router: Router, backends: Backends, require_chain: bool, interval: float, result: dict[str, Any]) -> None:
        """Rates are of the time between the two answers that hold the chain's counters. All else is asked once, behind."""
        from ansible_collections.homenet.traffic.plugins.plugin_utils._rates import rates_result  # noqa: PLC0415  (reports need none of it)

        router.foresee(("routes", "routes6", "interfaces"), backends.listing())
        router.wan_interfaces()  # before the chain, so that the interfaces are asked for as soon after it as the second time
        backend = _look(router, backends, require_chain, for_report=False)
        start = time.monotonic()
        first = _counted(router, backend)
        time.sleep(max(0.0, start + interval - time.monotonic()))
        router.forget("interfaces")
        router.foresee(("interfaces",), backend.listing())
        backend.look()
        seconds = time.monotonic() - start
        second = _counted(router, backend)
        rates = rates_result(router.where, first, second, seconds)
        router.foresee([kind for kind in ("uptime", *HOSTS, "findings") if kind not in ("routes", "routes6")])
        self._add(router, backend, result)
        result.update(rates, wan=second["wan"], read_at=second["read_at"])

    def _add(self, router: Router, backend: Backend, result: dict[str, Any]) -> None:
        router.wan_counters()  # as near to the chain's as can be, for they are compared
        known = known_hosts(router)
        result.update(known, **reading(router, backend), **notes(router))


def _counted(router: Router, backend: Backend) -> dict[str, Any]:
    """What rates are made of."""
    return {
        **counted_result(backend.counted()),
        "wan": wan_result(router.wan_interfaces(), router.wan_counters()),
        "marker": backend.status(router.wan_interfaces()).marker,
        "uptime_seconds": None,
        "read_at": now(),
    }


def _look(router: Router, backends: Backends, require_chain: bool, *, for_report: bool) -> Backend:
    backend = backends.look()
    if require_chain and not backend.exists():
        sets = " that counts with sets of ipset" if backend.name == "ipset" else ""
        is_chain = backend.name != "nftables"
        name = f"chain {router.settings.chain}{sets} in the table {backend.table}" if is_chain else f"table {backend.table}"
        elsewhere = backends.elsewhere() if is_chain else None
        if elsewhere:
            raise TrafficError(
                f"{router.where}: there is no {name}, but there is one in the table {elsewhere}. Set traffic_table: {elsewhere} in the "
                "inventory."
            )
        kept = "; reports of earlier days are kept as they are" if for_report else ""
        raise TrafficError(
            f"{router.where}: counting is not installed (there is no {name}), so nothing has been counted. Run setup_traffic first{kept}."
        )
    return backend
