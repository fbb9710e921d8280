# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""To the byte: what a report says is what the kernel forwarded, whichever way Ansible gets in and whatever iptables is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.flows import Flow, mixed
from lab.network import Passed, lab
from lab.ways import LabControl, Way, become, local, servers, ssh, ssh_cli, telnet

MEGABYTES = 200
NO_RESTORE = ("iptables-restore",)
# The slowest first.
CASES: list[tuple[Way, str, str, tuple[str, ...]]] = [
    (telnet, "legacy", "ppp0", NO_RESTORE),
    (telnet, "nft", "eth0.2", NO_RESTORE),
    (become, "nft", "ppp0", ()),
    (become, "legacy", "eth0.2", ()),
    (telnet, "nft", "ppp0", ()),
    (telnet, "legacy", "eth0.2", ()),
    (ssh_cli, "legacy", "ppp0", ()),
    (ssh_cli, "nft", "eth0.2", ()),
    (ssh, "legacy", "ppp0", ()),
    (ssh, "nft", "eth0.2", ()),
    (local, "nft", "ppp0", ()),
    (local, "legacy", "eth0.2", ()),
]


def name_of(case: tuple[Way, str, str, tuple[str, ...]]) -> str:
    way, backend, wan, without = case
    return "-".join([way.__name__, backend, wan, *(f"no {one}" for one in without)])


def both(one: Any) -> tuple[int, int]:
    return (one.download_bytes, one.upload_bytes) if isinstance(one, Passed) else (one["download_bytes"], one["upload_bytes"])


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_byte_is_under_its_name_or_in_the_catch_all(tmp_path: Path, case: tuple[Way, str, str, tuple[str, ...]]) -> None:
    way, backend, wan, without = case
    with lab(hosts=2, backend=backend, wan=wan, without=without, servers=servers(way)) as network:
        control = LabControl(tmp_path, network, way)
        assert network.everything().total == Passed()
        untouched = [network.foreign_firewall(table=table) for table in ("filter", "mangle", "nat")]
        begun = control.play("setup_traffic")
        assert f"counting 2 hosts on {wan}" in begun.out, begun.out

        late = network.add_host()
        network.flows(mixed(network.hosts, MEGABYTES))
        early = both(network.settle()[late.ip])
        # The chain is changed while the others go on.
        with network.busy(mixed(network.hosts[:2], MEGABYTES // 20)):
            assert control.play("setup_traffic").recap()["changed"] == 1
        network.flows([Flow(late, 5_000_000, "down"), Flow(late, 1_000_000, "up", "udp")])
        network.datagrams(late, download=[1, 1400], upload=[0, 7])

        truth = network.settle()
        shown = control.play("report")
        assert shown.status == 0, shown.out
        report = control.report()
        expected = {host.ip: both(truth[host.ip]) for host in network.hosts}
        expected[late.ip] = tuple(now - then for now, then in zip(expected[late.ip], early, strict=True))
        assert {host["ip"]: both(host) for host in report["hosts"]} == expected
        assert both(report["unattributed"]) == early
        assert both(report["totals"]) == both(network.everything().total)
        assert sum(both(network.everything().total)) > MEGABYTES * 1_000_000
        assert min(early) > 1_000_000
        assert [network.foreign_firewall(table=table) for table in ("filter", "mangle", "nat")] == untouched
