# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small but genuine iptables: rules that count packets as the kernel does, and the command line over them. No I/O."""

from __future__ import annotations

from .dialect import LEGACY_1_8_9, LOCK_TEXTS, NEWER_ROUTER, ROUTER, Dialect
from .iptables import Result, run
from .listing import save
from .packet import Packet
from .rules import Chain, Firewall, Rule, RuleSpec, Table

__all__ = [
    "LEGACY_1_8_9", "LOCK_TEXTS", "NEWER_ROUTER", "ROUTER", "Chain", "Dialect", "Firewall", "Packet", "Result", "Rule",
    "RuleSpec", "Table", "run", "save",
]  # fmt: skip
