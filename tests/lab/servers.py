# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one can log in to on the router: real telnetd, dropbear and sshd. Each runs until the lab ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from . import dhcp
from .box import HOME, KEEPER, Box
from .keys import Keys
from .privileges import single_user
from .sockets import wait_for_listener
from .spec import LabSpec

ROUTER_PROGRAM = Path(__file__).resolve().parents[1] / "router"
FAULTS, TRANSCRIPT = "/var/lab/faults", "/var/lab/transcript"


def start(router: Box, spec: LabSpec, keys: Keys | None) -> None:
    """Those that the spec names; they listen afterwards."""
    _homes(router, keys)
    for server in spec.servers:
        router.serve(*_command(server, router, spec, keys))
    for server in set(spec.servers) - {"dnsmasq", "udhcpd"}:
        wait_for_listener(router.namespace, spec.port(server))


def _command(server: str, router: Box, spec: LabSpec, keys: Keys | None) -> Sequence[str]:
    if server == "telnet":
        return _telnetd(router, spec.port(server), "/bin/login")
    if server == "broadcom":
        _broadcom_login(router, spec)
        return _telnetd(router, spec.port(server), "/var/lab/broadcom")
    if server in ("dnsmasq", "udhcpd"):
        return dhcp.server(server, router, spec)
    assert keys
    return _dropbear(router, spec, keys) if server == "dropbear" else _sshd(router, spec, keys)


def _homes(router: Box, keys: Keys | None) -> None:
    for home in (HOME, "/tmp/home/keeper"):
        ssh = router.path(f"{home}/.ssh")
        ssh.mkdir(parents=True)
        ssh.chmod(0o700)
        ssh.parent.chmod(0o700)
        if keys:
            (ssh / "authorized_keys").write_text(keys.authorized, encoding="ascii")
            (ssh / "authorized_keys").chmod(0o600)
    if not single_user():
        router.run("chown", "-R", f"{KEEPER}:{KEEPER}", "/tmp/home/keeper")


def _telnetd(router: Box, port: int, login: str) -> tuple[str, ...]:
    router.path("/var/lab/issue").touch()
    return ("busybox", "telnetd", "-F", "-K", "-p", str(port), "-f", "/var/lab/issue", "-l", login)


def _broadcom_login(router: Box, spec: LabSpec) -> None:
    words = [
        sys.executable, "-I", str(ROUTER_PROGRAM), "login", "--leases", spec.lease_file, "--iptables", "iptables",
        "--faults", FAULTS, "--transcript", TRANSCRIPT,
    ]  # fmt: skip
    # telnetd runs one program, without arguments.
    path = router.path("/var/lab/broadcom")
    path.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n", encoding="utf-8")
    path.chmod(0o755)


def _dropbear(router: Box, spec: LabSpec, keys: Keys) -> list[str]:
    folder = router.path("/etc/dropbear")
    folder.mkdir(exist_ok=True)
    words = ["dropbear", "-F", "-E", "-p", str(spec.port("dropbear"))]
    for kind, path in keys.host_keys("dropbear").items():
        (folder / kind).write_bytes(keys.in_dropbear_format(path).read_bytes())
        (folder / kind).chmod(0o600)
        words += ["-r", f"/etc/dropbear/{kind}"]
    return words


def _sshd(router: Box, spec: LabSpec, keys: Keys) -> list[str]:
    folder = router.path("/etc/ssh")
    folder.mkdir(exist_ok=True)
    router.path("/run/sshd").mkdir(mode=0o755)
    router.path("/var/log/lastlog").touch()
    lines = [*spec.sshd_options]
    for kind, path in keys.host_keys("sshd").items():
        (folder / kind).write_bytes(path.read_bytes())
        (folder / kind).chmod(0o600)
        lines.append(f"HostKey /etc/ssh/{kind}")
    lines += [
        f"Port {spec.port('sshd')}", "ListenAddress 0.0.0.0", "UsePAM no", "PermitRootLogin yes", "PidFile none", "UseDNS no",
        "PrintMotd no", "PrintLastLog no", "MaxStartups 100", "MaxSessions 100", "Subsystem sftp internal-sftp",
    ]  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"]
