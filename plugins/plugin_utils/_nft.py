# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table: what is wanted and what was observed go in, nft commands come out. Private to this collection.

Pure, and the only place that spells an nft command. What the table is like stands in ``_nft_table``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address, ip_network

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, ZERO, Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import check_interface
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_list import FAMILY
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import (
    CHAINS,
    PRIORITY,
    RESTS,
    SETS,
    WORDS,
    NftChain,
    NftError,
    NftRule,
    NftSet,
    NftSettings,
    NftTable,
    by_address,
    counting,
    foreign,
    jumps,
    known,
    learning,
    marker,
    plain,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import some

LINE_LIMIT = 480  # bytes; BusyBox ash cuts a terminal's line at 1,024

#: Whose source is one of these is learned: what is private (with the shared space that some use inside), and every address
#: that IPv6 routes. The backend adds the LAN's own networks.
LEARNED = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "2000::/3", "fc00::/7")


# What is wanted


@dataclass(frozen=True)
class NftWanted:
    """The hosts to count by themselves, IPv4 and IPv6, on the interfaces to the Internet. ``prune`` takes away all others.

    ``networks`` are the LAN's own, from which hosts are learned too.
    """

    hosts: tuple[str, ...]
    interfaces: tuple[str, ...]
    prune: bool = False
    networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.hosts:
            check_address(host)
        for interface in self.interfaces:
            check_interface(interface)
        for network in self.networks:
            check_network(network)


@dataclass(frozen=True)
class Plan:
    """The lines of a transaction, and the table after it (without what is counted meanwhile)."""

    lines: tuple[str, ...]
    after: NftTable | None


def check_address(host: str) -> None:
    """Raise unless this is the canonical text of an address that a host of a LAN can have."""
    try:
        address = ip_address(host)
    except ValueError as error:
        raise NftError(f"traffic_hosts: {host!r} is no IP address.") from error
    mapped = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id)
    if str(address) != host or mapped:
        raise NftError(f"traffic_hosts: {host!r} is not the usual way to write an IP address.")
    nobody = address.is_multicast or address.is_loopback or address.is_unspecified or host == "255.255.255.255"
    if nobody or (address.version == 6 and address.is_link_local):
        raise NftError(f"traffic_hosts: {host!r} is not the address of a host on the way to the Internet.")


def check_network(network: str) -> None:
    """Raise unless this is the canonical text of a network, and not of everything or of a single address."""
    try:
        found = ip_network(network)
    except ValueError as error:
        raise NftError(f"{network!r} is no network.") from error
    if str(found) != network or not 0 < found.prefixlen < found.max_prefixlen or "%" in network:
        raise NftError(f"{network!r} is not a network to learn hosts from.")


# Commands


def transaction(lines: Iterable[str], check: bool = False) -> str:
    """The command that hands lines to the kernel as one change, which is done as a whole or not at all; or only checks them."""
    body = "".join(f"{line}\n" for line in lines)
    return f"nft {'-c ' if check else ''}-f - <<'END'\n{body}END"


def for_people(lines: Iterable[str]) -> list[str]:
    """The lines of a transaction as single commands for a shell."""
    return [f"nft {line}" if re.fullmatch(r"[\w. -]+", line) else f"nft {shlex.quote(line)}" for line in lines]


def as_lines(settings: NftSettings, table: NftTable | None) -> list[str]:
    """The lines that would make a table like this one, counting from zero, in the order in which they are made."""
    if table is None:
        return []
    draft = _Draft(settings, None)
    draft.create_table()
    for name in RESTS:
        if name in table.counters:
            draft.create_counter(name)
    for name, kind in SETS.items():
        if name in table.sets:
            draft.create_set(name, kind, table.sets[name].size)
    for name in sorted(table.chains, key=_in_order):
        draft.create_chain(name)
    for name in sorted(table.chains, key=_in_order):
        draft.write(name, tuple(rule.words for rule in table.chains[name].rules))
    for version in WORDS:
        name = f"hosts{version}"
        for host in sorted(known({name: table.sets[name]} if name in table.sets else {}, version), key=by_address):
            draft.lines.append(f"add element {draft.where} {name} {{ {host} }}")
    return draft.lines


