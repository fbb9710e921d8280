# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same planner for ip6tables: its addresses, its marker, and its listings."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Match,
    Observed,
    Settings,
    Wanted,
    as_commands,
    by_address,
    command,
    list_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import hosts_of, marker_of, marker_rule, match_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, problems, unattributed
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import parse
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import TEMPLATES
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

SETTINGS = Settings(program="ip6tables", family=6)
MARKER = Marker("100::1:2:3:4", "100::5:6:7:8")
HOSTS = ("2001:db8:1::20", "2001:db8:1::3", "fd00:1::9")
NOTHING = Observed(None, Chain("FORWARD", None, "ACCEPT", ()))


def test_set_up() -> None:
    wanted = Wanted(("2001:db8:1::20", "2001:db8:1::3"), ("ppp0",), family=6)
    steps = plan_present(SETTINGS, NOTHING, wanted, MARKER)
    assert [command(SETTINGS, step) for step in steps] == [
        "ip6tables -N TRAFFIC",
        "ip6tables -s 100::1:2:3:4 -d 100::5:6:7:8 -A TRAFFIC",
        "ip6tables -i ppp0 -d 2001:db8:1::3 -j RETURN -A TRAFFIC",
        "ip6tables -s 2001:db8:1::3 -o ppp0 -j RETURN -A TRAFFIC",
        "ip6tables -i ppp0 -d 2001:db8:1::20 -j RETURN -A TRAFFIC",
        "ip6tables -s 2001:db8:1::20 -o ppp0 -j RETURN -A TRAFFIC",
        "ip6tables -i ppp0 -A TRAFFIC",
        "ip6tables -o ppp0 -A TRAFFIC",
        "ip6tables -j TRAFFIC -I FORWARD 1",
    ]
    after = simulate(SETTINGS, NOTHING, steps)
    assert plan_present(SETTINGS, after, wanted, MARKER) == ()
    assert problems(SETTINGS, after, ["ppp0"]) == []
    assert simulate(SETTINGS, after, plan_absent(SETTINGS, after)) == NOTHING


LISTING = """\
Chain TRAFFIC (1 references)
    pkts      bytes target     prot opt in     out     source               destination
       0        0            all      *      *       100::1:2:3:4/128     100::5:6:7:8/128
      12     1200 RETURN     all      ppp0   *       ::/0                 2001:db8:1::3/128
       7      700 RETURN     0    --  *      ppp0    2001:db8:1::3        ::/0
      90     9000            all      ppp0   *       ::/0                 ::/0
      80     8000            all      *      ppp0    ::/0                 ::/0
"""


def test_a_listing_of_an_old_version_and_of_a_new_one() -> None:
    """The one leaves the column opt blank and writes the prefix length of a host; here they are mixed."""
    chain = parse("chains", TEMPLATES / "textfsm" / "ip6tables.textfsm", LISTING)[0]
    seen = Observed(chain, Chain("FORWARD", None, "ACCEPT", (Rule(0, 0, "TRAFFIC", None, None, None, None, None),)))
    assert hosts_of(chain) == ["2001:db8:1::3"]
    counted = host_counters(chain)["2001:db8:1::3"]
    assert (counted["download"], counted["upload"]) == (rule_counter(12), rule_counter(7))
    rest = unattributed(chain)
    assert rest and (rest["download"], rest["upload"]) == (rule_counter(90), rule_counter(80))
    assert plan_present(SETTINGS, seen, Wanted(("2001:db8:1::3",), ("ppp0",), family=6), MARKER) == ()
    assert "ip6tables -A TRAFFIC -i ppp0 -d 2001:db8:1::3/128 -j RETURN" in as_commands(SETTINGS, seen)
    assert command(SETTINGS, plan_empty(SETTINGS, seen)[2]) == "ip6tables -i ppp0 -d 2001:db8:1::3/128 -j RETURN -D TRAFFIC"


