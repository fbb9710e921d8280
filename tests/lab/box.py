# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router as a machine: a file system, users, commands and a process table of its own around its network namespace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .namespaces import end, inside, program, run, start
from .spec import LabSpec

ROOT = Path(__file__).resolve().parents[2]
INIT = Path(__file__).with_name("init.py")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = "/var/lab/bin"
HOME = "/tmp/home/root"
KEEPER = 1000
# Of PASSWORD in spec.py.
HASHED = "$6$homenetlab$fXxBw9Wwq2noKf5/tUORGV/P0zIfxNqhYWQEdwb882f9d7D.Vgil.SVzu9gZ3llGRblYGgq76TlYh56cyBscg/"

XTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
REAL = ("ip", "nft", "ipset", "dash", "bash", "flock", "dropbear", "sshd", "dnsmasq", "scp")
"""Commands of this machine that the router has, where they are installed; all others are BusyBox's."""
HIDDEN = ("ethers", "securetty", "motd", "nologin", "profile.d", "resolv.conf", "ssh", "dropbear", "dnsmasq.conf", "dnsmasq.d")
"""Files in /etc that would say something about this machine."""


class Box:
    """The running router. Made by :func:`box`."""

    def __init__(self, namespace: str, pid: int) -> None:
        self.namespace = namespace
        self._pid = pid
        self._servers: list[subprocess.Popen[str]] = []

    def command(self, *words: str, folder: str | Path = "/", path: str = PATH) -> tuple[str, ...]:
        """The command line, for this machine, that runs ``words`` inside; ended when that is ended."""
        enter = (program("nsenter"), f"--target={self._pid}", "--mount", "--uts", "--net", "--pid", "--")
        dies_with_it = ("/rom" + program("setpriv"), "--pdeathsig=KILL", "--")
        # Last on the path: what belongs to the Python that runs the tests, such as ansible-playbook.
        paths = f"PATH={path}:{Path(sys.executable).parent}"
        return (*enter, *dies_with_it, "/rom" + program("env"), "-C", str(folder), paths, *words)

    def run(self, *words: str, timeout: float = 20.0, stdin: str | None = None) -> str:
        return run(*self.command(*words), timeout=timeout, stdin=stdin)

    def tool(self, *words: str, stdin: str | None = None) -> str:
        """The same for the lab's own needs: all of iptables is there, whatever the router is without."""
        return run(*self.command(*words, path=f"{TOOLS}:{PATH}"), stdin=stdin)

    def serve(self, *words: str) -> None:
        """Start a server, with nothing of this machine's environment. It ends with the router."""
        self._servers.append(start(*self.command("env", "-i", f"PATH={PATH}", f"HOME={HOME}", "TERM=vt100", *words)))

    def end(self) -> None:
        """End process 1, and with it the kernel ends everything else inside."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        for process in self._servers:
            # The one that started it has to take its leave; ended itself, it would leave that to somebody who is slower.
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            end(process)

    def path(self, name: str) -> Path:
        """Where a file of the router can be read and written from here. Mind links: an absolute one leads out."""
        return Path(f"/proc/{self._pid}/root") / name.lstrip("/")

    def share(self, folder: Path) -> None:
        """Let a folder of this machine be seen inside, under the same path."""
        name = str(folder)
        if not self.path(name).exists():
            self.run("sh", "-c", 'mkdir -p "$1" && mount -o bind "/rom$1" "$1"', "sh", name)


@contextmanager
def box(namespace: str, spec: LabSpec, folder: Path) -> Iterator[Box]:
    """A router without servers yet."""
    root = folder / "root"
    root.mkdir()
    process = subprocess.Popen(
        inside(namespace, sys.executable, "-I", str(INIT)), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd="/",
    )  # fmt: skip
    try:
        pid = _first_process(process, _orders(spec, root))
        made = Box(namespace, pid)
        try:
            yield made
        finally:
            made.end()
            process.wait(10)
    finally:
        process.kill()
        process.communicate()


def _first_process(process: subprocess.Popen[str], orders: dict[str, object]) -> int:
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(json.dumps(orders))
    process.stdin.close()
    process.stdin = None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the router did not start:\n{process.stderr.read()}")
    return int(line)


def _orders(spec: LabSpec, root: Path) -> dict[str, object]:
    shares = {str(ROOT), sys.prefix, sys.base_prefix}
    return {
        "root": str(root), "hostname": spec.hostname, "files": _files(spec), "hidden": HIDDEN, "shares": sorted(shares),
        "commands": _commands(spec), "setuid": {"/usr/bin/su": program("busybox")},
    }  # fmt: skip


def _commands(spec: LabSpec) -> dict[str, str]:
    """Where each command of the router is on this machine, past all links, for those might lead to the router's own."""
    busybox = os.path.realpath(program("busybox"))
    names = run(busybox, "--list").split()
    found = {name: busybox for name in (*names, "busybox") if name not in ("bash", "su")}
    for name in REAL:
        try:
            found[name] = os.path.realpath(program(name))
        except FileNotFoundError:
            continue
    xtables = os.path.realpath(program(f"iptables-{spec.backend}"))
    found.update(dict.fromkeys(XTABLES, xtables))
    python = Path(os.path.realpath(sys.executable))
    if python.parent == Path("/usr/bin"):  # what a virtual environment's Python is a link to
        found[python.name] = str(python)
    system = {"sshd", "dropbear", "dnsmasq", *XTABLES}
    there = {f"/usr/{'sbin' if name in system else 'bin'}/{name}": target for name, target in found.items() if name not in spec.without}
    tools = {"sh": busybox, **dict.fromkeys(XTABLES, xtables), **({"ipset": found["ipset"]} if "ipset" in found else {})}
    return {**there, **{f"{TOOLS}/{name}": target for name, target in tools.items()}}


def _files(spec: LabSpec) -> dict[str, tuple[int, str]]:
    """Their modes and texts."""
    # Keeper's shell is dash, because BusyBox's would run its own su, which has not the rights.
    users = (("root", 0, f"/bin/{spec.shell}", HOME), ("keeper", KEEPER, "/bin/dash", "/tmp/home/keeper"))
    # OpenSSH wants a user to fall back to. In a user namespace there is no second one, and nothing depends on it here.
    passwd = [f"{name}:x:{number}:{number}::{home}:{shell}" for name, number, shell, home in users]
    passwd += ["sshd:x:0:0::/run/sshd:/bin/false", "nobody:x:65534:65534::/:/bin/false"]
    shadow = [f"{name}:{HASHED}:19000:0:99999:7:::" for name, *_rest in users]
    texts = {
        "/etc/passwd": passwd,
        "/etc/group": ["root:x:0:", f"keeper:x:{KEEPER}:", "nogroup:x:65534:"],
        "/etc/shells": ["/bin/dash", f"/bin/{spec.shell}"],
        "/etc/hostname": [spec.hostname],
        "/etc/hosts": ["127.0.0.1 localhost", f"127.0.1.1 {spec.hostname}"],
        "/etc/profile": _profile(spec),
    }
    files = {name: (0o644, "".join(f"{line}\n" for line in lines)) for name, lines in texts.items()}
    files["/etc/shadow"] = (0o600, "".join(f"{line}\n" for line in shadow))
    return {**files, **{name: (0o644, text) for name, text in spec.files.items()}}


def _profile(spec: LabSpec) -> Sequence[str]:
    prompt = spec.prompt or ("\\u@\\h:\\w\\$ " if spec.shell == "ash" else "")
    lines = [f"export PATH={PATH}"]
    return [*lines, f"PS1='{prompt}'"] if prompt else lines
