# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that users set, and those that they meant to. Private to this collection. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

PREFIX = "traffic_"
OF_ROUTERS = ("profile", "backend", "chain", "table", "wan_interfaces", "hosts", "prune", "acceleration")
"""Those that are options of the modules, too."""
_OF_PLAYBOOKS = (
    "routers", "report_dir", "report_formats", "interval", "repeat",
    "selftest_url", "selftest_host", "selftest_from", "selftest_size_limit", "selftest_time_limit",
)  # fmt: skip
_OF_THEIR_OWN = ("reading", "round", "first_stays", "selftest_before", "selftest_curl", "selftest_fetched")
_KNOWN = frozenset(f"{PREFIX}{name}" for name in (*OF_ROUTERS, *_OF_PLAYBOOKS, *_OF_THEIR_OWN))
_ALIKE = 0.75  # host and hosts are 0.89, report_directory and report_dir 0.77


def misspelt(variables: Iterable[str]) -> Iterator[str]:
    """What to say about variables that nobody reads, and whose names are nearly those of others. Anybody may have variables of his own."""
    for name in variables:
        if name.startswith(PREFIX) and name not in _KNOWN and (meant := _meant(name)):
            yield f"{name} is no variable of homenet.traffic, so it changes nothing. Was {meant} meant?"


def told_by_option(complaint: str, prefix: str = PREFIX) -> str:
    """What Ansible says of an option with a wrong value, and the variable that users know it by."""
    found = re.match(r"(?:value of |argument ')(\w+)", complaint)
    variable = f"{prefix}{found[1]}" if found else None
    return f"{complaint.rstrip('.')}. Check the variable {variable}." if variable in _KNOWN else complaint


def _meant(name: str) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  (nothing else needs it)

    found = get_close_matches(name.removeprefix(PREFIX), (*OF_ROUTERS, *_OF_PLAYBOOKS), 1, _ALIKE)
    return f"{PREFIX}{found[0]}" if found else None
