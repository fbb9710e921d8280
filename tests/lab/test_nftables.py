# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with nftables on a real kernel: to the byte, and without touching anything else."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftError, NftSettings
from ansible_collections.homenet.traffic.plugins.plugin_utils._nftables import Nftables
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, Shell, between_marks
from lab.flows import mixed
from lab.namespaces import inside, program, run
from lab.network import Lab, lab
from lab.sockets import make_socket
from lab.spec import ROUTER_MAC, SERVER, SERVER6, LanHost
from lab.truth import Passed

WAN = ("ppp0",)

# As OpenWrt's fw4 loads it with each reload.
FW4 = """
table inet fw4
flush table inet fw4
table inet fw4 {
  counter passed { }
  chain forward {
    type filter hook forward priority filter; policy drop;
    counter name passed
    ct state vmap { established : accept, related : accept } comment "!fw4: Handle forwarded flows"
    iifname "br0" jump accept_to_wan comment "!fw4: Handle lan IPv4/IPv6 forward traffic"
  }
  chain accept_to_wan {
    oifname "ppp0" counter accept comment "!fw4: accept wan IPv4/IPv6 traffic"
  }
  chain srcnat {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "ppp0" meta nfproto ipv4 masquerade comment "!fw4: Masquerade IPv4 wan traffic"
  }
}
"""


def nft(network: Lab, *words: str, stdin: str | None = None) -> str:
    return run(*inside(network.router, "nft", *words), stdin=stdin)


@pytest.fixture
def network() -> Iterator[Lab]:
    """A dual-stack router whose firewall is nftables alone, as on OpenWrt from 22.03 on."""
    with lab(hosts=2, ipv6=True, servers=()) as built:
        for tool in ("iptables", "ip6tables"):
            for table in ("filter", "mangle", "nat"):
                built.box.tool(tool, "-t", table, "-F")
        nft(built, "-f", "-", stdin=FW4)
        yield built


def counting(
    network: Lab, settings: NftSettings = NftSettings(), start: str = "", watch: Callable[[str], None] = lambda text: None
) -> Nftables:
    """The backend, with a shell of its own in the router. ``start`` are lines that the shell runs first."""

    def run_script(made: Script) -> str:
        watch(made.text)
        done = subprocess.run(
            network.in_router("sh"), input=start + made.text, text=True, capture_output=True, timeout=60, check=False
        )
        output = between_marks(made, done.stdout)
        assert output is not None, done.stdout + done.stderr
        return output

    shell = Shell(run_script, "the router")
    backend = Nftables(Questions(shell, _profile.load("linux"), "the router"), "the router", settings)
    backend.look()
    return backend


def bring(backend: Nftables, state: str = "present", hosts: Sequence[str] = (), wan: Sequence[str] = WAN, prune: bool = False) -> list[str]:
    commands: list[str] = []
    backend.bring(state, hosts, wan, prune, commands)  # type: ignore[arg-type]
    return commands


def passed(counted: Counted) -> dict[str, Passed]:
    found = {}
    for address, both in counted.hosts.items():
        down, up = both["download"], both["upload"]
        assert down and up
        found[address] = Passed(down.bytes, down.packets, up.bytes, up.packets)
    return found


def rest(counted: Counted) -> Passed:
    assert counted.rest
    down, up = counted.rest["download"], counted.rest["upload"]
    return Passed(down.bytes, down.packets, up.bytes, up.packets)


def others(network: Lab) -> str:
    """The whole ruleset without our table, the lab's own, and what counts."""
    lines = nft(network, "-s", "list", "ruleset").split("\n}\n")
    return "\n}\n".join(one for one in lines if "homenet" not in one.split("{")[0] and "truth" not in one.split("{")[0])


def test_each_byte_of_both_families_is_counted_for_its_host_learned_as_it_appears(network: Lab) -> None:
    before = others(network)
    backend = counting(network)
    bring(backend)
    flows = [*mixed(network.hosts, 20), *mixed(network.hosts, 20, ipv6=True)]
    with network.flowing(flows):
        late = network.add_host()
        network.stream(late, download=300_000, upload=200_000)
        network.stream(late, download=300_000, upload=200_000, ipv6=True)
    network.settle()
    truth = network.everything()
    backend.look()
    counted = backend.counted()
    assert passed(counted) == truth.addresses
    assert {late.ip, late.ip6} <= set(counted.hosts)
    assert rest(counted) == Passed()
    assert sum(passed(counted).values(), Passed()) == truth.total
    assert backend.status(WAN).problems == ()
    assert others(network) == before


