# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telnet over a real socket: options, escaped bytes, and servers that want to be waited for for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._telnet import TelnetStream

IAC, DONT, DO, WONT, WILL, SB, SE, NOP = (bytes([code]) for code in (255, 254, 253, 252, 251, 250, 240, 241))
ECHO, SGA, NAWS, TTYPE = (bytes([code]) for code in (1, 3, 31, 24))


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[TelnetStream]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            try:
                with listener.accept()[0] as client:
                    client.settimeout(5)
                    talk(client)
            except OSError:
                return  # the test has seen enough

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        stream = TelnetStream("127.0.0.1", listener.getsockname()[1], 5)
        try:
            yield stream
        finally:
            stream.close()
            thread.join(10)


def read_all(stream: TelnetStream) -> bytes:
    data = b""
    while piece := stream.read(2):
        data += piece
    return data


def one_by_one(client: socket.socket, data: bytes) -> None:
    for number in range(len(data)):
        client.sendall(data[number : number + 1])
        time.sleep(0.001)


@pytest.mark.parametrize("send", [socket.socket.sendall, one_by_one])
def test_telnets_own_bytes_are_taken_out(send: Callable[[socket.socket, bytes], None]) -> None:
    wire = IAC + WILL + ECHO + b"Lo" + IAC + SB + TTYPE + b"\x01x" + IAC + SE + b"gin" + IAC + NOP + b": " + IAC + IAC + b"\0\r\n"
    with server(lambda client: send(client, wire)) as stream:
        assert read_all(stream) == b"Login: \xff\r\n"


def test_options_are_answered_once() -> None:
    answers = bytearray()

    def talk(client: socket.socket) -> None:
        client.sendall((IAC + DO + NAWS + IAC + DO + TTYPE + IAC + WILL + ECHO + IAC + WILL + TTYPE) * 3 + b"x")
        while not answers.endswith(b"end\r\n"):
            answers.extend(client.recv(1000))

    with server(talk) as stream:
        assert stream.read(2) == b"x"
        stream.write(b"end\n")
    assert answers == (
        IAC + WILL + NAWS + IAC + SB + NAWS + b"\x01\xf4\x00\x64" + IAC + SE
        + IAC + WONT + TTYPE + IAC + DO + ECHO + IAC + DONT + TTYPE + b"end\r\n"
    )  # fmt: skip


@pytest.mark.parametrize("endless", [IAC + NOP, IAC + WILL + TTYPE + IAC + WONT + TTYPE, IAC + SB + TTYPE + b"x" + IAC + SE])
def test_endless_options_are_no_answer(endless: bytes) -> None:
    stop = threading.Event()

    def talk(client: socket.socket) -> None:
        while not stop.is_set():
            client.sendall(endless * 100)

    with server(talk) as stream:
        assert stream.read(0.3) is None, "or it never comes back"
        stop.set()


def test_an_option_without_an_end_ends_the_connection() -> None:
    with server(lambda client: client.sendall(IAC + SB + b"x" * 100_000)) as stream:
        assert stream.read(2) == b""


def test_what_a_server_says_before_it_closes_is_read() -> None:
    with server(lambda client: client.sendall(IAC + DO + NAWS + b"Too many users")) as stream:
        time.sleep(0.1)
        assert read_all(stream) == b"Too many users"


@pytest.mark.parametrize(
    ("host", "port", "timeout", "message"),
    [
        ("a..b", 23, 1.0, "Check ansible_host"),
        ("x" * 70, 23, 1.0, "Check ansible_host"),
        ("127.0.0.1", 0, 1.0, "0 is not a port. Check ansible_port."),
        ("127.0.0.1", 99999, 1.0, "99999 is not a port. Check ansible_port."),
        ("127.0.0.1", 23, -1.0, "ansible_timeout"),
        ("no-such-router.invalid", 23, 1.0, "is unknown"),
        ("127.0.0.1", 1, 1.0, "the connection was refused"),
    ],
)
def test_no_connection(host: str, port: int, timeout: float, message: str) -> None:
    with pytest.raises(TrafficError, match=message) as caught:
        TelnetStream(host, port, timeout)
    assert caught.value.unreachable
