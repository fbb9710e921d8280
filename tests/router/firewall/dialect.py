# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between releases of iptables, and the errors that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

PARAMETER_PROBLEM = 2
VERSION_PROBLEM = 3
RESOURCE_PROBLEM = 4
OTHER_PROBLEM = 1

LOCK_TEXTS = {
    "hint": "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?",
    "stopped": "Another app is currently holding the xtables lock; still 0s 0us time ahead to have a chance to grab the lock...\n"
    "Another app is currently holding the xtables lock. Stopped waiting after 1s.",
    "unavailable": "iptables: Resource temporarily unavailable.",
}


@dataclass(frozen=True)
class Dialect:
    """One release of iptables, as far as its command line and its listings show it."""

    version: str = "1.4.21"
    numeric_protocol: bool = False
    """With ``-n``, ``prot`` is a number (1.8.9 and later)."""
    goto: bool = True
    """``-g``; iptables for kernels 2.4 has none."""
    wait: bool = False
    check: bool = False
    list_rules: bool = False
    old_negation: bool = True
    """``-s ! 1.2.3.4`` means ``! -s 1.2.3.4`` (dropped during 1.4)."""
    blank_line_in_errors: bool = True
    """1.4 ends some messages with two line feeds."""


ROUTER = Dialect()
NEWER_ROUTER = Dialect(wait=True, check=True, list_rules=True)
LEGACY_1_8_9 = Dialect(
    version="1.8.9 (legacy)",
    numeric_protocol=True,
    wait=True,
    check=True,
    list_rules=True,
    old_negation=False,
    blank_line_in_errors=False,
)


class UsageError(Exception):
    """The command line is wrong. ``text`` is printed as it is."""

    def __init__(self, text: str, status: int = PARAMETER_PROBLEM, *, bare: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.bare = bare


class KernelError(Exception):
    """The rule set refused; printed as ``iptables: TEXT.``"""

    def __init__(self, text: str, *, invalid: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.invalid = invalid


NO_SUCH = "No chain/target/match by that name"
NO_SUCH_RULE = "Bad rule (does a matching rule exist in that chain?)"
INVALID = "Invalid argument"
