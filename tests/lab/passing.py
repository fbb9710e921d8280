# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One packet of every kind through the router, the same each time, so that counters must grow by the same each time.

What passes: new and old conversations by UDP, both ways, a ping, and a TCP connection. What does not: a host that is barred from the
web, and what comes in unasked.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .namespaces import run
from .network import Lab
from .sockets import End, listen, make_socket
from .spec import SERVER, WAN_IP, LanHost

BARRED = "192.168.1.250"
"""See firewall.py."""
UP, DOWN = bytes(100), bytes(900)
# No port twice, or a conversation would be an old one; below those that the kernel picks.
_ports = itertools.count(10_000)


@dataclass
class Passing:
    """Made by :func:`passing`."""

    network: Lab
    lasting: list[tuple[socket.socket, socket.socket]]

    def once(self) -> None:
        """Send them all; raises where one that should arrive does not, or the other way round."""
        hosts = self.network.hosts
        self._barred(hosts[0])
        self._unasked(hosts[0])
        for host in hosts:
            self._datagrams(host)
        for near, far in self.lasting:
            _both_ways(near, far)
        for host in hosts:
            self._ping(host)
        self._handshake(hosts[0])

    def _datagrams(self, host: LanHost) -> None:
        with ExitStack() as stack:
            _both_ways(*(stack.enter_context(one) for one in _conversation(self.network, host.end)))

    def _ping(self, host: LanHost) -> None:
        with make_socket(host.namespace, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.bind((host.ip, 0))
            asked = struct.pack("!BBHHH", 8, 0, 0, next(_ports), 1) + bytes(56)
            checksum = ~sum(struct.unpack(f"!{len(asked) // 2}H", asked)) & 0xFFFF
            raw.sendto(asked[:2] + struct.pack("!H", checksum) + asked[4:], (SERVER, 0))
            while raw.recv(2048)[20:21] != b"\0":
                continue

    def _handshake(self, host: LanHost) -> None:
        """Four packets: what follows an ended connection is not the same each time, so it is broken off."""
        with listen(self.network.wan, (SERVER, 8081)) as listener, make_socket(host.namespace) as near:
            near.bind((host.ip, next(_ports)))
            near.connect((SERVER, 8081))
            far = listener.accept()[0]
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
            with far:
                far.settimeout(5)
                try:
                    far.recv(1)
                except ConnectionResetError:
                    return
                raise ConnectionError("the end of a connection did not arrive")

    def _barred(self, host: LanHost) -> None:
        with listen(self.network.wan, (SERVER, 80)) as listener, make_socket(host.namespace) as near:
            near.bind((BARRED, next(_ports)))
            near.setblocking(False)
            near.connect_ex((SERVER, 80))
            near.close()  # before it would try again
            listener.setblocking(False)
            try:
                listener.accept()
            except BlockingIOError:
                return
            raise ConnectionError("a barred host reached the web")

    def _unasked(self, host: LanHost) -> None:
        with make_socket(self.network.wan, socket.SOCK_DGRAM) as far:
            far.sendto(DOWN, (host.ip, 9))


def _conversation(network: Lab, near: End) -> tuple[socket.socket, socket.socket]:
    port = next(_ports)
    ours, theirs = make_socket(near.namespace, socket.SOCK_DGRAM), listen(network.wan, (SERVER, port), socket.SOCK_DGRAM)
    ours.bind((near.ip, port))
    ours.connect((SERVER, port))
    return ours, theirs


def _both_ways(near: socket.socket, far: socket.socket) -> None:
    near.send(UP)
    back = far.recvfrom(2048)[1]
    far.sendto(DOWN, back)
    near.recv(2048)


@contextmanager
def passing(network: Lab) -> Iterator[Passing]:
    """For all hosts that are there now. The lab is changed a bit: a barred address, and a way in that must not be open."""
    first = network.hosts[0]
    run("ip", "-n", first.namespace, "address", "add", f"{BARRED}/24", "dev", "eth0")
    run("ip", "-n", network.wan, "route", "add", "192.168.1.0/24", "via", WAN_IP)
    with ExitStack() as stack:
        lasting = [_conversation(network, host.end) for host in network.hosts]
        for ends in lasting:
            for end in ends:
                stack.enter_context(end)
        yield Passing(network, lasting)
