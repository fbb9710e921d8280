# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What connection plugins to a router's command line have in common. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

from ansible_collections.homenet.traffic.plugins.plugin_utils import _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._dialogue import Credentials, Limits, Session, Stream
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import error_code, visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group, Shell

NO_SUCH_COMMAND = 127  # the exit status that a shell would give; a router's command line has none


class CliConnection(ConnectionBase):  # type: ignore[misc]
    """A session with a router's command line. A subclass opens the stream of bytes."""

    has_pipelining = False
    allow_executable = False
    become_methods: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session: Session | None = None

    def _open_stream(self) -> Stream:
        raise NotImplementedError

    @property
    def where(self) -> str:
        """How messages name the router."""
        return f"{self.get_option('host')} port {self.get_option('port')}"

    def session(self) -> Session:
        """The session, opened at the first call. Raises TrafficError."""
        if self._session is None:
            name = str(self.get_option("profile"))
            profile, candidates = (_profile.common(), _profile.builtin()) if name == "auto" else (_profile.load(name), ())
            session = Session(self._open_stream(), self.where, self._credentials(), profile, candidates, self._limits())
            try:
                session.login()
            except BaseException:
                session.logout()
                raise
            self._session, self._connected = session, True
        return self._session

    def open(self) -> tuple[Callable[[str], str] | Shell, _profile.Profile]:
        """Log in. How to run commands, and the router's profile."""
        session = self.session()
        run = Shell(session.run_script, self.where) if session.profile.shell else session.run
        return run, session.profile

    def _credentials(self) -> Credentials:
        # Variables are subclasses of str that remember where they came from; the stream gets plain ones.
        user, password = self.get_option("remote_user"), self.get_option("password")
        return Credentials(None if user is None else str(user), None if password is None else str(password))

    def _limits(self) -> Limits:
        return Limits(
            float(self.get_option("timeout")), float(self.get_option("command_timeout")), int(self.get_option("output_limit"))
        )

    def _connect(self) -> CliConnection:
        try:
            self.session()
        except TrafficError as error:
            raise (AnsibleConnectionFailure if error.unreachable else AnsibleError)(str(error)) from error
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command. Without a shell the exit status is 127 where the router says that it has no such command, 0 otherwise."""
        self._connect()
        if in_data:
            raise AnsibleError(f"{self.where}: a router's command line takes no input. Use ansible.builtin.raw.")
        session = self.session()
        try:
            run = self.open()[0]
            if isinstance(run, Shell):
                answer = run.run([Group((cmd,))])[cmd]
                return answer.status or 0, visible(answer.text).encode(), b""
            text = visible(run(cmd))
        except TrafficError as error:
            raise AnsibleError(str(error)) from error
        missing = error_code(text, session.profile.errors) in ("unrecognized_command", "not_found")
        return (NO_SUCH_COMMAND if missing else 0), text.encode(), b""

    def put_file(self, in_path: str, out_path: str) -> None:
        raise AnsibleError(f"{self.where}: no file can be copied to a router's command line. Use ansible.builtin.raw.")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise AnsibleError(f"{self.where}: no file can be fetched from a router's command line. Use ansible.builtin.raw.")

    def close(self) -> None:
        """Log out and close."""
        if self._session is not None:
            self._session.logout()
        self._session, self._connected = None, False

    def reset(self) -> None:
        """Log out; the next command logs in again."""
        self.close()
