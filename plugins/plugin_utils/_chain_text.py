# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done to a chain, in words for the terminal. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._report import report_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import count_of, report_table
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import visible, wrapped

WIDTH = 100


def chain_text(router: str, result: Mapping[str, Any], check_mode: bool, diff: bool = False) -> str:
    """What the module ``chain`` did on a router, or would do, what had been counted until then, and what is wrong now."""
    lines = wrapped(f"{visible(router)}: {_done(result, check_mode, diff)}", WIDTH, following="  ")
    moved = result.get("moved_from")
    if moved:
        moves, starts = ("would move", "start") if check_mode else ("moves", "starts")
        lines += wrapped(f"Counting {moves} from {moved} to {result['backend']} and {starts} anew.", WIDTH, "  ", "  ")
    if (moved or result.get("state") != "present" or _forgets(result)) and result["changed"]:
        lines += _until_then(router, result, "It has counted until now:" if check_mode else "It had counted until then:")
    for note in result.get("notes", ()):
        if note.startswith("traffic_acceleration: "):
            lines += wrapped(visible(note), WIDTH, "! ", "  ")
    problems = [] if result.get("state") == "absent" or check_mode else list(result["chain"]["problems"])
    if result.get("state") == "present" and not check_mode:
        problems += result.get("findings", ())
    for problem in problems:
        if not (result.get("state") == "empty" and problem["code"] == "no_catch_all"):
            lines += wrapped(visible(problem["message"]), WIDTH, "! ", "  ")
    return "\n".join(lines)


def counted_text(router: str, result: Mapping[str, Any]) -> str:
    """What had been counted when a change failed that takes counters away; nothing where it had not begun, or takes none."""
    if "hosts" not in result or "before" not in result or (result.get("state") == "present" and not result.get("moved_from")):
        return ""
    text = f"{visible(router)}: the counters may be gone, although the run failed; the next one tells."
    lines = wrapped(text, WIDTH, following="  ")
    counted = _until_then(router, result, "It had counted until then:")
    return "\n".join([*lines, *counted]) if counted else ""


def _done(result: Mapping[str, Any], check_mode: bool, diff: bool) -> str:
    if check_mode and result["changed"]:
        hint = "" if diff else " (--diff shows the rules)"
        return f"would run {count_of(len(result['commands']), 'command')}{hint}; nothing was changed."
    if result.get("state") != "present":
        return _taken_away(result)
    hosts = count_of(result["chain"]["hosts"], "host")
    where = ", ".join(visible(one["interface"]) for one in result["wan"])
    how = f"after {count_of(len(result['commands']), 'command')}" if result["changed"] else "as before; nothing was changed"
    return f"counting {hosts} on {where}, {how}."


def _taken_away(result: Mapping[str, Any]) -> str:
    is_table = result.get("backend") == "nftables"
    none = f"there is no table {result['table']}" if is_table else f"there is no chain {result['name']} in the table {result['table']}"
    if result["state"] == "empty" and result["changed"]:
        if any(problem["code"] == "chain_missing" for problem in result["chain"]["problems"]):
            return "what was left of a chain that is gone was taken away."
        return f"the {'table' if is_table else 'chain'} is empty now; run setup_traffic to count again."
    if result["changed"]:
        return f"{'the table is' if is_table else 'chain and jump are'} gone."
    return f"{none}, or it is empty." if result["state"] == "empty" else f"counting is not installed: {none}; nothing to remove."


def _forgets(result: Mapping[str, Any]) -> bool:
    """Whether a host had counted more than its counters show now: it was pruned, or its counters were of a chain that is gone."""
    now = {counter["ip"]: counter for counter in result["counters"]}
    return any(
        (counter[way] or 0) > (now.get(counter["ip"], {}).get(way) or 0)
        for counter in result["before"]["counters"]
        for way in ("download_bytes", "upload_bytes")
    )


def _until_then(router: str, result: Mapping[str, Any], title: str) -> list[str]:
    """What would be forgotten with the chain: the last report of it."""
    reading = {**result, **result["before"], "chain": {**result.get("chain", {}), "problems": []}, "findings": [], "notes": []}
    report = report_of(router, reading, datetime.now(timezone.utc).replace(microsecond=0))
    if not report.active and not (report.unattributed and report.unattributed.bytes):
        return []
    counted = replace(report, hosts=tuple(host for host in report.hosts if host.has_counter))
    return [title, *report_table(counted).splitlines()[1:]]
