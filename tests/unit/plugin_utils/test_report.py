# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a reading to the report: every byte in it once, the heaviest host first, and the JSON that programs rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import NOW, counter, host, hour_later, named, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import kept_of, reading_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import (
    Amount,
    late_lines,
    report_contract,
    report_of,
)


def test_the_contract() -> None:
    """DESIGN, section 5, key by key."""
    given = reading(
        [host("192.168.1.10", "tv"), host("192.168.1.9", None, "00:11:22:33:44:66"), host("192.168.1.3", "idle")],
        [counter("192.168.1.9", 300, 1), counter("192.168.1.10", 200, 99), counter("192.168.1.7", 0, 0)],
        (100, 100),
        [("jump_not_first", "The jump is rule 3.")],
        names=[{"ip": "192.168.1.7", "mac": "00:11:22:33:44:77", "name": "left"}],
        notes=["2 lines of noise"],
    )
    assert report_contract(report_of("home", given, NOW)) == {
        "schema": "homenet.traffic/report/1",
        "router": "home",
        "generated_at": "2026-11-22T13:00:05+00:00",
        "period": {"name": "since counting began", "from": None, "to": "2026-11-22T13:00:00+00:00"},
        "totals": {"download_bytes": 600, "upload_bytes": 200},
        "hosts": [
            {
                "ip": "192.168.1.9", "mac": "00:11:22:33:44:66", "name": None, "person": None,
                "download_bytes": 300, "upload_bytes": 1, "download_percent": 50.0, "upload_percent": 0.5, "since": None,
            },
            {
                "ip": "192.168.1.10", "mac": "00:11:22:33:44:55", "name": "tv", "person": None,
                "download_bytes": 200, "upload_bytes": 99, "download_percent": 33.33, "upload_percent": 49.5, "since": None,
            },
            {
                "ip": "192.168.1.3", "mac": "00:11:22:33:44:55", "name": "idle", "person": None,
                "download_bytes": 0, "upload_bytes": 0, "download_percent": 0.0, "upload_percent": 0.0, "since": None,
            },
            {
                "ip": "192.168.1.7", "mac": "00:11:22:33:44:77", "name": "left", "person": None,
                "download_bytes": 0, "upload_bytes": 0, "download_percent": 0.0, "upload_percent": 0.0, "since": None,
            },
        ],
        "unattributed": {"download_bytes": 100, "upload_bytes": 100},
        "coverage": {"download": None, "upload": None},
        "gaps": [],
        "warnings": [
            {"code": "jump_not_first", "message": "The jump is rule 3."},
            {"code": "reading", "message": "2 lines of noise"},
        ],
    }  # fmt: skip


FIRST = "2026-11-22T13:00:00+00:00"


def since(*steps: dict[str, Any], hours: int = 1) -> dict[str, str | None]:
    """What the report of the last of these readings says, so many hours after each other."""
    kept = None
    for number, step in enumerate(steps):
        made = report_of("home", {**step, "read_at": f"2026-11-22T{13 + number * hours}:00:00+00:00"}, NOW, kept)
        kept = made.reading and reading_of(json.loads(json.dumps(kept_of(made.reading))))
    return {one["ip"]: one["since"] for one in report_contract(made)["hosts"]}


def test_since_when_a_host_is_counted() -> None:
    tv, late, new = counter("10.0.0.1", 9, 9), counter("10.0.0.2", 5, 5), counter("10.0.0.3", 1, 1)
    one, two, three = reading([], [tv]), reading([], [tv, late]), reading([], [tv, late, new])
    assert since(one) == {"10.0.0.1": None}, "nobody knows"
    assert since(one, two) == {"10.0.0.1": None, "10.0.0.2": FIRST}
    assert since(one, two, two, three) == {"10.0.0.1": None, "10.0.0.2": FIRST, "10.0.0.3": "2026-11-22T15:00:00+00:00"}, "it stays so"
    assert since(one, two, two, hours=0) == {"10.0.0.1": None, "10.0.0.2": FIRST}, "also within one second"
    assert since(two, reading([], [tv, counter("10.0.0.2", 4, 5)])) == {"10.0.0.1": None, "10.0.0.2": FIRST}, "its rules were made anew"
    other = reading([], [tv, late], marker="127.0.0.1/127.0.0.9")
    assert since(two, other) == {"10.0.0.1": FIRST, "10.0.0.2": FIRST}, "all were"
    assert since(reading([], [tv], marker=None), one) == {"10.0.0.1": None}, "setup_traffic adds a marker to the counters that are there"


