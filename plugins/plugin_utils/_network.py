# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection to a router, or what to do about it that there is none. Private to this collection."""

from __future__ import annotations

import socket

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError


def connect(host: str, port: int, timeout: float, service: str) -> socket.socket:
    """Connect to a router's service (``telnet`` or ``SSH``). Raises TrafficError."""
    if not 0 < port < 65536:
        raise TrafficError(f"{host}: {port} is not a port. Check ansible_port.", unreachable=True)
    try:
        made = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise TrafficError(_unreachable(host, port, timeout, service, error), unreachable=True) from error
    except (UnicodeError, ValueError, OverflowError) as error:
        raise TrafficError(
            f"{host} port {port}: no connection: {error}. Check ansible_host, ansible_port and ansible_timeout.", unreachable=True
        ) from error
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _unreachable(host: str, port: int, timeout: float, service: str, error: OSError) -> str:
    where = f"{host} port {port}"
    if isinstance(error, socket.gaierror):
        return f"{where}: the name {host!r} is unknown ({error.strerror}). Check ansible_host."
    if isinstance(error, TimeoutError):
        return f"{where}: no answer within {timeout:g} s. Is the router on, and is this its address (ansible_host)?"
    if isinstance(error, ConnectionRefusedError):
        return f"{where}: the connection was refused. Is {service} switched on in the router, and is this its port (ansible_port)?"
    reason = error.strerror or error
    return f"{where}: no connection: {reason}. Check ansible_host, and that this machine is in the router's network."
