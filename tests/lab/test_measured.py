# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Coverage and rates against a real kernel: what an interface counts, what passes by the chain, what flows right now."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control import Control, Place

from lab.network import End, Lab, lab
from lab.sockets import stream
from lab.spec import WAN_IP

SMALL = [60] * 15_000  # payloads: like acknowledgements, they are little more than headers
UNKNOWN = {"download": None, "upload": None}


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    with lab(hosts=2, wan="eth0.2", servers=("broadcom", "telnet")) as built:
        yield built


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def router(network: Lab, server: str = "broadcom") -> Place:
    return Place(*network.at(server))


def report_of(control: Control) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((control.folder / "reports/home.json").read_text(encoding="utf-8"))
    return found


def test_coverage_on_an_ethernet_interface(network: Lab, control: Control) -> None:
    """Whole but for a question of ARP or two, though headers are a sixth of the small packets."""
    home = router(network)
    control.playbook(home, "setup_traffic")
    control.playbook(home, "report")
    assert report_of(control)["coverage"] == UNKNOWN
    network.stream(network.hosts[0], download=30_000_000, upload=1_000)
    network.datagrams(network.hosts[1], download=[], upload=SMALL)
    network.settle()
    control.playbook(home, "report")
    found = report_of(control)
    assert found["totals"]["upload_bytes"] > 15_000 * 88
    assert found["coverage"]["download"] > 99.9 and found["coverage"]["upload"] > 99.9, found["coverage"]
    assert found["warnings"] == []


def test_what_passes_by_the_chain_is_missed(network: Lab, control: Control) -> None:
    """The router's own download; the counters cannot tell it from one that something accelerated past them."""
    home = router(network)
    control.playbook(home, "setup_traffic")
    control.playbook(home, "report")
    network.stream(network.hosts[0], download=10_000_000, upload=1_000)
    stream(End(network.router, WAN_IP), network.server, download=30_000_000, upload=1_000)
    network.settle()
    shown = control.playbook(home, "report")
    assert shown.status == 0, shown.out
    found = report_of(control)
    assert 20 < found["coverage"]["download"] < 26
    assert [one["code"] for one in found["warnings"]] == ["low_coverage"]
    assert "! Only 2" in shown.out and "homenet.traffic.check" in shown.out


@pytest.mark.parametrize(("server", "user"), [("broadcom", "admin"), ("telnet", "root")])
def test_who_is_using_the_link(network: Lab, control: Control, server: str, user: str) -> None:
    """While small packets go both ways without an end."""
    home = router(network, server)
    control.playbook(home, "setup_traffic", ansible_user=user)
    done = threading.Event()

    def use() -> None:
        while not done.is_set():
            network.datagrams(network.hosts[0], download=[1400] * 20, upload=[100] * 10)

    before = network.truth()[network.hosts[0].ip]
    thread = threading.Thread(target=use)
    thread.start()
    try:
        found = control.module(home, "counters_info", interval=2, ansible_user=user).result()
        shown = control.playbook(home, "live", "-e", "traffic_interval=2", ansible_user=user)
    finally:
        done.set()
        thread.join()
    passed = network.settle()[network.hosts[0].ip] - before

    seconds = found["interval_seconds"]
    for rate, last, first in zip(found["rates"], found["counters"], found["before"]["counters"], strict=True):
        for direction in ("download", "upload"):
            assert rate[f"{direction}_bps"] == (last[f"{direction}_bytes"] - first[f"{direction}_bytes"]) * 8 / seconds
    rates = {one["ip"]: one for one in found["rates"]}
    busy, idle = (rates[host.ip] for host in network.hosts)
    assert 0 < busy["upload_bps"] < busy["download_bps"] <= passed.download_bytes * 8 / seconds
    assert (idle["download_bps"], idle["upload_bps"]) == (0, 0)
    assert found["wan_rates"][0]["received_bps"] > 0

    assert shown.status == 0, shown.out
    assert "home: ali-laptop takes " in shown.out
    assert "1 idle host: sara-phone" in shown.out
    assert "not counted" not in shown.out
