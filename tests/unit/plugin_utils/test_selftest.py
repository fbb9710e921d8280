# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import Counts
from ansible_collections.homenet.traffic.plugins.plugin_utils._fetch import Arrived
from ansible_collections.homenet.traffic.plugins.plugin_utils._rates import Growth
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._selftest import (
    Fetcher,
    complaint,
    require_on_network,
    selftest_result,
    selftest_text,
)

URL = "https://example.net/file"
WHO = Fetcher("this machine", "192.168.1.2")
FILE = Arrived(20_000_000, 2.5, 20_000_300, 52)
OWN = (
    Address("lo", "127.0.0.1", 8), Address("br0", "192.168.1.1", 24), Address("br0", "2001:db8::1", 64), Address("ppp0", "100.64.0.2", 10),
)  # fmt: skip
ALL = Counts(20_000_308 + 10_000 * 52, 10_000)


def growth(host: Counts = ALL, *, other: int = 0, rest: int | None = 0, received: int | None = 21_000_000) -> Growth:
    hosts = {WHO.address: host, "192.168.1.3": Counts(other)}
    unattributed = None if rest is None else Counts(rest)
    return Growth(datetime.now(timezone.utc), 3.0, hosts, unattributed, {"ppp0": (received, 0)})


def judged(grown: Growth, arrived: Arrived = FILE, *codes: str) -> tuple[dict[str, Any], str | None]:
    problems = [{"code": code, "message": f"There is a {code}."} for code in codes]
    result = selftest_result(WHO, URL, arrived, grown, problems)
    return result, complaint("home", result, grown)


def text(grown: Growth, arrived: Arrived = FILE) -> str:
    return "\n".join(line for line, _red in selftest_text("home", judged(grown, arrived)[0]))


def test_all_was_counted() -> None:
    result, wrong = judged(growth())
    assert wrong is None
    assert (result["percent"], result["found_bytes"], result["counted_bytes"]) == (100.0, 20_000_308, 20_520_308)
    assert text(growth()) == (
        "home: 100.0 % counted\n"
        "  this machine (192.168.1.2) fetched 20.0 MB from https://example.net/file in 2.5 s.\n"
        "  20,000,300 bytes arrived; 20,000,308 were counted, without their headers (20,520,308 in 10,000\n"
        "  packets)."
    )


def test_how_many_packets_a_router_makes_of_it_does_not_matter() -> None:
    """One that merges them counts fewer headers, and as much of the file."""
    few, many = Counts(20_000_308 + 400 * 52, 400), Counts(20_000_308 + 14_000 * 52, 14_000)
    assert judged(growth(few))[0]["found_bytes"] == judged(growth(many))[0]["found_bytes"]
    lost = Counts(19_700_000 + 14_000 * 52, 14_000)
    assert lost.download_bytes > FILE.payload
    assert judged(growth(lost))[0]["percent"] == 98.5


def test_a_little_less_is_good() -> None:
    result, wrong = judged(growth(Counts(19_960_000 + 52, 1)))
    assert (result["percent"], wrong) == (99.8, None)
    assert "home: 99.8 % counted\n" in text(growth(Counts(19_960_000 + 52, 1)))


def test_other_traffic_makes_no_more_than_all() -> None:
    busy = growth(Counts(31_000_000, 20_000))
    assert judged(busy)[0]["percent"] == 100.0
    assert "other traffic of the same host at the same time" in text(busy)
    assert "more:" not in text(growth())


def test_without_the_kernels_help_the_file_is_compared() -> None:
    arrived = Arrived(20_000_000, 2.5)
    result, wrong = judged(growth(Counts(20_700_000, 14_000)), arrived)
    assert wrong is None
    assert (result["exact"], result["expected_bytes"], result["found_bytes"]) == (False, 20_000_000, 20_700_000)
    assert "headers included" in text(growth(Counts(20_700_000, 14_000)), arrived)
    assert "more:" not in text(growth(Counts(20_700_000, 14_000)), arrived)


@pytest.mark.parametrize(
    ("grown", "said"),
    [
        (growth(Counts()), "home: nothing was counted of what this machine (192.168.1.2) fetched (0 of 20,000,300 bytes)."),
        (growth(Counts(2_000_000 + 520, 10)), "10.0 % was counted of what this machine (192.168.1.2) fetched (2,000,000 of 20,000,300 b"),
        (growth(Counts(), received=None), "this is what acceleration (flow cache, flow offload) does. ansible-playbook homenet."),
        (growth(Counts(), rest=None), "this is what acceleration"),
        (growth(Counts(), other=20_500_000), "The router counted as much for 192.168.1.3 meanwhile"),
        (growth(Counts(), rest=20_500_000), "The router counted as much for hosts without a counter"),
        (growth(Counts(), received=12_000), "It did not come through this router: ppp0 received 12.0 kB meanwhile."),
    ],
)
def test_what_is_wrong(grown: Growth, said: str) -> None:
    wrong = judged(grown)[1]
    assert wrong
    assert said in wrong


def test_what_is_known_to_be_wrong_is_the_cause() -> None:
    wrong = judged(growth(Counts()), FILE, "jump_missing", "set_full", "wan_changed")[1]
    assert wrong
    assert wrong.endswith("bytes). There is a jump_missing. There is a wan_changed.")
    assert "acceleration" in (judged(growth(Counts()), FILE, "set_full")[1] or "")


def test_what_is_wrong_shows_although_all_was_counted() -> None:
    """Two jumps count everything twice, which is no sign of health."""
    twice = judged(growth(Counts(2 * ALL.download_bytes, 2 * ALL.download_packets)), FILE, "jump_duplicate")[0]
    assert selftest_text("home", twice)[-1][0] == "! There is a jump_duplicate."


def test_too_little_to_tell() -> None:
    wrong = judged(growth(), Arrived(999_999, 30.0, 1_000_100, 52))[1]
    assert wrong
    assert wrong.startswith("home: 1.00 MB of https://example.net/file arrived in 30.0 s, which is too little to tell")


def test_a_host_without_a_counter() -> None:
    bare = Growth(datetime.now(timezone.utc), 3.0, {}, None, {})
    assert judged(bare)[1] == "home: this machine (192.168.1.2) has no counter of its own yet. Run setup_traffic, and then selftest again."


def require(address: str, own: Sequence[Address] = OWN) -> None:
    require_on_network("home", Fetcher("this machine", address), ["192.168.1.2", "192.168.7.9"], own, ["ppp0"])


def test_who_is_on_the_network() -> None:
    for address in ("192.168.1.2", "192.168.1.9", "192.168.7.9", "2001:db8::77"):
        require(address)
    require("192.168.1.2", [])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("192.168.1.1", "this machine (192.168.1.1) is the router itself"),
        ("100.64.0.2", "is the router itself"),
        ("10.0.0.5", "(10.0.0.5) is not on this router's network (192.168.1.0/24, 2001:db8::/64), so what it fetches is not counted"),
        ("100.64.0.9", "is not on this router's network"),
        ("127.0.0.1", "is not on this router's network"),
    ],
)
def test_who_is_not(address: str, said: str) -> None:
    with pytest.raises(TrafficError) as caught:
        require(address)
    assert said in str(caught.value)


def test_where_the_router_does_not_tell_its_addresses() -> None:
    with pytest.raises(TrafficError, match="is not on this router's network, so"):
        require("192.168.1.9", [])


def test_names_stay_text() -> None:
    result = selftest_result(Fetcher("pc\x1b[31m\n| x", "192.168.1.2"), URL, FILE, growth(), [])
    assert all(line.isprintable() for line, _red in selftest_text("home", result))
