# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule engine without a kernel at hand; tests/lab compares it with the real iptables."""

from __future__ import annotations

import shlex

import pytest

from router.firewall import LEGACY_1_8_9, NEWER_ROUTER, ROUTER, Firewall, Packet, run, save

HINT = "Try `iptables -h' or 'iptables --help' for more information.\n"
DOWN = Packet("203.0.113.10", "192.168.1.2", "ppp0", "br0", bytes=1500)
UP = Packet("192.168.1.2", "203.0.113.10", "br0", "ppp0", bytes=60)


def firewall(*lines: str) -> Firewall:
    made = Firewall()
    for line in lines:
        result = run(made, shlex.split(line))
        assert result.status == 0, (line, result.text)
    return made


def counts(made: Firewall, chain: str, table: str = "filter") -> list[tuple[int, int]]:
    return [(rule.packets, rule.bytes) for rule in made.tables[table].chains[chain].rules]


def policy(made: Firewall, chain: str = "FORWARD") -> tuple[int, int]:
    rule = made.tables["filter"].chains[chain].policy
    assert rule
    return rule.packets, rule.bytes


# --- walking


def test_a_rule_without_a_target_counts_and_the_walk_goes_on() -> None:
    made = firewall("-A FORWARD -i ppp0", "-A FORWARD -i ppp0 -d 192.168.1.2")
    assert made.walk(DOWN) == "ACCEPT"
    assert counts(made, "FORWARD") == [(1, 1500), (1, 1500)]
    assert policy(made) == (1, 1500)


def test_return_leaves_a_user_chain_and_the_next_rule_after_the_jump_is_tried() -> None:
    made = firewall("-N T", "-A T -i ppp0 -j RETURN", "-A T", "-A FORWARD -j T", "-A FORWARD -i ppp0 -j DROP")
    assert made.walk(DOWN) == "DROP"
    assert made.walk(UP) == "ACCEPT"
    assert counts(made, "T") == [(1, 1500), (1, 60)]
    assert counts(made, "FORWARD") == [(2, 1560), (1, 1500)]
    assert policy(made) == (1, 60)


def test_return_in_a_built_in_chain_means_the_policy() -> None:
    made = firewall("-P FORWARD DROP", "-A FORWARD -j RETURN", "-A FORWARD -j ACCEPT")
    assert made.walk(DOWN) == "DROP"
    assert counts(made, "FORWARD") == [(1, 1500), (0, 0)]
    assert policy(made) == (1, 1500)


def test_accept_in_a_user_chain_ends_the_whole_walk() -> None:
    made = firewall("-N T", "-A T -j ACCEPT", "-A FORWARD -j T", "-A FORWARD -j DROP")
    assert made.walk(DOWN) == "ACCEPT"
    assert counts(made, "FORWARD") == [(1, 1500), (0, 0)]
    assert policy(made) == (0, 0)


def test_goto_does_not_come_back() -> None:
    made = firewall("-N A", "-N B", "-A B -i ppp0", "-A A -g B", "-A A -j DROP", "-A FORWARD -j A", "-A FORWARD -j DROP")
    assert made.walk(DOWN) == "DROP"
    assert counts(made, "A") == [(1, 1500), (0, 0)]
    assert counts(made, "FORWARD") == [(1, 1500), (1, 1500)]


@pytest.mark.parametrize(("target", "verdict"), [("LOG", "ACCEPT"), ("REJECT", "DROP"), ("QUEUE", "DROP")])
def test_target_extensions(target: str, verdict: str) -> None:
    made = firewall(f"-A FORWARD -j {target}", "-A FORWARD -j ACCEPT")
    assert made.walk(DOWN) == verdict
    assert counts(made, "FORWARD")[1] == ((1, 1500) if verdict == "ACCEPT" else (0, 0))


