# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils import _acceleration
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend, Counted, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._backends import Backends
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._results import counted_result
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._router_action import (
    CHAIN_ARGUMENTS,
    RouterAction,
    host_list,
    interface_list,
    known_hosts,
    notes,
    reading,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._run_lock import only_run


class ActionModule(RouterAction):
    """Install the chain, empty it, or take it away."""

    ARGUMENTS = {
        **CHAIN_ARGUMENTS,
        "state": {"type": "str", "default": "present", "choices": ["present", "empty", "absent"]},
        "hosts": {"type": "list", "elements": "str", "default": ["arp"]},
        "prune": {"type": "bool", "default": False},
        "acceleration": {"type": "str", "default": "keep", "choices": ["keep", "off"]},
    }

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Bring the chain to the wanted state. All that can be refused is refused before the log-in."""
        interface_list(arguments["wan_interfaces"])
        host_list(arguments["hosts"])
        settings = Settings(arguments["chain"], arguments["table"])
        with nullcontext() if self._task.check_mode else only_run(self.where):
            self._bring(arguments, settings, result)

    def _bring(self, arguments: dict[str, Any], settings: Settings, result: dict[str, Any]) -> None:
        router = self.open_router(arguments, settings)
        state, prune = arguments["state"], arguments["prune"]
        given = host_list(arguments["hosts"])
        backends = Backends(router, arguments["backend"], state, learn=given is None)
        router.foresee(READING, [*backends.listing(), *(_acceleration.listing() if state == "absent" else ())])
        known = known_hosts(router)
        backend = backends.look(lambda: _wanted_hosts(known, given))
        others = backends.others(backend)
        both = [backend, *others]
        hosts = _hosts_to_count(router, known, given, both) if state == "present" else ()
        interfaces = router.wan_interfaces()
        before = [line for one in both for line in one.as_commands()]
        result.update(state=state, changed=False, commands=[], before=counted_result(_together(both)))
        result["moved_from"] = others[0].name if others and state == "present" else None
        # All that can be refused is refused by this, before anything is changed.
        planned, after = backend.preview(state, hosts, interfaces, prune)
        engines = _acceleration.to_turn_off(router.questions) if state == "present" and arguments["acceleration"] == "off" else []
        if state == "present" and arguments["acceleration"] == "off":
            _acceleration.left_on(router.questions)
        again = _acceleration.on_commands(router.questions) if state == "absent" and router.questions.has_shell else []
        if self._task.check_mode:
            taken_away = [line for one in others for line in one.preview("absent", (), (), False)[0]]
            result["commands"] = [*taken_away, *planned, *_acceleration.off_commands(engines), *again]
        else:
            result.update(known)  # should it fail: to tell by name what had been counted
            try:
                for one in others:
                    one.bring("absent", (), (), False, result["commands"])
                backend.bring(state, hosts, interfaces, prune, result["commands"])
                if engines:
                    _acceleration.turn_off(router.questions, engines, result["commands"])
                if again:
                    _acceleration.turn_on(router.questions, again, result["commands"])
            finally:
                result["changed"] = bool(result["commands"])
                result["before"] = counted_result(_together(both, final=True))
            after = backend.as_commands()
        result["changed"] = bool(result["commands"])
        switched = [*_acceleration.off_commands(engines), *again]
        result["diff"] = {"before": _lines(before), "after": _lines([*after, *switched])}
        result.update(known, **reading(router, backend), name=settings.chain, **notes(router))


def _together(backends: Sequence[Backend], final: bool = False) -> Counted:
    """What was counted up to now, or until it was taken away."""
    counted = Counted()
    for backend in backends:
        counted = together(counted, (final and backend.final()) or backend.before())
    return counted


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _wanted_hosts(known: dict[str, Any], given: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(address for host in known["hosts"] for address in host["addresses"]) if given is None else given


def _hosts_to_count(
    router: Router, known: dict[str, Any], given: tuple[str, ...] | None, backends: Sequence[Backend]
) -> tuple[str, ...]:
    hosts = _wanted_hosts(known, None) if given is None else _without_the_router(router, given)
    if not hosts and not any(backend.hosts() for backend in backends):
        raise TrafficError(
            f"{router.where}: nobody is on the network now as far as the router's ARP table says, leaving out who is on "
            f"{', '.join(router.wan_interfaces())}, the way to the Internet; and no host has rules yet, so there is nothing to count. Use "
            "the network from some device and run it again, or list addresses in traffic_hosts."
        )
    router.require_wan()
    return hosts


def _without_the_router(router: Router, given: tuple[str, ...]) -> tuple[str, ...]:
    """One list may be for many routers, so an address of the router itself is no error unless it is alone."""
    own = {one.ip for one in router.own_addresses()}
    hosts = tuple(host for host in given if host not in own)
    left_out = ", ".join(host for host in given if host in own)
    if left_out:
        what = (
            f"{router.where}: traffic_hosts names {left_out}, which is the router itself. What it fetches for itself does not pass its "
            "firewall's FORWARD, where traffic is counted, so it got no counter."
        )
        if not hosts:
            raise TrafficError(f"{what} List the addresses of devices, or leave traffic_hosts out to count everybody in the ARP table.")
        router.questions.note(what)
    return hosts
