# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks, run for the virtual router as a user runs them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from control import Control, Place, Run

from .router import VirtualRouter


@dataclass(frozen=True)
class VmControl(Control):
    """A control node of the virtual router, which is called ``home``."""

    router: VirtualRouter

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(*self.router.telnet)

    def play(self, name: str, **variables: Any) -> Run:
        """One of our playbooks, which succeeds."""
        done = self.playbook(self.place, name, ansible_user="root", **variables)
        assert done.status == 0, done.out
        return done

    def counters(self) -> dict[str, Any]:
        """What ``counters_info`` returns."""
        return self.module(self.place, "counters_info", ansible_user="root").result()

    def report(self) -> dict[str, Any]:
        """What the last ``report`` wrote."""
        found: dict[str, Any] = json.loads((self.folder / "reports/home.json").read_text(encoding="utf-8"))
        return found
