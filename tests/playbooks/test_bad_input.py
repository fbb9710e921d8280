# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong: the message says what and what next, and nothing is changed on the router."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from control import Control, Run

from router.router import Router
from router.serving import serve
from router.spec import HOSTILE_NAMES, RouterSpec, hostile_hosts

SECRET = "s3cr3t-Pa55"


def says_no(run: Run, router: Router, state: str, *words: str) -> dict[str, Any]:
    """The run failed in this way and said this, without a traceback or the password, and the router is as it was."""
    result = run.result()
    assert result["_state"] == state, run.out
    for word in words:
        assert word in result["msg"], result["msg"]
    assert "Traceback" not in run.out
    assert SECRET not in run.out
    assert run.status in (2, 4)
    assert "TRAFFIC" not in router.foreign_firewall(chain="")
    return result


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_port_closed(control: Control) -> None:
    with serve() as routers:
        router = routers[0]
        router.port = closed_port()
        says_no(control.module(router, "chain"), router, "UNREACHABLE!", "the connection was refused", "ansible_port")


def test_openssh_meets_telnet(control: Control) -> None:
    with serve(RouterSpec(password="")) as routers:
        given = {"ansible_connection": "ansible.builtin.ssh", "ansible_timeout": 2, "ansible_ssh_retries": 0}
        run = control.playbook(routers[0], "hosts", **given)
    assert run.status == 4, run.out
    assert "Is this its SSH port (ansible_port), and not telnet's?" in " ".join(run.out.split())
    assert "\\x0d" not in run.out.partition("It failed on")[2], "its two lines are one in the list"


def test_openssh_meets_a_closed_port(control: Control) -> None:
    with serve(RouterSpec(password="")) as routers:
        routers[0].port = closed_port()
        given = {"ansible_connection": "ansible.builtin.ssh", "ansible_ssh_retries": 0}
        run = control.playbook(routers[0], "hosts", **given)
    assert run.status == 4, run.out
    assert "Connection refused. Is SSH switched on in the router, and is this its port (ansible_port)?" in " ".join(run.out.split())


def test_name_unknown(control: Control) -> None:
    with serve() as routers:
        routers[0].host = "no-such-router.invalid"
        says_no(control.module(routers[0], "chain"), routers[0], "UNREACHABLE!", "is unknown", "Check ansible_host")


def test_router_off(control: Control) -> None:
    """A full backlog drops what asks to connect, as a router that is off does."""
    with serve() as routers, socket.socket() as off:
        off.bind(("127.0.0.1", 0))
        off.listen(0)
        kept = [socket.socket() for _number in range(4)]
        for one in kept:
            one.setblocking(False)
            one.connect_ex(off.getsockname())
        routers[0].port = off.getsockname()[1]
        run = control.module(routers[0], "chain", ansible_timeout=1)
        says_no(run, routers[0], "UNREACHABLE!", "no answer within 1 s", "Is the router on")
        for one in kept:
            one.close()


@pytest.mark.parametrize(
    ("faults", "state", "words"),
    [
        ({"silent_at": "connect"}, "UNREACHABLE!", ["said nothing for 3 s"]),
        ({"silent_at": "login"}, "UNREACHABLE!", ["said nothing more after the password was sent, for 3 s"]),
        ({"greeting": "busy"}, "FAILED!", ["another administrator is logged in", '"System administrator is connecting from']),
        ({"greeting": "lockout"}, "FAILED!", ["is locked", '"Maximum number of incorrect account entries exceeded."']),
        ({"greeting": "lockout_seconds"}, "FAILED!", ["is locked", "after trying 3 times"]),
        ({"greeting": "captcha"}, "FAILED!", ["captcha", '"Please input the verification code:"']),
        ({"greeting": "wan_disabled"}, "FAILED!", ['"Telnet is Disabled in WAN Side"', "Allow telnet"]),
        ({"greeting": "close"}, "UNREACHABLE!", ["closed the connection during the log-in"]),
        ({"prompt": "SUPER(conf)# ", "banner": "SuperRouter 9000"}, "FAILED!", ['"SUPER(conf)#"', "docs/profiles.md"]),
        ({"prompt": "ready:"}, "FAILED!", ['"ready:"', "docs/profiles.md"]),
        ({"no_iptables": True}, "FAILED!", ["no command `iptables`", "unrecognized command"]),
        ({"no_arp": True}, "FAILED!", ["nobody is on the network", "leaving out who is on ppp0, the way to the Internet", "traffic_hosts"]),
        ({"no_default_route": True}, "FAILED!", ["no default route", "`route show`", "traffic_wan_interfaces"]),
        ({"garbage_line": "@@@ what is this", "on_command": "arp"}, "FAILED!", ["line ", "@@@ what is this", "arp_table"]),
        ({"garbage_line": "@@@ what is this", "on_command": "lanhosts"}, "FAILED!", ["line ", "@@@ what is this", "lanhosts"]),
        ({"garbage_line": "@@@ what is this", "on_command": "iptables -nvxL"}, "FAILED!", ["@@@ what is this", "iptables"]),
        ({"truncate_output": True, "on_command": "arp"}, "FAILED!", ["closed the connection in the middle of `arp show`"]),
        ({"silent_at": "output", "on_command": "arp"}, "FAILED!", ["did not finish `arp show` within 3 s"]),
        ({"lock_seconds": 300.0}, "FAILED!", ["lock", "Run it again"]),
        ({"cut_at_command": 9}, "FAILED!", ["Run it again"]),
    ],
)
def test_faults(control: Control, faults: dict[str, Any], state: str, words: list[str]) -> None:
    with serve(RouterSpec(password=SECRET)) as routers:
        routers[0].set_faults(**faults)
        run = control.module(routers[0], "chain", ansible_timeout=3, ansible_command_timeout=3)
        says_no(run, routers[0], state, *words)
        routers[0].clear_faults()
        assert control.module(routers[0], "chain").result()["chain"]["problems"] == [], "the next run converges"


