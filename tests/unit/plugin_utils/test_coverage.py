# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What share of the traffic was counted: right where two readings can be compared, and nothing where they cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import (
    Counts,
    Coverage,
    Explained,
    Reading,
    coverage_of,
    coverage_text,
    headers_of,
    kept_of,
    low_coverage_message,
    reading_of,
)

MB = 1_000_000
WRAP = 1 << 32
START = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def reading(
    wan: dict[str, tuple[int, int] | None] | None = None, at: datetime = START, uptime: timedelta | None = None, **changes: Any
) -> Reading:
    """Of a router that started a day before START, with one host that has counted nothing yet."""
    ran = uptime if uptime is not None else at - START + timedelta(days=1)
    given = Reading(at, ran, "127.0.0.1/127.0.0.2", {"10.0.0.1": Counts()}, Counts(), {"ppp0": (0, 0)} if wan is None else wan)
    return replace(given, **changes)


def later(
    wan: dict[str, tuple[int, int] | None], down: int = 0, up: int = 0, packets: tuple[int, int] = (0, 0), **changes: Any
) -> Reading:
    """An hour after START, when the host has counted that much."""
    counted = {"10.0.0.1": Counts(down, packets[0], up, packets[1])}
    return reading(wan, START + HOUR, **({"hosts": counted} | changes))


def percents(old: Reading | None, new: Reading | None) -> tuple[float | None, float | None]:
    found = coverage_of(old, new)
    return found.download and found.download.percent, found.upload and found.upload.percent


def test_hosts_and_catch_all_against_the_interface() -> None:
    old = reading({"ppp0": (500 * MB, 70 * MB)})
    new = later({"ppp0": (700 * MB, 80 * MB)}, 150 * MB, 9 * MB, unattributed=Counts(46 * MB, 0, MB, 0))
    assert percents(old, new) == (98.0, 100.0)
    assert coverage_text(coverage_of(old, new)) == (
        "Coverage since 2026-11-22 12:00 UTC: 98.0 % of the download and 100.0 % of the upload on ppp0 was counted."
    )


def test_a_new_host_and_one_that_was_idle() -> None:
    hosts = {"10.0.0.1": Counts(), "10.0.0.9": Counts(30 * MB, 0, 2 * MB, 0)}
    assert percents(reading(), later({"ppp0": (30 * MB, 4 * MB)}, hosts=hosts)) == (100.0, 50.0)


def test_several_ways_to_the_internet() -> None:
    old = reading({"ppp0": (0, 0), "ppp1": (5 * MB, 5 * MB)})
    assert percents(old, later({"ppp1": (25 * MB, 6 * MB), "ppp0": (20 * MB, 1 * MB)}, 30 * MB, 2 * MB)) == (75.0, 100.0)


@pytest.mark.parametrize(
    ("passed", "counted", "percent", "low"),
    [
        (999_999, 999_999, None, False),  # too little to say anything
        (MB, MB, 100.0, False),
        (MB, 0, 0.0, False),  # shown, and too little to be alarmed
        (10 * MB, 1, 0.0, False),
        (10 * MB + 1, 1, 0.0, True),
        (100 * MB, 90 * MB, 90.0, False),
        (100 * MB, 90 * MB - 10_000, 89.99, True),
        (90 * MB, 81 * MB - 10_000, 89.99, False),
        (2**70, 2**69, 50.0, True),
    ],
)
def test_when_a_share_is_low(passed: int, counted: int, percent: float | None, low: bool) -> None:
    assert (Explained(counted, passed).percent, Explained(counted, passed).low) == (percent, low)


# Headers


@pytest.mark.parametrize(
    ("interface", "passed"),
    [
        ("ppp0", 66_000_000), ("pppoe-wan", 66_000_000), ("pptp-vpn", 66_000_000), ("l2tp-wan", 66_000_000), ("3g-wan", 66_000_000),
        ("tun0", 66_000_000), ("wg0", 66_000_000),
        ("eth0", 52_000_000), ("eth0.2", 52_000_000), ("wan", 52_000_000), ("vlan2", 52_000_000), ("br-wan", 52_000_000),
        ("nas_0_8_35", 52_000_000), ("veip0", 52_000_000), ("wlan0", 52_000_000), ("usb0", 52_000_000),
    ],
)  # fmt: skip
def test_a_million_acknowledgements(interface: str, passed: int) -> None:
    """52 bytes each for IP, and 66 with the header of an Ethernet frame, which the chain never sees."""
    found = coverage_of(reading({interface: (0, 0)}), later({interface: (66 * MB, 0)}, 52 * MB, packets=(MB, 0)))
    assert found.download == Explained(52 * MB, passed)


