# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's truth against what is known without any counter, in every variant of the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lab.flows import Flow, mixed
from lab.network import Lab, Passed, lab
from lab.sockets import make_socket
from lab.spec import BACKENDS, SERVER, WANS


@pytest.fixture(scope="module", params=[(wan, backend) for wan in WANS for backend in BACKENDS], ids="-".join)
def network(request: pytest.FixtureRequest) -> Iterator[Lab]:
    wan, backend = request.param
    with lab(hosts=3, wan=wan, backend=backend, servers=()) as built:
        yield built


def test_datagrams_are_counted_to_the_byte(network: Lab) -> None:
    first, second, third = network.hosts
    before = network.truth()
    down, up = network.datagrams(first, download=[1400, 0, 17], upload=[5, 700])
    network.datagrams(second, download=[], upload=[100])
    after = network.truth()
    assert after[first.ip] - before[first.ip] == Passed(down, 3, up, 2)
    assert (down, up) == (1417 + 3 * 28, 705 + 2 * 28)
    assert after[second.ip] - before[second.ip] == Passed(0, 0, 128, 1)
    assert after[third.ip] == before[third.ip]


def test_a_host_that_comes_later_is_counted_from_its_first_packet(network: Lab) -> None:
    late = network.add_host()
    assert network.truth()[late.ip] == Passed()
    down, up = network.datagrams(late, download=[9], upload=[8])
    assert network.truth()[late.ip] == Passed(down, 1, up, 1)


def test_what_the_router_says_itself_is_not_forwarded(network: Lab) -> None:
    before = network.everything()
    words = ("busybox", "ping", "-q", "-c", "2", "203.0.113.10")
    assert "2 packets received" in network.box.run(*words)
    assert network.everything() == before


def test_what_the_firewall_drops_has_come_as_far_as_its_first_rule(network: Lab) -> None:
    host = network.hosts[0]
    network.iptables("-I", "FORWARD", "1", "-s", host.ip, "-j", "DROP")
    network.iptables("-I", "FORWARD", "1", "-s", host.ip)
    before = network.truth()[host.ip]
    with make_socket(host.namespace, socket.SOCK_DGRAM) as out:
        out.sendto(bytes(72), (SERVER, 9))
    assert network.settle()[host.ip] - before == Passed(0, 0, 100, 1)
    assert network.iptables("-nvxL", "FORWARD").splitlines()[2].split()[:2] == ["1", "100"]
    network.iptables("-D", "FORWARD", "1")
    network.iptables("-D", "FORWARD", "1")


def test_everything_that_flows_at_once_is_somebodys(network: Lab) -> None:
    """Two processors meet new addresses and counters at the same time: nothing may fall between."""
    before = network.settle()
    arrived = network.flows(mixed(network.hosts[:3], 80))
    after = network.settle()
    moved = sum((after[ip] - before.get(ip, Passed()) for ip in after), Passed())
    assert moved.download_bytes > arrived["down"] > 45_000_000
    assert moved.upload_bytes > arrived["up"] > 15_000_000
    everything = network.everything()
    assert sum(everything.addresses.values(), Passed()) == everything.total


@pytest.mark.parametrize(("direction", "protocol"), [("down", "tcp"), ("up", "tcp"), ("down", "udp"), ("up", "udp")])
def test_a_flow_goes_where_it_is_meant_to(network: Lab, direction: str, protocol: str) -> None:
    host = network.hosts[0]
    before = network.settle()[host.ip]
    arrived = network.flows([Flow(host, 3_000_000, direction, protocol, parallel=2)])
    moved = network.settle()[host.ip] - before
    one, other = (moved.download_bytes, moved.upload_bytes)[:: 1 if direction == "down" else -1]
    # Of datagrams a good part may get lost on a busy machine. The other way go acknowledgements, and what iperf3 has to say.
    assert one > arrived[direction] > 4 * other


def test_ipv6_is_counted_by_address() -> None:
    with lab(hosts=1, servers=(), ipv6=True) as network:
        (host,) = network.hosts
        down, up = network.datagrams(host, download=[1300, 4], upload=[6], ipv6=True)
        assert network.everything().addresses == {"2001:db8:1::11": Passed(down, 2, up, 1)}
        network.datagrams(host, download=[1], upload=[1])
        assert set(network.everything().addresses) == {"2001:db8:1::11", "192.168.1.11"}
        assert (down, up) == (1304 + 2 * 48, 6 + 48)
        network.flows([Flow(host, 1_000_000, ipv6=True)])
        assert network.everything().addresses["2001:db8:1::11"].download_bytes > 1_000_000
