# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with a router's command line over a stream of bytes: log in, run commands, log out.

Private to this collection. It knows nothing of telnet or SSH, nor of any model: the stream is given, the wordings are the
profile's. What it decides does not depend on how the bytes were split on their way.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import error_code, visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import TOKEN, Patterns, Profile, recognize
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Script, between_marks

QUIET = 0.3  # seconds without a byte after which a text is taken to be complete where nothing else tells
NUDGE = 2.0  # seconds without a byte after which a router that did not print its prompt again is asked for it
ASKS_FOR_CURSOR, CURSOR_AT_HOME = b"\x1b[6n", b"\x1b[1;1R"
CURSOR_QUESTION = 0.002  # seconds in which a line editor asks, behind its prompt, where its cursor is
PIECE, ECHO_PAUSE = 2048, 0.0005  # bytes that are typed at once, seconds to wait for their echo
TYPED = 4096  # bytes a second that a slow router takes in
FAREWELL = 1.0  # seconds given to the router to close after the log-out

_TERMINAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_LIKE_A_PROMPT = re.compile(r"[#>$] ?$")
_LONGEST_PROMPT = 512
_LONGEST_LINE = 400  # of the lines that tell something during a log-in
_PROFILES_PAGE = "docs/profiles.md shows how to support another router."


class DialogueError(TrafficError):
    """The conversation came to an end that nobody wanted."""


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


def moment(text: str, profile: Profile) -> str | None:
    """What a router that printed this, and no more, is waiting for or has decided.

    One of the keys of the profile's ``login`` (``user``, ``password``, ``failed``, ``lockout``, ``busy``, ``refused``),
    or ``prompt``, or None.
    """
    return _refused_by(text, profile) or _asks_for(text, profile)


def _refused_by(text: str, profile: Profile) -> str | None:
    """Which words of a refusal stand in a text."""
    return next((name for name in ("refused", "busy", "lockout", "failed") if _telling_line(text, profile.login[name])), None)


def _asks_for(text: str, profile: Profile) -> str | None:
    """What the last line asks for."""
    line = _last_line(text)
    for name in ("password", "user"):
        if _telling_line(line, profile.login[name]):
            return name
    return "prompt" if len(line) <= _LONGEST_LINE and any(one.fullmatch(line) for one in profile.prompt) else None


def _telling_line(text: str, patterns: Patterns) -> str | None:
    """The first line that fits one of the patterns. Messages are short: a long line would only cost time."""
    for line in re.split(r"[\r\n]", text):
        if line and len(line) <= _LONGEST_LINE and any(pattern.search(line) for pattern in patterns):
            return line
    return None


