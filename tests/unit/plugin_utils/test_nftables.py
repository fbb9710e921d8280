# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with nftables, in a real shell on a router whose nft says what a test wants it to say."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftError, NftSettings
from ansible_collections.homenet.traffic.plugins.plugin_utils._nftables import Nftables
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, Shell, between_marks
from ansible_collections.homenet.traffic.tests.unit.plugin_utils.reading import FIXTURES

JSON = (FIXTURES / "nft" / "nft_j_list_table__ours_1_0_2.txt").read_text(encoding="utf-8")
TEXT = (FIXTURES / "nft" / "list_table__ours_1_0_2.txt").read_text(encoding="utf-8")
NO_TABLE = "Error: No such file or directory\nlist table inet homenet_traffic\n                ^^^^^^^^^^^^^^^\n"
NO_JSON = "Error: JSON support not compiled-in\n"
HOSTS = ["192.168.1.11", "192.168.1.12", "192.168.1.13", "192.168.1.250", "2001:db8:1::11", "2001:db8:1::12", "2001:db8:1::13"]

LOOPBACK = "1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n"

# What nft says is in files: `json` and `text` for listings, `check` for checks, and `change` for transactions; with a second
# line of a file's name in `next`, what comes after the first transaction. An empty file is success, a text with Error is none.
ROUTER = """\
say() { cat "$files/$1"; case $(cat "$files/$1") in *Error*|*"not found"*) return 1;; esac; }
nft() {
  case "$*" in
  "-c -f -") cat >/dev/null; say check;;
  "-f -") cat >>"$files/done"; say change; status=$?; for one in json text change; do
      if [ -f "$files/$one.next" ]; then mv "$files/$one.next" "$files/$one"; fi; done; return $status;;
  "-j list table inet homenet_traffic") say json;;
  "list table inet homenet_traffic") say text;;
  *) echo "Error: unexpected $*"; return 1;;
  esac
}
uname() { cat "$files/kernel"; }
ip() { cat "$files/addresses"; }
"""


