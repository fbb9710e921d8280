# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a text means that a router's command line has printed so far: what it waits for, where an echo ends.

Private to this collection. Pure.
"""

from __future__ import annotations

import re

from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Patterns, Profile

LIKE_A_PROMPT = re.compile(r"[#>$] ?$")
LONGEST_PROMPT = 512
_LONGEST_LINE = 400  # of the lines that tell something during a log-in
TERMINAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


def moment(text: str, profile: Profile) -> str | None:
    """What a router that printed this, and no more, is waiting for or has decided.

    One of the keys of the profile's ``login`` (``user``, ``password``, ``failed``, ``lockout``, ``busy``, ``refused``),
    or ``prompt``, or None.
    """
    return refused_by(text, profile) or asks_for(text, profile)


def refused_by(text: str, profile: Profile) -> str | None:
    """Which words of a refusal stand in a text."""
    return next((name for name in ("refused", "busy", "lockout", "failed") if telling_line(text, profile.login[name])), None)


def asks_for(text: str, profile: Profile) -> str | None:
    """What the last line asks for."""
    line = last_line(text)
    for name in ("password", "user"):
        if telling_line(line, profile.login[name]):
            return name
    return "prompt" if len(line) <= _LONGEST_LINE and any(one.fullmatch(line) for one in profile.prompt) else None


def telling_line(text: str, patterns: Patterns) -> str | None:
    """The first line that fits one of the patterns. Messages are short: a long line would only cost time."""
    for line in re.split(r"[\r\n]", text):
        if line and len(line) <= _LONGEST_LINE and any(pattern.search(line) for pattern in patterns):
            return line
    return None


def last_line(text: str) -> str:
    """What stands behind the last line end, without what only moves a terminal's cursor."""
    start = max(text.rfind("\n"), text.rfind("\r")) + 1
    return TERMINAL_SEQUENCE.sub("", text[start:]) if len(text) - start <= LONGEST_PROMPT else text[start:]


def plain(text: str) -> str:
    """The text as patterns that look at whole lines expect it."""
    return re.sub(r"\r*\n\r*", "\n", TERMINAL_SEQUENCE.sub("", text))


def without_echo(text: str, command: str) -> str:
    """The text behind the line in which the router repeated the command; all of it where it repeats none."""
    if not command:
        return text
    first, _end, rest = text.lstrip("\r\n").partition("\n")
    if command in first:
        return rest
    end = _end_of_wrapped_echo(text, command)
    # Without an echo, the blank at the end of the prompt may have come late.
    return text.removeprefix(" ") if end is None else text[end:]


def _end_of_wrapped_echo(text: str, command: str) -> int | None:
    """Where an echo ends that a terminal's line editor has broken into lines, moving its cursor about; None without one."""
    at = 0
    for character in command.replace(" ", ""):
        while at < len(text) and text[at] != character:
            sequence = TERMINAL_SEQUENCE.match(text, at)
            if not sequence and text[at] not in "\r\n\b ":
                return None
            at = sequence.end() if sequence else at + 1
        at += 1
    if at > len(text):
        return None
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
