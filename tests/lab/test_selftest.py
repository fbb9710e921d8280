# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook selftest on a LAN host of a real router: all is counted, or it says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control import Control, Place, Run

from lab.namespaces import end, inside, run, start
from lab.network import ROUTER_IP, SERVER, Lab, lab
from lab.spec import SERVER6

SIZE = 20_000_000
PORT = 8080
URL = f"http://{SERVER}:{PORT}/file"
HEADERS = 52  # bytes of IP and TCP, with the time stamps that Linux sends
AGAIN = 1.1  # on a busy machine TCP believes packets to be lost, and sends them once more
BYPASS = """table netdev fast {{
  chain ingress {{
    type filter hook ingress device "ppp0" priority 0; policy accept;
    ip saddr {server} tcp sport {port} numgen inc mod 4 <= {last} fwd ip to {host} device "br0"
  }}
}}
"""
"""As a flow table does it: packets go from one interface to the other, past FORWARD."""


@dataclass(frozen=True)
class OnLan(Control):
    """A control node that is the first host of the LAN. There is a proxy in its environment, which does not work."""

    network: Lab

    def command(self, *words: str) -> Sequence[str]:
        """See Control."""
        return self.network.on_lan("env", "http_proxy=http://127.0.0.1:1", "all_proxy=http://127.0.0.1:1", *super().command(*words))

    def play(self, name: str, **variables: Any) -> Run:
        return self.playbook(Place(ROUTER_IP, 23), name, **variables)

    def selftest(self, **variables: Any) -> Run:
        return self.play("selftest", **{"traffic_selftest_url": URL, **variables})


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    files = tmp_path_factory.mktemp("files")
    (files / "file").write_bytes(bytes(SIZE))
    (files / "small").write_bytes(bytes(10_000))
    with lab(hosts=2, servers=("broadcom",)) as built:
        # Without address translation whatever bypasses FORWARD needs none either.
        built.iptables("-t", "nat", "-F")
        run("ip", "-n", built.wan, "route", "add", "192.168.1.0/24", "via", "100.64.7.20")
        servers = [serve(built.wan, SERVER, files), serve(built.hosts[1].namespace, built.hosts[1].ip, files)]
        yield built
        for server in servers:
            end(server)


def test_nftables_both_families_and_a_real_shell(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(SIZE))
    with lab(hosts=1, servers=("telnet",), backend="nft", ipv6=True) as network:
        servers = [serve(network.wan, address, tmp_path) for address in (SERVER, SERVER6)]
        host, control = network.hosts[0], OnLan(tmp_path, network)
        assert control.play("setup_traffic", ansible_user="root", traffic_backend="nftables").status == 0
        four = control.selftest(ansible_user="root")
        six = control.selftest(
            ansible_user="root", traffic_selftest_url=f"http://[{SERVER6}]:{PORT}/file", traffic_selftest_host=host.ip6
        )
        for server in servers:
            end(server)
    for done, address in ((four, host.ip), (six, host.ip6)):
        assert done.status == 0, done.out
        assert "home: 100.0 % counted" in done.out
        assert f"this machine ({address}) fetched 20.0 MB" in words(done)


def serve(namespace: str, address: str, files: Path) -> subprocess.Popen[str]:
    server = start(*inside(namespace, sys.executable, "-u", "-m", "http.server", "-b", address, "-d", str(files), str(PORT)))
    assert server.stdout
    assert server.stdout.readline().startswith("Serving HTTP on ")
    return server


@pytest.fixture
def control(tmp_path: Path, network: Lab) -> OnLan:
    made = OnLan(tmp_path, network)
    done = made.play("setup_traffic")
    assert done.status == 0, done.out
    return made


def words(done: Run) -> str:
    return " ".join(done.out.split())


def test_all_is_counted_to_the_byte(network: Lab, control: OnLan) -> None:
    host = network.hosts[0].ip
    before = network.truth()[host].download_bytes
    done = control.module(Place(ROUTER_IP, 23), "selftest", url=URL).result()
    network.settle()
    passed = network.truth()[host].download_bytes - before
    assert (done["percent"], done["exact"], done["payload_bytes"]) == (100.0, True, SIZE)
    assert (done["host"], done["fetched_by"], done["url"]) == (host, "this machine", URL)
    assert passed >= done["counted_bytes"] > SIZE
    assert done["found_bytes"] == done["counted_bytes"] - HEADERS * done["counted_packets"]
    assert SIZE < done["expected_bytes"] <= done["found_bytes"] < done["expected_bytes"] * AGAIN


def test_the_playbook_tells_it(network: Lab, control: OnLan) -> None:
    done = control.selftest()
    assert done.status == 0, done.out
    assert "home: 100.0 % counted" in done.out
    assert f"this machine (192.168.1.11) fetched 20.0 MB from {URL} in " in words(done)
    assert done.recap()["changed"] == 0
    assert control.network.sessions()[-1]["ended"] == "exit"


