# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-up, update, flush and removal over real telnet to an emulated router, cut at every command and at many bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import chains
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
from router.firewall import Dialect
from router.router import Router as Emulated
from router.serving import serve
from router.spec import RouterSpec

pytestmark = pytest.mark.thorough

SETTINGS = Settings(full=2)
BROADCOM = _profile.load("broadcom")
HOSTS = ("192.168.1.2", "192.168.1.3")
MORE = (*HOSTS, "192.168.1.4")  # than one chain holds
Plan = Callable[[Observed], tuple[Step, ...]]


def present(*hosts: str) -> Plan:
    return lambda seen: plan_present(SETTINGS, seen, Wanted(hosts, ("ppp0",)), Marker("127.1.2.3", "127.3.2.1"))


PLANS: dict[str, tuple[Plan | None, Plan]] = {
    "set-up": (None, present(*HOSTS)),
    "update": (present(HOSTS[0]), present(*HOSTS)),
    "flush": (present(*HOSTS), lambda seen: plan_empty(SETTINGS, seen)),
    "removal": (present(*HOSTS), lambda seen: plan_absent(SETTINGS, seen)),
    "growth": (present(*HOSTS), present(*MORE)),
    "flush of sub-chains": (present(*MORE), lambda seen: plan_empty(SETTINGS, seen)),
    "removal of sub-chains": (present(*MORE), lambda seen: plan_absent(SETTINGS, seen)),
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
        router.chains.converge(plan, change, router.chains.observe(whole=True), whole=True)
    finally:
        session.logout()
    return change.commands


def fate(emulated: Emulated) -> tuple[list[str], list[str]]:
    """What happens to packets of every kind (not counted), and everybody else's rules and counters."""
    return chains.verdicts(emulated, (*MORE, "192.168.1.99", "192.168.1.250")), chains.foreign(emulated)


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    with serve(RouterSpec(hosts=3, max_sessions=0)) as routers:
        yield routers[0]


def prepared(emulated: Emulated, first: Plan | None) -> tuple[list[str], list[str]]:
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


@pytest.mark.parametrize(
    ("name", "when"), [(name, when) for name in PLANS for when in ("ran", "before", "answered") if when == "ran" or "sub" not in name]
)
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
    emulated.set_faults(cut_at_command=10)
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


def test_a_network_that_outgrows_one_chain(emulated: Emulated) -> None:
    """What was counted before is counted on, and the sub-chains are read again by the next session."""
    prepared(emulated, present(*HOSTS))
    emulated.use_link(HOSTS[0], 1000, 2000)
    run(emulated, present(*MORE))
    emulated.use_link(HOSTS[0], 10, 20)
    emulated.use_link(MORE[2], 5, 7)
    session = Session(TelnetStream(emulated.host, emulated.port, 5), "home", Credentials("admin", "admin"), BROADCOM)
    session.login()
    backend = Iptables(Router(session.run, BROADCOM, "home", SETTINGS).chains)
    backend.look()
    session.logout()
    sizes = {host: [counter.bytes for counter in both.values() if counter] for host, both in backend.counted().hosts.items()}
    assert sizes == {HOSTS[0]: [1010, 2020], HOSTS[1]: [0, 0], MORE[2]: [5, 7]}
    assert backend.status(["ppp0"]).hosts == 3
    assert backend.status(["ppp0"]).problems == []
    assert "iptables -A TRAFFIC -i ppp0 -g TRAFFIC_D000" in backend.as_commands()


def test_an_iptables_without_goto_keeps_everything_in_one_chain() -> None:
    with serve(RouterSpec(hosts=3, dialect=Dialect(goto=False))) as routers:
        for number in range(2):
            session = Session(TelnetStream(routers[0].host, routers[0].port, 5), "home", Credentials("admin", "admin"), BROADCOM)
            session.login()
            backend = Iptables(Router(session.run, BROADCOM, "home", SETTINGS).chains)
            backend.look()
            foreseen = backend.preview("present", MORE, ["ppp0"], False)[0]
            commands: list[str] = []
            backend.bring("present", MORE, ["ppp0"], False, commands)
            session.logout()
            assert len(commands) == len(foreseen)
            assert not any(" -g " in line for line in commands)
            assert bool(commands) == (number == 0)
            assert backend.hosts() == list(MORE)
            assert backend.status(["ppp0"]).problems == []
            assert not any("TRAFFIC_" in line for line in backend.as_commands())


def test_a_kernel_without_goto_under_an_iptables_that_knows_it() -> None:
    """What was begun is taken away again."""
    with serve(RouterSpec(hosts=3)) as routers:
        session = Session(TelnetStream(routers[0].host, routers[0].port, 5), "home", Credentials("admin", "admin"), BROADCOM)
        session.login()

        def old_kernel(line: str) -> str:
            return "iptables: Invalid argument" if " -g TRAFFIC" in line else session.run(line)

        backend = Iptables(Router(old_kernel, BROADCOM, "home", SETTINGS).chains)
        backend.look()
        backend.bring("present", MORE, ["ppp0"], False, [])
        session.logout()
        assert backend.hosts() == list(MORE)
        assert backend.status(["ppp0"]).problems == []
        assert chains.observe_all(routers[0], SETTINGS).subs == {}
