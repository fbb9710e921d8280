# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner by tables: a chain as it was observed, and the commands for it to the letter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Match,
    Observed,
    Settings,
    Step,
    Wanted,
    as_commands,
    command,
    list_all_command,
    list_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import (
    host_rule,
    jump_rule,
    marker,
    marker_of,
    marker_rule,
    match_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

SETTINGS = Settings()
MARKER = Marker("127.81.4.9", "127.200.7.33")
FOREIGN = Rule(9, 900, "ACCEPT", None, None, None, None, None, "ctstate RELATED,ESTABLISHED")


def rule(words: str, packets: int = 0, size: int = 0) -> Rule:
    """A rule from the words of a command: ``-i ppp0 -d 10.0.0.2 -j RETURN``."""
    given = dict(zip(words.split()[::2], words.split()[1::2], strict=True))
    fields = [given.get(option) for option in ("-j", "-p", "-i", "-o", "-s", "-d")]
    return Rule(packets, size, *fields, extra=given.get("-m", ""))


def observed(chain: list[str] | None, forward: Sequence[str] = (), references: int | None = None) -> Observed:
    """A chain (None: there is none) and FORWARD, whose last rule is always somebody else's."""
    rules = None if chain is None else tuple(rule(words) for words in chain)
    jumps = sum("-j TRAFFIC" in words for words in forward) if references is None else references
    return Observed(
        None if rules is None else Chain("TRAFFIC", jumps, None, rules),
        Chain("FORWARD", None, "DROP", (*(rule(words) for words in forward), FOREIGN)),
    )


COMPLETE = [
    "-s 127.1.1.1 -d 127.2.2.2",
    "-i ppp0 -d 10.0.0.2 -j RETURN",
    "-s 10.0.0.2 -o ppp0 -j RETURN",
    "-i ppp0",
    "-o ppp0",
]
JUMP = ["-j TRAFFIC"]


@pytest.mark.parametrize(
    ("seen", "hosts", "interfaces", "commands"),
    [
        pytest.param(
            observed(None),
            ["10.0.0.10", "10.0.0.2"],
            ["ppp0"],
            [
                "iptables -N TRAFFIC",
                "iptables -s 127.81.4.9 -d 127.200.7.33 -A TRAFFIC",
                "iptables -i ppp0 -d 10.0.0.2 -j RETURN -A TRAFFIC",
                "iptables -s 10.0.0.2 -o ppp0 -j RETURN -A TRAFFIC",
                "iptables -i ppp0 -d 10.0.0.10 -j RETURN -A TRAFFIC",
                "iptables -s 10.0.0.10 -o ppp0 -j RETURN -A TRAFFIC",
                "iptables -i ppp0 -A TRAFFIC",
                "iptables -o ppp0 -A TRAFFIC",
                "iptables -j TRAFFIC -I FORWARD 1",
            ],
            id="nothing there yet",
        ),
        pytest.param(observed(COMPLETE, JUMP), ["10.0.0.2"], ["ppp0"], [], id="complete"),
        pytest.param(observed(COMPLETE, JUMP), [], ["ppp0"], [], id="a host that left keeps its rules"),
        pytest.param(
            observed(COMPLETE, JUMP),
            ["10.0.0.3"],
            ["ppp0"],
            ["iptables -i ppp0 -d 10.0.0.3 -j RETURN -I TRAFFIC", "iptables -s 10.0.0.3 -o ppp0 -j RETURN -I TRAFFIC"],
            id="a new host goes in front",
        ),
        pytest.param(
            observed(["-i ppp0 -d 10.0.0.2", "-s 10.0.0.2 -o ppp0"], JUMP),
            ["10.0.0.2"],
            ["ppp0"],
            [
                "iptables -s 127.81.4.9 -d 127.200.7.33 -I TRAFFIC",
                "iptables -i ppp0 -d 10.0.0.2 -j RETURN -I TRAFFIC",
                "iptables -s 10.0.0.2 -o ppp0 -j RETURN -I TRAFFIC",
                "iptables -i ppp0 -A TRAFFIC",
                "iptables -o ppp0 -A TRAFFIC",
            ],
            id="made by hand, without targets",
        ),
        pytest.param(
            observed([*COMPLETE, "-i ppp0 -d 10.0.0.3"], JUMP),
            [],
            ["ppp0"],
            ["iptables -i ppp0 -d 10.0.0.3 -j RETURN -I TRAFFIC", "iptables -s 10.0.0.3 -o ppp0 -j RETURN -I TRAFFIC"],
            id="a rule behind the catch-all, and the direction it lacks",
        ),
        pytest.param(
            observed(COMPLETE, JUMP),
            ["10.0.0.2"],
            ["ppp1"],
            [
                "iptables -i ppp1 -d 10.0.0.2 -j RETURN -I TRAFFIC",
                "iptables -s 10.0.0.2 -o ppp1 -j RETURN -I TRAFFIC",
                "iptables -i ppp1 -A TRAFFIC",
                "iptables -o ppp1 -A TRAFFIC",
            ],
            id="another interface to the Internet",
        ),
        pytest.param(
            observed([*COMPLETE, COMPLETE[1], COMPLETE[2]], JUMP),
            ["10.0.0.2"],
            ["ppp0"],
            ["iptables -D TRAFFIC 7", "iptables -D TRAFFIC 6"],
            id="rules twice: the later ones go, the highest number first",
        ),
        pytest.param(
            observed([*COMPLETE, *(f"-i ppp{number} -d 10.0.0.2 -j RETURN" for number in range(1, 7)), COMPLETE[1]], JUMP),
            ["10.0.0.2"],
            ["ppp0"],
            [],
            id="a number that cut short would be another rule's stays",
        ),
        pytest.param(observed(COMPLETE, []), [], ["ppp0"], ["iptables -j TRAFFIC -I FORWARD 1"], id="no jump"),
        pytest.param(
            observed(COMPLETE, ["-j DROP", "-j TRAFFIC"]),
            [],
            ["ppp0"],
            ["iptables -j TRAFFIC -D FORWARD", "iptables -j TRAFFIC -I FORWARD 1"],
            id="the jump is not the first: never two",
        ),
        pytest.param(
            observed(COMPLETE, ["-j TRAFFIC", "-j TRAFFIC"]),
            [],
            ["ppp0"],
            [
                "iptables -j TRAFFIC -D FORWARD",
                "iptables -j TRAFFIC -D FORWARD",
                "iptables -j TRAFFIC -I FORWARD 1",
            ],
            id="two jumps",
        ),
        pytest.param(
            observed(COMPLETE, ["-j TRAFFIC", "-i br0 -j TRAFFIC"]), [], ["ppp0"], [], id="a jump with a condition stays"
        ),
        pytest.param(
            observed([*COMPLETE, "-p tcp -d 10.0.0.7"], JUMP), ["10.0.0.2"], ["ppp0"], [], id="a foreign rule stays"
        ),
    ],
)
def test_present(seen: Observed, hosts: list[str], interfaces: list[str], commands: list[str]) -> None:
    steps = plan_present(SETTINGS, seen, Wanted(tuple(hosts), tuple(interfaces)), MARKER)
    assert [command(SETTINGS, step) for step in steps] == commands
    after = simulate(SETTINGS, seen, steps)
    assert plan_present(SETTINGS, after, Wanted(tuple(hosts), tuple(interfaces)), MARKER) == ()


def test_present_keeps_a_repeated_rule_that_counted() -> None:
    seen = observed(COMPLETE, JUMP)
    counting = Rule(3, 300, "RETURN", None, "ppp0", None, None, "10.0.0.2")
    assert seen.chain
    seen = Observed(Chain("TRAFFIC", 1, None, (*seen.chain.rules, counting)), seen.forward)
    assert plan_present(SETTINGS, seen, Wanted(("10.0.0.2",), ("ppp0",)), MARKER) == ()


def test_prune() -> None:
    seen = observed([*COMPLETE[:3], "-i ppp0 -d 10.0.0.9 -j RETURN", "-s 10.0.0.9 -o ppp0", *COMPLETE[3:]], JUMP)
    steps = plan_present(SETTINGS, seen, Wanted(("10.0.0.2",), ("ppp0",), prune=True), MARKER)
    assert [command(SETTINGS, step) for step in steps] == [
        "iptables -i ppp0 -d 10.0.0.9 -j RETURN -D TRAFFIC",
        "iptables -s 10.0.0.9 -o ppp0 -D TRAFFIC",
    ]


def test_empty_stops_counting_takes_the_marker_first_and_leaves_the_jump() -> None:
    seen = observed(["-i ppp0 -d 10.0.0.2 -j RETURN", "-s 127.1.1.1 -d 127.2.2.2", "-o ppp0"], JUMP)
    assert [command(SETTINGS, step) for step in plan_empty(SETTINGS, seen)] == [
        "iptables -j TRAFFIC -D FORWARD",
        "iptables -s 127.1.1.1 -d 127.2.2.2 -D TRAFFIC",
        "iptables -i ppp0 -d 10.0.0.2 -j RETURN -D TRAFFIC",
        "iptables -o ppp0 -D TRAFFIC",
        "iptables -j TRAFFIC -I FORWARD 1",
    ]
    assert simulate(SETTINGS, seen, plan_empty(SETTINGS, seen)) == observed([], JUMP)


@pytest.mark.parametrize(
    ("chain", "forward", "steps"),
    [
        ([], JUMP, []),
        ([], [], ["-j TRAFFIC -I FORWARD 1"]),
        (["-i ppp0"], [], ["-i ppp0 -D TRAFFIC", "-j TRAFFIC -I FORWARD 1"]),
    ],
)
def test_empty_goes_on_where_it_was_cut_off(chain: list[str], forward: list[str], steps: list[str]) -> None:
    found = [command(SETTINGS, step) for step in plan_empty(SETTINGS, observed(chain, forward))]
    assert found == [f"iptables {step}" for step in steps]


def test_absent_takes_the_jumps_first_and_the_chain_last() -> None:
    seen = observed(["-i ppp0"], ["-j TRAFFIC", "-j TRAFFIC"])
    assert [command(SETTINGS, step) for step in plan_absent(SETTINGS, seen)] == [
        "iptables -j TRAFFIC -D FORWARD",
        "iptables -j TRAFFIC -D FORWARD",
        "iptables -i ppp0 -D TRAFFIC",
        "iptables -X TRAFFIC",
    ]
    assert simulate(SETTINGS, seen, plan_absent(SETTINGS, seen)) == observed(None)


@pytest.mark.parametrize("plan", [plan_empty, plan_absent])
def test_nothing_to_empty_or_remove(plan: object) -> None:
    assert plan(SETTINGS, observed(None)) == ()  # type: ignore[operator]


@pytest.mark.parametrize("plan", [plan_empty, plan_absent])
def test_a_chain_with_foreign_rules_is_refused(plan: object) -> None:
    seen = observed(["-i ppp0", "-i ppp0 -d 10.0.0.2 -j ACCEPT", "-d 10.0.0.2"], JUMP)
    with pytest.raises(ChainError) as caught:
        plan(SETTINGS, seen)  # type: ignore[operator]
    assert str(caught.value) == (
        "The chain TRAFFIC holds rules that homenet.traffic did not make (number 2, 3), so it is left as it is. Delete them by "
        "hand if they are yours to delete (`iptables -D TRAFFIC 3`, `iptables -D TRAFFIC 2`), or choose another name with traffic_chain."
    )


def test_a_chain_that_others_jump_to_is_not_removed() -> None:
    with pytest.raises(ChainError, match="Other rules jump to TRAFFIC .1 more") as caught:
        plan_absent(SETTINGS, observed(["-i ppp0"], JUMP, references=2))
    assert "`iptables -nvxL`" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("-i ppp0 -d 10.0.0.2 -j RETURN", Match("download", "ppp0", "10.0.0.2")),
        ("-i ppp0 -d 10.0.0.2", Match("download", "ppp0", "10.0.0.2")),
        ("-s 10.0.0.2 -o ppp0 -j RETURN", Match("upload", "ppp0", "10.0.0.2")),
        ("-i ppp0", Match("download", "ppp0", None)),
        ("-o ppp0", Match("upload", "ppp0", None)),
        ("-i ppp0 -j RETURN", None),
        ("-i !ppp0 -d 10.0.0.2", None),
        ("-i ppp0 -d !10.0.0.2", None),
        ("-i ppp0 -d 10.0.0.0/24", None),
        ("-i ppp0 -s 10.0.0.2", None),
        ("-i ppp0 -o br0", None),
        ("-d 10.0.0.2", None),
        ("-p tcp -i ppp0 -d 10.0.0.2", None),
        ("-i ppp0 -d 10.0.0.2 -j ACCEPT", None),
        ("-i ppp0 -d 10.0.0.2 -m tcp", None),
        ("", None),
    ],
)
def test_what_a_rule_counts(words: str, match: Match | None) -> None:
    assert match_of(rule(words)) == match


