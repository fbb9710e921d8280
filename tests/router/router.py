# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One router: its firewall, interfaces, clock, faults, and what was said in every session. Shared by all sessions."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .faults import Faults
from .firewall import LOCK_TEXTS, Firewall, Packet, Result, run, save
from .spec import Host, RouterSpec

MTU = 1492
PPPOE_OVERHEAD = 22
ETHERNET_OVERHEAD = 14
SERVER = "203.0.113.10"


@dataclass
class Counters:
    """Of one interface, as the kernel keeps them."""

    received_bytes: int = 0
    received_packets: int = 0
    sent_bytes: int = 0
    sent_packets: int = 0


@dataclass
class Totals:
    """The truth about one host: what passed through FORWARD, to the byte."""

    download_bytes: int = 0
    download_packets: int = 0
    upload_bytes: int = 0
    upload_packets: int = 0
    dropped_bytes: int = 0


@dataclass
class SessionRecord:
    """``lines`` are the commands after the login, complete ones only (and the cut one when it was run)."""

    number: int
    lines: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    """``ok`` or ``refused`` for every try; never the password."""
    ended: str = ""
    """Empty while open, then ``exit`` (log-out command), ``dropped`` (client hung up) or ``closed`` (by the router)."""


class Router:
    """State that outlives a session. Everything public may be called from any thread."""

    def __init__(self, spec: RouterSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.lock = threading.RLock()
        self.hosts = {host.ip: host for host in spec.all_hosts()}
        self.faults = spec.faults
        self.wan = spec.wan
        self.host = ""
        self.port = 0
        self.sessions: list[SessionRecord] = []
        self.open_sessions = 0
        self.totals: dict[str, Totals] = {}
        self.wrong_tries = 0
        self.locked_out_until = 0.0
        self._clock = clock
        self._lock_ends = clock() + spec.faults.lock_seconds
        self._lock_commands = spec.faults.lock_commands
        self._boot(spec.uptime)
        _apply(self.firewall, spec.setup, self.wan, spec.lan)

    # --- life

    def _boot(self, uptime: float) -> None:
        self._booted_at = self._clock() - uptime
        spec = self.spec
        self.interfaces = {name: Counters() for name in ("lo", "eth0", spec.lan, spec.wan_device, self.wan)}
        self.firewall = _firmware(spec.firewall, self.wan, spec.lan).copy()

    def restart(self) -> None:
        """Power off and on: everything is gone but the hosts and the truth about them."""
        with self.lock:
            self._boot(0.0)

    def reconnect(self, wan: str | None = None) -> None:
        """The WAN link comes back: the firmware puts its own rules in front again, perhaps on ppp1 now."""
        with self.lock:
            if wan:
                self.interfaces[wan] = self.interfaces.pop(self.wan)
                self.wan = wan
            forward = self.firewall.tables["filter"].chains["FORWARD"]
            own = [rule for rule in forward.rules if rule.spec.jump in ("TCPMSS", "parental")]
            forward.rules = own + [rule for rule in forward.rules if rule not in own]

    @property
    def uptime(self) -> float:
        return self._clock() - self._booted_at

    # --- faults

    def set_faults(self, **changes: Any) -> Faults:
        """Change some faults; the others stay as they are, a lock that is held included."""
        with self.lock:
            self.faults = self.faults.changed(**changes)
            if "lock_seconds" in changes:
                self._lock_ends = self._clock() + self.faults.lock_seconds
            if "lock_commands" in changes:
                self._lock_commands = self.faults.lock_commands
            return self.faults

    def clear_faults(self) -> None:
        with self.lock:
            self.faults = Faults()
            self._lock_commands, self._lock_ends = 0, 0.0
            self.wrong_tries = 0
            self.locked_out_until = 0.0

    def note_wrong_try(self) -> bool:
        """True when this was the last one allowed."""
        with self.lock:
            self.wrong_tries += 1
            if self.wrong_tries < self.spec.tries:
                return False
            self.wrong_tries = 0
            self.locked_out_until = self._clock() + self.spec.lockout_seconds
            return True

    @property
    def locked_out(self) -> bool:
        return self._clock() < self.locked_out_until

    @property
    def prompt(self) -> str:
        return self.spec.prompt if self.faults.prompt is None else self.faults.prompt

    # --- iptables

    def iptables(self, words: list[str]) -> Result:
        """As a session would run it: faults apply."""
        with self.lock:
            return run(self.firewall, words, self.spec.dialect, self._lock_text)

    def _lock_text(self) -> str:
        """What iptables says when somebody else holds its lock; nothing when it is free."""
        held = self._clock() < self._lock_ends
        if self._lock_commands > 0:
            self._lock_commands -= 1
            held = True
        return LOCK_TEXTS.get(self.faults.lock_text, self.faults.lock_text) if held else ""

    def listing(self, chain: str = "TRAFFIC", table: str = "filter") -> str:
        """``iptables -nvxL CHAIN``, past all faults; for assertions."""
        with self.lock:
            return run(self.firewall, ["-t", table, "-nvxL", chain], self.spec.dialect).text

    def foreign_firewall(self, chain: str = "TRAFFIC", *, counters: bool = False) -> str:
        """Everything but ``chain`` and the jumps to it, as iptables-save prints it."""
        with self.lock:
            return save(self.firewall, without=chain, counters=counters)

    # --- hosts

    def add_host(self, host: Host) -> None:
        """A device appears, or changes."""
        with self.lock:
            self.hosts[host.ip] = host

    def remove_host(self, ip: str) -> None:
        with self.lock:
            del self.hosts[self.lan_host(ip).ip]

    # --- traffic

    def lan_host(self, ip: str) -> Host:
        if ip not in self.hosts:
            raise ValueError(f"router {self.spec.name} has no host {ip}")
        return self.hosts[ip]

    def use_link(self, host_ip: str, download_bytes: int, upload_bytes: int, *, known_only: bool = True) -> Totals:
        """A TCP connection of this host to the Internet carries exactly these IP bytes through FORWARD."""
        if known_only:
            self.lan_host(host_ip)
        if download_bytes < 0 or upload_bytes < 0:
            raise ValueError("bytes cannot be negative")
        with self.lock:
            up = Packet(host_ip, SERVER, self.spec.lan, self.wan)
            down = Packet(SERVER, host_ip, self.wan, self.spec.lan, source_port=443, destination_port=40000)
            opening = min(60, upload_bytes)
            if opening:
                self._forward(_sized(up, opening, 1, "NEW", 0x02), host_ip)
            answer = min(60, download_bytes)
            if answer:
                self._forward(_sized(down, answer, 1, "ESTABLISHED", 0x12), host_ip)
            self._rest(up, upload_bytes - opening, host_ip)
            self._rest(down, download_bytes - answer, host_ip)
            return self.totals.setdefault(host_ip, Totals())

    def _rest(self, packet: Packet, amount: int, host_ip: str) -> None:
        if amount:
            self._forward(_sized(packet, amount, -(-amount // MTU), "ESTABLISHED", 0x10), host_ip)

    def _forward(self, packet: Packet, host_ip: str) -> None:
        walk = self.firewall.walk
        up = packet.in_interface == self.spec.lan
        arriving = _via(packet, packet.in_interface, "")
        self._arrive(packet)
        if walk(arriving, "PREROUTING") == "DROP":
            return
        totals = self.totals.setdefault(host_ip, Totals())
        if up:
            totals.upload_bytes += packet.bytes
            totals.upload_packets += packet.count
        else:
            totals.download_bytes += packet.bytes
            totals.download_packets += packet.count
        leaving = _via(packet, "", packet.out_interface)
        if walk(packet, "FORWARD") == "DROP" or walk(leaving, "POSTROUTING") == "DROP":
            totals.dropped_bytes += packet.bytes
            return
        self._leave(packet)

    def _arrive(self, packet: Packet) -> None:
        for name, overhead in self._devices(packet.in_interface):
            counters = self.interfaces[name]
            counters.received_bytes += packet.bytes + overhead * packet.count
            counters.received_packets += packet.count

    def _leave(self, packet: Packet) -> None:
        for name, overhead in self._devices(packet.out_interface):
            counters = self.interfaces[name]
            counters.sent_bytes += packet.bytes + overhead * packet.count
            counters.sent_packets += packet.count

    def _devices(self, interface: str) -> list[tuple[str, int]]:
        """The routed interface and the device under it, which sees the frames."""
        under = ("eth0", ETHERNET_OVERHEAD) if interface == self.spec.lan else (self.spec.wan_device, PPPOE_OVERHEAD)
        return [(interface, 0), under]

    def own_traffic(self, received_bytes: int, sent_bytes: int) -> None:
        """The router's own: through INPUT and OUTPUT, over the WAN, never through FORWARD."""
        with self.lock:
            received = _sized(Packet(SERVER, self.spec.wan_ip, self.wan), received_bytes, -(-received_bytes // MTU))
            sent = _sized(Packet(self.spec.wan_ip, SERVER, "", self.wan), sent_bytes, -(-sent_bytes // MTU))
            self._arrive(received)
            self.firewall.walk(received, "INPUT")
            if self.firewall.walk(sent, "OUTPUT") == "ACCEPT":
                self._leave(sent)

    # --- sessions

    def open_session(self) -> SessionRecord:
        with self.lock:
            record = SessionRecord(len(self.sessions) + 1)
            self.sessions.append(record)
            self.open_sessions += 1
            return record

    def end_session(self, record: SessionRecord, how: str) -> None:
        with self.lock:
            if not record.ended:
                record.ended = how
                self.open_sessions -= 1

    @property
    def transcript(self) -> list[str]:
        """Every command of every session, in the order of arrival within each session."""
        with self.lock:
            return [line for session in self.sessions for line in session.lines]


@lru_cache(16)
def _firmware(lines: tuple[str, ...], wan: str, lan: str) -> Firewall:
    """A firewall to copy: a fleet's routers all start with the same one."""
    firewall = Firewall()
    _apply(firewall, lines, wan, lan)
    return firewall


def _apply(firewall: Firewall, lines: tuple[str, ...], wan: str, lan: str) -> None:
    names = {"ppp0": wan, "br0": lan}
    for line in lines:
        result = run(firewall, [names.get(word, word) for word in shlex.split(line)])
        if result.status:
            raise ValueError(f"the router's own firewall: iptables {line}: {result.text}")


def _sized(packet: Packet, size: int, count: int, ctstate: str = "ESTABLISHED", flags: int = 0x10) -> Packet:
    return Packet(
        packet.source, packet.destination, packet.in_interface, packet.out_interface, packet.protocol, size, count,
        ctstate, packet.source_port, packet.destination_port, flags,
    )  # fmt: skip


def _via(packet: Packet, in_interface: str, out_interface: str) -> Packet:
    return Packet(
        packet.source, packet.destination, in_interface, out_interface, packet.protocol, packet.bytes, packet.count,
        packet.ctstate, packet.source_port, packet.destination_port, packet.tcp_flags,
    )  # fmt: skip
