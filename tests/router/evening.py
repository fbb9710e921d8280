# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plausible evening behind a router: a few hosts take nearly everything, some do nothing."""

from __future__ import annotations

import random
import zlib

from .router import Router

MB = 1000 * 1000
# (weight, lowest and highest download in MB, upload as a share of the download)
HABITS = (
    (2, 1500, 9000, 0.02),
    (3, 300, 2000, 0.04),
    (4, 20, 400, 0.10),
    (2, 1, 20, 0.30),
    (1, 50, 200, 3.0),
)
QUIET = 0.2


def plausible_evening(router: Router, seed: int = 1, scale: float = 1.0) -> dict[str, list[int]]:
    """Let every host use the link; answers {ip: [download, upload]} of what was added. Deterministic."""
    rng = random.Random(f"{seed}/{zlib.crc32(router.spec.name.encode())}")
    used: dict[str, list[int]] = {}
    for host in router.hosts.values():
        if not host.complete or rng.random() < QUIET:
            continue
        low, high, share = rng.choices(HABITS, [habit[0] for habit in HABITS])[0][1:]
        download = int(rng.uniform(low, high) * MB * scale) + rng.randrange(1000)
        upload = int(download * share * rng.uniform(0.5, 1.5)) + rng.randrange(1000)
        router.use_link(host.ip, download, upload)
        used[host.ip] = [download, upload]
    router.own_traffic(int(3 * MB * scale), int(MB * scale))
    return used
