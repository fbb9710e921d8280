# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain has counted, and what is wrong with it. Private to this collection. Pure."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import (
    DIRECTIONS,
    ZERO,
    Counted,
    Counter,
    Direction,
    Problem,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Match, Observed, Settings, list_all_command
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    NONE,
    Subs,
    by_match,
    end_of,
    foreign_rules,
    hosts_of,
    in_order,
    link_of,
    match_in_chain,
    match_in_sub,
    plain_jumps,
    sub_chains,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import some

Rules = Sequence[tuple[Rule, Match | None]]


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


def host_counters(chain: Chain, subs: Subs = NONE) -> dict[str, dict[Direction, Counter | None]]:
    """What every host with rules was counted for, over all interfaces. None for a direction without a rule."""
    totals: dict[str, dict[Direction, Counter | None]] = {
        host: {"download": None, "upload": None} for host in hosts_of(chain, subs)
    }
    for match, rules in by_match(in_order(chain, subs)).items():
        if match.host:
            host = totals[match.host]
            host[match.direction] = (host[match.direction] or ZERO) + counted(rules)
    return totals


def last_counted(looks: Sequence[Observed]) -> Counted:
    """What was counted in the end, out of several looks at a chain whose rules were taken away one after the other."""
    best: dict[Match, Counter] = {}
    rest: Mapping[Direction, Counter] | None = None
    for seen in looks:
        if seen.chain:
            for match, rules in by_match(in_order(seen.chain, seen.subs)).items():
                best[match] = best.get(match, ZERO) | counted(rules)
            rest = unattributed(seen.chain, seen.subs)
    hosts: dict[str, dict[Direction, Counter | None]] = {}
    for match, found in best.items():
        if match.host:
            host = hosts.setdefault(match.host, {"download": None, "upload": None})
            host[match.direction] = (host[match.direction] or ZERO) + found
    return Counted(hosts, rest)


def unattributed(chain: Chain, subs: Subs = NONE) -> dict[Direction, Counter] | None:
    """What the catch-all counted: traffic of hosts without a rule. None where the chain has no catch-all.

    A rule behind the catch-all counted packets that the catch-all had counted already.
    """
    rules = in_order(chain, subs)
    grouped = by_match(rules)
    catch_alls = [match for match in grouped if match.host is None]
    if not catch_alls:
        return None
    totals: dict[Direction, Counter] = {"download": ZERO, "upload": ZERO}
    for match in catch_alls:
        late = (counted(behind) for behind in by_match(_behind_open(rules, match)).values())
        totals[match.direction] += counted(grouped[match]) - sum(late, ZERO)
    return totals


def _behind_open(rules: Rules, catch_all: Match) -> Rules:
    """The rules behind a catch-all that see what it has let pass: one that returns lets nothing pass."""
    if catch_all.block:
        return []
    at = next((at for at, (rule, match) in enumerate(rules) if match == catch_all and rule.target is None), len(rules))
    return _seeing(rules[at + 1 :], catch_all)


def _seeing(rules: Rules, catch_all: Match) -> Rules:
    """Of these rules, those for some of the packets that a catch-all counts."""
    return [
        (rule, match)
        for rule, match in rules
        if match and match != catch_all and (match.direction, match.interface) == (catch_all.direction, catch_all.interface)
    ]


def problems(settings: Settings, observed: Observed, interfaces: Iterable[str]) -> list[Problem]:
    """What is wrong with the chain, as the user should be told."""
    if observed.chain is None:
        return [
            Problem("chain_missing", f"There is no chain {settings.chain}: nothing is counted. Run setup_traffic.")
        ]
    subs = sub_chains(settings, observed)
    return [
        *jump_problems(settings, observed),
        *_sub_problems(settings, observed.chain, subs),
        *_rule_problems(observed.chain, subs),
        *_catch_all_problems(observed.chain, subs, list(interfaces)),
    ]


def jump_problems(settings: Settings, observed: Observed) -> Iterator[Problem]:
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