class FakeRouter:
    """Files that say what nft says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scripts = 0
        self.says(json=NO_TABLE, text=NO_TABLE, check="", change="", kernel="5.10.176\n", addresses=LOOPBACK, done="")

    def says(self, **files: str) -> None:
        for name, text in files.items():
            (self._folder / name.replace("_", ".")).write_text(text, encoding="utf-8")

    @property
    def done(self) -> list[str]:
        """The lines of all transactions."""
        return (self._folder / "done").read_text(encoding="utf-8").splitlines()

    def run(self, made: Script) -> str:
        self.scripts += 1
        text = f"files='{self._folder}'\n{ROUTER}{made.text}"
        done = subprocess.run(["sh"], input=text, text=True, capture_output=True, timeout=30, check=False)
        output = between_marks(made, done.stdout)
        assert output is not None, done.stdout + done.stderr
        return output

    def backend(self, settings: NftSettings = NftSettings()) -> Nftables:
        self.questions = Questions(Shell(self.run, "home"), _profile.load("linux"), "home")
        return Nftables(self.questions, "home", settings)

    def looked(self) -> Nftables:
        backend = self.backend()
        backend.look()
        return backend


@pytest.fixture
def router(tmp_path: Path) -> FakeRouter:
    return FakeRouter(tmp_path)


def bring(backend: Nftables, state: str = "present", hosts: Sequence[str] = tuple(HOSTS), prune: bool = False) -> list[str]:
    commands: list[str] = []
    backend.bring(state, hosts, ["ppp0"], prune, commands)  # type: ignore[arg-type]
    return commands


def test_one_exchange_tells_whether_it_can_be_used(router: FakeRouter) -> None:
    backend = router.backend()
    router.questions.foresee((), backend.listing(probe=True))
    backend.look()
    assert (backend.usable(), backend.exists(), router.scripts, router.done) == (True, False, 1, [])
    router.says(json=JSON)
    backend = router.backend()
    router.questions.foresee((), backend.listing(probe=True))
    backend.look()
    assert (backend.usable(), backend.hosts(), router.scripts) == (True, HOSTS, 2)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"kernel": "4.14.221\n"}, '"4.14.221", and sets count reliably from Linux 5.10 on'),
        ({"kernel": "5.4.0-rc1\n"}, "Linux 5.10"),
        ({"kernel": "sh: uname: not found\n"}, "Linux 5.10"),
        ({"kernel": "3.10.14 #1\n"}, "Linux 5.10"),
        ({"check": "Error: syntax error, unexpected counter\n"}, "unexpected counter"),
        ({"json": "sh: nft: not found\n", "text": "sh: nft: not found\n"}, "it has no command nft"),
        ({"json": "netlink: Error: cache initialization failed: Protocol not supported\n"} | {"text": "Error: Protocol not supported\n"},
         "its kernel has no nftables"),
    ],
)  # fmt: skip
def test_why_it_cannot_be_used(router: FakeRouter, said: dict[str, str], reason: str) -> None:
    router.says(**said)
    backend = router.looked()
    assert reason in (backend.refusal() or "")
    assert not backend.usable()


def test_newer_kernels_are_fine(router: FakeRouter) -> None:
    for kernel in ("5.10.0", "5.15.137", "6.6.110", "10.0"):
        router.says(kernel=kernel)
        assert router.looked().usable()


def test_nothing_is_made_where_it_cannot_be_used(router: FakeRouter) -> None:
    router.says(json="sh: nft: not found\n", text="sh: nft: not found\n")
    with pytest.raises(NftError, match="home cannot count with nftables: it has no command nft. Nothing was changed."):
        bring(router.looked())
    assert bring(router.looked(), "absent") == []
    assert router.done == []


def test_without_a_shell_it_cannot_be_used() -> None:
    backend = Nftables(Questions(lambda line: "", _profile.load("linux"), "home"), "home")
    backend.look()
    assert backend.refusal() == "it has no shell to run nft in"


def test_who_may_not_is_told(router: FakeRouter) -> None:
    router.says(**dict.fromkeys(("json", "text"), "Error: Operation not permitted (you must be root)\nlist table\n"))
    with pytest.raises(TrafficError, match="log in as the router's administrator"):
        router.looked()


def test_an_answer_that_is_none_is_no_missing_table(router: FakeRouter) -> None:
    router.says(**dict.fromkeys(("json", "text"), "Error: Could not receive tables from kernel: No buffer space available\n"))
    with pytest.raises(TrafficError, match="No buffer space"):
        router.looked()


@pytest.mark.parametrize(
    "json",
    [NO_JSON, JSON[:-20], "{}", JSON.replace("homenet_traffic", "fw4"), JSON.replace(', "counter": {"packets": 10, "bytes": 3528}', "")],
    ids=["none", "cut", "another", "of another table", "without counters"],
)
def test_where_json_is_no_help_the_text_is_taken(router: FakeRouter, json: str) -> None:
    router.says(json=JSON)
    expected = router.looked().counted()
    router.says(json=json, text=TEXT)
    assert router.looked().counted() == expected
    router.says(text=TEXT[:-30])
    with pytest.raises(TrafficError, match=r"`nft list table inet homenet_traffic` printed was not understood.*report it"):
        router.looked()


def test_the_routers_log_is_left_out_and_told(router: FakeRouter) -> None:
    lines = TEXT.split("\n")
    router.says(json=NO_JSON, text="\n".join([*lines[:20], "[  123.456789] br0: port 2(eth1) entered forwarding state", *lines[20:]]))
    assert router.looked().hosts() == HOSTS
    assert "log" in router.questions.notes()[0]


def test_a_change_is_read_back_and_told(router: FakeRouter) -> None:
    router.says(json_next=JSON)
    commands = bring(router.looked())
    assert commands[0] == "nft create table inet homenet_traffic"
    assert "nft 'create set inet homenet_traffic hosts4 { type ipv4_addr; size 2048; flags dynamic; }'" in commands
    assert len(commands) == len(router.done)


def test_a_change_that_fails_is_told_and_not_counted_as_done(router: FakeRouter) -> None:
    router.says(change="Error: Could not process rule: Cannot allocate memory\n")
    commands: list[str] = []
    with pytest.raises(NftError, match=r'nft said "Error: .*Cannot allocate memory"\)\. Still to be done: create table inet'):
        router.looked().bring("present", HOSTS, ["ppp0"], False, commands)
    assert commands == []


def test_silence_is_not_success(router: FakeRouter) -> None:
    with pytest.raises(NftError, match="did not do all"):
        bring(router.looked())


def test_another_run_was_quicker(router: FakeRouter) -> None:
    """Its table is there when ours cannot be made, so there is nothing left to do."""
    router.says(change="Error: Could not process rule: File exists\n", json_next=JSON)
    assert bring(router.looked()) == []


def test_who_is_learned_again_at_once_is_not_taken_out_for_ever(router: FakeRouter) -> None:
    router.says(json=JSON)
    commands = bring(router.looked(), hosts=["192.168.1.11"], prune=True)  # the listing afterwards is the same
    assert len([line for line in commands if "delete element" in line]) == 3
    assert not any("2001:db8" in line for line in commands)


def test_what_was_counted_is_read_once_more_before_it_is_taken_away(router: FakeRouter) -> None:
    router.says(json=JSON)
    backend = router.looked()
    before = backend.counted()
    router.says(json_next=JSON.replace('"bytes": 3528', '"bytes": 4000'))  # until counting has stopped
    router.says(text=NO_TABLE)
    with pytest.raises(NftError):
        bring(backend, "absent")  # this router's table never goes
    final = backend.final()
    assert final and final != before
    assert final.hosts["192.168.1.11"]["upload"] != before.hosts["192.168.1.11"]["upload"]
    assert router.done[:2] == ["flush chain inet homenet_traffic forward", "delete table inet homenet_traffic"]


def test_a_lan_with_public_addresses_is_learned(router: FakeRouter) -> None:
    own = ("1: lo", "127.0.0.1/8"), ("2: br0", "198.51.100.1/24"), ("3: br1", "192.168.7.1/24"), ("4: ppp0", "203.0.113.9/24")
    lines = (f"{name}: <UP> mtu 1500\n    inet {ip} scope global {name.split()[1]}\n" for name, ip in own)
    router.says(json_next=JSON, addresses="".join(lines))
    with pytest.raises(NftError, match="did not do all"):
        bring(router.looked())
    learned = [line.split("saddr ")[1] for line in router.done if "ip saddr" in line and "goto" in line]
    assert set(learned) == {"10.0.0.0/8 goto learn", "100.64.0.0/10 goto learn", "172.16.0.0/12 goto learn",
                            "192.168.0.0/16 goto learn", "198.51.100.0/24 goto learn"}  # fmt: skip


def test_a_preview_changes_nothing(router: FakeRouter) -> None:
    router.says(json=JSON)
    backend = router.looked()
    commands, after = backend.preview("absent", (), ["ppp0"], False)
    assert (commands[-1], after) == ("nft delete table inet homenet_traffic", [])
    commands, after = backend.preview("present", [*HOSTS, "10.0.0.1"], ["ppp0"], False)
    assert commands == ["nft 'add element inet homenet_traffic hosts4 { 10.0.0.1 }'"]
    assert set(after) - set(backend.as_commands()) == set(commands)
    commands, after = backend.preview("empty", (), ["ppp0"], False)
    assert commands[0] == "nft flush chain inet homenet_traffic forward"
    assert after[-1].startswith("nft 'create chain inet homenet_traffic forward {")
    assert (router.done, router.scripts) == ([], 2)  # one to look, one for the router's own addresses
