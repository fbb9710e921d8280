# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import secrets
from contextlib import nullcontext
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Observed,
    Settings,
    Wanted,
    as_commands,
    command,
    hosts_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Change, Plan
from ansible_collections.homenet.traffic.plugins.plugin_utils._mover import Mover, mover
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
        router.foresee(READING, router.chains, *([router.other_table()] if arguments["state"] != "empty" else []))
        known = known_hosts(router)
        observed = router.observe()
        move = None if arguments["state"] == "empty" else mover(router.other_table(), router.chains, observed)
        plan = _plan(arguments, router, observed, known, move)
        before = move.before() if move else observed
        result.update(state=arguments["state"], changed=False, commands=[], before=counted_result(before.chain))
        lines = move.before_commands() if move else as_commands(router.settings, observed)
        change = Change(after=observed)
        try:
            act = _preview if self._task.check_mode else _do
            after = act(router, plan, change, move, arguments["state"] == "present", observed)
        finally:
            result.update(changed=bool(change.commands), commands=change.commands)
        result["diff"] = {
            "before": "".join(f"{line}\n" for line in lines),
            "after": "".join(f"{line}\n" for line in as_commands(router.settings, after)),
        }
        result.update(known, **reading(router, router.settings, change.after or observed))
        result.update(profile=router.profile_name, name=settings.chain, **notes(router))


def _do(router: Router, plan: Plan, change: Change, move: Mover | None, present: bool, observed: Observed) -> Observed:
    if move and present:
        observed = move.move(change)
    elif move:
        move.remove(change)
    router.chains.converge(plan, change, observed)
    return change.after or observed


def _preview(router: Router, plan: Plan, change: Change, move: Mover | None, present: bool, observed: Observed) -> Observed:
    """Fill in the commands that would be run. What would be there afterwards."""
    if move:
        change.commands, observed = move.preview(present)
    steps = plan(observed)
    change.commands += [command(router.settings, step) for step in steps]
    return simulate(router.settings, observed, steps)


def _plan(
    arguments: dict[str, Any], router: Router, observed: Observed, known: dict[str, Any], move: Mover | None
) -> Plan:
    """What is to be done, decided before anything is changed."""
    if arguments["state"] == "empty":
        return lambda seen: plan_empty(router.settings, seen)
    if arguments["state"] == "absent":
        return lambda seen: plan_absent(router.settings, seen)
    if move:
        move.require_movable()
        observed = move.before()
    given = host_list(arguments["hosts"])
    hosts = tuple(host["ip"] for host in known["hosts"]) if given is None else given
    if not hosts and not (observed.chain and hosts_of(observed.chain)):
        raise TrafficError(
            f"{router.where}: nobody is on the network now as far as the router's ARP table says, and no host has rules yet, so "
            "there is nothing to count. Use the network from some device and run it again, or list addresses in traffic_hosts."
        )
    router.require_wan()
    wanted = Wanted(hosts, router.wan_interfaces(), arguments["prune"])
    marker = Marker.of(router.settings.family, secrets.randbits(128))
    return lambda seen: plan_present(router.settings, seen, wanted, marker)
