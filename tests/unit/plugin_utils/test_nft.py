# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table: what is planned, what it says has been counted, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import ZERO, Counted, Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft import (
    NftWanted,
    as_lines,
    for_people,
    plan_absent,
    plan_empty,
    plan_present,
    plan_stop,
    transaction,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_state import counted, hosts_of, status
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import (
    NftChain,
    NftError,
    NftRule,
    NftSet,
    NftSettings,
    NftTable,
    foreign,
    marker,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

SETTINGS = NftSettings()
MARKER = "0123456789abcdef"
WANTED = NftWanted(("192.168.1.2", "192.168.1.10", "2001:db8:1::2"), ("ppp0",))

FROM_NOTHING = """\
create table inet homenet_traffic
create counter inet homenet_traffic rest_download
create counter inet homenet_traffic rest_upload
create set inet homenet_traffic hosts4 { type ipv4_addr; size 2048; flags dynamic; }
create set inet homenet_traffic hosts6 { type ipv6_addr; size 2048; flags dynamic; }
create set inet homenet_traffic download4 { type ipv4_addr; size 2048; flags dynamic; }
create set inet homenet_traffic download6 { type ipv6_addr; size 2048; flags dynamic; }
create set inet homenet_traffic upload4 { type ipv4_addr; size 2048; flags dynamic; }
create set inet homenet_traffic upload6 { type ipv6_addr; size 2048; flags dynamic; }
create chain inet homenet_traffic marker_0123456789abcdef
create chain inet homenet_traffic learn
create chain inet homenet_traffic download
create chain inet homenet_traffic upload
create chain inet homenet_traffic forward { type filter hook forward priority -5; policy accept; }
add rule inet homenet_traffic learn add @hosts4 { ip saddr } add @upload4 { ip saddr counter } return
add rule inet homenet_traffic learn add @hosts6 { ip6 saddr } add @upload6 { ip6 saddr counter } return
add rule inet homenet_traffic learn counter name rest_upload
add rule inet homenet_traffic download ip daddr @download4 return
add rule inet homenet_traffic download ip6 daddr @download6 return
add rule inet homenet_traffic download ip daddr @hosts4 add @download4 { ip daddr counter } return
add rule inet homenet_traffic download ip6 daddr @hosts6 add @download6 { ip6 daddr counter } return
add rule inet homenet_traffic download counter name rest_download
add rule inet homenet_traffic upload ip saddr @upload4 return
add rule inet homenet_traffic upload ip6 saddr @upload6 return
add rule inet homenet_traffic upload ip saddr @hosts4 add @upload4 { ip saddr counter } return
add rule inet homenet_traffic upload ip6 saddr @hosts6 add @upload6 { ip6 saddr counter } return
add rule inet homenet_traffic upload iifname "ppp0" counter name rest_upload return
add rule inet homenet_traffic upload ip saddr 10.0.0.0/8 goto learn
add rule inet homenet_traffic upload ip saddr 100.64.0.0/10 goto learn
add rule inet homenet_traffic upload ip saddr 172.16.0.0/12 goto learn
add rule inet homenet_traffic upload ip saddr 192.168.0.0/16 goto learn
add rule inet homenet_traffic upload ip6 saddr 2000::/3 goto learn
add rule inet homenet_traffic upload ip6 saddr fc00::/7 goto learn
add rule inet homenet_traffic upload counter name rest_upload
add rule inet homenet_traffic forward iifname "ppp0" jump download
add rule inet homenet_traffic forward oifname "ppp0" jump upload
add element inet homenet_traffic hosts4 { 192.168.1.2, 192.168.1.10 }
add element inet homenet_traffic hosts6 { 2001:db8:1::2 }
"""


def made(wanted: NftWanted = WANTED, settings: NftSettings = SETTINGS, table: NftTable | None = None) -> NftTable:
    after = plan_present(settings, table, wanted, MARKER).after
    assert after
    return after


def with_counts(table: NftTable, name: str, counts: Mapping[str, Counter]) -> NftTable:
    return with_set(table, name, {**table.sets[name].elements, **counts})


def with_set(table: NftTable, name: str, elements: Mapping[str, Counter | None]) -> NftTable:
    return replace(table, sets={**table.sets, name: replace(table.sets[name], elements=elements)})


def with_rules(table: NftTable, chain: str, *words: str) -> NftTable:
    rules = tuple(NftRule(one) for one in words)
    return replace(table, chains={**table.chains, chain: replace(table.chains[chain], rules=rules)})


def without(table: NftTable, **gone: str) -> NftTable:
    """Without one counter, set or chain: ``without(table, sets="hosts4")``."""
    kind, name = next(iter(gone.items()))
    return replace(table, **{kind: {key: value for key, value in getattr(table, kind).items() if key != name}})


def short(lines: Any) -> list[str]:
    return [line.replace(" inet homenet_traffic", "") for line in lines]


# Planning


def test_the_table_is_made_by_one_transaction() -> None:
    assert "".join(f"{line}\n" for line in plan_present(SETTINGS, None, WANTED, MARKER).lines) == FROM_NOTHING
    assert transaction(["delete table inet homenet_traffic"]) == "nft -f - <<'END'\ndelete table inet homenet_traffic\nEND"
    assert transaction(["x"], check=True).startswith("nft -c -f - <<'END'\n")


def test_what_is_there_is_not_made_again() -> None:
    assert plan_present(SETTINGS, made(), WANTED, "f" * 16).lines == ()
    assert plan_present(SETTINGS, made(), replace(WANTED, hosts=()), "f" * 16).lines == ()


def test_without_learning_only_the_given_hosts_are_in_the_sets() -> None:
    lines = short(plan_present(NftSettings(learn=False), made(), WANTED, MARKER).lines)
    assert lines[0] == "flush chain upload"
    assert not any("goto" in line or "iifname" in line for line in lines)
    assert lines[-1] == "add rule upload counter name rest_upload"


def test_another_interface_changes_rules_and_nothing_else() -> None:
    lines = short(plan_present(SETTINGS, made(), replace(WANTED, interfaces=("eth0.2", "wwan0")), MARKER).lines)
    assert {line.split()[2] for line in lines} == {"upload", "forward"}
    assert {" ".join(line.split()[:2]) for line in lines} == {"flush chain", "add rule"}
    assert lines[-5:] == [
        "flush chain forward",
        'add rule forward iifname "eth0.2" jump download',
        'add rule forward iifname "wwan0" jump download',
        'add rule forward oifname "eth0.2" jump upload',
        'add rule forward oifname "wwan0" jump upload',
    ]


@pytest.mark.parametrize(
    ("gone", "first"),
    [
        ({"counters": "rest_upload"}, "create counter rest_upload"),
        ({"sets": "upload6"}, "create set upload6 { type ipv6_addr; size 2048; flags dynamic; }"),
        ({"chains": "learn"}, "create chain learn"),
        ({"chains": f"marker_{MARKER}"}, f"create chain marker_{'f' * 16}"),
        ({"chains": "forward"}, "create chain forward { type filter hook forward priority -5; policy accept; }"),
    ],
)
def test_what_is_missing_is_made_again(gone: dict[str, str], first: str) -> None:
    plan = plan_present(SETTINGS, without(made(), **gone), WANTED, "f" * 16)
    assert short(plan.lines)[0] == first
    assert plan.after and plan_present(SETTINGS, plan.after, WANTED, MARKER).lines == ()


def test_the_lans_own_networks_are_learned_too() -> None:
    lines = short(plan_present(SETTINGS, None, replace(WANTED, networks=("198.51.100.0/24",)), MARKER).lines)
    at = lines.index("add rule upload ip saddr 198.51.100.0/24 goto learn")
    assert lines[at + 1] == "add rule upload counter name rest_upload"


def test_hosts_that_left_stay_unless_they_are_pruned() -> None:
    table = with_counts(made(), "upload4", {"192.168.1.2": Counter(3, 400), "10.0.0.9": Counter(1, 40)})
    new = NftWanted(("192.168.1.3", "192.168.1.10"), ("ppp0",))
    assert short(plan_present(SETTINGS, table, new, MARKER).lines) == ["add element hosts4 { 10.0.0.9, 192.168.1.3 }"]
    plan = plan_present(SETTINGS, table, replace(new, prune=True), MARKER)
    assert short(plan.lines) == [
        "delete element hosts4 { 192.168.1.2 }",
        "delete element upload4 { 10.0.0.9, 192.168.1.2 }",
        "add element hosts4 { 192.168.1.3 }",
    ]
    assert hosts_of(plan.after) == ["192.168.1.3", "192.168.1.10", "2001:db8:1::2"]  # of IPv6, nothing is known
    only = plan_present(NftSettings(learn=False), table, replace(new, prune=True), MARKER)
    assert hosts_of(only.after) == ["192.168.1.3", "192.168.1.10"]  # a list says all


def test_a_full_set_takes_as_many_as_it_has_room_for() -> None:
    settings = NftSettings(size=2)
    table = made(NftWanted(("10.0.0.1",), ("ppp0",)), settings)
    plan = plan_present(settings, table, NftWanted(("10.0.0.4", "10.0.0.3"), ("ppp0",)), MARKER)
    assert short(plan.lines) == ["add element hosts4 { 10.0.0.3 }"]
    assert plan.after and plan_present(settings, plan.after, NftWanted(("10.0.0.4",), ("ppp0",)), MARKER).lines == ()


def test_there_is_room_for_twice_the_hosts_and_no_line_is_too_long() -> None:
    hosts = tuple(f"10.0.{number // 250}.{number % 250 + 1}" for number in range(4000))
    lines = plan_present(SETTINGS, None, NftWanted(hosts, ("ppp0",)), MARKER).lines
    assert [line for line in lines if "size 8192" in line and "hosts4" in line]
    assert [line for line in lines if "size 2048" in line and "hosts6" in line]
    assert max(map(len, lines)) <= 480
    assert sum(line.count(",") + 1 for line in lines if "element" in line) == 4000


def test_emptied_it_keeps_table_and_hook() -> None:
    table = with_counts(made(), "upload4", {"192.168.1.2": Counter(3, 400)})
    stop = plan_stop(SETTINGS, table)
    assert short(stop.lines) == ["flush chain forward"]
    plan = plan_empty(SETTINGS, stop.after)
    assert short(plan.lines) == [
        "flush chain upload", "flush chain download", "flush chain learn",
        f"delete chain marker_{MARKER}", "delete chain learn", "delete chain download", "delete chain upload",
        "delete set hosts4", "delete set hosts6", "delete set download4", "delete set download6",
        "delete set upload4", "delete set upload6",
        "delete counter rest_download", "delete counter rest_upload",
    ]  # fmt: skip
    empty = NftTable("inet", "homenet_traffic", chains={"forward": NftChain((), "forward", -5, "accept")})
    assert plan.after == empty
    assert (plan_stop(SETTINGS, empty).lines, plan_empty(SETTINGS, empty).lines) == ((), ())
    assert plan_present(SETTINGS, empty, WANTED, MARKER).after == made()


def test_absent_takes_the_table_away() -> None:
    assert plan_absent(SETTINGS, made()).lines == ("delete table inet homenet_traffic",)
    assert plan_absent(SETTINGS, made()).after is None
    for plan in (plan_absent, plan_empty, plan_stop):
        assert plan(SETTINGS, None).lines == ()


FOREIGN = {
    "map x": {"others": ("map x",)},
    "counter x": {"counters": {"x": ZERO}},
    "set x": {"sets": {"x": NftSet("ipv4_addr")}},
    "set hosts4": {"sets": {"hosts4": NftSet("inet_service")}},
    "set hosts6": {"sets": {"hosts6": NftSet("ipv6_addr", None, {"x": None, "10.0.0.1-10.0.0.9": ZERO})}},
    "set upload4": {"sets": {"upload4": NftSet("ipv4_addr", None, {"10.0.0.1": None})}},
    "set upload6": {"sets": {"upload6": NftSet("ipv6_addr", None, {"10.0.0.1": ZERO})}},
    "chain x": {"chains": {"x": NftChain()}},
    "chain forward": {"chains": {"forward": NftChain((), "forward", 0, "accept")}},
    "chain upload": {"chains": {"upload": NftChain((), "input", -5, "accept")}},
    "chain marker_0123456789abcdef": {"chains": {f"marker_{MARKER}": NftChain((NftRule("return"),))}},
    "rule `drop` of chain upload": {"chains": {"upload": NftChain((NftRule("drop"),))}},
    'rule `iifname "ppp0" jump download` of chain forward': {
        "chains": {"forward": NftChain((NftRule('iifname "ppp0" jump download', comment="mine"),), "forward", -5, "accept")}
    },
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_somebody_elses_is_refused_and_named(name: str) -> None:
    table = replace(NftTable("inet", "homenet_traffic"), **FOREIGN[name])
    assert name in foreign(table)
    for plan in (plan_stop, plan_empty, plan_absent):
        with pytest.raises(NftError, match="did not make"):
            plan(SETTINGS, table)
    with pytest.raises(NftError, match="did not make"):
        plan_present(SETTINGS, table, WANTED, MARKER)
    assert status(SETTINGS, table, ["ppp0"]).problems[0].code == "foreign_rule"
    assert set(counted(table).hosts) <= {"10.0.0.1"}
    assert len(for_people(as_lines(SETTINGS, table))) >= 1


@pytest.mark.parametrize("verdict", ["drop", "accept", "reject", "queue to 0", "dnat to 10.0.0.1", "mark set 1", 'log prefix "x"'])
@pytest.mark.parametrize("rule", FROM_NOTHING.splitlines())
def test_no_rule_that_decides_passes_for_one_of_ours(rule: str, verdict: str) -> None:
    words = rule.split(None, 5)[5] if rule.startswith("add rule") else ""
    for changed in (f"{words} {verdict}", f"{verdict} {words}", words.replace("return", verdict).replace("goto learn", verdict)):
        if changed.strip() != words:
            table = NftTable("inet", "homenet_traffic", chains={"upload": NftChain((NftRule(changed.strip()),))})
            assert foreign(table)


@pytest.mark.parametrize(
    "host",
    ["", "x", "192.168.1", "192.168.1.02", "192.168.1.2/32", "192.168.1.2;", "224.0.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255", "::",
     "::1", "fe80::1", "fe80::1%eth0", "fd00::1%eth0", "ff02::1", "2001:DB8::1", "2001:db8:0::1", "::ffff:10.0.0.1", "@hosts4",
     "10.0.0.1, 10.0.0.2"],
)  # fmt: skip
def test_what_is_no_address_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(NftError):
        NftWanted((host,), ("ppp0",))


@pytest.mark.parametrize("interface", ["", 'ppp0"', "ppp0 ", "ppp*", "a" * 16, "-i", "ppp0\n", "$x", "é"])
def test_what_is_no_interface_is_refused(interface: str) -> None:
    with pytest.raises(TrafficError):
        NftWanted((), (interface,))


@pytest.mark.parametrize(
    "network", ["", "0.0.0.0/0", "::/0", "10.0.0.1/8", "10.0.0.1", "10.0.0.1/32", "fe80::%1/64", "x/8", "10.0.0.0/255.0.0.0"]
)
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(NftError):
        NftWanted((), (), networks=(network,))


@pytest.mark.parametrize("name", ["fw4", "homenet_", "homenet_traffic;", "homenet_Traffic", "filter", "homenet_x y", "homenet_" + "x" * 21])
def test_a_table_that_could_be_somebody_elses_is_refused(name: str) -> None:
    with pytest.raises(NftError):
        NftSettings(table=name)


@pytest.mark.parametrize("size", [0, -1, 65537])
def test_a_size_that_is_none_is_refused(size: int) -> None:
    with pytest.raises(NftError):
        NftSettings(size=size)


def test_a_diff_shows_what_would_make_the_table() -> None:
    table = with_counts(made(), "upload4", {"192.168.1.2": Counter(3, 400)})
    lines = as_lines(SETTINGS, table)
    one_by_one = FROM_NOTHING.replace("{ 192.168.1.2, 192.168.1.10 }", "{ 192.168.1.2 }").splitlines()
    assert sorted(lines) == sorted([*one_by_one, "add element inet homenet_traffic hosts4 { 192.168.1.10 }"])
    assert as_lines(SETTINGS, None) == []
    assert for_people(lines)[:2] == ["nft create table inet homenet_traffic", "nft create counter inet homenet_traffic rest_download"]
    assert for_people(lines)[-1] == "nft 'add element inet homenet_traffic hosts6 { 2001:db8:1::2 }'"


# What was counted, and what is wrong


def test_a_host_without_a_counter_has_counted_nothing_yet() -> None:
    table = with_counts(made(), "upload4", {"192.168.1.2": Counter(3, 400), "9.9.9.9": Counter(1, 28)})
    table = with_counts(table, "download6", {"2001:db8:1::2": Counter(9, 9000)})
    table = replace(table, counters={"rest_download": Counter(1, 2), "rest_upload": Counter(3, 4)})
    assert list(counted(table).hosts) == ["9.9.9.9", "192.168.1.2", "192.168.1.10", "2001:db8:1::2"]
    assert counted(table).hosts["192.168.1.2"] == {"download": ZERO, "upload": Counter(3, 400)}
    assert counted(table).hosts["2001:db8:1::2"] == {"download": Counter(9, 9000), "upload": ZERO}
    assert counted(table).rest == {"download": Counter(1, 2), "upload": Counter(3, 4)}
    assert counted(None) == Counted({}, None)
    assert counted(without(table, counters="rest_upload")).rest is None
    assert counted(without(table, sets="upload4")).hosts["192.168.1.2"]["upload"] is None


def codes(table: NftTable | None, *interfaces: str) -> list[str]:
    return [one.code for one in status(SETTINGS, table, interfaces or ("ppp0",)).problems]


def test_problems() -> None:
    table = made()
    assert codes(table) == []
    assert codes(made(settings=NftSettings(learn=False))) == []
    assert codes(made(replace(WANTED, networks=("198.51.100.0/24",)))) == []
    assert codes(None) == ["chain_missing"]
    assert codes(without(table, chains="forward")) == ["jump_missing"]
    assert codes(plan_empty(SETTINGS, table).after) == ["no_catch_all"]
    assert codes(table, "ppp0", "wwan0") == ["wan_changed"]
    down, up = (rule.words for rule in table.chains["forward"].rules)
    assert codes(with_rules(table, "forward", down)) == ["wan_changed", "rules_differ"]
    assert codes(with_rules(table, "forward", down, up, up)) == ["rules_differ"]
    assert codes(with_rules(table, "download", *[rule.words for rule in table.chains["download"].rules][:-1])) == ["rules_differ"]
    assert codes(with_rules(table, "learn")) == ["rules_differ"]
    assert codes(without(table, sets="hosts6")) == ["rules_differ"]
    assert codes(without(table, counters="rest_upload")) == ["rules_differ"]


@pytest.mark.parametrize(("hosts", "size", "told"), [(6, 8, ""), (7, 8, "7 of 8"), (8, 8, "All 8")])
def test_a_full_set_is_told_in_time(hosts: int, size: int, told: str) -> None:
    names = tuple(f"fd00::{number:x}" for number in range(1, hosts + 1))
    table = with_set(made(settings=NftSettings(size=size)), "hosts6", dict.fromkeys(names))
    full = [one for one in status(SETTINGS, with_set(table, "hosts4", {}), ["ppp0"]).problems if one.code == "set_full"]
    assert [told in one.message for one in full] == [True] * bool(told)


def test_status() -> None:
    state = status(SETTINGS, made(), ["ppp0"])
    assert (state.installed, state.jump_position, state.references, state.hosts, state.marker) == (True, None, None, 3, MARKER)
    state = status(SETTINGS, None, ["ppp0"])
    assert (state.installed, state.hosts, state.marker) == (False, 0, None)
    assert marker(None) is None
