# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any text: parse() reads it rightly or refuses it, and nothing in between."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import Kind, ParseError, error_code, parse, visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import (
    Chain,
    InterfaceCounters,
    Lease,
    Neighbor,
    Rule,
)
from ansible_collections.homenet.traffic.tests.unit.plugin_utils import reading
from ansible_collections.homenet.traffic.tests.unit.plugin_utils.reading import Pair, template

WAYS: list[tuple[Kind, str]] = [(kind, name) for kind, names in reading.BY_KIND.items() for name in names]
READABLE: list[tuple[Kind, str, Pair]] = [
    (kind, name, pair)
    for kind, name in WAYS
    for pair in reading.pairs(reading.FIXTURES / name)
    if kind in {reading.KINDS.get(one) for one in pair.kinds}
]
UNKNOWN = "%% what is this? %%"
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

anything = st.text(st.characters(), max_size=200)
names = st.text(st.characters(exclude_characters="\n"), max_size=40)
octet = st.integers(0, 255)
addresses = st.builds("{}.{}.{}.{}".format, octet, octet, octet, octet)
macs = st.lists(octet, min_size=6, max_size=6).map(lambda octets: ":".join(f"{one:02x}" for one in octets))
interfaces = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True)
counters = st.one_of(st.integers(0, 99999), st.integers(0, 2**64 - 1))


def way_of(one: tuple[Kind, str, Pair]) -> str:
    return f"{one[0]}-{one[1]}-{one[2].path.stem}"


# visible()


def is_special(character: str) -> bool:
    """By Unicode's own tables, not by ours: what str.splitlines or a terminal obeys."""
    control = unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
    turning = unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return (control and character not in "\n\t") or turning or character in "\u200e\u200f\u061c"


@given(anything)
def test_visible_leaves_nothing_special(text: str) -> None:
    shown = visible(text)
    assert not [character for character in shown if is_special(character)]
    assert shown.splitlines() == shown.removesuffix("\n").split("\n") or not shown
    assert visible(shown) == shown
    shown.encode()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=200))
def test_visible_changes_nothing_else(text: str) -> None:
    if not any(is_special(character) for character in text):
        assert visible(text) == text


@pytest.mark.parametrize("character", [chr(code) for code in range(0x3000) if is_special(chr(code))])
def test_every_special_character_is_written_out(character: str) -> None:
    assert visible(f"a{character}b") in {f"a\\x{ord(character):02x}b", f"a\\u{ord(character):04x}b"}


# parse() refuses or reads


@given(way=st.sampled_from(WAYS), text=anything)
def test_arbitrary_text_is_read_or_refused(way: tuple[Kind, str], text: str) -> None:
    try:
        parse(way[0], template(way[1]), text)
    except ParseError as refusal:
        assert 1 <= refusal.line <= text.count("\n") + 1
        assert not [character for character in str(refusal) if is_special(character)]


@SLOW
@given(one=st.sampled_from(READABLE), data=st.data())
def test_a_damaged_output_is_read_or_refused(one: tuple[Kind, str, Pair], data: st.DataObject) -> None:
    kind, name, pair = one
    at = data.draw(st.integers(0, len(pair.text)))
    damaged = pair.text[:at] + data.draw(names) + pair.text[at + data.draw(st.integers(0, 20)) :]
    try:
        parse(kind, template(name), reading.quiet(damaged))
    except ParseError as refusal:
        assert refusal.line <= damaged.count("\n") + 1
    error_code(damaged, reading.ERRORS)


@pytest.mark.parametrize("one", READABLE, ids=way_of)
def test_an_unknown_line_anywhere_is_refused_with_its_number(one: tuple[Kind, str, Pair]) -> None:
    kind, name, pair = one
    lines = pair.text.split("\n")
    for at in range(len(lines) + 1):
        with pytest.raises(ParseError) as refusal:
            parse(kind, template(name), reading.quiet("\n".join([*lines[:at], UNKNOWN, *lines[at:]])))
        assert (refusal.value.line, refusal.value.code) == (at + 1, "unknown_line")
        assert UNKNOWN in str(refusal.value)