def test_only_the_given_hosts_are_counted_by_themselves_the_rest_together(network: Lab) -> None:
    backend = counting(network, NftSettings(learn=False))
    first, second = network.hosts
    bring(backend, hosts=[first.ip, first.ip6])
    for host in network.hosts:
        for ipv6 in (False, True):
            network.stream(host, download=100_000, upload=50_000, ipv6=ipv6)
    network.settle()
    truth = network.everything().addresses
    backend.look()
    assert passed(backend.counted()) == {address: truth[address] for address in (first.ip, first.ip6)}
    assert rest(backend.counted()) == truth[second.ip] + truth[second.ip6]


def test_another_interface_keeps_what_was_counted(network: Lab) -> None:
    backend = counting(network)
    bring(backend)
    host = network.hosts[0]
    network.stream(host, download=100_000, upload=100_000)
    network.settle()
    backend.look()
    counted, marker = backend.counted(), backend.status(WAN).marker
    bring(backend, wan=["wwan0"])
    assert (backend.counted(), backend.status(["wwan0"]).marker, backend.status(["wwan0"]).problems) == (counted, marker, ())
    assert [one.code for one in backend.status(WAN).problems] == ["wan_changed"]
    network.stream(host, download=10_000, upload=10_000)  # not counted: the way to the Internet is said to be another one
    bring(backend, wan=["wwan0", *WAN])
    assert backend.counted() == counted
    before = network.everything().addresses[host.ip]
    network.stream(host, download=100_000, upload=100_000)
    network.settle()
    after = network.everything().addresses[host.ip]
    backend.look()
    was, now = passed(counted)[host.ip], passed(backend.counted())[host.ip]
    assert now - was == after - before
    assert backend.status(WAN).marker == marker
    assert bring(backend, wan=["wwan0", *WAN]) == []


def test_a_full_set_counts_newcomers_among_the_rest_and_says_so(network: Lab) -> None:
    backend = counting(network, NftSettings(size=2))
    bring(backend)
    late = network.add_host()
    for host in network.hosts:
        network.stream(host, download=50_000, upload=50_000)
        network.stream(host, download=50_000, upload=50_000, ipv6=True)
    network.settle()
    truth = network.everything()
    backend.look()
    counted = backend.counted()
    assert passed(counted) == {address: truth.addresses[address] for host in network.hosts[:2] for address in (host.ip, host.ip6)}
    assert rest(counted) == truth.addresses[late.ip] + truth.addresses[late.ip6]
    assert [one.code for one in backend.status(WAN).problems] == ["set_full", "set_full"]
    assert bring(backend, hosts=[late.ip]) == []  # no room, and no error
    bring(backend, hosts=[network.hosts[0].ip, late.ip, late.ip6], prune=True)
    network.stream(late, download=50_000, upload=50_000)
    backend.look()
    assert set(backend.hosts()) == {network.hosts[0].ip, late.ip, late.ip6}
    assert backend.status(WAN).problems[0].code == "set_full"  # IPv4 has two of two again


def spoof(host: LanHost, pairs: Sequence[tuple[str, str]]) -> None:
    """UDP packets from a device on the LAN to the router, with any source and destination."""
    script = (
        "import ipaddress, socket, struct, sys\n"
        "udp = struct.pack('!HHHH', 9, 9, 8, 0)\n"
        "out = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)\n"
        "for line in sys.stdin:\n"
        "    src, dst = map(ipaddress.ip_address, line.split())\n"
        "    if src.version == 4:\n"
        "        head = struct.pack('!BBHHHBBH', 69, 0, 28, 0, 0, 64, 17, 0) + src.packed + dst.packed\n"
        "        words = struct.unpack('!10H', head)\n"
        "        total = sum(words)\n"
        "        total = (total & 0xffff) + (total >> 16)\n"
        "        head = head[:10] + struct.pack('!H', ~((total & 0xffff) + (total >> 16)) & 0xffff) + head[12:]\n"
        "    else:\n"
        "        head = struct.pack('!IHBB', 6 << 28, 8, 17, 64) + src.packed + dst.packed\n"
        "    kind = 0x0800 if src.version == 4 else 0x86dd\n"
        "    out.sendto(head + udp, ('eth0', kind, 0, 0, bytes.fromhex(sys.argv[1].replace(':', ''))))\n"
    )
    lines = "".join(f"{source} {destination}\n" for source, destination in pairs)
    run(*inside(host.namespace, program("python3"), "-c", script, ROUTER_MAC), stdin=lines)


def scan(network: Lab, addresses: Sequence[str]) -> None:
    """A packet from the Internet to each."""
    with make_socket(network.wan, socket.SOCK_DGRAM, ipv6=True) as out:
        out.bind((SERVER6, 0))
        for address in addresses:
            out.sendto(b"hello", (address, 9))


