"""What a report costs: `report` over telnet to emulated routers, against the cheapest playbook there is (the floor).

The floor is one task, `raw: true` over `local`, for the same hosts with the same forks. Both run in turns, so that what
else the machine does hits both; the ratio is the median over these pairs. The emulated routers run on the same cores, and
what they use up is shown: on a network they would not be there. Absolute times mean little on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import telnet_cost

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".cache" / "bench"
HERE = Path(__file__).resolve().parent
PAIRS = {1: 11, 100: 5, 1000: 3}
AIMS = {1: 1.3, 100: 2.0, 1000: 2.0}
FORKS = 20
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Fleet:
    """Emulated routers in a process of their own."""

    pid: int
    ready: Path
    inventory: Path

    def cpu_seconds(self) -> float:
        """Used so far; not known but on Linux."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Run:
    """One run of ansible-playbook: ``cpu`` is its own and its forks', ``router_cpu`` the emulator's meanwhile."""

    seconds: float
    cpu: float
    router_cpu: float


@contextmanager
def fleet(count: int) -> Iterator[Fleet]:
    place = PLACE / str(count)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    ready, inventory = place / "ready.json", place / "inventory.yml"
    command = [
        sys.executable, str(ROOT / "tests/router"), "--quiet", f"--routers={count}", "--hosts=15", "--prefix=r",
        f"--inventory={inventory}", f"--ready={ready}", "--for=3600",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The emulated routers did not start.")
            time.sleep(0.1)
        yield Fleet(process.pid, ready, inventory)
    finally:
        process.terminate()
        process.wait()


def play(routers: Fleet, playbook: Path, *options: str, **environment: str) -> Run:
    log = PLACE / f"{playbook.stem}.log"
    before = routers.cpu_seconds()
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["ansible-playbook", "-i", str(routers.inventory), "-f", str(FORKS), *options, str(playbook)],
            cwd=ROOT, env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg"), **environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        status, usage = os.wait4(process.pid, 0)[1:]
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        print(log.read_text(errors="replace")[-4000:])
        raise SystemExit(f"{playbook.name} failed: a number would mean nothing.")
    return Run(seconds, usage.ru_utime + usage.ru_stime, routers.cpu_seconds() - before)


def report(routers: Fleet, count: int, **environment: str) -> Run:
    reports = PLACE / str(count) / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    run = play(routers, ROOT / "playbooks/report.yml", "-e", json.dumps({"traffic_report_dir": str(reports)}), **environment)
    written = len({path.name for path in reports.glob("*.json")} - {"index.json"})
    if written != count:
        raise SystemExit(f"{written} reports were written for {count} routers: a number would mean nothing.")
    return run


def own_share(routers: Fleet, count: int) -> float:
    """The share of Ansible's CPU time that is spent in this collection and in what it calls."""
    samples = PLACE / str(count) / "samples"
    path = os.pathsep.join([str(HERE / "sampler"), os.environ.get("PYTHONPATH", "")])
    report(routers, count, SAMPLES=str(samples), PYTHONPATH=path)
    kinds = Counter(samples.read_text())
    return kinds["o"] / kinds.total()


def measure(count: int, pairs: int) -> list[str]:
    with fleet(count) as routers:
        setup = play(routers, ROOT / "playbooks/setup_traffic.yml")
        subprocess.run(
            [sys.executable, str(ROOT / "tests/router"), "control", "--ready", str(routers.ready), "evening"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        floors, reports = [], []
        for number in range(pairs):
            turns = [lambda: floors.append(floor(routers)), lambda: reports.append(report(routers, count))]
            for turn in turns if number % 2 else reversed(turns):
                turn()
        share = own_share(routers, count)
    ratio = statistics.median(r.seconds / f.seconds for r, f in zip(reports, floors, strict=True))
    middle = {
        "floor": statistics.median(run.seconds for run in floors),
        "report": statistics.median(run.seconds for run in reports),
        "cpu": statistics.median(run.cpu for run in reports) / statistics.median(run.cpu for run in floors),
        "router": statistics.median(run.router_cpu for run in reports),
    }
    aim = AIMS.get(count)
    return [
        f"{count}", f"{pairs}", f"{middle['floor']:.2f} s", f"{middle['report']:.2f} s", f"{ratio:.2f}",
        f"{aim:.1f}{'' if ratio <= aim else '  MISSED'}" if aim else "", f"{middle['cpu']:.2f}", f"{share:.0%}",
        f"{middle['router']:.2f} s", f"{setup.seconds:.2f} s",
    ]  # fmt: skip


def floor(routers: Fleet) -> Run:
    return play(routers, HERE / "floor.yml", "-e", "ansible_connection=local")


HEAD = (
    "routers", "pairs", "floor", "report", "ratio", "at most", "ratio of CPU", "ours of CPU", "emulator's CPU", "first set-up"
)  # fmt: skip
NOTES = """\
floor, report   median wall time of `raw: true` over local, and of playbooks/report.yml over telnet, same hosts, {forks} forks
ratio           median of report / floor over the pairs; at most: what the project aims at
ratio of CPU    the same with the CPU time of Ansible and all its forks
ours of CPU     share of the report's CPU time (sampled) in which code of this collection runs or waits for what it called
emulator's CPU  used by the emulated routers during a report, on the same cores: on a network it would not be there
first set-up    one run of playbooks/setup_traffic.yml, for 15 hosts on each router"""


def table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [list(HEAD), *rows]) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [list(HEAD), *rows])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=list(PAIRS), help="numbers of routers (1 100 1000)")
    parser.add_argument("--pairs", type=int, help="how often each is run (11, 5 and 3 times)")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < 4096:  # a socket for each router
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if hard < 0 else min(4096, hard), hard))
    version = subprocess.run(["ansible-playbook", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    print(f"{version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores\n", flush=True)
    rows = []
    for size in options.sizes:
        rows.append(measure(size, options.pairs or PAIRS.get(size, 3)))
        print(f"{size} routers: done", flush=True)
    print(f"\n{table(rows)}\n\n{NOTES.format(forks=FORKS)}\n\nA telnet command on loopback, against BusyBox's telnetd:")
    for how, milliseconds in telnet_cost.measure():
        print(f"  {how:30} {milliseconds:7.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