def test_mangle_comes_before_filter() -> None:
    made = firewall("-t mangle -A FORWARD -i ppp0 -j DROP", "-A FORWARD")
    assert made.walk(DOWN) == "DROP"
    assert counts(made, "FORWARD") == [(0, 0)]
    assert made.walk(UP) == "ACCEPT"
    assert counts(made, "FORWARD") == [(1, 60)]


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        ("-i ppp0", True), ("-i ppp", False), ("-i ppp+", True), ("-i +", True), ("! -i ppp0", False), ("-o br0", True),
        ("-d 192.168.1.2", True), ("-d 192.168.1.0/24", True), ("-d 192.168.1.3", False), ("! -d 192.168.1.3", True),
        ("-s 203.0.113.0/255.255.255.0", True), ("-s ! 203.0.113.0/24", False), ("-d 192.168.1", False),
        ("-p tcp", True), ("-p udp", False), ("! -p udp", True), ("-p tcp --sport 443", True), ("-p tcp --dport 1:100", False),
        ("-m state --state ESTABLISHED", True), ("-m state --state NEW", False), ("-m conntrack ! --ctstate NEW", True),
        ("-p tcp --syn", False), ("-p tcp --tcp-flags ACK ACK", True), ("-f", False), ("! -f", True), ("-p icmp --icmp-type 8", False),
    ],
)  # fmt: skip
def test_what_a_rule_applies_to(options: str, matches: bool) -> None:
    packet = Packet("203.0.113.10", "192.168.1.2", "ppp0", "br0", bytes=1500, source_port=443, destination_port=40000)
    made = firewall(f"-A FORWARD {options}")
    made.walk(packet)
    assert counts(made, "FORWARD") == [(1, 1500) if matches else (0, 0)]


def test_many_packets_in_one_step_and_counters_beyond_32_bits() -> None:
    made = firewall("-A FORWARD -i ppp0")
    made.walk(Packet("203.0.113.10", "192.168.1.2", "ppp0", "br0", bytes=10**13, count=7 * 10**9))
    assert counts(made, "FORWARD") == [(7 * 10**9, 10**13)]


def test_a_copy_is_independent() -> None:
    made = firewall("-N T", "-A FORWARD -i ppp0 -j T", "-A T -m limit --limit-burst 1")
    copy = made.copy()
    copy.walk(DOWN)
    run(copy, ["-F", "FORWARD"])
    made.walk(DOWN)
    assert counts(made, "FORWARD") == counts(made, "T") == [(1, 1500)]
    assert counts(copy, "FORWARD") == []


# --- listings


def test_listings_have_the_columns_of_real_routers() -> None:
    made = firewall(
        "-N TRAFFIC",
        "-A TRAFFIC -i ppp_0_8_35_1 -d 192.168.61.4 -j RETURN -c 7710384 10385520173",
        "-A TRAFFIC -s 192.168.61.4 -o ppp_0_8_35_1 -j RETURN -c 3902277 412880391",
        "-A TRAFFIC -i ppp_0_8_35_1 -d 192.168.61.10 -j RETURN -c 98214420771 141038276650912",
        "-A TRAFFIC -s 192.168.61.10 -o ppp_0_8_35_1 -j RETURN -c 40217793310 2973804416223",
        "-A TRAFFIC -i ppp_0_8_35_1 -c 551 61904",
        "-A TRAFFIC -o ppp_0_8_35_1 -c 602 71130",
        "-A FORWARD -j TRAFFIC",
    )
    assert run(made, ["-L", "TRAFFIC", "-v", "-x", "-n"]).text == (
        "Chain TRAFFIC (1 references)\n"
        "    pkts      bytes target     prot opt in     out     source               destination         \n"
        " 7710384 10385520173 RETURN     all  --  ppp_0_8_35_1 *       0.0.0.0/0            192.168.61.4        \n"
        " 3902277 412880391 RETURN     all  --  *      ppp_0_8_35_1  192.168.61.4         0.0.0.0/0           \n"
        "98214420771 141038276650912 RETURN     all  --  ppp_0_8_35_1 *       0.0.0.0/0            192.168.61.10       \n"
        "40217793310 2973804416223 RETURN     all  --  *      ppp_0_8_35_1  192.168.61.10        0.0.0.0/0           \n"
        "     551    61904            all  --  ppp_0_8_35_1 *       0.0.0.0/0            0.0.0.0/0           \n"
        "     602    71130            all  --  *      ppp_0_8_35_1  0.0.0.0/0            0.0.0.0/0           \n"
    )


