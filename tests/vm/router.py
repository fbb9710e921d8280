# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine as OpenWrt is: fw4's ruleset, two devices behind a bridge, and a tagged line to the Internet."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.truth import Passed

from .fw4 import OFF, Offloading, ruleset
from .machine import TELNET, Machine, machine

SERVER, SERVER6 = "203.0.113.10", "2001:db8:ffff::10"
DEVICES = {"lan1": ("192.168.1.11", "2001:db8:1::11"), "lan2": ("192.168.1.12", "2001:db8:1::12")}
WAN = "eth0.2"
SECONDS = 60

# Counted where a packet leaves and reaches a device: nothing that the router does with it can hide it there.
_TRUTH = f"""
table inet truth {{
  counter up4 {{ }}
  counter up6 {{ }}
  counter down4 {{ }}
  counter down6 {{ }}
  chain sent {{
    type filter hook postrouting priority 300; policy accept;
    ip daddr {SERVER} counter name up4
    ip6 daddr {SERVER6} counter name up6
  }}
  chain received {{
    type filter hook prerouting priority -400; policy accept;
    ip saddr {SERVER} counter name down4
    ip6 saddr {SERVER6} counter name down6
  }}
}}
"""


@dataclass(frozen=True)
class Flow:
    """Of a device, with as many bytes of payload."""

    device: str
    size: int
    way: str = "down"
    protocol: str = "tcp"
    ipv6: bool = False


@dataclass(frozen=True)
class Interface:
    """What it says itself that passed it."""

    received: int
    sent: int


class VirtualRouter:
    """Made by :func:`virtual_router`."""

    def __init__(self, made: Machine) -> None:
        self.machine = made
        self._loaded = OFF
        self.write("/tmp/truth.nft", _TRUTH)
        made.run("".join(f"ip-full netns exec {device} nft -f /tmp/truth.nft\n" for device in DEVICES))
        made.run("".join(f"ip-full netns exec isp iperf3 -s -D -B {server} -p {port}\n" for server, port in _servers()))
        self.load(OFF)

    @property
    def telnet(self) -> tuple[str, int]:
        """Host and port of this machine; the user is root, the password admin."""
        return self.machine.at(TELNET)

    def run(self, script: str) -> str:
        """As the router's root, past every log-in."""
        return self.machine.run(script, SECONDS)

    def write(self, name: str, text: str) -> None:
        """A file of the router."""
        self.run(f"cat > {name} <<'END OF FILE'\n{text}END OF FILE")

    # --- the firewall

    def load(self, wanted: Offloading) -> None:
        """As ``fw4 reload`` does, after its settings were changed: emptied and filled in one transaction."""
        self.write("/tmp/fw4.nft", ruleset(wanted, had_flowtable=bool(self._loaded.devices)))
        self.run("nft -f /tmp/fw4.nft")
        self._loaded = wanted

    def reload(self) -> None:
        """As ``fw4 reload``, with the settings of before."""
        self.load(self._loaded)

    def restart(self) -> None:
        """As ``fw4 restart``: its table is deleted, and made anew."""
        self.run("nft delete table inet fw4")
        wanted, self._loaded = self._loaded, OFF
        self.load(wanted)

    def stop(self) -> None:
        """As ``/etc/init.d/firewall stop``, which is ``fw4 flush``: it deletes every table, one after the other."""
        self.run("nft list tables | while read -r _word family name; do nft delete table $family $name; done")
        self._loaded = OFF

    def foreign(self) -> str:
        """All of nftables but our own table, without its counters."""
        tables = self.run("nft -s list ruleset").split("\n}\n")
        return "\n}\n".join(table for table in tables if "homenet_traffic" not in table.split("{")[0])

    # --- traffic

    def flows(self, *flows: Flow) -> None:
        """Those of one device one after the other, those of several at once."""
        rows = {device: [_iperf3(flow) for flow in flows if flow.device == device] for device in DEVICES}
        started = "".join(f"(\n{''.join(lines)}) & pids=\"$pids $!\"\n" for lines in rows.values() if lines)
        self.run(f"pids=\n{started}for pid in $pids; do wait $pid; done")

    @contextmanager
    def flowing(self, flow: Flow) -> Iterator[None]:
        """A connection that carries data while something else happens, for as long as that lets it."""
        start = self._downloaded()
        pid = self.run(f"{_iperf3(flow, endless=True).rstrip()} 2>&1 < /dev/null & echo $!").strip()
        try:
            deadline = time.monotonic() + SECONDS
            while self._downloaded() < start + 500_000:
                if time.monotonic() > deadline:
                    raise TimeoutError("nothing flows")
            yield
        finally:
            self.run(f"kill {pid} 2> /dev/null || true; while kill -0 {pid} 2> /dev/null; do sleep 0.1; done")

    def _downloaded(self) -> int:
        return sum(self.truth().values(), Passed()).download_bytes

    def interface(self, name: str) -> Interface:
        """One of the router's."""
        folder = f"/sys/class/net/{name}/statistics"
        return Interface(*map(int, self.run(f"cat {folder}/rx_bytes {folder}/tx_bytes").split()))

    # --- the truth

    def truth(self) -> dict[str, Passed]:
        """For each address of the devices."""
        found = {}
        for device, addresses in DEVICES.items():
            items = json.loads(self.run(f"ip-full netns exec {device} nft -j list counters"))["nftables"]
            counters = {item["counter"]["name"]: item["counter"] for item in items if "counter" in item}
            for address, version in zip(addresses, "46", strict=True):
                down, up = counters[f"down{version}"], counters[f"up{version}"]
                found[address] = Passed(down["bytes"], down["packets"], up["bytes"], up["packets"])
        return found

    def settle(self) -> dict[str, Passed]:
        """The truth when nothing is on its way any more."""
        before = self.truth()
        for _number in range(100):
            self.run("sleep 0.3")
            now = self.truth()
            if now == before:
                return now
            before = now
        raise TimeoutError("there is always something on its way")

    def tracked(self) -> dict[str, int]:
        """How many bytes each connection that the kernel knows has carried in the direction with more, as the kernel counts."""
        found = {}
        for line in self.run("cat /proc/net/nf_conntrack").splitlines():
            words = [word.partition("=") for word in line.split()]
            found[" ".join(value for name, _is, value in words if name in ("src", "dst", "sport", "dport"))] = max(
                int(value) for name, _is, value in words if name == "bytes"
            )
        return found


def _port(device: str, ipv6: bool, endless: bool) -> int:
    """Each has a server of its own: one that was left in the middle of a connection takes no other for a while."""
    return 5200 + 4 * int(device[-1]) + 2 * ipv6 + endless


def _servers() -> list[tuple[str, int]]:
    no_yes = (False, True)
    return [
        (SERVER6 if ipv6 else SERVER, _port(device, ipv6, endless)) for device in DEVICES for ipv6 in no_yes for endless in no_yes
    ]


def _iperf3(flow: Flow, *, endless: bool = False) -> str:
    options = f"-p {_port(flow.device, flow.ipv6, endless)} {'-t 600 -b 20M' if endless else f'-n {flow.size}'}"
    options += " -R" * (flow.way == "down")
    if flow.protocol == "udp":
        options += " -u -b 100M -l 1200"
    server = SERVER6 if flow.ipv6 else SERVER
    return f"ip-full netns exec {flow.device} timeout {SECONDS} iperf3 -c {server} {options} > /dev/null\n"


@contextmanager
def virtual_router() -> Iterator[VirtualRouter]:
    """Booted, with its firewall; gone at the end."""
    with machine() as made:
        yield VirtualRouter(made)
