# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin ssh_cli in Ansible: its variables, what users see, and routers counted over it end to end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from control import ROOT, Control, Place, Run

from lab.network import Lab, lab
from lab.ssh_servers import PASSWORD, Server, sshd

SSH = {"ansible_connection": "homenet.traffic.ssh_cli"}


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


# Variables and messages


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("server"), "PrintMotd no") as running:
        yield running


def raw(control: Control, server: Server, command: str, *flags: str, password: str = PASSWORD, **variables: Any) -> Run:
    given = {**SSH, "ansible_ssh_cli_known_hosts_file": str(server.known_hosts), "traffic_profile": "linux", **variables}
    inventory = control.inventory(Place(server.host, server.port, password=password), given)
    return control.run("ansible", "routers", "-i", str(inventory), "-m", "ansible.builtin.raw", "-a", command, *flags)


def test_raw(control: Control, server: Server) -> None:
    before = server.log().count("Accepted password")
    done = raw(control, server, "echo one; echo two >&2")
    assert done.status == 0, done.out
    assert server.log().count("Accepted password") == before + 1
    assert "home | CHANGED | rc=0 >>\none\ntwo\n" in done.out
    done = raw(control, server, "no-such-command")
    assert "home | FAILED | rc=127 >>" in done.out
    assert "not found" in done.out


def test_a_wrong_password(control: Control, server: Server) -> None:
    before = server.log().count("Failed password")
    done = raw(control, server, "true", password="hunter2", ansible_timeout=20)
    assert done.status == 4
    found = done.result()
    assert found["_state"] == "UNREACHABLE!"
    assert f"{server.host} port {server.port}: the user name or the password was refused. It was tried once only" in found["msg"]
    assert "hunter2" not in done.out
    assert server.log().count("Failed password") == before + 1


SET = "import os, sys; os.environ[sys.argv[1]] = sys.argv[2]; os.execv(sys.argv[3], sys.argv[3:])"


@pytest.mark.parametrize(
    ("variables", "environment"),
    [
        ({"ansible_host_key_checking": False}, ""),
        ({"ansible_ssh_host_key_checking": "no"}, ""),
        ({}, "ANSIBLE_HOST_KEY_CHECKING"),
        ({}, "ANSIBLE_SSH_HOST_KEY_CHECKING"),
    ],
)
def test_host_keys(control: Control, server: Server, tmp_path: Path, variables: dict[str, Any], environment: str) -> None:
    given = {**SSH, "ansible_ssh_cli_known_hosts_file": str(tmp_path / "known_hosts"), "traffic_profile": "linux"}
    place = Place(server.host, server.port)
    ansible = str(Path(sys.executable).with_name("ansible"))
    words = (ansible, "routers", "-i", "inventory.json", "-m", "ansible.builtin.raw", "-a", "echo in")
    control.inventory(place, given)
    refused = control.run("python", *words)
    assert "UNREACHABLE!" in refused.out
    assert "its host key is not known: ssh-ed25519 SHA256:" in refused.out
    control.inventory(place, {**given, **variables})
    done = control.run("python", *(("-c", SET, environment, "false", sys.executable) if environment else ()), *words)
    assert "rc=0 >>\nin\n" in done.out, done.out
    assert not (tmp_path / "known_hosts").exists()


def test_openssh_does_not_know_the_key(control: Control, server: Server, tmp_path: Path) -> None:
    given = {"ansible_connection": "ansible.builtin.ssh", "ansible_ssh_common_args": f"-o UserKnownHostsFile={tmp_path / 'none'}"}
    found = control.module(Place(server.host, server.port, password=""), "lan_hosts_info", **given).result()
    assert found["_state"] == "UNREACHABLE!"
    assert "Its host key is not known, or another one than it was. If that is the router's own, accept it by logging in" in found["msg"]


@pytest.mark.parametrize("way", ["ansible_private_key_file", "ansible_ssh_private_key_file", "--private-key"])
def test_a_key(control: Control, server: Server, way: str) -> None:
    key = str(server.keys.user)
    flags, variables = ((way, key), {}) if way.startswith("--") else ((), {way: key})
    done = raw(control, server, "echo in", *flags, **variables, ansible_password=None)
    assert "rc=0 >>\nin\n" in done.out, done.out


def test_a_task_without_an_answer(control: Control, server: Server) -> None:
    done = raw(control, server, "sleep 30", ansible_command_timeout=1)
    assert f"{server.host} port {server.port}: `sh` did not end within 1 s. Run it again." in done.out
    assert done.status == 2


# What ssh_cli cannot do: docs/ssh.md says what can


def examples() -> dict[str, dict[str, Any]]:
    """The inventory of that chapter."""
    chapter = (ROOT / "docs/ssh.md").read_text(encoding="utf-8").split("\n## What it cannot do\n")[1]
    found = yaml.safe_load(chapter.split("```yaml\n")[1].split("```")[0])
    hosts: dict[str, dict[str, Any]] = found["routers"]["hosts"]
    return hosts