def _sub_problems(settings: Settings, chain: Chain, subs: Subs) -> Iterator[Problem]:
    jumps = Counts(link.target for one in (chain, *subs.values()) for rule in one.rules if (link := link_of(rule)))
    misused = [name for name, sub in subs.items() if (sub.references or 0) > jumps[name]]
    if misused:
        yield Problem(
            "jump_duplicate",
            f"Rules that homenet.traffic did not make jump to {_some(misused)}: what they match may count twice. They were left "
            f"alone; find them with `{list_all_command(settings)}`.",
        )


def _rule_problems(chain: Chain, subs: Subs) -> Iterator[Problem]:
    for name, foreign in foreign_rules(chain, subs).items():
        numbers = ", ".join(map(str, foreign))
        yield Problem(
            "foreign_rule",
            f"Rule {numbers} of {name} is not of homenet.traffic; it was left alone. What it lets return is not counted behind it.",
        )
    grouped = by_match((rule, match_in_chain(rule, subs)) for rule in chain.rules)
    by_chain = [(chain, grouped), *((sub, by_match((rule, match_in_sub(rule)) for rule in sub.rules)) for sub in subs.values())]
    for one, matches in by_chain:
        repeated = {
            match.host or "the catch-all" for match, rules in matches.items() if len({rule.target for rule in rules}) < len(rules)
        }
        if repeated:
            yield Problem("duplicate_rule", f"Repeated rules in {one.name} for {_some(repeated)}; no byte is counted twice.")
    directions: dict[str, set[Direction]] = {}
    for _rule, match in in_order(chain, subs):
        if match and match.host:
            directions.setdefault(match.host, set()).add(match.direction)
    lame = [host for host, found in directions.items() if len(found) < len(DIRECTIONS)]
    if lame:
        yield Problem(
            "one_direction_only", f"Only one direction is counted for {_some(lame)}. Run setup_traffic."
        )


def _catch_all_problems(chain: Chain, subs: Subs, interfaces: list[str]) -> Iterator[Problem]:
    rules = in_order(chain, subs)
    grouped = by_match(rules)
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
    if (
        _returns_all(rules)
        or _is_open(chain, subs)
        or any(
            Match(direction, interface, None) not in grouped
            for interface in interfaces
            if interface in counting
            for direction in DIRECTIONS
        )
    ):
        yield Problem("no_catch_all", "Traffic of hosts without a rule is not counted. Run setup_traffic.")
    yield from _order_problems(rules, [match for match in grouped if match.host is None and match.block is None])


def _order_problems(rules: Rules, catch_alls: Iterable[Match]) -> Iterator[Problem]:
    both: set[str | None] = set()
    late: set[str | None] = set()
    for catch_all in catch_alls:
        position = [match for _rule, match in rules].index(catch_all)
        before, behind = _seeing(rules[:position], catch_all), _seeing(rules[position:], catch_all)
        returning = {match for rule, match in before if rule.target == "RETURN"}
        both |= {match.host for _rule, match in before if match and match.host and match not in returning}
        late |= {match.host for _rule, match in behind if match and match.host and match not in returning}
    if both:
        yield Problem(
            "duplicate_rule",
            f"The rules of {_some(both)} let packets go on to the catch-all, which counts them again. Run setup_traffic; what was "
            "counted twice until then stays so.",
        )
    if late:
        yield Problem(
            "catch_all_not_last", f"The catch-all stands before the rules of {_some(late)}. Run setup_traffic."
        )


def _returns_all(rules: Rules) -> bool:
    """Whether somebody else's rule sends everything back before it meets the catch-all."""
    for rule, match in rules:
        if match and match.host is None:
            return False
        if rule.target == "RETURN" and not (rule.protocol or rule.source or rule.destination or rule.extra):
            return True
    return False


def _is_open(chain: Chain, subs: Subs) -> bool:
    """Whether packets can leave a sub-chain uncounted: it lacks the end that belongs to the link to it."""
    links = [link for one in (chain, *subs.values()) for rule in one.rules if (link := link_of(rule)) and link.target in subs]
    ends = {name: {end.block for rule in sub.rules if (end := end_of(rule))} for name, sub in subs.items()}
    return any(link.block not in ends[link.target] for link in links)


def _some(names: Iterable[str | None]) -> str:
    return some(sorted(str(name) for name in names))