def test_without_n_and_with_line_numbers() -> None:
    made = firewall("-N TRAFFIC", "-A TRAFFIC -i ppp0 -d 10.44.0.7 -c 840233 1094857362", "-A FORWARD -j TRAFFIC")
    assert run(made, ["-vxL", "TRAFFIC", "--line-numbers"]).text == (
        "Chain TRAFFIC (1 references)\n"
        "num      pkts      bytes target     prot opt in     out     source               destination         \n"
        "1      840233 1094857362            all  --  ppp0   any     anywhere             10.44.0.7           \n"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (99999, "99999"), (100000, "100K"), (100499, "100K"), (100500, "101K"), (9999499, "9999K"), (9999500, "10M"),
        (10385520173, "10G"), (9998499999, "9999M"), (9999499999, "10G"), (141038276650912, "141T"), (10**18, "1000000T"),
    ],
)  # fmt: skip
def test_rounded_numbers(value: int, shown: str) -> None:
    made = firewall(f"-A FORWARD -c 1 {value}")
    row = run(made, ["-nvL", "FORWARD"]).text.splitlines()[2].split()
    assert row[:2] == ["1", shown]


def test_a_newer_iptables_shows_numbers_for_protocols() -> None:
    made = firewall("-A FORWARD -p tcp", "-A FORWARD")
    rows = [line.split()[2] for line in run(made, ["-nvL", "FORWARD"], LEGACY_1_8_9).text.splitlines()[2:]]
    assert rows == ["6", "0"]


def test_save_without_a_chain_shows_what_belongs_to_others() -> None:
    made = firewall("-A FORWARD -i ppp0 -j DROP")
    before = save(made)
    for line in ("-N TRAFFIC", "-A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN", "-I FORWARD -j TRAFFIC"):
        run(made, line.split())
    assert save(made, without="TRAFFIC") == before
    assert save(made) != before
    assert "[0:0] -A FORWARD -i ppp0 -j DROP\n" in save(made, counters=True)


# --- the command line


@pytest.mark.parametrize(
    "line",
    [
        "-A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN",
        "-i ppp0 -d 192.168.1.2 -j RETURN -A TRAFFIC",
        "-d 192.168.1.2/32 -A TRAFFIC -j RETURN -i ppp0",
        "--append TRAFFIC --in-interface=ppp0 --dst 192.168.1.2 --jump RETURN",
        "-ATRAFFIC -ippp0 -d192.168.1.2/255.255.255.255 -jRETURN",
        "-I TRAFFIC -i ppp0 -d 0xc0.0250.1.2 -j RETURN",
        "-I TRAFFIC 1 -t filter -i ppp0 -d 192.168.1.2 -j RETURN -v",
    ],
)
def test_one_rule_can_be_spelt_in_many_ways(line: str) -> None:
    made = firewall("-N TRAFFIC")
    assert run(made, line.split()).status == 0
    assert save(made).splitlines()[5] == "-A TRAFFIC -d 192.168.1.2/32 -i ppp0 -j RETURN"


@pytest.mark.parametrize(
    ("line", "chains", "rules"),
    [
        # What is left of a longer command when the connection is cut.
        ("-F", {"TRAFFIC", "parental"}, 0),
        ("-F T", {"TRAFFIC", "parental"}, 4),
        ("-F TRAFFIC", {"TRAFFIC", "parental"}, 3),
        ("-X", {"TRAFFIC", "parental"}, 4),
        ("-D FORWARD", {"TRAFFIC", "parental"}, 4),
        ("-D FORWARD 1", {"TRAFFIC", "parental"}, 3),
        ("-I FORWARD", {"TRAFFIC", "parental"}, 5),
        ("-A TRAFFIC -i ppp0 -d 192.168.1", {"TRAFFIC", "parental"}, 5),
        ("-A TRAFFIC -i ppp0 -d 192.168.1.2 -j RET", {"TRAFFIC", "parental"}, 4),
        ("-A TRAFFIC -i ppp0 -d 192.168.1.2 -j", {"TRAFFIC", "parental"}, 4),
        ("-A TRAFFIC -i ppp0 -d 192.168.1.", {"TRAFFIC", "parental"}, 4),
        ("-N TRAF", {"TRAFFIC", "parental", "TRAF"}, 4),
        ("-", {"TRAFFIC", "parental"}, 4),
        ("", {"TRAFFIC", "parental"}, 4),
    ],
)  # fmt: skip
def test_what_truncated_lines_do(line: str, chains: set[str], rules: int) -> None:
    made = firewall(
        "-N TRAFFIC", "-N parental", "-A FORWARD -j TRAFFIC", "-A FORWARD -j parental", "-A FORWARD -i ppp0 -j DROP",
        "-A TRAFFIC -i ppp0",
    )  # fmt: skip
    run(made, line.split())
    table = made.tables["filter"]
    assert {name for name, chain in table.chains.items() if not chain.policy} == chains
    assert sum(len(chain.rules) for chain in table.chains.values()) == rules


