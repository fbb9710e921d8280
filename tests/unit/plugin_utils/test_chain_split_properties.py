# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises for sub-chains, by property: networks that grow, runs that are cut off at any byte, and traffic at any time.

A chain is full with two hosts here, so that few hosts make deep trees. The rule engine is the emulated router's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from chains import Traffic, counted, foreign, observe_all, rules_met, say, verdicts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Observed,
    Settings,
    Step,
    Wanted,
    as_commands,
    command,
    is_sub_name,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_move import plan_copy, plan_unhook, require_movable
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import foreign_rules, hosts_of, marker, sub_chains
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import problems
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_tree import is_split, linked
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule
from router.router import Router
from router.spec import RouterSpec

pytestmark = pytest.mark.thorough

SETTINGS = Settings(full=2)
MARKER = Marker("127.81.4.9", "127.200.7.33")
POOL = (
    "10.0.0.5", "192.168.1.2", "192.168.1.3", "192.168.1.4", "192.168.1.5", "192.168.1.12", "192.168.1.13", "192.168.1.14",
    "192.168.1.130", "192.168.1.131", "192.168.2.7", "192.168.2.8",
)  # fmt: skip
UNKNOWN = ("192.168.1.6", "192.168.1.99", "192.168.9.9", "172.16.0.1")
FORMS = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)

BY_HAND = ("-N TRAFFIC", "-I FORWARD -j TRAFFIC", *(
    words for host in POOL[1:4] for words in (f"-A TRAFFIC -i ppp0 -d {host}", f"-A TRAFFIC -s {host} -o ppp0")
))  # fmt: skip
STATES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "by hand": BY_HAND,
    "an empty chain, in use": ("-N TRAFFIC", "-I FORWARD -j TRAFFIC"),
    "a harmless foreign rule inside": ("-N TRAFFIC", "-A TRAFFIC -p tcp -d 192.168.1.2", "-I FORWARD -j TRAFFIC"),
}


@dataclass(frozen=True)
class Job:
    name: str
    plan: Callable[[Observed], Sequence[Step]]


def present(hosts: Sequence[str] | set[str], interfaces: tuple[str, ...] = ("ppp0",), prune: bool = False) -> Job:
    wanted = Wanted(tuple(sorted(hosts)), interfaces, prune)
    return Job(f"present {wanted}", lambda seen: plan_present(SETTINGS, seen, wanted, MARKER))


EMPTY = Job("empty", lambda seen: plan_empty(SETTINGS, seen))
ABSENT = Job("absent", lambda seen: plan_absent(SETTINGS, seen))


def a_router(state: Sequence[str] = ()) -> Router:
    return Router(RouterSpec(hosts=20, setup=tuple(state)))


def observe(router: Router) -> Observed:
    return observe_all(router, SETTINGS)


def planned(router: Router, job: Job) -> list[str]:
    try:
        return [command(SETTINGS, step) for step in job.plan(observe(router))]
    except ChainError:
        return []  # refused: then nothing is run


def run(router: Router, job: Job) -> list[str]:
    lines = planned(router, job)
    for line in lines:
        assert say(router, line) == "", line
    return lines


def fate(router: Router) -> tuple[list[str], list[str]]:
    return verdicts(router, (*POOL, *UNKNOWN)), foreign(router)


hosts = st.sets(st.sampled_from(POOL), min_size=1)
grown = st.builds(present, hosts, st.sampled_from([("ppp0",), ("ppp0", "ppp1")]))
jobs = st.one_of(grown, grown, st.builds(present, hosts, st.just(("ppp0",)), st.booleans()), st.just(EMPTY), st.just(ABSENT))
states = st.sampled_from(sorted(STATES)).map(lambda name: STATES[name])
#: Jobs, and how far each gets: a share of its text, cut at any byte.
histories = st.lists(st.tuples(jobs, st.floats(0, 1)), max_size=4)


