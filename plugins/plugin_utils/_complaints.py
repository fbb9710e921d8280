# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told when a conversation with a router's command line ends as nobody wanted. Private to this collection. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.homenet.traffic.plugins.plugin_utils._moments import last_line
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

_LONGEST_QUOTE = 120
_PROFILES_PAGE = "docs/profiles.md shows how to support another router."
_AGAIN = "Run it again; what was done already is kept."


class DialogueError(TrafficError):
    """The conversation came to an end that nobody wanted."""


@dataclass(frozen=True)
class Complaints:
    """The wordings, for one router. ``login`` and ``command`` are the seconds that were given to each."""

    where: str
    password: str | None = field(repr=False)
    login: float
    command: float

    def quote(self, words: str) -> str:
        """The router's own words, made harmless and without the password."""
        if self.password:
            for secret in (self.password, visible(self.password), self.password.strip()):
                words = words.replace(secret, "***") if secret else words
        text = visible(words).strip()
        return '"' + (text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 3]}...") + '"'

    def lacks(self, what: str) -> DialogueError:
        """The router asks for something that nobody gave us: ``user`` or ``password``."""
        name = "user name" if what == "user" else "password"
        return DialogueError(f"{self.where} asks for a {name}: set ansible_{what} in the inventory.", unreachable=True)

    def refusal(self, state: str, words: str) -> DialogueError:
        """The router does not let us in; ``state`` is one of the moments of a log-in."""
        said = self.quote(words)
        if state == "busy":
            return DialogueError(
                f"{self.where} lets nobody in now, for another administrator is logged in: {said}. Log out there (a browser "
                "tab counts, too), or wait until that session ends."
            )
        if state == "lockout":
            return DialogueError(
                f"{self.where} is locked after too many wrong passwords: {said}. Nothing was tried. Wait until the time is "
                "over (or restart the router), and check ansible_user and ansible_password first."
            )
        if state == "refused":
            return DialogueError(
                f"{self.where} does not let a program log in: {said}. Allow telnet from the LAN (and switch off any captcha) "
                "in its web pages, or run this from inside the network."
            )
        return DialogueError(
            f"{self.where} refused the user name or the password: {said}. It was tried once only, so that nobody is locked "
            "out: check ansible_user and ansible_password.",
            unreachable=True,
        )

    def no_shell(self, profile: str) -> DialogueError:
        """What was taken for a shell cannot calculate."""
        return DialogueError(
            f"{self.where} was taken for a shell (profile {profile}), but it is another kind of command line. Name its "
            f"profile with traffic_profile; {_PROFILES_PAGE}"
        )

    def no_profile(self, line: str) -> DialogueError:
        """No profile recognizes what was printed."""
        return DialogueError(
            f"{self.where} let us in, but no router profile fits it. The last line that it printed is "
            f"{self.quote(line)}. Name a profile with traffic_profile; {_PROFILES_PAGE}"
        )

    def not_logged_in(self) -> DialogueError:
        """A command before the log-in, or after the log-out."""
        return DialogueError(f"{self.where}: not logged in.")

    def silence(self, text: str, doing: str) -> DialogueError:
        """Nothing that was understood came in time during the log-in; ``doing`` is what was sent last."""
        if text.startswith("SSH-"):
            return DialogueError(
                f"{self.where} is an SSH server, and no telnet: set ansible_connection to homenet.traffic.ssh_cli, or to "
                "ansible.builtin.ssh for a router with a real shell; or ansible_port to its telnet port.",
                unreachable=True,
            )
        line = last_line(text).strip() or _last_filled(text)
        if line:
            return DialogueError(
                f"{self.where} printed neither a question nor a prompt that is known within {self.login:g} s. The last line "
                f"seen is {self.quote(line)}. If that is its prompt or its question, {_PROFILES_PAGE}"
            )
        if doing:
            return DialogueError(
                f"{self.where} said nothing more after {doing}, for {self.login:g} s. Run it again; if it stays so, "
                "restart the router.",
                unreachable=True,
            )
        return DialogueError(
            f"{self.where} accepted the connection but said nothing for {self.login:g} s. Is this the right port, "
            "and is another session open?",
            unreachable=True,
        )

    def lost(self, error: OSError, inside: bool) -> DialogueError:
        """The connection broke."""
        return DialogueError(f"{self.where}: the connection was lost: {error.strerror or error}. {_AGAIN}", unreachable=not inside)

    def no_prompt(self, text: str, doing: str) -> DialogueError:
        """A command that did not end."""
        return DialogueError(
            f"{self.where} did not finish `{doing}` within {self.command:g} s. The last line seen is "
            f"{self.quote(last_line(text))}. {_AGAIN}"
        )

    def too_long(self, room: int, doing: str) -> DialogueError:
        """A command that printed more than anybody would read."""
        return DialogueError(
            f"{self.where} printed more than {room} bytes in answer to `{doing}`, so it was not read "
            "to its end. Is this the right profile?"
        )

    def closed_early(self, text: str) -> DialogueError:
        """The router closed the connection before its first prompt, without saying why."""
        last = _last_filled(text)
        after = f" after {self.quote(last)}" if last else ""
        return DialogueError(
            f"{self.where} closed the connection during the log-in{after}. Is another session open, or is this address "
            "not allowed to log in?",
            unreachable=True,
        )

    def closed(self, doing: str) -> DialogueError:
        """The router closed the connection while it had something to do."""
        return DialogueError(f"{self.where} closed the connection in the middle of `{doing}`. {_AGAIN}")


def _last_filled(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
