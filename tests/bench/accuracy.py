"""What is counted, against what really passed; and what a loop that sets counters to zero with each reading makes of the same flows.

Makes the table in docs/accuracy.md: ``python tests/bench/accuracy.py --write``. Each router of the lab (real kernel, real
firewall) has both at once: this collection's counting, read by its playbook ``report`` over telnet, and zero_on_read.py. The truth is
the lab's own (tests/lab/truth.py).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".cache" / "collections")]

import zero_on_read  # noqa: E402
from lab import privileges  # noqa: E402
from lab.flows import mixed  # noqa: E402
from lab.namespaces import inside, run  # noqa: E402
from lab.network import Lab, Passed, lab  # noqa: E402
from lab.ways import LabControl, telnet  # noqa: E402

PAGE = ROOT / "docs" / "accuracy.md"
BEGIN, END = "<!-- made by tests/bench/accuracy.py -->\n", "<!-- end -->\n"
WAYS = {"iptables-legacy": ("legacy", "iptables"), "iptables-nft": ("nft", "iptables"), "nftables": ("nft", "nftables")}
"""What ``iptables`` is in the router, and ``traffic_backend``."""
LOOP = str(ROOT / "tests/bench/zero_on_read.py")
FILE = "/tmp/usage.csv"
ROUNDS, KILLED, MEGABYTES = 5, 3, 40
READINGS = 100


@dataclass(frozen=True)
class Row:
    """Bytes, download and upload of all hosts together. ``wrong`` is the sum over all hosts of what ``report`` was off."""

    name: str
    passed: int
    wrong: int
    reports: int
    killed_lost: int
    killed_passed: int
    read_lost: int
    read_passed: int


class Loop:
    """zero_on_read.py in the router."""

    def __init__(self, network: Lab) -> None:
        self._network = network
        self._run("--install", *(host.ip for host in network.hosts))

    def _run(self, *options: str) -> None:
        self._network.box.run(sys.executable, "-I", LOOP, FILE, *options, timeout=120)

    def read(self, times: int = 1) -> None:
        self._run(f"--readings={times}", "--interval=0.02")

    def read_and_be_killed(self) -> None:
        before = self.total()
        words = self._network.in_router(sys.executable, "-I", LOOP, FILE, "--wait")
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            if process.stdout.readline() != "read\n":
                raise SystemExit("zero_on_read.py read nothing: a number would mean nothing.")
            process.kill()
            process.wait()  # before its input is closed, which would let it go on
        if self.total() != before:
            raise SystemExit("zero_on_read.py was killed too late: a number would mean nothing.")

    def total(self) -> int:
        return sum(map(sum, zero_on_read.load(self._network.path(FILE)).values()))


class Ours:
    """The collection, used by somebody who reports now and then."""

    def __init__(self, network: Lab, folder: Path, backend: str) -> None:
        self._control = LabControl(folder, network, telnet)
        self._network = network
        self._settings = {"traffic_backend": backend}
        self.reports = 0
        self._play("setup_traffic")

    def _play(self, name: str) -> None:
        done = self._control.play(name, **self._settings)
        if done.status:
            raise SystemExit(f"{name} failed: a number would mean nothing.\n{done.out}")

    def report(self) -> dict[str, Any]:
        self._play("report")
        self.reports += 1
        return self._control.report()

    def report_and_be_killed(self) -> None:
        """As soon as it is logged in. Its inventory is that of the run before."""
        folder = self._control.folder
        words = self._control.command(
            "ansible-playbook", "-i", str(folder / "inventory.json"), str(ROOT / "playbooks/report.yml")
        )
        settings = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg")}
        with subprocess.Popen(
            words, cwd=folder, env=settings, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            while not run(*inside(self._network.router, "ss", "-Htn", "state", "established", "sport = :23")):
                if process.poll() is not None:
                    raise SystemExit("report ended before it could be killed: a number would mean nothing.")
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)

    def wrong(self, truth: dict[str, Passed]) -> int:
        report = self.report()
        found = {host["ip"]: (host["download_bytes"], host["upload_bytes"]) for host in report["hosts"]}
        rest = report["unattributed"]
        off = [abs(one - other) for ip, passed in truth.items() for one, other in zip(found[ip], both(passed), strict=True)]
        return sum(off) + rest["download_bytes"] + rest["upload_bytes"]


def both(passed: Passed) -> tuple[int, int]:
    return passed.download_bytes, passed.upload_bytes


def total(truth: dict[str, Passed]) -> int:
    return sum(sum(both(passed)) for passed in truth.values())


def measure(name: str, folder: Path) -> Row:
    iptables, backend = WAYS[name]
    with lab(hosts=3, backend=iptables, servers=("telnet",)) as network:
        loop, ours = Loop(network), Ours(network, folder, backend)
        for number in range(1, ROUNDS + 1):
            network.flows(mixed(network.hosts, MEGABYTES))
            network.settle()
            if number == KILLED:
                loop.read_and_be_killed()
                ours.report_and_be_killed()
            else:
                loop.read()
                ours.report()
        first, kept = total(network.settle()), loop.total()
        with network.busy(mixed(network.hosts, MEGABYTES)):
            loop.read(READINGS)
            ours.report()
        truth = network.settle()
        loop.read()
        passed = total(truth)
        wrong = ours.wrong(truth)
        read_passed = passed - first
        return Row(name, passed, wrong, ours.reports, first - kept, first, read_passed - (loop.total() - kept), read_passed)


COUNTED = ["`homenet.traffic`", "bytes that passed (truth)", "bytes it was off", "reports in between"]
LOOPS = [
    "zero-on-read loop",
    f"lost, killed once in {ROUNDS} readings",
    f"lost in {READINGS} readings, never killed",
    "bytes a reading",
]


def tables(rows: list[Row]) -> str:
    counted = [[row.name, f"{row.passed:,}", f"{row.wrong:,}", f"{row.reports} complete, 1 killed"] for row in rows]
    loops = [
        [
            row.name,
            share(row.killed_lost, row.killed_passed),
            share(row.read_lost, row.read_passed),
            f"{row.read_lost / READINGS:,.0f}",
        ]
        for row in rows
        if WAYS[row.name][1] == "iptables"
    ]
    made_on = f"Linux {platform.release().partition('-')[0]}, iptables {run('iptables-nft', '-V').split()[1].removeprefix('v')}."
    return f"{markdown(COUNTED, counted)}\n{markdown(LOOPS, loops)}\n{made_on}\n"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def share(lost: int, passed: int) -> str:
    return f"{lost:,} of {passed:,} ({lost / passed:.2%})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put it into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if why := privileges.missing():
        raise SystemExit(why)
    privileges.enter()
    rows = []
    with tempfile.TemporaryDirectory(prefix="hnt-bench-") as folder:
        for name in WAYS:
            place = Path(folder, name)
            place.mkdir()
            rows.append(measure(name, place))
    made = tables(rows)
    print(made, end="")
    if options.write:
        text, times = re.subn(
            f"(?s){re.escape(BEGIN)}.*?{re.escape(END)}", lambda _found: BEGIN + made + END, PAGE.read_text("utf-8")
        )
        if times != 1:
            raise SystemExit(f"{PAGE} has no place for it.")
        PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
