# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real router: its CLI over a real telnetd, real iptables behind it, real packets through it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.network import Lab, lab
from lab.sockets import connect
from lab.spec import ROUTER_MAC
from router.client import Client

SET_UP = (
    "iptables -N TRAFFIC",
    "iptables -A TRAFFIC -i ppp0 -d 192.168.1.11 -j RETURN",
    "iptables -A TRAFFIC -s 192.168.1.11 -o ppp0 -j RETURN",
    "iptables -A TRAFFIC -i ppp0",
    "iptables -A TRAFFIC -o ppp0",
    "iptables -I FORWARD 1 -j TRAFFIC",
)


@pytest.fixture
def network() -> Iterator[Lab]:
    with lab(hosts=2) as built:
        yield built


def rows(listing: str) -> list[tuple[int, int]]:
    """Packets and bytes of every rule, in order."""
    return [(int(words[0]), int(words[1])) for words in map(str.split, listing.splitlines()[2:]) if words]


def ended(network: Lab, count: int = 1) -> list[dict[str, Any]]:
    """The sessions, once this many have ended; the login program writes them last of all."""
    deadline = time.monotonic() + 10
    while len(network.sessions()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return network.sessions()


def test_bytes_of_hosts_with_and_without_rules_are_exact(network: Lab) -> None:
    first, second = network.hosts
    foreign = network.foreign_firewall()
    with Client(*network.loopback) as client:
        client.log_in()
        for line in SET_UP:
            assert client.run(line) == ""
        down, up = network.datagrams(first, download=[1400, 1, 0, 777], upload=[3, 99])
        network.datagrams(second, download=[10, 20], upload=[30])
        counted = rows(client.run("iptables -nvxL TRAFFIC"))
    assert counted == [(4, down), (2, up), (2, 30 + 2 * 28), (1, 30 + 28)]
    assert network.foreign_firewall() == foreign


def test_a_tcp_flow_is_counted_as_the_independent_table_counts_it(network: Lab) -> None:
    host = network.hosts[0]
    with Client(*network.loopback) as client:
        client.log_in()
        for line in SET_UP:
            client.run(line)
        network.stream(host, download=2_000_000, upload=10_000)
        truth = network.settle()[host.ip]
        down, up = rows(client.run("iptables -nvxL TRAFFIC"))[:2]
    assert down == (truth.download_packets, truth.download_bytes)
    assert up == (truth.upload_packets, truth.upload_bytes)
    assert down[1] > 2_000_000


def test_the_cli_shows_the_real_system(network: Lab) -> None:
    with Client(*network.loopback) as client:
        client.log_in()
        arp = client.run("arp show").split("\n")
        assert "192.168.1.11     0x1         0x2         02:00:5e:10:00:0b     *        br0" in arp
        network.set_names([b"a  b", b"<script>"])
        leases = client.run("lanhosts show all")
        assert "02:00:5e:10:00:0c  192.168.1.12    23 hours, 59 minutes" in leases or "24 hours" in leases
        assert leases.splitlines()[2].endswith(" a  b")
        assert "default         100.64.7.1      0.0.0.0         UG    0      0        0 ppp0" in client.run("route show")
        before = client.run("ifconfig ppp0")
        down = network.datagrams(network.hosts[0], download=[500], upload=[1])[0]
        after = client.run("ifconfig ppp0")
        received = [int(text.split("RX bytes:")[1].split()[0]) for text in (before, after)]
        # An Ethernet frame has a header of 14 bytes; address resolution may add a few frames of 42.
        assert received[1] - received[0] in (down + 14, down + 14 + 42, down + 14 + 84)
        assert client.run("iptables -nL NOPE") == "iptables: No chain/target/match by that name.\n"
        assert "unrecognized command df -h" in client.run("df -h")


def test_the_firewall_protects_what_is_behind_it(network: Lab) -> None:
    """The lab would prove little if everything passed."""
    with pytest.raises(OSError):
        left_outside = connect(network.wan, ("192.168.1.11", 80))
        left_outside.close()
    assert network.truth()["192.168.1.11"].download_packets == 0


def test_exit_and_a_dropped_connection_are_told_apart(network: Lab) -> None:
    with Client(*network.loopback) as client:
        client.log_in()
        client.send(b"exit\r\n")
        assert "Bye bye" in client.read_to_end()
    assert [session["ended"] for session in ended(network)] == ["exit"]
    with Client(*network.loopback) as client:
        client.log_in()
        client.run("arp show")
    assert [session["ended"] for session in ended(network, 2)] == ["exit", "dropped"]
    assert network.sessions()[1]["lines"] == ["arp show"]


def test_faults_work_on_the_real_router_too(network: Lab) -> None:
    typed = b"admin\r\nadmin\r\niptables -N TRAFFIC\r\niptables -N OTHER\r\n"
    # BusyBox's telnetd hands on CR LF as one byte.
    limit = typed.replace(b"\r\n", b"\r").index(b"OTHER") + 3
    network.set_faults(cut_after_received=limit, cut_runs_partial=True)
    with Client(*network.loopback) as client:
        client.read_until("Login: ")
        client.send(typed)
        client.read_to_end()
    assert ended(network)[0]["lines"] == ["iptables -N TRAFFIC", "iptables -N OTH"]
    chains = network.iptables("-S")
    assert "-N TRAFFIC\n" in chains
    assert "-N OTH\n" in chains


def test_a_program_on_the_lan_reaches_the_router(network: Lab) -> None:
    script = (
        "import socket; lines = socket.create_connection(('192.168.1.1', 23), 9).makefile('rb'); "
        "print(next(line for line in lines if b'BCM' in line))"
    )
    done = subprocess.run(network.on_lan("python3", "-c", script), capture_output=True, text=True, timeout=20, check=True)
    assert "BCM96338 ADSL Router" in done.stdout


def test_a_new_host_does_not_cut_off_the_others(network: Lab) -> None:
    """A bridge takes the lowest address of its ports, unless it is told one; then nobody finds it until they ask again."""
    before = network.box.run("cat", "/sys/class/net/br0/address")
    for _number in range(3):
        network.add_host()
        assert network.box.run("cat", "/sys/class/net/br0/address") == before == f"{ROUTER_MAC}\n"
        assert all(network.ping(host) for host in network.hosts)
