# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab to play with: ``make lab``, or ``python tests/lab --help``.

``python tests/lab control FILE COMMAND...`` says a command to one that was started with ``--control FILE``, from another process.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT / "tests")  # and not this folder, whose modules have everyday names

from lab import privileges  # noqa: E402
from lab.firewall import WAYS  # noqa: E402
from lab.flows import mixed  # noqa: E402
from lab.network import Lab, LabSpec, Passed, lab  # noqa: E402
from lab.remote import ask, listen  # noqa: E402
from lab.spec import BACKENDS, PASSWORD, SHELLS, WANS  # noqa: E402

SERVERS = ("telnet", "broadcom", "dropbear", "sshd", "dnsmasq")
KNOWN_HOSTS = "known_hosts.txt"  # an ending that is not an inventory's, for the folder can be one
HELP = f"""Type here:
  traffic [MB]      all hosts use the link (200)
  truth             what passed, from the lab's own counters
  host              one more host
  name N NAME       host N asks for a lease under this name
  reload [WAY]      the firmware's firewall again: {", ".join(WAYS)}
  firewall          all rules of the router
  Ctrl-C            end"""


def main() -> int:
    if sys.argv[1:2] == ["control"]:
        return _control(*sys.argv[2:])
    options = vars(_parser().parse_args())
    folder, control, pid_file, seconds = (options.pop(name) for name in ("folder", "control", "pid_file", "seconds"))
    if why := privileges.missing():
        print(why, file=sys.stderr)
        return 1
    privileges.enter()
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_signal: sys.exit(0))
    signal.alarm(seconds)
    spec = LabSpec(servers=SERVERS, **options)
    try:
        with _pid(pid_file), _only_one(folder.resolve()), lab(spec) as network, _inventory(network, folder.resolve()):
            _tell(network, folder.resolve())
            if control:
                listen(control, lambda words: _do(network, *words))
            else:
                _talk(network)
    except KeyboardInterrupt:
        print()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python tests/lab", description="A router with a real kernel, and hosts behind it.")
    parser.add_argument("--hosts", type=int, default=3, metavar="N", help="behind the router (3)")
    parser.add_argument("--wan", choices=WANS, default="ppp0")
    parser.add_argument("--backend", choices=BACKENDS, default="legacy", help="what iptables is (legacy)")
    parser.add_argument("--shell", choices=SHELLS, default="ash", help="of root (ash)")
    parser.add_argument("--ipv6", action="store_true", help="dual stack")
    where = ROOT / ".cache" / "lab"
    parser.add_argument("--folder", type=Path, default=where, help="for the inventory; made, and removed at the end (.cache/lab)")
    parser.add_argument("--control", type=Path, metavar="FILE", help="written when all is ready; see `control`")
    parser.add_argument("--pid-file", type=Path, metavar="FILE", help="there until nothing is left of the lab")
    parser.add_argument("--for", dest="seconds", type=int, default=0, metavar="SECONDS", help="end after this time")
    return parser


@contextmanager
def _pid(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    file.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two labs must not write the same inventory, nor one of them remove the other's."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"A lab with the folder {folder} runs already. End it, or give this one another: make lab OPTIONS='--folder /tmp/lab2'")
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _inventory(network: Lab, folder: Path) -> Iterator[None]:
    """The same router under a name for every way in."""
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / KNOWN_HOSTS
    known.write_text("".join(network.known_hosts(server) for server in ("dropbear", "sshd")), encoding="ascii")
    ssh = {
        "ansible_connection": "ansible.builtin.ssh", "ansible_user": "root", "ansible_ssh_private_key_file": str(network.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known}",
    }  # fmt: skip
    telnet = {"ansible_connection": "homenet.traffic.telnet", "ansible_password": PASSWORD}
    ways: dict[str, dict[str, Any]] = {
        "telnet": {**telnet, "ansible_user": "root"}, "broadcom": {**telnet, "ansible_user": "admin"}, "dropbear": ssh, "sshd": ssh,
    }  # fmt: skip
    hosts = {}
    for server, variables in ways.items():
        host, port = network.at(server)
        hosts[server] = {"ansible_host": host, "ansible_port": port, **variables}
    (folder / "inventory.json").write_text(json.dumps({"routers": {"hosts": hosts}}, indent=1) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        shutil.rmtree(folder)


def _tell(network: Lab, folder: Path) -> None:
    spec = network.spec
    print(f"A router runs here: {spec.wan}, iptables-{spec.backend}, {len(network.hosts)} hosts behind it. All passwords: {PASSWORD}")
    for server, user in (("telnet", "root"), ("broadcom", "admin")):
        host, port = network.at(server)
        print(f"  {server:10} telnet {host} {port}      user {user}")
    for server in ("dropbear", "sshd"):
        host, port = network.at(server)
        print(f"  {server:10} ssh -i {network.key} -o UserKnownHostsFile={folder / KNOWN_HOSTS} -p {port} root@{host}")
    if not privileges.single_user():
        print(f"  inside     {shlex.join(network.in_router('sh'))}")
    print("Inventory, with a name for each of them:")
    print(f"  ansible-playbook -i {folder / 'inventory.json'} --limit telnet playbooks/hosts.yml")
    print(HELP, flush=True)


def _talk(network: Lab) -> None:
    """Until Ctrl-C; without a keyboard nobody types."""
    for line in iter(sys.stdin.readline, ""):
        try:
            _show(_do(network, *line.split()))
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            print(f"{error}\n{HELP}", flush=True)
    threading.Event().wait()


def _control(file: str, *words: str) -> int:
    """A command for the lab of that file; the answer as JSON."""
    answer = ask(Path(file), words)
    if isinstance(answer, Exception):
        print(answer, file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


def _do(network: Lab, command: str = "", *words: str) -> Any:
    """The answer is what passed up to now, by address, or text."""
    if command == "traffic":
        network.flows(mixed(network.hosts, int(words[0]) if words else 200))
    elif command == "host":
        return network.add_host().ip
    elif command == "name":
        network.lease(network.hosts[int(words[0]) - 1], os.fsencode(" ".join(words[1:])))
    elif command == "reload":
        network.reload_firewall(*words)
    elif command == "firewall":
        return "".join(network.foreign_firewall("/", table=table) for table in ("filter", "mangle", "nat"))
    elif command not in ("truth", ""):
        raise ValueError(f"{command}: no such command")
    if command not in ("traffic", "truth"):
        return ""
    network.settle()
    return {address: asdict(passed) for address, passed in network.everything().addresses.items()}


def _show(answer: str | dict[str, dict[str, int]]) -> None:
    if isinstance(answer, str):
        print(answer, flush=True)
        return
    for address, counted in answer.items():
        passed = Passed(**counted)
        print(f"  {address:20} down {passed.download_bytes:>13,} bytes   up {passed.upload_bytes:>13,} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
