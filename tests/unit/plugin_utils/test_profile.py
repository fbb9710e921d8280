# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of the collection, and what is said of mistakes in a user's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import ProfileError, load, recognize

VALID = """
name: mine
description: a router
recognize: ['^Wondertel']
iptables: /sbin/iptables
read:
  neighbors:
    - {command: arp -a, template: arp_table}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_profiles_of_the_collection_are_valid() -> None:
    assert [profile.name for profile in _profile.builtin()] == list(_profile.builtin_names())
    assert "broadcom" in _profile.builtin_names()


def test_the_patterns_of_the_collection_compile() -> None:
    for profile in (_profile.common(), *_profile.builtin()):
        groups = [profile.recognize, profile.prompt, profile.noise, *profile.login.values(), *profile.errors.values()]
        assert all(pattern.compiled for group in groups for pattern in group)
        assert all(sign.pattern.compiled for sign in profile.findings)
        assert profile.lan_interfaces is None or profile.lan_interfaces.compiled


def test_a_profile_of_the_users_own(tmp_path: Path) -> None:
    profile = load(written(tmp_path, VALID))
    assert (profile.name, profile.iptables, profile.sync, profile.logout) == ("mine", ("/sbin/iptables",), None, "exit")
    assert profile.read["neighbors"][0].template.name == "arp_table.textfsm"
    assert len(profile.login["failed"]) == len(_profile.common().login["failed"])


def test_a_template_beside_the_profile_comes_first(tmp_path: Path) -> None:
    (tmp_path / "arp_table.textfsm").write_text("Value IP (.*)\n\nStart\n  ^. -> Error\n", encoding="utf-8")
    assert load(written(tmp_path, VALID)).read["neighbors"][0].template == tmp_path / "arp_table.textfsm"


def test_own_wordings_are_added_to_the_common_ones(tmp_path: Path) -> None:
    more = "login: {failed: ['nope']}\nerrors: {not_found: ['what\\?']}\nnoise: ['beep']\n"
    more += "findings:\n  - {code: turbo, command: turbo -s, pattern: '^on$', message: 'Turbo is on.\\n  Turn it off.'}\n"
    profile, common = load(written(tmp_path, VALID + more)), _profile.common()
    assert profile.login["failed"][0].pattern == "nope"
    assert [one.pattern for one in profile.login["failed"][1:]] == [one.pattern for one in common.login["failed"]]
    assert len(profile.errors["not_found"]) == len(common.errors["not_found"]) + 1
    assert [one.pattern for one in profile.noise] == ["beep", *(one.pattern for one in common.noise)]
    assert [sign.code for sign in profile.findings] == ["turbo", *(sign.code for sign in common.findings)]
    assert (profile.findings[0].command, profile.findings[0].pattern.pattern) == ("turbo -s", "^on$")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: mine", "nam: mine"), "name: this key is missing"),
        (("recognize:", "recognise:"), "recognize: this key is missing"),
        (("iptables:", "iptable:"), "iptables: this key is missing"),
        (("name: mine", "name: mine\nlogot: exit"), "logot: there is no such key. Did you mean logout?"),
        (("name: mine", "name: mine\nzzz: 1"), "zzz: there is no such key. Known are name, description"),
        (("name: mine", "name: ''"), "name: it must be a text."),
        (("'^Wondertel'", "'('"), "recognize[0]: it is not a regular expression: missing )"),
        (("neighbors:", "neighbours:"), "read.neighbours: there is no such key. Did you mean neighbors?"),
        (("arp -a,", '"arp\\nreboot",'), "read.neighbors[0].command: a command is one line of at most 400 printable ASCII"),
        (("template: arp_table", "template: nope"), "read.neighbors[0].template: there is no template 'nope'"),
        (("{command: arp -a, template: arp_table}", "arp -a"), "read.neighbors[0]: it must have the keys command and template."),
        (("template: arp_table", "tempate: arp_table"), "read.neighbors[0].tempate: there is no such key. Did you mean template?"),
        (("name: mine", "name: mine\nsync: echo"), "sync: it must contain {token} once"),
        (("name: mine", "name: mine\nlogin: [x]"), "login: it must be a mapping of names to lists of patterns."),
        (("name: mine", "name: mine\nlogin: {faild: x}"), "login.faild: there is no such key. Did you mean failed?"),
        (("name: mine", "name: mine\nfindings: [x]"), "findings[0]: it must have the keys code, command, pattern and message."),
        (("name: mine", "name: mine\nfindings: [{code: Turbo}]"), "findings[0].code: it must be a word of small letters"),
        (("name: mine", "name: mine\nfindings: [{code: a, comand: b}]"), "findings[0].comand: there is no such key. Did you mean command?"),
        (("name: mine", "name: mine\nfindings: [{code: a, command: b}]"), "findings[0].pattern: it must be a text."),
        (("name: mine", "name: mine\nfindings: [{code: a, command: b, pattern: '('}]"), "findings[0].pattern: it is not a regular"),
        (("name: mine", "name: mine\nfindings: [{code: a, command: b, pattern: c}]"), "findings[0].message: it must be a text."),
        (("name: mine", "name: [mine"), "line 3: it is not YAML: "),
        ((VALID, "- a\n- list\n"), "it is not a mapping of keys to values"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = written(tmp_path, VALID.replace(*change))
    with pytest.raises(ProfileError, match=re.escape(message)) as caught:
        load(path)
    assert str(caught.value).startswith(f"Profile {path}")


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="it cannot be read: No such file or directory."):
        load(str(tmp_path / "none.yml"))
    with pytest.raises(ProfileError, match="there is no router profile 'brodcom'. Known are auto, broadcom"):
        load("brodcom")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("BCM96338 ADSL Router\nLogin: admin\nPassword: \n > ", "broadcom"),
        ("LANCOURT VDSL Router\nLogin: operator\nPassword:\n > ", "broadcom"),
        ("Login: admin\nPassword: \n> ", "broadcom"),
        ("password: \nWelcome To Use TP-Link COMMAND-LINE Interface Model.\nTP-Link(conf)#", None),
        ("Welcome Visiting Huawei Home Gateway\nLogin:admin\nPassword:\nWAP>", None),
    ],
)
def test_recognize(said: str, name: str | None) -> None:
    found = recognize(said, _profile.builtin())
    assert (found.name if found else None) == name
