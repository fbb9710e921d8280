# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in to the lab's router, by programs that have nothing to do with the collection."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.network import Lab, lab
from lab.privileges import single_user
from router.client import Client

SERVERS = ("telnet", "broadcom", "dropbear", "sshd")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture(scope="module", params=["legacy", "nft"])
def network(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(hosts=1, backend=request.param, wan="pppoe-wan", lan="br-lan", servers=SERVERS) as built:
        yield built


def ssh(network: Lab, server: str, folder: Path, *words: str, user: str = "root", by: str = "key") -> tuple[int, str, str]:
    host, port = network.at(server)
    known = folder / "known_hosts"
    if not known.exists():
        known.write_text(network.known_hosts(server))
    ask = folder / "ask"
    ask.write_text("#!/bin/sh\necho admin\n")
    ask.chmod(0o700)
    ways = {"key": ("-i", str(network.key), "-o", "PasswordAuthentication=no"), "password": ("-o", "PubkeyAuthentication=no")}
    done = subprocess.run(
        ("ssh", "-F", "none", "-p", str(port), *ways[by], "-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=none",
         "-o", "StrictHostKeyChecking=yes", f"{user}@{host}", *words),
        capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def backend_of(text: str) -> str:
    return {"(legacy)": "legacy", "(nf_tables)": "nft"}[text.split()[-1]]


def test_telnet_asks_and_gives_a_busybox_shell(network: Lab) -> None:
    prompt = "root@router:~# \x1b[6n"
    with Client(*network.at("telnet")) as client:
        client.read_until("router login: ")
        client.send(b"root\r\n")
        client.read_until("Password: ")
        client.send(b"admin\r\n")
        client.read_until(prompt)
        client.send(b"iptables -V; readlink /proc/$$/exe\r\n")
        lines = ESCAPES.sub("", client.read_until(prompt)).splitlines()
    assert backend_of(lines[1]) == network.spec.backend
    assert lines[2].endswith("/busybox")


def test_telnet_refuses_a_wrong_password(network: Lab) -> None:
    with Client(*network.at("telnet")) as client:
        client.read_until("router login: ")
        client.send(b"root\r\n")
        client.read_until("Password: ")
        client.send(b"wrong\r\n")
        assert "Login incorrect" in client.read_until("router login: ", seconds=20)


def test_the_broadcom_cli_uses_the_same_iptables(network: Lab) -> None:
    with Client(*network.at("broadcom")) as client:
        client.log_in()
        assert client.run("iptables -N FROM-CLI") == ""
    assert "-N FROM-CLI" in network.box.run("iptables", "-S")
    network.iptables("-X", "FROM-CLI")


@pytest.mark.parametrize("by", ["key", "password"])
@pytest.mark.parametrize("server", ["dropbear", "sshd"])
def test_ssh_by_key_and_by_password(network: Lab, tmp_path: Path, server: str, by: str) -> None:
    status, out, errors = ssh(network, server, tmp_path, "id -un; iptables -V", by=by)
    assert status == 0, errors
    user, version = out.splitlines()
    assert user == "root"
    assert backend_of(version) == network.spec.backend


@pytest.mark.parametrize("server", ["dropbear", "sshd"])
def test_ssh_keeps_to_its_host_keys(network: Lab, tmp_path: Path, server: str) -> None:
    """A test of changed keys would prove nothing if any key were taken."""
    other = {"dropbear": "sshd", "sshd": "dropbear"}[server]
    assert network.keys
    (tmp_path / "known_hosts").write_text(network.keys.known_hosts(other, *network.at(server)))
    status, out, errors = ssh(network, server, tmp_path, "id")
    assert (status, out) == (255, "")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in errors


def test_one_who_is_not_root_may_become_it(network: Lab, tmp_path: Path) -> None:
    if single_user():  # nobody is there to become root, and the server must say so
        assert ssh(network, "sshd", tmp_path, "id", user="keeper")[:2] == (255, "")
        return
    status, out, errors = ssh(network, "sshd", tmp_path, "/sbin/iptables -S; echo admin | su -c '/sbin/iptables -S'", user="keeper")
    assert status == 0
    assert "Permission denied" in errors
    assert "-P INPUT ACCEPT\n" in out


def test_ansible_inside_the_router(network: Lab, tmp_path: Path) -> None:
    network.share(tmp_path)
    words = ("ansible", "localhost", "-c", "local", "-m", "ansible.builtin.raw", "-a", "hostname; ip route; pwd; iptables -V")
    command = network.in_router("env", f"HOME={tmp_path}", *words, folder=tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()[1:]
    assert lines[0] == "router"
    assert "dev pppoe-wan" in lines[1]
    assert lines[-2] == str(tmp_path)
    assert backend_of(lines[-1]) == network.spec.backend


def test_the_xtables_lock_is_the_routers_own(network: Lab) -> None:
    """A lock held in the router must keep up its iptables, and nobody else's."""
    hold = "flock /run/xtables.lock sh -c 'echo held; sleep 20'"
    with subprocess.Popen(network.in_router("sh", "-c", hold), stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        refused = subprocess.run(network.in_router("iptables", "-w", "1", "-S"), capture_output=True, text=True, timeout=20, check=False)
        here = subprocess.run(["flock", "-n", "/run/xtables.lock", "true"], timeout=20, check=False)
        holder.kill()
    assert here.returncode == 0
    # The nft one asks the kernel to keep order, and needs no lock.
    assert refused.returncode == (4 if network.spec.backend == "legacy" else 0), refused.stderr


def test_a_reboot_is_noticed_and_does_not_happen(network: Lab) -> None:
    before = len(network.reboots)
    network.box.run("sh", "-c", "reboot; halt; poweroff; while [ $(wc -l < /var/lab/reboots) -lt 3 ]; do usleep 9999; done")
    assert sorted(network.reboots[before:]) == ["halt", "poweroff", "reboot"]
    network.path("/var/lab/reboots").unlink()


def test_a_router_with_less_and_other_things(tmp_path: Path) -> None:
    release = "DISTRIB_RELEASE='19.07'\n"
    with lab(
        hosts=1, servers=("sshd",), shell="dash", without=("ip", "iptables-restore"), hostname="OpenWrt",
        files={"/etc/openwrt_release": release}, sshd_options=("KexAlgorithms diffie-hellman-group1-sha1",),
    ) as network:  # fmt: skip
        status, _out, errors = ssh(network, "sshd", tmp_path, "true")
        assert status == 255
        assert "no matching key exchange method found" in errors
        there = network.box.run("dash", "-c", "for name in ip arp iptables iptables-restore; do command -v $name; done; hostname")
        assert there.split() == ["/usr/bin/arp", "/usr/sbin/iptables", "OpenWrt"]
        assert network.path("/etc/openwrt_release").read_text() == release


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    script = """
import sys
sys.path.insert(0, {tests!r})
from lab.network import lab
with lab(hosts=2, servers=("telnet", "dropbear", "sshd")) as network:
    network.at("sshd")
    print(network.router.split("-")[0], network.key.parent)
    {ending}
"""
    tests = str(Path(__file__).resolve().parents[1])
    for ending in ("pass", "raise KeyboardInterrupt"):
        words = [sys.executable, "-c", script.format(tests=tests, ending=ending)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        prefix, folder = done.stdout.split()
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert prefix not in listed
        assert not Path(folder).exists()
        assert prefix not in Path("/proc/mounts").read_text()
        assert not [path for path in Path("/proc").glob("[0-9]*") if folder in command_line(path)]


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
