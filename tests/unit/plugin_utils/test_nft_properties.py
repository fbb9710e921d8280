# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table, whatever is wanted and whatever is there: what comes out, what stays, and how listings are read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft import (
    NftWanted,
    Plan,
    as_lines,
    plan_absent,
    plan_empty,
    plan_present,
    plan_stop,
    transaction,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_json import read_json
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_state import counted, hosts_of, status
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import (
    SETS,
    NftChain,
    NftRule,
    NftSet,
    NftSettings,
    NftTable,
    NotUnderstood,
    foreign,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_text import read_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

pytestmark = pytest.mark.thorough

MARKER = "0123456789abcdef"

# What may come out, said once more and apart from the code. No verdict but return, jump and goto; no table but ours.
ADDRESS4 = r"\d{1,3}(\.\d{1,3}){3}"
ADDRESS6 = r"[0-9a-f:]{2,39}"
SET = r"(hosts|download|upload)[46]"
INTERFACE = r'"[A-Za-z0-9_.:][A-Za-z0-9_.:-]{0,14}"'
RULE = "|".join(
    (
        rf"learn add @{SET} \{{ ip6? saddr \}} add @{SET} \{{ ip6? saddr counter \}} return",
        r"(learn|upload) counter name rest_upload|download counter name rest_download",
        rf"(download|upload) ip6? [sd]addr @{SET} return",
        rf"(download|upload) ip6? [sd]addr @{SET} add @{SET} \{{ ip6? [sd]addr counter \}} return",
        rf"upload iifname {INTERFACE} counter name rest_upload return",
        rf"upload (ip saddr {ADDRESS4}|ip6 saddr {ADDRESS6})/\d{{1,3}} goto learn",
        rf"forward (iifname {INTERFACE} jump download|oifname {INTERFACE} jump upload)",
    )
)
CHAIN = r"(learn|download|upload|marker_[0-9a-f]{16})"
LINE = re.compile(
    "|".join(
        (
            r"(create|delete) table T",
            r"(create|delete) counter T rest_(download|upload)",
            rf"create set T {SET} \{{ type ipv[46]_addr; size \d{{1,7}}; flags dynamic; \}}",
            rf"delete set T {SET}",
            rf"(create|delete|flush) chain T {CHAIN}",
            r"flush chain T forward",
            r"create chain T forward \{ type filter hook forward priority -5; policy accept; \}",
            rf"add rule T ({RULE})",
            rf"(add|delete) element T {SET} \{{ ({ADDRESS4}(, {ADDRESS4})*|{ADDRESS6}(, {ADDRESS6})*) \}}",
        )
    ).replace(" T", " inet homenet_traffic"),
    re.ASCII,
)

ipv4 = st.integers(0x01000000, 0x7EFFFFFF).map(lambda number: str(IPv4Address(number)))
ipv6 = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(lambda number: str(IPv6Address(number)))
few4 = st.integers(1, 6).map(lambda number: f"192.168.1.{number}")
few6 = st.integers(1, 6).map(lambda number: f"2001:db8::{number}")
hosts = st.lists(st.one_of(few4, few6, ipv4, ipv6), max_size=8).map(tuple)
interfaces = st.lists(st.sampled_from(("ppp0", "eth0.2", "wwan0", "pppoe-wan")), min_size=1, max_size=3, unique=True).map(tuple)
networks = st.lists(st.sampled_from(("198.51.100.0/24", "203.0.113.0/25", "4000::/16")), max_size=2, unique=True).map(tuple)
wanteds = st.builds(NftWanted, hosts, interfaces, st.booleans(), networks)
numbers = st.one_of(st.integers(0, 1000), st.integers(0, 2**64 - 1))
counts = st.builds(Counter, numbers, numbers)
settings = st.builds(NftSettings, learn=st.booleans(), size=st.sampled_from((1, 3, 2048)))


@st.composite
def tables(draw: Any) -> NftTable | None:
    """A table as it can be met: made for some wish, used, emptied, or with parts missing."""
    if draw(st.integers(0, 9)) == 0:
        return None
    table = plan_present(draw(settings), None, draw(wanteds), MARKER).after
    assert table
    if draw(st.integers(0, 9)) == 0:
        return plan_empty(NftSettings(), table).after
    sets = {name: replace(one, elements=draw(_elements(name, one))) for name, one in table.sets.items()}
    table = replace(table, sets=sets, counters={name: draw(counts) for name in table.counters})
    for kind in ("counters", "sets", "chains"):
        parts = getattr(table, kind)
        gone = draw(st.sets(st.sampled_from(sorted(parts)), max_size=2)) if draw(st.integers(0, 3)) == 0 else set()
        table = replace(table, **{kind: {name: part for name, part in parts.items() if name not in gone}})
    return table


def _elements(name: str, one: NftSet) -> st.SearchStrategy[dict[str, Counter | None]]:
    few, many = (few4, ipv4) if name.endswith("4") else (few6, ipv6)
    value: st.SearchStrategy[Counter | None] = st.none() if name.startswith("hosts") else counts
    return st.dictionaries(st.one_of(few, many), value, max_size=min(6, one.size or 6))


def plans(chosen: NftSettings, table: NftTable | None, wanted: NftWanted) -> list[Plan]:
    stop = plan_stop(chosen, table)
    return [plan_present(chosen, table, wanted, MARKER), stop, plan_empty(chosen, stop.after), plan_absent(chosen, table)]


# Planning


@given(settings, tables(), wanteds)
def test_nothing_outside_the_grammar_comes_out(chosen: NftSettings, table: NftTable | None, wanted: NftWanted) -> None:
    for plan in plans(chosen, table, wanted):
        for line in plan.lines:
            assert LINE.fullmatch(line), line
            assert len(line) <= 480
        assert foreign(plan.after) == [] if plan.after else True
        assert transaction(plan.lines).count("\n") == len(plan.lines) + 1


@given(st.text(), st.text(), st.text())
def test_nothing_that_was_given_comes_out_unless_it_is_what_it_must_be(host: str, interface: str, network: str) -> None:
    for given_hosts, given_interfaces, given_networks in (((host,), (), ()), ((), (interface,), ()), ((), (), (network,))):
        try:
            wanted = NftWanted(given_hosts, given_interfaces, False, given_networks)
        except TrafficError:
            continue
        assert all(LINE.fullmatch(line) for line in plan_present(NftSettings(), None, wanted, MARKER).lines)


@given(st.text(alphabet='0123456789abcdef.:/%" ;{}@\n', max_size=20))
def test_nothing_like_an_address_breaks_out(text: str) -> None:
    test_nothing_that_was_given_comes_out_unless_it_is_what_it_must_be.hypothesis.inner_test(text, text, text)


@given(settings, tables(), wanteds)
def test_once_it_is_done_there_is_nothing_to_do(chosen: NftSettings, table: NftTable | None, wanted: NftWanted) -> None:
    present, stop, empty, absent = plans(chosen, table, wanted)
    assert plan_present(chosen, present.after, wanted, "f" * 16).lines == ()
    assert plan_stop(chosen, stop.after).lines == ()
    assert plan_empty(chosen, empty.after).lines == ()
    assert plan_absent(chosen, absent.after).lines == ()
    problems = {one.code for one in status(chosen, present.after, wanted.interfaces).problems}
    assert problems <= {"set_full"}


@given(settings, tables(), wanteds)
def test_no_counter_is_lost_but_of_those_who_are_pruned(chosen: NftSettings, table: NftTable | None, wanted: NftWanted) -> None:
    after = plan_present(chosen, table, wanted, MARKER).after
    assert after
    was, now = counted(table), counted(after)
    kept = [host for host in was.hosts if host in wanted.hosts or not wanted.prune]
    for host in kept:
        for direction, counter in was.hosts[host].items():
            assert counter is None or now.hosts[host][direction] == counter
    assert was.rest in (None, now.rest)
    for name, counter in table.counters.items() if table else ():
        assert after.counters[name] == counter


@given(settings, tables(), wanteds)
def test_who_is_wanted_is_counted_as_far_as_there_is_room(chosen: NftSettings, table: NftTable | None, wanted: NftWanted) -> None:
    after = plan_present(chosen, table, wanted, MARKER).after
    assert after
    for version, sign in ((4, "."), (6, ":")):
        one = after.sets[f"hosts{version}"]
        missing = {host for host in (*wanted.hosts, *hosts_of(after)) if sign in host} - set(one.elements)
        assert not missing or len(one.elements) == one.size


@given(tables())
def test_the_lines_for_people_make_the_table(table: NftTable | None) -> None:
    assert all(LINE.fullmatch(line) for line in as_lines(NftSettings(), table))


# Listings

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
words = st.sampled_from(("ip saddr 10.0.0.0/8 goto learn", "drop", "counter name x", "tcp dport { 22, 80 } accept", 'iifname "a}b" jump x'))
anything = st.builds(
    NftTable,
    st.sampled_from(("inet", "ip", "ip6")),
    names,
    st.dictionaries(names, counts, max_size=3),
    st.dictionaries(
        names,
        st.builds(
            NftSet,
            st.sampled_from(("ipv4_addr", "ipv6_addr", "inet_service", "ipv4_addr . inet_service")),
            st.none() | st.integers(1, 65535),
            st.dictionaries(st.one_of(few4, few6, ipv6, st.integers(1, 65535).map(str)), st.none() | counts, max_size=9),
        ),
        max_size=3,
    ),
    st.dictionaries(
        names,
        st.one_of(
            st.builds(lambda rules: NftChain(tuple(map(NftRule, rules))), st.lists(words, max_size=3)),
            st.builds(lambda priority: NftChain((), "forward", priority, "accept"), st.integers(-400, 400)),
        ),
        max_size=3,
    ),
)


def as_text(table: NftTable, per_line: int = 2) -> str:
    """As nft prints it."""
    lines = [f"table {table.family} {table.name} {{"]
    for name, counter in table.counters.items():
        lines += [f"\tcounter {name} {{", f"\t\tpackets {counter.packets} bytes {counter.bytes}", "\t}", ""]
    for name, one in table.sets.items():
        lines += [f"\tset {name} {{", f"\t\ttype {one.kind}"]
        lines += [f"\t\tsize {one.size}\t# count {len(one.elements)}"] if one.size else []
        lines += ["\t\tflags dynamic"]
        parts = [key + (f" counter packets {found.packets} bytes {found.bytes}" if found else "") for key, found in one.elements.items()]
        rows = [", ".join(parts[at : at + per_line]) for at in range(0, len(parts), per_line)]
        lines += ["\t\telements = { " + ",\n\t\t\t     ".join(rows) + " }"] if rows else []
        lines += ["\t}", ""]
    for name, chain in table.chains.items():
        lines += [f"\tchain {name} {{"]
        if chain.hook and chain.priority is not None:
            sign = "-" if chain.priority < 0 else "+"
            priority = f"filter {sign} {abs(chain.priority)}" if chain.priority else "filter"
            lines += [f"\t\ttype filter hook {chain.hook} priority {priority}; policy {chain.policy};"]
        lines += [f"\t\t{rule.words}" for rule in chain.rules]
        lines += ["\t}", ""]
    return "\n".join([*lines[:-1], "}", ""]) if lines[-1] == "" else "\n".join([*lines, "}", ""])


def as_json(table: NftTable) -> str:
    """As ``nft -j`` prints it; of rules, only our own."""
    place = {"family": table.family, "table": table.name, "handle": 1}
    items: list[Any] = [{"metainfo": {"version": "1.0.2", "release_name": "x", "json_schema_version": 1}}]
    items.append({"table": {"family": table.family, "name": table.name, "handle": 1}})
    items += [{"counter": {**place, "name": name, "packets": one.packets, "bytes": one.bytes}} for name, one in table.counters.items()]
    for name, one in table.sets.items():
        elements = [
            {"elem": {"val": key, "counter": {"packets": found.packets, "bytes": found.bytes}}} if found else key
            for key, found in one.elements.items()
        ]
        items.append({"set": {**place, "name": name, "type": one.kind, **({"size": one.size} if one.size else {}), "elem": elements}})
    for name, chain in table.chains.items():
        base = {"type": "filter", "hook": chain.hook, "prio": chain.priority, "policy": chain.policy} if chain.hook else {}
        items.append({"chain": {**place, "name": name, **base}})
        items += [{"rule": {**place, "chain": name, "expr": _expressions(rule.words)}} for rule in chain.rules]
    return json.dumps({"nftables": items})


def _expressions(words: str) -> list[Any]:
    """One of our rules as nft's JSON has it; written from nft's manual, and not from the reader."""
    found: list[Any] = []
    compared = r'(?:(ip6?) ([sd]addr)|([io]ifname)) (?:(@\w+)|([0-9a-f.:]+)/(\d+)|"([^"]+)") ?'
    added = r"add (@\w+) \{ (ip6?) (\w+)( counter)? \} ?"
    while words:
        match = re.match(rf"{compared}|{added}|counter name (\w+) ?|(return|jump|goto) ?(\w*) ?", words)
        assert match, words
        protocol, end, key, name, net, length, string, target, protocol2, end2, counter, object_name, verdict, chain = match.groups()
        if target:
            statement: dict[str, Any] = {"op": "add", "elem": {"payload": {"protocol": protocol2, "field": end2}}, "set": target}
            found.append({"set": {**statement, "stmt": [{"counter": None}]} if counter else statement})
        elif object_name:
            found.append({"counter": object_name})
        elif verdict:
            found.append({"return": None} if verdict == "return" else {verdict: {"target": chain}})
        else:
            left = {"meta": {"key": key}} if key else {"payload": {"protocol": protocol, "field": end}}
            found.append({"match": {"op": "==", "left": left, "right": name or string or {"prefix": {"addr": net, "len": int(length)}}}})
        words = words[match.end() :]
    return found


@given(anything, st.integers(1, 4))
def test_a_listing_as_text_is_read_as_it_is(table: NftTable, per_line: int) -> None:
    assert read_text(as_text(table, per_line)) == [table]


@given(tables())
def test_both_forms_of_our_table_are_read_as_it_is(table: NftTable | None) -> None:
    assume(table)
    assert table
    assert read_text(as_text(table)) == [table]
    assert read_json(as_json(table)) == [table]


@given(tables(), st.data())
def test_a_listing_that_was_cut_is_refused(table: NftTable | None, data: Any) -> None:
    assume(table)
    assert table
    for listing, read in ((as_text(table), read_text), (as_json(table), read_json)):
        length = data.draw(st.integers(1, len(listing.rstrip()) - 1))
        with pytest.raises(NotUnderstood):
            read(listing[:length])


@given(tables(), st.data())
def test_a_listing_in_which_something_changed_is_refused_or_read_but_never_crashes(table: NftTable | None, data: Any) -> None:
    assume(table)
    assert table
    for listing, read in ((as_text(table), read_text), (as_json(table), read_json)):
        at = data.draw(st.integers(0, len(listing) - 1))
        changed = listing[:at] + data.draw(st.text(max_size=3)) + listing[at + data.draw(st.integers(0, 3)) :]
        try:
            read(visible(changed))
        except NotUnderstood:
            continue


@given(st.one_of(st.text(), st.text(alphabet='table inet{}x;,"\n#=countrsc 0123', max_size=200)))
def test_any_text_is_refused_or_read_but_never_crashes(text: str) -> None:
    for read in (read_text, read_json):
        try:
            read(text)
        except NotUnderstood as error:
            assert len(str(error)) < 400


def test_every_set_is_in_the_grammar() -> None:
    assert all(re.fullmatch(SET, name) for name in SETS)
