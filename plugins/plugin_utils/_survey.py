# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router surveyed: what it is, and what counting on it will be like. Private to this collection.

What cannot be found out is a finding and no error, so that the rest is told too; only a lost connection ends a survey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from ansible_collections.homenet.traffic.plugins.plugin_utils import _acceleration
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend
from ansible_collections.homenet.traffic.plugins.plugin_utils._backends import Backends
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import FirewallError
from ansible_collections.homenet.traffic.plugins.plugin_utils._complaints import DialogueError
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import (
    UNFIT,
    Finding,
    acceleration_off,
    ipv6_unseen,
    other_table,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Asked
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import System, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._results import findings_result, status_result, wan_result
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import HOSTS, Router

SURVEY: tuple[Asked, ...] = (*HOSTS, "interfaces", "findings", "system", "programs")

Found = TypeVar("Found")


@dataclass
class _Survey:
    """What could not be found out, as findings."""

    lacks: list[Finding] = field(default_factory=list)

    def tried(self, code: str, ask: Callable[[], Found]) -> Found | None:
        """The answer; None where there is none, which becomes a finding."""
        try:
            return ask()
        except TrafficError as error:
            if error.unreachable or isinstance(error, DialogueError):
                raise
            self.lacks.append(Finding(error.code if isinstance(error, FirewallError) else code, str(error)))
            return None


def survey(router: Router, wish: str = "auto") -> dict[str, Any]:
    """The keys of ``router_info`` but those of the reading itself."""
    backends = Backends(router, wish, "present")
    router.foresee(SURVEY, [*backends.listing(), *router.chains.versions(), *_acceleration.listing()])
    made = _Survey()
    backend = made.tried("unreadable", lambda: backends.look(lambda: _addresses_of_hosts(router)))
    wan = made.tried("no_wan", router.wan_interfaces) or ()
    hosts = made.tried("unreadable", router.lan_hosts) if wan else None
    counts_ipv6 = backend is not None and backend.counts_ipv6
    seen = router.findings(hosts or (), wan, counts_ipv6, thorough=True)
    unseen = [] if backend is None or counts_ipv6 or router.can_tell_ipv6() else [ipv6_unseen()]
    found = [*made.lacks, *_elsewhere(backends, backend), *_turned_off(router), *seen, *unseen]
    return {
        "fit": not any(one.code in UNFIT for one in found),
        "system": _told(router.system()),
        "iptables": _iptables(router),
        **{name: next((one.version for one in router.programs() if one.name == name), None) for name in ("nftables", "ipset")},
        "wan": _wan(router, wan),
        "lan": [{"interface": name, "addresses": _addresses(router, name)} for name in router.lan_interfaces(wan)],
        "hosts": None if hosts is None else len(hosts),
        "backend": None if backend is None else backend.name,
        "table": router.settings.table if backend is None else backend.table,
        "chain": None if backend is None else status_result(backend.status(wan))["chain"],
        "findings": findings_result(found),
    }


def _addresses_of_hosts(router: Router) -> list[str]:
    """Those that would be counted; what keeps them from being known is said elsewhere."""
    try:
        return [address for host in router.lan_hosts() for address in host.addresses]
    except TrafficError as error:
        if error.unreachable or isinstance(error, DialogueError):
            raise
        return []


def _elsewhere(backends: Backends, backend: Backend | None) -> list[Finding]:
    table = backends.elsewhere() if backend and backend.name in ("iptables", "ipset") and not backend.exists() else None
    return [other_table(table)] if table else []


def _turned_off(router: Router) -> list[Finding]:
    codes = _acceleration.turned_off(router.questions) if router.questions.has_shell else []
    return [acceleration_off(codes)] if codes else []


def _told(system: System) -> dict[str, str | None] | None:
    told: dict[str, str | None] = asdict(system)
    return told if any(told.values()) else None


def _iptables(router: Router) -> dict[str, str | None] | None:
    found = router.chains.version()
    return None if found is None else {"program": router.settings.program, "version": found.version, "backend": found.backend}


def _wan(router: Router, wan: Sequence[str]) -> list[dict[str, Any]]:
    counted = wan_result(wan, router.wan_counters()) if wan else []
    return [{**one, "addresses": _addresses(router, one["interface"])} for one in counted]


def _addresses(router: Router, interface: str) -> list[str]:
    own = router.own_addresses()
    return [one.ip if one.prefix is None else f"{one.ip}/{one.prefix}" for one in own if one.interface == interface]