def test_wrong_password(control: Control) -> None:
    with serve(RouterSpec(password=SECRET)) as routers:
        router = routers[0]
        run = control.module(router, "chain", "-vvvvv", "-e", f"ansible_password=wr0ng-{SECRET}")
        says_no(run, router, "UNREACHABLE!", '"Login incorrect. Try again."', "once only", "ansible_password")
        assert router.wrong_tries == 1


def test_no_password_in_any_output(control: Control) -> None:
    with serve(RouterSpec(password=SECRET)) as routers:
        run = control.module(routers[0], "chain", "-vvvvv", "--diff")
        assert run.status == 0
        assert SECRET not in run.out


def test_another_session_is_open(control: Control) -> None:
    with serve(RouterSpec(max_sessions=1)) as routers:
        with socket.create_connection((routers[0].host, routers[0].port)) as held:
            held.recv(1000)
            says_no(control.module(routers[0], "chain"), routers[0], "FAILED!", "another administrator")
        time.sleep(0.2)
        for _number in range(2):
            assert control.module(routers[0], "lan_hosts_info").status == 0, "the session is given back each time"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chain": "FORWARD"}, "traffic_chain: 'FORWARD' is a name of iptables' own"),
        ({"chain": "a;reboot"}, "traffic_chain: 'a;reboot' cannot name a chain"),
        ({"hosts": ["192.168.1.2", "$(reboot)"]}, "traffic_hosts: '$(reboot)' is not an address. List the addresses of devices, IPv4 or"),
        ({"hosts": ["192.168.1.0/24"]}, "traffic_hosts: '192.168.1.0/24' is not an address."),
        ({"hosts": ["fe80::1"]}, "traffic_hosts: 'fe80::1' is not the address of a host."),
        ({"wan_interfaces": ["ppp0; reboot"]}, "traffic_wan_interfaces: 'ppp0; reboot' cannot name an interface"),
    ],
)
def test_refused_before_the_login(control: Control, arguments: dict[str, Any], message: str) -> None:
    with serve() as routers:
        says_no(control.module(routers[0], "chain", **arguments), routers[0], "FAILED!", message)
        assert routers[0].sessions == []


@pytest.mark.parametrize("state", ["present", "empty", "absent"])
def test_a_chain_of_somebody_else_is_left_alone(control: Control, state: str) -> None:
    setup = ("-N TRAFFIC", "-A TRAFFIC -p tcp --dport 25 -j DROP", "-A FORWARD -j TRAFFIC")
    with serve(RouterSpec(setup=setup)) as routers:
        before = routers[0].foreign_firewall(chain="", counters=True)
        result = control.module(routers[0], "chain", state=state).result()
        assert result["_state"] == "FAILED!"
        assert "traffic_chain" in result["msg"]
        assert routers[0].foreign_firewall(chain="", counters=True) == before


def test_a_profile_with_a_mistake(control: Control) -> None:
    (control.folder / "mine.yml").write_text("name: mine\nrecognise: []\n", encoding="utf-8")
    with serve() as routers:
        run = control.module(routers[0], "lan_hosts_info", traffic_profile=f"{control.folder}/mine.yml")
        says_no(run, routers[0], "FAILED!", "mine.yml: description: this key is missing")


def test_hostile_names_are_text(control: Control) -> None:
    names = {kind: name for kind, name in HOSTILE_NAMES.items() if kind != "prompt_on_a_line"}
    with serve(RouterSpec(hosts=hostile_hosts(names))) as routers:
        run = control.module(routers[0], "lan_hosts_info")
        found = {host["ip"]: host["name"] for host in run.result()["hosts"]}
        expected = {
            "empty": None,
            "blank": None,
            "not_utf8": "caf\ufffd-\ufffd\ufffd",
            "ansi": "\\x1b[2J\\x1b[31mred",
            "vertical_tab": "one\\x0btwo",
            "line_separator": "one\\u2028two",
            "prompt": ">",
        }
        for number, (kind, name) in enumerate(names.items(), 2):
            assert found[f"192.168.1.{number}"] == expected.get(kind, name.decode("utf-8", "replace")), kind
        assert not any("reboot" in line for line in routers[0].transcript)


def test_a_name_that_breaks_the_line_is_an_error_and_not_a_row(control: Control) -> None:
    names = {"forged": b"x\r\n > \r\n"}
    with serve(RouterSpec(hosts=hostile_hosts(names))) as routers:
        says_no(control.module(routers[0], "chain"), routers[0], "FAILED!", "`lanhosts show all`", "line ", "lanhosts.textfsm")


def test_two_set_ups_at_once(control: Control) -> None:
    import threading

    with serve(RouterSpec(max_sessions=5)) as routers:
        runs: list[Run] = []
        others = [Control(control.folder / str(number)) for number in range(3)]
        for other in others:
            other.folder.mkdir()
        threads = [threading.Thread(target=lambda one=one: runs.append(one.module(routers[0], "chain"))) for one in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(run.result()["changed"] for run in runs) == [False, False, True]
        assert routers[0].listing().count("192.168.1.2 ") == 2
        assert routers[0].listing("FORWARD").count("TRAFFIC") == 1
