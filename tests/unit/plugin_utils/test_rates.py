# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is using the link right now: every byte of the interval once, no rate that nobody measured, and the answer first."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import HOSTILE_NAMES, counter, host, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils._live_text import live_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._rates import headline, live_of, rates_result
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import WIDTH
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import width

MBIT = 125_000  # bytes


def wan(received: int | None, sent: int | None, interface: str = "ppp0") -> list[dict[str, Any]]:
    return [{"interface": interface, "received_bytes": received, "sent_bytes": sent}]


def measured(first: dict[str, Any], second: dict[str, Any], seconds: float = 5.0) -> dict[str, Any]:
    """A result of counters_info with an interval, as Ansible hands it on."""
    result: dict[str, Any] = json.loads(json.dumps({**second, **rates_result("home", first, second, seconds)}))
    return result


def used(
    *hosts: tuple[str, str | None, int, int],
    rest: tuple[int, int] = (0, 0),
    passed: tuple[int | None, int | None] | None = None,
    interface: str = "ppp0",
    **more: Any,
) -> dict[str, Any]:
    """The result when the hosts used so many bytes in five seconds; without ``passed`` all that passed was counted."""
    start = [counter(ip, 1000, 50) for ip, _name, _down, _up in hosts]
    end = [counter(ip, 1000 + down, 50 + up) for ip, _name, down, up in hosts]
    down, up = passed or (sum(one[2] for one in hosts) + rest[0], sum(one[3] for one in hosts) + rest[1])
    known = [host(ip, name) for ip, name, _down, _up in hosts]
    first = reading(known, start, (7, 7), wan=wan(9, 9, interface))
    passing = wan(None if down is None else 9 + down, None if up is None else 9 + up, interface)
    return measured(first, reading(known, end, (7 + rest[0], 7 + rest[1]), wan=passing, **more))


def shown(result: dict[str, Any]) -> str:
    return "\n".join(line for line, _red in live_text("home", result))


# The result


def test_the_contract() -> None:
    first = reading((), [counter("10.0.0.2", 100, 10), counter("10.0.0.3", None, 0)], (5, 5), wan=wan(1000, 0))
    counters = [counter("10.0.0.2", 350, 10), counter("10.0.0.3", None, 20), counter("10.0.0.4", 8, 0)]
    second = reading((), counters, (5, 6), wan=wan(1500, 50))
    found = rates_result("home", first, second, 2.5)
    assert found == {
        "interval_seconds": 2.5,
        "before": {key: first[key] for key in ("counters", "unattributed", "wan")},
        "rates": [
            {"ip": "10.0.0.2", "download_bps": 800.0, "upload_bps": 0.0},
            {"ip": "10.0.0.3", "download_bps": None, "upload_bps": 64.0},
            {"ip": "10.0.0.4", "download_bps": 25.6, "upload_bps": 0.0},
        ],
        "unattributed_rate": {"download_bps": 0.0, "upload_bps": 3.2},
        "wan_rates": [{"interface": "ppp0", "received_bps": 1600.0, "sent_bps": 160.0}],
    }


def test_what_is_not_known_is_none() -> None:
    found = rates_result("home", reading(unattributed=None, wan=wan(None, None)), reading(unattributed=None, wan=wan(5, 5)), 1.0)
    assert found["unattributed_rate"] is None
    assert found["wan_rates"] == [{"interface": "ppp0", "received_bps": None, "sent_bps": None}]


def test_an_interface_that_began_to_count_anew_has_no_rate() -> None:
    """A full counter of 32 bits, or a new connection: never a negative rate, nor one of 4 GB."""
    found = rates_result("home", reading(wan=wan(2**32 - 5, 10)), reading(wan=wan(5, 20)), 1.0)
    assert found["wan_rates"] == [{"interface": "ppp0", "received_bps": None, "sent_bps": 80.0}]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (reading((), [counter("10.0.0.2", 99, 9)], marker="127.9.9.9/127.9.9.8"), "the counters were emptied or made anew"),
        (reading((), [counter("10.0.0.2", 4, 9)]), "counters were taken away and made anew"),
        (reading((), []), "counters of hosts were taken away"),
        (reading((), [counter("10.0.0.2", 5, 9)], None), "the counter for all other hosts was taken away"),
        (reading((), [counter("10.0.0.2", 5, 9)], wan=wan(1, 1, "ppp1")), "the interfaces to the Internet are others now"),
    ],
)
def test_two_readings_of_different_chains_are_an_error(second: dict[str, Any], why: str) -> None:
    first = reading((), [counter("10.0.0.2", 5, 5)])
    with pytest.raises(TrafficError) as error:
        rates_result("192.168.1.1 port 23", first, second, 5.0)
    assert str(error.value) == f"192.168.1.1 port 23: the two readings cannot be compared: between them {why}. Run it again."


