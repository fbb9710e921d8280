# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-up, update, flush and removal over real telnet to an emulated router, cut at every command and at many bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import Marker, Observed, Settings, Step, Wanted
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, plan_present
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import Change
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Limits, Session
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Iptables
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._telnet import TelnetStream
from router.firewall import Packet
from router.router import Router as Emulated
from router.serving import serve
from router.spec import RouterSpec

SETTINGS = Settings()
BROADCOM = _profile.load("broadcom")
HOSTS = ("192.168.1.2", "192.168.1.3")
Plan = Callable[[Observed], tuple[Step, ...]]


def present(*hosts: str) -> Plan:
    return lambda seen: plan_present(SETTINGS, seen, Wanted(hosts, ("ppp0",)), Marker("127.1.2.3", "127.3.2.1"))


PLANS: dict[str, tuple[Plan | None, Plan]] = {
    "set-up": (None, present(*HOSTS)),
    "update": (present(HOSTS[0]), present(*HOSTS)),
    "flush": (present(*HOSTS), lambda seen: plan_empty(SETTINGS, seen)),
    "removal": (present(*HOSTS), lambda seen: plan_absent(SETTINGS, seen)),
}


def run(emulated: Emulated, plan: Plan) -> list[str]:
    """One session as a module has it. Returns the commands that changed something."""
    session = Session(
        TelnetStream(emulated.host, emulated.port, 5), "home", Credentials("admin", "admin"), BROADCOM, limits=Limits(5, 5)
    )
    change = Change()
    try:
        session.login()
        router = Router(session.run, BROADCOM, "home", SETTINGS)
        router.chains.converge(plan, change, router.observe())
    finally:
        session.logout()
    return change.commands


def fate(emulated: Emulated) -> tuple[list[str], str]:
    """What happens to packets of every kind (not counted), and everybody else's rules and counters."""
    packets = [
        Packet(*ends, ctstate=state, bytes=0, count=0)
        for host in (*HOSTS, "192.168.1.99", "192.168.1.250")
        for state in ("NEW", "ESTABLISHED")
        for ends in ((host, "203.0.113.9", "br0", "ppp0"), ("203.0.113.9", host, "ppp0", "br0"))
    ]
    foreign = emulated.foreign_firewall(counters=True).splitlines()
    begun = tuple(f":{'TRAFFIC'[:length]} " for length in range(1, 7))  # an empty chain that a cut -N left
    return [emulated.firewall.walk(packet) for packet in packets], "\n".join(
        line for line in foreign if not line.startswith((*begun, "#"))
    )


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    with serve(RouterSpec(hosts=3, max_sessions=0)) as routers:
        yield routers[0]


def prepared(emulated: Emulated, first: Plan | None) -> tuple[list[str], str]:
    emulated.clear_faults()
    emulated.restart()
    if first:
        run(emulated, first)
    return fate(emulated)


def cut_and_finish(emulated: Emulated, name: str, **faults: Any) -> bool:
    """Whether the cut struck. Afterwards everything passes as before, and the next run reaches what was wanted."""
    first, plan = PLANS[name]
    before = prepared(emulated, first)
    emulated.set_faults(**faults)
    struck = False
    try:
        run(emulated, plan)
    except TrafficError as error:
        struck = True
        assert "home" in str(error)
        assert "Run it again" in str(error)
    emulated.clear_faults()
    assert fate(emulated) == before
    run(emulated, plan)
    assert run(emulated, plan) == []
    assert fate(emulated) == before
    return struck


@pytest.mark.parametrize("when", ["before", "ran", "answered"])
@pytest.mark.parametrize("name", PLANS)
def test_cut_at_every_command(emulated: Emulated, name: str, when: str) -> None:
    number = 2  # the first is the log-in's own
    while cut_and_finish(emulated, name, cut_at_command=number, cut_when=when):
        number += 1
    assert number > 10, "the reads, the changes, the reads again"


