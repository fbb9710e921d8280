# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule engine of the emulated router against this machine's iptables: same commands, same answers, same tables."""

from __future__ import annotations

import json
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.iptables_grammar import commands
from lab.namespaces import IPTABLES, inside, namespaces, run
from router.firewall import LEGACY_1_8_9, Dialect, Firewall, Result
from router.firewall import run as emulate

RUNNER = str(Path(__file__).with_name("run_iptables.py"))
STATE = [["-nvxL", "--line-numbers"], ["-S"], ["-t", "mangle", "-nvxL"]]
COUNT = 250


def real_answers(lines: list[list[str]]) -> list[tuple[str, str, int]]:
    with namespaces("diff") as (name,):
        text = run(*inside(name, sys.executable, RUNNER, IPTABLES), stdin=json.dumps(lines), timeout=120)
    return [tuple(answer) for answer in json.loads(text)]


def version() -> str:
    return run(IPTABLES, "-V").split("v", 1)[1].strip()


def as_1_4_words(text: str) -> str:
    """1.8 says some things in other words than 1.4, and Debian's /etc/networks names two networks."""
    for newer, older in (
        ("unexpected '!' flag", "unexpected ! flag"),
        ("LOG level warn\n", "LOG level warning\n"),
        ("ipencap --", "ipencap--"),
    ):
        text = text.replace(newer, older)
    # Padded to the same width, as iptables pads them.
    text = re.sub(r"\bdefault\b *", lambda found: "0.0.0.0".ljust(len(found[0])), text)
    return re.sub(r"\bloopback\b *", lambda found: "127.0.0.0".ljust(len(found[0])), text)


def port_numbers(text: str) -> str:
    """Which ports have names depends on /etc/services."""
    return re.sub(r"([sd]pts?:!?)([^ \n]+)", lambda found: found[1] + ":".join(map(port, found[2].split(":"))), text)


def port(name: str) -> str:
    return name if name.isdigit() else str(socket.getservbyname(name))


def one_of_two_complaints(words: list[str], mine: Result, status: int) -> bool:
    """With two mistakes in one line, the releases differ in which one they name first."""
    return "-t" in words and words[-1] not in ("filter", "mangle") and mine.status > 1 and status > 1


@pytest.fixture(scope="module")
def dialect() -> Dialect:
    """That of this machine: some releases show protocols as numbers, others never do."""
    listing = real_answers([["-A", "FORWARD", "-p", "tcp"], ["-nvL", "FORWARD"]])[1][0]
    numeric = listing.splitlines()[2].split()[2] == "6"
    return replace(LEGACY_1_8_9, version=version(), numeric_protocol=numeric)


@pytest.mark.parametrize("seed", range(6))
def test_same_answers_and_same_tables(dialect: Dialect, seed: int) -> None:
    lines = [line for words in commands(seed, COUNT) for line in (words, *STATE)]
    firewall = Firewall()
    for number, (words, (output, errors, status)) in enumerate(zip(lines, real_answers(lines), strict=True)):
        mine = emulate(firewall, words, dialect)
        said_here = port_numbers(mine.text)
        real = port_numbers(as_1_4_words(errors + output))
        where = f"command {number}: iptables {' '.join(words)}; before it: {lines[max(0, number // 4 * 4)]}"
        # What was printed to which stream first is not the same on a pipe as on a terminal.
        ours, theirs = (text if not errors else "\n".join(sorted(text.splitlines())) for text in (said_here, real))
        if not one_of_two_complaints(words, mine, status):
            assert (ours, mine.status) == (theirs, status), where
