# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chain has counted, no packet twice, and what is said to be wrong with it."""

from __future__ import annotations

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Observed, Settings
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_state import (
    Counter,
    host_counters,
    problems,
    unattributed,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Rule

FOREIGN = Rule(9, 900, "ACCEPT", None, None, None, None, None)


def down(size: int, host: str | None = "10.0.0.2", target: str | None = "RETURN", interface: str = "ppp0") -> Rule:
    return Rule(size // 100, size, target if host else None, None, interface, None, None, host)


def up(size: int, host: str | None = "10.0.0.2", target: str | None = "RETURN", interface: str = "ppp0") -> Rule:
    return Rule(size // 100, size, target if host else None, None, None, interface, host, None)


def chain(*rules: Rule, references: int = 1) -> Chain:
    return Chain("TRAFFIC", references, None, rules)


@pytest.mark.parametrize(
    ("rules", "downloaded", "uploaded"),
    [
        pytest.param([down(500), up(300)], 500, 300, id="one rule each"),
        pytest.param([down(500), down(200, target=None), up(0)], 700, 0, id="returned first, counted before that"),
        pytest.param([down(500, target=None), down(200), up(0)], 500, 0, id="counted by both"),
        pytest.param([down(500, target=None), down(400, target=None), up(0)], 500, 0, id="a script that ran twice"),
        pytest.param([down(100), down(50, target=None), down(40, target=None), up(0)], 150, 0, id="and was completed"),
        pytest.param([down(100), down(7, interface="ppp1"), up(0)], 107, 0, id="a former interface"),
        pytest.param([down(100)], 100, None, id="no rule for upload"),
    ],
)
def test_counted(rules: list[Rule], downloaded: int, uploaded: int | None) -> None:
    found = host_counters(chain(*rules))["10.0.0.2"]
    assert (found["download"] or Counter(0, 0)).bytes == downloaded
    assert (None if found["upload"] is None else found["upload"].bytes) == uploaded


def test_hosts_are_in_numeric_order() -> None:
    assert list(host_counters(chain(up(1, "10.0.0.10"), down(1, "10.0.0.9"), down(1, "9.0.0.1")))) == [
        "9.0.0.1",
        "10.0.0.9",
        "10.0.0.10",
    ]


def test_unattributed() -> None:
    assert unattributed(chain(down(500), up(300))) is None
    rest = unattributed(chain(down(500), down(90, None), up(30, None), down(10, None, interface="ppp1")))
    assert rest is not None
    assert (rest["download"].bytes, rest["upload"].bytes) == (100, 30)


def test_unattributed_leaves_out_what_a_host_behind_the_catch_all_counted_again() -> None:
    rest = unattributed(chain(down(900, None), up(80, None), down(400, "10.0.0.9"), up(30, "10.0.0.9", target=None)))
    assert rest is not None
    assert (rest["download"].bytes, rest["upload"].bytes) == (500, 50)


def test_unattributed_of_two_catch_alls_that_see_the_same_packets() -> None:
    rest = unattributed(chain(down(900, None), down(800, None)))
    assert rest is not None
    assert rest["download"].bytes == 900


JUMP = Rule(0, 0, "TRAFFIC", None, None, None, None, None)
COMPLETE = chain(down(1), up(1), down(0, None), up(0, None))


def codes(seen: Chain | None, forward: list[Rule], interfaces: tuple[str, ...] = ("ppp0",)) -> list[str]:
    found = problems(Settings(), Observed(seen, Chain("FORWARD", None, "DROP", tuple(forward))), interfaces)
    assert all(one.message for one in found)
    return [one.code for one in found]


@pytest.mark.parametrize(
    ("seen", "forward", "expected"),
    [
        pytest.param(COMPLETE, [JUMP, FOREIGN], [], id="nothing wrong"),
        pytest.param(None, [FOREIGN], ["chain_missing"], id="no chain"),
        pytest.param(chain(*COMPLETE.rules, references=0), [FOREIGN], ["jump_missing"], id="no jump"),
        pytest.param(COMPLETE, [FOREIGN, JUMP], ["jump_not_first"], id="jump second"),
        pytest.param(chain(*COMPLETE.rules, references=2), [JUMP, JUMP], ["jump_duplicate"], id="two jumps"),
        pytest.param(
            chain(*COMPLETE.rules, references=2),
            [JUMP, Rule(0, 0, "TRAFFIC", None, "br0", None, None, None)],
            ["jump_duplicate"],
            id="a jump with a condition",
        ),
        pytest.param(chain(*COMPLETE.rules, references=2), [JUMP], ["jump_duplicate"], id="a jump from elsewhere"),
        pytest.param(chain(*COMPLETE.rules, FOREIGN), [JUMP], ["foreign_rule"], id="foreign rule"),
        pytest.param(chain(down(1), up(1)), [JUMP], ["no_catch_all"], id="no catch-all"),
        pytest.param(chain(), [JUMP], ["no_catch_all"], id="empty"),
        pytest.param(chain(down(1), down(1), *COMPLETE.rules[1:]), [JUMP], ["duplicate_rule"], id="repeated"),
        pytest.param(chain(down(1), *COMPLETE.rules[2:]), [JUMP], ["one_direction_only"], id="one direction"),
        pytest.param(
            chain(*COMPLETE.rules, down(1, "10.0.0.9"), up(1, "10.0.0.9")), [JUMP], ["catch_all_not_last"], id="late rules"
        ),
        pytest.param(
            chain(down(1, target=None), up(1, target=None), down(1, None), up(1, None)),
            [JUMP],
            ["duplicate_rule"],
            id="by hand, with a line of totals",
        ),
        pytest.param(
            chain(Rule(0, 0, "RETURN", None, None, None, None, None), *COMPLETE.rules),
            [JUMP],
            ["foreign_rule", "no_catch_all"],
            id="a foreign rule lets everything return",
        ),
        pytest.param(
            chain(*COMPLETE.rules, down(1, target=None), up(1, target=None)), [JUMP], [], id="late rules that count no more"
        ),
    ],
)
def test_problems(seen: Chain | None, forward: list[Rule], expected: list[str]) -> None:
    assert codes(seen, forward) == expected


def test_another_way_to_the_internet() -> None:
    assert codes(COMPLETE, [JUMP], ("ppp1",)) == ["wan_changed"]
    assert codes(COMPLETE, [JUMP], ("ppp0", "ppp1")) == ["wan_changed"]
