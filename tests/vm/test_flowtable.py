# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A firewall as OpenWrt's, with flow offloading and without: what is counted, and what the reports say of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from lab.truth import Passed

from vm.control_node import VmControl
from vm.fw4 import OFF, OPENWRT, ROUTED, Offloading
from vm.router import DEVICES, WAN, Flow, VirtualRouter

SIZE = 12_000_000
EVENING = (
    Flow("lan1", SIZE),
    Flow("lan1", SIZE, "up"),
    Flow("lan1", 1_000_000, ipv6=True),
    Flow("lan1", 1_000_000, "up", "udp"),
    Flow("lan2", 2_000_000, ipv6=True),
    Flow("lan2", 2_000_000, "up", ipv6=True),
    Flow("lan2", 1_000_000, "down", "udp"),
)


def passed(result: dict[str, Any]) -> dict[str, Passed]:
    """By address, those that sent or received."""
    keys = ("download_bytes", "download_packets", "upload_bytes", "upload_packets")
    found = {one["ip"]: Passed(*(one[key] or 0 for key in keys)) for one in result["counters"]}
    return {address: counts for address, counts in found.items() if counts != Passed()}


def since(now: dict[str, Passed], then: dict[str, Passed]) -> dict[str, Passed]:
    grown = {address: counts - then.get(address, Passed()) for address, counts in now.items()}
    return {address: counts for address, counts in grown.items() if counts != Passed()}


def total(counts: dict[str, Passed]) -> Passed:
    return sum(counts.values(), Passed())


def codes(report: dict[str, Any]) -> list[str]:
    return [one["code"] for one in report["warnings"]]


def test_each_byte_is_counted_through_reloads_and_restarts_of_the_firewall(router: VirtualRouter, control: VmControl) -> None:
    control.play("setup_traffic")
    control.play("report")
    start, marker = router.settle(), control.counters()["marker"]
    untouched, before = router.foreign(), router.interface(WAN)
    router.flows(*EVENING)
    # A VLAN of Linux counts the Ethernet header of what it sends, and not of what it receives; a few packets are no traffic.
    whole, line = total(since(router.settle(), start)), router.interface(WAN)
    assert 0 <= line.received - before.received - whole.download_bytes < 5_000
    assert 0 <= line.sent - before.sent - whole.upload_bytes - 14 * whole.upload_packets < 5_000

    with router.flowing(Flow("lan1", 0)), router.flowing(Flow("lan2", 0, ipv6=True)):
        router.reload()
    router.settle()
    router.restart()  # with nothing on its way: what is half way through is counted, and then may be turned away
    router.flows(*EVENING)

    truth = since(router.settle(), start)
    found = control.counters()
    assert passed(found) == truth
    assert set(truth) == {address for addresses in DEVICES.values() for address in addresses}
    assert total(truth).download_bytes > 2 * SIZE
    assert found["marker"] == marker
    assert found["unattributed"] == dict.fromkeys(found["unattributed"], 0)
    assert router.foreign() == untouched

    control.play("report")
    report = control.report()
    rows = {host["ip"]: (host["download_bytes"], host["upload_bytes"]) for host in report["hosts"]}
    for addresses in DEVICES.values():  # of which each is one row
        both = total({address: truth[address] for address in addresses})
        assert rows.pop(addresses[0]) == (both.download_bytes, both.upload_bytes)
        assert addresses[1] not in rows
    assert min(report["coverage"].values()) > 99.9
    assert codes(report) == []


@pytest.mark.parametrize("release", ["22.03", "24.10"])  # without `counter`, and with it
def test_what_a_flowtable_hides_is_named(router: VirtualRouter, control: VmControl, release: str) -> None:
    offloading = OPENWRT[release]
    control.play("setup_traffic")
    router.load(offloading)
    control.play("report")
    known, start = router.tracked(), router.settle()
    router.flows(*EVENING)
    truth = total(since(router.settle(), start))
    assert truth.download_bytes > SIZE and truth.upload_bytes > SIZE
    # With `counter` the kernel goes on to count for each connection, which is not counting for each device.
    carried = [size for connection, size in router.tracked().items() if connection not in known]
    assert (max(carried) > SIZE) is offloading.counter

    shown = control.play("report")
    report = control.report()
    assert 0 < report["totals"]["download_bytes"] < truth.download_bytes / 100
    assert 0 < report["totals"]["upload_bytes"] < truth.upload_bytes / 100
    assert codes(report) == ["low_coverage", "flow_offloading"]
    assert report["coverage"]["upload"] < 1
    if offloading.devices == ROUTED:
        assert report["coverage"]["download"] < 1
    else:  # taken over before the VLAN, which has not received it then, and knows nothing of it
        assert report["coverage"]["download"] is None
    words = " ".join(shown.out.split())
    assert "! Only <0.1 % of the" in words
    assert "! nftables has a flowtable: " in words
    assert "! nftables has a flowtable: " in control.play("check").out

    router.load(OFF)  # from now on all is counted, without another setup_traffic
    start = router.settle()
    router.flows(*EVENING)
    truth = total(since(router.settle(), start))
    control.play("report")
    after = control.report()
    for way in ("download_bytes", "upload_bytes"):
        assert after["totals"][way] - report["totals"][way] == getattr(truth, way)
    assert codes(after) == []


def test_what_cannot_be_turned_off_from_here_is_left_on_and_told(router: VirtualRouter, control: VmControl) -> None:
    router.load(Offloading(ROUTED))
    before = router.foreign()
    done = control.play("setup_traffic", traffic_acceleration="off")
    words = " ".join(done.out.split())
    assert "! traffic_acceleration: flow_offloading is left on" in words
    assert "! nftables has a flowtable: " in words
    assert router.foreign() == before
    control.play("remove_traffic")
    assert router.foreign() == before
    assert "homenet" not in router.run("nft list tables; ls /tmp")


def test_a_stopped_firewall_takes_every_table_along(router: VirtualRouter, control: VmControl) -> None:
    control.play("setup_traffic")
    router.stop()
    assert router.run("nft list tables") == ""
    done = control.playbook(control.place, "report", ansible_user="root")
    assert done.status != 0
    assert "setup_traffic" in done.out
    router.load(OFF)
    assert control.play("setup_traffic").recap()["changed"] == 1
    start = router.settle()
    router.flows(*EVENING)
    assert passed(control.counters()) == since(router.settle(), start)
