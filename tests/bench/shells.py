"""What a report costs on routers with a real shell: over telnet, ssh_cli and ssh, against the floor of bench.py.

Each router is one of the lab's own (namespaces of this kernel; BusyBox's telnetd and ash, OpenSSH's sshd, three LAN hosts), so twenty
routers are twenty real firewalls. They run on the same cores as Ansible, and so do their logins, key exchanges included: on a
network they would not be there. All ways take turns with the floor in every round; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".cache" / "collections")]

import bench  # noqa: E402
from lab import privileges  # noqa: E402
from lab.network import Lab, lab  # noqa: E402
from lab.spec import PASSWORD  # noqa: E402

ROUNDS = {1: 7, 20: 5}
MULTIPLEXED = "-F none -C -o ControlMaster=auto -o ControlPersist="


@dataclass(frozen=True)
class Way:
    """``keep``: for how many seconds ssh keeps a connection, and whether the next run may still use it."""

    name: str
    server: str
    connection: str
    keep: tuple[int, bool] = (0, False)


WAYS = (
    Way("telnet", "telnet", "homenet.traffic.telnet"),
    Way("ssh_cli", "sshd", "homenet.traffic.ssh_cli"),
    Way("ssh, new", "sshd", "ansible.builtin.ssh", (1, False)),
    Way("ssh, kept", "sshd", "ansible.builtin.ssh", (600, True)),
)


@dataclass
class Shells:
    """Routers and a control node."""

    networks: Sequence[Lab]
    folder: Path
    fleets: dict[str, bench.Fleet] = field(default_factory=dict)

    def fleet(self, way: Way) -> bench.Fleet:
        """The inventory for a way in. The pid is of the process that passes on what is sent to the routers' ports: this one."""
        if way.name not in self.fleets:
            hosts = {f"r{number}": self._variables(network, way) for number, network in enumerate(self.networks)}
            inventory = self.folder / f"{way.name.replace(', ', '_')}.json"
            inventory.write_text(json.dumps({"routers": {"hosts": hosts}}), encoding="utf-8")
            self.fleets[way.name] = bench.Fleet(os.getpid(), self.folder, inventory)
        return self.fleets[way.name]

    def _variables(self, network: Lab, way: Way) -> dict[str, Any]:
        host, port = network.at(way.server)
        common = {"ansible_host": host, "ansible_port": port, "ansible_connection": way.connection, "ansible_user": "root"}
        if way.server == "telnet":
            return {**common, "ansible_password": PASSWORD}
        known = self.folder / "known_hosts"
        return {
            **common, "ansible_ssh_private_key_file": str(network.key), "ansible_ssh_cli_known_hosts_file": str(known),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes",
        }  # fmt: skip

    def report(self, way: Way) -> bench.Run:
        seconds, kept = way.keep
        sockets = self.folder / "kept" if kept else Path(tempfile.mkdtemp(dir=self.folder))
        settings = {"ANSIBLE_SSH_ARGS": f"{MULTIPLEXED}{seconds}", "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)}
        return bench.report(self.fleet(way), len(self.networks), **(settings if seconds else {}))


@contextmanager
def shells(count: int) -> Iterator[Shells]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hnt-"))  # short, for the sockets in it
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        networks = [
            stack.enter_context(lab(hosts=3, servers=("telnet", "sshd"), host_keys=("ed25519",))) for _number in range(count)
        ]
        (folder / "known_hosts").write_text("".join(network.known_hosts("sshd") for network in networks), encoding="ascii")
        (bench.PLACE / str(count)).mkdir(parents=True, exist_ok=True)
        yield Shells(networks, folder)


def measure(count: int, rounds: int) -> list[list[str]]:
    floors: list[bench.Run] = []
    reports: dict[Way, list[bench.Run]] = {way: [] for way in WAYS}
    with shells(count) as routers:
        bench.play(routers.fleet(WAYS[0]), ROOT / "playbooks/setup_traffic.yml")
        for network in routers.networks:
            network.stream(network.hosts[0], download=300_000, upload=2_000)
        for way in WAYS:  # connections to keep are opened, pages compiled
            routers.report(way)
        for number in range(rounds):
            turns = [*WAYS, None] if number % 2 else [None, *reversed(WAYS)]
            for way in turns:
                if way is None:
                    floors.append(bench.floor(routers.fleet(WAYS[0])))
                else:
                    reports[way].append(routers.report(way))
    return [row(count, way, floors, reports[way]) for way in WAYS]


def row(count: int, way: Way, floors: Sequence[bench.Run], reports: Sequence[bench.Run]) -> list[str]:
    pairs = list(zip(reports, floors, strict=True))
    ratios = [report.seconds / floor.seconds for report, floor in pairs]
    middle = [statistics.median(run.seconds for run in runs) for runs in (floors, reports)]
    cpu = statistics.median(report.cpu / floor.cpu for report, floor in pairs)
    return [
        f"{count}", way.name, f"{len(pairs)}", f"{middle[0]:.2f} s", f"{middle[1]:.2f} s", f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}", f"{cpu:.2f}",
    ]  # fmt: skip


HEAD = ["routers", "over", "rounds", "floor", "report", "ratio", "from to", "ratio of CPU"]
NOTES = f"""\
floor, report   median wall time of `raw: true` over local, and of playbooks/report.yml, same hosts, {bench.FORKS} forks
ratio           median of report / floor over the rounds; from to: the least and the most
ratio of CPU    the same with the CPU time of Ansible, its forks and the ssh that they wait for; not the routers'
ssh, new        ansible.builtin.ssh, each run with a login; kept: ControlPersist has the connection from the run before"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=list(ROUNDS), help="numbers of routers (1 20)")
    parser.add_argument("--rounds", type=int, help="how often each is run (7 and 5 times)")
    options = parser.parse_args()
    if why := privileges.missing():
        print(f"Reports from real shells: left out, {why}")
        return 0
    privileges.enter()
    bench.PLACE.mkdir(parents=True, exist_ok=True)
    print(f"Reports from real shells in the lab, {os.cpu_count()} cores", flush=True)
    rows = [HEAD]
    for size in options.sizes:
        rows += measure(size, options.rounds or ROUNDS.get(size, 3))
        print(f"{size} routers: done", flush=True)
    widths = [max(len(one[column]) for one in rows) for column in range(len(HEAD))]
    print("\n" + "\n".join("  ".join(map(str.rjust, one, widths)) for one in rows) + f"\n\n{NOTES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
