# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting with the sets of ipset on a real kernel: to the byte, and without touching anything else."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _backends, _ipset
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend, Counted, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._backends import Backends
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import ChainError, Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, Shell, between_marks
from lab.engine import LINES, LINUX, Done, Order, Stops, carry_out
from lab.flows import mixed
from lab.network import Lab, lab
from lab.passing import passing
from lab.spec import BACKENDS
from lab.test_contention import Neighborhood
from lab.test_harmless import HOSTS, PLANS, Firewall, Patient
from lab.truth import Passed
from lab.ways import LabControl, servers, telnet

WAN = ("ppp0",)


@pytest.fixture(params=BACKENDS)
def network(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A dual-stack router, and somebody else's sets in it."""
    with lab(hosts=2, ipv6=True, backend=request.param, servers=()) as built:
        foreign_sets(built)
        yield built


@pytest.fixture
def legacy() -> Iterator[Lab]:
    with lab(hosts=2, ipv6=True, servers=()) as built:
        foreign_sets(built)
        yield built


def foreign_sets(network: Lab) -> None:
    """A block list, and sets whose names are nearly ours."""
    lines = ["create blocklist hash:net maxelem 131072"]
    lines += [f"add blocklist {number >> 8 & 255}.{number & 255}.{number % 251}.0/24" for number in range(1 << 12, (1 << 12) + 500)]
    lines += ["create TRAFFIC_D4_mine hash:ip counters", "add TRAFFIC_D4_mine 192.168.1.11 packets 5 bytes 500"]
    lines += ["create TRAFFIC_D4_0badcafe hash:net,iface", "create TRAFFIC list:set", "add TRAFFIC blocklist"]
    ipset(network, "restore", stdin="".join(f"{line}\n" for line in lines))


def ipset(network: Lab, *words: str, stdin: str | None = None) -> str:
    return network.box.tool("ipset", *words, stdin=stdin)


def ours(network: Lab) -> list[str]:
    """The names of our sets."""
    return [name for name in ipset(network, "list", "-n").split() if re.fullmatch("TRAFFIC_[DU][46]_(?!0badcafe)[0-9a-f]{8}", name)]


def others(network: Lab) -> list[str]:
    """All that is not ours, sets and rules of all tables."""
    names = sorted(set(ipset(network, "list", "-n").split()) - set(ours(network)))
    tables = [network.foreign_firewall("TRAFFIC", table=table) for table in ("filter", "mangle", "nat")]
    return [*(ipset(network, "save", name) for name in names), *tables]


def shell_of(network: Lab, start: str = "", watch: Callable[[str], None] = lambda text: None) -> Shell:
    """A shell of its own in the router. ``start`` are lines that it runs first."""

    def run_script(made: Script) -> str:
        watch(made.text)
        words = network.in_router("sh")
        done = subprocess.run(words, input=start + made.text, text=True, capture_output=True, timeout=60, check=False)
        output = between_marks(made, done.stdout)
        assert output is not None, done.stdout + done.stderr
        return output

    return Shell(run_script, "the router")


def bring(network: Lab, state: str = "present", hosts: Sequence[str] = (), start: str = "", **more: Any) -> Done:
    order = Order(state, tuple(hosts), **{"backend": "ipset", **more})  # type: ignore[arg-type]
    return carry_out(shell_of(network, start), order)


def read(network: Lab, wish: str = "auto", start: str = "", table: str = "filter") -> Backend:
    """As ``report`` does it: one exchange, or it is an error."""
    exchanges: list[str] = []
    router = Router(shell_of(network, start, exchanges.append), LINUX, "home", Settings(table=table))
    backends = Backends(router, wish)
    router.foresee(READING, backends.listing())
    backend = backends.look()
    backend.counted()
    backend.status(router.wan_interfaces())
    router.findings(router.lan_hosts(), router.wan_interfaces(), backend.counts_ipv6)
    assert len(exchanges) == 1
    return backend


def passed(counted: Counted) -> dict[str, Passed]:
    found = {}
    for address, both in counted.hosts.items():
        down, up = both["download"], both["upload"]
        assert down and up
        found[address] = Passed(down.bytes, down.packets, up.bytes, up.packets)
    return found


def rest(counted: Counted) -> Passed:
    if counted.rest is None:
        return Passed()
    down, up = counted.rest["download"], counted.rest["upload"]
    return Passed(down.bytes, down.packets, up.bytes, up.packets)


def everything(counted: Counted) -> Passed:
    return sum(passed(counted).values(), rest(counted))


def codes(backend: Backend) -> list[str]:
    return [problem.code for problem in backend.status(WAN).problems]


def addresses(network: Lab, number: int) -> list[str]:
    return [address for host in network.hosts[:number] for address in (host.ip, host.ip6)]


def test_each_byte_of_both_families_is_under_its_address_or_in_the_rest(network: Lab) -> None:
    before = others(network)
    bring(network, hosts=addresses(network, 2))
    late = network.add_host()
    for ipv6 in (False, True):
        network.stream(late, download=300_000, upload=200_000, ipv6=ipv6)
    network.settle()
    early = network.everything().addresses
    flows = [*mixed(network.hosts, 20), *mixed(network.hosts, 20, ipv6=True)]
    with network.flowing(flows):
        mine = bring(network, hosts=addresses(network, 3))
    network.settle()
    truth = network.everything()
    assert mine.commands == [
        f"ipset add {name} {address}"
        for address in (late.ip, late.ip6)
        for name in sorted(ours(network))
        if f"{6 if ':' in address else 4}_" in name
    ]
    backend = read(network)
    counted = backend.counted()
    assert (backend.name, backend.status(WAN).hosts, codes(backend)) == ("ipset", 3, [])
    known = passed(counted)
    for host in network.hosts[:2]:
        assert (known[host.ip], known[host.ip6]) == (truth.addresses[host.ip], truth.addresses[host.ip6])
    assert everything(counted) == truth.total
    assert min(early[late.ip].download_bytes, early[late.ip6].download_bytes) > 300_000
    assert rest(counted).download_bytes >= early[late.ip].download_bytes + early[late.ip6].download_bytes
    assert set(known) == set(addresses(network, 3))
    assert others(network) == before
    gone = bring(network, "absent")
    assert gone.before == counted
    assert (ours(network), others(network), read(network).name) == ([], before, "iptables")


def test_a_firewall_that_is_built_anew(network: Lab) -> None:
    """FORWARD flushed and filled: the life goes on. The whole table replaced: another one begins, and tells of the old one."""
    host = network.hosts[0]
    bring(network, hosts=addresses(network, 2))
    marker, sets = read(network).status(WAN).marker, ours(network)
    for way in ("rebuild", "insert"):
        network.stream(host, download=50_000, upload=50_000)
        network.settle()
        network.reload_firewall(way)
        backend = read(network)
        assert codes(backend) == [{"rebuild": "jump_missing", "insert": "jump_not_first"}[way]]
        assert everything(backend.counted()) == network.everything().total
        assert len(bring(network, hosts=addresses(network, 2)).commands) == {"rebuild": 1, "insert": 2}[way]
        assert (read(network).status(WAN).marker, ours(network), codes(read(network))) == (marker, sets, [])
    network.stream(host, download=50_000, upload=50_000)
    network.settle()
    known, total = passed(read(network).counted()), network.everything().total
    assert sum(known.values(), Passed()) == total
    network.reload_firewall("replace")
    lost = read(network)
    assert (lost.exists(), lost.status(WAN).installed) == (False, False)
    done = bring(network, hosts=addresses(network, 2), backend="auto")
    assert passed(done.before) == known
    assert done.backend.name == "ipset"
    assert (len(ours(network)), set(ours(network)) & set(sets)) == (4, set())
    backend = read(network)
    assert backend.status(WAN).marker not in (marker, None)
    assert (everything(backend.counted()), codes(backend)) == (Passed(), [])


def test_what_only_sets_are_left_of_is_taken_away(network: Lab) -> None:
    before = Passed()
    for tools in (("iptables", "ip6tables"), ("iptables",)):
        bring(network, hosts=addresses(network, 1))
        for ipv6 in (True, False):
            network.stream(network.hosts[0], download=50_000, upload=50_000, ipv6=ipv6)
        network.settle()
        total = network.everything().total
        for tool in tools:
            network.box.tool(tool, "-F")
            network.box.tool(tool, "-X")
        done = bring(network, "absent", backend="auto")
        assert everything(done.before) == total - before
        assert ours(network) == []
        assert bring(network, "absent", backend="auto").commands == []
        before = total


def test_the_playbooks_show_what_was_left_of_a_chain_that_is_gone(tmp_path: Path) -> None:
    with lab(hosts=1, servers=servers(telnet)) as network:
        control = LabControl(tmp_path, network, telnet)
        shown = []
        assert "counting 1 host on ppp0" in control.play("setup_traffic", traffic_backend="ipset").out
        for name in ("setup_traffic", "flush_traffic"):
            network.datagrams(network.hosts[0], download=[1000] * 40, upload=[])
            network.reload_firewall("replace")
            shown.append(control.play(name, traffic_backend="auto").out)
        for out in shown:
            assert re.search("It had counted until then:\n.*\n.*192.168.1.11 .* 41.1 kB ", out), out
        assert "home: what was left of a chain that is gone was taken away." in shown[1]
        assert ours(network) == []


def test_other_firewalls_than_ours_are_chosen_and_left(network: Lab) -> None:
    """From each way of counting to each other one: what was counted is told, and nothing stays behind."""
    ways = ["iptables", "ipset", "nftables", "ipset", "iptables", "nftables", "iptables"]
    before = others(network)
    told = Counted()
    for number, way in enumerate(ways):
        done = bring(network, hosts=addresses(network, 2), backend=way)
        assert (done.backend.name, done.backend.status(WAN).problems) == (way, [] if way != "nftables" else ())
        assert done.backend.counted().hosts.keys() == set(addresses(network, 2))
        told = together(told, done.before)
        assert len(ours(network)) == (4 if way == "ipset" else 0)
        assert ("homenet_traffic" in network.box.tool("nft", "list", "tables")) is (way == "nftables")
        assert ("TRAFFIC" in network.iptables("-S")) is (way != "nftables")
        assert others(network) == before
        assert (read(network).name, read(network).exists()) == (way, True)
        again = bring(network, hosts=addresses(network, 2), backend="auto")
        assert (again.commands, again.backend.name) == ([], way)
        network.stream(network.hosts[number % 2], download=30_000, upload=1_000, ipv6=number % 3 == 0)
        network.settle()
    done = bring(network, "absent", backend="auto")
    told = together(told, done.before)
    assert everything(told) == network.everything().total
    assert others(network) == before


def test_from_one_table_to_the_other(network: Lab) -> None:
    bring(network, hosts=addresses(network, 2))
    names = ours(network)
    for table in ("mangle", "filter"):
        network.stream(network.hosts[0], download=40_000, upload=1_000)
        network.stream(network.hosts[0], download=40_000, upload=1_000, ipv6=True)
        network.settle()
        bring(network, hosts=addresses(network, 2), backend="auto", table=table)
        backend = read(network, table=table)
        assert (backend.name, codes(backend), ours(network)) == ("ipset", [], names)
        assert everything(backend.counted()) == network.everything().total
        assert passed(backend.counted()) == {**dict.fromkeys(addresses(network, 2), Passed()), **network.everything().addresses}
    bring(network, "absent", backend="auto", table="mangle")
    assert (ours(network), "TRAFFIC" in network.iptables("-S")) == ([], False)


def test_pruned_emptied_and_set_up_again(network: Lab) -> None:
    bring(network, hosts=addresses(network, 2))
    for host in network.hosts:
        for ipv6 in (False, True):
            network.stream(host, download=50_000, upload=1_000, ipv6=ipv6)
    network.settle()
    truth, stays, goes = network.everything().addresses, *network.hosts
    pruned = bring(network, hosts=[stays.ip, stays.ip6], prune=True)
    assert pruned.backend.hosts() == [stays.ip, stays.ip6]
    assert passed(pruned.before) == {**dict.fromkeys(addresses(network, 2), Passed()), **truth}
    assert passed(read(network).counted())[stays.ip] == truth[stays.ip]
    network.stream(goes, download=50_000, upload=1_000)
    network.settle()
    assert rest(read(network).counted()) == network.everything().addresses[goes.ip] - truth[goes.ip]
    counted = read(network).counted()
    emptied = bring(network, "empty", backend="auto")
    assert (emptied.before, ours(network)) == (counted, [])
    state = read(network).status(WAN)
    assert (state.installed, state.hosts, state.marker, [one.code for one in state.problems]) == (True, 0, None, ["no_catch_all"] * 2)
    assert bring(network, "empty", backend="auto").commands == []
    again = bring(network, hosts=[stays.ip])
    assert (codes(again.backend), everything(read(network).counted())) == ([], Passed())


def test_another_interface_and_a_full_set(legacy: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    network = legacy
    monkeypatch.setattr(_ipset, "SMALLEST", 2)
    monkeypatch.setattr(_ipset, "LARGEST", 2)
    late = network.add_host()
    hosts = [host.ip for host in network.hosts]
    done = bring(network, hosts=hosts)
    assert (sorted(done.backend.hosts()), codes(done.backend)) == (hosts[:2], ["set_full"])
    assert bring(network, hosts=hosts).commands == []
    network.stream(late, download=50_000)
    network.settle()
    assert rest(read(network).counted()) == network.everything().addresses[late.ip]
    done = bring(network, hosts=[hosts[0], late.ip], prune=True)
    assert sorted(done.backend.hosts()) == [hosts[0], late.ip]
    router = Router(shell_of(network), LINUX, "home", Settings(), ("wwan0",))
    backends = Backends(router, "auto", "present")
    router.foresee(READING, backends.listing())
    backend, commands = backends.look(), list[str]()
    assert [one.code for one in backend.status(["wwan0"]).problems] == ["wan_changed", "set_full", "wan_changed"]
    backend.bring("present", hosts[:1], ["wwan0"], False, commands)
    assert [one.code for one in backend.status(["wwan0"]).problems] == ["set_full"]
    network.stream(late, download=50_000)
    network.settle()
    assert passed(read(network).counted())[late.ip].download_bytes > 50_000


def test_the_playbooks_over_telnet(tmp_path: Path) -> None:
    with lab(hosts=2, ipv6=True, servers=servers(telnet)) as network:
        control = LabControl(tmp_path, network, telnet)
        previewed = control.play("setup_traffic", "--check", "--diff", traffic_backend="ipset")
        assert "+ipset add TRAFFIC_D4_" in previewed.out
        assert ipset(network, "list", "-n") == ""
        assert control.play("setup_traffic", traffic_backend="ipset").recap()["changed"] == 1
        for ipv6 in (False, True):
            network.stream(network.hosts[0], download=100_000, upload=3_000, ipv6=ipv6)
        network.settle()
        truth = network.everything()
        assert control.play("report", traffic_backend="auto").status == 0
        report = control.report()
        first = {host["ip"]: host for host in report["hosts"]}[network.hosts[0].ip]
        total = truth.total
        assert (report["totals"]["download_bytes"], report["totals"]["upload_bytes"]) == (total.download_bytes, total.upload_bytes)
        assert first["download_bytes"] >= truth.addresses[network.hosts[0].ip].download_bytes > 100_000
        assert "counts, with sets of ipset," in " ".join(control.play("check", traffic_backend="auto").out.split())
        assert control.play("setup_traffic", traffic_backend="auto").recap()["changed"] in (0, 1)  # IPv6 may have been unknown before
        removed = control.play("remove_traffic", traffic_backend="auto")
        assert "It had counted until then:" in removed.out
        assert ipset(network, "list", "-n") == ""


def test_a_set_that_somebody_has_exchanged(legacy: Lab) -> None:
    """It is said, and what can be counted goes on; the next set-up begins anew, and leaves what is not ours."""
    network = legacy
    bring(network, hosts=addresses(network, 2))
    name = next(name for name in ours(network) if "_D4_" in name)
    ipset(network, "create", "his", "hash:ip", "counters", "comment")
    ipset(network, "add", "his", "192.168.1.11", "comment", "a camera")
    ipset(network, "swap", name, "his")
    assert "rules_differ" in codes(read(network))
    done = bring(network, hosts=addresses(network, 2))
    assert (codes(read(network)), len(ours(network))) == ([], 5)
    assert bring(network, hosts=addresses(network, 2)).commands == []
    assert done.before.hosts.keys() == set(addresses(network, 2))
    bring(network, "absent")
    assert (ours(network), "a camera" in ipset(network, "list", name)) == ([name], True)


# What a router may lack


NO_RESTORE = "ipset() { case $1 in restore) echo 'ipset v6.38: Unknown command' >&2; return 2;; esac; command ipset \"$@\"; }\n"


def test_commands_of_their_own_where_ipset_has_no_restore(legacy: Lab) -> None:
    """More of them than fit into one exchange; of what is pruned in several, nothing is lost."""
    network = legacy
    hosts = [f"192.168.2.{number}" for number in range(2, 112)]
    done = bring(network, hosts=hosts, start=NO_RESTORE)
    assert (done.backend.hosts(), codes(done.backend)) == (hosts, [])
    lines = [f"add -exist {name} {host} packets 1 bytes 100\n" for name in ours(network) if "4_" in name for host in hosts]
    ipset(network, "restore", stdin="".join(lines))
    done = bring(network, hosts=hosts[:2], prune=True, start=NO_RESTORE)
    assert (done.backend.hosts(), passed(done.before)) == (hosts[:2], dict.fromkeys(hosts, Passed(100, 1, 100, 1)))


NO_IPSET = "ipset() { nosuchcommand; }\n"
OLD_IPSET = (
    "ipset() { case \"$*\" in *counters*) echo \"ipset v6.11: Unknown argument: \\`counters'\" >&2; return 2;; esac; "
    'command ipset "$@"; }\n'
)
NO_KERNEL = "ipset() { echo 'ipset v6.38: Cannot open session to kernel.' >&2; return 1; }\n"
NO_MATCH = (
    "iptables() { case \"$*\" in *set*) echo \"iptables v1.8.9: Couldn't load match \\`set': No such file or directory\" >&2; return 2;; "
    'esac; command iptables "$@"; }\n'
)
LACKS = {
    NO_IPSET: "cannot count with ipset: it has no command ipset",
    OLD_IPSET: "has no sets of addresses that count .*Unknown argument: `counters'",
    NO_KERNEL: "ipset does not work there .*Cannot open session to kernel",
    NO_MATCH: "its iptables cannot look into sets that count; .*Couldn't load match `set'",
}


@pytest.mark.parametrize("start", LACKS, ids=["no ipset", "old ipset", "no kernel", "no match"])
def test_what_a_router_may_lack(legacy: Lab, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = legacy
    for name in ("SETS_PAY", "SETS_PAY_ON_NFT"):
        monkeypatch.setattr(_backends, name, 2)
    before = others(network)
    with pytest.raises(TrafficError, match=LACKS[start] + ".* Set traffic_backend to auto or iptables."):
        bring(network, hosts=addresses(network, 2), start=start)
    assert (others(network), ours(network), "TRAFFIC" in network.iptables("-S")) == (before, [], False)
    start += "nft() { nosuchcommand; }\n"
    assert bring(network, hosts=addresses(network, 2), start=start, backend="auto").backend.name == "iptables"
    assert read(network, start=start).name == "iptables"


def test_a_router_that_has_lost_its_ipset(legacy: Lab) -> None:
    bring(legacy, hosts=addresses(legacy, 1))
    for state in ("present", "empty", "absent"):
        with pytest.raises(TrafficError, match="not listed: it has no command ipset, .* or take chain and sets away by hand"):
            bring(legacy, state, hosts=addresses(legacy, 1), backend="auto", start=NO_IPSET)


@pytest.mark.parametrize("kind", BACKENDS)
def test_auto_takes_sets_from_where_they_pay(kind: str) -> None:
    with lab(hosts=1, backend=kind, without=("nft",), servers=()) as network:
        few = {"legacy": 499, "nft": 16}[kind]
        hosts = [f"192.168.{number // 250 + 1}.{number % 250 + 2}" for number in range(few + 1)]
        for wanted in (hosts[:few], hosts):
            done = bring(network, hosts=wanted, backend="auto")
            assert done.backend.name == "iptables" if len(wanted) == few else "ipset"
            assert done.backend.hosts() == wanted
            bring(network, "absent", backend="auto")
            assert (ours(network), "TRAFFIC" in network.iptables("-S")) == ([], False)


def test_rules_of_others_that_look_into_our_sets_are_respected(legacy: Lab) -> None:
    network = legacy
    bring(network, hosts=addresses(network, 1))
    name = next(name for name in ours(network) if "_D4_" in name)
    network.iptables("-A", "FORWARD", "-m", "set", "--match-set", name, "dst", "-j", "ACCEPT")
    before = network.iptables("-S")
    for state in ("absent", "empty"):
        with pytest.raises(ChainError, match=f"did not make look into the set {name}, so it cannot be removed, and nothing was"):
            bring(network, state)
    assert network.iptables("-S") == before
    network.iptables("-D", "FORWARD", "-m", "set", "--match-set", name, "dst", "-j", "ACCEPT")
    bring(network, "absent")
    assert ours(network) == []


# Faults


class SetFirewall(Firewall):
    """The same with ``ipset save`` of all sets behind it."""

    @classmethod
    def of(cls, text: str) -> SetFirewall:
        rules, _mark, sets = text.partition("#sets\n")
        found = super().of(rules)
        assert isinstance(found, SetFirewall)
        # A rule that looks into a set only passes on; the set has counted.
        found.ours = [(re.sub("_[0-9a-f]{8} ", " ", rule), (0, 0) if "match-set" in rule else counted) for rule, counted in found.ours]
        for line in sets.splitlines():
            words = line.split()
            if not re.fullmatch("TRAFFIC_[DU]4_(?!0badcafe)[0-9a-f]{8}", words[1]):
                found.foreign.append((line, (0, 0)))
                continue
            way = "-i ppp0" if "_D" in words[1] else "-o ppp0"
            row = f"{words[0]} {way}" if words[0] == "create" else f"add {way} {words[2]}"
            found.ours.append((row, (int(words[4]), int(words[6])) if words[0] == "add" else (0, 0)))
        return found


class SetPatient(Patient):
    """Who counts with sets."""

    plans = {name: tuple(order and Order(order.state, order.hosts, backend="ipset") for order in both) for name, both in PLANS.items()}  # type: ignore[misc]

    def save(self) -> str:
        """See Patient."""
        sets = sorted(ipset(self.network, "save").splitlines(), key=lambda line: "create" not in line)
        return super().save() + "#sets\n" + "".join(f"{line}\n" for line in sets)

    def restore(self, text: str) -> None:
        """See Patient."""
        rules, _mark, sets = text.partition("#sets\n")
        super().restore(re.sub(r"(?m)^.*match-set.*\n", "", rules))
        for name in ours(self.network):
            ipset(self.network, "destroy", name)
        mine = [line for line in sets.splitlines() if re.search("TRAFFIC_[DU]4_(?!0badcafe)[0-9a-f]{8}", line)]
        ipset(self.network, "restore", stdin="".join(f"{line}\n" for line in mine))
        super().restore(rules)

    def read(self, text: str) -> Firewall:
        """See Patient."""
        return SetFirewall.of(text)

    def wanted(self, order: Order) -> list[str]:
        """See Patient."""
        if order.state == "absent":
            return []
        chain = ["*filter :TRAFFIC -", "*filter -A FORWARD -j TRAFFIC"]
        if order.state == "empty":
            return sorted(chain)
        looks = ["-i ppp0 -m set --match-set TRAFFIC_D4 dst -j RETURN", "-o ppp0 -m set --match-set TRAFFIC_U4 src -j RETURN"]
        rules = [f"*filter -A TRAFFIC {rule}" for rule in ("MARKER", *looks, "-i ppp0", "-o ppp0")]
        sets = [f"{what} {way}" for way in ("-i ppp0", "-o ppp0") for what in ("create",)]
        return sorted([*chain, *rules, *sets, *(f"add {way} {host}" for way in ("-i ppp0", "-o ppp0") for host in order.hosts)])


KINDS = [("legacy", ()), ("nft", ("iptables-restore",))]


@pytest.fixture(scope="module")
def patient(request: pytest.FixtureRequest) -> Iterator[Patient]:
    kind, without = request.param
    with lab(hosts=2, backend=kind, without=without, servers=("telnet",)) as network, passing(network) as packets:
        foreign_sets(network)
        yield SetPatient(network, packets)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("patient", KINDS[:1], ids=["legacy"], indirect=True)
def test_cut_at_random_bytes(patient: Patient, plan: str) -> None:
    chance = random.Random(f"ipset {plan}")
    struck = 0
    for name in LINES:
        way = patient.lines[name]
        up, down = patient.undisturbed(plan, way)
        for number in range(5):
            way.limit(*((chance.randrange(up), None) if number % 2 else (None, chance.randrange(down))))
            struck += patient.cut_and_finish(plan, way)
    assert struck > 6


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("patient", KINDS, ids=["legacy", "nft-no-restore"], indirect=True)
def test_cut_before_in_and_after_every_command(patient: Patient, plan: str) -> None:
    stops = patient.stops = patient.stops or Stops(patient.network)
    way = patient.lines["exec"]
    patient.prepare(plan)
    stops.reset()
    patient.undisturbed(plan, way)
    calls = stops.calls
    changes = [number for number, call in enumerate(calls, 1) if not re.search("-nvxL|ipset list|maxelem$|--help|--version", call)]
    assert changes

    for number in changes:

        def this_command_was_finished_and_no_other_begun(number: int = number) -> None:
            # Listing the sets is one command, though it calls ipset for each.
            assert [call for call in stops.calls[number:] if not call.startswith("ipset list")] == ["finished"]

        assert patient.cut_and_finish(plan, way, stops.at(number, "before", way.cut), this_command_was_finished_and_no_other_begun)
    for number in changes:
        if "restore" in calls[number - 1]:
            patient.cut_and_finish(plan, way, stops.at(number, "in", way.cut))


class SetNeighborhood(Neighborhood):
    """Two control nodes that count with sets, and know nothing of each other."""

    def prepare(self, order: Order | None) -> None:
        """See Neighborhood."""
        super().prepare(None)
        for name in ours(self.network):
            ipset(self.network, "destroy", name)
        super().prepare(order)

    def counted(self) -> dict[str, tuple[int, int]]:
        """See Neighborhood."""
        counted = everything(read(self.network).counted())
        return {"-i ppp0": (counted.download_packets, counted.download_bytes), "-o ppp0": (counted.upload_packets, counted.upload_bytes)}


PRESENT = Order("present", HOSTS, backend="ipset")
PAIRS: dict[str, tuple[Order | None, Order, Order]] = {
    "two set-ups": (None, PRESENT, PRESENT),
    "with different hosts": (None, Order("present", HOSTS[:1], backend="ipset"), PRESENT),
    "a removal": (PRESENT, Order("absent", backend="ipset"), PRESENT),
}


@pytest.mark.parametrize(("kind", "pair"), [(KINDS[0], "two set-ups"), (KINDS[1], "with different hosts"), (KINDS[1], "a removal")])
def test_another_sets_up_in_between(kind: tuple[str, tuple[str, ...]], pair: str) -> None:
    """All of it between any two commands of ours. No byte is lost or doubled, and one more run leaves nothing that is not needed."""
    first, mine, theirs = PAIRS[pair]
    with lab(hosts=2, backend=kind[0], without=kind[1], servers=()) as network, passing(network) as packets:
        neighborhood = SetNeighborhood(network, packets)
        foreign = others(network)
        neighborhood.calls(first, mine)
        calls = neighborhood.stops.calls
        change = next(number for number, call in enumerate(calls, 1) if not re.search("-nvxL|ipset list|maxelem$|--help|--version", call))
        for number in range(change, len(calls) + 1):
            neighborhood.prepare(first)
            was = neighborhood.counted()
            with neighborhood.stops.at(number, "before", lambda: neighborhood.they_bring(theirs)):
                try:
                    neighborhood.ours.bring(mine)
                except TrafficError:
                    assert mine.state == "absent", number
            if mine.state == "absent":
                neighborhood.ours.bring(mine)
                assert (ours(network), "TRAFFIC" in network.iptables("-S"), others(network)) == ([], False, foreign)
                continue
            counted = neighborhood.counted()
            assert {way: (counted[way][0] - was[way][0], counted[way][1] - was[way][1]) for way in was} == neighborhood.passed, number
            neighborhood.ours.bring(PRESENT)
            rules = network.iptables("-S")
            assert (rules.count("-A FORWARD -j TRAFFIC"), len(ours(network)), codes(read(network))) == (1, 2, []), number
