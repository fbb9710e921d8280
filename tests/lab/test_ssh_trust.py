# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the SSH client trusts: host keys, old algorithms, and what ~/.ssh/config may change. The advice in messages is followed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh import SshClient, SshOptions
from lab.ssh_servers import PASSWORD, USER, Server, at_home, dropbear, sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("server"), host_keys=("ed25519", "ecdsa")) as running:
        yield running


def attempt(server: Server, **changes: Any) -> str:
    """The message of the failure; empty after a log-in."""
    given = {"user": USER, "password": PASSWORD, "known_hosts_file": str(server.known_hosts), **changes}
    client = SshClient(SshOptions(server.host, server.port, **given))
    try:
        assert client.execute("echo in", b"", 20, 100) == (0, b"in\n")
    except TrafficError as error:
        assert error.unreachable
        return str(error)
    finally:
        client.close()
    return ""


def advice(message: str) -> list[str]:
    """The commands in a message."""
    return re.findall(r"`([^`]+)`", message)


def follow(command: str, folder: Path) -> None:
    """As a user does: yes, that is the key, and this is the password."""
    ask = folder / "ask"
    ask.write_text(f'#!/bin/sh\ncase $1 in *"continue connecting"*) echo yes ;; *) echo {PASSWORD} ;; esac\n')
    ask.chmod(0o700)
    home = at_home(folder / "home", "sh", "-c", f"{command}{' exit' if command.startswith('ssh ') else ''}")
    subprocess.run(
        home, check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True,
        env={"PATH": os.environ["PATH"], "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"},
    )  # fmt: skip


def fingerprint(server: Server, kind: str) -> str:
    path = server.keys.host_keys(server.kind)[kind]
    return subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True, timeout=60).stdout.split()[1]


# Host keys


def test_an_unknown_key(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known hosts"
    said = attempt(server, known_hosts_file=str(known))
    assert f"its host key is not known: ssh-ed25519 {fingerprint(server, 'ed25519')}. If" in said
    assert not known.exists(), "nothing is accepted of itself"
    known.touch()
    assert attempt(server, known_hosts_file=str(known)) == said
    follow(advice(said)[0], tmp_path)
    assert attempt(server, known_hosts_file=str(known)) == ""


def test_a_changed_key(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    (tmp_path / "other").mkdir()
    other = type(server.keys)(tmp_path / "other", ("ed25519",))
    line = other.known_hosts("sshd", server.host, server.port)
    known.write_text(line)
    said = attempt(server, known_hosts_file=str(known))
    assert f"is not the one in known_hosts: it is ssh-ed25519 {fingerprint(server, 'ed25519')} now." in said
    assert known.read_text() == line
    assert "Accepted" not in server.log().rpartition("Connection from")[2], "and nobody logged in"
    for command in advice(said):
        follow(command, tmp_path)
    assert attempt(server, known_hosts_file=str(known)) == ""


def test_another_type_of_key_than_the_one_that_is_known(server: Server, tmp_path: Path) -> None:
    lines = {line.split()[1]: line for line in server.known_hosts.read_text().splitlines(keepends=True)}
    known = tmp_path / "known_hosts"
    known.write_text(lines["ecdsa-sha2-nistp256"])
    assert attempt(server, known_hosts_file=str(known)) == "", "the known one is asked for"
    known.write_text(lines["ecdsa-sha2-nistp256"].replace("ecdsa-sha2-nistp256 ", "ssh-rsa ", 1).replace(" AAAA", " BBBB", 1))
    assert "its host key is not" in attempt(server, known_hosts_file=str(known))


def test_hashed_names(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True, timeout=60)
    assert server.host not in known.read_text()
    assert attempt(server, known_hosts_file=str(known)) == ""


def test_the_port_belongs_to_the_name(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts.read_text().replace(f":{server.port}", f":{server.port + 1}"))
    assert "its host key is not known" in attempt(server, known_hosts_file=str(known))


def test_without_checking_nothing_is_written(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    assert attempt(server, known_hosts_file=str(known), host_key_checking=False) == ""
    assert not known.exists()
    known.write_text(f"[{server.host}]:{server.port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDnDwkMgrzmbGA12HyUl1HDW3/LFwZc3NvYFp4Wt6zPw\n")
    before = known.read_bytes()
    assert attempt(server, known_hosts_file=str(known), host_key_checking=False) == ""
    assert known.read_bytes() == before


# Old algorithms


@pytest.mark.parametrize(
    ("line", "wrong", "setting"),
    [
        ("KexAlgorithms diffie-hellman-group1-sha1", "its key exchanges", "key_exchange_algorithms: +diffie-hellman-group1-sha1"),
        ("KexAlgorithms diffie-hellman-group14-sha1", "its key exchanges", "key_exchange_algorithms: +diffie-hellman-group14-sha1"),
        ("HostKeyAlgorithms ssh-rsa", "its host keys", "host_key_algorithms: +ssh-rsa"),
    ],
)
def test_old_algorithms_that_an_option_allows(tmp_path: Path, line: str, wrong: str, setting: str) -> None:
    with sshd(tmp_path / "server", line, host_keys=("rsa",)) as server:
        said = attempt(server)
        assert f"{wrong} are old ones, which are off by default: {line.split()[1]}. If it has no newer firmware, set " in said
        assert said.endswith(f"ansible_ssh_cli_{setting}")
        name, value = setting.split(": ")
        assert attempt(server, **{name: value}) == ""
        # The command that accepts the host key has to have them, too.
        known = tmp_path / "known_hosts"
        unknown = attempt(server, known_hosts_file=str(known), **{name: value})
        follow(advice(unknown)[0], tmp_path)
        assert attempt(server, known_hosts_file=str(known), **{name: value}) == ""


def test_old_signatures_of_rsa_keys(tmp_path: Path) -> None:
    """A server that is old itself is told from one that is only set like it: test_ssh.py has that message."""
    key = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(key)], check=True, timeout=60)
    with sshd(tmp_path / "server", "PubkeyAcceptedAlgorithms ssh-rsa", "PasswordAuthentication no") as server:
        (tmp_path / "server/authorized_keys").write_text(key.with_suffix(".pub").read_text())
        given = {"password": None, "private_key_file": str(key)}
        assert "was refused" in attempt(server, **given)
        assert attempt(server, **given, public_key_algorithms="ssh-rsa") == ""


def test_an_old_router_needs_all_of_them(tmp_path: Path) -> None:
    """dropbear with an RSA key only, as it came with routers."""
    with dropbear(tmp_path / "server", host_keys=("rsa",)) as server:
        options = {"key_exchange_algorithms": "diffie-hellman-group14-sha1", "host_key_algorithms": "ssh-rsa"}
        assert attempt(server, **options) == ""


@pytest.mark.parametrize("name", ["key_exchange_algorithms", "host_key_algorithms", "public_key_algorithms"])
@pytest.mark.parametrize("value", ["+ssh-dss", "curve25519-sha266", "^nonsense,rsa-sha2-512", "ssh-ed25519, rsa-sha2-512"])
def test_a_name_that_libssh_does_not_know(server: Server, name: str, value: str) -> None:
    """It would be left out without a word."""
    assert re.search(rf"libssh does not know the algorithm '.*'.* Check ansible_ssh_cli_{name};", attempt(server, **{name: value}))


# ~/.ssh/config, which libssh reads whatever it is told. In a process of its own, with a home of its own.

LOG_IN = """
import sys
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh import SshClient, SshOptions
host, port, known_hosts, user = sys.argv[1:]
client = SshClient(SshOptions(host, int(port), user, "admin", known_hosts_file=known_hosts or None))
try:
    client.connect()
    print(client.execute("echo in", b"", 20, 100))
except Exception as error:
    print(error)
client.close()
"""


def with_config(server: Server, home: Path, config: str, known_hosts: str | None = None, user: str = USER) -> tuple[str, str]:
    command = at_home(home, sys.executable, "-c", LOG_IN, server.host, str(server.port), known_hosts or str(server.known_hosts), user)
    (home / ".ssh/config").write_text(config)
    (home / ".ssh/config").chmod(0o600)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    return done.stdout.strip(), done.stderr


IN = "(0, b'in\\n')"


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (("Ciphers aes128-cbc",), "its ciphers"),
        (("Ciphers 3des-cbc",), "its ciphers"),
        (("Ciphers aes128-ctr", "MACs hmac-sha1"), "its MACs"),
    ],
)
def test_old_ciphers_that_the_configuration_allows(tmp_path: Path, lines: tuple[str, ...], wrong: str) -> None:
    with sshd(tmp_path / "server", *lines) as server:
        said, _errors = with_config(server, tmp_path / "home", "")
        assert f"{wrong} are old ones, which are off by default: {lines[-1].split()[1]}. " in said
        host, setting = advice(said)
        assert with_config(server, tmp_path / "home", f"{host}\n{setting}\n") == (IN, "")


