# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log in by SSH with ansible-pylibssh: the handshake, the router's host key, and who we are. Private to this collection.

Importing it costs some milliseconds: a run that needs no SSH does without. What the library does of itself and must not
do here is said at each place.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils import _ssh_messages as messages
from ansible_collections.homenet.traffic.plugins.plugin_utils._libssh import (
    QUIET,
    LibsshException,
    LibsshSessionException,
    Session,
    require,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_channel import Channel
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_key import read_private_key
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_link import Link, SshOptions

_ALGORITHMS = {
    "key_exchange_algorithms": "key_exchange_algorithms",
    "host_key_algorithms": "hostkeys",
    "public_key_algorithms": "publickey_accepted_algorithms",
}


def log_in(options: SshOptions, link: Link) -> LoginSession:
    """Raises TrafficError."""
    require()
    session = LoginSession(options)
    try:
        session.log_in(link)
    except BaseException:
        link.close(for_libssh=session.log_out())
        raise
    return session


class LoginSession(Session):  # type: ignore[misc]
    """pylibssh's session, whose ``connect`` does everything in one call; it comes by here between its steps."""

    _link: Link

    def __init__(self, options: SshOptions) -> None:
        super().__init__()
        self.set_log_level(QUIET)  # or it logs everything
        self._options = options
        self._deadline = time.monotonic() + options.timeout
        self._password = _OncePassword(options.password)
        self._shook_hands = False

    def log_in(self, link: Link) -> None:
        """The whole log-in."""
        self._link, options = link, self._options
        self._choose_algorithms()
        if link.is_telnet(self._deadline - time.monotonic()):
            raise messages.is_telnet(options)
        key = read_private_key(options.where, options.private_key_file, options.passphrase) if options.private_key_file else None
        self._set_time_left()
        try:
            self.connect(
                fd=link.for_libssh, host=options.host, port=options.port, user=options.user, knownhosts=options.known_hosts_file,
                private_key=key, password=self._password if options.password is not None else None,
                password_prompt="",  # whatever it is called, in whatever language
                look_for_keys=key is None and options.password is None,
            )  # fmt: skip
        except LibsshException as error:
            raise self._complaint(str(error)) from error
        if time.monotonic() >= self._deadline:
            raise self._complaint("")  # pylibssh takes it for a success when the time is over
        self.allow()

    def log_out(self) -> bool:
        """Say good-bye and close. Whether there was still somebody to say it to."""
        connected = bool(self.is_connected)
        self.close()
        return connected

    def open_channel(self) -> Channel | None:
        """A channel; None where the router gives none."""
        try:
            return Channel(self, self.new_channel(), self._link.descriptor)
        except LibsshException:
            return None

    def allow(self, seconds: float | None = None) -> None:
        """How long libssh may wait in any one call; as long as the whole log-in, where nothing is said."""
        seconds = max(self._options.timeout if seconds is None else seconds, 0.001)  # 0 would be for ever
        self.set_ssh_options("timeout", int(seconds))
        self.set_ssh_options("timeout_usec", int(seconds % 1 * 1_000_000))

    def _set_time_left(self) -> None:
        self.allow(self._deadline - time.monotonic())

    def _choose_algorithms(self) -> None:
        for name, key in _ALGORITHMS.items():
            wanted = getattr(self._options, name)
            if not wanted:
                continue
            self.set_ssh_options(key, wanted)
            # libssh says nothing about a name that it does not know.
            known = (self.get_ssh_options(key) or "").split(",")
            for algorithm in () if wanted.startswith("-") else wanted.lstrip("+^").split(","):
                if algorithm not in known:
                    raise messages.unknown_algorithm(self._options, name, algorithm)

    # pylibssh's steps, in their order

    def verify_knownhost(self) -> None:
        """Check the host key, if that is wanted. The handshake is over, and nobody has logged in yet."""
        self._shook_hands = True
        self._set_time_left()
        # The handshake has read ~/.ssh/config, and libssh lets that win over what it was told.
        options = self._options
        told = {"host": options.host, "port": options.port, "user": options.user, "knownhosts": options.known_hosts_file}
        for name, value in told.items():
            if value is not None:
                self.set_ssh_options(name, value)
        if not options.host_key_checking:
            return
        try:
            super().verify_knownhost()
        except LibsshSessionException as error:
            raise messages.host_key_problem(options, str(error), self._shown_key()) from error

    def _shown_key(self) -> str:
        """Kind and fingerprint of the router's host key, as ssh writes it."""
        # pylibssh tells no fingerprint but that of SHA-1, which ssh does not show; but it can save the key.
        with TemporaryDirectory() as folder:
            path = Path(folder) / "known_hosts"
            self.set_ssh_options("knownhosts", str(path))
            try:
                self.hostkey_auto_add(None)
                _host, kind, key = path.read_text("ascii").split()[:3]
            except (LibsshException, OSError, ValueError):
                return "of an unknown kind"
        return f"{kind} SHA256:{b64encode(sha256(b64decode(key)).digest()).decode().rstrip('=')}"

    def authenticate_specific_pubkey(self, *arguments: Any) -> None:
        """Log in with the key out of a file."""
        self._set_time_left()
        super().authenticate_specific_pubkey(*arguments)

    def authenticate_password(self, password: Any) -> None:
        """Log in with the password."""
        self._set_time_left()
        super().authenticate_password(password)

    def authenticate_interactive(self, password: Any, expected_prompt: Any = None) -> None:
        """Log in with the password as the answer to a question."""
        if self._password.given:  # pylibssh would send a refused password a second time, this way
            raise LibsshSessionException("The password was refused.")
        self._set_time_left()
        super().authenticate_interactive(password, expected_prompt=expected_prompt)

    def authenticate_pubkey(self) -> None:
        """Log in with one of an SSH agent's keys, or of those in ~/.ssh."""
        self._set_time_left()
        super().authenticate_pubkey()

    def authenticate_gssapi_with_mic(self) -> None:
        """Not for routers; pylibssh would try it last, and its failure would hide the real one."""
        raise LibsshSessionException("No other way is left.")

    def _complaint(self, told: str) -> TrafficError:
        options = self._options
        if time.monotonic() >= self._deadline or told.startswith("ssh connect failed: Timeout"):
            return messages.too_slow(options, self._shook_hands)
        if not self._shook_hands:
            proxy = self._link.complaint()
            return messages.proxy_failed(options, proxy) if proxy else messages.no_handshake(options, told)
        return messages.refused(options, f"{told}\n{self._get_session_error_str()}")


class _OncePassword:
    """A password that can be taken once. Some servers ask again in the same breath, and pylibssh would answer again."""

    def __init__(self, password: str | None) -> None:
        self._text = password or ""
        self.given = False

    def encode(self) -> bytes:
        """What pylibssh asks of a string."""
        if self.given:
            raise LibsshSessionException("The password was refused.")
        self.given = True
        return self._text.encode("utf-8", "surrogateescape")
