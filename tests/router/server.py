# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers on loopback ports: one asyncio loop for a thousand of them."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable, Iterable
from typing import cast

from .router import Router
from .session import Session
from .spec import RouterSpec
from .telnet import OPENING, TelnetServer, escape


class RouterProtocol(asyncio.Protocol):
    """One connection. Decides when bytes leave; the session decides which."""

    def __init__(self, router: Router, connections: set[asyncio.Transport]) -> None:
        self._router = router
        self._connections = connections
        self._telnet = TelnetServer()
        self._session = Session(router)
        self._queue = bytearray()
        self._pumping = False
        self._waiting = 0
        self._free_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self._transport)
        if self._router.faults.nagle:
            self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        greeting = self._session.start()
        if self._router.faults.silent_at != "connect":
            self._send(OPENING + escape(greeting))
        self._close_if_done()

    def data_received(self, data: bytes) -> None:
        typed, reply = self._telnet.receive(data)
        if reply:
            self._send(reply)
        answer = self._session.receive(typed)
        delay = self._router.faults.command_delay if b"\n" in answer else 0.0
        if delay or self._waiting:
            # In order: what comes after a slow answer waits for it.
            loop = asyncio.get_running_loop()
            self._free_at = max(loop.time(), self._free_at) + delay
            self._waiting += 1
            loop.call_at(self._free_at, self._deliver_late, answer)
        else:
            self._deliver(answer)

    def _deliver_late(self, answer: bytes) -> None:
        self._waiting -= 1
        self._deliver(answer)

    def _deliver(self, answer: bytes) -> None:
        if self._router.faults.nagle and b"\n" in answer:
            echo, end, rest = answer.partition(b"\n")
            self._send(escape(echo + end))
            answer = rest
        self._send(escape(answer))
        self._close_if_done()

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        if not data or self._transport.is_closing():
            return
        if not self._router.faults.one_byte and not self._queue:
            self._transport.write(data)
            return
        self._queue += data
        if not self._pumping:
            self._pumping = True
            self._pump()

    def _pump(self) -> None:
        """One byte a turn of the loop, so that the client is likely to read them one by one."""
        assert self._transport is not None
        if not self._queue or self._transport.is_closing():
            self._pumping = False
            self._close_if_done()
            return
        self._transport.write(bytes(self._queue[:1]))
        del self._queue[:1]
        asyncio.get_running_loop().call_later(self._router.faults.byte_delay, self._pump)

    def _close_if_done(self) -> None:
        if self._session.closed and not self._queue and not self._waiting and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.hang_up()
        if self._transport:
            self._connections.discard(self._transport)


class Fleet:
    """Many routers in one process. ``start`` gives every router its ``host`` and ``port``."""

    def __init__(self, specs: Iterable[RouterSpec]) -> None:
        self.routers = [Router(spec) for spec in specs]
        self.by_name = {router.spec.name: router for router in self.routers}
        if len(self.by_name) != len(self.routers):
            raise ValueError("two routers have the same name")
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Transport] = set()

    def get(self, name: str | None = None) -> Router:
        """By name; without one, the only router."""
        if name is None and len(self.routers) == 1:
            return self.routers[0]
        if name not in self.by_name:
            raise ValueError(f"no router {name!r}; there are {len(self.routers)}, the first is {self.routers[0].spec.name!r}")
        return self.by_name[name]

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        _allow_many_files(2 * len(self.routers) + 100)
        for router in self.routers:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address = (router.spec.address, router.spec.port)
            try:
                listener.bind(address)
            except OSError as error:
                why = f"{address[0]} port {address[1]} for router {router.spec.name}: {error.strerror}"
                raise OSError(f"{why}; choose other ports, or 0 for any free ones") from error
            router.host, router.port = listener.getsockname()
            self._servers.append(await loop.create_server(self._factory(router), sock=listener))

    def _factory(self, router: Router) -> Callable[[], RouterProtocol]:
        return lambda: RouterProtocol(router, self._connections)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        # The loop has to come round for the connections to learn of it.
        await asyncio.sleep(0)


def _allow_many_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