@SLOW
@given(one=st.sampled_from(READABLE), data=st.data())
def test_a_cut_output_never_changes_what_stands_before_the_cut(one: tuple[Kind, str, Pair], data: st.DataObject) -> None:
    """At a line's end the records are the first ones, or an error; inside a line, the last record can differ."""
    kind, name, pair = one
    text = reading.quiet(pair.text)
    at = data.draw(st.integers(0, len(text)))
    try:
        found = flat(parse(kind, template(name), text[:at]))
    except ParseError:
        return
    # What a system says of itself is one record of several lines.
    sure = found if text[:at].endswith("\n") and kind != "system" else found[:-1]
    assert sure == flat(parse(kind, template(name), text))[: len(sure)]


def flat(records: Sequence[Any]) -> list[Any]:
    """A chain is as good as its rules."""
    if not records or not isinstance(records[0], Chain):
        return list(records)
    return [one for chain in records for one in (replace(chain, rules=()), *chain.rules)]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
@pytest.mark.parametrize("filling", [" ", "\t", "0", "a ", "1 ", "(1) ", "10.0.0.1 ", "dev ", "- "])
def test_a_long_line_is_read_or_refused(way: tuple[Kind, str], filling: str) -> None:
    """A pattern that tries every way to split a name of 4 KB would not come back."""
    kind, name = way
    pair = next(pair for one_kind, one_name, pair in READABLE if (one_kind, one_name) == way)
    lines = pair.text.split("\n")
    for at in {0, 1, 2, len(lines) // 2, len(lines) - 2} & set(range(len(lines))):
        for long in (filling * 4096, lines[at] + filling * 4096 + "!", lines[at].replace(" ", filling * 4096, 1) + "!"):
            outcome: object
            try:
                outcome = parse(kind, template(name), "\n".join([*lines[:at], long, *lines[at + 1 :]]))
            except ParseError as error:
                outcome = error
            assert isinstance(outcome, list) or str(outcome)


# What is printed in a layout is read back


@given(st.lists(st.tuples(addresses, macs, interfaces, st.sampled_from([0, 2, 4, 6, 12])), max_size=20))
def test_arp_table(rows: list[tuple[str, str, str, int]]) -> None:
    text = "IP address       HW type     Flags       HW address            Mask     Device\n"
    text += "".join(f"{ip:<16} 0x1         0x{flags:<10x}{mac}     *        {device}\n" for ip, mac, device, flags in rows)
    expected = [Neighbor(ip, known(mac), device, bool(flags & 2)) for ip, mac, device, flags in rows]
    assert parse("neighbors", template("arp_table"), text) == expected


def known(mac: str) -> str | None:
    return None if mac == "00:00:00:00:00:00" else mac


@given(
    st.lists(st.tuples(addresses, macs, st.integers(-1, 2**31 - 1), names), max_size=10),
    st.sampled_from(["\n", "\r\n", "\r\r\n"]),
)
def test_lanhosts(rows: list[tuple[str, str, int, str]], end: str) -> None:
    """Whatever a host calls itself, it is one row: its own."""
    text = f"Bridge br0{end}   MAC Addr          IP Addr     Lease Time Remaining    Hostname{end}"
    text += "".join(f"{mac}  {ip}        {left}              {name}{end}" for ip, mac, left, name in rows)
    found = parse("names", template("lanhosts"), text)
    assert [(one.ip, one.mac) for one in found] == [(ip, known(mac)) for ip, mac, *_rest in rows]
    for one, (*_rest, name) in zip(found, rows, strict=True):
        shown = visible(f".{name}")[1:].strip()  # a carriage return at its end belongs to the line end
        assert one.name == (None if shown in {"", "*", "?", "(null)"} else shown.replace("\t", "\\t"))


@given(
    st.lists(
        st.tuples(st.integers(0, 2**31), macs, addresses, st.from_regex(r"[^\s\x00-\x1f]{1,40}", fullmatch=True)), max_size=10
    )
)
def test_dnsmasq_leases(rows: list[tuple[int, str, str, str]]) -> None:
    text = "".join(f"{end} {mac} {ip} {name} 01:{mac}\n" for end, mac, ip, name in rows)
    expected = [Lease(ip, known(mac), None if name in {"*", "?"} else visible(name)) for _lease, mac, ip, name in rows]
    assert parse("names", template("dnsmasq_leases"), text) == expected


@given(st.lists(st.tuples(interfaces, counters, counters), min_size=1, max_size=10, unique_by=lambda row: row[0]))
def test_proc_net_dev(rows: list[tuple[str, int, int]]) -> None:
    text = "Inter-|   Receive                                                |  Transmit\n"
    text += " face |bytes    packets errs drop fifo frame compressed multicast|"
    text += "bytes    packets errs drop fifo colls carrier compressed\n"
    text += "".join(
        f"{name:>6}:{received:8}       1    0    0    0     0          0         0"
        f" {sent:8}       2    0    0    0     0       0          0\n"
        for name, received, sent in rows
    )
    assert parse("interfaces", template("proc_net_dev"), text) == [InterfaceCounters(*row) for row in rows]


words = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,27}", fullmatch=True)
networks = st.one_of(addresses, st.builds("{}/{}".format, addresses, st.integers(0, 32)))
rules = st.builds(
    Rule,
    packets=counters,
    bytes=counters,
    target=st.one_of(st.none(), words),
    protocol=st.one_of(st.none(), st.sampled_from(["tcp", "udp", "icmp", "udplite", "ipv6-icmp", "253", "!udp", "!6"])),
    in_interface=st.one_of(st.none(), interfaces, interfaces.map("!{}".format)),
    out_interface=st.one_of(st.none(), interfaces, interfaces.map("!{}".format)),
    source=st.one_of(st.none(), networks, networks.map("!{}".format)),
    destination=st.one_of(st.none(), networks, networks.map("!{}".format)),
    extra=st.sampled_from(["", "tcp dpt:80", "/* all  --  * */", "[goto]", "MARK set 0x7", "0.0.0.0/0 0.0.0.0/0"]),
)