def partly(router: Router, job: Job, share: float) -> None:
    """Run the beginning of a job's text, the last line of it perhaps cut."""
    text = "\n".join(planned(router, job))
    for line in text[: round(share * len(text))].split("\n"):
        say(router, line)


@given(state=states, history=histories, job=jobs, cut=st.floats(0, 1))
@FORMS
def test_whatever_arrives_last_the_router_forwards_as_before(
    state: tuple[str, ...], history: list[tuple[Job, float]], job: Job, cut: float
) -> None:
    router = a_router(state)
    before = fate(router)
    for earlier, share in (*history, (job, cut)):
        partly(router, earlier, share)
        assert fate(router) == before


@pytest.mark.parametrize("first", [(), POOL[1:3], POOL[1:6]], ids=["nothing", "one chain", "sub-chains"])
@pytest.mark.parametrize("job", [present(POOL[:8]), EMPTY, ABSENT], ids=["present", "empty", "absent"])
def test_cut_at_every_byte_of_a_plan(first: tuple[str, ...], job: Job) -> None:
    router = a_router()
    if first:
        run(router, present(first))
    before = fate(router)
    for line in planned(router, job):
        intact = router.firewall.copy()
        for length in range(len(line) + 1):
            if say(router, line[:length]) == "":  # it was run
                assert fate(router) == before, line[:length]
                if length < len(line):
                    router.firewall = intact.copy()
    assert planned(router, job) == []


@given(state=states, history=histories, job=jobs)
@FORMS
def test_every_run_converges_from_anywhere(state: tuple[str, ...], history: list[tuple[Job, float]], job: Job) -> None:
    router = a_router(state)
    for earlier, share in history:
        partly(router, earlier, share)
    lines = run(router, job)
    assert planned(router, job) == []
    seen = observe(router)
    if lines and job.name.startswith("present"):
        wrong = {one.code for one in problems(SETTINGS, seen, ["ppp0"])}
        assert wrong <= {"duplicate_rule", "foreign_rule"}
    if lines and job is ABSENT:
        assert not re.search(r"TRAFFIC(_[DU]\w{3})?\b", router.foreign_firewall(chain=""))
    if lines and job is EMPTY:
        assert seen.chain is None or seen.chain.rules == ()
        assert seen.subs == {}


@given(state=states, history=histories, job=jobs)
@FORMS
def test_what_is_simulated_is_what_happens(state: tuple[str, ...], history: list[tuple[Job, float]], job: Job) -> None:
    router = a_router(state)
    for earlier, share in history:
        partly(router, earlier, share)
    seen = observe(router)
    try:
        steps = job.plan(seen)
    except ChainError:
        return
    run(router, job)
    expected, after = simulate(SETTINGS, seen, steps), observe(router)
    assert expected.forward == after.forward
    assert expected.subs == after.subs
    assert (expected.chain and expected.chain.rules) == (after.chain and after.chain.rules)


@given(
    first=hosts,
    history=st.lists(st.tuples(grown, st.floats(0, 1)), min_size=1, max_size=4),
    sizes=st.lists(st.integers(0, 10**6), min_size=5, max_size=9),
)
@FORMS
def test_no_byte_counts_twice_and_none_is_lost_at_any_time(
    first: set[str], history: list[tuple[Job, float]], sizes: list[int]
) -> None:
    """Traffic between any two commands, of runs that are cut off at any byte: hosts and catch-all are all of it, to the byte.

    And no host is counted for more than it had, or loses anything; those that were counted before are counted all the time.
    """
    router = a_router()
    run(router, present(first, ("ppp0", "ppp1")))
    traffic = Traffic(router)
    number = 0
    before = counted(observe(router))
    for job, share in history:
        text = "\n".join(planned(router, job))
        for line in text[: round(share * len(text))].split("\n"):
            for _packet in range(3):
                host = (*POOL, *UNKNOWN)[number % 16]
                traffic.use(host, sizes[number % len(sizes)], "ppp1" if number % 7 == 0 else "ppp0")
                number += 1
            say(router, line)
            found = counted(observe(router))
            assert sum(found.values()) == sum(traffic.truth.values()), line
            for key, size in found.items():
                assert before[key] <= size
                assert key[0] == "rest" or size <= traffic.truth[key]
                assert key[0] not in first or size == traffic.truth[key]
            before = found


