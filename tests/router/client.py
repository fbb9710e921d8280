# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A telnet client for tests: plain sockets, so that nothing of the collection is judged by itself."""

from __future__ import annotations

import re
import socket
import time

NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].")


class Client:
    def __init__(self, host: str, port: int, timeout: float = 5.0) -> None:
        self.socket = socket.create_connection((host, port), timeout)
        self.raw = b""
        self.ended = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    @property
    def text(self) -> str:
        return NEGOTIATION.sub(b"", self.raw).replace(b"\xff\xff", b"\xff").decode("latin-1")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_until(self, ending: str, seconds: float = 5.0) -> str:
        """Everything since the last call, up to ``ending`` at the very end."""
        deadline = time.monotonic() + seconds
        while not self.text.endswith(ending):
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            data = self.socket.recv(65536)
            if not data:
                self.ended = True
                raise EOFError(self.text)
            self.raw += data
        text, self.raw = self.text, b""
        return text

    def read_to_end(self, seconds: float = 5.0) -> str:
        self.socket.settimeout(seconds)
        while data := self.socket.recv(65536):
            self.raw += data
        text, self.raw = self.text, b""
        return text

    def read_for(self, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                break
            if not data:
                self.ended = True
                break
            self.raw += data
        text, self.raw = self.text, b""
        return text

    def log_in(self, user: str = "admin", password: str = "admin", prompt: str = "\r\n > ") -> str:
        self.read_until("Login: ")
        self.send(user.encode() + b"\r\n")
        self.read_until("Password: ")
        self.send(password.encode() + b"\r\n")
        return self.read_until(prompt)

    def run(self, command: str, prompt: str = "\r\n > ") -> str:
        """The answer without echo and prompt, LF line ends."""
        self.send(command.encode() + b"\r\n")
        text = self.read_until(prompt)
        head = f"{command}\r\n"
        assert text.startswith(head), text
        return text[len(head) : -len(prompt) + 2].replace("\r\n", "\n")
