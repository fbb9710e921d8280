# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps traffic from being counted: recognised where it is there, and no alarm where it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from readings import HOSTILE_NAMES

from ansible_collections.homenet.traffic.plugins.plugin_utils import _findings, _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import NOTHING_LOST, UNFIT, findings, is_carriers
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Address, Chain, Host, Rule
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import Router
from ansible_collections.homenet.traffic.tests.unit.plugin_utils import reading
from ansible_collections.homenet.traffic.tests.unit.plugin_utils.reading import Pair

PAIRS = list(reading.pairs(reading.FIXTURES / "findings"))
PROFILES = {profile.name: profile for profile in _profile.builtin()}


def profile_of(pair: Pair) -> Profile:
    return PROFILES[str(pair.expected[0]["profile"])]


# What the profiles want asked


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.path.stem)
def test_an_answer_gives_its_findings_and_no_other(pair: Pair) -> None:
    """All other commands are not to be had."""
    expected = pair.expected[0]
    answers = {expected["command"]: pair.text}
    questions = Questions(lambda line: answers.get(line, "sh: nothing: not found\n"), profile_of(pair), "home")
    assert [sign.code for sign in questions.signs()] == expected["codes"]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.path.stem)
def test_each_text_says_where_it_comes_from(pair: Pair) -> None:
    assert pair.expected[0]["command"] in {sign.command for sign in profile_of(pair).findings}
    assert len(pair.expected[0]["origin"]) > 5


@pytest.mark.parametrize("name", PROFILES)
def test_each_sign_has_a_text_with_it_and_one_without(name: str) -> None:
    own = [pair.expected[0] for pair in PAIRS]
    for sign in PROFILES[name].findings:
        texts = [one["codes"] for one in own if one["command"] == sign.command]
        assert any(sign.code in codes for codes in texts), sign
        assert any(sign.code not in codes for codes in texts), sign


def test_of_each_code_the_first_is_told() -> None:
    flowtable = "\tflowtable f {\n\t\tdevices = { wan }\n"
    (sign,) = Questions(lambda line: "1\n" if "uci" in line else flowtable, PROFILES["linux"], "home").signs()
    assert "LuCI" in sign.message


def test_a_command_of_several_signs_is_asked_once() -> None:
    asked: list[str] = []

    def run(line: str) -> str:
        asked.append(line)
        return ""

    Questions(run, PROFILES["linux"], "home").signs()
    assert len(asked) == len(set(asked)) == len({sign.command for sign in PROFILES["linux"].findings})


def test_what_a_setting_tells_is_not_told_again_by_what_it_does() -> None:
    router = Router(lambda line: "1\n" if "uci" in line else "sh: nothing: not found\n", PROFILES["linux"], "home")
    router.chains.forward = chain("FLOWOFFLOAD")
    assert [one.code for one in router.findings((), ("ppp0",), thorough=True)] == ["flow_offloading"]
    assert [one.code for one in router.findings((), ("ppp0",))] == ["flow_offloading"], "on a command line, only what was read anyway"


def test_a_vpn_that_takes_all_is_told_where_nothing_is_counted_on_it() -> None:
    routes = (reading.FIXTURES / "findings/vpn_routes__openvpn.txt").read_text()
    router = Router(lambda line: routes if line == "cat /proc/net/route" else "sh: nothing: not found\n", PROFILES["linux"], "home")
    (told,) = router.findings((), ("ppp0",), thorough=True)
    assert told.code == "vpn_routes"
    assert "Set traffic_wan_interfaces to [tun0], then" in told.message
    assert router.findings((), ("ppp0", "tun0"), thorough=True) == []


# What shows in what was read anyway


def chain(*targets: str) -> Chain:
    return Chain("FORWARD", None, "DROP", tuple(Rule(0, 0, target, None, None, None, None, None) for target in targets))


def codes(
    *hosts: Host, own: tuple[Address, ...] = (), wan: tuple[str, ...] = ("ppp0",), forward: Chain | None = None
) -> list[str]:
    return [one.code for one in findings(hosts, own, wan, forward)]


def test_an_ordinary_home_has_no_findings() -> None:
    hosts = (Host("192.168.1.2", "02:00:00:00:00:02", "ali-laptop", "br0"), Host("192.168.1.3", None, None, None))
    own = (Address("br0", "192.168.1.1", 24), Address("ppp0", "203.0.113.7", 32), Address("ppp0", "fe80::1", 64))
    assert codes(*hosts, own=own, forward=chain("TRAFFIC", "ACCEPT", "DROP")) == []
    assert codes() == []


def test_flow_offloading_in_forward() -> None:
    assert codes(forward=chain("TRAFFIC", "FLOWOFFLOAD", "ACCEPT")) == ["flow_offloading"]


