# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others change the firewall at the same time: firmware that holds the lock of iptables, and another control node that sets up."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _chains
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, Direction, State
from lab import engine
from lab.engine import LINES, Line, Order, Stops, TrafficError
from lab.network import Lab, lab
from lab.passing import Passing, passing
from lab.spec import BACKENDS
from lab.test_harmless import HOSTS, Firewall, wanted
from lab.ways import LabControl, telnet

PRESENT = Order("present", HOSTS)
ORDERS = (PRESENT, Order("empty"), PRESENT, Order("absent"))
WITHOUT = {"restore": (), "commands": ("iptables-restore",)}
WAY_IN = {(): "telnet", ("iptables-restore",): "exec"}
"""Who waits for what does not depend on the way in, and waiting takes time: each variant gets one."""

# 1.4.7 knows no lock, and no option for it.
OLD = """\
#!/bin/sh
case "$*" in
    *-w*)
        echo "iptables v1.4.7: unknown option \\`-w'" >&2
        echo "Try \\`iptables -h' or 'iptables --help' for more information." >&2
        exit 2 ;;
esac
exec /var/lab/bin/iptables "$@"
"""
# 1.4.20 waits for ever, or not at all; the option takes no number.
IMPATIENT = """\
#!/bin/sh
case "$*" in
    *-w\\ 5*)
        echo "Bad argument \\`5'" >&2
        echo "Try \\`iptables -h' or 'iptables --help' for more information." >&2
        exit 2 ;;
    *-w*) ;;
    *)
        flock -n /run/xtables.lock true || {
            echo "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?" >&2
            exit 4
        } ;;
esac
exec /var/lab/bin/iptables "$@"
"""


def firewall(network: Lab) -> Firewall:
    return Firewall.of(network.box.tool("iptables-save", "-c"))


def replace_iptables(network: Lab, text: str) -> None:
    path = network.path("/usr/sbin/iptables")
    path.unlink()
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)


class Lock:
    """As firmware holds it while it makes its rules anew."""

    def __init__(self, network: Lab) -> None:
        self._network = network
        self._holder: subprocess.Popen[str] | None = None

    def take(self) -> None:
        words = self._network.in_router("flock", "/run/xtables.lock", "sh", "-c", "echo held; read -r line")
        self._holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "held\n"

    def give_back(self) -> None:
        if self._holder:
            self._holder.communicate("\n")
            self._holder = None


