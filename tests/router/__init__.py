# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated router: a Broadcom DSL router as a program.

How to import it: put the directory ``tests`` on ``sys.path`` and use the package ``router``::

    sys.path.insert(0, str(REPOSITORY / "tests"))     # in a conftest.py
    from router import Faults, RouterSpec, serve

    with serve(RouterSpec(hosts=15), RouterSpec(name="cut", faults=Faults(cut_at_command=3))) as routers:
        home = routers[0]                       # or routers["home"]
        home.host, home.port                    # where to connect
        home.use_link("192.168.1.2", 10_000, 500)
        home.totals, home.transcript, home.sessions, home.listing("TRAFFIC"), home.foreign_firewall()

How to run it: ``python tests/router --help``. The rule engine alone, without I/O, is ``router.firewall``.
"""

from __future__ import annotations

from .control import ControlClient, ControlError
from .evening import plausible_evening
from .faults import GREETINGS, NO_FAULTS, NOISE, Faults
from .router import Counters, Router, SessionRecord, Totals
from .server import Fleet
from .serving import Routers, serve
from .session import Session
from .spec import FOREIGN_FIREWALL, HOSTILE_NAMES, Host, RouterSpec, fleet, hostile_hosts, make_hosts

__all__ = [
    "FOREIGN_FIREWALL", "GREETINGS", "HOSTILE_NAMES", "NOISE", "NO_FAULTS", "ControlClient", "ControlError",
    "Counters", "Faults", "Fleet", "Host", "Router", "RouterSpec", "Routers", "Session", "SessionRecord", "Totals",
    "fleet", "hostile_hosts", "make_hosts", "plausible_evening", "serve",
]  # fmt: skip