@pytest.mark.parametrize(("keyword", "value"), [("KexAlgorithms", "diffie-hellman-group14-sha1"), ("HostKeyAlgorithms", "ssh-rsa")])
def test_algorithms_of_the_configuration_count(tmp_path: Path, keyword: str, value: str) -> None:
    with sshd(tmp_path / "server", f"{keyword} {value}", host_keys=("rsa",)) as server:
        assert with_config(server, tmp_path / "home", f"{keyword} +{value}\n") == (IN, "")


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("User somebody\n", id="user"),
        pytest.param("Port 1\n", id="port"),
        pytest.param("HostName 192.0.2.1\n", id="host name"),
        pytest.param("ProxyCommand false\n", id="proxy command"),
        pytest.param("ProxyJump 192.0.2.1\n", id="proxy jump"),
        pytest.param("UserKnownHostsFile /dev/null\n", id="known hosts"),
        pytest.param("LogLevel DEBUG3\n", id="log"),
        pytest.param("Nonsense 1\nHost\nMatch foo\n\"\n", id="nonsense"),
    ],
)  # fmt: skip
def test_what_the_configuration_does_not_change(server: Server, tmp_path: Path, config: str) -> None:
    """Nor is a word of libssh's log to be seen."""
    assert with_config(server, tmp_path, config) == (IN, "")


def test_the_known_hosts_of_the_user(server: Server, tmp_path: Path) -> None:
    """By default, and not of somebody whom the environment names."""
    at_home(tmp_path)
    (tmp_path / ".ssh/known_hosts").write_text(server.known_hosts.read_text())
    words = at_home(tmp_path, "env", f"HOME={tmp_path}/none", sys.executable, "-c", LOG_IN, server.host, str(server.port), "", USER)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.strip() == IN, shlex.join(words) + done.stderr


def test_a_configuration_that_trusts_everybody(server: Server, tmp_path: Path) -> None:
    """As with Ansible's own ssh. Even then nothing is written."""
    assert with_config(server, tmp_path, "StrictHostKeyChecking no\n", str(tmp_path / "none")) == (IN, "")
    assert not (tmp_path / "none").exists()
