# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain in the table that is not wanted any more: moved or removed. Private to this collection."""

from __future__ import annotations

from functools import partial

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Observed, as_commands, command
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_move import (
    is_copied,
    plan_copy,
    plan_unhook,
    require_movable,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Chains, Change
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError


class Mover:
    """Brings what ``old`` has counted into the table of ``new``. ``observed`` is what was seen there."""

    def __init__(self, old: Chains, new: Chains, observed: Observed) -> None:
        self._old = old
        self._new = new
        self._there = old.observe()
        self._here = observed

    def before(self) -> Observed:
        """What has counted up to now: the old chain, unless it was copied already."""
        return self._here if self._is_copied() else self._there

    def before_commands(self) -> list[str]:
        """Both tables as commands."""
        return [*as_commands(self._old.settings, self._there), *as_commands(self._new.settings, self._here)]

    def _is_copied(self) -> bool:
        return is_copied(self._new.settings, self._there, self._here)

    def require_movable(self) -> None:
        """Raise where it cannot be moved; nothing was changed then."""
        require_movable(self._old.settings, self._there, self._new.settings, self._here)

    def move(self, change: Change) -> Observed:
        """Move it. What is in the new table then."""
        if not self._is_copied():
            self.stop(change)
            still = self._still()
            self._new.converge(lambda seen: plan_copy(self._new.settings, seen, still), change, self._here)
        self.remove(change)
        return self._new.observe()

    def stop(self, change: Change) -> None:
        """Take the old jump away, and see what was counted until then."""
        self._old.converge(partial(plan_unhook, self._old.settings), change, self._there)
        self._there = self._old.observe()

    def _still(self) -> Observed:
        if self._there.chain is None:
            raise TrafficError(f"The chain {self._old.settings.chain} has gone while it was being moved. Run it again.")
        return self._there

    def remove(self, change: Change) -> None:
        """Remove the old one."""
        self._old.converge(partial(plan_absent, self._old.settings), change, self._old.observe(whole=True), whole=True)

    def preview(self, present: bool) -> tuple[list[str], Observed]:
        """The commands that this would take, and what would be in the new table."""
        old, new = self._old.settings, self._new.settings
        removal, here = plan_absent(old, self._there), self._here
        if not present or self._is_copied() or not self._there.chain:
            return [command(old, step) for step in removal], here
        copy = plan_copy(new, here, self._there)
        unhook = [command(old, step) for step in removal if step.chain == "FORWARD"]
        rest = [command(old, step) for step in removal if step.chain != "FORWARD"]
        return [*unhook, *(command(new, step) for step in copy), *rest], simulate(new, here, copy)
