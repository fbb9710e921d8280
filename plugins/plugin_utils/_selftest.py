# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a host has fetched was counted for it, and what is wrong when it was not. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import Counts
from ansible_collections.homenet.traffic.plugins.plugin_utils._fetch import EXAMPLE, Arrived
from ansible_collections.homenet.traffic.plugins.plugin_utils._rates import Growth
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import WIDTH, Line
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import (
    grouped,
    human_bytes,
    percent,
    percent_of,
    plain_text,
    visible,
    wrapped,
)

NO_URL = (
    "selftest fetches a file through the router, and nobody is asked for one unless you name it: set traffic_selftest_url to a file of "
    f"20 MB or more, on the Internet side of the router. For example: -e traffic_selftest_url={EXAMPLE} (a file of this kind is what "
    "your provider's speed test has, or a mirror of a Linux distribution)."
)
ENOUGH = 1_000_000  # bytes; acceleration leaves the first packets of a connection to the counters
GOOD = 99.0  # percent
_LOSING = frozenset({"jump_missing", "jump_not_first", "wan_changed", "one_direction_only", "rules_differ", "foreign_rule"})
_OTHER_TRAFFIC = 0.01  # of what is expected; more than that is said
_HEADERS = 0.06  # the same where headers are not known


@dataclass(frozen=True)
class Fetcher:
    """Who fetches the file (``this machine``, or a name), and with which address the router sees it."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


def require_on_network(
    where: str, who: Fetcher, known: Collection[str], own: Sequence[Address], wan: Sequence[str]
) -> None:
    """Raise unless this is the address of a device on the router's network. ``known``: such addresses; ``own``: the router's."""
    if who.address in (one.ip for one in own if not ip_address(one.ip).is_loopback):
        raise TrafficError(
            f"{where}: {who} is the router itself. What it fetches is not forwarded, and so it is counted for nobody. Let a device on its "
            "network fetch the file: set traffic_selftest_from to one that is in the inventory."
        )
    networks = list(_networks(own, wan))
    if who.address in known or any(ip_address(who.address) in ip_interface(network).network for network in networks):
        return
    shown = f" ({', '.join(networks)})" if networks else ""
    raise TrafficError(
        f"{where}: {who} is not on this router's network{shown}, so what it fetches is not counted there. Run selftest on a computer of "
        "that network, or let one that is in the inventory fetch the file: set traffic_selftest_from to its name. If the router sees it "
        "under another address (it is a container or a virtual machine, say), set traffic_selftest_host to that."
    )


def _networks(own: Sequence[Address], wan: Sequence[str]) -> Iterator[str]:
    for one in own:
        if one.interface not in wan and one.prefix is not None and not ip_address(one.ip).is_loopback:
            yield str(ip_interface(f"{one.ip}/{one.prefix}").network)


def selftest_result(who: Fetcher, url: str, arrived: Arrived, growth: Growth, problems: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What the module returns. ``problems``: what is known to be wrong with the counting.

    Only what a connection brought is compared. How many headers were counted with it hangs on the router: one that merges packets on
    their way in (GRO) meets a few large ones.
    """
    counted = growth.hosts.get(who.address, Counts())
    expected = arrived.payload if arrived.stream is None else arrived.stream
    found = counted.download_bytes - counted.download_packets * (arrived.header or 0)
    return {
        "fetched_by": who.name,
        "host": who.address,
        "url": url,
        "payload_bytes": arrived.payload,
        "expected_bytes": expected,
        "exact": arrived.stream is not None,
        "found_bytes": max(0, found),
        "counted_bytes": counted.download_bytes,
        "counted_packets": counted.download_packets,
        "percent": min(100.0, percent_of(max(0, found), expected)),
        "fetch_seconds": round(arrived.seconds, 3),
        "problems": list(problems),
    }


def complaint(where: str, result: Mapping[str, Any], growth: Growth) -> str | None:
    """What is wrong; None when all was counted."""
    who = Fetcher(result["fetched_by"], result["host"])
    if who.address not in growth.hosts:
        return f"{where}: {who} has no counter of its own yet. Run setup_traffic, and then selftest again."
    if result["payload_bytes"] < ENOUGH:
        return (
            f"{where}: {human_bytes(result['payload_bytes'])} of {result['url']} arrived in {result['fetch_seconds']:.1f} s, which is too "
            f"little to tell: name a file of at least {human_bytes(ENOUGH)}, better 20 MB (traffic_selftest_url), or give a slow link more "
            "time (traffic_selftest_time_limit)."
        )
    if result["percent"] >= GOOD:
        return None
    found, expected = result["found_bytes"], result["expected_bytes"]
    share = percent(found, expected) if found else "nothing"
    return (
        f"{where}: {share} was counted of what {who} fetched ({grouped(found)} of {grouped(expected)} bytes). "
        f"{_cause(who, expected, growth, result['problems'])}"
    )


def _cause(who: Fetcher, expected: int, growth: Growth, problems: Sequence[Mapping[str, str]]) -> str:
    if losing := [one["message"] for one in problems if one["code"] in _LOSING]:
        return " ".join(losing)
    other = next((host for host, one in growth.hosts.items() if host != who.address and one.download_bytes >= expected // 2), None)
    if other:
        return (
            f"The router counted as much for {other} meanwhile: if it sees {who.name} under that address (it is a container or a virtual "
            "machine there, say), set traffic_selftest_host to it."
        )
    if growth.unattributed and growth.unattributed.download_bytes >= expected // 2:
        return (
            f"The router counted as much for hosts without a counter: it seems to see {who.name} under another address. Run setup_traffic, "
            "and set traffic_selftest_host to that address."
        )
    names = ", ".join(growth.wan)
    received = [received for received, _sent in growth.wan.values()]
    if received and None not in received and sum(one or 0 for one in received) < expected // 2:
        return (
            f"It did not come through this router: {names} received {human_bytes(sum(one or 0 for one in received))} meanwhile. Has "
            f"{who.name} another way to the Internet, such as a VPN or a second router, or is the file's server on its own network?"
        )
    return (
        "The rest went past the counters: this is what acceleration (flow cache, flow offload) does. ansible-playbook "
        "homenet.traffic.check tells which there is and what to do about it."
    )


def selftest_text(router: str, result: Mapping[str, Any]) -> list[Line]:
    """A test that went well, in words for the terminal."""
    found, expected = result["found_bytes"], result["expected_bytes"]
    who = Fetcher(plain_text(result["fetched_by"]), plain_text(result["host"]))
    without = "without their headers" if result["exact"] else "headers included"
    texts = [
        f"{who} fetched {human_bytes(result['payload_bytes'])} from {plain_text(result['url'])} in {result['fetch_seconds']:.1f} s.",
        f"{grouped(expected)} bytes arrived; {grouped(found)} were counted, {without} ({grouped(result['counted_bytes'])} in "
        f"{grouped(result['counted_packets'])} packets).",
    ]
    if found > expected * (1 + (_OTHER_TRAFFIC if result["exact"] else _HEADERS)):
        texts.append(
            f"These are {human_bytes(found - expected)} more: other traffic of the same host at the same time, or packets that were lost "
            "behind the router and sent again. Where it is much, run it again while the host is quiet."
        )
    lines = wrapped(f"{visible(router)}: {percent(min(found, expected), expected)} counted", WIDTH)
    for text in texts:
        lines += wrapped(visible(text), WIDTH, "  ", "  ")
    for problem in result["problems"]:
        lines += wrapped(visible(plain_text(problem["message"])), WIDTH, "! ", "  ")
    return [(line, False) for line in lines]
