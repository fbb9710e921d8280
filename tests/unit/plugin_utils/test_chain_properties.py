# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises, by property: plans run in a rule engine, cut at any byte, with traffic between any two commands.

The engine is the emulated router's; it was compared with the real iptables, and the planner knows nothing of it.
"""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import chains
import pytest
from chains import foreign, observe, say
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils import _chain
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Observed,
    Settings,
    Step,
    Wanted,
    command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import host_counters, problems, unattributed
from router.router import Router
from router.spec import RouterSpec

pytestmark = pytest.mark.thorough

SETTINGS = Settings()
MARKER = Marker("127.81.4.9", "127.200.7.33")
POOL = ("192.168.1.2", "192.168.1.3", "192.168.1.12", "192.168.1.20")
UNKNOWN = "192.168.1.99"

# Chains that people have, or that an earlier run left halfway.
BY_HAND = ("-N TRAFFIC", "-I FORWARD -j TRAFFIC", *(
    words for host in POOL[:2] for words in (f"-A TRAFFIC -i ppp0 -d {host}", f"-A TRAFFIC -s {host} -o ppp0")
))  # fmt: skip
STATES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "by hand": BY_HAND,
    "by hand, twice": (*BY_HAND, *BY_HAND[2:]),
    "by hand, behind the established": (BY_HAND[0], "-A FORWARD -j TRAFFIC", *BY_HAND[2:]),
    "an empty chain": ("-N TRAFFIC",),
    "an empty chain with two jumps": ("-N TRAFFIC", "-A FORWARD -j TRAFFIC", "-I FORWARD 3 -j TRAFFIC"),
    "one direction": ("-N TRAFFIC", "-A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN", "-I FORWARD -j TRAFFIC"),
    "another interface": (
        "-N TRAFFIC", "-A TRAFFIC -i ppp1 -d 192.168.1.2 -j RETURN", "-A TRAFFIC -s 192.168.1.2 -o ppp1 -j RETURN",
        "-A TRAFFIC -i ppp1", "-A TRAFFIC -o ppp1", "-I FORWARD -j TRAFFIC",
    ),
    "a foreign rule inside": ("-N TRAFFIC", "-A TRAFFIC -p tcp -d 192.168.1.2 -j DROP", "-I FORWARD -j TRAFFIC"),
    "a harmless foreign rule inside": ("-N TRAFFIC", "-A TRAFFIC -p tcp -d 192.168.1.2", "-I FORWARD -j TRAFFIC"),
    "a jump with a condition": (*BY_HAND, "-A FORWARD -i br0 -j TRAFFIC"),
}  # fmt: skip


def a_router(state: Iterable[str]) -> Router:
    return Router(RouterSpec(hosts=20, setup=tuple(state)))


def verdicts(router: Router) -> list[str]:
    return chains.verdicts(router, (*POOL, UNKNOWN, "192.168.1.250"))


@dataclass(frozen=True)
class Job:
    name: str
    plan: Callable[[Observed], tuple[Step, ...]]


def present(hosts: Iterable[str], interfaces: tuple[str, ...] = ("ppp0",), prune: bool = False) -> Job:
    wanted = Wanted(tuple(hosts), interfaces, prune)
    return Job("present", lambda seen: plan_present(SETTINGS, seen, wanted, MARKER))


JOBS = st.one_of(
    st.builds(present, st.sets(st.sampled_from(POOL), min_size=1), st.sampled_from([("ppp0",), ("ppp0", "ppp1")]), st.booleans()),
    st.just(Job("empty", lambda seen: plan_empty(SETTINGS, seen))),
    st.just(Job("absent", lambda seen: plan_absent(SETTINGS, seen))),
)
states = st.sampled_from(sorted(STATES)).map(lambda name: STATES[name])


def planned(router: Router, job: Job) -> list[str]:
    try:
        return [command(SETTINGS, step) for step in job.plan(observe(router))]
    except ChainError:
        return []  # refused: then nothing is run


@given(state=states, job=JOBS, cut=st.integers(0, 3000))
def test_whatever_arrives_last_the_router_forwards_as_before(state: tuple[str, ...], job: Job, cut: int) -> None:
    router = a_router(state)
    before = verdicts(router), foreign(router)
    text = "\n".join(planned(router, job))
    for line in text[: min(cut, len(text))].split("\n"):
        say(router, line)
    assert verdicts(router) == before[0]
    assert foreign(router) == before[1]


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", ["present", "empty", "absent"])
def test_cut_at_every_byte_of_a_plan(name: str, kind: str) -> None:
    jobs = {
        "present": present(POOL, ("ppp0", "ppp1")),
        "empty": Job("empty", lambda seen: plan_empty(SETTINGS, seen)),
        "absent": Job("absent", lambda seen: plan_absent(SETTINGS, seen)),
    }
    router = a_router(STATES[name])
    before = verdicts(router), foreign(router)
    for line in planned(router, jobs[kind]):
        intact = router.firewall
        for length in range(len(line) + 1):
            router.firewall = copy.deepcopy(intact)
            said = say(router, line[:length])
            if said == "":  # it was run
                assert foreign(router) == before[1], line[:length]
                assert verdicts(router) == before[0], line[:length]
    assert planned(router, jobs[kind]) == []


@given(state=states, job=JOBS)
def test_a_plan_leads_where_it_should_and_then_has_nothing_more_to_do(state: tuple[str, ...], job: Job) -> None:
    router = a_router(state)
    lines = planned(router, job)
    for line in lines:
        assert say(router, line) == "", line
    assert planned(router, job) == []
    if lines and job.name == "present":
        wrong = {one.code for one in problems(SETTINGS, observe(router), ["ppp0"])}
        assert wrong <= {"duplicate_rule", "jump_duplicate", "foreign_rule"}
    if job.name == "absent" and lines:
        assert observe(router).chain is None


@given(state=states, job=JOBS, cut=st.integers(0, 3000))
def test_the_next_run_converges_from_any_cut(state: tuple[str, ...], job: Job, cut: int) -> None:
    router = a_router(state)
    text = "\n".join(planned(router, job))
    for line in text[: min(cut, len(text))].split("\n"):
        say(router, line)
    for line in planned(router, job):
        say(router, line)
    assert planned(router, job) == []


@given(state=states, hosts=st.sets(st.sampled_from(POOL), min_size=1))
def test_no_counter_is_lost_by_a_set_up(state: tuple[str, ...], hosts: set[str]) -> None:
    router = a_router(state)
    for number, host in enumerate((*POOL, UNKNOWN), 1):
        router.use_link(host, number * 1_000_003, number * 70_001, known_only=False)
    before = observe(router)
    for line in planned(router, present(hosts)):
        say(router, line)
    after = observe(router)
    if before.chain:
        assert after.chain
        for host, counters in host_counters(before.chain).items():
            kept = host_counters(after.chain)[host]
            for direction, counter in counters.items():
                assert counter is None or kept[direction] == counter
        rest = unattributed(before.chain)
        assert rest is None or unattributed(after.chain) == rest


# A jump with a condition counts twice and is left alone; a chain with a deciding rule is refused.
ORDINARY = sorted(set(STATES) - {"a jump with a condition", "an empty chain with two jumps", "another interface", "a foreign rule inside"})


@given(
    state=st.sampled_from(ORDINARY).map(lambda name: STATES[name]),
    first=st.sets(st.sampled_from(POOL), min_size=1),
    second=st.sets(st.sampled_from(POOL), min_size=1),
    amounts=st.lists(st.integers(0, 10**7), min_size=1, max_size=30),
)
@settings(max_examples=60)
def test_no_byte_counts_twice_and_none_is_lost_while_counting(
    state: tuple[str, ...], first: set[str], second: set[str], amounts: list[int]
) -> None:
    """Traffic between any two commands of two set-ups: from the first on, hosts and catch-all are all of it, to the byte."""
    router = a_router(state)
    number = 0

    def use() -> None:
        nonlocal number
        host = (*POOL, UNKNOWN)[number % 5]
        router.use_link(host, amounts[number % len(amounts)], amounts[(number + 1) % len(amounts)], known_only=False)
        number += 1

    for line in planned(router, present(first)):
        say(router, line)
        assert sum_of(router) <= truth(router)
        use()
    start = truth(router) - sum_of(router)
    for line in planned(router, present(second)):
        use()
        say(router, line)
        assert truth(router) - sum_of(router) == start
    use()
    assert truth(router) - sum_of(router) == start


def truth(router: Router) -> int:
    return sum(total.download_bytes + total.upload_bytes for total in router.totals.values())


def sum_of(router: Router) -> int:
    chain = observe(router).chain
    if chain is None:
        return 0
    hosts = sum(counter.bytes for both in host_counters(chain).values() for counter in both.values() if counter)
    rest = unattributed(chain)
    return hosts + (sum(counter.bytes for counter in rest.values()) if rest else 0)


IP = r"(\d{1,3}\.){3}\d{1,3}"
INTERFACE = r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]{0,14}"
GRAMMAR = re.compile(
    rf"iptables (-t mangle )?("
    rf"-N CHAIN|-X CHAIN|-nvxL (CHAIN|FORWARD)|-D CHAIN \d+|"
    rf"-j CHAIN (-I FORWARD 1|-D FORWARD)|"
    rf"-s 127(\.\d+){{3}} -d 127(\.\d+){{3}} -[AID] CHAIN|"
    rf"(-s {IP} )?(-i {INTERFACE} )?(-d {IP} )?(-o {INTERFACE} )?(-j RETURN )?-[AID] CHAIN)"
)
anything = st.text(max_size=20) | st.sampled_from(["$(reboot)", "192.168.1.2\n", "ppp0;reboot", "-F", "`id`", "FORWARD"])
maybe = st.none() | anything | st.sampled_from([*POOL, "ppp0", "RETURN", "127.0.0.1"])


@given(
    name=anything | st.just("TRAFFIC"),
    table=st.sampled_from(["filter", "mangle"]) | anything,
    hosts=st.lists(anything | st.sampled_from(POOL), max_size=3),
    interfaces=st.lists(anything | st.sampled_from(["ppp0", "nas_0_0_35"]), max_size=2),
    rules=st.lists(st.builds(_chain.Rule, st.integers(0, 9), st.integers(0, 9), maybe, maybe, maybe, maybe, maybe, maybe, anything)),
    prune=st.booleans(),
)
def test_nothing_outside_the_grammar_comes_out(
    name: str, table: str, hosts: list[str], interfaces: list[str], rules: list[_chain.Rule], prune: bool
) -> None:
    lines: list[str] = []
    try:
        chosen = Settings(name, table)
        seen = Observed(_chain.Chain(name, 1, None, tuple(rules)), _chain.Chain("FORWARD", None, "DROP", tuple(rules)))
        lines.append(_chain.list_command(chosen, name))
        for job in (
            lambda: plan_present(chosen, seen, Wanted(tuple(hosts), tuple(interfaces), prune), MARKER),
            lambda: plan_empty(chosen, seen),
            lambda: plan_absent(chosen, seen),
        ):
            try:
                lines += [command(chosen, step) for step in job()]
            except ChainError:
                continue
    except ChainError:
        return
    for line in lines:
        assert GRAMMAR.fullmatch(re.sub(rf"(?<= ){re.escape(name)}(?= |$)", "CHAIN", line)), line
        assert len(line.encode()) <= 500
        assert shlex.split(line) == line.split(" ")
