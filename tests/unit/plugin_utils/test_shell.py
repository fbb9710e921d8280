# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts in real shells: what they answer, and that a script that did not arrive as a whole does nothing."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._complaints import DialogueError
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Limits, Session
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import (
    Answer,
    Group,
    Script,
    Shell,
    answers,
    between_marks,
    executed,
    script,
)

SHELLS = [words for words in (["sh"], ["bash"], ["dash"], ["busybox", "ash"]) if shutil.which(words[0])]
LINUX = _profile.load("linux")
TOKEN = "0123456789abcdef"


def fed(words: list[str], text: str) -> str:
    """What a shell prints that is given this as its standard input."""
    return subprocess.run(words, input=text.encode(), capture_output=True, timeout=20, check=False).stdout.decode()


def piped(words: list[str]) -> Shell:
    def run_script(made: Script) -> str:
        output = between_marks(made, fed(words, made.text))
        assert output is not None
        return output

    return Shell(run_script, "here")


@pytest.fixture(params=SHELLS, ids=" ".join)
def words(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param
    return found


def test_the_first_that_works(words: list[str]) -> None:
    found = piped(words).run([Group(("no-such-command", "echo two; echo lines", "echo never")), Group(("printf cut",))])
    assert found["no-such-command"].status == 127
    assert "not found" in found["no-such-command"].text
    assert found["echo two; echo lines"] == Answer("two\nlines\n", 0)
    assert found["printf cut"] == Answer("cut", 0)
    assert "echo never" not in found


def test_all_up_to_the_first_that_fails(words: list[str]) -> None:
    commands = ("echo one", "exit_with() { return 3; }; exit_with", "echo never")
    found = piped(words).run([Group(commands, all_of=True), Group(("echo then",))])
    assert [answer.status for answer in found.values()] == [0, 3, 0]
    assert "echo never" not in found


@pytest.mark.parametrize(("status", "tried"), [(0, 1), (1, 1), (4, 1), (2, 2), (126, 2), (127, 2)])
def test_another_way_of_calling_a_program_only_where_the_first_is_not_there(words: list[str], status: int, tried: int) -> None:
    """What waited for a lock in vain is not done again by a way that waits for ever."""
    commands = (f"(exit {status})", "echo second", "echo never")
    found = piped(words).run([Group(commands, one_program=True), Group(("echo then",))])
    assert list(found) == [*commands[:tried], "echo then"]


def test_errors_and_input(words: list[str]) -> None:
    """What goes wrong is part of the answer, and no command eats the rest of the script."""
    found = piped(words).run([Group(("echo wrong >&2",)), Group(("cat",)), Group(("cat <<'END'\n$HOME `id` $(id)\nEND",))])
    assert [answer.text for answer in found.values()] == ["wrong\n", "", "$HOME `id` $(id)\n"]


def test_a_script_that_was_cut_does_nothing(words: list[str], tmp_path: Path) -> None:
    text = script([Group((f"echo x >> {tmp_path}/done",)), Group((f"cat > {tmp_path}/more <<'END'\nline\nEND",))], TOKEN).text
    for length in range(len(text) - 1):
        fed(words, text[:length])
        assert not list(tmp_path.iterdir()), text[:length]
    fed(words, text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "more"]


def test_a_script_never_holds_its_own_marks() -> None:
    """Or a terminal's echo would be taken for the answer."""
    made = script([Group(("echo",))], TOKEN)
    assert TOKEN not in made.text
    assert between_marks(made, made.text) is None


@given(st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])), min_size=1, max_size=4), st.integers(0, 255))
def test_whatever_was_printed_comes_back(texts: list[str], status: int) -> None:
    groups = [Group((f"command {number}",)) for number in range(len(texts))]
    made = script(groups, TOKEN)
    printed = "".join(f"{text}\n{TOKEN} {number} {status}\n" for number, text in enumerate(texts))
    found = answers(groups, made, printed)
    assert [found[f"command {number}"] for number in range(len(texts))] == [Answer(text, status) for text in texts]


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        ("text without an end", "the answer to `a` has no end"),
        (f"\n{TOKEN} 1 0\n\n{TOKEN} 0 0\n", "the answer to `a` has no end"),
        (f"\n{TOKEN} 0 0\n", "the answer to `b` has no end"),
        (f"\n{TOKEN} 0 0\n\n{TOKEN} 0 0\n", "the answer to `b` has no end"),
        (f"one[12.3] log{TOKEN} 0 0\n\n{TOKEN} 1 0\n", "the answer to `a` has no end"),
        (f"\n{TOKEN} 0 0\n\n{TOKEN} 1 0\nmore", "there is more than was asked for"),
    ],
)
def test_what_no_script_prints(printed: str, problem: str) -> None:
    groups = [Group(("a",)), Group(("b",))]
    with pytest.raises(ValueError, match=problem):
        answers(groups, script(groups, TOKEN), printed)
    with pytest.raises(TrafficError, match=f"^here: what the shell printed was not understood \\({problem}\\)"):
        Shell(lambda made: printed.replace(TOKEN, made.mark), "here").run(groups)


