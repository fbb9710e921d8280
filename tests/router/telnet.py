# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's half of the telnet protocol (RFC 854), as BusyBox's and Broadcom's telnetd speak it. No I/O."""

from __future__ import annotations

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
ECHO, SUPPRESS_GO_AHEAD, WINDOW_SIZE = 1, 3, 31
OPENING = bytes([IAC, DO, ECHO, IAC, DO, WINDOW_SIZE, IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD])
OURS = (ECHO, SUPPRESS_GO_AHEAD)
ACCEPTED = (ECHO, WINDOW_SIZE, SUPPRESS_GO_AHEAD)


def escape(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xff\xff")


class TelnetServer:
    """Takes telnet's own bytes out of what arrives, however it is split."""

    def __init__(self) -> None:
        self._state = "data"
        self._verb = 0
        self._answered: set[tuple[int, int]] = set()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """What the user typed, and what must be answered at once."""
        if self._state == "data" and IAC not in data:
            return data, b""
        typed, reply = bytearray(), bytearray()
        for byte in data:
            self._take(byte, typed, reply)
        return bytes(typed), bytes(reply)

    def _take(self, byte: int, typed: bytearray, reply: bytearray) -> None:
        if self._state == "data":
            if byte == IAC:
                self._state = "iac"
            else:
                typed.append(byte)
        elif self._state == "iac":
            self._command(byte, typed)
        elif self._state == "option":
            self._state = "data"
            reply += self._answer(self._verb, byte)
        elif self._state == "sub":
            self._state = "sub_iac" if byte == IAC else "sub"
        else:
            self._state = "data" if byte == SE else "sub"

    def _command(self, byte: int, typed: bytearray) -> None:
        self._state = "data"
        if byte == IAC:
            typed.append(IAC)
        elif byte in (DO, DONT, WILL, WONT):
            self._verb, self._state = byte, "option"
        elif byte == SB:
            self._state = "sub"

    def _answer(self, verb: int, option: int) -> bytes:
        """Refuse what was not offered, once; everything else needs no answer."""
        refused = (verb == DO and option not in OURS) or (verb == WILL and option not in ACCEPTED)
        if not refused or (verb, option) in self._answered:
            return b""
        self._answered.add((verb, option))
        return bytes([IAC, WONT if verb == DO else DONT, option])
