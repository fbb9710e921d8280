# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes packets by the counters is turned off on request only, and on again with the removal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.network import Lab, lab
from lab.ways import LabControl, servers, telnet

# What Broadcom's tool prints, and a file in place of its kernel module.
FCCTL = """#!/bin/sh
case $1 in
  disable) echo Disabled > /tmp/flow-cache;;
  enable) echo Enabled > /tmp/flow-cache;;
  flush) ;;
  status) echo "Flow Timer Interval = 10000 millisecs"; echo "Flow Learning $(cat /tmp/flow-cache)";;
  *) exit 1;;
esac
"""
MEMORY = "/tmp/homenet-traffic-acceleration"


@pytest.fixture
def control(tmp_path: Path) -> Iterator[LabControl]:
    with lab(hosts=1, servers=servers(telnet), files={"/usr/bin/fcctl": FCCTL, "/tmp/flow-cache": "Enabled\n"}) as network:
        network.path("/usr/bin/fcctl").chmod(0o755)
        assert network.ping(network.hosts[0])
        yield LabControl(tmp_path, network, telnet)


def flow_cache(network: Lab) -> str:
    return network.path("/tmp/flow-cache").read_text().strip()


def test_nothing_is_turned_off_unless_asked_for(control: LabControl) -> None:
    done = control.play("setup_traffic")
    assert "! Broadcom's flow cache is on" in done.out
    control.play("setup_traffic", "--check", "-e", "traffic_acceleration=off")
    assert flow_cache(control.network) == "Enabled"
    assert control.play("remove_traffic").status == 0
    assert flow_cache(control.network) == "Enabled"


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_off_as_long_as_counting_is_installed(control: LabControl, backend: str) -> None:
    network = control.network
    done = control.play("setup_traffic", traffic_acceleration="off", traffic_backend=backend)
    assert flow_cache(network) == "Disabled", done.out
    assert "broadcom_flow_cache is turned off, until remove_traffic is run or the router restarts" in " ".join(done.out.split())
    assert "! Broadcom's flow cache is on" not in done.out
    assert control.play("setup_traffic", traffic_acceleration="off", traffic_backend=backend).recap()["changed"] == 0
    assert network.path(MEMORY).read_text() == "broadcom_flow_cache\n"
    removed = control.play("remove_traffic", traffic_backend=backend)
    assert removed.recap()["changed"] == 1
    assert flow_cache(network) == "Enabled"
    assert not network.path(MEMORY).exists()
    assert control.play("remove_traffic", traffic_backend=backend).recap()["changed"] == 0


def test_what_cannot_be_turned_off_is_told(control: LabControl) -> None:
    control.network.path("/usr/bin/fcctl").write_text(FCCTL.replace("disable)", "disable) exit 1;; never)"))
    done = control.play("setup_traffic", traffic_acceleration="off")
    assert done.status == 0, done.out
    words = " ".join(done.out.split())
    assert "traffic_acceleration: broadcom_flow_cache could not be turned off" in words
    assert "! Broadcom's flow cache is on" in done.out


def test_what_no_command_turns_off_is_left_on_and_told(tmp_path: Path) -> None:
    with lab(hosts=1, ipv6=True, servers=servers(telnet), files={"/usr/bin/uci": "#!/bin/sh\necho 1\n"}) as network:
        network.path("/usr/bin/uci").chmod(0o755)
        assert network.ping(network.hosts[0])
        done = LabControl(tmp_path, network, telnet).play("setup_traffic", traffic_acceleration="off")
        assert done.status == 0, done.out
        assert "! traffic_acceleration: flow_offloading is left on" in done.out
        assert done.out.count("is left on") == 2, "in the text, and as a warning: IPv6, which is counted, is no acceleration"
        assert "! Flow offloading is on (in OpenWrt's settings)" in done.out
        assert not network.path(MEMORY).exists()
