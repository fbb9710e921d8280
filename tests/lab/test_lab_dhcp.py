# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real leases, and what becomes of names that are to do harm before any of our code sees them."""

from __future__ import annotations

import pytest

from lab.dhcp import FQDN, HOST_NAME
from lab.network import lab

HOSTILE = (b"$(reboot)", b"`reboot`", b"; rm -rf /tmp/x", b"a\nb", b"root@router:~# ", b"<b>", b"a b", b"caf\xc3\xa9", b"-v", b"n" * 255)


@pytest.mark.parametrize("lease_file", ["/tmp/dhcp.leases", "/var/lib/misc/dnsmasq.leases"])
def test_dnsmasq_writes_names_in_its_place(lease_file: str) -> None:
    with lab(hosts=2, servers=("dnsmasq",), lease_file=lease_file) as network:
        first, second = network.hosts
        network.lease(first, b"Kitchen-TV")
        network.lease(second, b"laptop.example", FQDN)
        late = network.add_host()
        network.lease(late, b"late_one")
        rows = [line.split()[1:4] for line in network.path(lease_file).read_text().splitlines()]
        assert sorted(rows) == [
            [first.mac, first.ip, "Kitchen-TV"],
            [second.mac, second.ip, "laptop"],
            [late.mac, late.ip, "late_one"],
        ]


@pytest.mark.parametrize("option", [HOST_NAME, FQDN])
def test_dnsmasq_refuses_hostile_names(option: int) -> None:
    with lab(hosts=1, servers=("dnsmasq",)) as network:
        for name in HOSTILE:
            # The name for DNS has three bytes more, and an option has 255 in all.
            network.lease(network.hosts[0], name[:252], option)
            (row,) = network.path("/tmp/dhcp.leases").read_text().splitlines()
            assert row.split()[3] == "*", name
        assert network.reboots == []


def test_udhcpd_makes_dots_of_hostile_names() -> None:
    with lab(hosts=1, servers=("udhcpd",)) as network:
        seen = set()
        for name in HOSTILE:
            network.lease(network.hosts[0], name)
            listed = network.box.run("busybox", "dumpleases").splitlines()[1]
            assert listed.startswith("02:00:5e:10:00:0b 192.168.1.11 ")
            seen.add(listed.split()[2])
        assert {"..reboot.", "..rm.-rf..tmp.x", "a.b", "root.router...."} <= seen
        assert not [name for name in seen if set(name) & set("$(`;/@<# \n")]


def test_any_bytes_can_stand_in_a_lease_file() -> None:
    with lab(hosts=2, servers=()) as network:
        network.set_names([b"$(reboot)", b"two\nlines \x1b[2J"])
        written = network.path("/tmp/dhcp.leases").read_bytes()
        assert written.split(b" ", 3)[3].startswith(b"$(reboot) *\n")
        assert written.endswith(b" two\nlines \x1b[2J *\n")