def test_nobody_outside_and_no_address_that_is_none_of_a_lan_is_learned(network: Lab) -> None:
    first, second = network.hosts
    network.stream(second, download=1, ipv6=True)  # until then, neighbors look for each other
    network.settle()
    start = network.everything()
    backend = counting(network)
    bring(backend, hosts=[second.ip6])
    nobody = [f"2001:db8:1::{number:x}" for number in range(0x1000, 0x1040)]
    scan(network, [*nobody, second.ip6])
    strangers = ["8.8.8.8", "169.254.9.9", "203.0.113.77"]
    hosts = [("10.1.2.3", SERVER), ("2001:db8:1::5555", SERVER6), ("3fff::1", SERVER6)]
    spoof(first, [*((address, SERVER) for address in strangers), *hosts])
    network.settle()
    truth = network.everything()
    backend.look()
    known = {second.ip6, *(address for address, _server in hosts)}
    assert set(backend.hosts()) == known
    counted = passed(backend.counted())
    assert counted == {address: truth.addresses[address] - start.addresses.get(address, Passed()) for address in known}
    assert sum(counted.values(), rest(backend.counted())) == truth.total - start.total
    assert rest(backend.counted()).download_packets >= len(nobody)
    assert rest(backend.counted()).upload_packets >= 2  # those of no LAN that the kernel forwards at all


def test_a_reload_or_restart_of_the_firewall_leaves_the_table_alone(network: Lab) -> None:
    backend = counting(network)
    bring(backend)
    marker = backend.status(WAN).marker
    with network.flowing(mixed(network.hosts, 20)):
        for _time in range(5):
            nft(network, "-f", "-", stdin=FW4)
    for _time in range(3):
        nft(network, "delete", "table", "inet", "fw4")
        network.stream(network.hosts[0], download=20_000, upload=20_000, ipv6=True)
        nft(network, "-f", "-", stdin=FW4)
        network.stream(network.hosts[0], download=20_000, upload=20_000)
    network.settle()
    backend.look()
    assert passed(backend.counted()) == network.everything().addresses
    assert (backend.status(WAN).marker, backend.status(WAN).problems) == (marker, ())


def test_a_flushed_ruleset_is_seen_and_mended_as_a_new_life(network: Lab) -> None:
    backend = counting(network)
    bring(backend)
    marker = backend.status(WAN).marker
    nft(network, "delete", "table", "inet", "homenet_traffic")  # what `flush ruleset` does to it
    backend.look()
    assert ([one.code for one in backend.status(WAN).problems], backend.exists()) == (["chain_missing"], False)
    bring(backend)
    assert backend.status(WAN).marker not in (marker, None)


def test_what_was_counted_is_read_after_counting_stopped(network: Lab) -> None:
    for state in ("empty", "absent"):
        backend = counting(network)
        bring(backend)
        start = network.everything().total
        with network.flowing(mixed(network.hosts, 10)):
            bring(backend, state)
        network.settle()
        final = backend.final()
        assert final and passed(final)
        total = sum(passed(final).values(), rest(final))
        everything = network.everything().total - start
        assert 0 < total.download_bytes <= everything.download_bytes
        assert backend.counted().hosts == {}
    assert "homenet" not in nft(network, "list", "ruleset")


def test_emptied_it_counts_nothing_until_the_next_set_up(network: Lab) -> None:
    backend = counting(network)
    bring(backend, hosts=[network.hosts[0].ip])
    marker = backend.status(WAN).marker
    network.stream(network.hosts[0], download=10_000)
    bring(backend, "empty")
    network.stream(network.hosts[0], download=10_000)
    backend.look()
    state = backend.status(WAN)
    assert (state.installed, state.hosts, state.marker, [one.code for one in state.problems]) == (True, 0, None, ["no_catch_all"])
    assert backend.counted() == Counted({}, None)
    assert bring(backend, "empty") == []
    bring(backend)
    assert backend.status(WAN).marker not in (marker, None)
    assert rest(backend.counted()) == Passed()


def test_the_text_form_tells_the_same(network: Lab) -> None:
    backend = counting(network)
    bring(backend, hosts=[network.hosts[0].ip6])
    for ipv6 in (False, True):
        network.stream(network.hosts[1], download=70_000, upload=3_000, ipv6=ipv6)
    network.settle()
    backend.look()
    no_json = 'nft() { case $1 in -j) echo "Error: JSON support not compiled-in"; return 1;; esac; command nft "$@"; }\n'
    text = counting(network, start=no_json)
    assert (text.counted(), text.status(WAN), text.as_commands()) == (backend.counted(), backend.status(WAN), backend.as_commands())
    assert text.counted().hosts[network.hosts[1].ip6]["upload"] != Counter(0, 0)
    assert bring(text, "absent")
    assert not text.exists()