def _in_order(chain: str) -> tuple[int, str]:
    return CHAINS.index(chain) if chain in CHAINS else -1, chain


class _Draft:
    """A table that is being changed: the lines that do it, and what it will be."""

    def __init__(self, settings: NftSettings, table: NftTable | None) -> None:
        start = table or NftTable(FAMILY, settings.table)
        self.lines: list[str] = []
        self.name = settings.table
        self.where = f"{FAMILY} {settings.table}"
        self.counters = dict(start.counters)
        self.sets = dict(start.sets)
        self.chains = dict(start.chains)

    def plan(self) -> Plan:
        return Plan(tuple(self.lines), NftTable(FAMILY, self.name, self.counters, self.sets, self.chains))

    # `create` and not `add`, all along: of two runs at once the second then fails as a whole, and looks again.

    def create_table(self) -> None:
        self.lines.append(f"create table {self.where}")

    def create_counter(self, name: str) -> None:
        self.lines.append(f"create counter {self.where} {name}")
        self.counters[name] = ZERO

    def create_set(self, name: str, kind: str, size: int | None) -> None:
        room = f" size {size};" if size else ""
        self.lines.append(f"create set {self.where} {name} {{ type {kind};{room} flags dynamic; }}")
        self.sets[name] = NftSet(kind, size)

    def create_chain(self, name: str) -> None:
        base = f" {{ type filter hook forward priority {PRIORITY}; policy accept; }}" if name == "forward" else ""
        self.lines.append(f"create chain {self.where} {name}{base}")
        self.chains[name] = NftChain(hook="forward", priority=PRIORITY, policy="accept") if base else NftChain()

    def write(self, chain: str, rules: Sequence[str]) -> None:
        """Replace all rules of a chain."""
        if self.chains[chain].rules:
            self.lines.append(f"flush chain {self.where} {chain}")
        self.lines += [f"add rule {self.where} {chain} {words}" for words in rules]
        self.chains[chain] = replace(self.chains[chain], rules=tuple(NftRule(words) for words in rules))

    def add(self, name: str, hosts: Iterable[str]) -> None:
        hosts = list(hosts)
        self._elements("add", name, hosts)
        self._hold(name, {**self.sets[name].elements, **dict.fromkeys(hosts)})

    def delete(self, name: str, hosts: Iterable[str]) -> None:
        gone = [host for host in hosts if host in self.sets[name].elements]
        self._elements("delete", name, gone)
        self._hold(name, {host: found for host, found in self.sets[name].elements.items() if host not in set(gone)})

    def _hold(self, name: str, elements: Mapping[str, Counter | None]) -> None:
        self.sets[name] = replace(self.sets[name], elements=elements)

    def _elements(self, verb: str, name: str, hosts: Iterable[str]) -> None:
        start = f"{verb} element {self.where} {name} {{ "
        line: list[str] = []
        for host in hosts:
            if line and len(start) + len(", ".join([*line, host])) + 2 > LINE_LIMIT:
                self.lines.append(f"{start}{', '.join(line)} }}")
                line = []
            line.append(host)
        if line:
            self.lines.append(f"{start}{', '.join(line)} }}")

    def drop(self, chains: Iterable[str]) -> None:
        """Take away all but the given chains, which are emptied."""
        keep = set(chains)
        for name in sorted(self.chains, key=_in_order, reverse=True):
            self.write(name, ())
        self.lines += [f"delete chain {self.where} {name}" for name in self.chains if name not in keep]
        self.lines += [f"delete set {self.where} {name}" for name in self.sets]
        self.lines += [f"delete counter {self.where} {name}" for name in self.counters]
        self.counters, self.sets = {}, {}
        self.chains = {name: chain for name, chain in self.chains.items() if name in keep}


# The rules


def rules(settings: NftSettings, wanted: NftWanted) -> dict[str, tuple[str, ...]]:
    """The rules of each chain."""
    return {
        "learn": tuple(learning()),
        "download": tuple(counting("download")),
        "upload": tuple(counting("upload", *(_open_to(wanted) if settings.learn else ()))),
        "forward": tuple(jumps(wanted.interfaces)),
    }