class Terminal:
    """A stream to a shell on a terminal of its own. ``size`` is how much is read at a time."""

    def __init__(self, words: list[str], size: int) -> None:
        self.size = size
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="root@home:~# ", TERM="vt100", ENV="", HISTFILE="")
            os.execvp(words[0], [*words, *(["--norc", "--noprofile"] if words == ["bash"] else []), "-i"])

    def read(self, timeout: float) -> bytes | None:
        if not select.select([self.end], [], [], timeout)[0]:
            return None
        try:
            return os.read(self.end, self.size)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        os.write(self.end, data)

    def close(self) -> None:
        os.close(self.end)
        deadline = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture(params=[1, 7, 65536], ids=lambda size: f"{size} bytes at a time")
def session(words: list[str], request: pytest.FixtureRequest) -> Iterator[Session]:
    terminal = Terminal(words, request.param)
    opened = Session(terminal, "home", Credentials(), _profile.common(), _profile.builtin(), Limits(10, 10))
    opened.login()
    yield opened
    opened.logout()


def test_typed_into_a_terminal(session: Session) -> None:
    """With the echo, the second prompt and the line editor that a terminal has."""
    assert session.profile is LINUX
    shell = Shell(session.run_script, "home")
    for _round in range(2):
        found = shell.run([Group(("echo 'root@home:~# '; printf '# '", "echo never")), Group(("no-such-command",)), Group(("seq 1 200",))])
        assert [answer.status for answer in found.values()] == [0, 127, 0]
        assert [answer.text.replace("\r", "") for answer in found.values()][::2] == [
            "root@home:~# \n# ", "".join(f"{number}\n" for number in range(1, 201)),
        ]  # fmt: skip


def test_a_command_line_that_is_no_shell(tmp_path: Path) -> None:
    """Nothing but one harmless line is typed into it."""
    log = tmp_path / "typed"
    program = tmp_path / "cli"
    answer = f"echo \"$line\" >> {log}; echo 'Unknown command'; printf 'cli# '"
    program.write_text(f"#!/bin/sh\nprintf 'cli# '\nwhile read -r line; do {answer}; done\n")
    program.chmod(0o755)
    session = Session(Terminal([str(program)], 4096), "home", Credentials(), LINUX, (), Limits(5, 5))
    with pytest.raises(DialogueError, match=r"^home was taken for a shell \(profile linux\), but it is another kind of command line"):
        session.login()
    session.logout()
    assert [line[:4] for line in log.read_text().splitlines()] == ["echo", "exit"]


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("su: incorrect password\n", "ansible_become"),
        ("/bin/su: Permission denied\n", "ansible_become"),
        ("dash: 1: sudo: not found\n", "ansible_become"),
        ("keeper is not in the sudoers file.\n", "ansible_become"),
        ("Welcome to menu: su 1\n", "Bourne"),
        ("", "Bourne"),
    ],
)
def test_what_did_not_run_the_script_is_told(printed: str, told: str) -> None:
    with pytest.raises(TrafficError, match="^home: the shell did not run what it was given .exit status 1.; it said ") as caught:
        executed(script([Group(("true",))], "t" * 24), "home", 1, printed)
    assert [word for word in ("ansible_become", "Bourne") if word in str(caught.value)] == [told]
