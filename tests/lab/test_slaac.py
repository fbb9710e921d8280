# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that make their IPv6 addresses themselves, from what the router advertises, and change them: still to the byte."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from control import Place

from lab.flows import Flow, mixed
from lab.namespaces import inside, run
from lab.network import Lab, Passed, lab
from lab.sockets import connect, listen, make_socket
from lab.spec import LAN6, SERVER6, WAN6, LanHost
from lab.truth import Truth
from lab.ways import LabControl, servers, telnet

OLD, NEW = LAN6, "2001:db8:2::"
LASTING = 8444
BLOCK = bytes(100_000)
SECONDS = 20.0


class Advertiser:
    """dnsmasq on the router, which tells the network its prefixes."""

    def __init__(self, network: Lab) -> None:
        self._network = network
        run("ip", "-n", network.router, "address", "add", f"{NEW}1/64", "dev", network.spec.lan, "nodad")
        run("ip", "-n", network.wan, "route", "add", f"{NEW}/64", "via", f"{WAN6}2")

    def advertise(self, prefix: str, deprecated: Sequence[str] = ()) -> None:
        """This one from now on; addresses of the deprecated ones stay, and are used no more for what is new."""
        ranges = [f"{prefix},ra-only,64,1h", *(f"{one},ra-only,64,deprecated" for one in deprecated)]
        lines = ["port=0", "user=root", f"interface={self._network.spec.lan}", "enable-ra", *(f"dhcp-range={one}" for one in ranges)]
        self._network.path("/etc/ra.conf").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        ended = "[ ! -f /run/ra.pid ] || { kill $(cat /run/ra.pid); while [ -f /run/ra.pid ]; do sleep 0.05; done; }"
        self._network.box.run("sh", "-c", ended)
        self._network.box.run("dnsmasq", "-C", "/etc/ra.conf", "--pid-file=/run/ra.pid")


def addresses(host: LanHost, prefix: str) -> dict[str, bool]:
    """Those of the host that can be used, and whether each is temporary."""
    devices = json.loads(run("ip", "-n", host.namespace, "-j", "-6", "address", "show", "dev", "eth0", "scope", "global"))
    network = ip_network(f"{prefix}/64")
    return {
        one["local"]: one.get("temporary", False)
        for device in devices
        for one in device.get("addr_info", [])
        if one and ip_address(one["local"]) in network and not one.get("tentative") and not one.get("deprecated")
    }


def autoconfigure(host: LanHost) -> None:
    """As a phone does it: an address made of the MAC, and a temporary one that it uses by itself."""
    run("ip", "-n", host.namespace, "-6", "address", "flush", "dev", "eth0", "scope", "global")
    run("ip", "-n", host.namespace, "-6", "route", "flush", "default")
    for name, value in (("addr_gen_mode", 0), ("use_tempaddr", 2), ("accept_ra", 1), ("autoconf", 1)):
        run(*inside(host.namespace, "tee", f"/proc/sys/net/ipv6/conf/eth0/{name}"), stdin=str(value))


def solicit(host: LanHost) -> None:
    """Ask the routers to say what they would say in a while. The kernel itself asks only when its cable is put in."""
    with make_socket(host.namespace, socket.SOCK_RAW, socket.IPPROTO_ICMPV6, ipv6=True) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        with suppress(OSError):  # while its own address for that is tentative
            raw.sendto(struct.pack("!BBHI", 133, 0, 0, 0), ("ff02::2", 0))


def wait_for_addresses(hosts: Iterable[LanHost], prefix: str) -> dict[str, dict[str, bool]]:
    """Of each host by its IPv4 address: one made of its MAC, and a temporary one."""
    found: dict[str, dict[str, bool]] = {}
    deadline = time.monotonic() + SECONDS
    for host in hosts:
        while sorted(addresses(host, prefix).values()) != [False, True]:
            assert time.monotonic() < deadline, run("ip", "-n", host.namespace, "address")
            solicit(host)
            time.sleep(0.2)
        found[host.ip] = addresses(host, prefix)
    return found


def introduce(network: Lab, host: LanHost, own: Iterable[str], router: str) -> None:
    """Say something to the router from each address until it has them all as neighbors; nothing is forwarded."""
    deadline = time.monotonic() + SECONDS
    while missing := set(own) - neighbors(network):
        assert time.monotonic() < deadline, f"the router does not see {missing}"
        for address in missing:
            with make_socket(host.namespace, socket.SOCK_DGRAM, ipv6=True) as out:
                out.bind((address, 0))
                out.sendto(b"hello", (router, 9))
        time.sleep(0.1)


def neighbors(network: Lab) -> set[str]:
    """Those whose MAC the router knows."""
    rows = json.loads(run("ip", "-n", network.router, "-j", "-6", "neighbor", "show", "dev", network.spec.lan))
    return {row["dst"] for row in rows if "lladdr" in row}


