# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the content; those of timing and transport are in test_router_server.py."""

from __future__ import annotations

import pytest

from router import Faults, Session, hostile_hosts
from router.typist import LOGIN, Clock, ask, log_in, make


def test_a_cut_after_every_byte_received() -> None:
    typed = LOGIN + b"iptables -N TRAFFIC\r\nexit\r\n"
    for count in range(1, len(typed)):
        router = make(faults=Faults(cut_after_received=count))
        session = Session(router)
        session.start()
        session.receive(typed)
        assert session.closed
        assert session.record
        finished = count > typed.index(b"exit\r\n") + 4
        assert session.record.ended == ("exit" if finished else "closed")
        made = "Chain TRAFFIC" in router.listing()
        assert made == (count > typed.index(b"TRAFFIC\r\n") + 7)


def test_a_cut_may_run_the_unfinished_line() -> None:
    typed = LOGIN + b"iptables -N TRAFFIC\r\n"
    router = make(faults=Faults(cut_after_received=len(typed) - 6, cut_runs_partial=True))
    session = Session(router)
    session.start()
    session.receive(typed)
    assert router.transcript == ["iptables -N TRA"]
    assert "Chain TRA " in router.listing("TRA")


def test_a_cut_never_runs_a_password() -> None:
    router = make(faults=Faults(cut_after_received=9, cut_runs_partial=True))
    session = Session(router)
    session.start()
    session.receive(LOGIN)
    assert session.record
    assert session.record.logins == []


def test_a_cut_after_every_byte_sent() -> None:
    plain = Session(make())
    whole = plain.start() + plain.receive(LOGIN + b"arp show\r\n")
    for count in range(0, len(whole), 7):
        session = Session(make(faults=Faults(cut_after_sent=count)))
        assert session.start() + session.receive(LOGIN + b"arp show\r\n") == whole[:count]
        assert session.closed


@pytest.mark.parametrize(("when", "run", "answered"), [("before", False, False), ("ran", True, False), ("answered", True, True)])
def test_a_cut_at_a_command(when: str, run: bool, answered: bool) -> None:
    router = make(faults=Faults(cut_at_command=2, cut_when=when))
    session = log_in(router)
    session.receive(b"echo first\r\n")
    text = session.receive(b"iptables -N TRAFFIC\r\necho never\r\n")
    assert session.closed
    assert ("Chain TRAFFIC" in router.listing()) == run
    assert text.endswith(b" > ") == answered
    assert "echo never" not in router.transcript


def test_silence() -> None:
    session = Session(make(faults=Faults(silent_at="connect")))
    assert session.start() + session.receive(LOGIN) == b""
    session = Session(make(faults=Faults(silent_at="login")))
    session.start()
    assert b" > " not in session.receive(LOGIN) + session.receive(b"help\r\n")
    session = log_in(make(faults=Faults(silent_at="output", on_command="arp")))
    assert session.receive(b"route show\r\n").endswith(b" > ")
    text = session.receive(b"arp show\r\nhelp\r\n")
    assert b"IP address" in text
    assert b" > " not in text
    assert session.receive(b"\r\n") == b""
    assert not session.closed


def test_an_answer_cut_inside_a_line() -> None:
    session = log_in(make(faults=Faults(truncate_output=True, on_command="lanhosts")))
    text = session.receive(b"lanhosts show all\r\n")
    assert session.closed
    assert not text.endswith((b"\n", b" > "))


def test_noise_garbage_prompt_banner_and_echo() -> None:
    session = log_in(make(faults=Faults(noise="NOISE", on_command="route")))
    assert b"\r\nNOISE\r\n" in session.receive(b"route show\r\n")
    assert b"NOISE" not in session.receive(b"arp show\r\n")
    session = log_in(make(faults=Faults(noise="NOISE", noise_inside=True)))
    assert b"\r\nNOISE" not in session.receive(b"route show\r\n")
    session = log_in(make(faults=Faults(garbage_line="?? what ??")))
    assert b"\r\n?? what ??\r\n" in session.receive(b"arp show\r\n")
    session = log_in(make(faults=Faults(no_echo=True)))
    assert session.receive(b"echo a\r\n") == b"a\r\n > "
    session = Session(make(faults=Faults(banner="Nobody's box", prompt="?-> ")))
    assert session.start() == b"Nobody's box\r\nLogin: "
    assert session.receive(LOGIN).endswith(b"\r\n?-> ")


def test_noise_does_not_break_a_line_at_the_odd_characters_of_a_name() -> None:
    router = make(hosts=hostile_hosts({"one": b"a\x0bb"}), faults=Faults(noise="NOISE"), lanhosts_layout="bare")
    session = log_in(router)
    assert b"a\x0bb\r\nNOISE\r\n" in session.receive(b"lanhosts show all\r\n")


def test_a_held_lock() -> None:
    clock = Clock()
    router = make(clock)
    router.set_faults(lock_commands=2, lock_text="unavailable")
    assert [ask(router, "iptables -N T") for attempt in range(3)] == ["iptables: Resource temporarily unavailable.\n"] * 2 + [""]
    router.set_faults(lock_seconds=10, lock_text="hint")
    assert ask(router, "iptables -L T").startswith("Another app is currently holding the xtables lock.")
    clock.now += 11
    assert ask(router, "iptables -L T").startswith("Chain T")


def test_missing_things() -> None:
    router = make(faults=Faults(no_iptables=True, no_arp=True, no_default_route=True))
    assert "unrecognized command iptables -L" in ask(router, "iptables -L")
    assert ask(router, "arp show").splitlines()[2:] == []
    assert "default" not in ask(router, "route show")


def test_an_unknown_fault_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such fault: nonsense; known: .*banner"):
        make().set_faults(nonsense=1)