def test_a_device_is_counted_since_the_first_of_its_addresses() -> None:
    device = {**host("10.0.0.1", "tv"), "addresses": ["10.0.0.1", "2001:db8::1", "2001:db8::2"]}
    four, six, another = counter("10.0.0.1", 9, 9), counter("2001:db8::1", 5, 5), counter("2001:db8::2", 5, 5)
    assert since(reading([device], [four]), reading([device], [four, six])) == {"10.0.0.1": None}
    assert since(reading(), reading([device], [six]), reading([device], [six, another])) == {"10.0.0.1": FIRST}


def test_who_was_counted_late_is_named() -> None:
    def lines(*steps: list[dict[str, Any]]) -> list[str]:
        kept = None
        for hour, counters in enumerate(steps):
            given = reading([host(one["ip"], f"<b>{one['ip'][-1]}") for one in counters], counters)
            made = report_of("home", {**given, "read_at": f"2026-11-22T{13 + hour}:00:00+00:00"}, NOW, kept)
            kept = made.reading
        return late_lines(made)

    one, two, three = (counter(f"10.0.0.{number}", 9, 9) for number in (1, 2, 3))
    assert lines([one, two]) == lines([one, two], [one, two]) == []
    assert lines([one], [one, two]) == ["First counted after 2026-11-22 13:00 UTC: <b>2."]
    assert lines([], [one, two]) == [], "all of them alike"
    assert lines([], [one], [one, two, three]) == ["First counted after 2026-11-22 14:00 UTC: <b>2, <b>3."]
    many = [counter(f"10.0.1.{number}", 9, 9) for number in range(12)]
    assert lines([one], [one, *many])[0].endswith(" and 4 more.")


def test_who_has_no_counter_is_not_said_to_be_idle() -> None:
    """He may be the one who uses it all: that is in the row of those without a counter."""
    def lines(*newcomers: str, rest: tuple[int, int] | None = (5, 0), **more: Any) -> tuple[int, list[str]]:
        counted = [counter("10.0.0.1", 9, 9), counter("10.0.0.2", 0, 0)]
        new = [host(f"10.0.0.{number}", name) for number, name in enumerate(newcomers, 3)]
        made = report_of("home", reading([host("10.0.0.2"), *new], counted, rest, **more), NOW)
        return len(made.idle), late_lines(made)

    assert lines() == (1, [])
    assert lines("<b>new") == (1, ["Without a counter: <b>new. setup_traffic gives it one."])
    assert lines("new", "newer", rest=None) == (1, ["Without a counter: new, newer. setup_traffic gives each its own."])
    assert lines("new", rest=(0, 0)) == (2, []), "nobody without a counter used anything"
    assert lines("new", backend="nftables") == (2, []), "it would have learned whoever sends anything"
    several = {**host("10.0.0.1", "tv"), "addresses": ["10.0.0.1", "2001:db8::1"]}
    found = report_of("home", reading([several], [counter("2001:db8::1", 9, 9)], (5, 0)), NOW)
    assert late_lines(found) == [], "one of its addresses has a counter"


def test_coverage_in_the_contract() -> None:
    first = reading([host("10.0.0.1")], [counter("10.0.0.1", 5, 5)])
    before = report_of("home", first, NOW)
    assert report_contract(before)["coverage"] == {"download": None, "upload": None}
    well = report_of("home", hour_later(first, (30_000_000, 900_000), counter("10.0.0.1", 29_000_005, 900_005)), NOW, before.reading)
    assert report_contract(well)["coverage"] == {"download": 96.67, "upload": None}
    assert [one.code for one in well.warnings] == []
    bad = report_of("home", hour_later(first, (30_000_000, 2_000_000), counter("10.0.0.1", 10_000_005, 2_000_005)), NOW, before.reading)
    assert report_contract(bad)["coverage"] == {"download": 33.33, "upload": 100.0}
    assert [one.code for one in bad.warnings] == ["low_coverage"]
    assert "homenet.traffic.check" in bad.warnings[0].message


