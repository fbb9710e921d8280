# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from ipaddress import ip_address
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend
from ansible_collections.homenet.traffic.plugins.plugin_utils._backends import Backends
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import NotComparable
from ansible_collections.homenet.traffic.plugins.plugin_utils._fetch import Arrived, CannotFetch, Fetch, Limits, check_url
from ansible_collections.homenet.traffic.plugins.plugin_utils._rates import growth_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._results import counted_result, status_result, wan_result
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._router_action import (
    CHAIN_ARGUMENTS,
    RouterAction,
    interface_list,
    notes,
    now,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._selftest import (
    NO_URL,
    Fetcher,
    complaint,
    require_on_network,
    selftest_result,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import plain_text

LONGEST = 60.0  # seconds; a session in which nothing is said for longer may be ended by the router
HERE = "this machine"


class ActionModule(RouterAction):
    """Whether what a host fetches is counted for it."""

    ARGUMENTS = {
        **CHAIN_ARGUMENTS,
        "url": {"type": "str"},
        "host": {"type": "str"},
        "size_limit": {"type": "int", "default": 100_000_000},
        "time_limit": {"type": "float", "default": 30.0},
        "before": {"type": "dict"},
        "fetched": {
            "type": "dict",
            "options": {
                "by": {"type": "str", "required": True},
                "address": {"type": "str", "required": True},
                "bytes": {"type": "int", "required": True},
                "seconds": {"type": "float", "required": True},
            },
        },
    }

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Read the counters, fetch, read them again, and compare. What is wrong with the options is said before the log-in."""
        interface_list(arguments["wan_interfaces"])
        for name in ("url", "host"):  # plain ones, for libraries that want them
            arguments[name] = arguments[name] and plain_text(arguments[name])
        _check(arguments)
        router = self.open_router(arguments, Settings(arguments["chain"], arguments["table"]))
        backends = Backends(router, arguments["backend"])
        start = time.monotonic()
        router.foresee(READING, backends.listing())
        backend = backends.look()
        if not backend.exists():
            raise TrafficError(f"{router.where}: nothing is counted yet. Run setup_traffic, and then selftest again.")
        first = _reading(router, backend)
        if arguments["fetched"] is None:
            who, arrived, second = self._fetch_here(arguments, router, backend)
        else:
            who, arrived = _fetched_elsewhere(arguments["fetched"])
            _require_on_network(router, backend, who)
            first, second = arguments["before"], first
        try:
            growth = growth_of(first, second, time.monotonic() - start)
        except NotComparable as why:
            raise TrafficError(f"{router.where}: the two readings cannot be compared: between them {why}. Run it again.") from why
        problems = status_result(backend.status(router.wan_interfaces()))["chain"]["problems"]
        result.update(changed=False, **selftest_result(who, check_url(arguments["url"]), arrived, growth, problems), **notes(router))
        wrong = complaint(router.where, result, growth)
        if wrong:
            raise TrafficError(wrong)

    def _fetch_here(self, arguments: dict[str, Any], router: Router, backend: Backend) -> tuple[Fetcher, Arrived, dict[str, Any]]:
        limits = Limits(arguments["size_limit"], arguments["time_limit"])
        with closing(Fetch(arguments["url"], limits, arguments["host"])) as fetch:
            try:
                fetch.open()
                who = Fetcher(HERE, arguments["host"] or fetch.address)
                _require_on_network(router, backend, who)
                fetch.read()
            except CannotFetch as error:
                raise TrafficError(f"{router.where}: {error}") from error
            arrived = fetch.arrived()
            router.forget("interfaces")
            router.foresee(("interfaces",), backend.listing())
            backend.look()
            return who, arrived, _reading(router, backend)


def _check(arguments: Mapping[str, Any]) -> None:
    if not arguments["url"]:
        raise TrafficError(NO_URL)
    check_url(arguments["url"])
    if arguments["size_limit"] < 1:
        raise TrafficError(f"traffic_selftest_size_limit is {arguments['size_limit']}; it is a number of bytes.")
    if not 1 <= arguments["time_limit"] <= LONGEST:
        raise TrafficError(
            f"traffic_selftest_time_limit is {arguments['time_limit']:g}; it is a number of seconds from 1 to {LONGEST:g}."
        )
    for address in filter(None, (arguments["host"], (arguments["fetched"] or {}).get("address"))):
        try:
            ip_address(address)
        except ValueError as error:
            raise TrafficError(f"traffic_selftest_host: {address!r} is not an address.") from error
    if (arguments["before"] is None) != (arguments["fetched"] is None):
        raise TrafficError("selftest: before and fetched belong together.")


def _fetched_elsewhere(given: Mapping[str, Any]) -> tuple[Fetcher, Arrived]:
    return Fetcher(plain_text(given["by"]), plain_text(given["address"])), Arrived(given["bytes"], given["seconds"])


def _reading(router: Router, backend: Backend) -> dict[str, Any]:
    """What of a result of ``counters_info`` is compared."""
    return {
        **counted_result(backend.counted()),
        "wan": wan_result(router.wan_interfaces(), router.wan_counters()),
        "marker": backend.status(router.wan_interfaces()).marker,
        "uptime_seconds": None,
        "read_at": now(),
    }


def _require_on_network(router: Router, backend: Backend, who: Fetcher) -> None:
    known = {*backend.hosts(), *(address for host in router.lan_hosts() for address in host.addresses)}
    require_on_network(router.where, who, known, router.own_addresses(), router.wan_interfaces())
