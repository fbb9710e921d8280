# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router's first process: gives it a file system, a process table and a name of its own, then waits for its end.

Started by box.py inside the router's network namespace. Reads its orders as JSON on standard input, and prints the process
id of the new process 1 (as the outside sees it) when the router is ready. This machine's files stand under ``/rom``
there; what a router writes to (/etc, /run, /tmp, /var) and its commands (/bin, /sbin) are its own.

A reboot or halt is a signal to process 1. It is written to ``/var/lab/reboots`` and nothing else happens: not to the router,
and above all not to this machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID = 0x20000, 0x4000000, 0x20000000
PR_SET_PDEATHSIG = 1
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "i686": 217, "ppc64le": 203, "s390x": 217}
OWN = ("bin", "sbin", "usr", "etc", "tmp", "run", "var", "dev", "proc", "sys", "rom", "lost+found")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
REBOOTS = {signal.SIGTERM: "reboot", signal.SIGUSR1: "halt", signal.SIGUSR2: "poweroff", signal.SIGINT: "ctrl-alt-del"}

LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, str(target), kind)]
    check(LIBC.mount(*words, ctypes.c_ulong(flags), data.encode() or None), f"mount {source} on {target}")


def bind(source: Path, target: Path) -> None:
    """What stands at ``source``, with all that is mounted below it."""
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
    mount(str(source), target, None, MS_BIND | MS_REC)


def build(root: Path, orders: dict[str, Any]) -> None:
    """The new root directory, before anybody lives in it."""
    mount("lab", root, "tmpfs", 0, "mode=0755")
    for entry in Path("/").iterdir():
        if entry.name not in OWN:
            bind(entry, root / entry.name)
    for name in ("usr/bin", "usr/sbin", "etc", "run", "var/lib/misc", "var/log", "var/empty", "var/lab/bin", "dev/pts", "proc", "rom"):
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp", "run/lock", "dev/shm"):
        (root / name).mkdir(parents=True)
        (root / name).chmod(0o1777)
    for link, target in (("bin", "usr/bin"), ("sbin", "usr/sbin"), ("var/run", "/run"), ("var/lock", "/run/lock")):
        (root / link).symlink_to(target)
    for entry in Path("/usr").iterdir():
        if entry.name not in ("bin", "sbin", "local"):
            bind(entry, root / "usr" / entry.name)
    bind(Path("/sys"), root / "sys")
    devices(root / "dev")
    settings(root, orders)
    commands(root, orders)
    for share in orders["shares"]:
        if not (root / share.lstrip("/")).exists():
            bind(Path(share), root / share.lstrip("/"))


def devices(folder: Path) -> None:
    for name in DEVICES:
        bind(Path("/dev") / name, folder / name)
    # Terminals of its own: in a user namespace, others belong to nobody.
    mount("devpts", folder / "pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for link, target in links.items():
        (folder / link).symlink_to(target)


def settings(root: Path, orders: dict[str, Any]) -> None:
    """Files of its own, and this machine's for whatever else programs look for in /etc."""
    for name, (mode, text) in orders["files"].items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    for entry in Path("/etc").iterdir():
        if entry.name not in orders["hidden"] and not (root / "etc" / entry.name).exists():
            (root / "etc" / entry.name).symlink_to(f"/rom/etc/{entry.name}")


def commands(root: Path, orders: dict[str, Any]) -> None:
    for name, target in orders["commands"].items():
        (root / name.lstrip("/")).symlink_to(f"/rom{target}")
    for name, source in orders["setuid"].items():
        path = root / name.lstrip("/")
        path.write_bytes(Path(source).read_bytes())
        path.chmod(0o4755)


def move_in(root: Path, hostname: str) -> None:
    mount("proc", root / "proc", "proc")
    os.chdir(root)
    LIBC.syscall.restype = ctypes.c_long
    check(LIBC.syscall(PIVOT_ROOT[os.uname().machine], b".", b"rom"), "pivot_root")
    os.chdir("/")
    check(LIBC.sethostname(hostname.encode(), len(hostname)), "sethostname")


def live() -> None:
    """As a process 1 has to: take the orphans' leave, and hear of reboots."""
    while True:
        number = signal.sigwait([signal.SIGCHLD, *REBOOTS])
        if number in REBOOTS:
            with open("/var/lab/reboots", "a", encoding="ascii") as file:
                file.write(REBOOTS[signal.Signals(number)] + "\n")
            continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


def main() -> int:
    orders = json.load(sys.stdin)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    check(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID), "unshare")
    mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
    ready, done = os.pipe()
    child = os.fork()
    if child:
        os.close(done)
        if os.read(ready, 1):
            print(child, flush=True)
        return os.waitpid(child, 0)[1]
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, *REBOOTS])
    root = Path(orders["root"])
    build(root, orders)
    move_in(root, orders["hostname"])
    os.write(done, b"!")
    live()
    return 0


if __name__ == "__main__":
    sys.exit(main())