def test_headers_are_taken_off_only_where_there_can_be_some() -> None:
    assert headers_of(100, {"ppp0": 10_000, "eth1": 10_000}) == 1400
    assert headers_of(100, {"ppp0": 10_000, "eth1": 340}) == 140, "no more than ten packets can have passed eth1"
    assert headers_of(100, {"ppp0": 10_000, "eth1": 0}) == 0


def test_an_interface_that_counts_no_header_after_all() -> None:
    """A VLAN's received bytes: the share is favourable, and never over 100."""
    assert percents(reading({"eth0.2": (0, 0)}), later({"eth0.2": (52 * MB, 0)}, 52 * MB, packets=(MB, 0))) == (100.0, None)


# What cannot be compared


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (reading(marker=None), later({"ppp0": (MB, 0)}, marker=None), "the counters have no marker"),
        (reading(), later({"ppp0": (MB, 0)}, marker="127.0.0.1/127.0.0.3"), "the counters were emptied or made anew"),
        (reading(), later({"ppp0": (MB, 0)}, marker=None), "the counters were emptied or made anew"),
        (later({"ppp0": (0, 0)}), reading({"ppp0": (MB, 0)}), "the last reading is newer"),
        (reading(), later({"ppp0": (MB, 0)}, uptime=HOUR), "the router was restarted$"),
        (reading(), later({"ppp0": (MB, 0)}, uptime=timedelta(days=1)), "the router was restarted, or this machine's clock was set$"),
        (reading({"ppp0": (9, 9)}), later({"ppp1": (MB, 9)}), "the interfaces to the Internet are others"),
        (reading({"ppp0": (9, 9)}), later({"ppp0": (MB, 9), "ppp1": (0, 0)}), "the interfaces to the Internet are others"),
        (reading({"ppp0": None}), later({"ppp0": (MB, 9)}), "the router does not tell what passed ppp0"),
        (reading({"ppp0": (9, 9)}), later({"ppp0": None}), "the router does not tell what passed ppp0"),
        (reading({}), later({}), "the interface to the Internet is not known"),
        (reading(hosts={"10.0.0.2": Counts()}), later({"ppp0": (MB, 9)}), "counters of hosts were taken away"),
        (reading(hosts={"10.0.0.1": Counts(5)}), later({"ppp0": (MB, 9)}, 4), "counters were taken away and made anew"),
        (reading(unattributed=Counts(5)), later({"ppp0": (MB, 9)}, unattributed=Counts(4)), "counters were taken away and"),
        (reading(), later({"ppp0": (MB, 9)}, unattributed=None), "the counter for all other hosts was taken away"),
        (reading({"ppp0": (9 * MB, 9)}), later({"ppp0": (MB, 8)}), "ppp0 has begun to count anew"),  # connected anew
        (reading({"ppp0": (WRAP + MB, 9)}), later({"ppp0": (MB, 9)}), "ppp0 has begun to count anew"),  # not of 32 bits
        (reading({"ppp0": (0, 0)}), later({"ppp0": (MB, 9)}, 2 * MB), "more was counted than passed ppp0"),
    ],
)  # fmt: skip
def test_not_comparable(old: Reading, new: Reading, why: str) -> None:
    found = coverage_of(old, new)
    assert (found.download, found.upload) == (None, None)
    assert found.unknown is not None and re.match(why, found.unknown)
    said = coverage_text(found)
    assert said is not None and said.startswith("Coverage since 2026-11-22 1") and "is not known: " in said


def test_the_first_reading() -> None:
    found = coverage_of(None, reading())
    assert (found.download, found.upload, found.low) == (None, None, False)
    assert coverage_text(found) is None, "there is nothing to say yet"


def test_readings_of_the_same_second_compare() -> None:
    assert percents(reading(), replace(later({"ppp0": (MB, 0)}, MB), read_at=START, uptime=timedelta(days=1))) == (100.0, None)
    assert coverage_text(coverage_of(reading(), reading())) is None, "nothing passed"


def test_no_catch_all_in_both() -> None:
    old, new = reading(unattributed=None), later({"ppp0": (4 * MB, 0)}, 3 * MB, unattributed=None)
    assert percents(old, new) == (75.0, None)