def test_holes_in_the_chain_are_the_first_thing_to_mend() -> None:
    first = reading([host("10.0.0.1")], [counter("10.0.0.1", 5, 5)], problems=[("jump_not_first", "The jump is rule 3.")])
    later = hour_later(first, (30_000_000, 2_000_000), counter("10.0.0.1", 10_000_005, 2_000_005))
    found = report_of("home", later, NOW, report_of("home", first, NOW).reading)
    assert [one.code for one in found.warnings] == ["low_coverage", "jump_not_first"]
    assert "Mend first what the other warnings tell." in found.warnings[0].message


def test_a_reading_without_what_coverage_needs_is_reported_on_all_the_same() -> None:
    first = reading([host("10.0.0.1")], [counter("10.0.0.1", 5, 5)])
    before = report_of("home", first, NOW).reading
    for change in ({"wan": "x"}, {"wan": [{"interface": 5}]}, {"marker": 5}, {"uptime_seconds": "1 day"}, {"read_at": None}):
        found = report_of("home", first | change, NOW, before)
        assert report_contract(found)["coverage"] == {"download": None, "upload": None}
        assert found.totals.download_bytes == 5


def test_addresses_of_equal_traffic_are_in_numeric_order() -> None:
    ips = ["192.168.1.10", "192.168.1.9", "10.0.0.1", "fe80::2", "fe80::10"]
    found = report_of("home", reading(counters=[counter(ip, 5, 5) for ip in ips]), NOW)
    assert [one.ip for one in found.hosts] == ["10.0.0.1", "192.168.1.9", "192.168.1.10", "fe80::2", "fe80::10"]


def test_a_direction_without_a_rule_counted_nothing() -> None:
    found = report_of("home", reading(counters=[counter("10.0.0.1", None, 5)]), NOW)
    assert found.hosts[0].amount == Amount(0, 5)


def test_without_a_catch_all() -> None:
    found = report_of("home", reading(counters=[counter("10.0.0.1", 1, 5)], unattributed=None), NOW)
    assert found.totals == Amount(1, 5)
    assert report_contract(found)["unattributed"] is None


def test_nothing_counted_yet() -> None:
    found = report_of("home", reading([host("10.0.0.1")]), NOW)
    assert found.hosts[0].share.download_percent == 0.0
    assert (found.active, len(found.idle)) == ((), 1)


def test_without_a_chain() -> None:
    given = reading(problems=[("chain_missing", "There is no chain TRAFFIC: nothing is counted. Run setup_traffic.")])
    with pytest.raises(TrafficError, match=r"^home: There is no chain TRAFFIC: .* Run setup_traffic\.$"):
        report_of("home", given, NOW)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"chain": None}, "'chain' is not a dictionary"),
        ({"hosts": "none"}, "'hosts' is not a list of dictionaries"),
        ({"hosts": [{"ip": 5}]}, "'ip' is not a text"),
        ({"counters": [counter("10.0.0.1", 0, 0) | {"download_bytes": "5 GB"}]}, "'download_bytes' is not a number of bytes"),
        ({"counters": [counter("10.0.0.1", -1, 0)]}, "'download_bytes' is not a number of bytes"),
        ({"counters": [counter("10.0.0.1", 10**5000, 0)]}, "'download_bytes' is not a number of bytes"),
        ({"counters": [counter("10.0.0.1", True, 0)]}, "'download_bytes' is not a number of bytes"),
        ({"read_at": "yesterday"}, "'read_at' is not a time with its time zone"),
        ({"read_at": "2026-11-22T13:00:00"}, "'read_at' is not a time with its time zone"),
    ],
)  # fmt: skip
def test_not_a_reading(change: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TrafficError) as error:
        report_of("home", reading() | change, NOW)
    assert str(error.value) == (
        f"home: the reading is not a result of homenet.traffic.counters_info: {wrong}. Register the result of that module and "
        "report on it."
    )


