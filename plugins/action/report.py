# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import Reading
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import Failure, router_order
from ansible_collections.homenet.traffic.plugins.plugin_utils._play import (
    is_unreachable,
    registered,
    require_one,
    require_run_once,
    why_not,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._render import FORMATS
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import Report, report_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._report_files import ReportDirectory, Written
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import count_of, files_text, reports_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import plain_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._variables import told_by_option

ARGUMENTS: dict[str, dict[str, Any]] = {
    "dir": {"type": "path", "default": "reports"},
    "formats": {"type": "list", "elements": "str", "choices": list(FORMATS), "default": list(FORMATS)},
    "readings": {"type": "dict"},
    "result": {"type": "str", "default": "traffic_reading"},
}


class ActionModule(ActionBase):
    """Reports on all routers of the play."""

    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the reports and show them. Errors are returned, not raised."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        own: object = None
        try:
            _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
            readings = arguments["readings"]
            if readings is None:
                readings = registered(variables, arguments["result"])
                require_run_once(self._task.run_once, readings)
                own = readings.get(variables["inventory_hostname"])
                require_one(readings, arguments["result"])
            written = self._report(arguments, readings, variables)
        except (AnsibleError, TrafficError) as error:
            result.update(failed=True, msg=told_by_option(str(error), "traffic_report_"))
        else:
            result.update(_summary(written, bool(self._task.check_mode)))
        if is_unreachable(own):
            _be_unreachable(result, plain_text(variables["inventory_hostname"]))
            self._task.ignore_errors = True  # or what is run once fails for the routers that were reached, too
        return result

    def _report(self, arguments: dict[str, Any], readings: Mapping[str, object], variables: dict[str, Any]) -> Written:
        now = datetime.now(timezone.utc).replace(microsecond=0)
        reports: dict[str, Callable[[Reading | None], Report]] = {}
        failures: dict[str, Failure] = {}
        for name, reading in sorted(readings.items(), key=lambda one: router_order(one[0])):
            router = plain_text(name)
            error = why_not(reading, arguments["result"])
            if error is None:
                reports[router] = partial(report_of, router, reading, now)
            else:
                failures[router] = Failure(router, error, now, is_unreachable(reading))
        inventory = frozenset(variables["groups"]["all"])
        directory = ReportDirectory(
            Path(arguments["dir"]), list(dict.fromkeys(arguments["formats"])), bool(self._task.check_mode)
        )
        written = directory.write(reports, failures, now, inventory.__contains__)
        files = files_text(arguments["dir"], [path.name for path in written.files], dry=directory.dry)
        for text, red in reports_text(written.reports, list(written.failures.values()), files):
            Display().display(text, color=constants.COLOR_ERROR if red else None)
        return written


def _summary(written: Written, check_mode: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "changed": bool(written.files),
        "failed_routers": [
            {"router": one.router, "msg": one.message, "unreachable": one.unreachable} for one in written.failures.values()
        ],
    }
    if written.refused:
        result.update(failed=True, msg=" ".join(written.failures[router].message for router in written.refused))
    else:
        result["files"] = [os.path.abspath(path) for path in written.files]
        result["routers"] = [report.router for report in written.reports]
        made = f"{count_of(len(written.reports), 'report')}{' in check mode' if check_mode else ''}"
        result["msg"] = f"{made}, {count_of(len(written.failures), 'router')} without one."
    if written.warnings:
        result["warnings"] = written.warnings
    return result


def _be_unreachable(result: dict[str, Any], router: str) -> None:
    """A play that keeps an unreachable router, so that this task runs at all, must not end well.

    Ansible prints such a result whole: with the files of a thousand routers, nothing else would be seen.
    """
    texts = [f"{router} is unreachable, as was said above.", result.get("msg")]
    for key in ("failed", "failed_routers", "files", "routers"):
        result.pop(key, None)
    result.update(unreachable=True, msg=" ".join(text for text in texts if text))
