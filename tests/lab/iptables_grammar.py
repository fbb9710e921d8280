# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random iptables command lines: whole ones in any order of options, cut ones, and wrong ones."""

from __future__ import annotations

import random
import shlex

CHAINS = ["TRAFFIC", "TRAFFIC", "TRAFFIC", "FORWARD", "FORWARD", "INPUT", "OUTPUT", "parental", "A", "nope"]
INTERFACES = ["ppp0", "br0", "eth0", "ppp+", "+", "ppp_0_8_35_1"]
ADDRESSES = [
    "192.168.1.2", "192.168.1.3", "192.168.1.44", "10.2", "192.168.1.0/24", "10.0.0.0/255.0.0.0", "0/0", "1.2.3.4/0",
    "1.2.3.4/255.0.255.0", "192.168.1.2,192.168.1.3", "127.81.4.9", "010.0x10.3", "192.168.1.300", "0.0.0.0", "0.0.0.0/0",
]  # fmt: skip
TARGETS = ["RETURN", "RETURN", "ACCEPT", "DROP", "TRAFFIC", "parental", "A", "LOG", "REJECT", "FORWARD", "NOPE", "RETUR"]
PROTOCOLS = ["tcp", "udp", "icmp", "6", "0", "all", "TCP", "47", "sctp"]
EXTRAS = [
    "-m state --state RELATED,ESTABLISHED", "-m conntrack --ctstate NEW", "-m state ! --state INVALID",
    "-p tcp --dport 80", "-p tcp -m tcp --sport 1024:65535 --syn", "-p udp ! --dport 53", "-p tcp --tcp-flags SYN,RST SYN",
    "-m limit --limit 6/hour", "-m limit --limit 3/second --limit-burst 9", "-p icmp --icmp-type echo-request", "-f",
    "! -f", "-v", "-n", "-x", "--line-numbers", "-m tcp --dport 4",
]  # fmt: skip
LISTS = [
    "-L", "-L TRAFFIC", "-nvxL", "-vxL", "-nvL", "-vL", "-nL TRAFFIC --line-numbers", "-L -n -v -x", "-L FORWARD 1 -v",
    "--list TRAFFIC --numeric --exact --verbose", "-nvxLTRAFFIC", "-L nope", "-t mangle -nvxL", "-t nope -L", "-S", "-S TRAFFIC -v",
    "-S FORWARD 1", "-vxn -L TRAFFIC --line",
]  # fmt: skip
OTHERS = [
    "-F", "-F TRAFFIC", "-F parental", "-X", "-X TRAFFIC", "-X A", "-N TRAFFIC", "-N parental", "-N A", "-Z", "-Z TRAFFIC",
    "-Z TRAFFIC 1", "-L TRAFFIC -Z", "-P FORWARD DROP", "-P FORWARD ACCEPT", "-P TRAFFIC DROP", "-P FORWARD", "-E A B", "-E B A",
    "-D TRAFFIC", "-D TRAFFIC 1", "-D TRAFFIC 99", "-I TRAFFIC", "-I TRAFFIC 2", "-I TRAFFIC 0", "-A TRAFFIC", "-X FORWARD",
    "-v -F", "-v -X", "-R TRAFFIC 1 -j RETURN", "-A", "-D", "", "foo", "-A TRAFFIC foo", "-q", "-nqL", "--nope", "-N -x",
    "-I FORWARD -j TRAFFIC", "-I FORWARD 1 -j TRAFFIC", "-D FORWARD -j TRAFFIC", "-t mangle -A FORWARD -j REJECT", "! -F", "-C TRAFFIC",
    "-A TRAFFIC -A A", "-F TRAFFIC A", "-t mangle -N TRAFFIC", "-t mangle -I FORWARD -j TRAFFIC", "-N LOG", "-- -F", "-F -- TRAFFIC",
]  # fmt: skip


def rule_options(rng: random.Random) -> list[str]:
    """Groups of words; each group must stay together, their order is free."""
    groups = []
    if rng.random() < 0.6:
        groups.append(f"-i {rng.choice(INTERFACES)}")
    if rng.random() < 0.4:
        groups.append(f"-o {rng.choice(INTERFACES)}")
    if rng.random() < 0.5:
        groups.append(f"-d {rng.choice(ADDRESSES)}")
    if rng.random() < 0.4:
        groups.append(f"-s {rng.choice(ADDRESSES)}")
    if rng.random() < 0.15:
        groups.append(f"-p {rng.choice(PROTOCOLS)}")
    if rng.random() < 0.2:
        groups.append(rng.choice(EXTRAS))
    if rng.random() < 0.6:
        groups.append(f"{rng.choice(['-j', '-j', '-j', '-g', '--jump'])} {rng.choice(TARGETS)}")
    return [f"! {group}" if rng.random() < 0.1 else group for group in groups]


def rule_command(rng: random.Random) -> str:
    action = rng.choice("AAAAIIIDDR" + "C")
    head = f"-{action} {rng.choice(CHAINS)}"
    if action == "R" or (action == "I" and rng.random() < 0.5):
        head += f" {rng.randrange(1, 6)}"
    groups = rule_options(rng)
    if action in "AI" and rng.random() < 0.3:
        groups.append(f"-c {rng.randrange(10**6)} {rng.randrange(10 ** rng.randrange(1, 17))}")
    if rng.random() < 0.1:
        groups.append("-t mangle")
    # Options first is as good as the command first; a cut then leaves something quite different.
    groups.insert(rng.choice([0, 0, len(groups), rng.randint(0, len(groups))]), head)
    return " ".join(groups)


def command(rng: random.Random) -> list[str]:
    dice = rng.random()
    if dice < 0.65:
        text = rule_command(rng)
    elif dice < 0.77:
        text = rng.choice(LISTS)
    else:
        text = rng.choice(OTHERS)
    if rng.random() < 0.25:
        text = text[: rng.randint(0, len(text))]
    return shlex.split(text)


def commands(seed: int, count: int) -> list[list[str]]:
    rng = random.Random(seed)
    start = ["-N TRAFFIC", "-N parental", "-N A", "-A parental -j RETURN", "-A FORWARD -j parental", "-I FORWARD -j TRAFFIC"]
    return [line.split() for line in start] + [command(rng) for number in range(count)]
