# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that live in a network namespace, opened from this process; and flows of bytes between two of them.

A socket belongs to the namespace of the thread that made it, for good. So a short-lived thread enters the namespace,
makes the socket and ends; the socket can then be used anywhere.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
SECONDS = 20.0
CHUNK = 65536


def in_namespace(namespace: str, action: Callable[[], T]) -> T:
    """Run ``action`` in a thread that has entered the namespace."""
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _enter(namespace)
            results.append(action())
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work, name=f"in {namespace}")
    thread.start()
    thread.join(SECONDS)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"nothing came back from namespace {namespace}")
    return results[0]


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"setns {namespace}: {os.strerror(number)}")


def make_socket(
    namespace: str, kind: socket.SocketKind = socket.SOCK_STREAM, protocol: int = 0, *, ipv6: bool = False
) -> socket.socket:
    made = in_namespace(namespace, lambda: socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, kind, protocol))
    made.settimeout(SECONDS)
    return made


def connect(namespace: str, address: tuple[str, int]) -> socket.socket:
    """A TCP connection as somebody inside the namespace would make it."""
    made = make_socket(namespace, ipv6=":" in address[0])
    try:
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


def listen(namespace: str, address: tuple[str, int], kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    made = make_socket(namespace, kind, ipv6=":" in address[0])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def wait_for_listener(namespace: str, port: int, seconds: float = SECONDS) -> None:
    """Looks into the kernel's table: to connect would be a login already."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tables = in_namespace(namespace, lambda: [Path(f"/proc/thread-self/net/{name}").read_text() for name in ("tcp", "tcp6")])
        for row in (line.split() for table in tables for line in table.splitlines()[1:]):
            if row[3] == "0A" and row[1].endswith(f":{port:04X}"):
                return
        time.sleep(0.01)
    raise TimeoutError(f"nobody listens on port {port} of {namespace}")


@dataclass(frozen=True)
class End:
    """Where one end of a flow is."""

    namespace: str
    ip: str


def stream(client: End, server: End, *, download: int = 0, upload: int = 0, port: int = 8080) -> None:
    """A TCP connection of the client that carries exactly these payload bytes; headers come on top."""
    listener = listen(server.namespace, (server.ip, port))
    try:
        near = connect(client.namespace, (server.ip, port))
        far = listener.accept()[0]
        far.settimeout(SECONDS)
        with near, far:
            sender = threading.Thread(target=_send, args=(near, upload))
            sender.start()
            _receive(far, upload)
            sender.join(SECONDS)
            sender = threading.Thread(target=_send, args=(far, download))
            sender.start()
            _receive(near, download)
            sender.join(SECONDS)
    finally:
        listener.close()


def _send(end: socket.socket, amount: int) -> None:
    block = bytes(CHUNK)
    while amount > 0:
        amount -= end.send(block[: min(CHUNK, amount)])


def _receive(end: socket.socket, amount: int) -> None:
    while amount > 0:
        data = end.recv(min(CHUNK, amount))
        if not data:
            raise ConnectionError(f"{amount} bytes are missing")
        amount -= len(data)


def datagrams(client: End, server: End, *, download: list[int], upload: list[int], port: int = 5300) -> tuple[int, int]:
    """UDP datagrams with these payload sizes (1400 at most); what they are as IP packets, to the byte.

    The first one goes up, or nothing could come down through a stateful firewall. None is sent before the one before
    it arrived, so none is lost.
    """
    ipv6 = ":" in server.ip
    near = make_socket(client.namespace, socket.SOCK_DGRAM, ipv6=ipv6)
    far = listen(server.namespace, (server.ip, port), socket.SOCK_DGRAM)
    sizes = upload or [1]
    with near, far:
        near.bind((client.ip, 0))
        back = ("", 0)
        for size in sizes:
            near.sendto(bytes(size), (server.ip, port))
            back = far.recvfrom(2048)[1]
        for size in download:
            far.sendto(bytes(size), back)
            near.recvfrom(2048)
    headers = 48 if ipv6 else 28
    return sum(size + headers for size in download), sum(size + headers for size in sizes)
