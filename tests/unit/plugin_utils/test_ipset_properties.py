# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of ipset, whatever is found: plans come to an end, nothing but our grammar comes out, and no packet counts twice."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import ZERO, Counted, Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Marker,
    Match,
    Observed,
    Settings,
    Wanted,
    command,
    set_name,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    SetMatch,
    host_rule,
    jump_rule,
    marker_rule,
    match_of,
    set_match_of,
    set_rule,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset import is_sound, plan_chain, plan_sets, simulate_sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet, NotUnderstood, Sets, read_sets
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_state import problems, total
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

SETTINGS = Settings()
LIFE, NEW = Marker("127.81.4.9", "127.200.7.33"), Marker("127.1.2.3", "127.4.5.6")
DOWN, UP = (set_name(SETTINGS, direction, LIFE) for direction in ("download", "upload"))
HOSTS = [f"192.168.1.{number}" for number in range(2, 8)]
RULES = [
    set_rule(SetMatch("download", "ppp0", DOWN)),
    set_rule(SetMatch("upload", "ppp0", UP)),
    host_rule(Match("download", "ppp0", None)),
    host_rule(Match("upload", "ppp0", None)),
    set_rule(SetMatch("download", "ppp1", DOWN)),
    host_rule(Match("download", "ppp1", None)),
]

members = st.lists(st.sampled_from(HOSTS), unique=True, max_size=4).map(lambda hosts: dict.fromkeys(hosts, ZERO))
pairs_of_sets = st.builds(
    lambda down, up: {DOWN: AddressSet(DOWN, 4, down, 1), UP: AddressSet(UP, 4, up, 1)}, members, members
)
chains = st.builds(
    lambda rules, jumps: Observed(
        Chain("TRAFFIC", None, None, (marker_rule(LIFE), *rules)), Chain("FORWARD", None, "DROP", (jump_rule(SETTINGS),) * jumps)
    ),
    st.lists(st.sampled_from(RULES), max_size=8),
    st.integers(0, 2),
)
wishes = st.builds(
    lambda hosts, wan, prune: Wanted(tuple(hosts), tuple(wan), prune),
    st.lists(st.sampled_from(HOSTS), unique=True),
    st.lists(st.sampled_from(["ppp0", "ppp1"]), unique=True, min_size=1),
    st.booleans(),
)
SET_LINE = re.compile(
    r"create TRAFFIC_[DU]4_[0-9a-f]{8} hash:ip family inet counters maxelem \d+|(add|del) TRAFFIC_[DU]4_[0-9a-f]{8} [\d.]+"
)
RULE_LINE = re.compile(
    r"iptables( -N TRAFFIC|( -[sd] [\d.]+)* ((-[io] ppp[01])( -m set --match-set TRAFFIC_[DU]4_[0-9a-f]{8} (src|dst) -j RETURN)? )?"
    r"-[AID] TRAFFIC( \d+)?| -j TRAFFIC -(I FORWARD 1|D FORWARD))"
)


@given(observed=chains, sets=pairs_of_sets, wish=wishes)
def test_a_plan_comes_to_an_end_and_says_nothing_else(observed: Observed, sets: Sets, wish: Wanted) -> None:
    lines = plan_sets(SETTINGS, sets, wish, LIFE)
    assert all(map(SET_LINE.fullmatch, lines))
    sets = simulate_sets(sets, lines)
    assert plan_sets(SETTINGS, sets, wish, LIFE) == ()
    assert all(len(one.elements) <= one.room for one in sets.values())
    assert is_sound(SETTINGS, observed, sets)
    for _round in range(8):
        steps = plan_chain(SETTINGS, observed, wish, NEW)
        assert all(RULE_LINE.fullmatch(command(SETTINGS, step)) for step in steps), [command(SETTINGS, step) for step in steps]
        numbered = [step for step in steps if step.action == "delete_number"]
        observed = simulate(SETTINGS, observed, numbered[:1] or steps)
        if not steps:
            break
    assert plan_chain(SETTINGS, observed, wish, NEW) == ()
    worse = {one.code for one in problems(SETTINGS, observed, sets, wish.interfaces)}
    assert worse <= {"set_full", "one_direction_only", "duplicate_rule"}


packets = st.lists(st.tuples(st.sampled_from(RULES), st.sampled_from([*HOSTS, "192.168.1.99"])), max_size=40)


@given(observed=chains, sets=pairs_of_sets, passing=packets)
def test_no_packet_counts_twice_in_whatever_order_rules_stand(observed: Observed, sets: Sets, passing: list[tuple[Rule, str]]) -> None:
    """A packet of each kind that rules know, through the chain as the kernel walks it."""
    assert observed.chain
    rules = list(observed.chain.rules)
    counted = {name: dict(one.elements) for name, one in sets.items()}
    met: dict[tuple[str, str], int] = {}
    for kind, host in passing:
        found = False
        for at, rule in enumerate(rules):
            if (rule.in_interface, rule.out_interface) != (kind.in_interface, kind.out_interface) or match_or_set(rule) is None:
                continue
            match = set_match_of("TRAFFIC", rule)
            if match and host not in counted[match.name]:
                continue
            rules[at] = replace(rule, packets=rule.packets + 1, bytes=rule.bytes + 100)
            found = True
            if match:
                counted[match.name][host] += Counter(1, 100)
                break
        direction = "download" if kind.in_interface else "upload"
        met[direction, host] = met.get((direction, host), 0) + found
    after = {name: replace(one, elements=counted[name]) for name, one in sets.items()}
    told = total([replace(observed, chain=replace(observed.chain, rules=tuple(rules)))], after)
    for direction in ("download", "upload"):
        assert everything(told, direction) == sum(count for (way, _host), count in met.items() if way == direction)


def match_or_set(rule: Rule) -> Match | SetMatch | None:
    return match_of(rule) or set_match_of("TRAFFIC", rule)


def everything(counted: Counted, direction: str) -> int:
    hosts = sum(counter.packets for both in counted.hosts.values() for way, counter in both.items() if way == direction and counter)
    return hosts + (sum(counter.packets for way, counter in counted.rest.items() if way == direction) if counted.rest else 0)


LINES = st.sampled_from([
    f"Name: {DOWN}", f"Name: {UP}", "Name: blocklist", "Type: hash:ip", "Header: family inet maxelem 4 counters", "References: 1",
    "Members:",
    "192.168.1.2 packets 1 bytes 100", "192.168.1.3 packets 2 bytes 200", "Number of entries: 1", f"End: {DOWN}", f"End: {UP}", "", "oops",
])  # fmt: skip


@given(text=st.one_of(st.lists(LINES).map("\n".join), st.text()))
def test_whatever_is_listed_is_read_whole_or_refused(text: str) -> None:
    try:
        found = read_sets(text, "TRAFFIC")
    except NotUnderstood:
        return
    lines = text.split("\n")
    assert sum(len(one.elements) for one in found.values()) <= sum(" packets " in line for line in lines)
    assert all(f"End: {name}" in [line.rstrip() for line in lines] for name in found)
