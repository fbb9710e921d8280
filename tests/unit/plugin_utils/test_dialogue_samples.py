# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The moments of a log-in, as real devices print them: recorded sessions, read a character at a time."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._moments import moment
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import error_code

ROOT = Path(__file__).parents[3]
FOLDERS = (ROOT / "tests/unit/fixtures/dialogue", Path(os.environ.get("HOMENET_SAMPLES", ROOT.parent / "shared/samples")))
NAMES = {"failed": "login_failed", "busy": "session_busy", "user": "login_prompt", "password": "login_prompt"}
REFUSALS = ("refused", "busy", "lockout", "failed")


def sessions() -> Iterator[object]:
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.json")):
            expected = json.loads(path.read_text(encoding="utf-8"))
            events = expected if isinstance(expected, list) else [expected]
            if any(event["kind"] == "dialogue" for event in events):
                name = f"{folder.name}/{path.parent.name}/{path.stem}"
                yield pytest.param(path.with_suffix(".txt"), events, id=name)


def events_of(text: str) -> list[str]:
    """What happened in a recorded session, the user's own input skipped: it stands behind a question or a prompt."""
    profile = _profile.common()
    found: list[str] = []
    pending, at, prompt = "", 0, ""
    while at < len(text):
        pending += text[at]
        at += 1
        state = moment(pending, profile)
        line_ends = at == len(text) or text[at] in "\r\n"
        if state in REFUSALS and not line_ends:
            continue  # the whole line tells what kind it is
        if state is None and line_ends:
            state = lenient_prompt(pending) or error_in(pending, profile)
        if state is None:
            continue
        end = text.find("\n", at)
        shown = re.split(r"[\r\n]", pending)[-1]
        at = len(text) if end < 0 else end + 1
        before = pending[: -len(shown) or None].strip()
        if state == "prompt" and shown.strip() == prompt:
            pending = ""
            continue
        if state == "prompt":
            prompt = shown.strip()
            found += ["banner"] if before else []
        repeated = state in REFUSALS and found[-1:] == [NAMES.get(state, state)]  # it can take two lines to say so
        if not repeated and not (state == "password" and found and found[-1] == "login_prompt" and not before):
            found.append(NAMES.get(state, state))
        pending = ""
    return found


def lenient_prompt(pending: str) -> str | None:
    """A prompt behind a text without a line end, and a command behind it."""
    return "prompt" if re.search(r"[^\n]+ > \w[\w ]*$", pending) else None


def error_in(pending: str, profile: _profile.Profile) -> str | None:
    return error_code(pending.splitlines()[-1] if pending.strip() else "", profile.errors)


@pytest.mark.parametrize(("path", "events"), list(sessions()))
def test_session(path: Path, events: list[dict[str, str]]) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    expected = [event["what"] for event in events]
    assert events_of(text)[-1:] == expected if len(expected) == 1 else events_of(text) == expected