def test_marker() -> None:
    assert marker_of(marker_rule(MARKER)) == MARKER
    assert marker_of(rule("-s 127.1.1.1 -d 10.0.0.2")) is None
    assert marker_of(rule("-s 127.1.1.1 -d 127.2.2.2 -j RETURN")) is None
    assert str(marker(Chain("TRAFFIC", 1, None, (rule("-i ppp0"), marker_rule(MARKER))))) == "127.81.4.9/127.200.7.33"
    assert marker(None) is None


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("FORWARD", "is a name of iptables' own"),
        ("RETURN", "is a name of iptables' own"),
        ("FORWARD_TRAFFIC", "begins with the name of a chain of iptables' own"),
        ("-X", "cannot name a chain"),
        ("", "cannot name a chain"),
        ("TRAFFIC\n", "cannot name a chain"),
        ("a;reboot", "cannot name a chain"),
        ("x" * 29, "cannot name a chain"),
    ],
)
def test_refused_chain_names(chain: str, message: str) -> None:
    with pytest.raises(ChainError, match=message):
        Settings(chain)


def test_refused_table() -> None:
    with pytest.raises(ChainError, match="traffic_table: 'nat' is neither 'filter' nor 'mangle'."):
        Settings(table="nat")


@pytest.mark.parametrize("host", ["10.0.0", "10.0.0.2/32", "10.0.0.2\n", "::1", "$(reboot)", "127.0.0.1", "0.0.0.0", "224.0.0.1"])
def test_refused_hosts(host: str) -> None:
    with pytest.raises(ChainError, match="^traffic_hosts: "):
        Wanted((host,), ("ppp0",))