def test_x_deletes_all_user_chains_or_none() -> None:
    made = firewall("-N A", "-N B")
    run(made, ["-X"])
    assert "A" not in made.tables["filter"].chains
    made = firewall("-N A", "-N B", "-A B -j RETURN")
    assert run(made, ["-X"]).text == "iptables: Directory not empty.\n"
    assert "A" in made.tables["filter"].chains


@pytest.mark.parametrize(
    ("line", "text", "status"),
    [
        ("-L NOPE", "iptables: No chain/target/match by that name.\n", 1),
        ("-N TRAFFIC", "iptables: Chain already exists.\n", 1),
        ("-X TRAFFIC", "iptables: Too many links.\n", 1),
        ("-X FORWARD", "iptables: Invalid argument. Run `dmesg' for more information.\n", 1),
        ("-A NOPE", "iptables: No chain/target/match by that name.\n", 1),
        ("-D FORWARD -i ppp0", "iptables: Bad rule (does a matching rule exist in that chain?).\n", 1),
        ("-D FORWARD 9", "iptables: Index of deletion too big.\n", 1),
        ("-I FORWARD 9", "iptables: Index of insertion too big.\n", 1),
        ("-P TRAFFIC DROP", "iptables: Bad built-in chain name.\n", 1),
        ("-A TRAFFIC -j TRAFFIC", "iptables: Too many levels of symbolic links.\n", 1),
        ("-A FORWARD -j X", "iptables v1.4.21: Couldn't load target `X':No such file or directory\n\n" + HINT, 2),
        ("-C FORWARD -j ACCEPT", 'iptables v1.4.21: unknown option "-C"\n' + HINT, 2),
        ("-w -L", 'iptables v1.4.21: unknown option "-w"\n' + HINT, 2),
        ("-S", 'iptables v1.4.21: unknown option "-S"\n' + HINT, 2),
        ("-A", 'iptables v1.4.21: option "-A" requires an argument\n' + HINT, 2),
        ("-F A B", "Bad argument `B'\n" + HINT, 2),
        ("-i ppp0", "iptables v1.4.21: no command specified\n" + HINT, 2),
        ("-L -j ACCEPT", "iptables v1.4.21: Illegal option `-j' with this command\n\n" + HINT, 2),
        ("-A FORWARD -F", "iptables v1.4.21: Cannot use -F with -A\n\n" + HINT, 2),
        ("-t nope -L", "iptables v1.4.21: can't initialize iptables table `nope': Table does not exist "
         "(do you need to insmod?)\nPerhaps iptables or your kernel needs to be upgraded.\n", 3),
    ],
)  # fmt: skip
def test_complaints(line: str, text: str, status: int) -> None:
    made = firewall("-N TRAFFIC", "-A FORWARD -j TRAFFIC")
    before = save(made)
    result = run(made, line.split())
    assert (result.text, result.status) == (text, status)
    assert save(made) == before


def test_switches_of_the_dialect() -> None:
    made = firewall("-A FORWARD -i ppp0")
    assert run(made, "-w -C FORWARD -i ppp0".split(), NEWER_ROUTER).status == 0
    assert run(made, ["-S", "FORWARD"], NEWER_ROUTER).text == "-P FORWARD ACCEPT\n-A FORWARD -i ppp0\n"
    assert run(made, "-A FORWARD -s ! 1.2.3.4".split(), LEGACY_1_8_9).text == "Bad argument `1.2.3.4'\n" + HINT
    assert run(made, "-A FORWARD -s ! 1.2.3.4".split(), ROUTER).status == 0


def test_the_lock_is_asked_for_only_when_the_line_is_right() -> None:
    made = Firewall()
    asked = []

    def lock() -> str:
        asked.append(1)
        return "held"

    assert run(made, ["-A"], lock=lock).status == 2
    assert not asked
    assert (run(made, ["-N", "A"], lock=lock).text, run(made, ["-N", "A"], lock=lock).status) == ("held\n", 4)
    assert "A" not in made.tables["filter"].chains
