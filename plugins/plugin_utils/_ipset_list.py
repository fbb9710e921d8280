# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the sets of ipset are asked for: all that a router without them needs of ipset. Private to this collection."""

from __future__ import annotations


def list_command(program: str, chain: str) -> str:
    """The command that lists the sets of a chain, and no others: a router may have block lists of a hundred thousand addresses.

    Their names are not known beforehand, for they contain the marker of the chain's life. Versions before 6.25 do not tell how many
    addresses a set has, so each listing gets an end.
    """
    ours = f"{chain}_[DU][46]_{'[0-9a-f]' * 8}"
    one = f'{program} list "$n" && echo "End: $n" || exit'
    return f"( set -f; n=$({program} list -n) || exit; for n in $n; do case $n in {ours}) {one} ;; esac; done )"


def has_sets(listing: str, chain: str) -> bool:
    """Whether such a listing shows a set."""
    return f"Name: {chain}_" in listing