def quiet(network: Lab) -> Truth:
    """The truth when nothing comes any more, not even what is sent once more because it got lost."""
    for _number in range(20):
        network.settle()
        before = network.everything()
        time.sleep(1)
        if network.everything() == before:
            return before
    raise TimeoutError("there is always something on its way")


@contextmanager
def lasting(network: Lab, host: LanHost) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection that outlives the address that it was made from."""
    with listen(network.wan, (SERVER6, LASTING)) as listener, connect(host.namespace, (SERVER6, LASTING)) as near:
        far = listener.accept()[0]
        with far:
            far.settimeout(SECONDS)
            yield near, far


def both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    for sender, receiver in (ends, ends[::-1]):
        sender.sendall(BLOCK)
        left = len(BLOCK)
        while left:
            left -= len(receiver.recv(left))


def evening(network: Lab) -> list[Flow]:
    return [*mixed(network.hosts, 10), *mixed(network.hosts, 10, ipv6=True)]


def set_up(control: LabControl, backend: str) -> None:
    done = control.play("setup_traffic", traffic_backend=backend)
    assert done.status == 0, done.out


def amounts(one: dict[str, Any]) -> Passed:
    return Passed(*(one[key] or 0 for key in ("download_bytes", "download_packets", "upload_bytes", "upload_packets")))


@pytest.mark.parametrize(("backend", "kind"), [("iptables", "legacy"), ("iptables", "nft"), ("ipset", "legacy"), ("nftables", "nft")])
def test_addresses_that_change_are_counted_for_their_device(tmp_path: Path, backend: str, kind: str) -> None:
    with lab(hosts=2, ipv6=True, backend=kind, servers=servers(telnet)) as network:
        control = LabControl(tmp_path, network, telnet)
        advertiser = Advertiser(network)
        advertiser.advertise(OLD)
        for host in network.hosts:
            autoconfigure(host)
        before = wait_for_addresses(network.hosts, OLD)
        for host in network.hosts:
            introduce(network, host, before[host.ip], f"{OLD}1")
        assert network.everything().total == Passed()
        set_up(control, backend)
        network.flows(evening(network))

        with lasting(network, network.hosts[0]) as ends:
            both_ways(ends)
            with network.busy(evening(network)):  # the next flows take the new addresses by themselves
                advertiser.advertise(NEW, deprecated=[OLD])
                after = wait_for_addresses(network.hosts, NEW)
            network.flows(evening(network))
            for host in network.hosts:
                introduce(network, host, after[host.ip], f"{NEW}1")
            early = quiet(network).addresses
            set_up(control, backend)
            both_ways(ends)
        network.flows(evening(network))
        for host in network.hosts:
            for address in (*before[host.ip], *after[host.ip]):
                network.datagrams(replace(host, ip6=address), download=[1, 1200], upload=[700], ipv6=True)
        truth = quiet(network)

        owners = {address: host.ip for host in network.hosts for address in (host.ip, *before[host.ip], *after[host.ip])}
        assert set(truth.addresses) == set(owners) and len(owners) == 10
        # A chain and its sets know an address from the next setup_traffic on, and until then it is of the rest; nftables learns it.
        late = {address for own in after.values() for address in own} if backend != "nftables" else set()
        missed = {address: early.get(address, Passed()) if address in late else Passed() for address in owners}
        expected = {address: passed - missed[address] for address, passed in truth.addresses.items()}
        temporary = {address for own in after.values() for address, is_temporary in own.items() if is_temporary}
        assert min(early[address].download_bytes for address in temporary) > 1_000_000

        place = Place(*network.at("telnet"), password="")
        found = control.module(place, "counters_info", traffic_backend=backend, **telnet(network, tmp_path)).result()
        assert {one["ip"]: amounts(one) for one in found["counters"]} == expected
        assert amounts(found["unattributed"]) == sum(missed.values(), Passed())
        devices = {one["ip"]: one for one in found["hosts"]}
        assert {ip: set(one["addresses"]) for ip, one in devices.items()} == {
            host.ip: {address for address, owner in owners.items() if owner == host.ip} for host in network.hosts
        }
        assert {ip: one["mac"] for ip, one in devices.items()} == {host.ip: host.mac for host in network.hosts}

        shown = control.play("report", traffic_backend=backend)
        assert shown.status == 0, shown.out
        rows = {one["ip"]: (one["download_bytes"], one["upload_bytes"]) for one in control.report()["hosts"]}
        sums = {ip: sum((passed for address, passed in expected.items() if owners[address] == ip), Passed()) for ip in devices}
        assert rows == {ip: (passed.download_bytes, passed.upload_bytes) for ip, passed in sums.items()}
