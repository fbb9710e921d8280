# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is no SSH server, what leads to none, and what is said about it. Real servers are in tests/lab/test_ssh.py."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _ssh_messages as messages
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh import SshClient, SshOptions

# A process of its own: libssh holds up all threads of this one.
SERVER = """
import itertools, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client = listener.accept()[0]
first, *more = [bytes.fromhex(word) for word in sys.argv[2:]]
client.sendall(first)
if sys.argv[1] == "stay":
    time.sleep(60)
if sys.argv[1] == "for ever":
    for piece in itertools.cycle(more):
        client.sendall(piece)
        time.sleep(0.01)
"""
BANNER = b"SSH-2.0-old\r\n"


def packet(payload: bytes) -> bytes:
    """As SSH has it before there is encryption."""
    padding = 8 - (5 + len(payload)) % 8 + 8
    return (1 + len(payload) + padding).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


def string(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


DISCONNECT = packet(b"\x01" + (12).to_bytes(4, "big") + string(b"\x1b[31mToo many sessions; hunter2\n") + string(b""))


@contextmanager
def server(then: str, *pieces: bytes) -> Iterator[SshOptions]:
    words = [sys.executable, "-c", SERVER, then, *(piece.hex() for piece in pieces or (b"",))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield SshOptions("127.0.0.1", int(process.stdout.readline()), "admin", "hunter2", timeout=1.0)
        finally:
            process.kill()


def failure(options: SshOptions) -> str:
    client = SshClient(options)
    with pytest.raises(TrafficError) as caught:
        client.connect()
    client.close()
    assert caught.value.unreachable
    return str(caught.value)


@pytest.mark.parametrize(
    ("then", "pieces", "message"),
    [
        pytest.param("close", (), "the SSH handshake failed: Socket error", id="closes"),
        pytest.param("close", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "the SSH handshake failed", id="a web server"),
        pytest.param("stay", (), "did not finish the SSH handshake within 1 s. Is this its SSH port", id="silent"),
        pytest.param("stay", (b"\xff\xfd\x01Login: ",), "a telnet server, and no SSH. Set ansible_connection to", id="telnet"),
        pytest.param("close", (b"\xff\xfb\x01",), "a telnet server, and no SSH. Set ansible_connection to", id="telnet that closes"),
        pytest.param("stay", (b"Login: ",), "did not finish the SSH handshake within 1 s. Is this its SSH port", id="any other"),
        pytest.param("stay", (BANNER,), "did not finish the SSH handshake within 1 s", id="silent after its banner"),
        pytest.param("for ever", (b"", b"x\r\n"), "did not finish the SSH handshake within 1 s", id="an endless greeting"),
        pytest.param("stay", (b"x" * 50_000,), "too large banner", id="an endless line"),
        pytest.param("stay", (BANNER + b"\xff" * 5000,), "the SSH handshake failed", id="garbage"),
        pytest.param("stay", (BANNER + DISCONNECT,), r"12:\x1b[31mToo many sessions; ***. Is this its SSH port", id="refuses"),
    ],
)  # fmt: skip
def test_no_handshake(then: str, pieces: tuple[bytes, ...], message: str) -> None:
    with server(then, *pieces) as options:
        said = failure(options)
    assert message in said
    assert said.startswith(f"{options.where}: ")
    assert said.isprintable()
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 1, "the connection was refused. Is SSH switched on in the router"),
        ("no-such-router.invalid", 22, "is unknown"),
        ("127.0.0.1", 0, "0 is not a port. Check ansible_port."),
    ],
)
def test_no_connection(host: str, port: int, message: str) -> None:
    assert message in failure(SshOptions(host, port))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("sh -c 'echo hi; echo gate is shut >&2; exit 3'", "the proxy command ended with exit status 3 and said: gate is shut. Check"),
        ("false", "the proxy command ended with exit status 1. Check ansible_ssh_cli_proxy_command."),
        ("./no-such-program %h", "the proxy command ended with exit status 127 and said: "),
        ("printf '\\033[31mred' >&2", r"and said: \x1b[31mred. Check"),
        ("sh -c 'seq 1 99999 >&2'", " 99999. Check"),
    ],
)
def test_a_proxy_command_that_fails(command: str, message: str) -> None:
    assert message in failure(SshOptions("192.168.1.1", proxy_command=command))


def test_what_a_proxy_command_is_told(tmp_path: Path) -> None:
    command = f"sh -c 'printf \"%%s|\" \"$@\" >{tmp_path}/words' sh %h %p %r %%h x%py"
    failure(SshOptions("$(reboot) 'x", 2222, "a b", proxy_command=command))
    assert (tmp_path / "words").read_text() == "$(reboot) 'x|2222|a b|%h|x2222y|"