def _open_to(wanted: NftWanted) -> Iterator[str]:
    """From where hosts are learned. What came from the Internet, to be sent back there, is of nobody here."""
    for name in wanted.interfaces:
        yield f'iifname "{name}" counter name rest_upload return'
    for network in dict.fromkeys((*LEARNED, *wanted.networks)):
        yield f"{WORDS[ip_network(network).version]} saddr {network} goto learn"


# Planning


def plan_present(settings: NftSettings, observed: NftTable | None, wanted: NftWanted, new_marker: str) -> Plan:
    """The transaction that makes the table or brings it up to date. Without lines when nothing is to be done.

    What was counted stays, whatever changes: rules are replaced, sets never.
    """
    _refuse_foreign(observed)
    draft = _Draft(settings, observed)
    if observed is None:
        draft.create_table()
    for name in RESTS:
        if name not in draft.counters:
            draft.create_counter(name)
    for name, kind in SETS.items():
        if name not in draft.sets:
            draft.create_set(name, kind, _size(settings, _of(wanted.hosts, int(name[-1]))))
    if marker(observed) is None:
        draft.create_chain(f"marker_{new_marker}")
    for name in CHAINS:
        if name not in draft.chains:
            draft.create_chain(name)
    for name, lines in rules(settings, wanted).items():
        if [plain(rule.words) for rule in draft.chains[name].rules] != [plain(words) for words in lines]:
            draft.write(name, lines)
    for version in WORDS:
        _bring_hosts(settings, draft, wanted, version)
    return draft.plan()


def plan_stop(settings: NftSettings, observed: NftTable | None) -> Plan:
    """The transaction that stops counting, so that what was counted can be read for good."""
    _refuse_foreign(observed)
    if observed is None or not observed.chains.get("forward", NftChain()).rules:
        return Plan((), observed)
    draft = _Draft(settings, observed)
    draft.write("forward", ())
    return draft.plan()


def plan_empty(settings: NftSettings, observed: NftTable | None) -> Plan:
    """The transaction that forgets what was counted. The table and its hook stay; counting goes on with the next set-up."""
    _refuse_foreign(observed)
    if observed is None:
        return Plan((), None)
    draft = _Draft(settings, observed)
    draft.drop(["forward"])
    return draft.plan()


def plan_absent(settings: NftSettings, observed: NftTable | None) -> Plan:
    """The transaction that takes the table away."""
    _refuse_foreign(observed)
    return Plan((), None) if observed is None else Plan((f"delete table {FAMILY} {settings.table}",), None)


def _bring_hosts(settings: NftSettings, draft: _Draft, wanted: NftWanted, version: int) -> None:
    """Bring the sets of a family to the hosts that are wanted. What is not known of a family is no reason to prune it."""
    name = f"hosts{version}"
    mine = _of(wanted.hosts, version)
    there = known(draft.sets, version)
    if wanted.prune and (mine or not settings.learn):
        gone = sorted(there - set(mine), key=by_address)
        for what in ("hosts", *DIRECTIONS):
            draft.delete(f"{what}{version}", gone)
        there -= set(gone)
    missing = sorted((there | set(mine)) - set(draft.sets[name].elements), key=by_address)
    size = draft.sets[name].size
    draft.add(name, missing if size is None else missing[: max(0, size - len(draft.sets[name].elements))])


def _of(hosts: Iterable[str], version: int) -> list[str]:
    return [host for host in dict.fromkeys(hosts) if ip_address(host).version == version]


def _size(settings: NftSettings, hosts: Sequence[str]) -> int:
    """Room for twice as many hosts as there are, at the least."""
    size = settings.size
    while size < 2 * len(hosts):
        size *= 2
    return size


def _refuse_foreign(table: NftTable | None) -> None:
    """What is somebody else's is neither thrown away nor counted around."""
    found = foreign(table) if table else []
    if table and found:
        raise NftError(
            f"The table {table.family} {table.name} holds what homenet.traffic did not make ({some(found, 3)}), so nothing was changed. "
            f"Take it out by hand, or the whole table if it is yours to delete (`nft delete table {table.family} {table.name}`, which "
            "forgets what was counted), and run it again."
        )
