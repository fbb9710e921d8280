# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's engine in a lab's router without Ansible around it, and what breaks its conversation in the middle.

A conversation is what the module ``chain`` has: log in, one exchange that reads, changes, log out.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend, Counted, State, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._backends import Backends
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Limits, Session
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Iptables
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, Shell, between_marks
from ansible_collections.homenet.traffic.plugins.plugin_utils._telnet import TelnetStream

from .network import Lab
from .spec import PASSWORD

LINUX = _profile.load("linux")
SECONDS = 20.0
CALLS, COUNT, STOP, REACHED, HOLD = (f"/var/lab/{name}" for name in ("calls", "count", "stop", "reached", "hold"))


@dataclass(frozen=True)
class Order:
    """What is to be brought about."""

    state: State
    hosts: tuple[str, ...] = ()
    prune: bool = False
    table: str = "filter"
    backend: str = "iptables"


@dataclass(frozen=True)
class Done:
    """What an order has come to. ``before`` is what had been counted until then."""

    backend: Backend
    commands: list[str]
    before: Counted


def carry_out(shell: Shell, order: Order) -> Done:
    """As the module ``chain`` does it, whatever counts."""
    router = Router(shell, LINUX, "home", Settings(table=order.table))
    backends = Backends(router, order.backend, order.state)
    router.foresee(READING, backends.listing())
    backend = backends.look(lambda: order.hosts)
    both = [backend, *backends.others(backend)]
    commands: list[str] = []
    for one in both[1:]:
        one.bring("absent", (), (), False, commands)
    backend.bring(order.state, order.hosts, router.wan_interfaces(), order.prune, commands)
    before = Counted()
    for one in both:
        before = together(before, one.final() or one.before())
    return Done(backend, commands, before)


def bring(shell: Shell, order: Order) -> list[str]:
    """As the module ``chain`` does it. The commands that changed something."""
    return bring_and_count(shell, order)[0]


def bring_and_count(shell: Shell, order: Order) -> tuple[list[str], Counted]:
    """The commands that changed something, and what had been counted before them. With iptables alone, nothing else is asked for."""
    if order.backend != "iptables":
        done = carry_out(shell, order)
        return done.commands, done.before
    router = Router(shell, LINUX, "home", Settings(table=order.table))
    backend = Iptables(router.chains, both_tables=order.state != "empty")
    router.foresee(READING, backend.listing())
    backend.look()
    commands: list[str] = []
    backend.bring(order.state, order.hosts, router.wan_interfaces(), order.prune, commands)
    return commands, backend.final() or backend.before()


class Line(Protocol):
    """A way into the router, which may break."""

    @property
    def passed(self) -> list[int]:
        """Bytes so far, to the router and from it."""

    def bring(self, order: Order) -> list[str]:
        """One conversation."""

    def limit(self, up: int | None = None, down: int | None = None) -> None:
        """Break the next conversations after so many bytes in a direction."""

    def cut(self) -> None:
        """Break it now."""


class TelnetLine:
    """Log-in, terminal and line editor of the router's own. When the connection breaks, the terminal hangs up."""

    def __init__(self, network: Lab) -> None:
        self._network = network
        self._relay = network.line("telnet")

    @property
    def passed(self) -> list[int]:
        """See Line."""
        return list(self._relay.passed)

    def bring(self, order: Order) -> list[str]:
        stream = TelnetStream(*self._relay.address, SECONDS)
        session = Session(stream, "home", Credentials("root", PASSWORD), LINUX, limits=Limits(SECONDS, SECONDS))
        try:
            session.login()
            return bring(Shell(session.run_script, "home"), order)
        finally:
            session.logout()

    def limit(self, up: int | None = None, down: int | None = None) -> None:
        self._relay.up, self._relay.down = up, down

    def cut(self) -> None:
        there = processes(self._network)
        self._relay.cut()
        while there <= processes(self._network):
            time.sleep(0.001)  # until the shell that logged in has gone


