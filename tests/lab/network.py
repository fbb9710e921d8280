# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real router made of namespaces: real kernel, real iptables, real logins, real traffic.

::

    server 203.0.113.10 -- [wan] 100.64.7.1 == ppp0 100.64.7.20 [router] 192.168.1.1 br0 == 192.168.1.11 [lan1]
                                                                                        == 192.168.1.12 [lan2]

The router forwards, masquerades, and has a firewall of its own in FORWARD. What passes FORWARD is counted a second time by
nftables (truth.py).
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import dhcp, firewall, servers, truth
from .box import Box, box
from .flows import Flow, Flowing, again_and_again, flowing
from .keys import Keys
from .namespaces import inside, namespaces, program, run
from .relay import Relay, relay
from .sockets import End, connect, datagrams, make_socket, stream
from .spec import GATEWAY, NAMES, ROUTER_IP, SERVER, SERVER6, LabSpec, LanHost, lan_host
from .truth import Passed, Truth
from .wiring import plug_in, wire

QUIET = 0.5
"""Seconds. Longer than TCP waits before it sends once more what got lost."""


class Lab:
    """The running network. Made by :func:`lab`."""

    def __init__(self, spec: LabSpec, box: Box, wan: str, hosts: Sequence[LanHost], keys: Keys | None, stack: ExitStack) -> None:
        self.spec = spec
        self.box = box
        """The router's file system and processes."""
        self.router = box.namespace
        self.wan = wan
        """The namespace of the server and of the provider's gateway."""
        self.hosts = list(hosts)
        self.server = End(wan, SERVER)
        self.server6 = End(wan, SERVER6)
        self.keys = keys
        self._stack = stack
        self._relays: dict[str, Relay] = {}

    # --- how to log in

    @property
    def address(self) -> tuple[str, int]:
        """Where a LAN host reaches the router's telnet; see ``loopback`` for everybody else."""
        return (ROUTER_IP, 23)

    @property
    def loopback(self) -> tuple[str, int]:
        """The same from this machine's own namespace."""
        return self.at(next(name for name in ("telnet", "broadcom") if name in self.spec.servers))

    def at(self, server: str) -> tuple[str, int]:
        """Host and port of this machine that lead to one of the router's servers, by its name in the spec."""
        if server not in self.spec.servers:
            raise ValueError(f"this lab has no {server}: lab(servers=...)")
        return self.line(server).address

    def line(self, server: str) -> Relay:
        """What leads there, which can be made to break."""
        if server not in self._relays:
            target = (ROUTER_IP, self.spec.port(server))
            self._relays[server] = self._stack.enter_context(relay(self.hosts[0].namespace, target))
        return self._relays[server]

    @property
    def key(self) -> Path:
        """A private key with which root and keeper can log in by SSH."""
        assert self.keys, "this lab has no SSH server"
        return self.keys.user

    def known_hosts(self, server: str) -> str:
        """The lines for a known_hosts file, for ``at(server)``."""
        assert self.keys, "this lab has no SSH server"
        return self.keys.known_hosts(server, *self.at(server))

    # --- the router

    def in_router(self, *words: str, folder: str | Path = "/") -> tuple[str, ...]:
        """The command line that runs a program inside the router; ``share`` the folders that it needs."""
        return self.box.command(*words, folder=folder)

    def share(self, folder: Path) -> None:
        """Let a folder of this machine (in /tmp, say) be seen by what runs inside the router."""
        self.box.share(folder)

    def path(self, name: str) -> Path:
        """Where a file of the router can be read and written from here."""
        return self.box.path(name)

    def iptables(self, *words: str) -> str:
        """Directly, past every login."""
        return self.box.tool("iptables", *words)

    def foreign_firewall(self, chain: str = "TRAFFIC", *, table: str = "filter", counters: bool = False) -> str:
        """The table without ``chain``, its sub-chains and the jumps to them."""
        return firewall.foreign(self.box, chain, table, counters=counters)

    def reload_firewall(self, way: str = "rebuild", table: str = "filter") -> None:
        """As firmware does it: ``rebuild`` flushes FORWARD, ``insert`` goes above everything, ``replace`` takes the whole table."""
        firewall.reload(self.box, self.spec, way, table)

    @property
    def reboots(self) -> list[str]:
        """How often something in the router tried to end it: ``reboot``, ``halt`` or ``poweroff``."""
        path = self.path("/var/lab/reboots")
        return path.read_text(encoding="ascii").split() if path.exists() else []

    def set_names(self, names: Sequence[bytes]) -> None:
        """What the hosts call themselves in the lease file, by position, verbatim. dnsmasq rewrites it with the next lease."""
        expiry = int(time.time()) + 86400
        pairs = zip(self.hosts, names, strict=False)
        lines = [b"%d %s %s %s *\n" % (expiry, host.mac.encode(), host.ip.encode(), name) for host, name in pairs]
        self.path(self.spec.lease_file).write_bytes(b"".join(lines))

    def lease(self, host: LanHost, name: bytes, option: int = dhcp.HOST_NAME) -> None:
        """A real DHCP client on the host gets a lease from the router's server, and says this name, of any bytes."""
        dhcp.lease(self.box, self.spec, host, name, option)

    # --- the emulated CLI

    def set_faults(self, **faults: Any) -> None:
        """For logins to ``broadcom`` from now on; without arguments there are none. See router/faults.py."""
        self.path(servers.FAULTS).write_text(json.dumps(faults), encoding="utf-8")

    def sessions(self) -> list[dict[str, Any]]:
        """Finished sessions of ``broadcom``: ``lines``, ``logins`` and ``ended``."""
        path = self.path(servers.TRANSCRIPT)
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    # --- the hosts

    def on_lan(self, *words: str) -> tuple[str, ...]:
        """The command line that runs a program on the first host, where ``address`` is the router."""
        return inside(self.hosts[0].namespace, *words)

    def add_host(self) -> LanHost:
        """A host that comes later. The router knows it from its first packet on."""
        (namespace,) = self._stack.enter_context(namespaces(f"lan{len(self.hosts) + 1}"))
        host = lan_host(namespace, len(self.hosts), ipv6=self.spec.ipv6)
        plug_in(self.spec, self.router, host)
        self.hosts.append(host)
        return host

    def ping(self, host: LanHost, count: int = 1) -> bool:
        """Through the router to the server and back."""
        words = inside(host.namespace, program("busybox"), "ping", "-q", "-c", str(count), "-w", "5", SERVER)
        try:
            return f" {count} packets received" in run(*words)
        except RuntimeError:
            return False

    # --- traffic

    def stream(self, host: LanHost, *, download: int = 0, upload: int = 0, ipv6: bool = False) -> None:
        """A TCP connection to the server with this much payload."""
        ends = (host.end6, self.server6) if ipv6 else (host.end, self.server)
        stream(*ends, download=download, upload=upload)

    def datagrams(self, host: LanHost, *, download: list[int], upload: list[int], ipv6: bool = False) -> tuple[int, int]:
        """UDP of these payload sizes; answers the IP bytes down and up, known without any counter."""
        ends = (host.end6, self.server6) if ipv6 else (host.end, self.server)
        return datagrams(*ends, download=download, upload=upload)

    def flows(self, flows: Iterable[Flow]) -> dict[str, int]:
        """All at once, to their ends; ``flows.mixed(hosts, megabytes)`` makes an evening of them. The payload that arrived, down and up."""
        with self.flowing(flows) as flowing:
            pass
        return flowing.arrived

    def flowing(self, flows: Iterable[Flow]) -> AbstractContextManager[Flowing]:
        """The same around something else that happens meanwhile."""
        return flowing(flows, self.server, self.server6)

    def busy(self, flows: Iterable[Flow]) -> AbstractContextManager[None]:
        """The same again and again, for as long as something else happens."""
        wanted = list(flows)

        def run() -> None:
            self.flows(wanted)

        return again_and_again(run)

    # --- the truth

    def truth(self) -> dict[str, Passed]:
        """Per IPv4 address of the hosts, from the kernel."""
        counted = self.everything().addresses
        return {host.ip: counted.get(host.ip, Passed()) for host in self.hosts}

    def everything(self) -> Truth:
        """The total, and every address that was seen, IPv6 as well."""
        return truth.read(self.router)

    def settle(self, seconds: float = 20.0) -> dict[str, Passed]:
        """Wait until nothing is on its way any more (the last acknowledgements of a flow, say); the truth then."""
        deadline = time.monotonic() + seconds
        before = self.everything()
        while time.monotonic() < deadline:
            time.sleep(QUIET)
            now = self.everything()
            if now == before:
                return self.truth()
            before = now
        raise TimeoutError("there is always something on its way")


