# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain: what is wanted and what was observed go in, iptables commands come out. Private to this collection.

Pure, and the only place that spells an iptables command or any other command with a variable part.

A router may run a line that was cut in the middle, so a command names its chain *after* the rule: ``iptables -i ppp0
-d 192.168.1.2 -j RETURN -A TRAFFIC`` either does all of it or nothing, where the usual order, cut short, would leave a
rule for another address, or an empty rule in FORWARD. iptables takes its options in any order, the oldest one too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address
from typing import Literal

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, Direction
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule, TrafficError

LINE_LIMIT = 500  # bytes; BusyBox ash cuts a terminal's line at 1,024 and runs the rest as another command
BUILT_IN_CHAINS = frozenset({"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"})
TARGETS = frozenset(
    "ACCEPT AUDIT BALANCE CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DROP DSCP ECN FLOWOFFLOAD HL HMARK "
    "IDLETIMER IMQ LED LOG MARK MASQUERADE MIRROR NETMAP NFLOG NFQUEUE NOTRACK QUEUE RATEEST REDIRECT REJECT RETURN ROUTE "
    "SAME SECMARK SET SKIP SNAT SNPT SYNPROXY TARPIT TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG".split()
)

_CHAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,27}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]{0,14}")


class ChainError(TrafficError):
    """Something about the chain that only the user can decide."""


@dataclass(frozen=True)
class Settings:
    """Which chain, in which table, by which program (the profile's word for iptables)."""

    chain: str = "TRAFFIC"
    table: str = "filter"
    program: str = "iptables"

    def __post_init__(self) -> None:
        if not _CHAIN_NAME.fullmatch(self.chain):
            raise ChainError(
                f"traffic_chain: {self.chain!r} cannot name a chain: letters, digits, '_' and '-', at most 28, "
                "not beginning with '-'."
            )
        if self.chain in BUILT_IN_CHAINS or self.chain in TARGETS:
            raise ChainError(
                f"traffic_chain: {self.chain!r} is a name of iptables' own. Choose another one, such as TRAFFIC: "
                "the chain holds nothing but counting rules and is emptied and removed as a whole."
            )
        if self.chain.startswith(tuple(BUILT_IN_CHAINS)):
            raise ChainError(
                f"traffic_chain: {self.chain!r} begins with the name of a chain of iptables' own, which a command that was cut off "
                "could meet instead. Choose another name, such as TRAFFIC."
            )
        if self.table not in ("filter", "mangle"):
            raise ChainError(f"traffic_table: {self.table!r} is neither 'filter' nor 'mangle'.")


@dataclass(frozen=True)
class Match:
    """What a counting rule of ours counts. ``host`` is None in the catch-all."""

    direction: Direction
    interface: str
    host: str | None


@dataclass(frozen=True)
class Marker:
    """A rule that never matches and names this life of the chain: two random addresses out of 127.0.0.0/8."""

    source: str
    destination: str

    def __str__(self) -> str:
        return f"{self.source}/{self.destination}"


@dataclass(frozen=True)
class Observed:
    """The two chains as the router lists them. ``chain`` is None where it does not exist."""

    chain: Chain | None
    forward: Chain


@dataclass(frozen=True)
class Wanted:
    """The hosts to count, on the interfaces to the Internet. ``prune`` takes away the rules of all other hosts."""

    hosts: tuple[str, ...]
    interfaces: tuple[str, ...]
    prune: bool = False

    def __post_init__(self) -> None:
        for host in self.hosts:
            check_host(host)
        for interface in self.interfaces:
            check_interface(interface)


@dataclass(frozen=True)
class Step:
    """One command: what it does to which rule of which chain. ``counted``: the rule starts with its counters, not with zero."""

    action: Literal["new", "append", "insert", "delete", "delete_number", "delete_chain"]
    chain: str
    rule: Rule | None = None
    number: int = 0
    counted: bool = False


