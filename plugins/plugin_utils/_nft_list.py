# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the nftables table is asked for: all that a router without it needs of nftables. Private to this collection."""

from __future__ import annotations

FAMILY, TABLE = "inet", "homenet_traffic"


def list_commands(table: str = TABLE) -> tuple[str, str]:
    """The commands that list the table with its counters: as JSON, and as text where nft was built without."""
    what = f"list table {FAMILY} {table}"
    return f"nft -j {what}", f"nft {what}"