def test_it_stops_at_a_limit_and_is_as_exact(control: OnLan) -> None:
    done = control.module(Place(ROUTER_IP, 23), "selftest", url=URL, size_limit=3_000_000).result()
    assert 3_000_000 <= done["payload_bytes"] < 4_000_000
    assert done["expected_bytes"] > done["payload_bytes"]
    assert done["expected_bytes"] <= done["found_bytes"] < done["expected_bytes"] * AGAIN


def test_another_host_fetches(control: OnLan) -> None:
    """Here it is the control node again: what matters is that it is asked to."""
    done = control.selftest(traffic_selftest_from="localhost")
    assert done.status == 0, done.out
    assert "home: 100.0 % counted" in done.out
    assert "localhost (192.168.1.11) fetched 20.0 MB" in words(done)


@pytest.mark.parametrize(("last", "said"), [(3, "nothing"), (2, "2")])
def test_what_bypasses_the_counters_shows(network: Lab, control: OnLan, last: int, said: str) -> None:
    host = network.hosts[0].ip
    network.box.tool("nft", "-f", "-", stdin=BYPASS.format(server=SERVER, port=PORT, last=last, host=host))
    try:
        done = control.selftest()
    finally:
        network.box.tool("nft", "delete", "table", "netdev", "fast")
    assert done.status == 2, done.out
    assert f": {said}" in words(done)
    assert "was counted of what this machine (192.168.1.11) fetched" in words(done)
    assert "The rest went past the counters: this is what acceleration" in words(done)
    assert "homenet.traffic.check tells which there is" in words(done)


def test_a_reload_of_the_firewall_is_named_as_the_cause(network: Lab, control: OnLan) -> None:
    network.reload_firewall("rebuild")
    done = control.selftest()
    assert done.status == 2, done.out
    assert "nothing was counted" in words(done)
    assert "No rule of FORWARD jumps to TRAFFIC" in words(done)
    assert "acceleration" not in words(done)


def test_a_file_that_did_not_come_through_the_router(network: Lab, control: OnLan) -> None:
    done = control.selftest(traffic_selftest_url=f"http://{network.hosts[1].ip}:{PORT}/file")
    assert done.status == 2, done.out
    assert "It did not come through this router: ppp0 received" in words(done)


def test_a_wrong_address_is_told_from_acceleration(network: Lab, control: OnLan) -> None:
    done = control.selftest(traffic_selftest_host=network.hosts[1].ip)
    assert done.status == 2, done.out
    assert "The router counted as much for 192.168.1.11 meanwhile" in words(done)


def test_a_host_without_a_rule(network: Lab, control: OnLan) -> None:
    assert control.play("setup_traffic", traffic_hosts=[network.hosts[1].ip], traffic_prune=True).status == 0
    done = control.selftest()
    assert done.status == 2, done.out
    assert "this machine (192.168.1.11) has no counter of its own yet. Run setup_traffic" in words(done)


def test_no_chain(control: OnLan) -> None:
    assert control.play("remove_traffic").status == 0
    done = control.selftest()
    assert done.status == 2, done.out
    assert "nothing is counted yet. Run setup_traffic" in words(done)


def test_a_control_node_that_is_elsewhere(network: Lab, tmp_path: Path, control: OnLan) -> None:
    files = tmp_path / "here"
    files.mkdir()
    (files / "file").write_bytes(bytes(2_000_000))
    server = start(sys.executable, "-u", "-m", "http.server", "-b", "127.0.0.1", "-d", str(files), "0")
    try:
        assert server.stdout
        port = server.stdout.readline().split(" port ")[1].split()[0]
        done = Control(tmp_path).playbook(
            Place(*network.loopback), "selftest", traffic_selftest_url=f"http://127.0.0.1:{port}/file"
        )
    finally:
        end(server)
    assert done.status == 2, done.out
    assert "this machine (127.0.0.1) is not on this router's network (192.168.1.0/24)" in words(done)
    assert "traffic_selftest_from" in words(done)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://{SERVER}:{PORT}/small", "which is too little to tell: name a file of at least"),
        (f"http://{SERVER}:{PORT}/missing", "the server answers 404 (Not Found)"),
        (f"http://{SERVER}:1/file", "could not be fetched by this machine: Connection refused"),
    ],
)
def test_a_file_that_will_not_do(control: OnLan, url: str, said: str) -> None:
    done = control.selftest(traffic_selftest_url=url)
    assert done.status == 2, done.out
    assert said in words(done)


def test_nobody_is_asked_who_was_not_named(network: Lab, control: OnLan) -> None:
    logins = len(network.sessions())
    done = control.play("selftest")
    assert done.status == 2, done.out
    assert "nobody is asked for one unless you name it: set traffic_selftest_url" in words(done)
    assert len(network.sessions()) == logins