def rule_counter(packets: int) -> object:
    return host_counters(Chain("T", 1, None, (Rule(packets, packets * 100, None, None, "p", None, None, "::2:2"),)))["::2:2"]["download"]


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (Rule(0, 0, "RETURN", None, "ppp0", None, None, "2001:db8::1"), Match("download", "ppp0", "2001:db8::1")),
        (Rule(0, 0, "RETURN", None, None, "ppp0", "2001:DB8:0:0::1/128", None), Match("upload", "ppp0", "2001:db8::1")),
        (Rule(0, 0, None, None, "ppp0", None, None, None), Match("download", "ppp0", None)),
        (Rule(0, 0, "RETURN", None, "ppp0", None, None, "2001:db8::/64"), None),
        (Rule(0, 0, "RETURN", None, "ppp0", None, None, "!2001:db8::1"), None),
        (Rule(0, 0, "RETURN", None, "ppp0", None, None, "fe80::1"), None),
        (Rule(0, 0, "RETURN", None, "ppp0", None, None, "2001:db8::1%br0"), None),
    ],
)
def test_what_a_rule_counts(rule: Rule, match: Match | None) -> None:
    assert match_of(rule) == match


@pytest.mark.parametrize(
    "host",
    [
        "fe80::1", "fe80::1%br0", "febf::1", "ff02::1", "ff05::2", "::", "::1", "::ffff:192.168.1.2", "100::7", "2001:db8::1%br0",
        "2001:db8::1%$(reboot)", "2001:db8::1/128", "2001:DB8::1", "2001:db8:0::1", "2001:db8::1\n", "192.168.1.2", "",
    ],
)  # fmt: skip
def test_refused_hosts(host: str) -> None:
    with pytest.raises(ChainError, match="^traffic_hosts: "):
        Wanted((host,), ("ppp0",), family=6)


@pytest.mark.parametrize("host", ["2001:db8::1", "fd00::1", "2a02:810d:8040:1::5", "64:ff9b::102:304", "fec0::1"])
def test_hosts(host: str) -> None:
    assert Wanted((host,), ("ppp0",), family=6).hosts == (host,)
    with pytest.raises(ChainError, match="is not an IPv4 address"):
        Wanted((host,), ("ppp0",))


def test_hosts_of_one_family_are_not_for_a_chain_of_the_other() -> None:
    with pytest.raises(ValueError, match="IPv4 for a chain of IPv6"):
        plan_present(SETTINGS, NOTHING, Wanted(("10.0.0.2",), ("ppp0",)), MARKER)


def test_order_of_addresses() -> None:
    assert sorted(HOSTS, key=by_address) == ["2001:db8:1::3", "2001:db8:1::20", "fd00:1::9"]


@given(number=st.integers(0, 2**128 - 1))
def test_markers_are_addresses_that_nobody_has(number: int) -> None:
    six, four = Marker.of(6, number), Marker.of(4, number)
    for place in (six.source, six.destination):
        assert IPv6Address(place) in IPv6Network("100::/64")
    for place in (four.source, four.destination):
        assert IPv4Address(place) in IPv4Network("127.0.0.0/8")
        assert re.fullmatch(r"127(\.([1-9]|[1-9]\d|1\d\d|2[0-4]\d|25[0-4])){3}", place)
    assert marker_of(marker_rule(six)) == six
    assert marker_of(marker_rule(four)) == four


def test_markers_differ() -> None:
    numbers = [1 << bit for bit in range(128)]
    assert len({str(Marker.of(6, number)) for number in numbers}) == 128
    assert len({str(Marker.of(4, number)) for number in numbers}) > 100


@pytest.mark.parametrize(
    ("source", "destination"), [("100::1", "2001:db8::1"), ("100:0:0:1::1", "100::1"), ("100::/64", "100::1"), ("100::1%x", "100::1")]
)
def test_what_is_no_marker(source: str, destination: str) -> None:
    assert marker_of(Rule(0, 0, None, None, None, None, source, destination)) is None


def test_reads() -> None:
    assert list_command(SETTINGS, "TRAFFIC") == "ip6tables -nvxL TRAFFIC"