def test_a_proxy_command_is_ended(tmp_path: Path) -> None:
    """With what it started, even where it will not go."""
    (tmp_path / "proxy").write_text(f"trap : TERM\nsleep 60\n(echo $$; exec sleep 60 >&2) >{tmp_path}/pid\n")
    said = failure(SshOptions("192.168.1.1", proxy_command=f"sh {tmp_path}/proxy", timeout=0.5))
    assert "did not finish the SSH handshake" in said
    group = (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 10  # who is killed takes a moment to die; by itself it would take a minute
    while left := [fields for fields in running() if fields[2] == group and fields[0] != "Z"]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def running() -> Iterator[list[str]]:
    """State, parent, group and more of every process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_text().rpartition(") ")[2].split()


def test_without_the_library() -> None:
    script = f"""
import sys
sys.modules["pylibsshext"] = None
from {SshClient.__module__} import SshClient, SshOptions
try:
    SshClient(SshOptions("127.0.0.1", int(sys.argv[1]))).connect()
except Exception as error:
    print(type(error).__name__, error)
"""
    with server("stay") as options:
        words = [sys.executable, "-c", script, str(options.port)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.startswith("TrafficError The Python package ansible-pylibssh is missing"), done.stderr
    assert done.stdout.endswith("pip install ansible-pylibssh\n")


def test_a_run_without_ssh_does_not_load_the_library() -> None:
    script = f"import sys, {SshClient.__module__}; print([name for name in sys.modules if 'pylibssh' in name or 'subprocess' in name])"
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert "pylibssh" not in done.stdout


# What is said; the wordings are libssh's, as tests/lab/test_ssh.py meets them.

OPTIONS = SshOptions("192.168.1.1", user="admin", password="hunter2")
CLIENT = "], client [mlkem768x25519-sha256,curve25519-sha256]"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            "method kex algos: server [diffie-hellman-group1-sha1,diffie-hellman-group14-sha1,kex-strict-s-v00@openssh.com",
            "its key exchanges are old ones, which are off by default: diffie-hellman-group1-sha1, diffie-hellman-group14-sha1. If it "
            "has no newer firmware, set ansible_ssh_cli_key_exchange_algorithms: +diffie-hellman-group14-sha1",
        ),
        ("method kex algos: server [kexguess2@matt.ucc.asn.au", "libssh can do none of its key exchanges: kexguess2@matt"),
        ("method server host key algo: server [ssh-rsa,ssh-dss", "set ansible_ssh_cli_host_key_algorithms: +ssh-rsa"),
        ("method server host key algo: server [ssh-dss", "none of its host keys: ssh-dss. docs/ssh.md shows how to use"),
        (
            "method encryption client->server: server [3des-cbc,aes128-cbc",
            "write two lines into ~/.ssh/config: `Host 192.168.1.1` and `Ciphers +aes128-cbc` (docs/ssh.md).",
        ),
        ("method mac algo server->client: server [hmac-md5,hmac-sha1", "`MACs +hmac-sha1`"),
        ("method mac algo client->server: server [hmac-md5", "none of its MACs: hmac-md5. docs/ssh.md"),
        ("method compression algo client->server: server [lzma", "none of its compression algo client->server: lzma."),
        ("method kex algos: server [\x1b[2J,x\n", r"none of its key exchanges: \x1b[2J, x."),
    ],
)
def test_old_algorithms_are_named(told: str, message: str) -> None:
    error = messages.no_handshake(OPTIONS, f"ssh connect failed: kex error : no match for {told}{CLIENT}")
    assert message in str(error)
    assert error.unreachable


@pytest.mark.parametrize(
    ("changes", "told", "message"),
    [
        ({}, "Access denied for 'password'. Authentication that can continue: password", "was refused. It was tried once only"),
        ({}, "Authentication that can continue: publickey,hunter2", "It accepts: publickey,***."),
        ({"password": None}, "x", "Set ansible_password or ansible_private_key_file."),
        ({"password": None, "private_key_file": "k"}, "x", "the key k was refused. Check ansible_user and ansible_private_key_file"),
        (
            {"password": None, "private_key_file": "k"},
            "The key algorithm 'ssh-rsa' is not allowed to be used by PUBLICKEY_ACCEPTED_TYPES configuration option",
            "if the router can do no better, set ansible_ssh_cli_public_key_algorithms: +ssh-rsa",
        ),
        ({"password": ""}, "x", "check ansible_user and ansible_password"),
    ],
)  # fmt: skip
def test_refused(changes: dict[str, Any], told: str, message: str) -> None:
    assert message in str(messages.refused(dataclasses.replace(OPTIONS, **changes), told))


def test_the_port_of_telnet() -> None:
    options = SshOptions("192.168.1.1", 23)
    for said in (messages.too_slow(options, False), messages.no_handshake(options, "ssh connect failed: Socket error")):
        assert "Port 23 is telnet's: for that, set ansible_connection to homenet.traffic.telnet; for SSH, set ansible_port to" in str(said)


def test_how_to_accept_a_host_key() -> None:
    plain = str(messages.host_key_problem(OPTIONS, "Host is unknown: 00:11", "ssh-rsa SHA256:abc"))
    assert "its host key is not known: ssh-rsa SHA256:abc. " in plain
    assert "`ssh admin@192.168.1.1`" in plain
    assert str(messages.host_key_problem(OPTIONS, "Host file not found: ", "ssh-rsa SHA256:abc")) == plain
    odd = dataclasses.replace(
        OPTIONS, port=2222, user=None, known_hosts_file="/a b", proxy_command="nc %h", key_exchange_algorithms="+x",
        host_key_algorithms="+y",
    )  # fmt: skip
    changed = str(messages.host_key_problem(odd, "Host key for server has changed: 00:11", "ssh-rsa SHA256:abc"))
    assert "not the one in known_hosts: it is ssh-rsa SHA256:abc now" in changed
    assert "`ssh-keygen -f '/a b' -R '[192.168.1.1]:2222'`" in changed
    assert (
        "`ssh -o KexAlgorithms=+x -o HostKeyAlgorithms=+y -o 'UserKnownHostsFile=\"/a b\"' -o 'ProxyCommand=nc %h' -p 2222 192.168.1.1`"
    ) in changed
    assert "could not be checked: no room" in str(messages.host_key_problem(OPTIONS, "no room", ""))


def test_secrets_are_not_shown() -> None:
    options = dataclasses.replace(OPTIONS, passphrase="hunter3", proxy_command="connect --password hunter4")
    assert "hunter" not in repr(options)
