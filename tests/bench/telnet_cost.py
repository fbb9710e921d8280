"""What one command costs over telnet on loopback, against BusyBox's telnetd, with and without TCP_QUICKACK.

The server sends the echo, waits for its acknowledgement, then sends the answer; Linux delays that acknowledgement by
40 ms unless it is asked not to before every read.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.homenet.traffic.plugins.plugin_utils._telnet import TelnetStream

COMMANDS = 40


@contextmanager
def telnetd() -> Iterator[int]:
    """BusyBox's telnetd on a free port of 127.0.0.1, with a shell in place of a login.

    Not BusyBox's own shell: after each prompt it asks where the cursor is, and when it gets no answer it sleeps 20 ms
    before it runs the command, which would hide what is measured here.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        login = Path(folder, "login")
        login.write_text("#!/bin/sh\nPS1='> ' exec sh -i\n")
        login.chmod(0o755)
        server = subprocess.Popen(
            ["busybox", "telnetd", "-F", "-b", "127.0.0.1", "-p", str(port), "-l", str(login)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield port
        finally:
            server.terminate()
            server.wait()


def plain_socket(port: int, quickack: bool) -> list[float]:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def read() -> bytes:
            if quickack:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            return connection.recv(65536)

        return commands(read, connection.sendall)


def our_stream(port: int) -> list[float]:
    stream = TelnetStream("127.0.0.1", port, 5)
    try:
        return commands(lambda: stream.read(5) or b"", lambda data: stream.write(data.replace(b"\r\n", b"\n")))
    finally:
        stream.close()


def commands(read: Callable[[], bytes], write: Callable[[bytes], object]) -> list[float]:
    """The time of each command, from its first byte sent to the prompt after its answer."""

    def read_until(wanted: bytes) -> None:
        text = b""
        while wanted not in text or not text.endswith(b"> "):
            data = read()
            if not data:
                raise ConnectionError("telnetd closed the connection")
            text += data

    seconds = []
    read_until(b"")
    for number in range(COMMANDS):
        start = time.perf_counter()
        write(b"busybox expr 7000 + %d\r\n" % number)
        read_until(b"\n%d\r\n" % (7000 + number))
        seconds.append(time.perf_counter() - start)
    return seconds


def measure() -> list[tuple[str, float]]:
    """Rows of (how, median milliseconds a command); empty with a reason printed where this machine cannot."""
    if not shutil.which("busybox") or subprocess.call(["busybox", "telnetd", "--help"], stderr=subprocess.DEVNULL):
        print("A telnet command's cost: left out, there is no BusyBox with telnetd (Debian: busybox-static).")
        return []
    rows: list[tuple[str, float]] = []
    with telnetd() as port:
        wait_for(port)
        rows.append(("plain socket", statistics.median(plain_socket(port, False))))
        if hasattr(socket, "TCP_QUICKACK"):
            rows.append(("plain socket, TCP_QUICKACK", statistics.median(plain_socket(port, True))))
        rows.append(("homenet.traffic's own stream", statistics.median(our_stream(port))))
    return [(how, seconds * 1000) for how, seconds in rows]


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    for how, milliseconds in measure():
        print(f"{how:30} {milliseconds:8.2f} ms a command")
