# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters: sizes for people, and what the playbooks ask about their routers."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.homenet.traffic.plugins.filter import human, rounds, routers

GROUPS = {
    "all": ["home", "cabin", "web"],
    "ungrouped": [],
    "routers": ["home", "cabin"],
    "mountains": ["cabin"],
    "empty": [],
}


@pytest.mark.parametrize(("value", "shown"), [(1_094_857_362, "1.09 GB"), (999.6, "1.00 kB"), (0, "0 B")])
def test_human_bytes(value: object, shown: str) -> None:
    assert human.FilterModule().filters()["human_bytes"](value) == shown


def test_human_rate() -> None:
    assert human.FilterModule().filters()["human_rate"](1_562_500) == "12.5 Mbit/s"


@pytest.mark.parametrize("value", [None, "5", True, float("nan"), float("inf"), [5]])
@pytest.mark.parametrize("name", ["human_bytes", "human_rate"])
def test_not_a_number(name: str, value: object) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"homenet\.traffic\.{name} takes a number, and this is not one: "):
        human.FilterModule().filters()[name](value)


@pytest.mark.parametrize("pattern", ["routers", "home", "ho*", "routers:&mountains", "all:!web", ["home", "cabin"], "~h.*", "localhost"])
def test_patterns_that_match(pattern: object) -> None:
    assert routers.require_hosts(pattern, GROUPS) == pattern


@pytest.mark.parametrize("pattern", ["empty", "nosuch", "no*", "routers:!all", "mountains:&web", ["nosuch"]])
def test_patterns_that_match_nothing(pattern: object) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        routers.require_hosts(pattern, GROUPS)
    message = str(error.value)
    assert f"nothing in it matches '{pattern if isinstance(pattern, str) else pattern[0]}'" in message
    assert "ansible_password: change-me" in message, "what is shown can be copied"


@pytest.mark.parametrize("value", [3, "3", " 3 "])
def test_rounds(value: object) -> None:
    assert rounds.FilterModule().filters()["rounds"](value) == [1, 2, 3]


@pytest.mark.parametrize("value", [0, "0", -1, 10_001, "abc", "", None, True, 2.5, "2.5", [1], "9" * 5000])
def test_not_a_number_of_rounds(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match="it is how often to measure, a number from 1 to 10000"):
        rounds.rounds(value)
