# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file fetched by this machine, and how many bytes its connections brought. Private to this collection.

No proxy is used, whatever the environment says: what a proxy brings does not come through the router for this machine's address, and
may not come through it at all.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import visible

EXAMPLE = "https://speedtest.example.net/100MB.bin"
PATIENCE = 10.0  # seconds to wait for a connection, or for the next bytes
_CHUNK = 65_536
_PAUSE = 0.5  # seconds, until what was still on its way to a file that is not read any further has filled the window

# Linux's struct tcp_info: one byte of state, one of options at 5, bytes_received at 128.
_TCP_INFO = struct.Struct("=B4xB122xQ")
_CLOSE_WAIT = 8
_TIMESTAMPS = 1


@dataclass(frozen=True)
class Arrived:
    """What came: ``payload`` bytes of the file; ``stream`` bytes of its connections, all that HTTP and TLS need included.

    ``header``: the bytes of a packet in front of its part of the stream. Both are None where this system does not tell.
    """

    payload: int
    seconds: float
    stream: int | None = None
    header: int | None = None


@dataclass(frozen=True)
class Limits:
    """After so many bytes, or so many seconds, the rest of the file is left where it is."""

    bytes: int
    seconds: float


class CannotFetch(TrafficError):
    """Why there is no file."""


def check_url(url: str) -> str:
    """The URL as it may be shown: without what may be secret in it. Raises TrafficError."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError as error:
        raise TrafficError("traffic_selftest_url is not a URL.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise TrafficError(f"traffic_selftest_url is not a URL of a file to fetch by http or https, such as {EXAMPLE}.")
    if "@" in parts.netloc:
        raise TrafficError("traffic_selftest_url holds a user name or a password. Use a file that anybody may fetch.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return visible(f"{parts.scheme}://{host}{port}{parts.path}")


class Fetch:
    """A file on its way to this machine. ``address``: with which address of its own it is to be fetched, where it is one."""

    def __init__(self, url: str, limits: Limits, address: str | None = None) -> None:
        self._url = url
        self._shown = check_url(url)
        self._limits = limits
        self._ways = _Ways(address)
        self._file: Any = None
        self._start = 0.0
        self._payload = 0

    def open(self) -> None:
        """Ask for it, up to the first bytes of the answer. Raises CannotFetch."""
        headers = {
            "User-Agent": "homenet.traffic selftest", "Accept-Encoding": "identity", "Range": f"bytes=0-{self._limits.bytes - 1}"
        }  # fmt: skip
        self._start = time.monotonic()
        try:
            self._file = _opener(self._ways).open(urllib.request.Request(self._url, headers=headers), timeout=PATIENCE)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CannotFetch(f"{self._shown} could not be fetched by this machine: {_reason(error)}.") from error

    @property
    def address(self) -> str:
        """This machine's address on the way to the file."""
        return str(self._ways.kept[-1].getsockname()[0]).partition("%")[0]

    def read(self) -> None:
        """Read it, to its end or to a limit. Raises CannotFetch."""
        end = self._start + self._limits.seconds
        try:
            while self._payload < self._limits.bytes and time.monotonic() < end:
                data = self._file.read1(_CHUNK)
                self._payload += len(data)
                if not data:
                    return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CannotFetch(
                f"{self._shown} broke off after {self._payload} bytes: {_reason(error)}. Run it again."
            ) from error
        if self._file.length != 0:
            time.sleep(_PAUSE)

    def arrived(self) -> Arrived:
        """What came until now."""
        told = [_told(one) for one in self._ways.kept]
        streams = [one.stream for one in told if one]
        complete = len(streams) == len(told)
        return Arrived(
            self._payload,
            time.monotonic() - self._start,
            sum(streams) if complete else None,
            max((one.header for one in told if one), default=None) if complete else None,
        )

    def close(self) -> None:
        """Only now may the other side be told that nothing more is wanted."""
        if self._file is not None:
            self._file.close()
        for kept in self._ways.kept:
            kept.close()


# --- Connections ------------------------------------------------------------------------------------------------------


class _Ways:
    """How connections are made, and a second handle of each, by which its counters can be read when it was closed otherwise."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        # Every way of counting knows IPv4, so the other one is used only when it is asked for.
        self._family = socket.AF_INET6 if address and ip_address(address).version == 6 else socket.AF_INET
        self.kept: list[socket.socket] = []

    def connect(self, host: str, port: int) -> socket.socket:
        error: OSError = OSError("it has no address")
        for family, kind, protocol, _name, target in socket.getaddrinfo(host, port, self._families(host), socket.SOCK_STREAM):
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(PATIENCE)
                self._bind(made)
                made.connect(target)
            except OSError as failure:
                made.close()
                error = failure
                continue
            self.kept.append(socket.socket(fileno=os.dup(made.fileno())))
            return made
        raise error

    def _families(self, host: str) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in host else self._family

    def _bind(self, made: socket.socket) -> None:
        if self._address and made.family == self._family:
            try:
                made.bind((self._address, 0))
            except OSError:
                pass  # not an address of this machine: the one that the router sees it under


class _Connection(http.client.HTTPConnection):
    ways: _Ways

    def connect(self) -> None:
        self.sock = self.ways.connect(self.host, self.port)


class _TlsConnection(http.client.HTTPSConnection, _Connection):
    """Its own ``connect`` speaks TLS through what the one above made."""


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, ways: _Ways) -> None:
        super().__init__()
        self._ways = ways

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._made, _Connection), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._made, _TlsConnection), req)

    def _made(self, kind: type[_Connection], host: str, **options: Any) -> _Connection:
        made = kind(host, **options)
        made.ways = self._ways
        return made


def _opener(ways: _Ways) -> urllib.request.OpenerDirector:
    """Without proxies, and without all that is not HTTP, to which a server could lead."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Handler(ways),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _Told(NamedTuple):
    stream: int
    header: int


def _told(one: socket.socket) -> _Told | None:
    """What the kernel tells about a connection. Only Linux's does, since 4.2."""
    if sys.platform != "linux":
        return None
    try:
        information = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, options, received = _TCP_INFO.unpack(information)
    except (OSError, struct.error):
        return None
    end = 1 if state == _CLOSE_WAIT else 0  # the other side's FIN counts as a byte
    return _Told(received - end, (40 if one.family == socket.AF_INET6 else 20) + 20 + (12 if options & _TIMESTAMPS else 0))


def _reason(error: Exception) -> str:
    """Why it failed, in no word of the server's own."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} ({http.client.responses.get(error.code, 'not known')})"
    if isinstance(error, urllib.error.URLError):
        return _reason(error.reason) if isinstance(error.reason, Exception) else "it leads to where there is neither http nor https"
    if isinstance(error, socket.gaierror):
        return f"its name leads to no address that can be used ({error.strerror})"
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE:g} s"
    if isinstance(error, OSError):
        return visible(error.strerror or type(error).__name__)
    return f"what answers there does not speak HTTP as it should ({type(error).__name__})"
