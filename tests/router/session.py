# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's (or a program's) conversation with the Broadcom CLI. Bytes in, bytes out; no I/O.

Telnet's own bytes are dealt with before (telnet.py). What a fault does to the *content* happens here; what it does
to the *timing* of bytes happens in server.py.
"""

from __future__ import annotations

from .commands import LOG_OUT, System, answer
from .emulated import EmulatedSystem
from .faults import GREETINGS
from .router import Router, SessionRecord

CR, LF, NUL, BACKSPACE, DELETE, END_OF_INPUT = 13, 10, 0, 8, 127, 4


class Session:
    """``start`` once, then ``receive`` whatever arrives; ``closed`` says that the router hangs up."""

    def __init__(self, router: Router, system: System | None = None) -> None:
        self.router = router
        self.closed = False
        self.silent = False
        self.record: SessionRecord | None = None
        self._system: System = system or EmulatedSystem(router)
        self._line = bytearray()
        self._out = bytearray()
        self._state = "start"
        self._after_cr = False
        self._user = ""
        self._received = 0
        self._sent = 0
        self._commands = 0
        self._falls_silent = False

    # --- the outside

    def start(self) -> bytes:
        router = self.router
        self.record = router.open_session()
        if router.faults.silent_at == "connect":
            self.silent = True
        elif not self._greet():
            self._ask_to_log_in()
        return self._flush()

    def receive(self, data: bytes) -> bytes:
        """What the router sends back. After ``closed`` nothing is read any more."""
        for byte in data:
            if self.closed:
                break
            self._received += 1
            self._take(byte)
            self._cut_by_received()
        return self._flush()

    def hang_up(self) -> None:
        """The client is gone."""
        self._end("dropped")

    # --- endings

    def _end(self, how: str) -> None:
        self.closed = True
        if self.record:
            self.router.end_session(self.record, how)

    def _cut_by_received(self) -> None:
        limit = self.router.faults.cut_after_received
        if limit is None or self._received < limit or self.closed:
            return
        if self.router.faults.cut_runs_partial and self._line and self._state == "command":
            self._run(bytes(self._line).decode("utf-8", "surrogateescape"))
        # What was still on its way is lost with the connection.
        self._out.clear()
        self._end("closed")

    def _flush(self) -> bytes:
        data, self._out = bytes(self._out), bytearray()
        if self.silent:
            return b""
        limit = self.router.faults.cut_after_sent
        if limit is not None and self._sent + len(data) >= limit:
            data = data[: max(0, limit - self._sent)]
            self._end("closed")
        self._sent += len(data)
        self.silent = self._falls_silent
        return data

    def _say(self, text: str) -> None:
        if self._falls_silent:
            return
        end = self.router.spec.line_end
        self._out += text.replace("\n", end).encode("utf-8", "surrogateescape")

    # --- login

    def _greet(self) -> bool:
        """Print what stands in the way of a login, if anything does."""
        router = self.router
        faults, spec = router.faults, router.spec
        banner = spec.banner if faults.banner is None else faults.banner
        greeting = faults.greeting
        if not greeting and router.locked_out:
            greeting = "lockout"
        if not greeting and spec.max_sessions and router.open_sessions > spec.max_sessions:
            greeting = "busy"
        if greeting not in ("busy", "close") and banner:
            self._say(f"{banner}\n")
        if not greeting:
            return False
        self._say(GREETINGS.get(greeting, greeting))
        if greeting == "captcha":
            self._state = "captcha"
        else:
            self._end("closed")
        return True

    def _ask_to_log_in(self) -> None:
        login = self.router.spec.login
        if login == "none":
            self._enter()
        elif login == "password":
            self._state = "password"
            self._say(self.router.spec.password_prompt)
        else:
            self._state = "user"
            self._say(self.router.spec.login_prompt)

    def _enter(self) -> None:
        self._state = "command"
        if self.router.faults.silent_at == "login":
            self.silent = True
        self._say(self.router.prompt)

    def _check_password(self, password: str) -> None:
        router, spec = self.router, self.router.spec
        user_is_right = spec.login != "user" or self._user == spec.user
        right = user_is_right and password == spec.password
        assert self.record is not None
        self.record.logins.append("ok" if right else "refused")
        if right:
            router.wrong_tries = 0
            self._enter()
        elif router.note_wrong_try():
            self._say(router.faults.lockout_text)
            self._end("closed")
        else:
            self._say(f"{router.faults.wrong_password_text}\n")
            self._ask_to_log_in()

    # --- typing

    def _take(self, byte: int) -> None:
        after_cr, self._after_cr = self._after_cr, byte == CR
        if after_cr and byte in (LF, NUL):
            return
        if byte in (CR, LF):
            self._enter_pressed()
        elif byte in (BACKSPACE, DELETE):
            self._rub_out()
        elif byte == END_OF_INPUT and not self._line:
            self._end("exit")
        elif byte == NUL or len(self._line) >= self.router.spec.line_limit:
            # Past its buffer the CLI ignores what is typed; Enter then runs the beginning.
            return
        else:
            self._line.append(byte)
            self._echo(bytes([byte]))

    def _echo(self, data: bytes) -> None:
        if self._state != "password" and not self.router.faults.no_echo and not self._falls_silent:
            self._out += data

    def _rub_out(self) -> None:
        if self._line:
            del self._line[-1]
            self._echo(b"\b \b")

    def _enter_pressed(self) -> None:
        line, self._line = bytes(self._line).decode("utf-8", "surrogateescape"), bytearray()
        if not self.router.faults.no_echo:
            self._say("\n")
        if self._state == "user":
            self._user = line
            self._state = "password"
            self._say(self.router.spec.password_prompt)
        elif self._state == "password":
            self._check_password(line)
        elif self._state == "captcha":
            self._say("Verification code is wrong.\n")
            self._end("closed")
        else:
            self._run(line)

    # --- commands

    def _run(self, line: str) -> None:
        router = self.router
        if not line.strip():
            self._say(router.prompt)
            return
        assert self.record is not None
        self._commands += 1
        cut = router.faults.cut_at_command == self._commands
        if cut and router.faults.cut_when == "before":
            self._end("closed")
            return
        with router.lock:
            self.record.lines.append(line)
            if line.split(maxsplit=1)[0] in LOG_OUT:
                self._log_out()
                return
            text = answer(self._system, line)
        if cut and router.faults.cut_when == "ran":
            self._out.clear()
            self._end("closed")
            return
        self._answer(line, text)
        if cut:
            self._end("closed")

    def _log_out(self) -> None:
        self._say("\nBye bye. Have a nice day!!!\n")
        self._end("exit")

    def _answer(self, line: str, text: str) -> None:
        faults = self.router.faults
        if line.startswith(faults.on_command):
            text = self._disturb(text)
            if self.closed or self._falls_silent:
                return
        self._say(text)
        self._say(self.router.prompt)

    def _disturb(self, text: str) -> str:
        """Faults in the middle of an answer."""
        faults = self.router.faults
        if faults.garbage_line:
            text = _insert(text, f"{faults.garbage_line}\n")
        if faults.noise:
            text = _insert(text, f"{faults.noise}\n", inside=faults.noise_inside)
        if faults.truncate_output:
            self._say(text[: _middle_of_a_line(text)])
            self._end("closed")
        elif faults.silent_at == "output":
            self._say(text[: _middle_of_a_line(text)])
            self._falls_silent = True
        return text


def _insert(text: str, extra: str, *, inside: bool = False) -> str:
    """Put a line near the middle of a text, between two lines or inside one."""
    # Not splitlines(): a host name may hold a vertical tab or U+2028, and those end no line of a router.
    lines = [line + "\n" for line in text.split("\n")[:-1]]
    middle = (len(lines) + 1) // 2
    if not inside or not lines:
        return "".join([*lines[:middle], extra, *lines[middle:]])
    victim = lines[min(middle, len(lines) - 1)]
    half = len(victim) // 2
    lines[min(middle, len(lines) - 1)] = victim[:half] + extra + victim[half:]
    return "".join(lines)


def _middle_of_a_line(text: str) -> int:
    half = len(text) // 2
    # Not at a line's end, or nobody could tell that something is missing.
    while half > 1 and text[half - 1] == "\n":
        half -= 1
    return half
