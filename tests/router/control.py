# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: JSON lines over loopback, for another process that plays the people behind the routers.

A request is ``{"do": ACTION, "router": NAME, ...}`` (the name may be left out when there is one router), the answer
``{"ok": true, "result": ...}`` or ``{"ok": false, "error": TEXT}``. Actions and their arguments:

==============  ========================================================================================
``list``        name, host, port, user, password and LAN addresses of every router
``use``         ``host``, ``download``, ``upload``: this host uses the link
``evening``     ``seed``, ``scale``: a plausible evening on this router, or on all of them
``own``         ``received``, ``sent``: the router's own traffic
``add_host``    ``ip``, ``mac``, ``name``: a device appears, or changes its name
``remove_host`` ``ip``: it leaves
``truth``       true totals per host and the interfaces' counters
``faults``      ``set`` (object; the others stay) or ``clear`` (true); answers the faults in force
``iptables``    ``words``: run it, past all faults; answers text and status
``firewall``    ``chain`` (TRAFFIC), ``counters`` (false): everything that is not of that chain
``transcript``  the sessions so far
``restart``     power off and on
``reconnect``   the WAN link comes back, ``wan`` may name a new interface
``stop``        end the process (the playground only)
==============  ========================================================================================
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from .evening import plausible_evening
from .firewall import run
from .router import Router
from .server import Fleet
from .spec import Host


class Controller:
    """Carries out requests; no I/O."""

    def __init__(self, fleet: Fleet, stop: Callable[[], None] | None = None) -> None:
        self._fleet = fleet
        self._stop = stop

    def handle(self, request: Any) -> dict[str, Any]:
        try:
            if not isinstance(request, dict):
                raise ValueError("a request is an object with the key 'do'")
            action = getattr(self, f"_do_{request.get('do')}", None)
            if action is None:
                raise ValueError(f"no such action: {request.get('do')!r}")
            return {"ok": True, "result": action(request)}
        except (ValueError, KeyError, TypeError) as error:
            text = f"missing argument {error}" if isinstance(error, KeyError) else str(error)
            return {"ok": False, "error": text}

    def _router(self, request: dict[str, Any]) -> Router:
        return self._fleet.get(request.get("router"))

    def _do_list(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [describe(router) for router in self._fleet.routers]

    def _do_use(self, request: dict[str, Any]) -> dict[str, int]:
        totals = self._router(request).use_link(request["host"], int(request["download"]), int(request["upload"]))
        return asdict(totals)

    def _do_evening(self, request: dict[str, Any]) -> dict[str, Any]:
        routers = [self._router(request)] if request.get("router") else self._fleet.routers
        seed, scale = int(request.get("seed", 1)), float(request.get("scale", 1.0))
        return {router.spec.name: plausible_evening(router, seed, scale) for router in routers}

    def _do_own(self, request: dict[str, Any]) -> None:
        self._router(request).own_traffic(int(request["received"]), int(request["sent"]))

    def _do_add_host(self, request: dict[str, Any]) -> None:
        name = request.get("name")
        self._router(request).add_host(Host(request["ip"], request["mac"], None if name is None else str(name).encode()))

    def _do_remove_host(self, request: dict[str, Any]) -> None:
        self._router(request).remove_host(request["ip"])

    def _do_truth(self, request: dict[str, Any]) -> dict[str, Any]:
        router = self._router(request)
        with router.lock:
            hosts = {ip: asdict(totals) for ip, totals in router.totals.items()}
            return {"hosts": hosts, "interfaces": {name: asdict(item) for name, item in router.interfaces.items()}}

    def _do_faults(self, request: dict[str, Any]) -> dict[str, Any]:
        router = self._router(request)
        if request.get("clear"):
            router.clear_faults()
        router.set_faults(**request.get("set", {}))
        return router.faults.set_ones()

    def _do_iptables(self, request: dict[str, Any]) -> dict[str, Any]:
        router = self._router(request)
        with router.lock:
            return asdict(run(router.firewall, [str(word) for word in request["words"]], router.spec.dialect))

    def _do_firewall(self, request: dict[str, Any]) -> str:
        chain = str(request.get("chain", "TRAFFIC"))
        return self._router(request).foreign_firewall(chain, counters=bool(request.get("counters")))

    def _do_transcript(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        router = self._router(request)
        with router.lock:
            return [asdict(session) for session in router.sessions]

    def _do_restart(self, request: dict[str, Any]) -> None:
        self._router(request).restart()

    def _do_reconnect(self, request: dict[str, Any]) -> None:
        self._router(request).reconnect(request.get("wan"))

    def _do_stop(self, request: dict[str, Any]) -> None:
        if self._stop is None:
            raise ValueError("this process is not a playground; end the block that serves the routers")
        self._stop()


def describe(router: Router) -> dict[str, Any]:
    spec = router.spec
    return {
        "name": spec.name,
        "host": router.host,
        "port": router.port,
        "user": spec.user,
        "password": spec.password,
        "hosts": [host.ip for host in router.hosts.values() if host.complete],
    }


class _ControlProtocol(asyncio.Protocol):
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._transport.write(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError as error:
            return {"ok": False, "error": f"not JSON: {error}"}
        return self._controller.handle(request)


class ControlServer:
    """Listens on loopback only."""

    def __init__(self, fleet: Fleet, stop: Callable[[], None] | None = None, port: int = 0) -> None:
        self._controller = Controller(fleet, stop)
        self._port = port
        self._server: asyncio.Server | None = None
        self.address = ("127.0.0.1", port)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _ControlProtocol(self._controller), "127.0.0.1", self._port)
        self.address = self._server.sockets[0].getsockname()

    async def stop(self) -> None:
        if self._server:
            self._server.close()


class ControlError(Exception):
    """The other side said no."""


class ControlClient:
    """``client("use", router="home", host="192.168.1.2", download=1000, upload=10)``"""

    def __init__(self, address: tuple[str, int], timeout: float = 30.0) -> None:
        self._socket = socket.create_connection(address, timeout)
        self._file = self._socket.makefile("rwb")

    def __call__(self, action: str, **arguments: Any) -> Any:
        self._file.write(json.dumps({"do": action, **arguments}).encode() + b"\n")
        self._file.flush()
        line = self._file.readline()
        if not line:
            raise ControlError("the emulated routers hung up")
        answer = json.loads(line)
        if not answer["ok"]:
            raise ControlError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
