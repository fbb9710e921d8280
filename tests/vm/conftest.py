# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vm.control_node import VmControl
from vm.fw4 import OFF
from vm.router import VirtualRouter, virtual_router


@pytest.fixture(scope="session")
def machine() -> Iterator[VirtualRouter]:
    with virtual_router() as made:
        yield made


@pytest.fixture
def router(machine: VirtualRouter) -> VirtualRouter:
    """Without offloading, and without our table."""
    machine.run("nft delete table inet homenet_traffic 2> /dev/null || true")
    machine.load(OFF)
    return machine


@pytest.fixture
def control(tmp_path: Path, router: VirtualRouter) -> VmControl:
    return VmControl(tmp_path, router)
