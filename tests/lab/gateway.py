# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router between a LAN of many addresses and a server, IPv4 and IPv6, in namespaces of its own. Nothing but forwarding.

::

    server [wan] == ppp0 [router] br0 == [lan] 10.0.0.2 ... and 2001:db8:1::2 ...
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

from .namespaces import inside, namespaces, run
from .sockets import in_namespace

SERVERS = {4: "203.0.113.10", 6: "2001:db8:ffff::10"}
LANS = {4: "10.0.0.0", 6: "2001:db8:1::"}
HEADERS = {4: 28, 6: 48}  # of UDP over IP
PORT = 5300
SECONDS = 10.0


class Gateway:
    """The running network, seen by one family of addresses."""

    def __init__(self, router: str, lan: str, wan: str, family: int, count: int) -> None:
        self.router = router
        self.family = family
        first = ip_address(LANS[family])
        self.hosts = [str(first + number) for number in range(2, count + 2)]
        self._lan, self._wan = lan, wan
        self._kind = socket.AF_INET if family == 4 else socket.AF_INET6

    def run(self, *words: str, stdin: str | None = None) -> str:
        """A program on the router."""
        return run(*inside(self.router, *words), stdin=stdin, timeout=60)

    def socket(self, namespace: str, address: str, port: int = 0) -> socket.socket:
        """A UDP socket at an address."""
        made = in_namespace(namespace, lambda: socket.socket(self._kind, socket.SOCK_DGRAM))
        made.settimeout(SECONDS)
        made.bind((address, port))
        return made

    @contextmanager
    def server(self) -> Iterator[socket.socket]:
        """The server's end of all talk."""
        with self.socket(self._wan, SERVERS[self.family], PORT) as far:
            yield far

    def talk(self, far: socket.socket, host: str, up: int, down: int) -> Counter[tuple[str, str]]:
        """A host says so many bytes to the server, which answers so many. What that is as IP packets, to the byte.

        The answer is awaited, so nothing is lost.
        """
        with self.socket(self._lan, host) as near:
            near.sendto(bytes(up), (SERVERS[self.family], PORT))
            back = far.recvfrom(2048)[1]
            far.sendto(bytes(down), back)
            near.recvfrom(2048)
        return Counter({(host, "upload"): up + HEADERS[self.family], (host, "download"): down + HEADERS[self.family]})

    @contextmanager
    def chatter(self, hosts: Sequence[str]) -> Iterator[Counter[tuple[str, str]]]:
        """All the time these hosts talk with the server, one after the other. The truth about it is complete at the end."""
        truth: Counter[tuple[str, str]] = Counter()
        ended = threading.Event()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                with self.server() as far:
                    while not ended.is_set():
                        for number, host in enumerate(hosts):
                            truth.update(self.talk(far, host, 100 + number, 1000 + number))
            except BaseException as error:  # raised again in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield truth
        finally:
            ended.set()
            thread.join(SECONDS * 2)
        assert not thread.is_alive()
        if errors:
            raise errors[0]


@contextmanager
def gateway(family: int, count: int) -> Iterator[Gateway]:
    """The network, with so many hosts."""
    with namespaces("router", "lan", "wan") as (router, lan, wan):
        built = Gateway(router, lan, wan, family, count)
        for namespace in (router, lan, wan):
            # An address can be used at once.
            run(*inside(namespace, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"))
        length = "24" if family == 4 else "64"
        first = ip_address(LANS[family])
        _cable(lan, "eth0", [f"{host}/{length}" for host in built.hosts], router, "br0", f"{first + 1}/{length}")
        near, far = str(ip_address(SERVERS[family]) + 1), SERVERS[family]
        _cable(wan, "eth0", [f"{far}/{length}"], router, "ppp0", f"{near}/{length}")
        run(*inside(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"))
        run("ip", f"-{family}", "-n", lan, "route", "add", "default", "via", str(first + 1))
        run("ip", f"-{family}", "-n", wan, "route", "add", f"{first}/{length}", "via", near)
        yield built


def _cable(one: str, name: str, addresses: Sequence[str], other: str, other_name: str, other_address: str) -> None:
    run("ip", "link", "add", name, "netns", one, "type", "veth", "peer", "name", other_name, "netns", other)
    lines = "".join(f"address add {address} dev {name}\n" for address in addresses)
    run("ip", "-n", one, "-batch", "-", stdin=lines)
    run("ip", "-n", other, "address", "add", other_address, "dev", other_name)
    run("ip", "-n", one, "link", "set", name, "up")
    run("ip", "-n", other, "link", "set", other_name, "up")
