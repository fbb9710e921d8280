# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make lab``: what it says works, and Ctrl-C leaves nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from control import Control

from lab.namespaces import NETNS, namespaces, remove_orphans

PROGRAM = str(Path(__file__).parent)


@pytest.fixture
def playground(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, PROGRAM, "--hosts", "1", "--backend", "nft", "--folder", str(tmp_path / "lab")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        limit = threading.Timer(100, process.kill)  # what waits for a line that does not come gets an end
        limit.start()
        yield process
        limit.cancel()
        process.kill()


def until(lines: IO[str], pattern: str) -> str:
    """What is printed up to a line with this."""
    text = ""
    for line in lines:
        text += line
        if re.search(pattern, line):
            return text
    raise EOFError(text)


def test_logins_commands_and_end(playground: subprocess.Popen[str], tmp_path: Path) -> None:
    assert playground.stdin
    assert playground.stdout
    told = until(playground.stdout, "Ctrl-C")
    ssh = re.findall(r"ssh (-i .*)", told)
    for words in ssh:
        done = subprocess.run(
            ["ssh", "-F", "none", "-o", "BatchMode=yes", *words.split(), "iptables -V"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert "nf_tables" in done.stdout, done.stderr
    assert len(ssh) == 2

    inventory = str(tmp_path / "lab/inventory.json")
    answers = Control(tmp_path).run("ansible", "-i", inventory, "sshd:dropbear", "-m", "ansible.builtin.raw", "-a", "hostname").out
    assert len(re.findall(r"^router\r?$", answers, re.MULTILINE)) == 2, answers
    assert Control(tmp_path).run("ansible", "-i", inventory, "broadcom", "-m", "homenet.traffic.lan_hosts_info").status == 0

    playground.stdin.write("nonsense\ntraffic 5\nhost\nname 1 TV-set\nreload insert\n")
    playground.stdin.flush()
    assert "no such command" in until(playground.stdout, "Ctrl-C")
    assert re.search(r"192\.168\.1\.11 +down +[4-9],", until(playground.stdout, "192.168.1.12"))

    key = Path(ssh[0].split()[1])
    assert key.exists()
    playground.send_signal(signal.SIGINT)
    assert playground.wait(20) == 0
    assert not key.parent.exists()
    assert not Path(inventory).exists()


def test_a_second_one_in_the_same_folder_is_refused(playground: subprocess.Popen[str], tmp_path: Path) -> None:
    assert playground.stdout
    until(playground.stdout, "Ctrl-C")
    words = [sys.executable, PROGRAM, "--folder", str(tmp_path / "lab")]
    second = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"A lab with the folder {tmp_path / 'lab'} runs already. End it, or give this one another" in second.stderr
    assert (tmp_path / "lab/inventory.json").exists()
    playground.send_signal(signal.SIGINT)
    assert playground.wait(20) == 0


ORPHAN = """
import sys, time
sys.path.insert(0, sys.argv[1])
from lab.namespaces import namespaces
with namespaces("orphan") as names:
    print(*names, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_one_left_is_removed_by_the_next() -> None:
    def run() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", ORPHAN, str(Path(PROGRAM).parent)], stdout=subprocess.PIPE, text=True)

    with run() as killed, run() as alive:
        assert killed.stdout
        assert alive.stdout
        dead, other = killed.stdout.readline().strip(), alive.stdout.readline().strip()
        killed.kill()
        killed.wait(10)
        assert (NETNS / dead).exists()
        with namespaces("next"):
            assert not (NETNS / dead).exists()
            assert (NETNS / other).exists()
        alive.kill()
        alive.wait(10)
        remove_orphans()
        assert not (NETNS / other).exists()