class ExecLine:
    """``sh`` with the script on its standard input, as SSH servers run it: when the connection breaks, only the pipes do."""

    def __init__(self, network: Lab) -> None:
        self._network = network
        self._limits: list[int | None] = [None, None]
        self._left: list[int | None] = [None, None]
        self._cut, self._closed = threading.Event(), threading.Event()
        self._passed = [0, 0]

    @property
    def passed(self) -> list[int]:
        """See Line."""
        return list(self._passed)

    def bring(self, order: Order) -> list[str]:
        return self.bring_and_count(order)[0]

    def bring_and_count(self, order: Order) -> tuple[list[str], Counted]:
        """See ``bring_and_count`` above."""
        self._left = list(self._limits)
        self._cut.clear()
        return bring_and_count(Shell(self._run, "home"), order)

    def limit(self, up: int | None = None, down: int | None = None) -> None:
        self._limits = [up, down]

    def cut(self) -> None:
        self._cut.set()
        assert self._closed.wait(SECONDS)

    def _run(self, made: Script) -> str:
        words = self._network.in_router("sh")
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            self._closed.clear()
            assert process.stdin and process.stdout
            script = made.text.encode()
            sent = self._take(0, script)
            process.stdin.write(sent)
            process.stdin.close()
            answer = b"".join(self._answers(process.stdout.fileno())) if sent == script else b""
            process.stdout.close()
            self._closed.set()
        output = between_marks(made, answer.decode())
        if output is None:
            raise TrafficError("home: the connection was lost. Run it again; what was done already is kept.")
        return output

    def _answers(self, pipe: int) -> Iterator[bytes]:
        """What comes, up to its end or ours."""
        while not self._cut.is_set():
            if not select.select([pipe], [], [], 0.001)[0]:
                continue
            data = os.read(pipe, 65536)
            if self._cut.is_set():
                return
            taken = self._take(1, data)
            yield taken
            if not data or taken != data:
                return

    def _take(self, way: int, data: bytes) -> bytes:
        left = self._left[way]
        taken = data[:left]
        self._left[way] = None if left is None else left - len(taken)
        self._passed[way] += len(taken)
        return taken


LINES: dict[str, Callable[[Lab], Line]] = {"telnet": TelnetLine, "exec": ExecLine}


def processes(network: Lab) -> set[str]:
    """The process ids in the router."""
    return {name for name in os.listdir(network.path("/proc")) if name.isdigit()}


def wait_for_quiet(network: Lab, idle: set[str]) -> None:
    """Until nothing runs in the router but what ran when it was idle: somebody may go on whose connection is broken."""
    deadline = time.monotonic() + SECONDS
    while not processes(network) <= idle:
        if time.monotonic() > deadline:
            raise TimeoutError("something still runs in the router")
        time.sleep(0.001)


class Stops:
    """Counts the router's calls of iptables and ipset, and lets a line break at one of them. Made once for a lab."""

    def __init__(self, network: Lab) -> None:
        self._network = network
        self._idle = processes(network)
        network.box.run("mkfifo", HOLD)
        for folder, name in (("sbin", "iptables"), ("sbin", "iptables-restore"), ("bin", "ipset")):
            path = network.path(f"/usr/{folder}/{name}")
            if path.is_symlink():
                path.unlink()
                path.write_text(WRAPPER.format(name=name, **FILES), encoding="ascii")
                path.chmod(0o755)
        self.reset()

    def reset(self, number: int = 0, when: str = "before") -> None:
        """Count from here on; the ``number``-th is to stop, none for 0."""
        self._network.path(REACHED).unlink(missing_ok=True)
        self._network.path(CALLS).write_text("", encoding="ascii")
        self._network.path(COUNT).write_text("0\n", encoding="ascii")
        self._network.path(STOP).write_text(f"{number} {when}\n", encoding="ascii")

    @property
    def calls(self) -> list[str]:
        """What they were told, from the first on; and ``finished`` when the one that was stopped came to its end."""
        return self._network.path(CALLS).read_text(encoding="ascii").splitlines()

    @contextmanager
    def at(self, number: int, when: str, act: Callable[[], object]) -> Iterator[None]:
        """Act ``before`` the ``number``-th call begins, or when it is ``in`` the middle of its work."""
        self.reset(number, when)
        over = threading.Event()

        def watch() -> None:
            while not over.is_set() and not self._network.path(REACHED).exists():
                time.sleep(0.001)
            if not over.is_set():
                act()
            while not self._go_on() and not processes(self._network) <= self._idle:
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self._network.path(STOP).write_text("none\n", encoding="ascii")

    def _go_on(self) -> bool:
        """Whether somebody waited."""
        try:
            hold = os.open(self._network.path(HOLD), os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        os.write(hold, b"on\n")
        os.close(hold)
        return True


FILES = {"calls": CALLS, "count": COUNT, "stop": STOP, "reached": REACHED, "hold": HOLD}
# In the middle: iptables-restore has got the beginning of its input; iptables is started and may be anywhere.
WRAPPER = """\
#!/bin/sh
read -r count < {count}
echo $((count + 1)) > {count}
echo {name} "$@" >> {calls}
read -r number when < {stop}
case "$((count + 1)) $when {name}" in
    "$number before "*)
        : > {reached}
        read -r line < {hold}
        /var/lab/bin/{name} "$@"
        status=$?
        echo finished >> {calls}
        exit $status ;;
    "$number in iptables-restore" | "$number in ipset")
        {{ head -n 4; : > {reached}; read -r line < {hold}; }} | /var/lab/bin/{name} "$@"
        exit ;;
    "$number in "*)
        : > {reached} ;;
esac
exec /var/lab/bin/{name} "$@"
"""
