# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done to a chain, in words for the terminal. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import count_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import human_bytes, visible, wrapped

WIDTH = 100


def chain_text(router: str, result: Mapping[str, Any], check_mode: bool) -> str:
    """What the module ``chain`` did on a router, or would do, what had been counted until then, and what is wrong now."""
    lines = wrapped(f"{visible(router)}: {_done(result, check_mode)}", WIDTH, following="  ")
    if result.get("state") != "present" and result["changed"]:
        lines += _until_then(result["before"])
    problems = [] if result.get("state") == "absent" or check_mode else result["chain"]["problems"]
    for problem in problems:
        if not (result.get("state") == "empty" and problem["code"] == "no_catch_all"):
            lines += wrapped(visible(problem["message"]), WIDTH, "! ", "  ")
    return "\n".join(lines)


def _done(result: Mapping[str, Any], check_mode: bool) -> str:
    if check_mode and result["changed"]:
        return f"would run {count_of(len(result['commands']), 'command')} (--diff shows the rules); nothing was changed."
    if result.get("state") == "empty":
        return "the chain is empty now; run setup_traffic to count again." if result["changed"] else "nothing to empty."
    if result.get("state") == "absent":
        return "chain and jump are gone." if result["changed"] else "there is no chain; nothing to remove."
    hosts = count_of(result["chain"]["hosts"], "host")
    where = ", ".join(visible(one["interface"]) for one in result["wan"])
    how = f"after {count_of(len(result['commands']), 'command')}" if result["changed"] else "as before; nothing was changed"
    return f"counting {hosts} on {where}, {how}."


def _until_then(before: Mapping[str, Any]) -> list[str]:
    """What would be forgotten with the chain."""
    counters: Sequence[Mapping[str, Any]] = [*before["counters"], *([before["unattributed"]] if before["unattributed"] else [])]
    down, up = (sum(one[key] or 0 for one in counters) for key in ("download_bytes", "upload_bytes"))
    if not down and not up:
        return []
    text = f"Until then it had counted {human_bytes(down)} down and {human_bytes(up)} up; each host's bytes are in the result (-v)."
    return wrapped(text, WIDTH, "  ", "  ")
