# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations without a network, for tests: somebody types, the session answers, a clock stands still."""

from __future__ import annotations

from typing import Any

from .router import Router
from .session import Session
from .spec import Host, RouterSpec

LOGIN = b"admin\r\nadmin\r\n"
HOSTS = (Host("192.168.1.2", "02:00:00:00:00:02", b"ali-laptop", 83525), Host("192.168.1.3", "02:00:00:00:00:03", None, 3849))


class Clock:
    """Moves only when ``now`` is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock | None = None, **changes: Any) -> Router:
    """A router with two hosts unless ``hosts`` says otherwise; the other changes are those of RouterSpec."""
    changes.setdefault("hosts", HOSTS)
    return Router(RouterSpec(**changes), clock or Clock())


def log_in(router: Router) -> Session:
    session = Session(router)
    session.start()
    session.receive(LOGIN)
    return session


def ask(router: Router, line: str) -> str:
    """One command in a session of its own: the answer, without echo and prompt, LF line ends."""
    session = log_in(router)
    text = session.receive(line.encode() + b"\r\n")
    session.receive(b"exit\r\n")
    head, tail = line.encode() + b"\r\n", b" > "
    assert text.startswith(head)
    assert text.endswith(tail)
    return text[len(head) : -len(tail)].replace(b"\r\n", b"\n").decode()