def check_host(host: str) -> None:
    """Raise unless this is the canonical text of an IPv4 address that a host of a LAN can have."""
    try:
        address = IPv4Address(host)
    except AddressValueError as error:
        raise ChainError(f"traffic_hosts: {host!r} is not an IPv4 address.") from error
    if address.is_multicast or address.is_loopback or address.is_unspecified or address == IPv4Address("255.255.255.255"):
        raise ChainError(f"traffic_hosts: {host!r} is not the address of a host.")


def check_interface(interface: str) -> None:
    """Raise unless this can name a network interface."""
    if not _INTERFACE.fullmatch(interface):
        raise ChainError(
            f"traffic_wan_interfaces: {interface!r} cannot name an interface: letters, digits and '_.:-', at most 15."
        )


def by_address(host: str) -> int:
    """Sort key: the numeric order of addresses."""
    return int(IPv4Address(host))


# Commands


def list_command(settings: Settings, chain: str) -> str:
    """The command that lists a chain with exact counters and without name look-ups."""
    return _command(settings, "-nvxL", chain)


def version_command(settings: Settings) -> str:
    """The command that tells the version of iptables."""
    return f"{settings.program} --version"


def list_all_command(settings: Settings) -> str:
    """The command that lists every chain of the table."""
    return _command(settings, "-nvxL")


def command(settings: Settings, step: Step) -> str:
    """A step as a command line."""
    spec = rule_words(step.rule) if step.rule else ()
    if step.rule and step.counted:
        spec = (*spec, "-c", str(step.rule.packets), str(step.rule.bytes))
    match step.action:
        case "new":
            return _command(settings, "-N", step.chain)
        case "append":
            return _command(settings, *spec, "-A", step.chain)
        case "insert":
            return _command(settings, *spec, "-I", step.chain, *(("1",) if step.chain == "FORWARD" else ()))
        case "delete":
            return _command(settings, *spec, "-D", step.chain)
        case "delete_number":
            return _command(settings, "-D", step.chain, str(step.number))
        case "delete_chain":
            return _command(settings, "-X", step.chain)


def restore_command(settings: Settings, program: str, steps: Iterable[Step]) -> str:
    """The steps as one change, handed to iptables-restore by a shell."""
    plain = replace(settings, program="", table="filter")
    lines = (command(plain, step).strip() for step in steps)
    body = "".join(f"{line}\n" for line in lines)
    return f"{program} <<'END'\n*{settings.table}\n{body}COMMIT\nEND"


def _command(settings: Settings, *words: str) -> str:
    table = () if settings.table == "filter" else ("-t", settings.table)
    line = " ".join((settings.program, *table, *words))
    if len(line.encode()) > LINE_LIMIT:
        raise ChainError(f"A command would be longer than {LINE_LIMIT} bytes, which routers cut: {line[:80]}...")
    return line


def rule_words(rule: Rule) -> tuple[str, ...]:
    """The words that specify a rule of our forms."""
    fields = (
        ("-s", rule.source if not rule.in_interface else None),
        ("-i", rule.in_interface),
        ("-d", rule.destination),
        ("-o", rule.out_interface),
        ("-j", rule.target),
    )
    return tuple(word for option, value in fields if value for word in (option, value))


def as_commands(settings: Settings, observed: Observed) -> list[str]:
    """The chain and its jumps as the iptables commands that would make them: for people, in the usual order of words."""
    settings = replace(settings, program=settings.program.partition(" -w")[0])
    if observed.chain is None:
        return []
    lines = [_command(settings, "-N", settings.chain)]
    lines += [_command(settings, "-A", settings.chain, *_words_for_people(rule)) for rule in observed.chain.rules]
    for number, rule in enumerate(observed.forward.rules, 1):
        if rule.target == settings.chain:
            lines.append(_command(settings, "-I", "FORWARD", str(number), *_words_for_people(rule)))
    return lines


