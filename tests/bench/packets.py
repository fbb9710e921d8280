"""What counting costs a router: the time that a packet spends in its forwarding path, with each way of counting and with none.

The lab's router (namespaces of a real kernel; connection tracking, masquerading and a firewall of its own) forwards from the
Internet to its LAN. Over veth, the system call that sends a packet also does all the work of the router with it, on the same
processor. So batches are timed around that call, and what the same batch costs on a link without a router is subtracted. What is
left is the router's: receive, connection tracking, translation, firewall, counting, send. Nothing is merged: every packet is looked
up by itself. All ways take turns in every round, and are compared with none in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".cache" / "collections")]

from lab.namespaces import inside, namespaces, run  # noqa: E402
from lab.network import Lab, lab  # noqa: E402
from lab.sockets import in_namespace, listen, make_socket  # noqa: E402
from lab.spec import SERVER, WAN_IP  # noqa: E402
from sender import Datagrams, Stream, Timed, timed, undisturbed  # noqa: E402
from ways import NONE, Way, ways_of  # noqa: E402

SIZES = (0, 15, 100, 500, 4000)
ROUNDS = 7
SECONDS = 0.12
TRIED = 32
FIRST_HOST, STRANGER = IPv4Address("10.77.0.2"), "10.78.0.1"
HOSTS = "10.76.0.0/14"  # all of them behind one cable
NOWHERE = IPv4Address("198.51.100.2")
PORT, TCP_PORT, FIRST_PORT = 5300, 5301, 20000
SINK = """table netdev sink {
  chain sink {
    type filter hook ingress device eth0 priority 0; policy accept;
    ip protocol udp drop
  }
}
"""
"""Where datagrams end: nobody receives them, and nobody answers."""

KINDS = {
    ("udp", "worst"): "small UDP datagrams to the address that costs most, of some hosts and of two addresses without a rule",
    ("udp", "mean"): "small UDP datagrams to all hosts in turns, in random order",
    ("tcp", "worst"): "a TCP download of that address, for each segment, with half an acknowledgement",
    ("tcp", "mean"): "a TCP download of the host in the middle, the same",
}
Kind = tuple[str, str]


class Bench:
    """The lab with many hosts behind one cable, and a link on which there is no router."""

    def __init__(self, network: Lab, nowhere: str, most: int) -> None:
        self.network = network
        self._nowhere = nowhere
        self.hosts = [str(FIRST_HOST + number) for number in range(most)]
        self._everybody = [*self.hosts, str(FIRST_HOST + most), STRANGER]
        self._prepare()
        self._sender = listen(network.wan, (SERVER, PORT), socket.SOCK_DGRAM)
        in_namespace(network.hosts[0].namespace, self._open_connections)

    def _prepare(self) -> None:
        network, lan, nowhere = self.network, self.network.hosts[0].namespace, self._nowhere
        run(*inside(network.router, "nft", "delete", "table", "inet", "truth"))  # the lab's own counters would cost something, too
        _links(network.router, f"route add {HOSTS} via {network.hosts[0].ip}")
        _links(lan, f"route add local {HOSTS} dev lo")
        _links(network.wan, f"link add none0 type veth peer name eth0 netns {nowhere}", f"address add {NOWHERE - 1}/24 dev none0")
        _links(network.wan, "link set none0 up gso_max_segs 1", "link set isp0 gso_max_segs 1")
        _links(nowhere, "link set eth0 up", f"address add {NOWHERE}/24 dev eth0", f"route add default via {NOWHERE - 1}")
        for namespace in (lan, nowhere):
            run(*inside(namespace, "nft", "-f", "-"), stdin=SINK)
        timeouts = (f"/proc/sys/net/netfilter/nf_conntrack_udp_timeout{which}" for which in ("", "_stream"))
        run(*inside(network.router, "tee", *timeouts), stdin="36000")

    def _open_connections(self) -> None:
        """Each host says something to the server, so that what comes back belongs to a known connection."""
        for number, ip in enumerate(self._everybody):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
                host.bind((ip, FIRST_PORT + number))
                host.sendto(b"hello", (SERVER, PORT))

    def floor(self) -> dict[str, float]:
        """What a packet costs without a router."""
        found = {"udp": timed(Datagrams(self._sender, str(NOWHERE), [FIRST_PORT]).send, SECONDS).each}
        stream = self._stream(self._nowhere, str(NOWHERE))
        found["tcp"] = timed(stream.send, SECONDS).each
        stream.close()
        return found

    def measure(self, way: Way, count: int) -> dict[Kind, float]:
        """Nanoseconds a packet for every kind of traffic, with rules for the first hosts, so many of them."""
        way.install(self.network, self.hosts[:count])
        try:
            stranger = len(self._everybody) - 1
            worst = max({*range(0, count, max(1, count // TRIED)), max(0, count - 1), count, stranger}, key=self._glance)
            all_hosts = random.Random(count).sample(range(count), count) or [stranger]
            return {
                ("udp", "worst"): self._datagrams(way, [worst]),
                ("udp", "mean"): self._datagrams(way, all_hosts),
                ("tcp", "worst"): self._download(self._everybody[worst]),
                ("tcp", "mean"): self._download(self._everybody[count // 2 if count else stranger]),
            }
        finally:
            way.remove(self.network)

    def _glance(self, number: int) -> float:
        """About what a packet to this address costs, to find those that are worth a longer look."""
        datagrams = Datagrams(self._sender, WAN_IP, [FIRST_PORT + number])
        with undisturbed():
            times = []
            for _batch in range(4):
                start = time.perf_counter_ns()
                datagrams.send()
                times.append(time.perf_counter_ns() - start)
        return min(times)

    def _download(self, ip: str) -> float:
        stream = self._stream(self.network.hosts[0].namespace, ip)
        each = timed(stream.send, SECONDS).each
        stream.close()
        return each

    def _datagrams(self, way: Way, numbers: Sequence[int]) -> float:
        datagrams = Datagrams(self._sender, WAN_IP, [FIRST_PORT + number for number in numbers])
        before = self._forwarded(), way.packets(self.network)
        done = timed(datagrams.send, SECONDS, max(8, datagrams.batches))
        forwarded, counted = self._forwarded() - before[0], way.packets(self.network) - before[1]
        self._require(way, done, forwarded, counted)
        return done.each

    def _require(self, way: Way, done: Timed, forwarded: int, counted: int) -> None:
        # A neighbor may be looked for meanwhile, which is a packet too.
        if not done.packets <= forwarded <= done.packets + 4 or (way.name != NONE and counted != done.packets):
            raise SystemExit(
                f"{way.name}: of {done.packets} packets {forwarded} were forwarded and {counted} counted: a number would mean nothing."
            )

    def _forwarded(self) -> int:
        port = f"port{self.network.hosts[0].ip.rpartition('.')[2]}"
        shown = json.loads(run("ip", "-n", self.network.router, "-j", "-s", "link", "show", port))
        return int(shown[0]["stats64"]["tx"]["packets"])

    def _stream(self, namespace: str, ip: str) -> Stream:
        """From the server to a host."""
        with listen(self.network.wan, (SERVER, TCP_PORT)) as listener, make_socket(namespace) as near:
            near.bind((ip, 0))
            near.connect((SERVER, TCP_PORT))
            return Stream(listener.accept()[0], near.dup())


def _links(namespace: str, *commands: str) -> None:
    run("ip", "-n", namespace, "-batch", "-", stdin="".join(f"{command}\n" for command in commands))


Samples = dict[tuple[str, int], list[dict[Kind, float]]]


def measure(iptables: str, sizes: Sequence[int], rounds: int) -> Samples:
    """The router's share of every packet's time, for each way and size, round by round."""
    ways = ways_of(iptables)
    samples: Samples = {}
    with ExitStack() as stack:
        network = stack.enter_context(lab(hosts=1, servers=(), backend=iptables))
        (nowhere,) = stack.enter_context(namespaces("nowhere"))
        bench = Bench(network, nowhere, max(sizes))
        for number in range(rounds):
            for size in sizes:
                floor = bench.floor()
                for way in ways if number % 2 else reversed(ways):
                    times = bench.measure(way, size)
                    router = {kind: each - floor[kind[0]] for kind, each in times.items()}
                    samples.setdefault((way.name, size), []).append(router)
            print(f"iptables-{iptables}, round {number + 1} of {rounds}: done", flush=True)
    return samples


def cell(way: Way, size: int, kind: Kind, samples: Samples) -> str:
    """The router's time without counting; what counting adds, in percent of it and in nanoseconds."""
    none = [times[kind] for times in samples[NONE, size]]
    if way.name == NONE:
        return f"{statistics.median(none):.0f} ns"
    times = [times[kind] for times in samples[way.name, size]]
    more = statistics.median(one / other - 1 for one, other in zip(times, none, strict=True))
    added = statistics.median(one - other for one, other in zip(times, none, strict=True))
    aim = way.aims.get(size)
    return f"{more:+.0%} {added:+.0f} ns{' MISSED' if aim is not None and more > aim else ''}"


def table(iptables: str, kind: Kind, sizes: Sequence[int], samples: Samples) -> str:
    ways = ways_of(iptables)
    rows = [["hosts", *map(str, sizes)], *([way.name, *(cell(way, size, kind, samples) for size in sizes)] for way in ways)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(sizes) + 1)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([f"{KINDS[kind]} (firewall: iptables-{iptables})", *(f"  {line}" for line in lines)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=list(SIZES), help="numbers of hosts (0 15 100 500 4000)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("Packets through the lab's router: left out, for it needs root.")
        return 0
    print(f"Packets through the lab's router: Linux {platform.release()}, {os.cpu_count()} cores", flush=True)
    for iptables in ("legacy", "nft"):
        samples = measure(iptables, options.sizes, options.rounds)
        print("\n" + "\n\n".join(table(iptables, kind, options.sizes, samples) for kind in KINDS) + "\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
