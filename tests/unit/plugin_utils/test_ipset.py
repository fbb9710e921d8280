# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of ipset: what a listing says, what is planned, and what was counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Match,
    Observed,
    Settings,
    Wanted,
    command,
    restore_command,
    set_name,
    set_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    SetMatch,
    host_rule,
    jump_rule,
    marker_rule,
    set_match_of,
    set_rule,
    uses_sets,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset import (
    as_lines,
    is_sound,
    plan_chain,
    plan_sets,
    probe_command,
    simulate_sets,
    single_commands,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset import (
    restore_command as ipset_restore,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_list import has_sets, list_command
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet, NotUnderstood, Sets, names, read_sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_state import left_over, problems, total
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule
from ansible_collections.homenet.traffic.tests.unit.plugin_utils import reading

FIXTURES = reading.FIXTURES / reading.IPSET
SETTINGS = Settings()
LIFE = Marker("127.81.4.9", "127.200.7.33")
NEW = Marker("127.1.2.3", "127.4.5.6")
DOWN, UP = (set_name(SETTINGS, direction, LIFE) for direction in ("download", "upload"))
HOSTS = ("192.168.1.2", "192.168.1.10")
FORWARD = Chain("FORWARD", None, "DROP", (Rule(7, 700, "ACCEPT", None, "br0", None, None, None),))
BARE = Observed(None, FORWARD)


def wanted(*hosts: str, wan: Sequence[str] = ("ppp0",), prune: bool = False) -> Wanted:
    return Wanted(hosts, tuple(wan), prune)


def installed(*hosts: str, wan: Sequence[str] = ("ppp0",)) -> tuple[Observed, Sets]:
    sets = simulate_sets({}, plan_sets(SETTINGS, {}, wanted(*hosts), LIFE))
    return simulate(SETTINGS, BARE, plan_chain(SETTINGS, BARE, wanted(*hosts, wan=wan), LIFE)), sets


def codes(observed: Observed, sets: Sets, *wan: str) -> list[str]:
    return [one.code for one in problems(SETTINGS, observed, sets, wan or ["ppp0"])]


def with_rules(observed: Observed, *rules: Rule) -> Observed:
    assert observed.chain
    return replace(observed, chain=replace(observed.chain, rules=rules))


# Reading


@pytest.mark.parametrize("pair", list(reading.pairs(FIXTURES)), ids=lambda pair: pair.path.stem)
def test_listings_of_every_age(pair: reading.Pair) -> None:
    text = pair.text
    found = read_sets(text, "TRAFFIC")
    assert [
        {"set": name, "key": address, "packets": counter.packets, "bytes": counter.bytes}
        for name, one in found.items()
        for address, counter in one.elements.items()
    ] == pair.expected[0]["records"]
    assert [(one.family, one.direction, one.room, one.references) for one in found.values()] == [
        (4, "download", 4096, 1), (4, "upload", 4096, 1), (6, "download", 65536, 2), (6, "upload", 65536, 0)
    ]  # fmt: skip
    assert has_sets(text, "TRAFFIC")
    assert not has_sets(text, "TRAFFI")


def test_a_listing_that_was_cut_is_an_error() -> None:
    """At each byte, in the version that does not count its entries; or whole sets are missing, which the chain tells."""
    text = (FIXTURES / "list_6_20.txt").read_text(encoding="ascii")
    whole = read_sets(text, "TRAFFIC")
    for length in range(len(text)):
        try:
            found = read_sets(text[:length], "TRAFFIC")
        except NotUnderstood:
            continue
        assert found.items() <= whole.items(), length


WRONG = {
    "another address": ("192.168.1.10 packets", "192.168.1.2 packets", "stands twice"),
    "no counters": ("192.168.1.10 packets 0 bytes 0", "192.168.1.10", "no address with its counters"),
    "a part": ("bytes 1684002", "bytes 1684K", "no address with its counters"),
    "a name": ("192.168.1.10 packets", "ali-laptop packets", "no address with its counters"),
    "a network": ("192.168.1.10 packets", "192.168.1.0/24 packets", "no address with its counters"),
    "too much": ("bytes 1684002", "bytes 18446744073709551616", "no number that the kernel counts to"),
    "too few": ("192.168.1.10 packets 0 bytes 0\n", "", "has 2 addresses, and 1 were listed"),
    "the other family": ("192.168.1.10 packets", "2001:db8::1 packets", "of the other kind"),
    "words between": ("Members:\n", "Members:\nsomething else\n", "no address with its counters"),
    "words before": ("Name: TRAFFIC_D4", "oops\nName: TRAFFIC_D4", "line 1 is no beginning of a set"),
    "no head": ("Type: hash:ip\n", "hash:ip\n", "says nothing of a set"),
    "another end": ("End: TRAFFIC_D4_0f3a9c21", "End: TRAFFIC_D4_0f3a9c22", "has no end"),
    "no room": ("maxelem 4096", "maxelem many", "no number"),
    "twice": ("TRAFFIC_U4_0f3a9c21", "TRAFFIC_D4_0f3a9c21", "a second time"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_understood(case: str) -> None:
    text = (FIXTURES / "list_7_17.txt").read_text(encoding="ascii")
    old, new, message = WRONG[case]
    assert old in text
    with pytest.raises(NotUnderstood, match=message):
        read_sets(text.replace(old, new) if case == "twice" else text.replace(old, new, 1), "TRAFFIC")


@pytest.mark.parametrize("kind", ["counters comment", "counters skbinfo", "timeout 100 counters", "bucketsize 12"])
def test_sets_of_another_kind_are_named_and_not_read(kind: str) -> None:
    text = (FIXTURES / "list_7_17.txt").read_text(encoding="ascii")
    all_of_them = list(read_sets(text, "TRAFFIC"))
    text = text.replace(" counters", f" {kind}", 1).replace("192.168.1.10 packets 0 bytes 0", '192.168.1.10 comment "his"', 1)
    assert list(read_sets(text, "TRAFFIC")) == all_of_them[1:]
    assert names(text) == set(all_of_them)


def test_other_chains_have_other_sets() -> None:
    text = (FIXTURES / "list_7_17.txt").read_text(encoding="ascii")
    assert read_sets(text, "TRAFFIC_D4_0f3a") == read_sets(text, "T") == {}


# Commands


def test_commands() -> None:
    assert as_lines({DOWN: AddressSet(DOWN, 4096, dict.fromkeys(HOSTS, Counter(1, 2)))}) == [
        f"create {DOWN} hash:ip family inet counters maxelem 4096", f"add {DOWN} 192.168.1.2", f"add {DOWN} 192.168.1.10"
    ]  # fmt: skip
    assert probe_command("ipset", SETTINGS) == "ipset create TRAFFIC_probe hash:ip family inet counters maxelem"
    assert ipset_restore("ipset", ["add x 1", "add x 2"]) == "ipset restore <<'END'\nadd x 1\nadd x 2\nEND"
    assert single_commands("/usr/sbin/ipset", ["destroy x"]) == ["/usr/sbin/ipset destroy x"]
    hexadecimal = "[0-9a-f]" * 8
    assert list_command("ipset", "TRAFFIC") == (
        f"( set -f; n=$(ipset list -n) || exit; for n in $n; do case $n in TRAFFIC_[DU][46]_{hexadecimal}) "
        'ipset list "$n" && echo "End: $n" || exit ;; esac; done )'
    )


def test_a_rule_that_looks_into_a_set() -> None:
    steps = plan_chain(SETTINGS, BARE, wanted(*HOSTS), LIFE)
    assert [command(SETTINGS, step) for step in steps] == [
        "iptables -N TRAFFIC",
        "iptables -s 127.81.4.9 -d 127.200.7.33 -A TRAFFIC",
        f"iptables -i ppp0 -m set --match-set {DOWN} dst -j RETURN -A TRAFFIC",
        f"iptables -o ppp0 -m set --match-set {UP} src -j RETURN -A TRAFFIC",
        "iptables -i ppp0 -A TRAFFIC",
        "iptables -o ppp0 -A TRAFFIC",
        "iptables -j TRAFFIC -I FORWARD 1",
    ]
    assert "--match-set" in restore_command(SETTINGS, "iptables-restore --noflush", steps)


def test_only_rules_of_exactly_our_form_are_ours() -> None:
    good = set_rule(SetMatch("download", "ppp0", DOWN))
    assert set_match_of("TRAFFIC", good) == SetMatch("download", "ppp0", DOWN)
    assert uses_sets(Chain("TRAFFIC", 1, None, (good,)))
    for changed in (
        replace(good, extra=f"match-set {DOWN} src"),
        replace(good, extra=f"match-set {DOWN} dst match-set x src"),
        replace(good, extra=f"! match-set {DOWN} dst"),
        replace(good, extra=f"match-set {DOWN} dst ! update-counters"),
        replace(good, extra="match-set blocklist dst"),
        replace(good, extra="match-set TRAFFIC_D4_0F3A9C21 dst"),
        replace(good, target="DROP"),
        replace(good, target=None),
        replace(good, protocol="tcp"),
        replace(good, source="192.168.1.2"),
        replace(good, in_interface=None),
        replace(good, out_interface="br0"),
    ):
        assert set_match_of("TRAFFIC", changed) is None, changed
        assert not uses_sets(Chain("TRAFFIC", 1, None, (changed,)))
    assert set_match_of("OTHER", good) is None
    assert set_of(replace(good, extra="match-set x;reboot dst")) is None


def test_names_fit_the_kernel() -> None:
    longest = Settings("C" * 19)
    name = set_name(longest, "upload", LIFE)
    assert (len(name), name[:24]) == (31, "C" * 19 + "_U4_" + name[23])
    with pytest.raises(ChainError, match="Choose a name of at most 19."):
        set_name(Settings("C" * 20), "upload", LIFE)
    assert set_name(SETTINGS, "upload", LIFE) != set_name(SETTINGS, "upload", NEW)


# Planning


def test_a_host_that_comes_later_and_one_that_goes() -> None:
    observed, sets = installed(HOSTS[0])
    assert plan_chain(SETTINGS, observed, wanted(*HOSTS), NEW) == ()
    assert plan_sets(SETTINGS, sets, wanted(HOSTS[0]), LIFE) == plan_sets(SETTINGS, sets, wanted(), LIFE) == ()
    assert plan_sets(SETTINGS, sets, wanted(*HOSTS), LIFE) == (f"add {DOWN} {HOSTS[1]}", f"add {UP} {HOSTS[1]}")
    assert plan_sets(SETTINGS, sets, wanted(HOSTS[1], prune=True), LIFE) == (
        f"del {DOWN} {HOSTS[0]}", f"add {DOWN} {HOSTS[1]}", f"del {UP} {HOSTS[0]}", f"add {UP} {HOSTS[1]}"
    )  # fmt: skip
    assert plan_sets(SETTINGS, sets, wanted(prune=True), LIFE) == ()  # nobody is known, which is no reason to forget all


def test_a_set_that_lacks_a_host_of_the_other() -> None:
    _observed, sets = installed(*HOSTS)
    torn = {**sets, UP: AddressSet(UP, 4096)}
    assert plan_sets(SETTINGS, torn, wanted(), LIFE) == (f"add {UP} {HOSTS[0]}", f"add {UP} {HOSTS[1]}")
    assert plan_sets(SETTINGS, {DOWN: sets[DOWN]}, wanted(), LIFE)[0] == f"create {UP} hash:ip family inet counters maxelem 4096"


def test_room() -> None:
    many = [f"10.{number >> 8}.{number & 255}.1" for number in range(5000)]
    assert plan_sets(SETTINGS, {}, wanted(*many[:2048]), LIFE)[0].endswith("maxelem 4096")
    assert plan_sets(SETTINGS, {}, wanted(*many[:2049]), LIFE)[0].endswith("maxelem 8192")
    assert plan_sets(SETTINGS, {}, wanted(*many), LIFE)[0].endswith("maxelem 16384")
    full = {name: AddressSet(name, 2, dict.fromkeys(HOSTS, Counter(0, 0))) for name in (DOWN, UP)}
    assert plan_sets(SETTINGS, full, wanted(*many), LIFE) == ()
    lines = plan_sets(SETTINGS, full, wanted(HOSTS[0], "10.0.0.1", "10.0.0.2", prune=True), LIFE)
    assert lines == (f"del {DOWN} {HOSTS[1]}", f"add {DOWN} 10.0.0.1", f"del {UP} {HOSTS[1]}", f"add {UP} 10.0.0.1")


def test_another_interface() -> None:
    observed, _sets = installed(*HOSTS)
    steps = plan_chain(SETTINGS, observed, wanted(*HOSTS, wan=["ppp1"]), NEW)
    assert [command(SETTINGS, step) for step in steps] == [
        f"iptables -i ppp1 -m set --match-set {DOWN} dst -j RETURN -I TRAFFIC",
        f"iptables -o ppp1 -m set --match-set {UP} src -j RETURN -I TRAFFIC",
        "iptables -i ppp1 -A TRAFFIC",
        "iptables -o ppp1 -A TRAFFIC",
    ]
    after = simulate(SETTINGS, observed, steps)
    pruned = plan_chain(SETTINGS, after, wanted(*HOSTS, wan=["ppp1"], prune=True), NEW)
    assert [command(SETTINGS, step)[:30] for step in pruned] == [
        "iptables -i ppp0 -m set --matc", "iptables -o ppp0 -m set --matc", "iptables -i ppp0 -D TRAFFIC", "iptables -o ppp0 -D TRAFFIC"
    ]  # fmt: skip
    assert after.chain
    counted = [replace(rule, packets=1) if rule.in_interface == "ppp0" else rule for rule in after.chain.rules]
    pruned = plan_chain(SETTINGS, with_rules(after, *counted), wanted(*HOSTS, wan=["ppp1"], prune=True), NEW)
    assert all("-o ppp0" in command(SETTINGS, step) for step in pruned)


def test_emptied_and_removed_as_any_chain_of_ours() -> None:
    observed, _sets = installed(*HOSTS)
    commands = [command(SETTINGS, step) for step in plan_absent(SETTINGS, observed)]
    assert commands[:2] == ["iptables -j TRAFFIC -D FORWARD", "iptables -s 127.81.4.9 -d 127.200.7.33 -D TRAFFIC"]
    assert commands[-1] == "iptables -X TRAFFIC"
    assert simulate(SETTINGS, observed, plan_absent(SETTINGS, observed)) == BARE
    assert observed.chain
    stranger = Rule(0, 0, "RETURN", "tcp", None, None, None, None, "tcp dpt:22")
    with pytest.raises(ChainError, match=r"holds rules that homenet.traffic did not make \(number 6\)"):
        plan_empty(SETTINGS, with_rules(observed, *observed.chain.rules, stranger))
    with pytest.raises(ChainError, match=r"in use for something else: rule 1 \(-j DROP\)"):
        plan_chain(SETTINGS, with_rules(observed, replace(stranger, target="DROP")), wanted(*HOSTS), NEW)


# What is there


def test_what_goes_together() -> None:
    observed, sets = installed(*HOSTS)
    assert observed.chain
    mark, down, up, *rest = observed.chain.rules
    other = set_rule(SetMatch("download", "ppp0", set_name(SETTINGS, "download", NEW)))
    host = host_rule(Match("download", "ppp0", HOSTS[0]))
    assert is_sound(SETTINGS, observed, sets)
    assert is_sound(SETTINGS, BARE, {})
    assert is_sound(SETTINGS, with_rules(observed, mark), sets)
    assert is_sound(SETTINGS, with_rules(observed, mark, down, *rest), sets)
    assert not is_sound(SETTINGS, with_rules(observed, down, up, *rest), sets)  # without its marker
    assert not is_sound(SETTINGS, with_rules(observed, mark, other, up, *rest), {**sets, other.extra.split()[1]: sets[DOWN]})
    assert not is_sound(SETTINGS, observed, {DOWN: sets[DOWN]})
    assert not is_sound(SETTINGS, with_rules(observed, mark, host, down, up, *rest), sets)
    assert [one.name for one in left_over([(SETTINGS, observed)], sets)] == []
    assert [one.name for one in left_over([(SETTINGS, with_rules(observed, mark))], sets)] == []  # its rules are to come
    assert [one.name for one in left_over([(SETTINGS, BARE)], sets)] == sorted([DOWN, UP])
    assert left_over([(SETTINGS, BARE)], {DOWN: replace(sets[DOWN], references=1)}) == []  # somebody looks into it


def test_what_was_counted() -> None:
    observed, _sets = installed(*HOSTS)
    assert observed.chain
    mark, down, up, down_rest, up_rest = observed.chain.rules
    sets = {
        DOWN: AddressSet(DOWN, 4096, {HOSTS[0]: Counter(3, 300), HOSTS[1]: Counter(1, 100)}),
        UP: AddressSet(UP, 4096, {HOSTS[0]: Counter(2, 20)}),
        "TRAFFIC_D4_00000000": AddressSet("TRAFFIC_D4_00000000", 4096, {HOSTS[0]: Counter(9, 900)}),  # of a life that is over
    }
    rules = (mark, replace(down, packets=4, bytes=400), up, replace(down_rest, packets=5, bytes=500), up_rest)
    counted = total([with_rules(observed, *rules)], sets)
    assert counted.hosts == {
        HOSTS[0]: {"download": Counter(3, 300), "upload": Counter(2, 20)},
        HOSTS[1]: {"download": Counter(1, 100), "upload": None},
    }
    assert counted.rest == {"download": Counter(5, 500), "upload": Counter(0, 0)}
    # Behind the rest, the rule found packets that had been counted there.
    late = (mark, replace(down_rest, packets=9, bytes=900), replace(down, packets=4, bytes=400), up, up_rest)
    assert total([with_rules(observed, *late)], sets) == counted
    assert total([BARE], sets).hosts == {}


def test_what_is_wrong() -> None:
    observed, sets = installed(*HOSTS)
    assert observed.chain
    mark, down, up, down_rest, up_rest = observed.chain.rules
    assert codes(observed, sets) == []
    assert codes(BARE, sets) == ["chain_missing"]
    assert codes(observed, sets, "ppp1") == ["wan_changed"]
    assert codes(observed, sets, "ppp0", "ppp1") == ["wan_changed"]
    assert codes(replace(observed, forward=FORWARD), sets) == ["jump_missing"]
    assert codes(with_rules(observed), sets) == codes(with_rules(observed, mark), sets) == ["no_catch_all"]
    assert codes(with_rules(observed, mark, down, up, down_rest), sets) == ["no_catch_all"]
    assert codes(with_rules(observed, mark, down, down_rest, up_rest), sets) == ["catch_all_not_last", "one_direction_only"]
    assert codes(with_rules(observed, mark, down_rest, down, up, up_rest), sets) == ["catch_all_not_last"]
    assert codes(with_rules(observed, mark, down, down, up, down_rest, up_rest), sets) == ["duplicate_rule"]
    assert codes(with_rules(observed, mark, down, up, down_rest, up_rest, up_rest), sets) == ["duplicate_rule"]
    assert codes(with_rules(observed, down, up, down_rest, up_rest), sets) == ["rules_differ"]
    stranger = Rule(0, 0, None, "tcp", None, None, None, None)
    assert codes(with_rules(observed, stranger, *observed.chain.rules), sets) == ["foreign_rule"]
    assert codes(observed, {**sets, UP: replace(sets[UP], elements={HOSTS[0]: Counter(0, 0)})}) == ["one_direction_only"]
    hosts = {f"10.0.0.{number}": Counter(0, 0) for number in range(1, 9)}
    for count, found in ((6, []), (7, ["set_full"]), (8, ["set_full"])):
        full = {name: AddressSet(name, 8, dict(list(hosts.items())[:count])) for name in sets}
        assert codes(observed, full) == found
    said = next(problems(SETTINGS, observed, full, ["ppp0"])).message
    assert re.match("All 8 places for addresses are taken: new devices count among the rest", said)


def test_the_other_rules_are_put_before_the_rest() -> None:
    observed, _sets = installed(*HOSTS)
    assert observed.chain
    mark, down, up, down_rest, up_rest = observed.chain.rules
    late = with_rules(observed, mark, down_rest, down, up, up_rest)
    steps = plan_chain(SETTINGS, late, wanted(*HOSTS), NEW)
    assert [command(SETTINGS, step) for step in steps] == [f"iptables -i ppp0 -m set --match-set {DOWN} dst -j RETURN -I TRAFFIC"]
    twice = with_rules(observed, mark, down, down, up, down_rest, up_rest)
    assert [command(SETTINGS, step) for step in plan_chain(SETTINGS, twice, wanted(*HOSTS), NEW)] == ["iptables -D TRAFFIC 3"]
    begun = with_rules(replace(observed, forward=FORWARD), marker_rule(LIFE), down)
    assert [step.action for step in plan_chain(SETTINGS, begun, wanted(*HOSTS), NEW)] == ["insert", "append", "append", "insert"]
    assert plan_chain(SETTINGS, begun, wanted(*HOSTS), NEW)[-1].rule == jump_rule(SETTINGS)
