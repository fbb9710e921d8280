# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).resolve().parents[1])
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)

from lab import privileges  # noqa: E402  the path has to be there first


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before the first test, because a process with threads cannot enter a user namespace."""
    if any(Path(__file__).parent in item.path.parents for item in items):
        if why := privileges.missing():
            pytest.exit(why, returncode=1)
        privileges.enter()
