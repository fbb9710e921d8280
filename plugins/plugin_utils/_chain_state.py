# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain has counted, and what is wrong with it. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import DIRECTIONS, ZERO, Counter, Direction, Problem
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    Match,
    Observed,
    Settings,
    hosts_of,
    is_ours,
    list_all_command,
    match_of,
    plain_jumps,
    rules_by_match,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule


def counted(rules: Iterable[Rule]) -> Counter:
    """What rules with the same match have counted together, no packet twice.

    A packet passes every rule up to the first ``RETURN``: those before it counted the same packets (the older one
    more of them), those behind it counted before it was put in front.
    """
    total = seen = ZERO
    for rule in rules:
        seen |= Counter(rule.packets, rule.bytes)
        if rule.target == "RETURN":
            total, seen = total + seen, ZERO
    return total + seen


def host_counters(chain: Chain) -> dict[str, dict[Direction, Counter | None]]:
    """What every host with rules was counted for, over all interfaces. None for a direction without a rule."""
    totals: dict[str, dict[Direction, Counter | None]] = {
        host: {"download": None, "upload": None} for host in hosts_of(chain)
    }
    for match, rules in rules_by_match(chain.rules).items():
        if match.host:
            host = totals[match.host]
            host[match.direction] = (host[match.direction] or ZERO) + counted(rules)
    return totals


def unattributed(chain: Chain) -> dict[Direction, Counter] | None:
    """What the catch-all counted: traffic of hosts without a rule. None where the chain has no catch-all.

    A host's rule behind the catch-all counted packets that the catch-all had counted already.
    """
    grouped = rules_by_match(chain.rules)
    catch_alls = [match for match in grouped if match.host is None]
    if not catch_alls:
        return None
    totals: dict[Direction, Counter] = {"download": ZERO, "upload": ZERO}
    for match in catch_alls:
        late = (counted(rules) for rules in _behind_catch_all(chain, match).values())
        totals[match.direction] += counted(grouped[match]) - sum(late, ZERO)
    return totals


def _behind_catch_all(chain: Chain, catch_all: Match) -> dict[Match, list[Rule]]:
    """The hosts' rules behind a catch-all that see the same packets."""
    position = next(at for at, rule in enumerate(chain.rules) if match_of(rule) == catch_all)
    behind = rules_by_match(chain.rules[position + 1 :])
    return {
        match: rules
        for match, rules in behind.items()
        if match.host and (match.direction, match.interface) == (catch_all.direction, catch_all.interface)
    }


def problems(settings: Settings, observed: Observed, interfaces: Iterable[str]) -> list[Problem]:
    """What is wrong with the chain, as the user should be told."""
    if observed.chain is None:
        return [
            Problem("chain_missing", f"There is no chain {settings.chain}: nothing is counted. Run setup_traffic.")
        ]
    return [
        *_jump_problems(settings, observed),
        *_rule_problems(observed.chain),
        *_catch_all_problems(observed.chain, list(interfaces)),
    ]


def _jump_problems(settings: Settings, observed: Observed) -> Iterator[Problem]:
    positions = plain_jumps(settings, observed)
    conditional = [
        number
        for number, rule in enumerate(observed.forward.rules, 1)
        if rule.target == settings.chain and number not in positions
    ]
    if not positions:
        yield Problem("jump_missing", f"No rule of FORWARD jumps to {settings.chain}: nothing is counted. Run setup_traffic.")
    elif positions[0] != 1:
        yield Problem(
            "jump_not_first",
            f"The jump to {settings.chain} is rule {positions[0]} of FORWARD: traffic that an earlier rule decides is not "
            "counted. Run setup_traffic.",
        )
    if len(positions) > 1:
        yield Problem(
            "jump_duplicate",
            f"FORWARD jumps to {settings.chain} {len(positions)} times: traffic counts more than once. Run setup_traffic.",
        )
    if conditional:
        numbers = ", ".join(map(str, conditional))
        yield Problem(
            "jump_duplicate",
            f"Rule {numbers} of FORWARD jumps to {settings.chain} under a condition: what it matches counts twice. It was "
            "left alone; delete it by hand.",
        )
    elsewhere = (observed.chain.references or 0) - len(positions) - len(conditional) if observed.chain else 0
    if elsewhere > 0:
        yield Problem(
            "jump_duplicate",
            f"{elsewhere} rule(s) of other chains jump to {settings.chain}: what they match counts twice. They were left "
            f"alone; find them with `{list_all_command(settings)}`.",
        )


