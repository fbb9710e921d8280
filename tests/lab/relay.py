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


@contextmanager
def relay(namespace: str, target: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """Yields (host, port). The end of either side is passed on to the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []
    thread = threading.Thread(target=_accept, args=(listener, namespace, target, opened), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for end in opened:
            _shut(end)
            end.close()


def _accept(listener: socket.socket, namespace: str, target: tuple[str, int], opened: list[socket.socket]) -> None:
    while True:
        try:
            near = listener.accept()[0]
        except OSError:
            return
        try:
            far = connect(namespace, target)
        except OSError:
            near.close()
            continue
        opened += [near, far]
        for source, destination in ((near, far), (far, near)):
            source.settimeout(None)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_copy, args=(source, destination), daemon=True).start()


def _copy(source: socket.socket, destination: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            destination.sendall(data)
    except OSError:
        pass
    finally:
        _shut(source)
        _shut(destination)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
