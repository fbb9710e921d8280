# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations with a scripted router, whole, in pieces of any size, and cut at any byte."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._complaints import DialogueError
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Limits, Session
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Pattern

BROADCOM = _profile.load("broadcom")
ARP = (
    "\nIP address       HW type     Flags       HW address            Mask     Device\n"
    "192.168.1.2      0x1         0x2         00:11:22:33:44:55     *        br0\n"
)


class Clock:
    """Time that passes only while nothing arrives."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Device:
    """A router's command line, as bytes: what it sends for what it got. ``answers`` are its commands."""

    banner = "BCM96338 ADSL Router\n"
    prompt = " > "
    echo = True
    silent_after = ""
    prefix = ""

    def __init__(self, answers: dict[str, str] | None = None, **changes: Any) -> None:
        self.answers = answers or {}
        self.password = "secret"
        self.asks = ["Login: ", "Password: "]
        self.refusal = "Login incorrect. Try again.\n"
        self.wrong = 0
        self.lines: list[str] = []
        for name, value in changes.items():
            setattr(self, name, value)
        self.state = 0

    def greet(self) -> str:
        return self.banner + (self.asks[0] if self.asks else self.prompt)

    def take(self, line: str) -> str:
        self.lines.append(line)
        if self.state < len(self.asks):
            return self.log_in(line)
        shown = f"{line}\n" if self.echo else ""
        if self.silent_after in self.lines:
            return shown  # of a device that hangs nothing but the terminal's echo comes back
        if line == "exit":
            return shown + "Bye bye. Have a nice day!!!\n"
        found = re.fullmatch(r"echo (\w+)", line)
        out = f"{found.group(1)}\n" if found and "echo" not in self.answers else self.answers.get(line.split()[0], "?")
        if out == "?":
            out = f"telnetd:error:1408.225:processInput:388:unrecognized command {line}\n"
        return shown + out + self.prompt

    def log_in(self, line: str) -> str:
        shown = "\n" if self.asks[self.state].startswith("Pass") else f"{line}\n"
        self.state += 1
        if self.state < len(self.asks):
            return shown + self.asks[self.state]
        if self.asks and self.asks[-1].startswith("Pass") and line != self.password:
            self.state, self.wrong = 0, self.wrong + 1
            return shown + self.refusal + self.asks[0]
        return shown + self.prefix + self.prompt


class Wire:
    """A stream to a device. ``sizes`` are those of the pieces; ``cut`` ends it after that many bytes."""

    def __init__(self, device: Device, clock: Clock, sizes: Iterator[int], cut: int | None = None) -> None:
        self.device = device
        self.clock = clock
        self.sizes = sizes
        self.left = cut
        self.pending = b""
        self.closed = False
        self.put(device.greet())

    def put(self, text: str) -> None:
        self.pending += text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")

    def read(self, timeout: float) -> bytes | None:
        if self.left == 0:
            return b""
        if not self.pending:
            self.clock.now += timeout
            return None
        size = next(self.sizes) if self.left is None else min(next(self.sizes), self.left)
        data, self.pending = self.pending[:size], self.pending[size:]
        self.left = None if self.left is None else self.left - len(data)
        return data

    def write(self, data: bytes) -> None:
        if self.left == 0:
            raise BrokenPipeError("gone")
        for line in data.decode().splitlines():
            self.put(self.device.take(line))

    def close(self) -> None:
        self.closed = True


def talk(
    device: Device,
    sizes: Iterator[int] = repeat(4096),
    user: str | None = "admin",
    password: str | None = "secret",
    profile: _profile.Profile = BROADCOM,
    candidates: tuple[_profile.Profile, ...] = (),
    cut: int | None = None,
    commands: tuple[str, ...] = ("arp show",),
    accepted: bool = False,
) -> tuple[list[str], Wire, Session]:
    """Log in, run commands, log out. The log-out happens on every path."""
    clock = Clock()
    wire = Wire(device, clock, sizes, cut)
    session = Session(wire, "192.168.1.1 port 23", Credentials(user, password, accepted), profile, candidates, Limits(), clock)
    try:
        session.login()
        return [session.run(command).replace("\r\n", "\n") for command in commands], wire, session
    finally:
        session.logout()
        assert wire.closed


