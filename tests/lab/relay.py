# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A loopback port of this machine that leads to a port inside a namespace, for programs that cannot enter it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .sockets import connect


class Relay:
    """The end of either side is passed on to the other. It can break, too: after so many bytes, or at once."""

    def __init__(self, namespace: str, target: tuple[str, int]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._namespace = namespace
        self._target = target
        self._opened: list[tuple[socket.socket, socket.socket]] = []
        self.up: int | None = None
        """Bytes that the next connections let through to the router before they break; None: all."""
        self.down: int | None = None
        """The same for those from the router."""
        self.passed = [0, 0]
        """How many bytes went through so far, up and down."""
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        found: tuple[str, int] = self._listener.getsockname()
        return found

    def cut(self) -> None:
        """Break all connections."""
        for ends in list(self._opened):
            for end in ends:
                _shut(end)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            try:
                far = connect(self._namespace, self._target)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._opened.append((near, far))
            threading.Thread(target=self._carry, args=(near, far, self.up, self.down), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket, up: int | None, down: int | None) -> None:
        back = threading.Thread(target=self._copy, args=(1, down, far, near), daemon=True)
        back.start()
        self._copy(0, up, near, far)
        back.join()
        near.close()
        far.close()
        self._opened.remove((near, far))

    def _copy(self, way: int, limit: int | None, source: socket.socket, destination: socket.socket) -> None:
        left = limit
        try:
            while left != 0:
                # A telnet server sends the echo, and the answer when that is acknowledged: it must not wait longer for us
                # than for the program at our other end. Linux forgets this with every read.
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                data = source.recv(65536)[:left]
                if not data:
                    break
                destination.sendall(data)
                self.passed[way] += len(data)
                left = None if left is None else left - len(data)
        except OSError:
            pass
        finally:
            _shut(source)
            _shut(destination)


@contextmanager
def relay(namespace: str, target: tuple[str, int]) -> Iterator[Relay]:
    """Until the block ends."""
    made = Relay(namespace, target)
    try:
        yield made
    finally:
        made.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
