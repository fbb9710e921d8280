# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nftables table has counted, and what is wrong with it. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import (
    DIRECTIONS,
    ZERO,
    Counted,
    Counter,
    Direction,
    Problem,
    Status,
    nearly_full,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import (
    RESTS,
    SETS,
    WORDS,
    NftChain,
    NftSettings,
    NftTable,
    by_address,
    counting,
    foreign,
    interfaces_of,
    is_varying,
    jumps,
    known,
    learning,
    marker,
    plain,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import some


def hosts_of(table: NftTable | None) -> list[str]:
    """The addresses that are counted by themselves, IPv4 first, each in numeric order."""
    return [host for version in WORDS for host in sorted(known(table.sets if table else {}, version), key=by_address)]


def counted(table: NftTable | None) -> Counted:
    """What was counted. A host that is known and has no counter yet has sent or received nothing."""
    if table is None:
        return Counted()
    hosts = {host: {direction: _of_host(table, direction, host) for direction in DIRECTIONS} for host in hosts_of(table)}
    if not all(name in table.counters for name in RESTS):
        return Counted(hosts, None)
    return Counted(hosts, {direction: table.counters[f"rest_{direction}"] for direction in DIRECTIONS})


def _of_host(table: NftTable, direction: Direction, host: str) -> Counter | None:
    version = 6 if ":" in host else 4
    one = table.sets.get(f"{direction}{version}")
    return None if one is None else one.elements.get(host) or ZERO


def status(settings: NftSettings, table: NftTable | None, interfaces: Sequence[str]) -> Status:
    """How it is installed, and what is wrong."""
    return Status(
        installed=table is not None and "forward" in table.chains,
        jump_position=None,
        references=None,
        hosts=len(hosts_of(table)),
        marker=marker(table),
        problems=tuple(_problems(settings, table, interfaces)),
    )


def _problems(settings: NftSettings, table: NftTable | None, interfaces: Sequence[str]) -> Iterator[Problem]:
    name = settings.table
    if table is None:
        yield Problem("chain_missing", f"There is no table {name}: nothing is counted. Run setup_traffic.")
        return
    strangers = foreign(table)
    if strangers:
        what = f"In the table {name} there is what is not of homenet.traffic: {some(strangers)}. It was left alone."
        yield Problem("foreign_rule", what)
    if "forward" not in table.chains:
        yield Problem("jump_missing", f"The table {name} has lost its chain forward: nothing is counted. Run setup_traffic.")
        return
    if not table.chains["forward"].rules:
        yield Problem("no_catch_all", f"The table {name} is empty: nothing is counted. Run setup_traffic.")
        return
    counted_on = interfaces_of(table)
    missing = [one for one in interfaces if one not in counted_on]
    if missing:
        yield Problem(
            "wan_changed",
            f"The way to the Internet is {some(missing)}, but the table {name} counts on {some(counted_on) or 'none'}: new traffic is "
            "not counted. Run setup_traffic.",
        )
    if not (_is_whole(table) and set(SETS) <= set(table.sets) and set(RESTS) <= set(table.counters)):
        yield Problem(
            "rules_differ",
            f"The rules of the table {name} are not those that setup_traffic makes: what passes may be counted twice, or not at all. "
            "Run setup_traffic.",
        )
    yield from _room(table)


def _is_whole(table: NftTable) -> bool:
    """Whether every rule is there once. Where hosts are learned, and from which networks, is the user's choice."""
    wanted = {
        "learn": tuple(learning()),
        "download": tuple(counting("download")),
        "upload": tuple(counting("upload")),
        "forward": tuple(jumps(interfaces_of(table))),
    }
    return all(_fixed(table.chains.get(chain, NftChain()), chain != "forward") == _plain(words) for chain, words in wanted.items())


def _fixed(chain: NftChain, without_choice: bool) -> list[str]:
    return _plain(rule.words for rule in chain.rules if not (without_choice and is_varying(rule)))


def _plain(words: Iterable[str]) -> list[str]:
    return [plain(one) for one in words]


def _room(table: NftTable) -> Iterator[Problem]:
    """A full set learns nobody any more. That is told while there is still time."""
    for version in WORDS:
        one = table.sets.get(f"hosts{version}")
        count = len(known(table.sets, version))
        what = nearly_full(count, one.size, f"IPv{version} addresses") if one and one.size is not None else None
        if what is None:
            continue
        yield Problem(
            "set_full",
            f"{what}. Addresses change, and a device can make up as many as it likes: run setup_traffic with traffic_prune: true to "
            "take out those of devices that are not on the network now, with what was counted for them.",
        )
