# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real router made of network namespaces: real kernel, real iptables, real traffic.

::

    server 203.0.113.10 -- [wan] 100.64.7.1 == ppp0 100.64.7.20 [router] 192.168.1.1 br0 == 192.168.1.11 [lan1]
                                                                                        == 192.168.1.12 [lan2]

The router forwards, masquerades, has a firewall of its own in FORWARD, and counts what passes FORWARD a second time
in another table (``truth``). BusyBox's telnetd listens on its port 23 with the emulated router's CLI as login program.
"""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .namespaces import IPTABLES, SYSTEM_PATH, end, inside, namespaces, run, start
from .relay import relay
from .sockets import End, connect, datagrams, in_namespace, make_socket, stream

ROUTER_PROGRAM = Path(__file__).resolve().parents[1] / "router"
ROUTER_IP, WAN_IP, GATEWAY, SERVER = "192.168.1.1", "100.64.7.20", "100.64.7.1", "203.0.113.10"
TELNET = 23
NAMES = (b"ali-laptop", b"sara-phone", b"reza-pc", b"mina-tablet")

FIREWALL = (
    "-N parental",
    "-A parental -s 192.168.1.250 -p tcp --dport 80 -j DROP",
    "-A parental -j RETURN",
    "-A FORWARD -i br0 -j parental",
    "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i br0 -j ACCEPT",
    "-A FORWARD -j DROP",
    "-t nat -A POSTROUTING -o ppp0 -j MASQUERADE",
)


@dataclass(frozen=True)
class LanHost:
    """A device on the LAN."""

    namespace: str
    ip: str
    mac: str
    name: bytes

    @property
    def end(self) -> End:
        return End(self.namespace, self.ip)


@dataclass(frozen=True)
class Passed:
    """What passed FORWARD for one host, as the kernel counted it in the table that nobody else uses."""

    download_bytes: int
    download_packets: int
    upload_bytes: int
    upload_packets: int


class Lab:
    """The running network. Made by :func:`lab`."""

    def __init__(self, router: str, wan: str, hosts: Sequence[LanHost], folder: Path) -> None:
        self.router = router
        self.wan = wan
        self.hosts = list(hosts)
        self.server = End(wan, SERVER)
        self.address = (ROUTER_IP, TELNET)
        """Where a LAN host reaches the router's telnet; see ``loopback`` for everybody else."""
        self.loopback = ("127.0.0.1", 0)
        """The same from this machine's own namespace."""
        self._folder = folder

    # --- the router

    def iptables(self, *words: str) -> str:
        """Directly, past telnet."""
        return run(*inside(self.router, IPTABLES, *words))

    def foreign_firewall(self, chain: str = "TRAFFIC", *, table: str = "filter") -> str:
        """The table without ``chain`` and the jumps to it, without counters."""
        lines = run(*inside(self.router, IPTABLES, "-t", table, "-S")).splitlines()
        return "".join(f"{line}\n" for line in lines if chain not in line.split())

    def in_router(self, *words: str) -> tuple[str, ...]:
        """The command line that runs a program inside the router's namespace."""
        return inside(self.router, *words)

    def on_lan(self, *words: str) -> tuple[str, ...]:
        """The same on the first host, where ``address`` is the router."""
        return inside(self.hosts[0].namespace, *words)

    def set_names(self, names: Sequence[bytes]) -> None:
        """What the hosts call themselves in the lease file, by position."""
        expiry = int(time.time()) + 86400
        pairs = zip(self.hosts, names, strict=False)
        lines = [b"%d %s %s %s\n" % (expiry, host.mac.encode(), host.ip.encode(), name) for host, name in pairs]
        (self._folder / "leases").write_bytes(b"".join(lines))

    def set_faults(self, **faults: Any) -> None:
        """For logins from now on; without arguments there are none. See router/faults.py."""
        (self._folder / "faults").write_text(json.dumps(faults), encoding="utf-8")

    def sessions(self) -> list[dict[str, Any]]:
        """Finished sessions: ``lines``, ``logins`` and ``ended``."""
        path = self._folder / "transcript"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    # --- traffic

    def stream(self, host: LanHost, *, download: int = 0, upload: int = 0) -> None:
        """A TCP connection to the server with this much payload."""
        stream(host.end, self.server, download=download, upload=upload)

    def datagrams(self, host: LanHost, *, download: list[int], upload: list[int]) -> tuple[int, int]:
        """UDP of these payload sizes; answers the IP bytes down and up, known without any counter."""
        return datagrams(host.end, self.server, download=download, upload=upload)

    def truth(self) -> dict[str, Passed]:
        """Per LAN address, from the kernel."""
        rows = [line.split() for line in self.iptables("-t", "mangle", "-nvxL", "truth").splitlines()[2:]]
        counted = {tuple(row[-2:]): (int(row[1]), int(row[0])) for row in rows}
        anywhere = "0.0.0.0/0"
        return {
            host.ip: Passed(*counted[(anywhere, host.ip)], *counted[(host.ip, anywhere)]) for host in self.hosts
        }

    def settle(self, seconds: float = 5.0) -> dict[str, Passed]:
        """Wait until nothing is on its way any more (the last acknowledgements of a flow, say); the truth then."""
        deadline = time.monotonic() + seconds
        before = self.truth()
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.truth()
            if now == before:
                return now
            before = now
        raise TimeoutError("there is always something on its way")


