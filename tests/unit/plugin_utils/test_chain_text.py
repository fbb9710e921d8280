# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a change: a preview must not sound as if it had been made."""

from __future__ import annotations

from typing import Any

from readings import counter, host, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_text import chain_text


def change(state: str, **more: Any) -> dict[str, Any]:
    """The result for a router that had counted one of its two hosts."""
    before = reading([host("10.0.0.1", "tv"), host("10.0.0.2", "new")], [counter("10.0.0.1", 5, 6)], (7, 0))
    gone = {"counters": [], "unattributed": None} if state == "absent" else {}
    said = {"state": state, "name": "TRAFFIC", "backend": "iptables", "notes": [], "findings": [], "commands": ["iptables ..."]}
    return {**before, **said, **gone, "before": {key: before[key] for key in ("counters", "unattributed")}, "changed": True, **more}


TABLE = """\
NAME                     IP        MAC                DOWN    SHARE   UP    SHARE
tv                       10.0.0.1  00:11:22:33:44:55   5 B   41.7 %  6 B  100.0 %
hosts without a counter                                7 B   58.3 %  0 B    0.0 %
---------------------------------------------------------------------------------
total                                                 12 B  100.0 %  6 B  100.0 %"""


def test_a_removal() -> None:
    assert chain_text("home", change("absent"), False) == f"home: chain and jump are gone.\nIt had counted until then:\n{TABLE}"
    preview = "home: would run 1 command (--diff shows the rules); nothing was changed.\nIt has counted until now:"
    assert chain_text("home", change("absent"), True) == f"{preview}\n{TABLE}"


def test_a_move() -> None:
    moved = change("present", moved_from="nftables")
    assert "  Counting moves from nftables to iptables and starts anew.\nIt had counted until then:" in chain_text("home", moved, False)
    preview = chain_text("home", moved, True, True)
    assert preview.startswith("home: would run 1 command; nothing was changed.\n  Counting would move from nftables to iptables and")
    assert "\nIt has counted until now:\n" in preview