def _rule_problems(chain: Chain) -> Iterator[Problem]:
    foreign = [number for number, rule in enumerate(chain.rules, 1) if not is_ours(rule)]
    if foreign:
        numbers = ", ".join(map(str, foreign))
        yield Problem(
            "foreign_rule",
            f"Rule {numbers} of {chain.name} is not of homenet.traffic; it was left alone. What it lets return is not counted behind it.",
        )
    grouped = rules_by_match(chain.rules)
    repeated = {
        match.host or "the catch-all"
        for match, rules in grouped.items()
        if len({rule.target for rule in rules}) < len(rules)
    }
    if repeated:
        yield Problem("duplicate_rule", f"Repeated rules in {chain.name} for {_some(repeated)}; no byte is counted twice.")
    lame = {
        match.host
        for match in grouped
        if match.host and not any(other.host == match.host and other.direction != match.direction for other in grouped)
    }
    if lame:
        yield Problem(
            "one_direction_only", f"Only one direction is counted for {_some(lame)}. Run setup_traffic."
        )


def _catch_all_problems(chain: Chain, interfaces: list[str]) -> Iterator[Problem]:
    grouped = rules_by_match(chain.rules)
    if not grouped:
        yield Problem("no_catch_all", f"The chain {chain.name} is empty: nothing is counted. Run setup_traffic.")
        return
    counting = {match.interface for match in grouped}
    uncounted = [interface for interface in interfaces if interface not in counting]
    if uncounted:
        yield Problem(
            "wan_changed",
            f"The way to the Internet is {_some(uncounted)}, but the chain counts on {_some(counting)}: new traffic is not "
            "counted. Run setup_traffic.",
        )
    if _returns_all(chain) or any(
        Match(direction, interface, None) not in grouped
        for interface in interfaces
        if interface in counting
        for direction in DIRECTIONS
    ):
        yield Problem("no_catch_all", "Traffic of hosts without a rule is not counted. Run setup_traffic.")
    catch_alls = [match for match in grouped if match.host is None]
    both = {match.host for catch_all in catch_alls for match in _falling_through(chain, catch_all)}
    if both:
        yield Problem(
            "duplicate_rule",
            f"The rules of {_some(both)} let packets go on to the catch-all, which counts them again. Run setup_traffic; what was "
            "counted twice until then stays so.",
        )
    late = {
        match.host
        for catch_all in catch_alls
        for match in _behind_catch_all(chain, catch_all)
        if match.host and not _returns_before(chain, match, catch_all)
    }
    if late:
        yield Problem(
            "catch_all_not_last", f"The catch-all stands before the rules of {_some(late)}. Run setup_traffic."
        )


def _falling_through(chain: Chain, catch_all: Match) -> set[Match]:
    """The hosts' rules in front of a catch-all from which packets go on to it."""
    found: dict[Match, bool] = {}
    for rule in chain.rules:
        match = match_of(rule)
        if match == catch_all:
            break
        if match and (match.direction, match.interface) == (catch_all.direction, catch_all.interface):
            found[match] = found.get(match, False) or rule.target == "RETURN"
    else:
        return set()
    return {match for match, returns in found.items() if not returns}


def _returns_all(chain: Chain) -> bool:
    """Whether somebody else's rule sends everything back before it meets the catch-all."""
    for rule in chain.rules:
        match = match_of(rule)
        if match and match.host is None:
            return False
        if rule.target == "RETURN" and not (rule.protocol or rule.source or rule.destination or rule.extra):
            return True
    return False


def _returns_before(chain: Chain, match: Match, catch_all: Match) -> bool:
    for rule in chain.rules:
        if match_of(rule) == catch_all:
            return False
        if match_of(rule) == match and rule.target == "RETURN":
            return True
    return False


def _some(names: Iterable[str | None]) -> str:
    """A few of many names."""
    ordered = sorted(str(name) for name in names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
