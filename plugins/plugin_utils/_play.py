# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the routers of a play registered, for an action that runs once over all of them. Private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import plain_text


def registered(task_vars: Mapping[str, Any], variable: str) -> dict[str, object]:
    """The variable of every router of the play, failed and unreachable ones included; None where it is not set.

    ``raw_get`` does not run what it returns through the template engine, unlike ``hostvars[...]``: it is some times faster
    (1,000 routers: 0.2 s), and what a router said stays what it is.
    """
    hostvars = task_vars["hostvars"]
    return {str.__str__(host): hostvars.raw_get(host).get(variable) for host in task_vars["ansible_play_hosts_all"]}


def why_not(result: object, variable: str) -> str | None:
    """Why there is nothing to show for a router: its error. None for a good result."""
    if not isinstance(result, Mapping):
        return f"It was not read in this run: it failed earlier in it, or no task registered {variable} for it."
    if result.get("unreachable") or result.get("failed"):
        message = result.get("msg")
        # One line: those of ssh end in CR LF, which would show as escapes.
        return " ".join(plain_text(message).split()) if isinstance(message, str) and message else "It failed without a message."
    if result.get("skipped"):
        return "It was not read in this run: the task was skipped."
    return None


def is_unreachable(result: object) -> bool:
    """Whether a router could not be reached at all."""
    return isinstance(result, Mapping) and bool(result.get("unreachable"))


def stays_unreachable(task_vars: Mapping[str, Any]) -> bool:
    """Whether this router, unreachable as it is, goes on to the task that runs once over all of them.

    Where no router can be reached, that task would run for none. So a play may say, with its variable traffic_first_stays,
    that its first router stays; there the task runs on it, and ends as unreachable. As a template of the play the same would
    cost every router some milliseconds.
    """
    return bool(task_vars.get("traffic_first_stays")) and task_vars["inventory_hostname"] == task_vars["ansible_play_hosts_all"][0]


def require_one(results: Mapping[str, object], variable: str) -> None:
    """An error when no router has a result: the variable's name is wrong, then."""
    if not any(isinstance(result, Mapping) for result in results.values()):
        raise TrafficError(
            f"No router of this play has the variable {variable}. Read the counters in an earlier task of the same play, with "
            f"'register: {variable}'."
        )


def require_run_once(run_once: object, results: Mapping[str, object]) -> None:
    """An error when an action for all routers would run for each of them."""
    if len(results) > 1 and not run_once:
        raise TrafficError("This task is for all routers of the play together: add 'run_once: true' to it.")
