# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with a router's command line over a stream of bytes: log in, run commands, log out.

Private to this collection. It knows nothing of telnet or SSH, nor of any model: the stream is given, the wordings are the
profile's. What it decides does not depend on how the bytes were split on their way.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.homenet.traffic.plugins.plugin_utils._complaints import Complaints, DialogueError
from ansible_collections.homenet.traffic.plugins.plugin_utils._moments import (
    LIKE_A_PROMPT,
    LONGEST_PROMPT,
    TERMINAL_SEQUENCE,
    asks_for,
    last_line,
    plain,
    refused_by,
    telling_line,
    without_echo,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import error_code
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import TOKEN, Profile, recognize
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, between_marks

QUIET = 0.3  # seconds without a byte after which a text is taken to be complete where nothing else tells
NUDGE = 2.0  # seconds without a byte after which a router that did not print its prompt again is asked for it
ASKS_FOR_CURSOR, CURSOR_AT_HOME = b"\x1b[6n", b"\x1b[1;1R"
CURSOR_QUESTION = 0.002  # seconds in which a line editor asks, behind its prompt, where its cursor is
PIECE, ECHO_PAUSE = 2048, 0.0005  # bytes that are typed at once, seconds to wait for their echo
TYPED = 4096  # bytes a second that a slow router takes in
FAREWELL = 1.0  # seconds given to the router to close after the log-out


class Stream(Protocol):
    """Bytes to and from a router."""

    def read(self, timeout: float) -> bytes | None:
        """What has arrived, b"" at the end of the stream, None when nothing came within the timeout (seconds)."""

    def write(self, data: bytes) -> None:
        """Send lines, each ended with a line feed."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True)
class Credentials:
    """Who logs in. The password never appears in an error or a representation.

    ``accepted`` says that the protocol has logged in already (SSH): a prompt is what comes next, or the same questions again.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    accepted: bool = False


@dataclass(frozen=True)
class Limits:
    """Seconds up to the first prompt, seconds for a command, bytes that a command may print."""

    login: float = 10.0
    command: float = 30.0
    output: int = 1 << 20


@dataclass
class _Sent:
    """What was already given to the router: nothing is ever given twice."""

    user: bool = False
    password: bool = False


class Session:
    """One log-in to one router, from the first byte to the log-out.

    ``where`` names the router in messages. With ``candidates``, one of them must recognize the router, and ``profile`` only
    says how a log-in looks until then.
    """

    def __init__(
        self,
        stream: Stream,
        where: str,
        credentials: Credentials,
        profile: Profile,
        candidates: Sequence[Profile] = (),
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._complaints = Complaints(where, credentials.password, limits.login, limits.command)
        self._credentials = credentials
        self._profile = profile
        self._candidates = candidates
        self._limits = limits
        self._clock = clock
        self._received = bytearray()
        self._deadline = 0.0
        self._prompt: str | None = None
        self._sent = _Sent()
        self._doing = ""  # what was sent last
        self._asked_for_cursor = False
        self._room = limits.output  # bytes that may be received for what is being done

    @property
    def profile(self) -> Profile:
        """The router's profile; known after the log-in."""
        return self._profile

    # Log in

    def login(self) -> None:
        """Answer the router's questions up to its first prompt. A password is given once, never twice."""
        self._deadline = self._clock() + self._limits.login
        said = ""
        while True:
            state = self._next_moment()
            text = self._text()
            said += text
            if state == "prompt":
                break
            self._received.clear()
            self._answer(state, text)
        self._prompt = last_line(said).rstrip(" ")
        self._profile = self._recognized(said)
        self._received.clear()
        if self._profile.shell:
            self._require_shell()
        elif self._profile.sync:
            self._synchronize()

    def _require_shell(self) -> None:
        """A script is typed only into what can calculate: a command line of another kind would do who knows what with it."""
        token = secrets.token_hex(8)
        self._doing = request = f"echo $((40+2)){token}"
        self._send(request)
        while (answer := self._answer_to(token, request)) is None:
            if not self._receive_within(NUDGE) and self._at_prompt():
                raise self._complaints.no_shell(self._profile.name)
        start, end = answer
        self._prompt = self._prompt_after(end)
        if f"42{token}".encode() not in self._received[start:end]:
            raise self._complaints.no_shell(self._profile.name)

    def _next_moment(self) -> str:
        """Read until the router waits for something, or has refused."""
        asked_again = False
        while True:
            text = self._text()
            state = asks_for(text, self._profile)
            if state and self._is_expected(state):
                return state  # whatever a banner above it says
            if not self._receive_within(NUDGE if asked_again else QUIET):
                state = refused_by(text, self._profile) or state or self._prompt_behind_text(text)
                if state:
                    return state
                if self._can_be_inside and not asked_again:
                    asked_again = True  # a line of the router's log may have hidden the prompt: have it printed again
                    self._receive_or_ask()
                else:
                    self._receive_or_fail(self._silence)

    def _is_expected(self, state: str) -> bool:
        """Whether to act at once, or to wait if the router goes on. A banner may hold words that look like a question."""
        if state == "user":
            return not self._sent.user and not self._can_be_inside
        if state == "password":
            return self._sent.user and not self._sent.password
        return self._can_be_inside

    @property
    def _can_be_inside(self) -> bool:
        """Whether there can be a prompt already."""
        return self._sent.password or self._credentials.accepted

    def _prompt_behind_text(self, text: str) -> str | None:
        """A prompt of unknown form, or behind a text without a line end, once there can be one."""
        return "prompt" if self._can_be_inside and LIKE_A_PROMPT.search(last_line(text)) else None

    def _receive_or_ask(self) -> None:
        if not self._receive_within(NUDGE):
            self._send("")

    def _answer(self, state: str, text: str) -> None:
        if state in ("user", "password") and not self._sent.password and not getattr(self._sent, state):
            answer = self._credentials.user if state == "user" else self._credentials.password
            if answer is None:
                raise self._complaints.lacks(state)
            setattr(self._sent, state, True)
            self._doing = f"the {'user name' if state == 'user' else 'password'} was sent"
            self._send(answer)
            return
        raise self._refusal(state, text)

    def _refusal(self, state: str, text: str) -> DialogueError:
        self._sent = _Sent()  # not inside: a log-out command would be taken for another user name
        return self._complaints.refusal(state, self._words(state, text))

    def _words(self, state: str, text: str) -> str:
        """The router's own words for it: the line that told, or the last one before its next question."""
        told = telling_line(text, self._profile.login[state]) if state not in ("user", "password") else None
        lines = [line for line in text.splitlines() if line.strip()]
        return told or (lines[-2] if len(lines) > 1 else lines[-1])

    def _recognized(self, said: str) -> Profile:
        if not self._candidates:
            return self._profile
        self._received.clear()
        while (profile := recognize(plain(said + self._text()), self._candidates)) is None:
            if not self._receive_within(QUIET):
                raise self._complaints.no_profile(last_line(said))
        return profile

    # Run a command

    def run(self, command: str) -> str:
        """Run a command and return what it printed: UTF-8 decoded, without echo and prompt, nothing made visible yet."""
        if self._prompt is None:
            raise self._complaints.not_logged_in()
        self._received.clear()
        self._deadline = self._clock() + self._limits.command
        self._doing = command
        self._room = self._limits.output
        self._send(command)
        if not self._profile.sync:
            self._read_until_prompt()
            return self._output(command, len(self._received))
        self._read_until_prompt(NUDGE)
        return self._synchronize(command)

    def run_script(self, made: Script) -> str:
        """Type a script into the shell and return what it printed between its marks, like ``run``."""
        if self._prompt is None:
            raise self._complaints.not_logged_in()
        self._received.clear()
        # A script may take longer than one command, but not as long as somebody keeps it waiting.
        self._deadline = self._clock() + self._limits.command * (1 + made.commands / 10) + len(made.text) / TYPED
        self._doing = made.what
        self._room = self._limits.output * made.commands + 3 * len(made.text)  # its echo, and the prompts in it
        self._type(made.text)
        # The marks are searched for only when the last one can be there: the answer may be long.
        while f"{made.end}".encode() not in self._received or (output := between_marks(made, self._text())) is None:
            self._receive_or_fail(self._no_prompt)
        self._prompt = self._prompt_after(self._received.rfind(made.end.encode()) + len(made.end))
        return output

    def _read_until_prompt(self, quiet: float | None = None) -> None:
        """Read until the prompt stands alone in the last line or, if given, until nothing has come for a while."""
        while not self._at_prompt():
            if quiet is None:
                self._receive_or_fail(self._no_prompt)
            elif not self._receive_within(quiet):
                return

    def _at_prompt(self) -> bool:
        tail = self._received[max(self._received.rfind(b"\n"), self._received.rfind(b"\r")) + 1 :]
        return len(tail) <= LONGEST_PROMPT and self._is_prompt(last_line(tail.decode("utf-8", "replace")))

    def _is_prompt(self, line: str) -> bool:
        """Whether this is the prompt; the blank at its end may still be on its way."""
        return bool(line) and (line.rstrip(" ") == self._prompt or any(one.fullmatch(line) for one in self._profile.prompt))

    def _synchronize(self, command: str = "") -> str:
        """Have a random word printed, which no host name can imitate, and return what was printed before it."""
        token = secrets.token_hex(8)
        request = str(self._profile.sync).replace(TOKEN, token)
        self._doing = command or request
        self._send(request)
        while (answer := self._answer_to(token, request)) is None:
            self._receive_or_fail(self._no_prompt)
        start, end = answer
        prompt = self._prompt_after(end)
        output = self._output(command, start, request)
        self._prompt = prompt
        return output

    def _answer_to(self, token: str, request: str) -> tuple[int, int] | None:
        """Where the line stands in which the router printed the word, or complained of it; not the echo of the request."""
        word = token.encode()
        found = self._received.find(word)
        while found >= 0:
            start = max(self._received.rfind(b"\n", 0, found), self._received.rfind(b"\r", 0, found)) + 1
            end = self._received.find(b"\n", found)
            if end < 0:
                return None
            line = TERMINAL_SEQUENCE.sub("", self._received[start:end].decode("utf-8", "replace")).strip()
            if request not in line:
                return start, end + 1
            echo = line.removesuffix(request).strip() in ("", str(self._prompt).strip())
            if not echo and error_code(line, self._profile.errors) == "unrecognized_command":
                return start, end + 1
            found = self._received.find(word, end)
        return None

    def _prompt_after(self, start: int) -> str:
        """The prompt, which is all that can follow the answer."""
        while True:
            line = last_line(self._received[start:].decode("utf-8", "replace"))
            if self._is_prompt(line):
                if self._profile.shell and not self._asked_for_cursor:
                    self._receive_within(CURSOR_QUESTION)
                return line.rstrip(" ")
            if not self._receive_within(QUIET):
                if LIKE_A_PROMPT.search(line):
                    return line.rstrip(" ")
                self._receive_or_fail(self._no_prompt)

    def _output(self, command: str, end: int, request: str = "") -> str:
        """What stands between the echo of the command and the prompt."""
        text = self._received[:end].decode("utf-8", "replace")
        before, echoed, after = text.partition(request) if request else (text, "", "")
        if echoed:
            text = before + after.lstrip("\r").removeprefix("\n")
        text = without_echo(text, command)
        line = last_line(text)
        if self._is_prompt(line):
            return text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
        stripped = text.rstrip(" ")
        return stripped.removesuffix(self._prompt) if self._prompt and stripped.endswith(self._prompt) else text

    # Log out

    def logout(self) -> None:
        """Log out with the router's own command, so that it does not keep the session, and close. Never fails."""
        try:
            if self._profile.logout and (self._prompt is not None or self._sent.password):
                self._send(self._profile.logout)
                limit = self._clock() + FAREWELL
                while (left := limit - self._clock()) > 0 and self._stream.read(left):
                    continue
        except (OSError, TrafficError):
            pass  # the router has closed already, which is what was wanted
        finally:
            self._prompt = None
            self._stream.close()

    # Bytes

    def _type(self, text: str) -> None:
        """Send a long text in pieces, taking in what is echoed meanwhile: a router that cannot get rid of it reads no more."""
        for start in range(0, len(text), PIECE):
            self._send(text[start : start + PIECE], end="")
            while start + PIECE < len(text) and self._receive_within(ECHO_PAUSE):
                continue

    def _send(self, line: str, end: str = "\n") -> None:
        # BusyBox's line editor asks where its cursor is, and sleeps for 20 ms over a line that comes instead of the answer.
        position = CURSOR_AT_HOME if self._profile.shell and self._asked_for_cursor else b""
        self._asked_for_cursor = False
        try:
            self._stream.write(position + (line + end).encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise self._lost(error) from error

    def _text(self) -> str:
        return self._received.decode("utf-8", "replace")

    def _receive_or_fail(self, complaint: Callable[[], DialogueError]) -> None:
        if not self._receive_within(self._limits.login + self._limits.command):
            raise complaint()

    def _receive_within(self, seconds: float) -> bool:
        """Take what arrives, waiting no longer than this or the deadline. False when nothing came."""
        left = self._deadline - self._clock()
        try:
            data = self._stream.read(min(seconds, left)) if left > 0 else None
        except OSError as error:
            raise self._lost(error) from error
        if data is None:
            if self._clock() >= self._deadline:
                raise self._silence() if self._prompt is None else self._no_prompt()
            return False
        if not data:
            raise self._closed()
        self._received += data
        self._asked_for_cursor = self._received.endswith(ASKS_FOR_CURSOR)
        if len(self._received) > self._room:
            raise self._complaints.too_long(self._room, self._doing)
        return True

    # Complaints

    def _silence(self) -> DialogueError:
        return self._complaints.silence(self._text(), self._doing)

    def _lost(self, error: OSError) -> DialogueError:
        return self._complaints.lost(error, inside=self._prompt is not None)

    def _no_prompt(self) -> DialogueError:
        return self._complaints.no_prompt(self._text(), self._doing)

    def _closed(self) -> DialogueError:
        if self._prompt is not None:
            return self._complaints.closed(self._doing)
        text = self._text()
        state = refused_by(text, self._profile)
        return self._refusal(state, text) if state else self._complaints.closed_early(text)
