# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A telnet connection as the stream of bytes that a dialogue speaks over. Private to this collection.

Built on telnetlib3's backport of the standard library's telnetlib, as fast as it can be had (docs/performance.md).
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._network import connect
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError


def _load_telnetlib() -> Any:
    """The one module of telnetlib3 that is needed, by itself: the package imports servers and clients that are not.

    That would be 30 ms in each run, more than everything else of ours together. None where telnetlib3 is not installed.
    """
    package = find_spec("telnetlib3")
    if package is None or package.origin is None:
        return None
    spec = spec_from_file_location("homenet_traffic_telnetlib", Path(package.origin).with_name("telnetlib.py"))
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_telnetlib = _load_telnetlib()
_Base: Any = _telnetlib.Telnet if _telnetlib else object
DO, DONT, ECHO, IAC, NAWS, SB, SE, SGA, WILL, WONT = (
    getattr(_telnetlib, name, b"") for name in ("DO", "DONT", "ECHO", "IAC", "NAWS", "SB", "SE", "SGA", "WILL", "WONT")
)

LONGEST_SUBNEGOTIATION = 4096  # bytes; nothing that is sent to us needs more
WRITE_PATIENCE = 30.0  # seconds for a router to take what it is sent
WINDOW = (500, 100)  # columns and rows: a shell's line editor must not break our lines
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class TelnetStream:
    """Bytes to and from a telnet server. Connecting raises TrafficError, everything else OSError."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        if not _telnetlib:
            raise TrafficError("The Python package telnetlib3 is missing on the control node: pip install telnetlib3")
        self._telnet = _Telnet()
        self._telnet.sock = connect(host, port, timeout, "telnet")
        self._telnet.set_option_negotiation_callback(self._telnet.negotiate)

    def read(self, timeout: float) -> bytes | None:
        """See Stream."""
        try:
            data: bytes = self._telnet.read_within(timeout)
        except EOFError:
            return b""
        except TimeoutError:
            return None
        except ConnectionError:
            return b""
        return data

    def write(self, data: bytes) -> None:
        """See Stream."""
        if self._telnet.sock is None:
            raise BrokenPipeError("the connection is closed")
        self._telnet.sock.settimeout(WRITE_PATIENCE)
        self._telnet.write(data.replace(b"\n", b"\r\n"))

    def close(self) -> None:
        """See Stream."""
        self._telnet.close()


class _Telnet(_Base):  # type: ignore[misc]
    """telnetlib's client, with what a router needs."""

    rawq: bytes
    irawq: int
    _answered: frozenset[tuple[bytes, bytes]] = frozenset()

    def read_within(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        self.process_rawq()
        while not self.cookedq and not self.eof:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.sock.settimeout(left)
            self.fill_rawq()
            self.process_rawq()
            if len(self.sbdataq) > LONGEST_SUBNEGOTIATION:
                raise ConnectionError("a telnet option without an end")
        data: bytes = self.read_very_lazy()
        return data

    def fill_rawq(self) -> None:
        # The server sends the echo, waits for its acknowledgement, then sends the answer; Linux would delay that
        # acknowledgement by 40 ms, and forgets this option with every read.
        if _QUICKACK is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self.irawq >= len(self.rawq):
            self.rawq = b""
            self.irawq = 0
        data = self.sock.recv(65536)
        self.eof = not data
        self.rawq += data

    def process_rawq(self) -> None:
        # telnetlib looks at every byte by itself: a router's whole answer rarely holds one that wants it.
        if self.rawq and not self.irawq and not self.iacseq and not self.sb and IAC not in self.rawq:
            self.cookedq += self.rawq.translate(None, b"\0\021")
            self.rawq = b""
        else:
            super().process_rawq()

    def negotiate(self, sock: socket.socket, command: bytes, option: bytes) -> None:
        """Let the server echo and not wait for turns, tell it a wide window, and refuse everything else, once each."""
        if command not in (DO, DONT, WILL, WONT) or (command, option) in self._answered:
            return
        self._answered |= {(command, option)}
        answer = b""
        if command == DO:
            answer = IAC + (WILL if option in (NAWS, SGA) else WONT) + option
            if option == NAWS:
                answer += IAC + SB + NAWS + struct.pack("!HH", *WINDOW) + IAC + SE
        elif command == WILL:
            answer = IAC + (DO if option in (ECHO, SGA) else DONT) + option
        with suppress(OSError):  # a server that has closed already may have said why: that is still to be read
            sock.sendall(answer)
