# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules, each run by the real ansible against an emulated router."""

from __future__ import annotations

from typing import Any

import pytest
from control import Control

from router.serving import serve
from router.spec import RouterSpec

BY_HAND = (
    "-N TRAFFIC",
    "-I FORWARD -j TRAFFIC",
    "-A TRAFFIC -i ppp0 -d 192.168.1.2",
    "-A TRAFFIC -s 192.168.1.2 -o ppp0",
)


def sessions_ended_well(router: Any) -> bool:
    return bool(router.sessions) and all(session.ended == "exit" for session in router.sessions)


def test_lan_hosts(control: Control) -> None:
    with serve() as routers:
        run = control.module(routers[0], "lan_hosts_info")
        result = run.result()
        assert (run.status, result["_state"], result["changed"]) == (0, "SUCCESS", False)
        expected = [host for host in routers[0].hosts.values() if host.complete]
        assert [(host["ip"], host["mac"], host["interface"]) for host in result["hosts"]] == [
            (host.ip, host.mac, "br0") for host in expected
        ]
        assert [host["name"] for host in result["hosts"]] == [
            host.name.decode() if host.name else None for host in expected
        ]
        assert len(result["hosts"]) == 15
        assert sessions_ended_well(routers[0])


def test_counting_from_nothing_to_nothing(control: Control) -> None:
    with serve() as routers:
        router = routers[0]
        untouched = router.foreign_firewall()
        before = control.module(router, "counters_info").result()
        assert before["chain"]["installed"] is False
        assert before["counters"] == []
        assert before["unattributed"] is None
        assert [one["code"] for one in before["chain"]["problems"]] == ["chain_missing"]

        preview = control.module(router, "chain", "--check", "--diff")
        assert preview.result()["changed"] is True
        assert "+iptables -I FORWARD 1 -j TRAFFIC" in preview.out
        assert control.module(router, "counters_info").result()["chain"]["installed"] is False

        done = control.module(router, "chain").result()
        assert (done["_state"], done["changed"], len(done["commands"])) == ("CHANGED", True, 35)
        assert done["commands"][0] == "iptables -N TRAFFIC"
        assert done["commands"][-1] == "iptables -j TRAFFIC -I FORWARD 1"
        assert done["commands"] != preview.result()["commands"], "the marker is random"
        assert done["before"] == {"counters": [], "unattributed": None}

        again = control.module(router, "chain").result()
        assert (again["_state"], again["changed"], again["commands"]) == ("SUCCESS", False, [])
        assert (again["marker"], again["chain"]) == (done["marker"], done["chain"])

        router.use_link("192.168.1.2", 123_456_789_012, 4_567_890)
        router.use_link("192.168.1.99", 1000, 2000, known_only=False)
        router.own_traffic(500, 600)
        read = control.module(router, "counters_info").result()
        ours = next(one for one in read["counters"] if one["ip"] == "192.168.1.2")
        assert (ours["download_bytes"], ours["upload_bytes"]) == (123_456_789_012, 4_567_890)
        assert (read["unattributed"]["download_bytes"], read["unattributed"]["upload_bytes"]) == (1000, 2000)
        received, sent = 123_456_789_012 + 1000 + 500, 4_567_890 + 2000 + 600
        assert read["wan"] == [{"interface": "ppp0", "received_bytes": received, "sent_bytes": sent}]
        assert read["chain"] == {
            "installed": True,
            "jump_position": 1,
            "references": 1,
            "hosts": 15,
            "problems": [],
        }
        assert (read["marker"], read["table"], read["profile"]) == (done["marker"], "filter", "broadcom")
        assert read["uptime_seconds"] >= 3120

        flushed = control.module(router, "chain", state="empty").result()
        assert flushed["changed"] is True
        assert next(one for one in flushed["before"]["counters"] if one["ip"] == "192.168.1.2") == ours
        assert flushed["counters"] == []
        assert flushed["chain"]["installed"] is True
        assert control.module(router, "chain", state="empty").result()["changed"] is False

        removed = control.module(router, "chain", state="absent").result()
        assert removed["changed"] is True
        assert removed["chain"]["installed"] is False
        assert control.module(router, "chain", state="absent").result()["changed"] is False
        assert "TRAFFIC" not in router.foreign_firewall(chain="")
        assert router.foreign_firewall() == untouched
        assert sessions_ended_well(router)