def _words_for_people(rule: Rule) -> tuple[str, ...]:
    if is_ours(rule):
        return rule_words(rule)
    fields = (
        ("-p", rule.protocol),
        ("-s", rule.source),
        ("-i", rule.in_interface),
        ("-d", rule.destination),
        ("-o", rule.out_interface),
        ("", rule.extra),
        ("-j", rule.target),
    )
    return tuple(word for option, value in fields if value for word in (option, value) if word)


# Reading a chain


def host_rule(match: Match) -> Rule:
    """The rule that counts a match: it returns for a host, and goes on for the catch-all."""
    down = match.direction == "download"
    return Rule(
        packets=0,
        bytes=0,
        target="RETURN" if match.host else None,
        protocol=None,
        in_interface=match.interface if down else None,
        out_interface=None if down else match.interface,
        source=None if down else match.host,
        destination=match.host if down else None,
    )


def marker_rule(marker: Marker) -> Rule:
    """The rule that carries a marker."""
    return Rule(0, 0, None, None, None, None, marker.source, marker.destination)


def jump_rule(settings: Settings) -> Rule:
    """The one jump of ours, as it stands in FORWARD."""
    return Rule(0, 0, settings.chain, None, None, None, None, None)


@lru_cache(maxsize=4096)
def match_of(rule: Rule) -> Match | None:
    """What a rule of our forms (or of the older script's, without target) counts; None for every other rule."""
    if rule.protocol is not None or rule.extra or rule.target not in (None, "RETURN"):
        return None
    match (rule.in_interface, rule.out_interface, rule.source, rule.destination):
        case (str() as interface, None, None, host):
            found = Match("download", interface, host)
        case (None, str() as interface, host, None):
            found = Match("upload", interface, host)
        case _:
            return None
    if found.host is None and rule.target is not None:
        return None
    return found if _INTERFACE.fullmatch(found.interface) and (found.host is None or _is_host(found.host)) else None


def marker_of(rule: Rule) -> Marker | None:
    """The marker that a rule carries, if it is one."""
    if rule.protocol or rule.extra or rule.target or rule.in_interface or rule.out_interface:
        return None
    if rule.source and rule.destination and _is_loopback(rule.source) and _is_loopback(rule.destination):
        return Marker(rule.source, rule.destination)
    return None


def is_ours(rule: Rule) -> bool:
    """Whether a rule of the chain is of a form that this collection makes or understands."""
    return match_of(rule) is not None or marker_of(rule) is not None


def is_plain_jump(settings: Settings, rule: Rule) -> bool:
    """Whether a rule of FORWARD sends every packet to the chain."""
    return _bare(rule) == jump_rule(settings)


def _bare(rule: Rule) -> Rule:
    return replace(rule, packets=0, bytes=0)


@lru_cache(maxsize=4096)
def _is_host(text: str) -> bool:
    try:
        check_host(text)
    except ChainError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    try:
        return IPv4Address(text).is_loopback
    except AddressValueError:
        return False


def rules_by_match(rules: Iterable[Rule]) -> dict[Match, list[Rule]]:
    """The counting rules, gathered by what they count, each list in the order of the chain."""
    found: dict[Match, list[Rule]] = {}
    for rule in rules:
        match = match_of(rule)
        if match:
            found.setdefault(match, []).append(rule)
    return found


def marker(chain: Chain | None) -> Marker | None:
    """The marker of this life of the chain, None where it has none."""
    found = (marker_of(rule) for rule in (chain.rules if chain else ()))
    return next((one for one in found if one), None)


def hosts_of(chain: Chain) -> list[str]:
    """The hosts that have rules, in numeric order."""
    return sorted({match.host for match in rules_by_match(chain.rules) if match.host}, key=by_address)


# Planning


