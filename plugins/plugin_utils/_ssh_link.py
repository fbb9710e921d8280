# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a router is reached by SSH: the options, and the socket or the proxy command that the protocol is spoken through.

Private to this collection.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field

from ansible_collections.homenet.traffic.plugins.plugin_utils._network import connect

_GREETING = 2.0  # seconds to wait for a server's first byte; servers of SSH speak at once
_TELNET = b"\xff"  # telnet's IAC; SSH begins with text
_LONGEST_COMPLAINT = 150  # bytes of what a proxy command said last


@dataclass(frozen=True)
class SshOptions:
    """Where to log in, as whom, and what is allowed. Secrets never appear in a representation."""

    host: str
    port: int = 22
    user: str | None = None
    """None: the name of the user of this machine, as with ssh."""
    password: str | None = field(default=None, repr=False)
    private_key_file: str | None = None
    passphrase: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    """Seconds from connecting to the end of the log-in."""
    host_key_checking: bool = True
    known_hosts_file: str | None = None
    """None: the user's own."""
    proxy_command: str | None = field(default=None, repr=False)
    key_exchange_algorithms: str | None = None
    host_key_algorithms: str | None = None
    public_key_algorithms: str | None = None

    @property
    def where(self) -> str:
        """How messages name the router."""
        return f"{self.host} port {self.port}"


class Link:
    """A socket that leads to the server. Connecting raises TrafficError."""

    def __init__(self, options: SshOptions) -> None:
        self._proxy: _Proxy | None = None
        if options.proxy_command:
            self._proxy = _Proxy(options.proxy_command, options)
            self._socket = self._proxy.socket
        else:
            self._socket = connect(options.host, options.port, options.timeout, "SSH")
        self.for_libssh = os.dup(self._socket.fileno())

    @property
    def descriptor(self) -> int:
        """To wait for what arrives."""
        return self._socket.fileno()

    def is_telnet(self, patience: float) -> bool:
        """Whether the server begins as those of telnet do. What it says is left for libssh to read."""
        if self._proxy or not select.select([self._socket], [], [], max(0.0, min(_GREETING, patience)))[0]:
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == _TELNET
        except OSError:
            return False

    def complaint(self) -> str | None:
        """What the proxy command said when it ended by itself."""
        return self._proxy.complaint() if self._proxy else None

    def close(self, for_libssh: bool) -> None:
        """Close the socket, and end the proxy command. ``for_libssh``: also the descriptor that libssh was given."""
        with suppress(OSError):
            # libssh closes it by itself after an error; the number may be another file's by now.
            if for_libssh and os.path.sameopenfile(self.for_libssh, self._socket.fileno()):
                os.close(self.for_libssh)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._proxy:
            self._proxy.end()


class _Proxy:
    """A program that carries the bytes between its standard input and output and the server, like OpenSSH's ProxyCommand."""

    def __init__(self, command: str, options: SshOptions) -> None:
        self.socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by end()
        with theirs:
            self._process = subprocess.Popen(
                f"exec {_filled_in(command, options)}", shell=True, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._errors,
                start_new_session=True,
            )  # fmt: skip

    def complaint(self) -> str | None:
        try:
            status = self._process.wait(0.5)  # it may have closed its output a moment before it ended
        except subprocess.TimeoutExpired:
            return None
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _LONGEST_COMPLAINT))
        said = self._errors.read().decode("utf-8", "replace").strip()
        return f"ended with exit status {status}" + (f" and said: {said}" if said else "")

    def end(self) -> None:
        # It leads a process group of its own, so that what it started ends as well.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
                break
        self._errors.close()


def _filled_in(command: str, options: SshOptions) -> str:
    """With OpenSSH's tokens replaced: %h the host, %p the port, %r the user, %% a percent sign."""
    tokens = {"%h": shlex.quote(options.host), "%p": str(options.port), "%r": shlex.quote(options.user or ""), "%%": "%"}
    return re.sub("%[hpr%]", lambda token: tokens[token[0]], command)