@given(state=states, first=hosts, second=hosts)
@FORMS
def test_no_counter_is_lost_when_the_network_grows(state: tuple[str, ...], first: set[str], second: set[str]) -> None:
    router = a_router(state)
    run(router, present(first))
    traffic = Traffic(router)
    for number, host in enumerate((*POOL, *UNKNOWN), 1):
        traffic.use(host, number * 1_000_003)
    before = counted(observe(router))
    run(router, present(second))
    after = counted(observe(router))
    assert {key: after[key] for key in before} == before
    assert sum(after.values()) == sum(before.values())


@given(first=hosts, second=hosts, third=hosts)
@FORMS
def test_every_host_is_counted_by_itself(first: set[str], second: set[str], third: set[str]) -> None:
    router = a_router()
    for found in (first, second, third):
        run(router, present(found))
    everybody = first | second | third
    traffic = Traffic(router)
    for number, host in enumerate((*POOL, *UNKNOWN), 1):
        traffic.use(host, number * 1_000_003)
    found = counted(observe(router))
    for (host, direction), size in traffic.truth.items():
        assert found[host, direction] == (size if host in everybody else 0)
    assert is_split(SETTINGS, observe(router)) == (len(everybody) > 2)


@given(first=hosts, second=hosts, chunk=st.integers(1, 40))
@FORMS
def test_a_plan_in_pieces_makes_the_same_chains(first: set[str], second: set[str], chunk: int) -> None:
    """Where only so many commands go in one script, each next piece is planned anew. It must go on, not begin again."""
    router = a_router()
    run(router, present(first))
    whole, pieces = a_router(), router
    whole.firewall = router.firewall.copy()
    job = present(second, ("ppp0", "ppp1"))
    lines = run(whole, job)
    for _round in range(-(-len(lines) // chunk)):
        for line in planned(pieces, job)[:chunk]:
            say(pieces, line)
    assert planned(pieces, job) == []
    assert observe(pieces) == observe(whole)


@given(first=hosts, second=hosts, gone=hosts)
@FORMS
def test_prune(first: set[str], second: set[str], gone: set[str]) -> None:
    router = a_router()
    run(router, present(first))
    run(router, present(second))
    left = sorted((first | second) - gone) or [POOL[0]]
    before = fate(router)
    run(router, present(left, prune=True))
    seen = observe(router)
    assert seen.chain
    assert hosts_of(seen.chain, seen.subs) == sorted(left, key=lambda host: [int(part) for part in host.split(".")])
    assert fate(router) == before
    assert problems(SETTINGS, seen, ["ppp0"]) == []


def test_the_commands_to_the_letter() -> None:
    """What is met most often comes first: downloads before uploads, and the marker last."""
    router = a_router()
    assert run(router, present(["192.168.1.2", "192.168.1.3", "192.168.1.5"])) == [
        f"iptables {line}"
        for line in (
            "-N TRAFFIC",
            "-s 127.81.4.9 -d 127.200.7.33 -A TRAFFIC",
            "-N TRAFFIC_U000",
            "-o ppp0 -j RETURN -A TRAFFIC_U000",
            "-N TRAFFIC_U001",
            "-s 192.168.1.4/30 -o ppp0 -j RETURN -A TRAFFIC_U001",
            "-s 192.168.1.5 -o ppp0 -j RETURN -I TRAFFIC_U001",
            "-s 192.168.1.4/30 -g TRAFFIC_U001 -I TRAFFIC_U000",
            "-N TRAFFIC_U002",
            "-s 192.168.1.0/30 -o ppp0 -j RETURN -A TRAFFIC_U002",
            "-s 192.168.1.3 -o ppp0 -j RETURN -I TRAFFIC_U002",
            "-s 192.168.1.2 -o ppp0 -j RETURN -I TRAFFIC_U002",
            "-s 192.168.1.0/30 -g TRAFFIC_U002 -I TRAFFIC_U000",
            "-o ppp0 -g TRAFFIC_U000 -I TRAFFIC",
            "-N TRAFFIC_D000",
            "-i ppp0 -j RETURN -A TRAFFIC_D000",
            "-N TRAFFIC_D001",
            "-i ppp0 -d 192.168.1.4/30 -j RETURN -A TRAFFIC_D001",
            "-i ppp0 -d 192.168.1.5 -j RETURN -I TRAFFIC_D001",
            "-d 192.168.1.4/30 -g TRAFFIC_D001 -I TRAFFIC_D000",
            "-N TRAFFIC_D002",
            "-i ppp0 -d 192.168.1.0/30 -j RETURN -A TRAFFIC_D002",
            "-i ppp0 -d 192.168.1.3 -j RETURN -I TRAFFIC_D002",
            "-i ppp0 -d 192.168.1.2 -j RETURN -I TRAFFIC_D002",
            "-d 192.168.1.0/30 -g TRAFFIC_D002 -I TRAFFIC_D000",
            "-i ppp0 -g TRAFFIC_D000 -I TRAFFIC",
            "-j TRAFFIC -I FORWARD 1",
        )
    ]
    assert run(router, present(["192.168.1.1"])) == [
        f"iptables {line}"
        for line in ("-s 192.168.1.1 -o ppp0 -j RETURN -I TRAFFIC_U002", "-i ppp0 -d 192.168.1.1 -j RETURN -I TRAFFIC_D002")
    ]
    assert as_commands(SETTINGS, observe(router))[:9] == [
        "iptables -N TRAFFIC",
        *(f"iptables -N TRAFFIC_{name}" for name in ("D000", "D001", "D002", "U000", "U001", "U002")),
        "iptables -A TRAFFIC -i ppp0 -g TRAFFIC_D000",
        "iptables -A TRAFFIC -o ppp0 -g TRAFFIC_U000",
    ]


@pytest.mark.parametrize("line", ["-i ppp0 -j RETURN -A TRAFFIC", "-i ppp0 -d 192.168.1.0/30 -j RETURN -A TRAFFIC"])
def test_the_end_of_a_sub_chain_that_a_cut_off_command_put_into_the_chain(line: str) -> None:
    """Where no sub-chain is left it would be a rule of nobody's, and keep the chain from being removed."""
    router = a_router()
    run(router, present(POOL[1:3]))
    partly(router, present(POOL[1:4]), 0.3)
    say(router, f"iptables {line}")
    traffic = Traffic(router)
    traffic.use("192.168.1.1", 1000)
    before = counted(observe(router))
    run(router, present(POOL[1:3], prune=True))
    seen = observe(router)
    assert seen.subs == {}
    assert problems(SETTINGS, seen, ["ppp0"]) == []
    assert counted(seen) == before
    assert run(router, ABSENT)


def test_no_rule_of_a_sub_chain_is_of_another_form() -> None:
    router = a_router()
    run(router, present(POOL, ("ppp0", "ppp1")))
    seen = observe(router)
    assert seen.chain
    assert foreign_rules(seen.chain, seen.subs) == {}
    assert linked(seen.chain, seen.subs) == set(seen.subs)
    for rule in (rule for sub in seen.subs.values() for rule in sub.rules):
        assert rule.target == "RETURN" or (rule.extra == "[goto]" and rule.target in seen.subs)


def test_a_foreign_rule_in_a_sub_chain() -> None:
    router = a_router()
    run(router, present(POOL))
    say(router, "iptables -I TRAFFIC_D001 -p tcp")
    assert [(one.code, one.message[:24]) for one in problems(SETTINGS, observe(router), ["ppp0"])] == [
        ("foreign_rule", "Rule 1 of TRAFFIC_D001 i")
    ]
    assert planned(router, present(POOL)) == []
    for plan in (plan_empty, plan_absent):
        with pytest.raises(ChainError, match="The chain TRAFFIC_D001 holds rules that homenet.traffic did not make .number 1"):
            plan(SETTINGS, observe(router))
    say(router, "iptables -I TRAFFIC_D001 -p udp -j DROP")
    with pytest.raises(ChainError, match="TRAFFIC_D001 is in use for something else: rule 1 .-j DROP. decides"):
        plan_present(SETTINGS, observe(router), Wanted(POOL, ("ppp0",)), MARKER)


def test_a_foreign_jump_to_a_sub_chain() -> None:
    router = a_router()
    run(router, present(POOL))
    say(router, "iptables -A INPUT -j TRAFFIC_D001")
    assert [one.code for one in problems(SETTINGS, observe(router), ["ppp0"])] == ["jump_duplicate"]
    with pytest.raises(ChainError, match="did not make jump to TRAFFIC_D001"):
        plan_absent(SETTINGS, observe(router))


def test_sub_chains_that_were_not_listed_are_not_taken_for_nothing() -> None:
    router = a_router()
    run(router, present(POOL))
    seen = replace(observe(router), subs={})
    assert seen.chain
    with pytest.raises(ChainError, match="leads to TRAFFIC_D000, which was not listed"):
        hosts_of(seen.chain, seen.subs)
    with pytest.raises(ChainError):
        plan_present(SETTINGS, seen, Wanted(POOL, ("ppp0",)), MARKER)


def test_another_life_of_the_chain_takes_over_no_sub_chain_of_the_last() -> None:
    """The firmware flushed the chain, or somebody did: what its sub-chains have counted is of another life."""
    router = a_router()
    run(router, present(POOL))
    Traffic(router).use(POOL[1], 1000)
    say(router, "iptables -F TRAFFIC")
    assert sum(counted(observe(router)).values()) == 0
    run(router, present(POOL))
    seen = observe(router)
    assert sum(counted(seen).values()) == 0
    assert seen.chain and linked(seen.chain, seen.subs) == set(seen.subs)
    assert planned(router, present(POOL)) == []


def test_a_lost_link_is_set_again_and_nothing_is_forgotten() -> None:
    router = a_router()
    run(router, present(POOL))
    Traffic(router).use(POOL[1], 1000)
    before = counted(observe(router))
    say(router, "iptables -D TRAFFIC -i ppp0 -g TRAFFIC_D000")
    assert planned(router, present(POOL)) == ["iptables -i ppp0 -g TRAFFIC_D000 -I TRAFFIC"]
    run(router, present(POOL))
    assert counted(observe(router)) == before


def test_a_link_behind_a_catch_all_is_set_in_front_of_it() -> None:
    router = a_router()
    run(router, present(POOL))
    say(router, "iptables -I TRAFFIC -i ppp0")
    assert planned(router, present(POOL)) == ["iptables -i ppp0 -g TRAFFIC_D000 -I TRAFFIC"]
    run(router, present(POOL))
    traffic = Traffic(router)
    traffic.use(POOL[1], 1000)
    assert counted(observe(router))[POOL[1], "download"] == 1000
    # The link that was there before repeats the new one now, and has counted nothing.
    assert planned(router, present(POOL)) == ["iptables -D TRAFFIC 3"]


def test_sub_chains_that_lead_to_themselves() -> None:
    """The kernel allows it as long as nothing leads there."""
    router = a_router()
    run(router, present(POOL[:2]))
    for line in ("-N TRAFFIC_D000", "-N TRAFFIC_D001", "-A TRAFFIC_D000 -d 128.0.0.0/1 -g TRAFFIC_D001",
                 "-A TRAFFIC_D001 -d 128.0.0.0/1 -g TRAFFIC_D000", "-A TRAFFIC_D000 -i ppp0 -j RETURN"):  # fmt: skip
        assert say(router, f"iptables {line}") == ""
    for job in (present(POOL), ABSENT):
        run(router, job)
        assert planned(router, job) == []


def test_a_lost_end_is_a_problem_and_is_set_again() -> None:
    router = a_router()
    run(router, present(POOL))
    before = observe(router)
    last = before.subs["TRAFFIC_D001"].rules[-1]
    say(router, f"iptables -D TRAFFIC_D001 {len(before.subs['TRAFFIC_D001'].rules)}")
    assert [one.code for one in problems(SETTINGS, observe(router), ["ppp0"])] == ["no_catch_all"]
    assert planned(router, present(POOL)) == [f"iptables -i ppp0 -d {last.destination} -j RETURN -A TRAFFIC_D001"]
    run(router, present(POOL))
    assert observe(router) == before


def test_without_goto_there_are_no_sub_chains() -> None:
    """Kernels 2.4 know none. What was begun is taken away again."""
    router = a_router()
    partly(router, present(POOL), 0.3)
    assert observe(router).subs
    old = replace(SETTINGS, goto=False)
    wanted = Wanted(POOL, ("ppp0",))
    for step in plan_present(old, observe(router), wanted, MARKER):
        assert say(router, command(old, step)) == ""
    seen = observe(router)
    assert seen.subs == {}
    assert seen.chain and hosts_of(seen.chain) == list(POOL)
    assert problems(old, seen, ["ppp0"]) == []
    assert plan_present(old, seen, wanted, MARKER) == ()


@given(first=hosts, second=hosts, third=hosts, shares=st.lists(st.floats(0, 1), max_size=3))
@FORMS
def test_a_chain_with_sub_chains_is_moved_to_the_other_table(
    first: set[str], second: set[str], third: set[str], shares: list[float]
) -> None:
    router = a_router()
    for found in (first, second, third):
        run(router, present(found))
    traffic = Traffic(router)
    for number, host in enumerate((*POOL, *UNKNOWN), 1):
        traffic.use(host, number * 1_000_003)
    mangle = replace(SETTINGS, table="mangle")
    before = observe(router)
    outcome = fate(router)
    for step in plan_unhook(SETTINGS, before):
        say(router, command(SETTINGS, step))
    still = observe(router)
    for share in (*shares, 1.0):
        seen = observe_all(router, mangle)
        require_movable(SETTINGS, still, mangle, seen)
        text = "\n".join(command(mangle, step) for step in plan_copy(mangle, seen, still))
        for line in text[: round(share * len(text))].split("\n"):
            say(router, line)
    after = observe_all(router, mangle)
    assert plan_copy(mangle, after, still) == ()
    assert counted(after) == counted(before)
    assert marker(after.chain) == MARKER
    assert verdicts(router, (*POOL, *UNKNOWN)) == outcome[0]
    assert {name: sub.rules for name, sub in after.subs.items()} == {name: sub.rules for name, sub in before.subs.items()}


@pytest.mark.parametrize(("count", "most"), [(15, 31), (16, 33), (17, 17), (100, 24), (500, 35), (4000, 49)])
def test_how_many_rules_a_packet_meets(count: int, most: int) -> None:
    first = 10 << 24
    everybody = tuple(f"10.0.{number // 256}.{number % 256}" for number in range(2, count + 2))
    settings = Settings()
    nothing = Observed(None, Chain("FORWARD", None, "DROP", ()))
    seen = simulate(settings, nothing, plan_present(settings, nothing, Wanted(everybody, ("ppp0",)), MARKER))
    met = [
        rules_met(seen, host, first + number, direction)
        for number, host in enumerate(everybody, 2)
        for direction in ("download", "upload")
    ]
    assert max(met) <= most


IP = r"(\d{1,3}\.){3}\d{1,3}"
INTERFACE = r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]{0,14}"
SUB = r"CHAIN_[DU][0-9a-z]{3}"
GRAMMAR = re.compile(
    rf"iptables (-t mangle )?("
    rf"-N (CHAIN|{SUB})|-X (CHAIN|{SUB})|-D (CHAIN|{SUB}) \d+|"
    rf"-j CHAIN (-I FORWARD 1|-D FORWARD)|"
    rf"-s 127(\.\d+){{3}} -d 127(\.\d+){{3}} -[AID] CHAIN|"
    rf"(-[io] {INTERFACE}|-[sd] {IP}/\d+) -g {SUB} -[AID] (CHAIN|{SUB})|"
    rf"(-s {IP}(/\d+)? )?(-i {INTERFACE} )?(-d {IP}(/\d+)? )?(-o {INTERFACE} )?(-j RETURN )?-[AID] (CHAIN|{SUB}))"
)
anything = st.text(max_size=20) | st.sampled_from(["$(reboot)", "192.168.1.2\n", "ppp0;reboot", "-F", "`id`", "FORWARD", "TRAFFIC_D000"])
places = st.sampled_from([*POOL, "192.168.1.0/28", "192.168.1.0/28 ", "10.0.0.0/8;", "0.0.0.0/1", "1.2.3.4/0"])
maybe = st.none() | anything | places | st.sampled_from(["ppp0", "RETURN", "127.0.0.1", "TRAFFIC_D001", "TRAFFIC_U000"])
rules = st.lists(
    st.builds(Rule, st.integers(0, 9), st.integers(0, 9), *[maybe] * 6, st.sampled_from(["", "[goto]"]) | anything), max_size=6
)
names = st.sampled_from(["TRAFFIC_D000", "TRAFFIC_D001", "TRAFFIC_U000"]) | anything | anything.map(lambda text: f"TRAFFIC_D{text}")


@given(main=rules, subs=st.dictionaries(names, rules, max_size=4), wanted=hosts, prune=st.booleans())
@settings(max_examples=150)
def test_nothing_outside_the_grammar_comes_out(main: list[Rule], subs: dict[str, list[Rule]], wanted: set[str], prune: bool) -> None:
    def chain(name: str, found: list[Rule]) -> Chain:
        return Chain(name, None, None, tuple(found))

    seen = Observed(chain("TRAFFIC", main), chain("FORWARD", main), {name: chain(name, found) for name, found in subs.items()})
    lines: list[str] = []
    for job in (present(wanted, prune=prune), EMPTY, ABSENT):
        try:
            lines += [command(SETTINGS, step) for step in job.plan(seen)]
        except ChainError:
            continue
    for line in lines:
        assert GRAMMAR.fullmatch(re.sub(r"(?<= )TRAFFIC(?=$| |_[DU])", "CHAIN", line)), line
        assert len(line.encode()) <= 500
        assert shlex.split(line) == line.split(" ")


def test_names_of_sub_chains() -> None:
    assert is_sub_name("TRAFFIC", "TRAFFIC_D0az")
    for name in ("TRAFFIC", "TRAFFIC_D00", "TRAFFIC_D0000", "TRAFFIC_X000", "TRAFFIC_D00A", "TRAFFICD000", "TRAFFIC_D000\n", "X_D000"):
        assert not is_sub_name("TRAFFIC", name)
    assert sub_chains(SETTINGS, Observed(None, Chain("FORWARD", None, None, ()), {"OTHER_D000": Chain("OTHER_D000", 0, None, ())})) == {}


def test_a_name_that_leaves_no_room_for_sub_chains() -> None:
    nothing = Observed(None, Chain("FORWARD", None, None, ()))
    long = Settings("x" * 24, full=2)
    assert plan_present(long, nothing, Wanted(POOL[:2], ("ppp0",)), MARKER)
    with pytest.raises(ChainError, match="Choose a name of at most 23"):
        plan_present(long, nothing, Wanted(POOL, ("ppp0",)), MARKER)
    assert plan_present(Settings("x" * 23, full=2), nothing, Wanted(POOL, ("ppp0",)), MARKER)