@pytest.mark.parametrize("name", PLANS)
def test_cut_at_bytes_and_the_beginning_of_the_line_is_run(emulated: Emulated, name: str) -> None:
    first, plan = PLANS[name]
    prepared(emulated, first)
    emulated.sessions.clear()
    run(emulated, plan)
    total = sum(len(line) + 2 for line in emulated.sessions[-1].lines)
    random.seed(name)
    struck = sum(
        cut_and_finish(emulated, name, cut_after_received=random.randrange(40, total), cut_runs_partial=True)
        for _number in range(50)
    )
    assert struck > 40


@pytest.mark.parametrize(
    ("setup", "refused"),
    [
        (("-N TRAF",), False),
        (("-N TRAF", "-A TRAF -p tcp -j DROP"), True),
        (("-N TRAF", "-A FORWARD -j TRAF"), True),
        (("-N TRAFFICS", "-A FORWARD -j TRAFFICS"), False),
    ],
)
def test_somebody_elses_chain_whose_name_is_the_beginning_of_ours(setup: tuple[str, ...], refused: bool) -> None:
    with serve(RouterSpec(hosts=3, setup=setup)) as routers:
        if refused:
            with pytest.raises(TrafficError, match="there is a chain TRAF, whose name is the beginning of TRAFFIC"):
                run(routers[0], present(*HOSTS))
            assert "TRAFFIC" not in routers[0].foreign_firewall(chain="")
        else:
            assert run(routers[0], present(*HOSTS))


@pytest.mark.parametrize("line", ["eth0 Link UP 100 mbps", "br0: port 2(eth1) entering forwarding state"])
def test_a_line_of_the_log_in_the_blanks_behind_the_jump(line: str) -> None:
    """It is not a condition: no second jump is set."""
    with serve(RouterSpec(hosts=3)) as routers:
        run(routers[0], present(*HOSTS))
        session = Session(
            TelnetStream(routers[0].host, routers[0].port, 5), "home", Credentials("admin", "admin"), BROADCOM, limits=Limits(5, 5)
        )
        session.login()

        def noisy(command: str) -> str:
            said = session.run(command)
            return said.replace("0.0.0.0/0            0.0.0.0/0           ", f"0.0.0.0/0            0.0.0.0/0           {line}", 1)

        change = Change()
        router = Router(noisy, BROADCOM, "home", SETTINGS)
        router.chains.converge(present(*HOSTS), change, router.observe())
        session.logout()
        assert change.commands == []
        assert len(router.notes()) == 1


def test_idle_rules_behind_the_catch_all_need_more_than_one_round() -> None:
    setup = (
        "-N TRAFFIC", "-A TRAFFIC -s 127.1.1.1 -d 127.2.2.2", "-A TRAFFIC -i ppp0", "-A TRAFFIC -o ppp0",
        f"-A TRAFFIC -i ppp0 -d {HOSTS[0]} -j RETURN", f"-A TRAFFIC -s {HOSTS[0]} -o ppp0 -j RETURN", "-I FORWARD -j TRAFFIC",
    )  # fmt: skip
    with serve(RouterSpec(hosts=3, setup=setup)) as routers:
        assert len(run(routers[0], present(HOSTS[0]))) == 4
        assert run(routers[0], present(HOSTS[0])) == []


def test_what_was_counted_before_a_change_is_kept_when_it_fails(emulated: Emulated) -> None:
    prepared(emulated, present(*HOSTS))
    emulated.use_link(HOSTS[0], 1000, 2000)
    emulated.set_faults(cut_at_command=18)
    commands: list[str] = []
    session = Session(TelnetStream(emulated.host, emulated.port, 5), "home", Credentials("admin", "admin"), BROADCOM)
    session.login()
    backend = Iptables(Router(session.run, BROADCOM, "home", SETTINGS).chains)
    backend.look()
    with pytest.raises(TrafficError):
        backend.bring("empty", (), (), False, commands)
    session.logout()
    assert sum(counter.bytes for both in backend.counted().hosts.values() for counter in both.values() if counter) == 3000
    assert commands
