# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are to do harm, on a router with a real shell: nothing runs, and each is text wherever it is shown."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab.network import Lab, lab
from lab.ways import LabControl, Way, servers, ssh, telnet

WAYS = (telnet, ssh)
MADE, KEPT = "/tmp/made", "/tmp/x"

# One word each, so that they fit into a line of any file.
WORDS = {
    b"$(reboot)": "$(reboot)",
    b"`reboot`": "`reboot`",
    b";reboot;": ";reboot;",
    b"$(touch${IFS}/tmp/made)": "$(touch${IFS}/tmp/made)",
    b"'`touch${IFS}/tmp/made`\"": "'`touch${IFS}/tmp/made`\"",
    b"\x1b[2J\x1b]0;owned\x07": "\\x1b[2J\\x1b]0;owned\\x07",
    b"</script><script>alert(1)</script>": "</script><script>alert(1)</script>",
    b'=HYPERLINK("//evil.example","x")': '=HYPERLINK("//evil.example","x")',
    b"{{7*7}}": "{{7*7}}",
    b"root@router:~$": "root@router:~$",
}
# These break the line that they stand in.
BREAKING = (b"; rm -rf /tmp/x", b"two\nlines", b"x\nroot@router:~# reboot\n", b"a\r\n$(reboot)")
PROMPT = b"root@router:~# "


def put(network: Lab, name: str, text: bytes) -> None:
    """A file of the router, in the place of a link that may lead out of it."""
    path = network.path(name)
    path.unlink(missing_ok=True)
    path.write_bytes(text)


def in_leases(network: Lab, names: Sequence[bytes]) -> None:
    network.set_names(names)


def in_hosts(network: Lab, names: Sequence[bytes]) -> None:
    put(network, "/etc/hosts", b"".join(b"%s %s\n" % (host.ip.encode(), name) for host, name in zip(network.hosts, names, strict=False)))


def in_ethers(network: Lab, names: Sequence[bytes]) -> None:
    put(network, "/etc/ethers", b"".join(b"%s %s\n" % (host.mac.encode(), name) for host, name in zip(network.hosts, names, strict=False)))


def counted(control: LabControl) -> str:
    """Set up, and report a few bytes of each host, to the byte; what the user saw. The names have done nothing."""
    network = control.network
    network.path(KEPT).mkdir(exist_ok=True)
    before = network.truth()
    done = control.play("setup_traffic")
    assert done.status == 0, done.out
    for host in network.hosts:
        network.datagrams(host, download=[100, 7], upload=[1])
    truth = network.settle()
    shown = control.play("report")
    assert shown.status == 0, shown.out
    rows = {host["ip"]: (host["download_bytes"], host["upload_bytes"]) for host in control.report()["hosts"]}
    assert rows == {ip: (one.download_bytes, one.upload_bytes) for ip, one in truth.items()}
    assert truth != before
    assert network.reboots == []
    assert not network.path(MADE).exists()
    assert network.path(KEPT).exists()
    return done.out + shown.out


def assert_inert(control: LabControl, out: str) -> None:
    """In the terminal and in all files."""
    files = {path.suffix: path.read_bytes().decode() for path in (control.folder / "reports").glob("home.*")}
    assert set(files) == {".json", ".html", ".csv", ".md"}
    for text in (out, *files.values()):
        assert not {"\x1b", "\x07"} & set(text)
    assert "<script" not in files[".html"]
    cells = [cell for row in csv.reader(files[".csv"].splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.lstrip()[:1] in tuple("=+@-")]
    assert "49" not in cells


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", [in_leases, in_hosts, in_ethers])
def test_a_name_is_shown_as_text(tmp_path: Path, source: Callable[[Lab, Sequence[bytes]], None], way: Way) -> None:
    with lab(hosts=len(WORDS), servers=servers(way)) as network:
        network.set_names([])
        source(network, list(WORDS))
        control = LabControl(tmp_path, network, way)
        out = counted(control)
        named = {host["ip"]: host["name"] for host in control.report()["hosts"]}
        assert named == {host.ip: name for host, name in zip(network.hosts, WORDS.values(), strict=True)}
        assert_inert(control, out)
        page = html.unescape((tmp_path / "reports/home.html").read_text("utf-8"))
        for name in WORDS.values():
            assert name[:15] in out
            assert name in page


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_breaks_its_line_costs_no_more_than_names(tmp_path: Path, way: Way) -> None:
    with lab(hosts=2, servers=servers(way)) as network:
        in_hosts(network, [b"from-hosts"])
        control = LabControl(tmp_path, network, way)
        for name in BREAKING:
            network.set_names([b"ali-laptop", name])
            out = counted(control)
            assert_inert(control, out)
            assert "the answer to `cat /tmp/dhcp.leases` was not understood" in " ".join(out.split()), name
            assert [host["name"] for host in control.report()["hosts"]] == ["from-hosts", None], name
            warned = [warning["message"] for warning in control.report()["warnings"]]
            assert [one for one in warned if "dhcp.leases" in one], json.dumps(warned)


@pytest.mark.parametrize("way", WAYS)
def test_the_only_file_of_names_is_broken(tmp_path: Path, way: Way) -> None:
    """A device on the network must not be able to keep the report from being made."""
    with lab(hosts=2, servers=servers(way)) as network:
        for name in ("/etc/hosts", "/etc/ethers"):
            network.path(name).unlink(missing_ok=True)
        control = LabControl(tmp_path, network, way)
        for name in (*BREAKING, b"x" * 100_000, b"\n" * 5000):
            network.set_names([b"ali-laptop", name])
            out = counted(control)
            assert_inert(control, out)
            assert "the answer to `cat /tmp/dhcp.leases` was not understood" in " ".join(out.split()) or set(name) <= set(b"x\n"), name


@pytest.mark.parametrize("way", WAYS)
def test_the_prompt_is_a_name(tmp_path: Path, way: Way) -> None:
    with lab(hosts=2, servers=servers(way)) as network:
        network.set_names([PROMPT, PROMPT])
        control = LabControl(tmp_path, network, way)
        assert_inert(control, counted(control))
        assert [host["name"] for host in control.report()["hosts"]] == ["root@router:~#"] * 2


@pytest.mark.parametrize("way", WAYS)
def test_a_real_client_says_it_to_dnsmasq(tmp_path: Path, way: Way) -> None:
    names = [*BREAKING, PROMPT, *WORDS, b"kitchen-tv"]
    with lab(hosts=4, servers=(*servers(way), "dnsmasq")) as network:
        for number, name in enumerate(names):
            network.lease(network.hosts[number % 4], name)
        network.lease(network.hosts[0], names[-1])
        control = LabControl(tmp_path, network, way)
        out = counted(control)
        assert_inert(control, out)
        assert control.report()["hosts"][0]["name"] == "kitchen-tv"
        assert {host["name"] for host in control.report()["hosts"]} <= {"kitchen-tv", None}