ONLY_OPENSSH = {
    "old_host_key": ("HostKeyAlgorithms ssh-dss", ("dsa",), "libssh can do none of its host keys: ssh-dss."),
    "old_mac": ("MACs hmac-md5", ("ed25519",), "libssh can do none of its MACs: hmac-md5."),
    "old_cipher": ("Ciphers 3des-cbc", ("ed25519",), "write two lines into ~/.ssh/config"),
    "behind_a_gate": ("", ("ed25519",), ""),
    "by_its_name_in_the_configuration": ("", ("ed25519",), "the name 'attic' is unknown"),
}


@pytest.mark.parametrize("name", examples())
def test_what_needs_openssh(control: Control, tmp_path: Path, name: str) -> None:
    line, host_keys, message = ONLY_OPENSSH[name]
    given = examples()[name]
    extra = ("Ciphers aes128-ctr",) if line.startswith("MACs") else ()
    with sshd(tmp_path / "server", *extra, *([line] if line else []), host_keys=host_keys) as server, sshd(tmp_path / "gate") as gate:
        (tmp_path / "known_hosts").write_text(server.known_hosts.read_text() + gate.known_hosts.read_text())
        (tmp_path / "config").write_text(
            f"Host attic\nHostName {server.host}\nPort {server.port}\nUser admin\nHost *\nUserKnownHostsFile {tmp_path}/known_hosts\n"
            f"IdentityFile {server.keys.user}\nIdentityFile {gate.keys.user}\n"
        )
        named = given["ansible_host"] == "attic"
        arguments = given.get("ansible_ssh_common_args", "").replace("me@gate.example.net", f"admin@{gate.host}:{gate.port}")
        variables = {**given, "ansible_ssh_args": f"-F {tmp_path}/config", "ansible_ssh_common_args": arguments, "ansible_password": None}
        variables |= {"ansible_port": None, "ansible_user": None} if named else {"ansible_host": server.host}
        inventory = control.inventory(Place(server.host, server.port), {})
        (tmp_path / "vars.json").write_text(json.dumps(variables))
        words = ("ansible", "routers", "-i", str(inventory), "-m", "ansible.builtin.raw", "-a", "echo in", "-e", f"@{tmp_path}/vars.json")
        done = control.run(*words)
        assert "rc=0 >>\nin\n" in done.out.replace("\r", ""), done.out  # older cores ask for a terminal
        assert ("Accepted publickey" in gate.log()) == (name == "behind_a_gate")
        if message:
            host = given["ansible_host"] if named else server.host
            ours = {**SSH, "ansible_host": host, "ansible_ssh_cli_known_hosts_file": "known_hosts"}
            (tmp_path / "vars.json").write_text(json.dumps(ours))
            assert message in control.run(*words).out


# Routers


def inside(network: Lab, server: str, tmp_path: Path, **variables: Any) -> tuple[Place, dict[str, Any]]:
    known = tmp_path / "known_hosts"
    known.write_text(network.known_hosts(server))
    return Place(*network.at(server)), {**SSH, "ansible_ssh_cli_known_hosts_file": str(known), **variables}


def count(control: Control, network: Lab, place: Place, variables: dict[str, Any]) -> dict[str, Any]:
    """Set up, use the link, and compare with the kernel."""
    untouched = network.foreign_firewall()
    done = control.playbook(place, "setup_traffic", **variables)
    assert done.status == 0, done.out
    start = network.settle()
    network.stream(network.hosts[0], download=300_000, upload=2_000)
    truth = network.settle()
    found = control.module(place, "counters_info", **variables).result()
    rows = {row["ip"]: (row["download_bytes"], row["upload_bytes"]) for row in found["counters"]}
    for ip, passed in truth.items():
        expected = passed.download_bytes - start[ip].download_bytes, passed.upload_bytes - start[ip].upload_bytes
        assert rows[ip] == expected, json.dumps(found, indent=1)
    assert control.playbook(place, "setup_traffic", **variables).recap()["changed"] == 0
    assert control.playbook(place, "remove_traffic", **variables).recap()["changed"] == 1
    assert network.foreign_firewall() == untouched
    return found


@pytest.mark.parametrize("login", ["user", "password", "none"])
def test_a_command_line_that_is_no_shell(control: Control, tmp_path: Path, login: str) -> None:
    """Broadcom's, over SSH, which may ask for user and password once more; its profile is found."""
    with lab(hosts=2, servers=("broadcom", "sshd"), sshd_options=("ForceCommand /var/lab/broadcom",)) as network:
        program = network.path("/var/lab/broadcom")
        program.write_text(f"{program.read_text().rstrip()} --user root --login {login}\n")
        place, variables = inside(network, "sshd", tmp_path, ansible_user="root")
        assert count(control, network, place, variables)["profile"] == "broadcom"
        assert all(session["ended"] == "exit" for session in network.sessions())
        assert {tuple(session["logins"]) for session in network.sessions()} == {() if login == "none" else ("ok",)}


@pytest.mark.parametrize("server", ["dropbear", "sshd"])
def test_a_real_shell(control: Control, tmp_path: Path, server: str) -> None:
    with lab(hosts=2, backend="nft", wan="eth0.2", servers=(server,)) as network:
        place, variables = inside(network, server, tmp_path, ansible_user="root")
        assert count(control, network, place, variables)["profile"] == "linux"