keys = st.sampled_from(list(reading()))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(keys | st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, anything))
def test_whatever_it_is_given_it_reports_or_says_what_is_wrong(change: dict[str, Any]) -> None:
    try:
        json.dumps(report_contract(report_of("home", reading() | change, NOW)))
    except TrafficError:
        pass


addresses = st.integers(2, 60).map(lambda number: f"192.168.1.{number}")
byte_counts = st.integers(0, 2**64)
counter_lists = st.lists(
    st.builds(counter, addresses, byte_counts, byte_counts), max_size=40, unique_by=lambda one: str(one["ip"])
)


@given(st.lists(addresses, unique=True), counter_lists, st.none() | st.tuples(byte_counts, byte_counts))
def test_every_byte_and_every_host_once(ips: list[str], counters: list[dict[str, Any]], rest: tuple[int, int] | None) -> None:
    found = report_of("home", reading([host(ip) for ip in ips], counters, rest), NOW)
    assert sorted(one.ip for one in found.hosts) == sorted({*ips, *(one["ip"] for one in counters)})
    assert found.totals.download_bytes == sum(one["download_bytes"] for one in counters) + (rest or (0, 0))[0]
    assert found.totals.upload_bytes == sum(one["upload_bytes"] for one in counters) + (rest or (0, 0))[1]
    assert sum(one.amount.bytes for one in found.hosts) + sum(rest or ()) == found.totals.bytes
    weights = [one.amount.bytes for one in found.hosts]
    assert weights == sorted(weights, reverse=True)
    rows = len(found.hosts) + 1
    for shares in (
        [one.share.download_percent for one in found.hosts] + [found.unattributed_share.download_percent],
        [one.share.upload_percent for one in found.hosts] + [found.unattributed_share.upload_percent],
    ):
        assert all(0 <= share <= 100 and round(share, 2) == share for share in shares)
        assert sum(shares) == 0 or abs(sum(shares) - 100) <= 0.005 * rows + 1e-6


def test_plain_values_come_out() -> None:
    """Ansible's variables are subclasses of str; a lone surrogate cannot be written as UTF-8."""

    class Wrapped(str):
        pass

    found = report_of(Wrapped("home"), named([Wrapped("tv"), "\ud800x"]), NOW)
    assert {type(found.router), *(type(one.name) for one in found.hosts)} == {str}
    assert found.hosts[1].name == "\ufffdx"


ALI = "02:00:5e:10:00:0b"


@pytest.mark.parametrize(
    ("address", "row"),
    [
        ("2001:db8:1::b", "192.168.1.11"),  # one of its addresses now
        ("2001:db8:1:0:0:5eff:fe10:b", "192.168.1.11"),  # made of its MAC, given up since
        ("2001:db8:1::77", "192.168.1.11"),  # a lease tells
        ("2001:db8:1::99", "2001:db8:1::99"),  # nobody's
        ("2001:db8:1:0:0:5eff:fe10:c", "2001:db8:1:0:0:5eff:fe10:c"),  # made of another one
    ],
)
def test_the_addresses_of_a_device_are_one_row(address: str, row: str) -> None:
    host = {"ip": "192.168.1.11", "mac": ALI, "name": "ali", "interface": "br0", "addresses": ["192.168.1.11", "2001:db8:1::b"]}
    four = {"download_bytes": 5, "download_packets": 1, "upload_bytes": 7, "upload_packets": 1}
    made = {
        **reading(),
        "hosts": [host],
        "names": [{"ip": "2001:db8:1::77", "mac": ALI, "name": "ali"}],
        "counters": [{"ip": "192.168.1.11", **four}, {"ip": address, **four}],
        "unattributed": None,
    }
    found = {usage.ip: usage.amount.bytes for usage in report_of("home", made, NOW).hosts}
    assert found == ({"192.168.1.11": 24} if row == "192.168.1.11" else {"192.168.1.11": 12, row: 12})
