# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a private key. Private to this collection.

ansible-pylibssh crashes the process on a key that it cannot read: a wrong passphrase is enough. So every key is read here,
with the library that ansible-core brings, and handed on without a passphrase and in one format.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
"""That libssh can use."""


def read_private_key(where: str, path: str, passphrase: str | None) -> bytes | None:
    """The key, without a passphrase; None where it has one that was not given: an SSH agent may know the key.

    ``where`` names the router in messages. Raises TrafficError.
    """
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise TrafficError(
            f"{where}: the private key {path} cannot be read: {error.strerror}. Check ansible_private_key_file."
        ) from error
    try:
        return _normal(data, None if passphrase is None else passphrase.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        hint = "Is its passphrase right (ansible_private_key_passphrase)?" if passphrase else "Is it the private key, and whole?"
        raise TrafficError(f"{where}: what is in {path} cannot be read as a private key. {hint}") from error
    except _Unusable as error:
        raise TrafficError(f"{where}: the private key {path} cannot be used: {error}") from error


class _Unusable(Exception):
    """It can be read, or could; the message says what to do."""


def _normal(data: bytes, passphrase: bytes | None) -> bytes | None:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  (a log-in with a password does without)
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        key = _loaded(data, passphrase)
        if key is None:
            return None
        line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except UnsupportedAlgorithm as error:
        if "bcrypt" in str(error):
            raise _Unusable(
                "its passphrase needs the Python package bcrypt on the control node: pip install bcrypt (or hand the key to an SSH "
                "agent: ssh-add)."
            ) from error
        raise _Unusable(f"{error}.") from error
    if line.split()[0].decode("ascii") not in KINDS:
        raise _Unusable("libssh cannot do its type. Make one of type ed25519 or rsa.")
    made: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    return made


def _loaded(data: bytes, passphrase: bytes | None) -> Any:
    """The key, None where it has a passphrase and none was given."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    load: Any = serialization.load_ssh_private_key if b"BEGIN OPENSSH" in data else serialization.load_pem_private_key
    # To prove that an RSA key's numbers are primes takes 0.1 s of a processor, and it is the user's own.
    trust = {"unsafe_skip_rsa_key_validation": True} if "unsafe_skip_rsa_key_validation" in signature(load).parameters else {}
    try:
        return load(data, None, **trust)
    except TypeError:  # it has a passphrase
        return None if passphrase is None else load(data, passphrase, **trust)
