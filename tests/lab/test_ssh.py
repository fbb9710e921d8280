# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH client against OpenSSH and dropbear: log-ins, terminals, commands, and connections that break."""

from __future__ import annotations

import gc
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Limits, Session
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh import SshClient, SshOptions
from lab.namespaces import program
from lab.ssh_servers import PASSWORD, USER, Server, dropbear, sshd

CUT = Path(__file__).with_name("cut.py")
LINUX = _profile.load("linux")


@pytest.fixture(scope="module", params=[sshd, dropbear], ids=["OpenSSH", "dropbear"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with request.param(tmp_path_factory.mktemp("server")) as running:
        yield running


def options(server: Server, **changes: Any) -> SshOptions:
    given = {"user": USER, "password": PASSWORD, "known_hosts_file": str(server.known_hosts), **changes}
    return SshOptions(server.host, server.port, **given)


@contextmanager
def client(server: Server, **changes: Any) -> Iterator[SshClient]:
    made = SshClient(options(server, **changes))
    try:
        made.connect()
        yield made
    finally:
        made.close()


def failure(server: Server, **changes: Any) -> str:
    with pytest.raises(TrafficError) as caught, client(server, **changes):
        pass
    assert caught.value.unreachable
    assert PASSWORD not in str(caught.value).replace(f"{USER}@", "").replace(str(server.folder), "")
    return str(caught.value)


@contextmanager
def session(made: SshClient, limits: Limits = Limits()) -> Iterator[Session]:
    talk = Session(made.shell(), "home", Credentials(USER, PASSWORD, accepted=True), LINUX, (), limits)
    try:
        talk.login()
        yield talk
    finally:
        talk.logout()


# Terminals and commands


def test_a_terminal(server: Server) -> None:
    with client(server) as made, session(made) as talk:
        assert talk.run("tty; echo $TERM").split()[1] == "dumb"
        assert talk.run("stty size").strip() == "100 500"
        assert talk.run("for n in 1 2 3; do echo $n; done") == "1\r\n2\r\n3\r\n"
        assert talk.run("seq 1 99999 | cksum; seq 1 99999").splitlines()[1:] == [str(number) for number in range(1, 100_000)]


def test_commands(server: Server) -> None:
    with client(server) as made:
        assert made.execute("sh", b"echo out; echo err >&2; exit 7\n", 20, 100) in [(7, b"out\nerr\n"), (7, b"err\nout\n")]
        assert made.execute("no-such-command", b"x" * 100_000, 20, 1000)[0] == 127
        assert made.execute("kill -9 $$", b"", 20, 1000) == (-1, b"")
        assert made.execute("true", b"", 20, 0) == (0, b"")
        assert made.execute("exec >&-; exec 2>&-; sleep 0.3; exit 3", b"", 20, 0) == (3, b""), "its output ends before it does"


@pytest.mark.parametrize("stream", ["1", "2"])
def test_much_in_and_much_out(server: Server, stream: str) -> None:
    """More than fits into the windows of a channel, in both directions."""
    data = b"".join(b"%d\n" % number for number in range(500_000))
    with client(server) as made:
        assert made.execute("cksum", data, 20, 100)[1].split()[1] == str(len(data)).encode()
        assert made.execute(f"seq 0 499999 >&{stream}", b"", 20, len(data)) == (0, data)


def test_limits(server: Server) -> None:
    with client(server) as made:
        with pytest.raises(TrafficError, match=r"`sleep 30` did not end within 0.3 s") as caught:
            made.execute("sleep 30", b"", 0.3, 100)
        assert not caught.value.unreachable
        with pytest.raises(TrafficError, match=r"`yes` printed more than 1000 bytes"):
            made.execute("yes", b"", 20, 1000)
        assert made.execute("echo well", b"", 20, 100) == (0, b"well\n"), "the connection goes on"


def test_a_terminal_and_commands_at_once(server: Server) -> None:
    with client(server) as made, session(made) as talk:
        for number in range(3):
            assert talk.run(f"echo {number}") == f"{number}\r\n"
            assert made.execute(f"echo {number}", b"", 20, 100) == (0, b"%d\n" % number)


def test_a_signal_ends_the_waiting(server: Server) -> None:
    """Ctrl-C, or the timeout of a task: libssh alone would wait on."""

    class Alarm(Exception):
        pass

    def ring(*_arguments: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with client(server) as made, pytest.raises(Alarm):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            made.execute("sleep 60", b"", 30, 100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Who we are


def tries(server: Server, connections: int) -> int:
    """How many passwords were refused, once so many connections have ended before their log-in."""
    deadline = time.monotonic() + 10
    while len(re.findall(r"Exit before auth|Disconnected from authenticating user", server.log())) < connections:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.02)
    return len(re.findall(r"Failed password for|Bad password attempt for|PAM: Authentication failure for", server.log()))


@pytest.mark.parametrize("make", [sshd, dropbear], ids=["OpenSSH", "dropbear"])
def test_a_wrong_password_is_tried_once(tmp_path: Path, make: Any) -> None:
    with make(tmp_path) as server:
        assert "It was tried once only, so that nobody is locked out: check ansible_user" in failure(server, password="wrong")
        assert tries(server, 1) == 1


def test_a_key(server: Server) -> None:
    with client(server, password=None, private_key_file=str(server.keys.user)) as made:
        assert made.execute("echo in", b"", 20, 100) == (0, b"in\n")


def test_a_key_that_is_not_known(server: Server, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    said = failure(server, password=None, private_key_file=str(tmp_path / "other"))
    assert f"the key {tmp_path}/other was refused. Check ansible_user and ansible_private_key_file" in said
    with client(server, private_key_file=str(tmp_path / "other")) as made:
        assert made.execute("echo in", b"", 20, 100) == (0, b"in\n"), "there is a password, too"


def make_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True, timeout=60)


@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
def test_a_key_with_a_passphrase(server: Server, tmp_path: Path, form: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(server.keys.user.read_bytes())
    path.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "right one", "-m", form, "-f", str(path)], check=True, timeout=60)
    with client(server, password=None, private_key_file=str(path), passphrase="right one") as made:
        assert made.execute("echo in", b"", 20, 100) == (0, b"in\n")
    assert "also needs ansible_private_key_passphrase or an SSH agent" in failure(server, password=None, private_key_file=str(path))


def test_an_agent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL) as agent:
        try:
            added = ["sh", "-c", f"until [ -S {tmp_path}/agent ]; do sleep 0.1; done; ssh-add -q {server.keys.user}"]
            subprocess.run(added, check=True, timeout=60)
            with client(server, password=None) as made:
                assert made.execute("echo in", b"", 20, 100) == (0, b"in\n")
        finally:
            agent.terminate()


PAM = "{auth}account required pam_permit.so\nsession required pam_permit.so\n"
ASK = "auth required pam_unix.so\n"


def test_a_password_that_is_asked_for(tmp_path: Path) -> None:
    """Keyboard-interactive; some servers offer nothing else."""
    with sshd(tmp_path, "PasswordAuthentication no", pam=PAM.format(auth=ASK)) as server:
        with client(server) as made:
            assert made.execute("echo in", b"", 20, 100) == (0, b"in\n")
        assert "It was tried once only" in failure(server, password="wrong")
        assert tries(server, 1) == 1


def test_a_password_is_not_given_a_second_time_in_one_breath(tmp_path: Path) -> None:
    asks_by_itself = "auth required pam_userdb.so db=/none\n"
    with sshd(tmp_path, "PasswordAuthentication no", "LogLevel DEBUG2", pam=PAM.format(auth=asks_by_itself * 2)) as server:
        assert "It was tried once only" in failure(server)
        assert server.log().count("sshpam_respond entering") == 1


def test_with_a_password_and_a_question_for_it_the_wrong_one_goes_over_once(tmp_path: Path) -> None:
    """The library would try it both ways."""
    with sshd(tmp_path, "LogLevel DEBUG1", pam=PAM.format(auth=ASK)) as server:
        assert "It accepts: publickey,password,keyboard-interactive." in failure(server, password="wrong")
        assert tries(server, 1) == 1
        assert "method password" in server.log()
        assert "method keyboard-interactive" not in server.log()


def test_only_keys_are_taken(tmp_path: Path) -> None:
    with sshd(tmp_path, "PasswordAuthentication no", "KbdInteractiveAuthentication no") as server:
        assert "It accepts: publickey." in failure(server)


# The way there


def test_a_proxy_command(server: Server) -> None:
    command = f"{shlex.quote(program('busybox'))} nc %h %p"
    with client(server, proxy_command=command) as made, session(made) as talk:
        assert talk.run("seq 1 9999 | cksum") == made.execute("seq 1 9999 | cksum", b"", 20, 100)[1].decode().replace("\n", "\r\n")


# Servers that refuse, and connections that break


@pytest.mark.parametrize(
    ("line", "terminal", "command"),
    [("PermitTTY no", "a terminal", ""), ("MaxSessions 0", "a terminal", "`true`")],
)
def test_no_channel(tmp_path: Path, line: str, terminal: str, command: str) -> None:
    with sshd(tmp_path, line) as server, client(server) as made:
        with pytest.raises(TrafficError, match=f"let us in, but does not give {terminal}. Does it allow that user") as caught:
            made.shell()
        assert caught.value.unreachable
        if command:
            with pytest.raises(TrafficError, match=f"does not give {command}"):
                made.execute("true", b"", 20, 100)


def test_the_server_goes_away(tmp_path: Path) -> None:
    with sshd(tmp_path) as server, client(server) as made, session(made, Limits(20, 20)) as talk:
        with pytest.raises(TrafficError, match="closed the connection in the middle of `kill"):
            talk.run("kill -9 $PPID; sleep 20")
        with pytest.raises(TrafficError, match="does not give `true`"):
            made.execute("true", b"", 20, 100)
    with sshd(tmp_path / "again") as server, client(server) as made, pytest.raises(TrafficError) as failure:
        made.execute("kill -9 $PPID; sleep 20", b"", 20, 100)
    assert "20` was cut short, for the connection was lost" in str(failure.value)


@pytest.mark.parametrize("how", ["cut", "mute"])
def test_broken_anywhere(server: Server, how: str) -> None:
    """After so many bytes of the server nothing comes any more. It is an error each time, and no crash of this process."""
    seconds = 5.0 if how == "cut" else 0.5
    reached = set()
    for size in [*range(0, 4200, 150 if how == "cut" else 1000), 100_000_000]:
        command = shlex.join([sys.executable, "-I", str(CUT), "%h", "%p", str(size), how])
        done = []
        try:
            with client(server, proxy_command=command, timeout=max(seconds, 2.0)) as made:
                done.append("connect")
                assert made.execute("sh", b"seq 1 200; exit 3\n", seconds, 10_000)[0] == 3
                done.append("execute")
                with session(made, Limits(seconds, seconds)) as talk:
                    assert talk.run("echo well") == "well\r\n"
                    done.append("run")
        except TrafficError as error:
            assert size < 4200, error
            others = [os.open(os.devnull, os.O_RDONLY) for _number in range(3)]
        else:
            others = []
        gc.collect()
        for other in others:
            os.close(other)  # libssh must not have closed it in our place, for it had the same number before
        reached.add(len(done))
    assert reached > {0, 3}, "each stage was met"


def test_closed_in_the_middle(server: Server) -> None:
    """Without a log-out. The order of closing decides whether libssh crashes the process."""
    script = f"""
import gc, sys
from {SshClient.__module__} import SshClient, SshOptions
client = SshClient(SshOptions(sys.argv[1], int(sys.argv[2]), "{USER}", "{PASSWORD}", host_key_checking=False))
stream = client.shell()
stream.write(b"yes\\n")
assert stream.read(10)
client.close()
try:
    stream.write(b"x")
except OSError:
    pass
assert stream.read(1) == b""
stream.close()
client.close()
del client, stream
gc.collect()
print("well")
"""
    words = [sys.executable, "-c", script, server.host, str(server.port)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_addresses_of_ipv6(tmp_path: Path) -> None:
    """known_hosts has them in brackets only with a port."""
    with sshd(tmp_path, "ListenAddress ::1") as server:
        known = server.known_hosts
        known.write_text(known.read_text().replace(f"[{server.host}]", "[::1]"))
        made = SshClient(SshOptions("::1", server.port, USER, PASSWORD, known_hosts_file=str(known)))
        made.connect()
        assert made.execute("echo in", b"", 20, 100) == (0, b"in\n")
        made.close()


def descriptors() -> set[int]:
    gc.collect()
    found = map(int, os.listdir("/proc/self/fd"))
    return {number for number in found if os.path.exists(f"/proc/self/fd/{number}")}


def test_nothing_is_left_running(server: Server) -> None:
    before = descriptors()
    for _number in range(3):
        with client(server) as made, session(made) as talk:
            talk.run("true")
            made.execute("true", b"", 20, 100)
    assert descriptors() == before
    failure(server, password="wrong")
    for left in descriptors() - before:  # one that libssh might still close: it is not ours any more, but leads nowhere
        with socket.socket(fileno=os.dup(left)) as shut, pytest.raises(BrokenPipeError):
            shut.send(b"x")