def test_whether_it_can_be_used(network: Lab) -> None:
    assert counting(network).usable()
    assert "homenet" not in nft(network, "list", "ruleset")
    assert "no command nft" in (counting(network, start="nft() { nosuchcommand; }\n").refusal() or "")
    assert "Linux 5.10" in (counting(network, start="uname() { echo 4.14.221; }\n").refusal() or "")
    old = 'nft() { case $1 in -c) cat >/dev/null; echo "Error: syntax error, unexpected counter"; return 1;; esac; command nft "$@"; }\n'
    assert "unexpected counter" in (counting(network, start=old).refusal() or "")


# Faults


SCENARIOS = ("set up", "update", "empty", "absent")


def scripts(network: Lab, scenario: str) -> tuple[Nftables, str]:
    """The backend before it does something, and the script with which it will do it."""
    seen: list[str] = []
    backend = counting(network)
    first = network.hosts[0]
    if scenario != "set up":
        bring(backend, hosts=[first.ip, network.hosts[1].ip])
        network.stream(first, download=5_000, upload=5_000)
        network.settle()
        backend.look()

    def cut_change(text: str) -> None:
        if "nft -f" in text:
            seen.append(text)
            raise TrafficError("cut")

    watched = counting(network, watch=cut_change)
    with pytest.raises(TrafficError, match="cut"):
        if scenario in ("set up", "update"):
            bring(watched, hosts=[first.ip, first.ip6], wan=["wwan0"] if scenario == "update" else WAN, prune=True)
        else:
            bring(watched, scenario)
    [script] = seen
    return backend, script


def counters(backend: Nftables) -> list[Counter]:
    counted = backend.counted()
    return [*(one for both in counted.hosts.values() for one in both.values() if one), *(counted.rest or {}).values()]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_script_that_was_cut_anywhere_does_nothing_and_a_whole_one_everything(network: Lab, scenario: str, tmp_path: Path) -> None:
    backend, script = scripts(network, scenario)
    before = nft(network, "-s", "list", "ruleset")
    for shell in (("dash",), ("busybox", "sh")):
        pieces = tmp_path / shell[0]
        pieces.mkdir()
        for length in range(len(script.rstrip())):
            (pieces / f"{length:05}").write_text(script[:length], encoding="utf-8")
        words = " ".join([program(shell[0]), *shell[1:]])
        run_all = f'for piece in "$1"/*; do {words} <"$piece" >/dev/null 2>&1; done; true'
        run(*inside(network.router, "sh", "-c", run_all, "sh", str(pieces)), timeout=300)
        assert nft(network, "-s", "list", "ruleset") == before
        assert all(was.bytes <= now.bytes for was, now in zip(counters(backend), counters(counting(network)), strict=True))
    run(*inside(network.router, "sh"), stdin=script)
    backend = counting(network)
    hosts = [network.hosts[0].ip, network.hosts[0].ip6]
    if scenario in ("set up", "update"):
        assert backend.hosts() == hosts
        assert bring(backend, hosts=hosts, wan=["wwan0"] if scenario == "update" else WAN) == []
    else:
        assert bring(backend, scenario) == []


def test_what_another_run_did_meanwhile_is_not_done_again(network: Lab) -> None:
    """Each has looked before the other changed anything."""
    first, second = counting(network), counting(network)
    bring(first)
    assert bring(second) == []
    assert second.status(WAN) == first.status(WAN)
    bring(first, "absent")
    assert bring(second, wan=["wwan0"])[0] == "nft create table inet homenet_traffic"
    assert second.status(["wwan0"]).problems == ()
    third = counting(network)
    bring(second, "absent")
    assert bring(third, "absent") == []
    assert not third.exists()


def test_two_at_once_count_nothing_twice(network: Lab) -> None:
    chance = random.Random(4)
    failures: list[BaseException] = []

    def one(state: str, hosts: Sequence[str]) -> None:
        try:
            bring(counting(network), state, hosts)
        except NftError:
            pass  # the other was quicker every time, and it says so
        except BaseException as error:
            failures.append(error)

    with network.flowing(mixed(network.hosts, 60)):
        for _time in range(6):
            states = chance.choices(["present", "present", "absent", "empty"], k=3)
            threads = [threading.Thread(target=one, args=(state, [network.hosts[number % 2].ip])) for number, state in enumerate(states)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            backend = counting(network)
            counted = backend.counted()
            total = sum(passed(counted).values(), rest(counted) if counted.rest else Passed())
            most = network.everything().total
            assert total.download_bytes <= most.download_bytes
            assert total.upload_bytes <= most.upload_bytes
            assert [one.code for one in backend.status(WAN).problems] in ([], ["chain_missing"], ["no_catch_all"])
    assert not failures
    backend = counting(network)
    bring(backend)
    was, start = counting(network).counted(), network.everything()
    network.stream(network.hosts[0], download=100_000)
    network.settle()
    now, end = counting(network).counted(), network.everything()
    grown = sum(passed(now).values(), rest(now)) - sum(passed(was).values(), rest(was))
    assert grown == end.total - start.total