@contextmanager
def lab(spec: LabSpec | None = None, **options: Any) -> Iterator[Lab]:
    """Build it, and take everything away at the end. ``options`` are those of :class:`LabSpec`."""
    spec = spec or LabSpec(**options)
    with ExitStack() as stack:
        roles = ("router", "wan", *(f"lan{number + 1}" for number in range(spec.hosts)))
        router, wan, *lans = stack.enter_context(namespaces(*roles))
        folder = Path(tempfile.mkdtemp(prefix="hnt-lab-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        hosts = [lan_host(namespace, number, ipv6=spec.ipv6) for number, namespace in enumerate(lans)]
        wire(spec, router, wan, hosts)
        truth.install(router, spec.wan)
        inside_router = stack.enter_context(box(router, spec, folder))
        firewall.install(inside_router, spec)
        keys = Keys(folder, spec.host_keys) if {"dropbear", "sshd"} & set(spec.servers) else None
        built = Lab(spec, inside_router, wan, hosts, keys, stack)
        if "dnsmasq" not in spec.servers:  # it reads them as leases of its own
            built.set_names(NAMES)
        built.set_faults()
        for host in hosts:
            _introduce(host)
        servers.start(inside_router, spec, keys)
        yield built


def _introduce(host: LanHost) -> None:
    """Say something to the router, so that it has the host in its ARP table; nothing is forwarded."""
    with make_socket(host.namespace, socket.SOCK_DGRAM) as out:
        out.sendto(b"hello", (ROUTER_IP, 9))


__all__ = ["GATEWAY", "ROUTER_IP", "SERVER", "End", "Flow", "Lab", "LabSpec", "LanHost", "Passed", "connect", "lab"]
