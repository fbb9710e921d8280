# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A channel of an SSH connection. Private to this collection.

Waiting is done here and not in libssh, which would hold up signals (Ctrl-C, a task's timeout) and other threads meanwhile.
"""

from __future__ import annotations

import select
import time
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._libssh import LibsshException

TERMINAL = b"dumb"  # what is no terminal is sent no colours
WINDOW = (500, 100)  # columns and rows: a shell's line editor must not break our lines

_PIECE = 1024  # bytes; pylibssh reads no more at a time
_ENOUGH = 65536
_AT_A_TIME = 16384
_LOOK_AGAIN = 0.1  # seconds; see Channel.read


class Channel:
    """As a terminal it is a Stream; as a command it also takes input and has an exit status."""

    def __init__(self, session: Any, channel: Any, descriptor: int) -> None:
        self._session = session
        self._channel = channel
        self._is_command = False
        self._input: bytes | None = None
        self._wait = select.poll()
        self._wait.register(descriptor, select.POLLIN)
        self.lost = ""
        """Why the connection is gone, when it is."""

    def start_terminal(self) -> bool:
        """Ask for a terminal, with whatever the router starts in it."""
        try:
            self._channel.request_pty_size(TERMINAL, *WINDOW)
        except LibsshException:
            return False
        return True

    def start_command(self, command: str, stdin: bytes) -> bool:
        """Ask for a command to be run, which gets this input while its output is read."""
        self._is_command = True
        self._input = stdin
        try:
            self._channel.request_exec(command)
        except LibsshException:
            return False
        return True

    def read(self, timeout: float) -> bytes | None:
        """See Stream. Of a command, what it printed as errors as well."""
        deadline = time.monotonic() + timeout
        while True:
            self._send_input()
            data, ended = self._take()
            if data or ended:
                return data
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            # To look for errors, or to send, can bring in output that was just looked for: it is on no wire then.
            self._wait.poll(1000 * min(left, _LOOK_AGAIN if self._is_command else left))

    def _take(self) -> tuple[bytes, bool]:
        """What has arrived, and whether there is no more to come."""
        output, ended = self._take_from(0)
        errors = self._take_from(1)[0] if self._is_command else b""
        return output + errors, ended and not errors

    def _take_from(self, stderr: int) -> tuple[bytes, bool]:
        taken = bytearray()
        while len(taken) < _ENOUGH:
            try:
                piece = self._channel.read_nonblocking(_PIECE, stderr)
            except LibsshException as error:
                self.lost = str(error) or "it was closed"
                piece = None
            if not piece:
                return bytes(taken), piece is None
            taken += piece
        return bytes(taken), False

    def write(self, data: bytes) -> None:
        """See Stream. A line is ended with what the key Enter sends: not every command line takes a line feed."""
        data = data.replace(b"\n", b"\r")
        try:
            written = self._channel.write(data)
        except LibsshException as error:
            raise BrokenPipeError("the connection is closed") from error
        if written < len(data):
            raise TimeoutError("nothing more is taken")

    def _send_input(self) -> None:
        """As much as a command takes now. One that has ended takes none; what it said tells why."""
        if self._input is None:
            return
        self._session.allow(0)  # it may wait for room itself, but also for us to read
        try:
            while self._input:
                written = self._channel.write(self._input[:_AT_A_TIME])
                if not written:
                    return
                self._input = self._input[written:]
            self._channel.send_eof()
        except LibsshException:
            self._input = None
        else:
            self._input = None
        finally:
            self._session.allow()

    def exit_status(self, timeout: float) -> int:
        """Of a command that has ended; -1 where none is told in time."""
        self._session.allow(timeout)
        status: int = self._channel.get_channel_exit_status()
        self._session.allow()
        if status < 0 and not self._session.is_connected:
            self.lost = "it was closed"
        return status

    def close(self) -> None:
        """See Stream."""
        self._channel.close()