def test_a_chain_made_by_hand_is_completed_without_losing_a_byte(control: Control) -> None:
    with serve(RouterSpec(setup=BY_HAND)) as routers:
        router = routers[0]
        router.use_link("192.168.1.2", 1_000_000, 2_000_000)
        before = control.module(router, "counters_info").result()
        assert before["counters"][0]["download_bytes"] == 1_000_000
        assert [one["code"] for one in before["chain"]["problems"]] == ["no_catch_all"]
        assert control.module(router, "chain").result()["changed"] is True
        router.use_link("192.168.1.2", 5, 7)
        router.use_link("192.168.1.3", 11, 13)
        after = control.module(router, "counters_info").result()
        assert [(one["download_bytes"], one["upload_bytes"]) for one in after["counters"][:2]] == [
            (1_000_005, 2_000_007),
            (11, 13),
        ]
        assert after["unattributed"] == dict.fromkeys(after["unattributed"], 0)
        assert after["chain"]["problems"] == []


def test_the_firmware_puts_its_rules_in_front_and_the_interface_changes(control: Control) -> None:
    with serve() as routers:
        router = routers[0]
        control.module(router, "chain")
        router.use_link("192.168.1.2", 100, 200)
        router.reconnect("ppp1")
        read = control.module(router, "counters_info").result()
        assert [one["code"] for one in read["chain"]["problems"]] == ["jump_not_first", "wan_changed"]
        done = control.module(router, "chain").result()
        assert done["commands"][-2:] == ["iptables -j TRAFFIC -D FORWARD", "iptables -j TRAFFIC -I FORWARD 1"]
        router.use_link("192.168.1.2", 10, 20)
        after = control.module(router, "counters_info").result()
        assert (after["counters"][0]["download_bytes"], after["counters"][0]["upload_bytes"]) == (110, 220)
        assert after["chain"]["problems"] == []


def test_the_router_itself_is_no_host(control: Control) -> None:
    with serve() as routers:
        found = control.module(routers[0], "chain", hosts=["192.168.1.2", "192.168.1.1"]).result()
        assert found["_state"] == "CHANGED"
        assert [one["ip"] for one in found["counters"]] == ["192.168.1.2"]
        assert "names 192.168.1.1, which is the router itself" in found["notes"][0]
        alone = control.module(routers[0], "chain", hosts=["192.168.1.1"]).result()
        assert alone["_state"] == "FAILED!"
        assert "List the addresses of devices" in alone["msg"]


def test_router_info(control: Control) -> None:
    zero, rest = "0" * 32, "00000400 00000001 00000000 00000001"
    routes = f"{zero} 00 {zero} 00 {zero} {rest}     ppp0\n20010db8{zero[8:]} 40 {zero} 00 {zero} {rest}      br0\n"
    six = {"/proc/sys/net/ipv6/conf/all/forwarding": "1\n", "/proc/net/ipv6_route": routes}
    with serve(RouterSpec(files={"/proc/version": "Linux version 2.6.30 (a@b) (gcc) #3\n", **six})) as routers:
        router = routers[0]
        untouched = router.foreign_firewall(chain="")
        found = control.module(router, "router_info").result()
        assert (found["_state"], found["changed"], found["fit"]) == ("SUCCESS", False, True)
        assert found["system"] == {"name": None, "version": "3.12L.04.A2pB023k.d20k_rc2", "model": None, "kernel": "2.6.30"}
        assert found["iptables"] == {"program": "iptables", "version": "1.4.21", "backend": None}
        assert (found["nftables"], found["ipset"]) == (None, None)
        assert found["wan"] == [{"interface": "ppp0", "addresses": ["100.64.7.20/32"], "received_bytes": 0, "sent_bytes": 0}]
        assert found["lan"] == [{"interface": "br0", "addresses": ["192.168.1.1/24"]}]
        assert (found["hosts"], found["profile"], found["name"], found["table"]) == (15, "broadcom", "TRAFFIC", "filter")
        assert found["sources"]["names"] == ["lanhosts show all"]
        assert found["chain"] == control.module(router, "counters_info").result()["chain"]
        assert [one["code"] for one in found["findings"]] == ["ipv6_uncounted"]
        assert router.foreign_firewall(chain="") == untouched
        assert sessions_ended_well(router)


def test_router_info_of_a_router_that_lacks_things(control: Control) -> None:
    with serve() as routers:
        routers[0].set_faults(no_default_route=True, no_iptables=True)
        found = control.module(routers[0], "router_info").result()
        assert (found["_state"], found["fit"]) == ("SUCCESS", False)
        assert [one["code"] for one in found["findings"]] == ["no_iptables", "no_wan"]
        required = control.module(routers[0], "router_info", require_fit=True).result()
        assert (required["_state"], [one["code"] for one in required["findings"]]) == ("FAILED!", ["no_iptables", "no_wan"])
        assert "nothing can be counted. " in required["msg"]
        assert (found["iptables"], found["wan"], found["hosts"], found["chain"]) == (None, [], None, None)
        assert found["lan"]