numbers = st.integers(0, 2**50)
growths = st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=6)


@given(growths, st.tuples(numbers, numbers), st.floats(0.01, 3600))
def test_rates_times_interval_are_the_bytes(hosts: list[tuple[int, int, int, int]], rest: tuple[int, int], seconds: float) -> None:
    ips = [f"10.0.0.{number}" for number in range(2, 2 + len(hosts))]
    first = reading((), [counter(ip, down, up) for ip, (down, up, _d, _u) in zip(ips, hosts, strict=True)], (0, 0))
    second = reading((), [counter(ip, down + d, up + u) for ip, (down, up, d, u) in zip(ips, hosts, strict=True)], rest)
    found = rates_result("home", first, second, seconds)
    for one, (_down, _up, down, up) in zip(found["rates"], hosts, strict=True):
        for bits, grown in ((one["download_bps"], down), (one["upload_bps"], up)):
            exact = Fraction(bits) * Fraction(seconds) / 8
            assert abs(exact - grown) <= grown * Fraction(1, 2**50), "as exact as a float can be"
    assert found["unattributed_rate"]["download_bps"] == rest[0] * 8 / seconds


# The table


def test_who_is_using_the_link() -> None:
    result = used(
        ("192.168.1.2", "ali-laptop", 5 * 23 * MBIT, 60 * 1000),
        ("192.168.1.10", None, 625, 0),
        ("192.168.1.9", "tv", 0, 0),
        ("192.168.1.4", "nas", 5 * MBIT, 5 * 90_000),
        rest=(0, 2000),
    )
    assert shown(result) == """\
home: ali-laptop takes 23.0 of 24.0 Mbit/s down, nas takes 720 of 819 kbit/s up
Measured over 5.0 s, until 2026-11-22 13:00:00 UTC.
NAME                  IP                   DOWN    SHARE           UP    SHARE
ali-laptop            192.168.1.2   23.0 Mbit/s   95.8 %  96.0 kbit/s   11.7 %
nas                   192.168.1.4   1.00 Mbit/s    4.2 %   720 kbit/s   87.9 %
-                     192.168.1.10  1.00 kbit/s   <0.1 %      0 bit/s    0.0 %
others (no counter)                     0 bit/s    0.0 %  3.20 kbit/s    0.4 %
------------------------------------------------------------------------------
all that passed ppp0                24.0 Mbit/s  100.0 %   819 kbit/s  100.0 %
1 idle host: tv"""


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (used(("10.0.0.2", "tv", 0, 0)), "nobody is using the link now"),
        (used(("10.0.0.2", "tv", 3000, 300)), "nobody is using the link now"),
        (used(), "nobody is using the link now"),
        (used(("10.0.0.2", "tv", 10 * MBIT, 5 * 200)), "tv takes 2.00 of 2.00 Mbit/s down"),
        (used(("10.0.0.2", "tv", 10 * MBIT, MBIT)), "tv takes 2.00 of 2.00 Mbit/s down and 200 of 200 kbit/s up"),
        (used(("10.0.0.2", None, 0, 10 * MBIT)), "10.0.0.2 takes 2.00 of 2.00 Mbit/s up"),
        (used(("10.0.0.2", " ", 0, 10 * MBIT)), "10.0.0.2 takes 2.00 of 2.00 Mbit/s up"),
        (used(("10.0.0.2", "tv", MBIT, 0), rest=(9 * MBIT, 0)), "hosts without a counter take 1.80 of 2.00 Mbit/s down"),
        (used(("10.0.0.2", "tv", MBIT // 2, 0), ("10.0.0.3", "pc", 2500, 0), rest=(0, 0)), "tv takes 100 of 104 kbit/s down"),
        (
            used(("10.0.0.2", "tv", MBIT // 2, 0), *((f"10.0.1.{number}", "pc", MBIT // 3, 0) for number in range(20))),
            "tv takes 100 kbit/s of 1.43 Mbit/s down",
        ),
        (
            used(("10.0.0.2", "tv", MBIT, 0), passed=(20 * MBIT, 0)),
            "the router itself, or what bypasses the counters, takes 3.80 of 4.00 Mbit/s down",
        ),
        (used(("10.0.0.2", "tv", 10 * MBIT, 0), passed=(9 * MBIT, 0)), "tv takes 2.00 of 2.00 Mbit/s down"),
        (used(("10.0.0.2", "tv", 10 * MBIT, 0), passed=(None, None)), "tv takes 2.00 of 2.00 Mbit/s down"),
        (used(("10.0.0.2", "tv" * 99, 10 * MBIT, 0)), f"{'tv' * 15}t… takes 2.00 of 2.00 Mbit/s down"),
    ],
)  # fmt: skip
def test_the_answer(result: dict[str, Any], answer: str) -> None:
    assert headline(live_of("home", result)) == answer


def test_traffic_that_bypasses_the_counters_is_named_in_red() -> None:
    lines = live_text("home", used(("10.0.0.2", "tv", MBIT, MBIT), passed=(20 * MBIT, MBIT)))
    assert ["not counted", "3.80 Mbit/s", "95.0 %", "0 bit/s", "0.0 %"] in [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line, _red in lines
    ]
    assert next(line for line, red in lines if red).startswith("! What was not counted is the router's own traffic, or traffic that")
    assert not any(red for _line, red in live_text("home", used(("10.0.0.2", "tv", 20 * MBIT, MBIT))))


def test_headers_of_an_ethernet_interface_are_not_traffic_that_was_missed() -> None:
    """Each packet of 1,000 bytes or of 100 has 14 more; they show as what passed, and not as what was not counted."""
    result = used(("10.0.0.2", "tv", 0, 0), interface="eth0.2")
    for readings in (result, result["before"]):
        readings["counters"] = [dict.fromkeys(counter("", 0, 0), 0) | {"ip": "10.0.0.2"}]
        readings["wan"] = wan(0, 0, "eth0.2")
    result["counters"][0].update(download_bytes=52 * MBIT, download_packets=MBIT)
    result["wan"] = wan(66 * MBIT, 0, "eth0.2")
    assert "not counted" not in shown(result)
    result["wan"] = wan(66 * MBIT, 0)
    result["before"]["wan"] = wan(0, 0)
    assert "not counted" in shown(result), "on ppp0 there are no headers"


def test_nobody() -> None:
    assert shown(used(("10.0.0.2", "tv", 0, 0), ("10.0.0.3", None, 0, 0))) == (
        "home: nobody is using the link now\nMeasured over 5.0 s, until 2026-11-22 13:00:00 UTC.\n2 idle hosts: tv, 10.0.0.3"
    )


def test_idle_hosts_take_one_line() -> None:
    names = [f"device-{number:03}" for number in range(200)]
    line = shown(used(*((f"10.0.{n // 250}.{n % 250}", name, 0, 0) for n, name in enumerate(names)))).splitlines()[-1]
    assert line == "200 idle hosts: " + ", ".join(names[:6]) + " and 194 more"
    one = shown(used(("10.0.0.2", "x" * 200, 0, 0), ("10.0.0.3", "y", 0, 0))).splitlines()[-1]
    assert one == f"2 idle hosts: {'x' * 31}…, y"


def test_problems_of_the_chain_are_told() -> None:
    result = used(("10.0.0.2", "tv", MBIT, 0), problems=[("jump_not_first", "The jump is rule 3.")], notes=["2 lines of noise"])
    assert shown(result).endswith("! The jump is rule 3.\n! 2 lines of noise")


def test_an_interface_that_does_not_tell() -> None:
    text = shown(used(("10.0.0.2", "tv", MBIT, MBIT), passed=(None, None)))
    assert text.splitlines()[-1].split() == ["all", "that", "passed", "ppp0", "not", "known", "not", "known"]
    assert "not counted" not in text


def test_a_result_without_an_interval() -> None:
    with pytest.raises(TrafficError, match="counters_info was run without the option interval"):
        live_of("home", reading())


@given(st.lists(st.none() | st.text() | st.sampled_from(HOSTILE_NAMES), min_size=1, max_size=4), st.text(min_size=1))
def test_names_stay_text_of_a_bounded_width(names: list[str | None], said: str) -> None:
    hosts = [(f"10.0.0.{number}", name, MBIT * number, 5) for number, name in enumerate(names)]
    result = used(*hosts, interface=said, notes=[said])
    for line, _red in live_text(said, result):
        assert line.isprintable(), ascii(line)
        assert width(line) <= WIDTH
