# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out about real shells and a real kernel, in one exchange, and what `check` says of routers that are not fit."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from control import Control, Place, Run

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, Shell, between_marks
from ansible_collections.homenet.traffic.plugins.plugin_utils._survey import survey
from lab.namespaces import program
from lab.network import Lab, lab
from lab.privileges import single_user
from lab.ways import LabControl, become, servers

OPENWRT = {"/etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='21.02.3'\n", "/usr/bin/uci": "#!/bin/sh\necho 1\n"}
NOT_ROOT = ("/rom" + program("setpriv"), "--reuid=1000", "--regid=1000", "--clear-groups")


class Exchanges:
    """A shell inside the router; counts how often it is spoken to."""

    def __init__(self, network: Lab, shell: Sequence[str]) -> None:
        self.scripts: list[str] = []
        self._network, self._shell = network, shell

    def router(self) -> Router:
        return Router(Shell(self._run, "home"), _profile.load("linux"), "home", Settings())

    def _run(self, made: Script) -> str:
        self.scripts.append(made.text)
        command = self._network.in_router(*self._shell)
        done = subprocess.run(command, input=made.text.encode(), capture_output=True, timeout=60, check=False)
        output = between_marks(made, done.stdout.decode("utf-8", "surrogateescape"))
        assert output is not None, done.stdout + done.stderr
        return output


def codes(result: dict[str, Any]) -> list[str]:
    return [one["code"] for one in result["findings"]]


@pytest.mark.parametrize("shell", ["ash", "dash", "bash"])
@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_a_survey_is_one_exchange(backend: str, shell: str) -> None:
    with lab(hosts=2, backend=backend, servers=(), wan="pppoe-wan", lan="br-lan", files=OPENWRT, ipv6=True) as network:
        network.path("/usr/bin/uci").chmod(0o755)
        assert all(network.ping(host) for host in network.hosts)
        exchanges = Exchanges(network, [shell])
        found = survey(exchanges.router())
        assert len(exchanges.scripts) == 1
        before = network.foreign_firewall("nothing")
        survey(exchanges.router())
        assert network.foreign_firewall("nothing") == before
    assert found["iptables"] == {
        "program": "iptables -w 5", "version": found["iptables"]["version"], "backend": {"legacy": "legacy", "nft": "nf_tables"}[backend],
    }  # fmt: skip
    assert found["iptables"]["version"].startswith("1.8.")
    assert (found["system"]["name"], found["system"]["version"]) == ("OpenWrt", "21.02.3")
    assert found["system"]["kernel"]
    assert (found["fit"], found["hosts"], found["chain"]["installed"]) == (True, 2, False)
    assert [(one["interface"], one["addresses"][0]) for one in found["wan"]] == [("pppoe-wan", "100.64.7.20/32")]
    assert found["wan"][0]["received_bytes"] > 0
    assert [(one["interface"], one["addresses"][0]) for one in found["lan"]] == [("br-lan", "192.168.1.1/24")]
    assert codes(found) == ["flow_offloading"]


def test_a_reading_with_its_findings_is_one_exchange() -> None:
    with lab(hosts=1, servers=()) as network:
        assert network.ping(network.hosts[0])
        exchanges = Exchanges(network, ["sh"])
        router = exchanges.router()
        router.foresee(READING, router.chains.listing())
        router.observe()
        assert router.findings(router.lan_hosts(), router.wan_interfaces()) == []
        assert len(exchanges.scripts) == 1


def test_one_who_may_not_touch_the_firewall() -> None:
    with lab(hosts=1, servers=()) as network:
        network.ping(network.hosts[0])
        found = survey(Exchanges(network, [*NOT_ROOT, "sh"]).router())
    assert (found["fit"], codes(found)) == (False, ["permission"])
    assert "log in as the router's administrator" in found["findings"][0]["message"]
    assert found["hosts"] == 1


def test_no_way_to_the_internet() -> None:
    with lab(hosts=1, servers=()) as network:
        network.box.run("ip", "route", "delete", "default")
        found = survey(Exchanges(network, ["sh"]).router())
    assert (found["fit"], codes(found), found["wan"], found["hosts"]) == (False, ["no_wan"], [], None)


def playbook(network: Lab, folder: Path, name: str, *flags: str) -> Run:
    return Control(folder).playbook(Place(*network.at("telnet")), name, *flags, ansible_user="root")


def test_a_router_with_nftables_only(tmp_path: Path) -> None:
    """It is as fit as any; who insists on iptables is told plainly."""
    with lab(hosts=1, servers=("telnet",), without=("iptables", "iptables-save", "iptables-restore")) as network:
        checked = playbook(network, tmp_path, "check")
        wished = playbook(network, tmp_path, "setup_traffic", "-e", "traffic_backend=iptables")
        counted = playbook(network, tmp_path, "setup_traffic")
    assert checked.status == 0, checked.out
    assert "Firewall   no iptables; nftables 1." in checked.out
    assert "not installed; it would be the nftables table homenet_traffic" in " ".join(checked.out.split())
    assert "\nFit for counting. Counting is not installed yet" in checked.out
    assert wished.status == 2
    assert "has nftables and no iptables. Set traffic_backend to auto or nftables." in " ".join(wished.out.split())
    assert counted.recap()["changed"] == 1


def test_findings_over_telnet_and_after_a_set_up(tmp_path: Path) -> None:
    with lab(hosts=1, servers=("telnet",), files=OPENWRT, lease_file="/tmp/dhcp.leases") as network:
        network.path("/usr/bin/uci").chmod(0o755)
        network.ping(network.hosts[0])
        network.path("/tmp/dhcp.leases").write_bytes(f"1795460986 {network.hosts[0].mac} {network.hosts[0].ip} attic-router *\n".encode())
        done = playbook(network, tmp_path, "setup_traffic")
        checked = playbook(network, tmp_path, "check")
    for run in (done, checked):
        assert run.status == 0, run.out
        assert "\n! Flow offloading is on (in OpenWrt's settings)" in run.out
        assert "\n! By its name, attic-router (192.168.1.11) is a router" in run.out
    words = " ".join(checked.out.split())
    assert "Fit for counting, but not for all traffic: see the lines that begin with an exclamation mark. Counting is installed." in words


def test_ipv6_over_a_command_line_that_does_not_count_it(tmp_path: Path) -> None:
    with lab(hosts=1, servers=("broadcom",), ipv6=True) as network:
        network.ping(network.hosts[0])
        checked = Control(tmp_path).playbook(Place(*network.at("broadcom")), "check")
    assert checked.status == 0, checked.out
    assert "\nhome: fit for counting, but not for all traffic (" in checked.out
    assert "\n! IPv6 passes this router and is not counted here" in checked.out


def test_who_cannot_become_root_is_told_what_to_set(tmp_path: Path) -> None:
    with lab(hosts=1, servers=servers(become)) as network:
        for rights in (
            {"ansible_become_password": "wrong-secret"},
            {"ansible_become_password": "", "ansible_timeout": 1},
            {"ansible_become_method": "ansible.builtin.sudo"},
        ):
            run = LabControl(tmp_path, network, become).play("setup_traffic", **rights)
            words = " ".join(run.out.split())
            if single_user():  # nobody is there to become root
                assert run.status == 4, run.out
                continue
            assert run.status in (2, 4), run.out
            assert "Set ansible_become_method and ansible_become_password" in words, words
            assert "wrong-secret" not in words
        assert "TRAFFIC" not in network.iptables("-S")
