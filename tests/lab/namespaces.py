# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces with unique names, and programs inside them. Everything ends by itself or is ended by pid."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SYSTEM_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
IPTABLES = shutil.which("iptables-legacy", path=SYSTEM_PATH) or "iptables-legacy"
NETNS = Path("/run/netns")
RUNS = Path("/run/homenet-traffic-lab")  # a file for each run that has namespaces, locked as long as its process lives


def program(name: str) -> str:
    """The absolute path of a program of this machine."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if not found:
        raise FileNotFoundError(f"{name} is not installed here: see tests/system-packages.txt")
    return os.path.abspath(found)


def run(*words: str, timeout: float = 20.0, stdin: str | None = None) -> str:
    """Run to its end; what it printed. Fails loudly."""
    done = subprocess.run(
        words, input=stdin, text=True, capture_output=True, timeout=timeout, env={**os.environ, "PATH": SYSTEM_PATH}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def inside(namespace: str, *words: str) -> tuple[str, ...]:
    """The command line that runs ``words`` in a namespace."""
    return ("ip", "netns", "exec", namespace, *words)


def start(*words: str) -> subprocess.Popen[str]:
    """In the background, until ``end``."""
    return subprocess.Popen(
        words, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": SYSTEM_PATH},
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> None:
    """``ip netns exec`` replaces itself by the program, so the pid is the program's own."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    if process.stdout:
        process.stdout.close()


@contextmanager
def namespaces(*roles: str) -> Iterator[tuple[str, ...]]:
    """One namespace for each role, removed at the end with all that is in it; and by a later run where this one was killed."""
    remove_orphans()
    run_id = uuid.uuid4().hex[:6]
    names = tuple(f"hnt{run_id}-{role}" for role in roles)
    made: list[str] = []
    with _alive(run_id):
        try:
            for name in names:
                add(name)
                made.append(name)
            yield names
        finally:
            for name in made:
                remove(name)


@contextmanager
def _alive(run_id: str) -> Iterator[None]:
    """Show others that this run is not over. The kernel gives the lock back, however the process ends."""
    RUNS.mkdir(exist_ok=True)
    with (RUNS / run_id).open("x") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            (RUNS / run_id).unlink(missing_ok=True)


def remove_orphans() -> None:
    """What runs left that were killed. Only where a run's own file says so; a name alone is no proof."""
    for file in RUNS.iterdir() if RUNS.exists() else ():
        if not re.fullmatch("[0-9a-f]{6}", file.name):
            continue
        with suppress(FileNotFoundError), file.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # it lives
            for left in NETNS.glob(f"hnt{file.name}-*"):
                with suppress(RuntimeError):  # another run does the same
                    remove(left.name)
            file.unlink()


def add(name: str) -> None:
    """As ``ip netns add``, which in a user namespace cannot go back to where it came from."""
    NETNS.mkdir(exist_ok=True)
    (NETNS / name).touch(exist_ok=False)
    try:
        run("unshare", f"--net={NETNS / name}", "true")
        run("ip", "-n", name, "link", "set", "lo", "up")
    except RuntimeError:
        run("ip", "netns", "delete", name)
        raise


def remove(name: str) -> None:
    """First what still runs inside: a process would keep the namespace alive without a name."""
    pids: Sequence[str] = run("ip", "netns", "pids", name).split()
    for pid in pids:
        try:
            os.kill(int(pid), 9)
        except ProcessLookupError:
            continue
    run("ip", "netns", "delete", name)