def listing(chain: Chain, numeric: bool, numbered: bool, exact: bool = True) -> str:
    """As iptables prints it: each column is filled to its width, and runs over where it is too narrow."""
    wide = 8 if exact else 5
    text = f"Chain {chain.name} ({chain.references} references)\n"
    text += "num  " if numbered else ""
    text += f"{'pkts':>{wide}} {'bytes':>{wide + 2 if exact else wide}} target     prot opt in     out     "
    text += "source               destination         \n"
    for number, rule in enumerate(chain.rules, start=1):
        text += f"{number:<4} " if numbered else ""
        text += f"{rule.packets:>{wide}} {rule.bytes:>{wide}} {rule.target or '':<9} "
        protocol = rule.protocol or "all"
        text += f"{protocol[:1] if protocol.startswith('!') else ' '}{protocol.removeprefix('!'):<5}--  "
        wildcard = "*" if numeric else "any"
        text += f"{rule.in_interface or wildcard:<6} {rule.out_interface or wildcard:<6} "
        for place in (rule.source, rule.destination):
            shown = place or ("0.0.0.0/0" if numeric else "anywhere")
            text += f"{shown[:1] if shown.startswith('!') else ' '}{shown.removeprefix('!'):<19} "
        text += f" {rule.extra}\n" if rule.extra else "\n"
    return text


@SLOW
@given(
    name=words,
    references=st.integers(0, 9),
    found=st.lists(rules, max_size=8),
    numeric=st.booleans(),
    numbered=st.booleans(),
    exact=st.booleans(),
)
def test_iptables(name: str, references: int, found: list[Rule], numeric: bool, numbered: bool, exact: bool) -> None:
    """Blank targets, overflowing columns, interfaces that are called like a protocol: every field comes back."""
    wildcards = {"any", "anywhere", "*", "0.0.0.0/0"}
    assume(not any({rule.in_interface, rule.out_interface, rule.source, rule.destination} & wildcards for rule in found))
    chain = Chain(name, references, None, tuple(found))
    text = listing(chain, numeric, numbered, exact)
    assert parse("chains", template("iptables"), text + "\n" + text) == [chain, chain]


@given(st.lists(rules, min_size=1, max_size=5), st.sampled_from("KMGT"), st.data())
def test_a_rounded_counter_is_refused(found: list[Rule], unit: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(found) - 1))
    text = listing(Chain("TRAFFIC", 1, None, tuple(found)), numeric=True, numbered=False).split("\n")
    packets = str(found[at].packets)
    text[at + 2] = text[at + 2].replace(packets, packets + unit, 1)
    with pytest.raises(ParseError) as refusal:
        parse("chains", template("iptables"), "\n".join(text))
    assert (refusal.value.code, refusal.value.line) == ("rounded_counters", at + 3)
