# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic as people make it: iperf3 between LAN hosts and the server, several at once."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event

from .namespaces import end, inside, start
from .sockets import End, wait_for_listener
from .spec import LanHost

SECONDS = 60
UDP_RATE = "400M"
"""More only fills buffers until they overflow."""
TCP_BUFFER = "256K"
"""iperf3 ends a connection when it has written all that it should: what lies in the sender's buffer then never leaves. Linux lets a
buffer grow to 4 MB, which can be the whole flow."""

_ports = itertools.count(15201)


@dataclass(frozen=True)
class Flow:
    """``size`` is the payload in bytes; headers and iperf3's own talk come on top."""

    host: LanHost
    size: int
    direction: str = "down"
    protocol: str = "tcp"
    parallel: int = 1
    ipv6: bool = False

    def client(self, server: End, port: int) -> tuple[str, ...]:
        words = ["iperf3", "-c", server.ip, "-p", str(port), "-n", str(self.size), "-P", str(self.parallel), "-J"]
        if self.direction == "down":
            words.append("-R")
        words += ["-u", "-b", UDP_RATE, "-l", "1400"] if self.protocol == "udp" else ["-w", TCP_BUFFER]
        return inside(self.host.namespace, *words)


def mixed(hosts: Sequence[LanHost], megabytes: int = 200, *, ipv6: bool = False) -> list[Flow]:
    """For every host a bit of everything, together at least this much. The datagrams come on top, for some get lost."""
    share = megabytes * 1_000_000 // len(hosts) + 1
    parts = (("down", "tcp", 75, 4), ("up", "tcp", 25, 1), ("down", "udp", 15, 1), ("up", "udp", 5, 1))
    return [
        Flow(host, share * percent // 100, direction, protocol, parallel, ipv6)
        for host in hosts
        for direction, protocol, percent, parallel in parts
    ]


@dataclass
class Flowing:
    """Flows on their way. ``arrived`` is the payload that the far ends had received, known when all have ended."""

    processes: list[tuple[Flow, subprocess.Popen[str]]] = field(default_factory=list)
    arrived: dict[str, int] = field(default_factory=lambda: {"down": 0, "up": 0})

    def finish(self) -> None:
        for flow, process in self.processes:
            output = process.communicate(timeout=SECONDS)[0]
            if process.returncode:
                raise RuntimeError(f"{flow}: {_complaint(output)}")
            self.arrived[flow.direction] += json.loads(output)["end"]["sum_received"]["bytes"]


def _complaint(output: str) -> str:
    try:
        return str(json.loads(output)["error"])
    except (ValueError, KeyError):
        return output


@contextmanager
def again_and_again(run: Callable[[], None]) -> Iterator[None]:
    """``run`` in a thread, from before the block until after it."""
    begun, enough = Event(), Event()

    def work() -> None:
        begun.set()
        run()
        while not enough.is_set():
            run()

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        begun.wait()
        try:
            yield
        finally:
            enough.set()
            working.result()


@contextmanager
def flowing(flows: Iterable[Flow], server: End, server6: End) -> Iterator[Flowing]:
    """Start them all; at the end each has moved all of its bytes."""
    with ExitStack() as stack:
        running = Flowing()
        for flow in flows:
            far = server6 if flow.ipv6 else server
            port = next(_ports)
            listener = start(*inside(far.namespace, "iperf3", "-s", "-1", "-B", far.ip, "-p", str(port)))
            stack.callback(end, listener)
            wait_for_listener(far.namespace, port)
            client = start(*flow.client(far, port))
            stack.callback(end, client)
            running.processes.append((flow, client))
        yield running
        running.finish()