@pytest.mark.parametrize(
    ("addresses", "behind"),
    [
        (["192.168.0.2"], True),
        (["10.1.2.3"], True),
        (["172.31.255.254"], True),
        (["172.32.0.1"], False),
        (["100.64.7.20"], False),
        (["203.0.113.7"], False),
        (["192.168.100.2", "203.0.113.7"], False),
        (["fd00::2", "192.168.0.2"], True),
        (["fd00::2"], False),
        ([], False),
    ],
)
def test_a_router_behind_another(addresses: list[str], behind: bool) -> None:
    own = (Address("br0", "192.168.1.1", 24), *(Address("wan", address, 24) for address in addresses))
    assert codes(own=own, wan=("wan",)) == (["behind_nat"] if behind else [])


def test_each_interface_behind_another_router_is_told() -> None:
    own = (Address("br0", "192.168.1.1", 24), Address("wan", "192.168.0.2", 24), Address("wwan0", "10.0.0.2", 30))
    told = findings((), own, ("wan", "wwan0"), None)
    assert [one.message.split()[0] for one in told] == ["wan", "wwan0"]


@pytest.mark.parametrize(
    ("wan", "more", "told"),
    [
        (("eth0",), (), True),
        (("eth0", "eth1"), (Address("eth1", "203.0.113.8", 24),), True),
        (("eth0",), (Address("eth1", "192.168.1.1", 24),), False),
    ],
)
def test_a_router_with_one_arm(wan: tuple[str, ...], more: tuple[Address, ...], told: bool) -> None:
    own = (Address("lo", "127.0.0.1", 8), Address("eth0", "203.0.113.7", 24), Address("eth1", "fe80::1", 64), *more)
    assert codes(own=own, wan=wan) == (["one_armed"] if told else [])


@pytest.mark.parametrize(
    ("address", "carriers"),
    [("100.64.0.0/10", True), ("100.127.255.255", True), ("100.128.0.1/32", False), ("2001:db8::1/64", False), ("192.168.0.2/24", False)],
)
def test_addresses_that_a_provider_shares_out(address: str, carriers: bool) -> None:
    assert is_carriers(address) is carriers


def test_several_addresses_of_one_mac() -> None:
    def sharing(count: int) -> list[Host]:
        return [Host(f"192.168.1.{number}", "02:00:00:00:00:aa", None, "br0") for number in range(2, 2 + count)]

    assert codes(*sharing(2)) == [], "one of them may have been left by a device that has got another"
    assert codes(*sharing(3)) == ["shared_mac"]
    assert codes(*(Host(f"192.168.1.{number}", None, None, None) for number in range(2, 9))) == []
    (one,) = findings(sharing(9), (), (), None)
    assert "192.168.1.4 and 6 more" in one.message


@pytest.mark.parametrize(
    "name",
    [
        "router", "OpenWrt", "attic-router", "living_room_AP", "ap2", "Archer_C7", "TL-WR841N", "fritz.box", "FRITZ-Repeater", "deco-x20",
        "RT-AX88U", "wifi-extender", "RE450", "DD-WRT", "upstairs-access-point", "orbi", "WNDR3700", "wrt54gl",
    ],
)  # fmt: skip
def test_a_name_of_a_router(name: str) -> None:
    assert codes(Host("192.168.1.7", None, name, None)) == ["second_router"]


@pytest.mark.parametrize(
    "name",
    [
        "ali-laptop", "tplink-plug", "TP-LINK_Smart_Plug_1A2B", "hue-bridge", "zigbee-gateway", "asus-laptop", "netgear-nas", "apple-tv",
        "APad", "map", "laptop", "decorator", "remote", "re-pc", "printer", "linksys-camera", "DIRECT-7F-HP", "wrt", "archery", "capture",
        "iPhone", "ESP_4F0C2D", "android-ap123456",
    ],
)  # fmt: skip
def test_a_name_of_something_else(name: str) -> None:
    assert codes(Host("192.168.1.7", None, name, None)) == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_does_what_a_name_can(name: str) -> None:
    told = findings([Host("192.168.1.7", None, f"{name} router", None)] * 9, (), (), None)
    assert all(len(one.message) < 800 for one in told)


# The codes


def test_every_code_is_documented_and_weighed() -> None:
    page = (Path(__file__).parents[3] / "plugins/modules/router_info.py").read_text(encoding="utf-8")
    documented = re.findall(r"V\((\w+)\)", page.split("\nfindings:")[1].split("\nsystem:")[0])
    computed = set(re.findall(r'Finding\(\s*"(\w+)"', Path(_findings.__file__).read_text(encoding="utf-8")))
    signs = {sign.code for profile in PROFILES.values() for sign in profile.findings}
    assert sorted(documented) == sorted(computed | signs | UNFIT)
    assert computed > NOTHING_LOST
