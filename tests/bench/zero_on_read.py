"""How scripts on routers commonly keep their numbers: read the counters and set them to zero, then add them to a file. For comparison.

This is the method of wrtbwmon and its relatives in its simplest form, written anew for accuracy.py. A chain in ``mangle`` has two
rules for each host, one by its source and one by its destination. Each reading is ``iptables -t mangle -nvxL CHAIN -Z``; what it
printed is added to the file, which is written anew under another name and then renamed, so that the file itself is always whole.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

CHAIN = "PEER"
Usage = dict[str, tuple[int, int]]
"""Download and upload of each address."""


def iptables(*words: str) -> str:
    return subprocess.run(["iptables", "-t", "mangle", *words], capture_output=True, text=True, check=True).stdout


def install(hosts: list[str]) -> None:
    iptables("-N", CHAIN)
    for host in hosts:
        iptables("-A", CHAIN, "-d", host, "-j", "RETURN")
        iptables("-A", CHAIN, "-s", host, "-j", "RETURN")
    iptables("-I", "FORWARD", "-j", CHAIN)


def read_and_zero() -> Usage:
    found: Usage = {}
    for line in iptables("-nvxL", CHAIN, "-Z").splitlines():
        fields = line.split()
        if len(fields) < 9 or fields[2] != "RETURN":
            continue
        size, source, destination = int(fields[1]), *fields[7:9]
        host, more = (destination, (size, 0)) if source == "0.0.0.0/0" else (source, (0, size))
        found[host] = add(found.get(host, (0, 0)), more)
    return found


def add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def load(path: Path) -> Usage:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {host: (int(down), int(up)) for host, down, up in csv.reader(file)}


def write(path: Path, usage: Usage) -> None:
    new = path.with_suffix(".new")
    with new.open("w", newline="") as file:
        csv.writer(file).writerows((host, *both) for host, both in usage.items())
    os.replace(new, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--install", nargs="+", metavar="HOST", default=[], help="install the rules first")
    parser.add_argument("--readings", type=int, default=1)
    parser.add_argument("--interval", type=float, default=60, help="seconds between readings")
    parser.add_argument(
        "--wait", action="store_true", help="say 'read' after a reading, and wait for a line before the file is written"
    )
    options = parser.parse_args()
    if options.install:
        install(options.install)
    for number in range(options.readings):
        if number:
            time.sleep(options.interval)
        found = read_and_zero()
        if options.wait:
            print("read", flush=True)
            sys.stdin.readline()
        usage = load(options.file)
        write(options.file, {**usage, **{host: add(usage.get(host, (0, 0)), both) for host, both in found.items()}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
