# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many commands for a router's shell in one exchange. Private to this collection. Pure but for the ``Shell``.

A script is one compound command, ``( ... )``: a shell runs nothing of it until its last line has arrived, so a connection
that breaks while it is sent does nothing at all. When it breaks later, the command that is running is finished and no other
begun: an ``iptables`` that is killed between its two system calls leaves the whole table with counters of zero. It uses no
more than every Bourne shell has, BusyBox's ash included.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

_NO_SUCH_WAY = (2, 126, 127)  # what iptables says of options; what a shell says of a command that it has not, or may not run

_BOURNE = (
    "homenet.traffic needs a Bourne shell there. For a command line of another kind, ansible_connection is homenet.traffic.ssh_cli, with "
    "traffic_profile: auto."
)
BECOME = (
    "Set ansible_become_method and ansible_become_password to how its user becomes another one, or log in as its administrator, without "
    "ansible_become."
)
_RIGHTS = re.compile(r"(?:^|[ /])(?:su|sudo|doas): |is not in the sudoers file")

# The marks are never sent in one piece, so that no echo can pass for one.
_HEAD = """\
(
trap '' HUP
exec 2>&1 </dev/null
PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
export PATH LC_ALL
t={right}
m={left}$t
d() {{ s=$1; echo && echo "$m $2 $s" || exit; }}
echo "$m begin"
"""
_TAIL = """\
echo "$m end"
)
"""


@dataclass(frozen=True)
class Answer:
    """What a command printed (errors included), and its exit status; None where the router has none."""

    text: str
    status: int | None = None


@dataclass(frozen=True)
class Group:
    """Commands, run one after the other until one works; or, ``all_of``, until one does not.

    ``one_program``: they are ways of calling the same program, and only where it is not there, or does not know an option, the
    next is tried. One that waits for a lock in vain would also wait in vain in the next way, perhaps for ever.
    """

    commands: tuple[str, ...]
    all_of: bool = False
    one_program: bool = False

    def goes_on(self, status: int) -> bool:
        """Whether the next command is run, after one with this exit status."""
        if self.one_program:
            return status in _NO_SUCH_WAY
        return self.all_of is (status == 0)

    @property
    def opening(self) -> str:
        """The same for the shell, whose variable ``s`` is the status."""
        if self.one_program:
            return f"case $s in {'|'.join(map(str, _NO_SUCH_WAY))})"
        return "case $s in 0)" if self.all_of else "case $s in 0) ;; *)"


@dataclass(frozen=True)
class Script:
    """A compound command, and the lines between which its output stands.

    ``what`` names it in messages; ``commands`` is how many there are in it, each of which may print as much as one alone.
    """

    text: str
    mark: str
    what: str
    commands: int

    @property
    def begin(self) -> str:
        return f"{self.mark} begin"

    @property
    def end(self) -> str:
        return f"{self.mark} end"


def script(groups: Sequence[Group], token: str) -> Script:
    """The script that runs these groups. Commands are numbered through; ``token`` is a random word of at least 8 letters."""
    lines = [_HEAD.format(left=token[:4], right=token[4:])]
    number = 0
    for group in groups:
        lines.append(f"s={0 if group.all_of else 127}\n")
        for command in group.commands:
            lines.append(f"{group.opening}\n{command}\nd $? {number} ;; esac\n")
            number += 1
    lines.append(_TAIL)
    commands = [command.partition("\n")[0] for group in groups for command in group.commands]
    what = " and ".join([*commands[:1], *([f"{number - 1} more commands"] if number > 1 else [])])
    return Script("".join(lines), token, what, max(1, number))


def answers(groups: Sequence[Group], made: Script, output: str) -> dict[str, Answer]:
    """The answer to each command that was run, from what stood between the marks.

    Which marks there must be follows from the groups and from each status: raises ValueError where one is missing or another is there.
    """
    found: dict[str, Answer] = {}
    at = number = 0
    for group in groups:
        going = True
        for command in group.commands:
            if going:
                mark = re.compile(rf"\r*\n{made.mark} {number} (\d{{1,3}})\r*\n").search(output, at)
                if mark is None or made.mark in output[at : mark.start()]:
                    raise ValueError(f"the answer to `{command.partition(chr(10))[0]}` has no end")
                status = int(mark[1])
                found[command] = Answer(output[at : mark.start()], status)
                at, going = mark.end(), group.goes_on(status)
            number += 1
    if output[at:].strip():
        raise ValueError("there is more than was asked for")
    return found


class Shell:
    """A router's shell. ``run_script`` hands it a script and returns what it printed between the marks."""

    def __init__(self, run_script: Callable[[Script], str], where: str) -> None:
        self._run_script = run_script
        self._where = where

    def run(self, groups: Sequence[Group]) -> Mapping[str, Answer]:
        """Run them in one exchange. Raises TrafficError."""
        made = script(groups, secrets.token_hex(12))
        output = self._run_script(made)
        try:
            return answers(groups, made, output)
        except ValueError as error:
            raise TrafficError(
                f"{self._where}: what the shell printed was not understood ({error}), so nothing was taken from it. Run it again; "
                "if it stays so, something writes into the router's terminal, or its shell is none that homenet.traffic knows."
            ) from error


def executed(made: Script, where: str, status: int, printed: str) -> str:
    """What stands between the marks, of a script that was the input of a shell of its own. Raises TrafficError without them."""
    output = between_marks(made, printed)
    if output is None:
        words = " ".join(visible(printed).split())
        said = f'"...{words[-157:]}"' if len(words) > 160 else f'"{words}"' if words else "nothing"
        next_step = BECOME if _RIGHTS.search(words) else _BOURNE
        raise TrafficError(f"{where}: the shell did not run what it was given (exit status {status}); it said {said}. {next_step}")
    return output


def between_marks(made: Script, printed: str) -> str | None:
    """What a script printed, out of all that the connection brought (an echo, a greeting); None while its end is missing."""
    # A terminal prints a prompt for each line of the script, in front of the first mark.
    start = re.search(rf"{re.escape(made.begin)}\r*\n", printed)
    end = re.search(rf"(?m)^{re.escape(made.end)}\r*$", printed[start.end() :]) if start else None
    return printed[start.end() : start.end() + end.start()] if start and end else None
