# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is using the link right now: the playbook `live`, and the option interval."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from control import Control, Place, Run

from router.firewall.iptables import Result
from router.firewall.iptables import run as run_iptables
from router.router import Router
from router.serving import serve
from router.spec import RouterSpec, fleet


@contextmanager
def between_readings(router: Router, happens: Callable[[], object]) -> Iterator[None]:
    """This happens on the router whenever it is asked for FORWARD, which is right before its counters are read."""
    listing = router.iptables

    def iptables(words: list[str]) -> Result:
        if words[-1] == "FORWARD":
            happens()
        return listing(words)

    router.iptables = iptables  # type: ignore[method-assign]
    try:
        yield
    finally:
        router.iptables = listing  # type: ignore[method-assign]


def use(router: Router, *, own: int = 0) -> None:
    """The TV downloads most, the laptop sends most, and somebody has no rule yet."""
    router.use_link("192.168.1.4", 2_000_000, 20_000)
    router.use_link("192.168.1.2", 100_000, 400_000)
    router.use_link("192.168.1.77", 40_000, 4_000, known_only=False)
    router.own_traffic(own, 0)


def rows(run: Run) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in run.out.splitlines()]


def test_two_readings_in_one_login(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        before = len(home.sessions)
        with between_readings(home, partial(use, home)):
            found = control.module(home, "counters_info", interval=0.2).result()
        [session] = home.sessions[before:]
    seconds = found["interval_seconds"]
    used = {"192.168.1.4": (2_000_000, 20_000), "192.168.1.2": (100_000, 400_000)}
    assert [one["ip"] for one in found["rates"]] == [one["ip"] for one in found["counters"]]
    for rate, last, first in zip(found["rates"], found["counters"], found["before"]["counters"], strict=True):
        down, up = used.get(rate["ip"], (0, 0))
        assert (rate["download_bps"], rate["upload_bps"]) == (down * 8 / seconds, up * 8 / seconds)
        assert (last["download_bytes"] - first["download_bytes"], last["upload_bytes"] - first["upload_bytes"]) == (down, up)
    assert found["unattributed_rate"] == {"download_bps": 40_000 * 8 / seconds, "upload_bps": 4_000 * 8 / seconds}
    [wan], [wan_before] = found["wan"], found["before"]["wan"]
    passed = 2_140_000, 424_000
    assert (wan["received_bytes"] - wan_before["received_bytes"], wan["sent_bytes"] - wan_before["sent_bytes"]) == passed
    rates = {"received_bps": passed[0] * 8 / seconds, "sent_bps": passed[1] * 8 / seconds}
    assert found["wan_rates"] == [{"interface": "ppp0", **rates}]
    assert {one["ip"]: one["name"] for one in found["hosts"]}["192.168.1.4"] == "living-room-tv"

    asked = [line for line in session.lines if not line.startswith("echo ")]
    twice = {line for line in asked if asked.count(line) > 1}
    assert twice == {"iptables -nvxL FORWARD", "iptables -nvxL TRAFFIC", "ifconfig"}, asked


def test_without_an_interval_there_are_no_rates(control: Control) -> None:
    with serve() as routers:
        control.playbook(routers[0], "setup_traffic")
        assert not {"rates", "before", "interval_seconds"} & set(control.module(routers[0], "counters_info").result())


def test_each_round_is_shown_as_it_comes(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        before = len(home.sessions)
        with between_readings(home, partial(use, home)):
            run = control.playbook(home, "live", "-e", "traffic_repeat=3", "-e", "traffic_interval=0.2")
        assert len(home.sessions) - before == 3, "one login a round"
    assert run.status == 0, run.out
    answer = r"^home: living-room-tv takes \S+ of \S+ Mbit/s down, ali-laptop takes \S+ of \S+ .bit/s up$"
    assert len(re.findall(answer, run.out, re.MULTILINE)) == 3
    table = rows(run)
    start = table.index(["NAME", "IP", "DOWN", "SHARE", "UP", "SHARE"])
    assert [row[0] for row in table[start + 1 : start + 4]] == ["living-room-tv", "ali-laptop", "others (no counter)"]
    assert table[start + 5][0] == "all that passed ppp0"
    assert "13 idle hosts: " in run.out
    assert "not counted" not in run.out
    assert (run.recap()["failed"], run.recap()["changed"]) == (0, 0)


def test_traffic_past_the_counters(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        with between_readings(home, partial(use, home, own=20_000_000)):
            run = control.playbook(home, "live", "-e", "traffic_interval=0.2")
    assert run.status == 0, run.out
    assert "home: the router itself, or what bypasses the counters, takes " in run.out
    assert [row for row in rows(run) if row[0] == "not counted"]


def test_nobody_is_using_it(control: Control) -> None:
    with serve(RouterSpec(hosts=2)) as routers:
        control.playbook(routers[0], "setup_traffic")
        run = control.playbook(routers[0], "live", "-e", "traffic_interval=0.1")
    assert run.status == 0, run.out
    assert "home: nobody is using the link now\n" in run.out
    assert "2 idle hosts: ali-laptop, sara-phone\n" in run.out


def test_without_a_chain(control: Control) -> None:
    with serve() as routers:
        run = control.playbook(routers[0], "live", "-e", "traffic_interval=60")
    assert run.status == 2, run.out
    assert "counting is not installed (there is no chain TRAFFIC in the table filter), so nothing has been counted. Run" in run.out
    assert "reports of earlier days" not in run.out, "nobody asked for one"
    assert run.recap()["failed"] == 1


def test_the_chain_is_emptied_between_the_readings(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        happenings = iter([[], ["-F", "TRAFFIC"]])
        with between_readings(home, lambda: (words := next(happenings)) and run_iptables(home.firewall, words, home.spec.dialect)):
            done = control.module(home, "counters_info", interval=0.2)
    assert done.result()["_state"] == "FAILED!"
    assert "the two readings cannot be compared: between them the counters were emptied or made anew. Run it again." in done.out


@pytest.mark.parametrize("which", [0, 1])
def test_many_routers_and_one_that_fails(control: Control, which: int) -> None:
    """The others are shown in each round, and the recap and the exit status are true."""
    with serve(*fleet(3, hosts=2)) as routers:
        control.playbook(routers, "setup_traffic")
        names = [router.spec.name for router in routers]
        routers[which].set_faults(greeting="busy")
        run = control.playbook(routers, "live", "-e", "traffic_repeat=2", "-e", "traffic_interval=0.1")
        failed = names.pop(which)
        assert run.status == 2, run.out
        assert run.out.count(f"! {failed}: ") == 2
        assert run.recap(failed)["failed"] == 1
        for name in names:
            assert run.out.count(f"{name}: nobody is using the link now") == 2
            assert run.recap(name)["failed"] == 0


def test_the_only_router_is_unreachable(control: Control) -> None:
    run = control.playbook(Place("127.0.0.1", 1), "live", "-e", "traffic_repeat=2")
    assert run.status == 4, run.out
    assert run.recap()["unreachable"] == 1
    assert run.out.count("! home: 127.0.0.1 port 1: the connection was refused") == 1, "it is not tried again"


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("traffic_repeat=often", "traffic_repeat is 'often'; it is how often to measure, a number from 1 to 10000."),
        ("traffic_repeat=0", "traffic_repeat is '0'"),
        ("traffic_interval=61", "interval (traffic_interval) is 61; it is a number of seconds from 0 to 60."),
        ("traffic_interval=nan", "interval (traffic_interval) is nan"),
        ("traffic_interval=-1", "interval (traffic_interval) is -1"),
        ("traffic_interval=soon", "argument 'interval' is of type"),
        ("traffic_interval=0", "counters_info was run without the option interval"),
    ],
)
def test_wrong_numbers(control: Control, variable: str, said: str) -> None:
    with serve() as routers:
        control.playbook(routers[0], "setup_traffic")
        run = control.playbook(routers[0], "live", "-e", variable)
    assert run.status == 2, run.out
    assert said in run.out
    assert "Traceback" not in run.out
