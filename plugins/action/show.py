# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_text import chain_text, counted_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import Failure, router_order
from ansible_collections.homenet.traffic.plugins.plugin_utils._play import (
    is_unreachable,
    registered,
    require_one,
    require_run_once,
    why_not,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import Line, failures_list, hosts_table, pieces
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import plain_text

ARGUMENTS: dict[str, dict[str, Any]] = {
    "what": {"type": "str", "choices": ["hosts", "chain", "live", "check", "selftest"], "required": True},
    "result": {"type": "str", "default": "traffic_reading"},
}


class ActionModule(ActionBase):
    """Results of all routers of the play, in the terminal."""

    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show them. Errors are returned, not raised."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        own: object = None
        try:
            _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
            results = registered(variables, arguments["result"])
            own = results.get(variables["inventory_hostname"])
            require_run_once(self._task.run_once, results)
            require_one(results, arguments["result"])
            for text, red in self._text(arguments["what"], results, arguments["result"]):
                Display().display(text, color=constants.COLOR_ERROR if red else None)
            if unfit := [plain_text(name) for name, given in results.items() if arguments["what"] == "check" and _passed_unfit(given)]:
                raise TrafficError(f"Nothing can be counted on {', '.join(unfit)}: what is said above tells why.")
        except (AnsibleError, TrafficError) as error:
            result.update(failed=True, msg=str(error))
        if is_unreachable(own):  # a play ignores that its first router is unreachable, so that this task runs at all
            errors = [f"{plain_text(variables['inventory_hostname'])} is unreachable, as was said above."]
            errors += [result["msg"]] if result.pop("failed", False) else []  # both would be an error that is ignored
            result.update(unreachable=True, msg=" ".join(errors))
            self._task.ignore_errors = True  # or what is run once fails for the routers that were reached, too
        return result

    def _text(self, what: str, results: Mapping[str, object], variable: str) -> list[Line]:
        now = datetime.now(timezone.utc)
        blocks: list[list[Line]] = []
        failures = []
        for name in sorted(results, key=router_order):
            router, given = plain_text(name), results[name]
            error = None if what == "check" and _is_unfit(given) else why_not(given, variable)
            if error is None and isinstance(given, Mapping):
                blocks.append(self._block(what, router, given))
            else:
                failures.append(Failure(router, error or "", now, is_unreachable(given)))
                if what == "chain" and isinstance(given, Mapping) and (text := counted_text(router, given)):
                    blocks.append([(text, False)])
        if failures:
            blocks.append([(failures_list(failures, "It failed on"), False)])
        return pieces(blocks, dense=what == "chain")

    def _block(self, what: str, router: str, given: Mapping[str, Any]) -> list[Line]:
        if what == "live":
            from ansible_collections.homenet.traffic.plugins.plugin_utils._live_text import live_text  # noqa: PLC0415  (nothing else needs it)

            return live_text(router, given)
        if what == "check":
            from ansible_collections.homenet.traffic.plugins.plugin_utils._check_text import check_text  # noqa: PLC0415  (nothing else needs it)

            return [(check_text(router, given), False)]
        if what == "selftest":
            from ansible_collections.homenet.traffic.plugins.plugin_utils._selftest import selftest_text  # noqa: PLC0415  (nothing else needs it)

            return selftest_text(router, given)
        if what == "hosts":
            return [(hosts_table(router, given["hosts"]), False)]
        return [(chain_text(router, given, bool(self._task.check_mode), bool(self._task.diff)), False)]


def _is_unfit(given: object) -> bool:
    """Whether ``router_info`` found that nothing can be counted, be it an error there or not."""
    return isinstance(given, Mapping) and given.get("fit") is False


def _passed_unfit(given: object) -> bool:
    return _is_unfit(given) and isinstance(given, Mapping) and not given.get("failed")
