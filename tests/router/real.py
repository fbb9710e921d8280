# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same CLI over this machine's kernel: the login program of a telnetd inside a network namespace.

``python tests/router login --leases FILE`` talks on its standard input and output, a terminal that telnetd made.
``iptables`` goes to the real one with the words as they are; the rest is read from the kernel and laid out as a
Broadcom router would.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from .faults import Faults
from .layouts import ArpEntry, Interface, LeaseEntry, Route
from .router import Router
from .session import Session
from .spec import RouterSpec

PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
HEX_MASK = re.compile(r"..")


class RealSystem:
    """Implements ``commands.System`` over the namespace that this process runs in."""

    def __init__(self, spec: RouterSpec, leases: Path | None, iptables: str) -> None:
        self._spec = spec
        self._leases = leases
        self._iptables = shutil.which(iptables, path=PATH)

    def option(self, name: str) -> str:
        options = {
            "arp_blank_line": "yes" if self._spec.arp_blank_line else "no",
            "lanhosts_layout": self._spec.lanhosts_layout,
            "lan": self._spec.lan,
            "no_command": "",
            "software": f"real kernel {os.uname().release}",
        }
        return options[name]

    def files(self) -> dict[str, str]:
        names = ("/proc/modules", "/proc/version", "/proc/sys/net/ipv6/conf/all/forwarding", "/proc/net/ipv6_route")
        return {name: _read(name) for name in names if os.path.exists(name)}

    def uptime(self) -> float:
        return float(_read("/proc/uptime").split()[0])

    def arp(self) -> list[ArpEntry]:
        rows = [line.split() for line in _read("/proc/net/arp").splitlines()[1:]]
        return [ArpEntry(row[0], row[3], row[5], int(row[2], 16)) for row in rows if len(row) == 6]

    def leases(self) -> list[LeaseEntry]:
        """Lines of ``EXPIRY MAC IP NAME``; the name is the rest of the line, whatever bytes it has."""
        if self._leases is None:
            return []
        return [_lease(line) for line in self._leases.read_bytes().split(b"\n") if line.count(b" ") >= 2]

    def routes(self) -> list[Route]:
        rows = [line.split("\t") for line in _read("/proc/net/route").splitlines()[1:]]
        return [_route(row) for row in rows]

    def interfaces(self) -> list[Interface]:
        return [self._interface(line) for line in _read("/proc/net/dev").splitlines()[2:]]

    def _interface(self, line: str) -> Interface:
        name, rest = line.split(":", 1)
        name, numbers = name.strip(), [int(word) for word in rest.split()]
        loopback = name == "lo"
        addresses = json.loads(_run("ip", "-j", "-4", "address", "show", "dev", name) or "[]")
        first: dict[str, object] = next((info for item in addresses for info in item.get("addr_info", [])), {})
        return Interface(
            name, "Local Loopback" if loopback else "Ethernet",
            "UP LOOPBACK RUNNING" if loopback else "UP BROADCAST RUNNING MULTICAST",
            int(_read(f"/sys/class/net/{name}/mtu", "1500")), numbers[0], numbers[1], numbers[8], numbers[9],
            "" if loopback else _read(f"/sys/class/net/{name}/address").strip(),
            _address_line(first),
        )  # fmt: skip

    def iptables(self, words: list[str]) -> str | None:
        if self._iptables is None:
            return None
        # Named plainly "iptables", as on a router. Without a deadline: a held lock must look as it does there.
        done = subprocess.run(
            ["iptables", *words], executable=self._iptables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return done.stdout.decode("utf-8", "surrogateescape")


def _read(path: str, default: str = "") -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return default


def _run(*words: str) -> str:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={"PATH": PATH}, check=False)
    return done.stdout


def _lease(line: bytes) -> LeaseEntry:
    expiry, mac, ip, *name = line.removesuffix(b" *").split(b" ", 3)
    left = max(0, int(expiry) - int(time.time()))
    return LeaseEntry(mac.decode(), ip.decode(), left, name[0] if name else None)


def _hex_address(text: str) -> str:
    """The kernel prints addresses in /proc/net/route as little-endian numbers."""
    return ".".join(str(int(pair, 16)) for pair in reversed(HEX_MASK.findall(text)))


def _route(row: list[str]) -> Route:
    destination, gateway, mask = (_hex_address(row[column]) for column in (1, 2, 7))
    bits = int(row[3], 16)
    flags = "".join(letter for letter, bit in (("U", 1), ("G", 2), ("H", 4)) if bits & bit)
    default = destination == "0.0.0.0" and mask == "0.0.0.0"
    return Route("default" if default else destination, "*" if gateway == "0.0.0.0" else gateway, mask, flags, row[0])


def _address_line(info: dict[str, object]) -> str:
    if "local" not in info:
        return ""
    mask = _prefix_mask(int(str(info.get("prefixlen", 32))))
    if "address" in info:
        return f"inet addr:{info['local']}  P-t-P:{info['address']}  Mask:{mask}"
    broadcast = f"  Bcast:{info['broadcast']}" if "broadcast" in info else ""
    return f"inet addr:{info['local']}{broadcast}  Mask:{mask}"


def _prefix_mask(bits: int) -> str:
    value = 0xFFFFFFFF << (32 - bits) & 0xFFFFFFFF
    return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))


# --- the login program


def login(words: list[str]) -> int:
    options = _parser().parse_args(words)
    faults = Faults()
    if options.faults and options.faults.exists():
        faults = faults.changed(**json.loads(options.faults.read_text(encoding="utf-8")))
    spec = RouterSpec(
        hosts=(), user=options.user, password=options.password, prompt=options.prompt, max_sessions=0, faults=faults, firewall=(),
        lanhosts_layout=options.lanhosts_layout, login=options.login,
    )  # fmt: skip
    # When the client drops the connection, the terminal hangs up; the transcript is still to be written then.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    session = Session(Router(spec), RealSystem(spec, options.leases, options.iptables))
    try:
        with raw_terminal(sys.stdin.fileno()):
            _talk(session, sys.stdin.fileno(), sys.stdout.fileno())
    finally:
        session.hang_up()
        if options.transcript and session.record:
            with options.transcript.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(session.record)) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python tests/router login", description="The CLI on this terminal, over the real kernel.")
    parser.add_argument("--leases", type=Path, metavar="FILE", help="lines of EXPIRY MAC IP NAME")
    parser.add_argument("--iptables", default="iptables-legacy", metavar="PROGRAM")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="admin")
    parser.add_argument("--login", choices=("user", "password", "none"), default="user", help="what it asks for")
    parser.add_argument("--prompt", default=" > ")
    parser.add_argument("--lanhosts-layout", choices=("words", "seconds", "bare"), default="words")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="a JSON object, read at login; see router/faults.py")
    parser.add_argument("--transcript", type=Path, metavar="FILE", help="one JSON line is appended for every session")
    return parser


@contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """The session echoes and edits by itself; the terminal must do neither."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        # If the client hung up, the terminal went with it.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _talk(session: Session, source: int, destination: int) -> None:
    try:
        _write(destination, session.start())
        while not session.closed:
            data = os.read(source, 4096)
            if not data:
                return
            _write(destination, session.receive(data))
    except OSError:
        # The terminal of a client that is gone can be neither read nor written.
        return


def _write(destination: int, data: bytes) -> None:
    while data:
        data = data[os.write(destination, data) :]