def _last_line(text: str) -> str:
    start = max(text.rfind("\n"), text.rfind("\r")) + 1
    return _TERMINAL_SEQUENCE.sub("", text[start:]) if len(text) - start <= _LONGEST_PROMPT else text[start:]


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
        self._where = where
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
        self._prompt = _last_line(said).rstrip(" ")
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
                raise self._no_shell()
        start, end = answer
        self._prompt = self._prompt_after(end)
        if f"42{token}".encode() not in self._received[start:end]:
            raise self._no_shell()

    def _no_shell(self) -> DialogueError:
        return DialogueError(
            f"{self._where} was taken for a shell (profile {self._profile.name}), but it is another kind of command line. Name its "
            f"profile with traffic_profile; {_PROFILES_PAGE}"
        )

    def _next_moment(self) -> str:
        """Read until the router waits for something, or has refused."""
        asked_again = False
        while True:
            text = self._text()
            state = _asks_for(text, self._profile)
            if state and self._is_expected(state):
                return state  # whatever a banner above it says
            if not self._receive_within(NUDGE if asked_again else QUIET):
                state = _refused_by(text, self._profile) or state or self._prompt_behind_text(text)
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
        return "prompt" if self._can_be_inside and _LIKE_A_PROMPT.search(_last_line(text)) else None

    def _receive_or_ask(self) -> None:
        if not self._receive_within(NUDGE):
            self._send("")

    def _answer(self, state: str, text: str) -> None:
        if state in ("user", "password") and not self._sent.password and not getattr(self._sent, state):
            answer = self._credentials.user if state == "user" else self._credentials.password
            if answer is None:
                raise DialogueError(
                    f"{self._where} asks for a {'user name' if state == 'user' else 'password'}: set "
                    f"ansible_{state} in the inventory.",
                    unreachable=True,
                )
            setattr(self._sent, state, True)
            self._doing = f"the {'user name' if state == 'user' else 'password'} was sent"
            self._send(answer)
            return
        raise self._refusal(state, text)

    def _refusal(self, state: str, text: str) -> DialogueError:
        words = self._quote(self._words(state, text))
        self._sent = _Sent()  # not inside: a log-out command would be taken for another user name
        if state == "busy":
            return DialogueError(
                f"{self._where} lets nobody in now, for another administrator is logged in: {words}. Log out there (a browser "
                "tab counts, too), or wait until that session ends."
            )
        if state == "lockout":
            return DialogueError(
                f"{self._where} is locked after too many wrong passwords: {words}. Nothing was tried. Wait until the time is "
                "over (or restart the router), and check ansible_user and ansible_password first."
            )
        if state == "refused":
            return DialogueError(
                f"{self._where} does not let a program log in: {words}. Allow telnet from the LAN (and switch off any captcha) "
                "in its web pages, or run this from inside the network."
            )
        return DialogueError(
            f"{self._where} refused the user name or the password: {words}. It was tried once only, so that nobody is locked "
            "out: check ansible_user and ansible_password.",
            unreachable=True,
        )

    def _words(self, state: str, text: str) -> str:
        """The router's own words for it: the line that told, or the last one before its next question."""
        told = _telling_line(text, self._profile.login[state]) if state not in ("user", "password") else None
        lines = [line for line in text.splitlines() if line.strip()]
        return told or (lines[-2] if len(lines) > 1 else lines[-1])

    def _recognized(self, said: str) -> Profile:
        if not self._candidates:
            return self._profile
        self._received.clear()
        while (profile := recognize(_plain(said + self._text()), self._candidates)) is None:
            if not self._receive_within(QUIET):
                raise DialogueError(
                    f"{self._where} let us in, but no router profile fits it. The last line that it printed is "
                    f"{self._quote(_last_line(said))}. Name a profile with traffic_profile; {_PROFILES_PAGE}"
                )
        return profile

    # Run a command

    def run(self, command: str) -> str:
        """Run a command and return what it printed: UTF-8 decoded, without echo and prompt, nothing made visible yet."""
        if self._prompt is None:
            raise DialogueError(f"{self._where}: not logged in.")
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
            raise DialogueError(f"{self._where}: not logged in.")
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
        return len(tail) <= _LONGEST_PROMPT and self._is_prompt(_last_line(tail.decode("utf-8", "replace")))

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
            line = _TERMINAL_SEQUENCE.sub("", self._received[start:end].decode("utf-8", "replace")).strip()
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
            line = _last_line(self._received[start:].decode("utf-8", "replace"))
            if self._is_prompt(line):
                if self._profile.shell and not self._asked_for_cursor:
                    self._receive_within(CURSOR_QUESTION)
                return line.rstrip(" ")
            if not self._receive_within(QUIET):
                if _LIKE_A_PROMPT.search(line):
                    return line.rstrip(" ")
                self._receive_or_fail(self._no_prompt)

    def _output(self, command: str, end: int, request: str = "") -> str:
        """What stands between the echo of the command and the prompt."""
        text = self._received[:end].decode("utf-8", "replace")
        before, echoed, after = text.partition(request) if request else (text, "", "")
        if echoed:
            text = before + after.lstrip("\r").removeprefix("\n")
        text = _without_echo(text, command)
        line = _last_line(text)
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
            raise DialogueError(
                f"{self._where} printed more than {self._room} bytes in answer to `{self._doing}`, so it was not read "
                "to its end. Is this the right profile?"
            )
        return True

    # Complaints

    def _silence(self) -> DialogueError:
        if self._text().startswith("SSH-"):
            return DialogueError(
                f"{self._where} is an SSH server, and no telnet: set ansible_connection to homenet.traffic.ssh_cli, or to "
                "ansible.builtin.ssh for a router with a real shell; or ansible_port to its telnet port.",
                unreachable=True,
            )
        line = _last_line(self._text()).strip() or next(
            (line for line in reversed(self._text().splitlines()) if line.strip()), ""
        )
        if not line and self._doing:
            return DialogueError(
                f"{self._where} said nothing more after {self._doing}, for {self._limits.login:g} s. Run it again; if it stays so, "
                "restart the router.",
                unreachable=True,
            )
        if not line:
            return DialogueError(
                f"{self._where} accepted the connection but said nothing for {self._limits.login:g} s. Is this the right port, "
                "and is another session open?",
                unreachable=True,
            )
        return DialogueError(
            f"{self._where} printed neither a question nor a prompt that is known within {self._limits.login:g} s. The last line "
            f"seen is {self._quote(line)}. If that is its prompt or its question, {_PROFILES_PAGE}"
        )

    def _lost(self, error: OSError) -> DialogueError:
        return DialogueError(
            f"{self._where}: the connection was lost: {error.strerror or error}. Run it again; what was done already is kept.",
            unreachable=self._prompt is None,
        )

    def _no_prompt(self) -> DialogueError:
        return DialogueError(
            f"{self._where} did not finish `{self._doing}` within {self._limits.command:g} s. The last line seen is "
            f"{self._quote(_last_line(self._text()))}. Run it again; what was done already is kept."
        )

    def _closed(self) -> DialogueError:
        text = self._text()
        state = moment(text, self._profile)
        if self._prompt is None and state in ("refused", "busy", "lockout", "failed"):
            return self._refusal(state, text)
        if self._prompt is None:
            last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
            after = f" after {self._quote(last)}" if last else ""
            return DialogueError(
                f"{self._where} closed the connection during the log-in{after}. Is another session open, or is this address "
                "not allowed to log in?",
                unreachable=True,
            )
        return DialogueError(
            f"{self._where} closed the connection in the middle of `{self._doing}`. Run it again; what was done already is kept."
        )

    def _quote(self, words: str) -> str:
        password = self._credentials.password
        if password:
            for secret in (password, visible(password), password.strip()):
                words = words.replace(secret, "***") if secret else words
        text = visible(words).strip()
        return '"' + (text if len(text) <= 120 else f"{text[:117]}...") + '"'


def _plain(text: str) -> str:
    """The text as patterns that look at whole lines expect it."""
    return re.sub(r"\r*\n\r*", "\n", _TERMINAL_SEQUENCE.sub("", text))


def _without_echo(text: str, command: str) -> str:
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
            sequence = _TERMINAL_SEQUENCE.match(text, at)
            if not sequence and text[at] not in "\r\n\b ":
                return None
            at = sequence.end() if sequence else at + 1
        at += 1
    if at > len(text):
        return None
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