class Iterated:
    """The same sizes over and over, shown by hypothesis as what they are."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from self.sizes

    def __repr__(self) -> str:
        return repr(self.sizes)


pieces = st.lists(st.integers(1, 40), min_size=1, max_size=50).map(Iterated)

ODD = [
    pytest.param({}, id="usual"),
    pytest.param({"banner": ""}, id="no banner"),
    pytest.param({"banner": "\r> a line that begins like a prompt\n# and another\nLast login: today\n"}, id="banner like prompts"),
    pytest.param({"asks": ["password: "], "prompt": "> "}, id="password only"),
    pytest.param({"asks": [], "prompt": "> "}, id="nothing asked"),
    pytest.param({"echo": False}, id="no echo"),
    pytest.param({"prefix": " fail to read file"}, id="text before the first prompt"),
    pytest.param({"prompt": "\x1b[1m > \x1b[0m"}, id="coloured prompt"),
    pytest.param({"prompt": " > \x1b[6n"}, id="asks for the cursor position"),
    pytest.param({"prefix": "Welcome\nLast login: Mon Mar  4 from 192.168.1.2\n"}, id="last login"),
    pytest.param({"answers": {"arp": ARP, "echo": "?"}}, id="no echo command: the complaint tells"),
]


@pytest.mark.parametrize("changes", ODD)
def test_whole(changes: dict[str, Any]) -> None:
    device = Device({"arp": ARP} | changes.get("answers", {}), **{k: v for k, v in changes.items() if k != "answers"})
    assert talk(device)[0] == [ARP]
    assert device.lines[-1] == "exit"


@pytest.mark.parametrize("changes", ODD)
@given(sizes=pieces)
def test_in_pieces_of_any_size(changes: dict[str, Any], sizes: Iterated) -> None:
    device = Device({"arp": ARP} | changes.get("answers", {}), **{k: v for k, v in changes.items() if k != "answers"})
    assert talk(device, iter(sizes))[0] == [ARP]


@pytest.mark.parametrize("changes", ODD)
def test_a_byte_at_a_time(changes: dict[str, Any]) -> None:
    device = Device({"arp": ARP} | changes.get("answers", {}), **{k: v for k, v in changes.items() if k != "answers"})
    assert talk(device, repeat(1))[0] == [ARP]


hostile = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    [" > ", "\n > ", "x\n > \n > ", "\x1b[2J", "echo ", "Login: ", "Password: ", "> exit", "\n\n\n", "\r", "\x0b\x85\u2028"]
)


@given(name=hostile, sizes=pieces)
def test_a_host_name_cannot_end_an_answer(name: str, sizes: Iterated) -> None:
    out = f"02:00:00:00:00:01  192.168.1.2  100  {name}\nlast line\n"
    (found, after), _wire, _session = talk(
        Device({"lanhosts": out, "arp": ARP}), iter(sizes), commands=("lanhosts show all", "arp show")
    )
    assert found.replace("\r", "") == out.replace("\r", "")
    assert after == ARP


@given(cut=st.integers(0, 400), sizes=pieces)
def test_cut_anywhere_is_an_error_or_the_whole_answer(cut: int, sizes: Iterated) -> None:
    try:
        found = talk(Device({"arp": ARP}), iter(sizes), cut=cut)[0]
    except DialogueError as error:
        assert "192.168.1.1 port 23" in str(error)
        assert "secret" not in str(error)
    else:
        assert found == [ARP]


def failure(device: Device, **how: Any) -> DialogueError:
    with pytest.raises(DialogueError) as caught:
        talk(device, **how)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("sizes", [repeat(4096), repeat(1)])
def test_a_wrong_password_is_tried_once(sizes: Iterator[int]) -> None:
    device = Device(password="another")
    error = failure(device, sizes=sizes)
    assert str(error) == (
        '192.168.1.1 port 23 refused the user name or the password: "Login incorrect. Try again.". It was tried once only, so '
        "that nobody is locked out: check ansible_user and ansible_password."
    )
    assert error.unreachable
    assert device.wrong == 1
    assert device.lines == ["admin", "secret"]


def test_a_wrong_password_without_words() -> None:
    device = Device(password="another", refusal="")
    assert failure(device).unreachable
    assert device.wrong == 1


def test_the_password_is_not_quoted_when_the_router_repeats_it() -> None:
    error = failure(Device(password="another", refusal="Login incorrect for admin/secret\n"))
    assert '"Login incorrect for admin/***"' in str(error)


@pytest.mark.parametrize(
    ("banner", "cause"),
    [
        ("System administrator is connecting from 198.51.100.61\n\nReject the connection request !!!", "another administrator"),
        ("Authorization failed after trying 3 times!!!.\nPlease login after 287 seconds!", "is locked after too many wrong"),
        ("Maximum number of incorrect account entries exceeded.\n", "is locked after too many wrong"),
        ("Telnet is Disabled in WAN Side\n", "does not let a program log in"),
        ("Please input the verification code:", "does not let a program log in"),
    ],
)
@pytest.mark.parametrize("sizes", [repeat(4096), repeat(1)])
def test_refusals(banner: str, cause: str, sizes: Iterator[int]) -> None:
    device = Device(banner=banner, asks=[""])
    error = failure(device, sizes=sizes)
    assert cause in str(error)
    assert f'"{banner.splitlines()[0][:30]}' in str(error)
    assert not error.unreachable
    assert device.lines == []


@pytest.mark.parametrize("missing", ["user", "password"])
def test_credentials_that_are_asked_for_but_not_given(missing: str) -> None:
    error = failure(Device(), **{missing: None})
    assert str(error).endswith(f"set ansible_{missing} in the inventory.")
    assert error.unreachable


@pytest.mark.parametrize("sizes", [repeat(4096), repeat(1)])
@pytest.mark.parametrize(
    "banner",
    [
        "Unauthorized access is not allowed.\n",
        "After three tries your account will be locked. Abusive users are banned.\n",
        "Only one user can be logged in at a time.\n",
        "Default password: see the label\n",
        "Support user: dial 1234\n",
        "Sorry, Telnet is not encrypted.\n",
        "You need to wait for the lamp.\n",
        "This system is engaged in routing.\n",
        "Login errors are logged. The password fails after a year.\n",
    ],
)
def test_a_banner_that_only_sounds_like_a_refusal_or_a_question(banner: str, sizes: Iterator[int]) -> None:
    device = Device({"arp": ARP}, banner=banner)
    assert talk(device, sizes)[0] == [ARP]
    assert device.lines[:2] == ["admin", "secret"]


@pytest.mark.parametrize("prefix", ["Last login failed: Mon Mar 4\n", "Misuse is not allowed!\n", "Your session is limited.\n"])
def test_a_greeting_behind_the_right_password(prefix: str) -> None:
    assert talk(Device({"arp": ARP}, prefix=prefix))[0] == [ARP]


def test_a_line_of_the_log_hides_the_first_prompt() -> None:
    class Noisy(Device):
        def log_in(self, line: str) -> str:
            said = super().log_in(line)
            return said + "000000812 [Info..] [WST ] (x :1) scan\n" if said.endswith(self.prompt) else said

        def take(self, line: str) -> str:
            return f"\n{self.prompt}" if line == "" else super().take(line)

    assert talk(Noisy({"arp": ARP}))[0] == [ARP]


MOTD = "\nBusyBox v1.36.1\n\nLast login: Sun Mar  3 09:00:01 2024 from 192.168.1.2\nUser: root  Password: unchanged\n"


@pytest.mark.parametrize("banner", ["", "BCM96338 ADSL Router\n", MOTD])
@given(sizes=pieces)
def test_the_protocol_has_logged_in(banner: str, sizes: Iterated) -> None:
    """As SSH does: what looks like a question for a user name is none then."""
    device = Device({"arp": ARP}, asks=[], banner=banner)
    assert talk(device, iter(sizes), accepted=True)[0] == [ARP]
    assert not {"admin", "secret", ""} & set(device.lines)


@pytest.mark.parametrize("asks", [["Login: ", "Password: "], ["password: "]])
@given(sizes=pieces)
def test_the_protocol_has_logged_in_and_the_router_asks_again(asks: list[str], sizes: Iterated) -> None:
    device = Device({"arp": ARP}, asks=asks)
    assert talk(device, iter(sizes), accepted=True)[0] == [ARP]
    assert device.lines[: len(asks)] == ["admin", "secret"][-len(asks) :]


def test_the_protocol_has_logged_in_and_the_password_is_another_one() -> None:
    device = Device({"arp": ARP}, password="another")
    with pytest.raises(DialogueError, match="tried once only"):
        talk(device, accepted=True)
    assert device.wrong == 1
    assert device.lines == ["admin", "secret"]


def test_a_prompt_is_not_waited_for_after_the_protocol_has_logged_in() -> None:
    waited = [talk(Device({"arp": ARP}, asks=[]), accepted=accepted)[1].clock.now for accepted in (True, False)]
    assert waited[0] < waited[1]


def test_after_the_protocol_has_logged_in_a_prompt_may_be_hidden_or_wait_for_enter() -> None:
    class Quiet(Device):
        def greet(self) -> str:
            return self.banner

        def take(self, line: str) -> str:
            return f"\n{self.prompt}" if line == "" else super().take(line)

    for banner in ("", "000000812 [Info..] [WST ] (x :1) scan\n"):
        assert talk(Quiet({"arp": ARP}, asks=[], banner=banner), accepted=True)[0] == [ARP]


def test_an_unknown_prompt_is_left_with_the_log_out_command() -> None:
    device = Device(prompt="ready:")
    failure(device)
    assert device.lines == ["admin", "secret", "", "exit"]


@pytest.mark.parametrize("password", ["secret ", "s\u200ecret", "%{{ secret }}\\", "-secret", "pässwörd"])
def test_odd_passwords_work_and_are_never_shown(password: str) -> None:
    assert talk(Device({"arp": ARP}, password=password), password=password)[0] == [ARP]
    with pytest.raises(DialogueError) as caught:
        talk(Device(password="another", refusal=f"Login incorrect: {password}\n"), password=password)
    shown = str(caught.value)
    assert "***" in shown
    assert password.strip() not in shown.replace("***", "")
    assert visible(password).strip() not in shown


def test_long_lines_cost_little() -> None:
    """Patterns on lines without an end would keep the processor for minutes."""
    error = failure(Device(banner="user " * 60_000, asks=[""]))
    assert "neither a question nor a prompt" in str(error)
    spaces = " " * 500
    line = f"lanhosts{spaces}show{spaces}x\n"
    assert talk(Device({"lanhosts": line}, echo=False), commands=("lanhosts show all",))[0] == [line]


def test_silence() -> None:
    error = failure(Device(banner="", asks=[""]))
    assert "said nothing for 10 s" in str(error)
    assert error.unreachable


def test_an_unknown_question() -> None:
    error = failure(Device(banner="Choose [1-3]? ", asks=[""]))
    assert 'The last line seen is "Choose [1-3]?"' in str(error)
    assert "docs/profiles.md" in str(error)
    assert not error.unreachable


def test_no_profile_fits() -> None:
    device = Device(banner="SuperRouter 9000\n", prompt="SUPER(conf)# ")
    error = failure(device, profile=_profile.common(), candidates=(BROADCOM,))
    assert 'no router profile fits it. The last line that it printed is "SUPER(conf)#"' in str(error)
    assert device.lines[-1] == "exit"


@pytest.mark.parametrize("profile", [BROADCOM, dataclasses.replace(BROADCOM, sync=None)])
def test_a_command_that_never_ends(profile: _profile.Profile) -> None:
    device = Device(silent_after="arp show")
    error = failure(device, profile=profile)
    assert "192.168.1.1 port 23 did not finish `arp show` within 30 s" in str(error)
    assert device.lines[-1] == "exit"


def test_a_command_that_never_stops_printing() -> None:
    error = failure(Device({"arp": "x" * (2 << 20)}))
    assert "printed more than 1048576 bytes in answer to `arp show`" in str(error)


def test_the_profile_is_recognized() -> None:
    common = _profile.common()
    other = dataclasses.replace(BROADCOM, name="other", recognize=(Pattern("^Another"),))
    assert talk(Device({"arp": ARP}), profile=common, candidates=(other, BROADCOM))[2].profile is BROADCOM


def test_a_long_command_is_recognized_in_its_wrapped_echo() -> None:
    line = "iptables -s 192.168.100.200 -o ppp_0_8_35_1 -j RETURN -A TRAFFIC"

    class Wrapping(Device):
        def take(self, line: str) -> str:
            said = super().take(line)
            return said.replace(line, f"{line[:40]}\r\n{line[40:]}\x1b[K", 1) if len(line) > 60 else said

    assert talk(Wrapping({"iptables": "said\n"}), commands=(line,))[0] == ["said\n"]


def test_without_a_sync_command() -> None:
    plain = dataclasses.replace(BROADCOM, sync=None)
    device = Device({"arp": ARP})
    assert talk(device, profile=plain)[0] == [ARP]
    assert device.lines == ["admin", "secret", "arp show", "exit"]