@contextmanager
def lab(hosts: int = 2, *, telnet: bool = True) -> Iterator[Lab]:
    """Build it, and take everything away at the end. Needs root."""
    with ExitStack() as stack:
        names = stack.enter_context(namespaces("router", "wan", *(f"lan{number + 1}" for number in range(hosts))))
        folder = Path(tempfile.mkdtemp(prefix="hnt-lab-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        router, wan, *lans = names
        _wire(router, wan, lans)
        lan_hosts = [_lan_host(namespace, number) for number, namespace in enumerate(lans)]
        built = Lab(router, wan, lan_hosts, folder)
        _protect(built)
        built.set_names(NAMES)
        built.set_faults()
        for host in built.hosts:
            _introduce(host)
        if telnet:
            stack.enter_context(_telnetd(built, folder))
            built.loopback = stack.enter_context(relay(lans[0], built.address))
        yield built


def _wire(router: str, wan: str, lans: Sequence[str]) -> None:
    for namespace in (router, wan, *lans):
        # Or neighbour discovery sends bytes that nobody asked for.
        run(*inside(namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"))
        run(*inside(namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"))
    _in(router, "link add ppp0 type veth peer name isp0 netns " + wan)
    _in(router, f"address add {WAN_IP} peer {GATEWAY} dev ppp0")
    _in(wan, f"address add {GATEWAY} peer {WAN_IP} dev isp0")
    _in(wan, f"address add {SERVER}/32 dev lo")
    _in(router, "link add br0 type bridge")
    _in(router, f"address add {ROUTER_IP}/24 dev br0")
    for number, lan in enumerate(lans):
        _in(router, f"link add eth{number} type veth peer name eth0 address {_mac(number)} netns {lan}")
        _in(router, f"link set eth{number} master br0 up")
        _in(lan, f"address add {_ip(number)}/24 dev eth0")
        _in(lan, "link set eth0 up")
    for namespace, device in ((router, "br0"), (router, "ppp0"), (wan, "isp0")):
        _in(namespace, f"link set {device} up")
    _in(router, f"route add default via {GATEWAY} dev ppp0")
    for lan in lans:
        _in(lan, f"route add default via {ROUTER_IP}")
    run(*inside(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))


def _in(namespace: str, words: str) -> None:
    run("ip", "-n", namespace, *words.split())


def _ip(number: int) -> str:
    return f"192.168.1.{11 + number}"


def _mac(number: int) -> str:
    return f"02:00:5e:10:00:{11 + number:02x}"


def _lan_host(namespace: str, number: int) -> LanHost:
    return LanHost(namespace, _ip(number), _mac(number), NAMES[number % len(NAMES)])


def _protect(built: Lab) -> None:
    for line in FIREWALL:
        built.iptables(*shlex.split(line))
    # A second, independent count: another table, and rules that only count.
    built.iptables("-t", "mangle", "-N", "truth")
    built.iptables("-t", "mangle", "-A", "FORWARD", "-j", "truth")
    for host in built.hosts:
        built.iptables("-t", "mangle", "-A", "truth", "-i", "ppp0", "-d", host.ip)
        built.iptables("-t", "mangle", "-A", "truth", "-o", "ppp0", "-s", host.ip)


def _introduce(host: LanHost) -> None:
    """Say something to the router, so that it has the host in its ARP table; nothing is forwarded."""
    with make_socket(host.namespace, socket.SOCK_DGRAM) as out:
        out.sendto(b"hello", (ROUTER_IP, 9))


@contextmanager
def _telnetd(built: Lab, folder: Path) -> Iterator[None]:
    program = folder / "login"
    words = [
        sys.executable, "-I", str(ROUTER_PROGRAM), "login", "--leases", str(folder / "leases"), "--iptables", IPTABLES,
        "--faults", str(folder / "faults"), "--transcript", str(folder / "transcript"),
    ]  # fmt: skip
    # telnetd runs one program, without arguments.
    program.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n", encoding="utf-8")
    program.chmod(0o755)
    busybox = shutil.which("busybox", path=SYSTEM_PATH) or "busybox"
    empty = folder / "issue"
    empty.touch()
    telnetd = start(built.router, busybox, "telnetd", "-F", "-K", "-p", str(TELNET), "-f", str(empty), "-l", str(program))
    try:
        _wait_for_listener(built.router)
        yield
    finally:
        end(telnetd)


def _wait_for_listener(namespace: str, seconds: float = 10.0) -> None:
    """Looks into the kernel's table: to connect would be a login already."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tables = [in_namespace(namespace, Path(f"/proc/thread-self/net/{name}").read_text) for name in ("tcp", "tcp6")]
        for row in (line.split() for table in tables for line in table.splitlines()[1:]):
            if row[3] == "0A" and row[1].endswith(f":{TELNET:04X}"):
                return
        time.sleep(0.02)
    raise TimeoutError("telnetd does not listen")


__all__ = ["ROUTER_IP", "SERVER", "TELNET", "End", "Lab", "LanHost", "Passed", "connect", "lab"]