def test_a_clock_in_minutes_is_no_restart() -> None:
    assert percents(reading(), later({"ppp0": (MB, 0)}, MB, uptime=timedelta(days=1, minutes=59))) == (100.0, None)
    month = timedelta(days=30)
    new = replace(later({"ppp0": (MB, 0)}, MB), read_at=START + month, uptime=timedelta(days=1) + month - timedelta(minutes=20))
    assert percents(reading(), new) == (100.0, None)


def test_a_counter_of_32_bits_that_was_full() -> None:
    old = reading({"ppp0": (WRAP - 60 * MB, 5 * MB)})
    assert percents(old, later({"ppp0": (40 * MB, 7 * MB)}, 75 * MB, 2 * MB)) == (75.0, 100.0)
    unknown = replace(later({"ppp0": (40 * MB, 7 * MB)}, 75 * MB, 2 * MB), uptime=None)
    assert coverage_of(old, unknown).download is None, "it may have been a restart"


def test_a_link_that_was_made_anew_and_overtook_what_it_had_sent() -> None:
    """Received looks like a full counter then; but the chain counted on, and more than was sent in the meantime."""
    old = reading({"ppp0": (100 * MB, 5 * MB)})
    new = later({"ppp0": (50 * MB, 6 * MB)}, 49 * MB, 6 * MB)
    assert coverage_of(old, new).download is None


truth = st.integers(0, 2**40)


@given(truth, truth, st.integers(0, WRAP - 1), st.integers(0, WRAP - 1), st.integers(0, 100), st.integers(0, 100))
@example(0, WRAP - 2, 1, 1, 100, 100)
def test_a_full_counter_changes_nothing_or_makes_it_unknown(
    received: int, sent: int, down: int, up: int, counted_down: int, counted_up: int
) -> None:
    """The interface's counters as they would be with 64 bits give the share; with 32 bits it is the same, or none."""
    old = reading({"ppp0": (received, sent)})
    counted = down * counted_down // 100, up * counted_up // 100
    exact = coverage_of(old, later({"ppp0": (received + down, sent + up)}, *counted))
    assert (exact.download, exact.upload) == (Explained(counted[0], down), Explained(counted[1], up))
    narrow = coverage_of(
        replace(old, wan={"ppp0": (received % WRAP, sent % WRAP)}),
        later({"ppp0": ((received + down) % WRAP, (sent + up) % WRAP)}, *counted),
    )
    assert narrow == exact or narrow.unknown is not None


numbers = st.integers(0, 2**40)
counts = st.builds(Counts, numbers, numbers, numbers, numbers)
readings = st.builds(
    Reading,
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(timezone.utc)),
    st.none() | st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
    st.none() | st.sampled_from(["a", "b"]),
    st.dictionaries(st.sampled_from(["10.0.0.1", "10.0.0.2"]), counts),
    st.none() | counts,
    st.dictionaries(st.sampled_from(["ppp0", "eth0.2"]), st.none() | st.tuples(numbers, numbers)),
).map(lambda one: replace(one, since=dict.fromkeys(list(one.hosts)[:1], one.read_at)))


@given(st.none() | readings, st.none() | readings)
def test_never_under_0_nor_over_100(old: Reading | None, new: Reading | None) -> None:
    found = coverage_of(old, new)
    for one in (found.download, found.upload):
        assert one is None or 0 <= one.counted <= one.passed
        assert one is None or one.percent is None or 0 <= one.percent <= 100
    assert coverage_text(found) is None or coverage_text(found)


@given(readings)
def test_a_reading_survives_being_kept(one: Reading) -> None:
    assert reading_of(kept_of(one)) == one


def test_the_message() -> None:
    low = Coverage(START, ("eth0.2",), Explained(12 * MB, 29 * MB), Explained(99, 100), None)
    assert low_coverage_message(low, broken=False) == (
        "Only 41.4 % of the download (12.0 MB of 29.0 MB) on eth0.2 since 2026-11-22 12:00 UTC was counted. The rest is the router's "
        "own traffic, or traffic that bypassed the counters. Acceleration (flow cache, flow offload) does that, whatever its vendor "
        "calls it, and so does IPv6 on a router that cannot count it: ansible-playbook homenet.traffic.check tells what there is, and "
        "what to do about it."
    )
    both = replace(low, upload=Explained(0, 50 * MB))
    assert "Only 41.4 % of the download (12.0 MB of 29.0 MB) and 0.0 % of the upload (0 B of 50.0 MB)" in low_coverage_message(both, True)
    assert "the counters. Mend first what the other warnings tell. Acceleration (" in low_coverage_message(both, broken=True)
