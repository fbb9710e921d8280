# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real SSH servers on loopback, one for each test that wants it another way, with users, keys and logs of their own.

They run in a mount and a process namespace, and end with all their sessions. ``at_home`` runs a program of this machine as
a user whose home directory is another one, for libssh asks the password file for it and not the environment.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .box import HASHED
from .keys import Keys
from .namespaces import end, program, start

USER, PASSWORD = "admin", "admin"
SERVE = """
set -e
mount -t tmpfs -o mode=0755 run /run
mkdir /run/sshd
for name in passwd shadow group; do mount --bind "$1/$name" "/etc/$name"; done
if [ -f "$1/pam" ]; then mount --bind "$1/pam" /etc/pam.d/sshd; fi
log=$1/log
shift
exec "$@" >"$log" 2>&1
"""
AT_HOME = """
set -e
mount --bind "$1/passwd" /etc/passwd
shift
exec "$@"
"""


@dataclass(frozen=True)
class Server:
    """A running one."""

    folder: Path
    host: str
    """A loopback address of its own, so that tests that run at the same time do not meet."""
    port: int
    keys: Keys
    kind: str

    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def known_hosts(self) -> Path:
        """A file with its host keys."""
        path = self.folder / "known_hosts"
        path.write_text(self.keys.known_hosts(self.kind, self.host, self.port), encoding="ascii")
        return path


@contextmanager
def sshd(folder: Path, *lines: str, host_keys: Sequence[str] = ("ed25519",), pam: str = "") -> Iterator[Server]:
    """OpenSSH with these lines in front of its configuration; ``pam`` is the configuration of PAM, and switches it on."""
    server = _prepared(folder, "sshd", host_keys)
    if pam:
        (folder / "pam").write_text(pam, encoding="ascii")
    config = [
        *lines, *(f"HostKey {path}" for path in server.keys.host_keys("sshd").values()), f"ListenAddress {server.host}",
        f"Port {server.port}", f"AuthorizedKeysFile {folder}/authorized_keys", f"UsePAM {'yes' if pam else 'no'}", "PermitRootLogin yes",
        "StrictModes no", "PidFile none", "UseDNS no", "PrintMotd no", "PrintLastLog no", "LogLevel VERBOSE", "MaxStartups 100",
    ]  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{line}\n" for line in config), encoding="utf-8")
    with _running(server, program("sshd"), "-D", "-e", "-f", str(folder / "sshd_config")):
        yield server


@contextmanager
def dropbear(folder: Path, *words: str, host_keys: Sequence[str] = ("ed25519",)) -> Iterator[Server]:
    """dropbear with these words on its command line."""
    server = _prepared(folder, "dropbear", host_keys)
    paths = [server.keys.in_dropbear_format(path) for path in server.keys.host_keys("dropbear").values()]
    keys = [word for path in paths for word in ("-r", str(path))]
    with _running(server, program("dropbear"), "-F", "-E", "-p", f"{server.host}:{server.port}", *keys, *words):
        yield server


def at_home(folder: Path, *words: str) -> tuple[str, ...]:
    """The command line that runs a program with this home directory; its ``.ssh/config`` is made from ``folder/config``."""
    ssh = folder / ".ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    ssh.chmod(0o700)
    (folder / "passwd").write_text(f"root:x:0:0::{folder}:/bin/sh\n", encoding="ascii")
    return (program("unshare"), "--mount", "sh", "-c", AT_HOME, "sh", str(folder), *words)


def _prepared(folder: Path, kind: str, host_keys: Sequence[str]) -> Server:
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    home.chmod(0o700)
    (home / ".ssh").chmod(0o700)
    # OpenSSH wants a user to fall back to. In a user namespace there is no second one, nor a group that terminals belong to.
    users = ("root", "admin", "sshd")
    (folder / "passwd").write_text("".join(f"{name}:x:0:0::{home}:/bin/sh\n" for name in users), encoding="ascii")
    (folder / "shadow").write_text(f"root:*:1::::::\nsshd:*:1::::::\n{USER}:{HASHED}:19000::::::\n", encoding="ascii")
    (folder / "group").write_text("root:x:0:\n", encoding="ascii")
    keys = Keys(folder, host_keys)
    for path in (folder / "authorized_keys", home / ".ssh/authorized_keys"):
        path.write_text(keys.authorized, encoding="ascii")
        path.chmod(0o600)
    host = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    with socket.socket() as probe:
        probe.bind((host, 0))
        return Server(folder, host, probe.getsockname()[1], keys, kind)


@contextmanager
def _running(server: Server, *words: str) -> Iterator[None]:
    dies_with_us = (program("setpriv"), "--pdeathsig=KILL", "--")
    unshare = (*dies_with_us, program("unshare"), "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SERVE, "sh")
    process = start(*unshare, str(server.folder), *words)
    try:
        _wait_for(server, process)
        yield
    finally:
        process.kill()  # nothing less ends unshare
        end(process)


def _wait_for(server: Server, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    address = f"{int.from_bytes(socket.inet_aton(server.host), sys.byteorder):08X}:{server.port:04X}"
    while time.monotonic() < deadline and process.poll() is None:
        if any(address in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines()):
            return
        time.sleep(0.02)
    assert process.stdout
    raise RuntimeError(f"the SSH server does not listen\n{server.log() if (server.folder / 'log').exists() else process.stdout.read()}")
