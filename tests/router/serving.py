# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers for a test or a script, served by a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .control import ControlServer
from .router import Router
from .server import Fleet
from .spec import RouterSpec


class Routers:
    """What ``serve`` yields: the routers by position or name, and where the control socket listens."""

    def __init__(self, fleet: Fleet, control: tuple[str, int]) -> None:
        self._fleet = fleet
        self.control = control

    def __getitem__(self, which: int | str) -> Router:
        return self._fleet.routers[which] if isinstance(which, int) else self._fleet.get(which)

    def __iter__(self) -> Iterator[Router]:
        return iter(self._fleet.routers)

    def __len__(self) -> int:
        return len(self._fleet.routers)


class _Thread:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.control = ControlServer(fleet)
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="emulated-routers", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._start())
        except BaseException as error:
            self.error = error
            return
        finally:
            self.ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self._stop())
        self.loop.close()

    async def _start(self) -> None:
        await self.fleet.start()
        await self.control.start()

    async def _stop(self) -> None:
        await self.control.stop()
        await self.fleet.stop()


@contextmanager
def serve(*specs: RouterSpec) -> Iterator[Routers]:
    """Run routers until the block ends. Without a spec: one default router."""
    served = _Thread(Fleet(specs or (RouterSpec(),)))
    served.thread.start()
    if not served.ready.wait(30) or served.error:
        raise RuntimeError("the emulated routers did not start") from served.error
    try:
        yield Routers(served.fleet, served.control.address)
    finally:
        served.loop.call_soon_threadsafe(served.loop.stop)
        served.thread.join(30)
