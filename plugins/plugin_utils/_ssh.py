# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH to one router: a terminal as the stream of bytes that a dialogue speaks over, and commands run without one.

Private to this collection. What needs ansible-pylibssh is imported at the first connection: a run without SSH does without.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Stream
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_link import Link, SshOptions

if TYPE_CHECKING:
    from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_channel import Channel
    from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_login import LoginSession

__all__ = ["SshClient", "SshOptions"]


class SshClient:
    """One SSH connection to one router. Everything raises TrafficError."""

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._link: Link | None = None
        self._session: LoginSession | None = None
        self._channels: list[Channel] = []

    def connect(self) -> None:
        """Connect and log in, if that was not done yet."""
        if self._session is not None:
            return
        from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_login import log_in  # noqa: PLC0415  (it takes 15 ms)

        self._link = Link(self._options)
        try:
            self._session = log_in(self._options, self._link)
        except BaseException:
            self.close()
            raise

    def shell(self) -> Stream:
        """A terminal with what the router starts in it: a shell, or its command line."""
        channel = self._open("a terminal")
        if not channel.start_terminal():
            raise self._no_channel("a terminal")
        return channel

    def execute(self, command: str, stdin: bytes, timeout: float, limit: int) -> tuple[int, bytes]:
        """Run a command with this input. Its exit status, -1 where a signal ended it, and what it printed, errors too."""
        deadline = time.monotonic() + timeout
        channel = self._open(f"`{command}`")
        try:
            if not channel.start_command(command, stdin):
                raise self._no_channel(f"`{command}`")
            output = bytearray()
            while piece := channel.read(deadline - time.monotonic()):
                output += piece
                if len(output) > limit:
                    raise self._failed(command, f"printed more than {limit} bytes, so it was not read to its end")
            status = -1 if piece is None or channel.lost else channel.exit_status(deadline - time.monotonic())
        finally:
            channel.close()
        if channel.lost:
            raise self._failed(command, f"was cut short, for the connection was lost: {visible(channel.lost)}")
        if piece is None:
            raise self._failed(command, f"did not end within {timeout:g} s")
        return status, bytes(output)

    def _failed(self, command: str, how: str) -> TrafficError:
        return TrafficError(f"{self._options.where}: `{command}` {how}. Run it again.")

    def close(self) -> None:
        """Close everything: channels before the session, or libssh crashes the process."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        # Without a log-out, libssh closes its descriptor when Python forgets the session, and that may be much later.
        logged_out = self._session is not None and self._session.log_out()
        if self._link is not None:
            self._link.close(for_libssh=logged_out)
        self._session = self._link = None

    def _open(self, purpose: str) -> Channel:
        self.connect()
        channel = self._session.open_channel() if self._session else None
        if channel is None:
            raise self._no_channel(purpose)
        self._channels.append(channel)
        return channel

    def _no_channel(self, purpose: str) -> TrafficError:
        return TrafficError(
            f"{self._options.where} let us in, but does not give {purpose}. Does it allow that user to log in by SSH, and is another "
            "session open?",
            unreachable=True,
        )