@pytest.mark.parametrize(
    ("no_command", "files", "told"),
    [
        ("cat", {}, ["ipv6_unseen"]),
        ("", {}, []),  # no such files: a kernel without IPv6
        ("", {"/proc/sys/net/ipv6/conf/all/forwarding": "0\n", "/proc/net/ipv6_route": "\n"}, []),
    ],
)
def test_whether_ipv6_is_forwarded_cannot_always_be_seen(
    control: Control, no_command: str, files: dict[str, str], told: list[str]
) -> None:
    with serve(RouterSpec(files=files)) as routers:
        routers[0].set_faults(no_command=no_command)
        found = control.module(routers[0], "router_info").result()
    assert [one["code"] for one in found["findings"]] == told
    assert found["fit"]


def test_a_survey_ends_with_its_connection(control: Control) -> None:
    """A router that is gone must not look like one that lacks everything."""
    with serve() as routers:
        for command in (3, 7):
            routers[0].set_faults(cut_at_command=command)
            found = control.module(routers[0], "router_info").result()
            assert (found["_state"], "findings" in found) == ("FAILED!", False)
            assert "closed the connection in the middle of `" in found["msg"]


def test_findings_cost_a_command_line_nothing(control: Control) -> None:
    """Those of the profile each cost an exchange: router_info asks them, a reading only tells what it has read anyway."""
    spec = RouterSpec(wan_ip="10.0.0.2", files={"/proc/modules": "pktflow 85344 2 - Live 0xc0ca2000 (P)\n"})
    with serve(spec) as routers:
        router = routers[0]
        for name in ("counters_info", "chain"):
            assert [one["code"] for one in control.module(router, name).result()["findings"]] == ["behind_nat"]
        assert not any("/proc/modules" in line for session in router.sessions for line in session.lines)
        thorough = control.module(router, "router_info").result()
        assert [one["code"] for one in thorough["findings"]] == ["broadcom_flow_cache", "behind_nat"]


def test_an_interface_that_the_router_does_not_have(control: Control) -> None:
    with serve() as routers:
        failed = control.module(routers[0], "chain", wan_interfaces="pp0").result()
        assert failed["_state"] == "FAILED!"
        assert "the router shows no interface pp0 now" in failed["msg"]
        assert "TRAFFIC" not in routers[0].foreign_firewall(chain="")
        read = control.module(routers[0], "counters_info", traffic_wan_interfaces=["pp0"]).result()
        assert read["wan"] == [{"interface": "pp0", "received_bytes": None, "sent_bytes": None}]
        assert "the router shows no interface pp0 now" in read["notes"][0]


def test_hosts_that_are_given(control: Control) -> None:
    with serve() as routers:
        given = control.module(routers[0], "chain", hosts=["192.168.1.200", "192.168.1.3"], wan_interfaces=["ppp0"])
        assert [one["ip"] for one in given.result()["counters"]] == ["192.168.1.3", "192.168.1.200"]
        pruned = control.module(routers[0], "chain", hosts=["192.168.1.3"], prune=True).result()
        assert [one["ip"] for one in pruned["counters"]] == ["192.168.1.3"]


def test_the_other_table_and_another_name(control: Control) -> None:
    with serve() as routers:
        done = control.module(routers[0], "chain", table="mangle", chain="Who-2").result()
        assert done["commands"][0] == "iptables -t mangle -N Who-2"
        assert done["table"] == "mangle"
        routers[0].use_link("192.168.1.4", 1, 2)
        read = control.module(routers[0], "counters_info", table="mangle", chain="Who-2").result()
        assert [one["ip"] for one in read["counters"] if one["download_bytes"]] == ["192.168.1.4"]
        assert control.module(routers[0], "chain", table="mangle", chain="Who-2", state="absent").result()["changed"]
        assert "Who-2" not in routers[0].foreign_firewall(chain="")


@pytest.mark.parametrize("login", ["user", "password", "none"])
def test_routers_that_ask_for_less(control: Control, login: str) -> None:
    with serve(RouterSpec(login=login)) as routers:  # type: ignore[arg-type]
        assert len(control.module(routers[0], "lan_hosts_info").result()["hosts"]) == 15


@pytest.mark.parametrize(
    "faults",
    [
        {"one_byte": True},
        {"no_echo": True},
        {"nagle": True},
        {"noise": "000000812 [Info..] [WST ] (ws_scan_busy        :2177) Checking for busy channels (3 remaining attempts)"},
        {"lock_commands": 3},
    ],
)
def test_what_is_odd_but_not_wrong(control: Control, faults: dict[str, Any]) -> None:
    with serve(RouterSpec(hosts=3)) as routers:
        routers[0].set_faults(**faults)
        done = control.module(routers[0], "chain").result()
        assert (done["_state"], done["chain"]["hosts"], done["chain"]["problems"]) == ("CHANGED", 3, [])