@pytest.fixture(params=WITHOUT)
def network(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(hosts=2, without=WITHOUT[request.param], servers=("telnet",)) as built:
        yield built


@pytest.fixture
def lock(network: Lab) -> Iterator[Lock]:
    made = Lock(network)
    yield made
    made.give_back()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with LOCK_PATIENCE and the profile of everyday, but sooner."""
    monkeypatch.setattr(_chains, "LOCK_PATIENCE", 1.0)
    ways = {"iptables": ("iptables -w 1", "iptables"), "iptables_restore": ("iptables-restore --noflush -w 1",)}
    monkeypatch.setattr(engine, "LINUX", replace(engine.LINUX, **ways))


def way_in(network: Lab) -> Line:
    return LINES[WAY_IN[network.spec.without]](network)


@pytest.mark.parametrize("text", ["", IMPATIENT], ids=["waits", "does not wait"])
def test_a_lock_held_for_a_while(network: Lab, lock: Lock, text: str) -> None:
    if text:
        replace_iptables(network, text)
    way = way_in(network)
    for order in (PRESENT, Order("absent")):
        lock.take()
        threading.Timer(0.7, lock.give_back).start()
        assert way.bring(order)
        assert sorted(firewall(network).rules()) == wanted(order)


@pytest.mark.usefixtures("impatient")
def test_a_lock_held_for_longer_than_we_wait(network: Lab, lock: Lock) -> None:
    before = firewall(network)
    lock.take()
    with pytest.raises(TrafficError, match="Another program has held the lock of the firewall all the time. Run it again."):
        way_in(network).bring(PRESENT)
    lock.give_back()
    assert firewall(network) == before


@pytest.mark.usefixtures("impatient")
def test_a_lock_taken_in_the_middle_and_kept(network: Lab, lock: Lock) -> None:
    """Before a change in the middle, and before the jump."""
    way, stops = way_in(network), Stops(network)
    with passing(network) as packets:
        stops.reset()
        way.bring(PRESENT)
        changes = [number for number, call in enumerate(stops.calls, 1) if "-nvxL" not in call]
        for number in sorted({changes[len(changes) // 2], changes[-1]}):
            way.bring(Order("absent"))
            before = firewall(network)
            with stops.at(number, "before", lock.take), pytest.raises(TrafficError, match="held the lock .* Run it again"):
                way.bring(PRESENT)
            lock.give_back()
            after = firewall(network)
            assert after.foreign == before.foreign
            assert not [rule for rule in after.rules() if "FORWARD" in rule]
            packets.once()
            way.bring(PRESENT)
            assert sorted(firewall(network).rules()) == wanted(PRESENT)


def test_an_iptables_that_knows_no_lock(network: Lab) -> None:
    replace_iptables(network, OLD)
    way = way_in(network)
    foreign = firewall(network).foreign
    for order in ORDERS:
        assert way.bring(order)
        assert sorted(firewall(network).rules()) == wanted(order)
        assert way.bring(order) == []
    assert firewall(network).foreign == foreign


ONE = Order("present", HOSTS[:1])
PAIRS = {
    "two set-ups": (None, PRESENT, PRESENT),
    "with different hosts": (None, ONE, PRESENT),
    "two updates": (ONE, PRESENT, PRESENT),
}


class Neighborhood:
    """Two control nodes for one router, which know nothing of each other: no lock of ours helps."""

    def __init__(self, network: Lab, packets: Passing) -> None:
        self.network = network
        self.stops = Stops(network)
        self.ours, self.theirs = engine.ExecLine(network), engine.ExecLine(network)
        self.packets = packets
        packets.once()
        self._bare = network.box.tool("iptables-save", "-c")
        before = network.everything().total
        packets.once()
        passed = network.everything().total - before
        self.passed = {"-i ppp0": (passed.download_packets, passed.download_bytes), "-o ppp0": (passed.upload_packets, passed.upload_bytes)}

    def prepare(self, order: Order | None) -> None:
        self.network.box.tool("iptables-restore", "-c", stdin=self._bare)
        if order:
            self.theirs.bring(order)

    def they_bring(self, order: Order) -> None:
        """And somebody uses the link."""
        self.theirs.bring(order)
        self.packets.once()

    def calls(self, first: Order | None, order: Order) -> int:
        """How many calls of iptables an order takes when nobody comes in between."""
        self.prepare(first)
        self.stops.reset()
        self.ours.bring(order)
        return len(self.stops.calls)

    def counted(self) -> dict[str, tuple[int, int]]:
        now = firewall(self.network)
        return {way: now.total(way) for way in self.passed}


@pytest.fixture(params=[(backend, without) for backend in BACKENDS for without in WITHOUT], ids="-".join)
def neighborhood(request: pytest.FixtureRequest) -> Iterator[Neighborhood]:
    backend, without = request.param
    with lab(hosts=2, backend=backend, without=WITHOUT[without], servers=()) as network, passing(network) as packets:
        yield Neighborhood(network, packets)


@pytest.mark.parametrize("pair", PAIRS)
def test_another_sets_up_in_between(neighborhood: Neighborhood, pair: str) -> None:
    """All of it between any two commands of ours. Rules may stand there twice, of which one counts; no byte is lost or doubled."""
    first, ours, theirs = PAIRS[pair]
    for number in range(1, neighborhood.calls(first, ours) + 1):
        neighborhood.prepare(first)
        with neighborhood.stops.at(number, "before", lambda: neighborhood.they_bring(theirs)):
            neighborhood.ours.bring(ours)
        rules = firewall(neighborhood.network).rules()
        assert sorted(set(rules)) == wanted(PRESENT), number
        assert rules.count("*filter -A FORWARD -j TRAFFIC") == 1, number
        assert neighborhood.counted() == neighborhood.passed, number


def test_another_sets_up_while_we_remove(neighborhood: Neighborhood) -> None:
    """It may be refused then, and either may win; but what is there counts, and the next run removes it."""
    gone, foreign = Order("absent"), firewall(neighborhood.network).foreign
    for number in range(1, neighborhood.calls(PRESENT, gone) + 1):
        neighborhood.prepare(PRESENT)
        with neighborhood.stops.at(number, "before", lambda: neighborhood.they_bring(PRESENT)), suppress(TrafficError):
            neighborhood.ours.bring(gone)
        neighborhood.ours.bring(gone)
        after = firewall(neighborhood.network)
        assert after.rules() == [], number
        assert [rule for rule, _counted in after.foreign] == [rule for rule, _counted in foreign], number


@pytest.mark.parametrize("state", ["empty", "absent"])
def test_what_passes_until_counting_stops_is_told(neighborhood: Neighborhood, state: State) -> None:
    """Somebody uses the link between any two commands."""
    last = neighborhood.calls(PRESENT, Order(state))
    stopped = next((number for number, call in enumerate(neighborhood.stops.calls, 1) if "-D FORWARD" in call), last)
    for number in range(1, min(last, stopped + 2) + 1):
        neighborhood.prepare(PRESENT)
        counting: list[bool] = []

        def use_the_link(counted: list[bool]) -> None:
            counted.append({"*filter -A FORWARD -j TRAFFIC", "*filter -A TRAFFIC -i ppp0"} <= set(firewall(neighborhood.network).rules()))
            neighborhood.packets.once()

        with neighborhood.stops.at(number, "before", partial(use_the_link, counting)):
            _commands, told = neighborhood.ours.bring_and_count(Order(state))
        expected = list(neighborhood.passed.values()) if counting == [True] else [(0, 0), (0, 0)]
        assert [total(told, "download"), total(told, "upload")] == expected, number


def test_what_passes_until_a_host_is_pruned_is_told(neighborhood: Neighborhood) -> None:
    """Somebody uses the link before we take a rule away, up to the last look."""
    pruning = Order("present", HOSTS[:1], prune=True)
    neighborhood.calls(PRESENT, pruning)
    change = next(number for number, call in enumerate(neighborhood.stops.calls, 1) if re.search("restore| -D TRAFFIC", call))
    assert "-nvxL" in neighborhood.stops.calls[change - 2], "the last look"
    for number in range(1, change):
        neighborhood.prepare(PRESENT)
        with neighborhood.stops.at(number, "before", neighborhood.packets.once):
            _commands, told = neighborhood.ours.bring_and_count(pruning)
        assert [total(told, "download"), total(told, "upload")] == list(neighborhood.passed.values()), number
        assert neighborhood.counted() != neighborhood.passed, "what a host had counted is gone with it"


def total(told: Counted, way: Direction) -> tuple[int, int]:
    found = [*(host[way] for host in told.hosts.values()), told.rest[way] if told.rest else None]
    return sum(one.packets for one in found if one), sum(one.bytes for one in found if one)


@dataclass(frozen=True)
class OtherNode(LabControl):
    """One whose run lock is its own, as on another machine."""

    temporary: tempfile.TemporaryDirectory[str] = field(default_factory=partial(tempfile.TemporaryDirectory, prefix="hnt"))
    """Not below ``folder``: Ansible makes a socket in it, and the path of one must be short."""

    def command(self, *words: str) -> Sequence[str]:
        """See Control."""
        return ["env", f"TMPDIR={self.temporary.name}", *super().command(*words)]


@pytest.mark.parametrize("second", [LabControl, OtherNode], ids=["one machine", "two machines"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_playbooks_at_once(tmp_path: Path, backend: str, second: type[LabControl]) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with lab(hosts=2, backend=backend, without=("iptables-restore",), servers=("telnet",)) as network:
        nodes = [LabControl(folders[0], network, telnet), second(folders[1], network, telnet)]
        with passing(network) as packets, ThreadPoolExecutor(2) as threads:
            for _round in range(2):
                done = [run.result() for run in [threads.submit(node.play, "setup_traffic") for node in nodes]]
                assert [one.status for one in done] == [0, 0], [one.out for one in done]
                before = firewall(network)
                rules = before.rules()
                assert sorted(set(rules)) == wanted(PRESENT)
                assert rules.count("*filter -A FORWARD -j TRAFFIC") == 1
                truth = network.everything().total
                packets.once()
                passed = network.everything().total - truth
                grown = [now - then for now, then in zip(firewall(network).total("ppp0"), before.total("ppp0"), strict=True)]
                assert grown == [
                    passed.download_packets + passed.upload_packets, passed.download_bytes + passed.upload_bytes
                ]  # fmt: skip
                assert nodes[0].play("remove_traffic").status == 0