@pytest.mark.parametrize("interface", ["", "a" * 16, "ppp0;", "ppp 0", "-j", "ppp+", "ppp0\n", "any*", "any", "anywhere"])
def test_refused_interfaces(interface: str) -> None:
    with pytest.raises(ChainError, match="^traffic_wan_interfaces: "):
        Wanted(("10.0.0.2",), (interface,))


def test_the_longest_command_fits() -> None:
    settings = Settings("x" * 28, "mangle")
    match = Match("upload", "i" * 15, "255.255.255.254")
    assert len(command(settings, Step("append", settings.chain, host_rule(match)))) < 120
    with pytest.raises(ChainError, match="longer than 500 bytes"):
        command(Settings(program="iptables" * 70), Step("new", "TRAFFIC"))


def test_reads() -> None:
    assert list_command(SETTINGS, "TRAFFIC") == "iptables -nvxL TRAFFIC"
    assert list_command(Settings("X", "mangle", "/sbin/iptables"), "FORWARD") == "/sbin/iptables -t mangle -nvxL FORWARD"
    assert list_all_command(SETTINGS) == "iptables -nvxL"


def test_as_commands_shows_the_chain_in_the_usual_order() -> None:
    seen = observed(["-i ppp0 -d 10.0.0.2 -j RETURN", "-o ppp0", "-p tcp -s 10.0.0.2 -j DROP"], ["-j DROP", "-j TRAFFIC"])
    assert as_commands(SETTINGS, seen) == [
        "iptables -N TRAFFIC",
        "iptables -A TRAFFIC -i ppp0 -d 10.0.0.2 -j RETURN",
        "iptables -A TRAFFIC -o ppp0",
        "iptables -A TRAFFIC -p tcp -s 10.0.0.2 -j DROP",
        "iptables -I FORWARD 2 -j TRAFFIC",
    ]
    assert as_commands(SETTINGS, observed(None)) == []
    assert jump_rule(SETTINGS).target == "TRAFFIC"