def plan_present(settings: Settings, observed: Observed, wanted: Wanted, new_marker: Marker) -> tuple[Step, ...]:
    """The steps that install the chain or bring it up to date. Empty when nothing is to be done.

    The jump comes last: until it stands, no packet meets a rule of ours.
    """
    _refuse_deciding_rules(observed.chain)
    steps: list[Step] = []
    if observed.chain is None:
        steps.append(Step("new", settings.chain))
    chain = observed.chain or Chain(settings.chain, 0, None, ())
    steps += [Step("delete_number", settings.chain, number=number) for number in _removable(_idle_duplicates(chain))]
    if wanted.prune:
        steps += _pruned(settings, chain, wanted)
    where: Literal["append", "insert"] = "insert" if chain.rules else "append"
    if marker(chain) is None:
        steps.append(Step(where, settings.chain, marker_rule(new_marker)))
    steps += [Step(where, settings.chain, host_rule(match)) for match in _uncounted(chain, wanted)]
    present = rules_by_match(chain.rules)
    steps += [
        Step("append", settings.chain, host_rule(match)) for match in _catch_alls(wanted) if match not in present
    ]
    return (*steps, *_jump_steps(settings, observed))


def plan_empty(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps that take every rule out of the chain. Chain and jump stay."""
    if observed.chain is None:
        return ()
    _refuse_foreign_rules(observed.chain)
    # Rule by rule: `-F TRAFFIC` cut after `-F` would flush everybody's rules. The marker goes first, so that a chain
    # that was emptied halfway is not taken for the one that it was.
    rules = sorted(observed.chain.rules, key=lambda rule: marker_of(rule) is None)
    return tuple(Step("delete", settings.chain, _bare(rule)) for rule in rules)


def plan_absent(settings: Settings, observed: Observed) -> tuple[Step, ...]:
    """The steps that take the jump and the chain away. The jump goes first."""
    if observed.chain is None:
        return ()
    _refuse_foreign_rules(observed.chain)
    jumps = [rule for rule in observed.forward.rules if is_plain_jump(settings, rule)]
    if observed.chain.references is not None and observed.chain.references > len(jumps):
        raise ChainError(
            f"Other rules jump to {settings.chain} ({observed.chain.references - len(jumps)} more than the plain jumps of "
            f"FORWARD), so it cannot be removed, and nothing was. Find them with "
            f"`{list_all_command(settings)}`, delete them, and run it again."
        )
    return (
        *[Step("delete", "FORWARD", jump_rule(settings))] * len(jumps),
        *plan_empty(settings, observed),
        Step("delete_chain", settings.chain),
    )


def simulate(settings: Settings, observed: Observed, steps: Iterable[Step]) -> Observed:
    """What would be observed after these steps."""
    for step in steps:
        observed = _after(settings, observed, step)
    return observed


def _after(settings: Settings, observed: Observed, step: Step) -> Observed:
    if step.action == "new":
        return replace(observed, chain=Chain(settings.chain, 0, None, ()))
    if step.action == "delete_chain":
        return replace(observed, chain=None)
    target = observed.forward if step.chain == "FORWARD" else observed.chain
    if target is None:
        return observed
    changed = replace(target, rules=_edited(list(target.rules), step))
    return replace(observed, forward=changed) if step.chain == "FORWARD" else replace(observed, chain=changed)


def _edited(rules: list[Rule], step: Step) -> tuple[Rule, ...]:
    if step.action == "delete_number":
        del rules[step.number - 1 : step.number]
    elif step.rule and step.action == "append":
        rules.append(step.rule)
    elif step.rule and step.action == "insert":
        rules.insert(0, step.rule)
    elif step.action == "delete":
        found = [at for at, rule in enumerate(rules) if _bare(rule) == step.rule]
        del rules[slice(found[0], found[0] + 1) if found else slice(0, 0)]
    return tuple(rules)


def _uncounted(chain: Chain, wanted: Wanted) -> Iterator[Match]:
    """The matches that need a rule: hosts that have none yet, or only rules that let the packet go on to the catch-all."""
    known = () if wanted.prune else hosts_of(chain)
    returning: set[Match] = set()
    open_catch_alls = set(_catch_alls(wanted))
    for rule in chain.rules:
        match = match_of(rule)
        if match and match.host is None:
            open_catch_alls.discard(match)
        elif match and rule.target == "RETURN" and replace(match, host=None) in open_catch_alls:
            returning.add(match)
    for host in sorted({*wanted.hosts, *known}, key=by_address):
        for interface in wanted.interfaces:
            for direction in DIRECTIONS:
                match = Match(direction, interface, host)
                if match not in returning:
                    yield match


def _catch_alls(wanted: Wanted) -> Iterator[Match]:
    for interface in wanted.interfaces:
        for direction in DIRECTIONS:
            yield Match(direction, interface, None)


def _idle_duplicates(chain: Chain) -> list[int]:
    """Numbers, highest first, of rules that repeat an earlier one and never counted.

    By number, because deleting by specification takes the first, which counts.
    """
    seen: set[tuple[Match | None, str | None]] = set()
    numbers = []
    for number, rule in enumerate(chain.rules, 1):
        if not is_ours(rule):
            continue
        key = (match_of(rule), rule.target)
        if key in seen and rule.packets == 0:
            numbers.append(number)
        seen.add(key)
    return numbers[::-1]


def _removable(numbers: list[int]) -> list[int]:
    """Those of them whose digits, cut off anywhere, are again one of them or no number of a rule."""
    return [
        number for number in numbers if all(int(str(number)[:length]) in numbers for length in range(1, len(str(number))))
    ]


def _pruned(settings: Settings, chain: Chain, wanted: Wanted) -> list[Step]:
    duplicates = set(_removable(_idle_duplicates(chain)))
    gone = []
    for number, rule in enumerate(chain.rules, 1):
        match = match_of(rule)
        left = match and match.host and match.host not in wanted.hosts
        idle_elsewhere = match and match.interface not in wanted.interfaces and rule.packets == 0
        if (left or idle_elsewhere) and number not in duplicates:
            gone.append(Step("delete", settings.chain, _bare(rule)))
    return gone


def _jump_steps(settings: Settings, observed: Observed) -> list[Step]:
    """One plain jump at position 1. Never two at a time, or packets count twice: what is wrong is deleted first.

    By specification: a number cut short is the number of somebody else's rule.
    """
    positions = plain_jumps(settings, observed)
    if positions == [1]:
        return []
    jump = jump_rule(settings)
    return [*[Step("delete", "FORWARD", jump)] * len(positions), Step("insert", "FORWARD", jump)]


def plain_jumps(settings: Settings, observed: Observed) -> list[int]:
    """The positions of the plain jumps in FORWARD, from 1."""
    return [number for number, rule in enumerate(observed.forward.rules, 1) if is_plain_jump(settings, rule)]


def _refuse_deciding_rules(chain: Chain | None) -> None:
    """A foreign rule that decides about packets would decide about fewer of them behind rules that return."""
    deciding = [
        f"{number} (-j {rule.target})"
        for number, rule in enumerate(chain.rules if chain else (), 1)
        if not is_ours(rule) and rule.target not in (None, "RETURN")
    ]
    if chain and deciding:
        raise ChainError(
            f"The chain {chain.name} is in use for something else: rule {', '.join(deciding)} decides about packets. Nothing was "
            "changed. Choose another name with traffic_chain."
        )


def _refuse_foreign_rules(chain: Chain) -> None:
    foreign = [number for number, rule in enumerate(chain.rules, 1) if not is_ours(rule)]
    if foreign:
        numbers = ", ".join(map(str, foreign))
        commands = ", ".join(f"`iptables -D {chain.name} {number}`" for number in foreign[:-4:-1])
        raise ChainError(
            f"The chain {chain.name} holds rules that homenet.traffic did not make (number {numbers}), so it is left as it "
            f"is. Delete them by hand if they are yours to delete ({commands}), or choose another name with traffic_chain."
        )
