# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys of every kind, and what is none: what libssh gets must be whole, or it crashes the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_key import read_private_key

WHERE = "192.168.1.1 port 22"
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS: dict[str, Any] = {
    "ed25519": ED25519,
    "rsa": rsa.generate_private_key(65537, 2048),
    **{curve.name: ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())},
}
OPENSSH, PKCS8 = PrivateFormat.OpenSSH, PrivateFormat.PKCS8


def text(key: Any, form: PrivateFormat = OPENSSH, passphrase: bytes | None = None) -> bytes:
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    made: bytes = key.private_bytes(Encoding.PEM, form, protection)
    return made


def public(key: Any) -> bytes:
    line: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line


def read(folder: Path, data: bytes, passphrase: str | None = None) -> bytes | None:
    (folder / "key").write_bytes(data)
    return read_private_key(WHERE, str(folder / "key"), passphrase)


@pytest.mark.parametrize("form", [OPENSSH, PKCS8], ids=["OpenSSH", "PKCS8"])
@pytest.mark.parametrize("passphrase", [None, "grüße"])
@pytest.mark.parametrize("kind", KEYS)
def test_keys(tmp_path: Path, kind: str, passphrase: str | None, form: PrivateFormat) -> None:
    key = KEYS[kind]
    got = read(tmp_path, text(key, form, passphrase.encode() if passphrase else None), passphrase)
    assert got
    assert public(load_ssh_private_key(got, None)) == public(key), "and without a passphrase now"


@pytest.mark.parametrize("form", [OPENSSH, PKCS8], ids=["OpenSSH", "PKCS8"])
def test_passphrases(tmp_path: Path, form: PrivateFormat) -> None:
    protected = text(ED25519, form, b"right")
    assert read(tmp_path, protected) is None, "an agent may know it"
    assert read(tmp_path, text(ED25519, form), "not needed")
    with pytest.raises(TrafficError, match=r"Is its passphrase right \(ansible_private_key_passphrase\)\?") as caught:
        read(tmp_path, protected, "wrong")
    assert "wrong" not in str(caught.value)
    assert str(caught.value).startswith(WHERE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "cannot be read as a private key. Is it the private key, and whole?", id="empty"),
        pytest.param(public(ED25519), "cannot be read as a private key. Is it the private key, and whole?", id="the public key"),
        pytest.param(text(ED25519)[:150], "cannot be read as a private key", id="half a key"),
        pytest.param(text(ED25519).replace(b"AAAA", b"AAAB", 1), "cannot be read as a private key", id="damaged"),
        pytest.param(text(ed448.Ed448PrivateKey.generate(), PKCS8), "private key", id="Ed448"),
        pytest.param(text(ec.generate_private_key(ec.SECP256K1()), PKCS8), "private key", id="an odd curve"),
    ],
)
def test_what_is_no_key(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(TrafficError, match="192.168.1.1 port 22: .*" + message.replace("?", r"\?")):
        read(tmp_path, data)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=r"/none cannot be read: No such file or directory. Check ansible_private_key_file."):
        read_private_key(WHERE, str(tmp_path / "none"), None)


whole = text(ED25519)
damaged = st.tuples(st.integers(0, len(whole)), st.integers(0, 40), st.binary(max_size=20)).map(
    lambda how: whole[: how[0]] + how[2] + whole[how[0] + how[1] :]
)


@given(data=damaged | st.binary(max_size=200), passphrase=st.none() | st.text(max_size=3))
def test_nothing_else_comes_out(tmp_path_factory: pytest.TempPathFactory, data: bytes, passphrase: str | None) -> None:
    try:
        got = read(tmp_path_factory.getbasetemp(), data, passphrase)
    except TrafficError:
        return
    assert got is None or public(load_ssh_private_key(got, None))


def test_without_bcrypt(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(text(ED25519, OPENSSH, b"right"))
    script = f"""
import sys
sys.modules["bcrypt"] = None
from {read_private_key.__module__} import read_private_key
try:
    read_private_key("home", sys.argv[1], "right")
except Exception as error:
    print(type(error).__name__, error)
"""
    words = [sys.executable, "-c", script, str(tmp_path / "key")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert "TrafficError" in done.stdout, done.stderr
    assert "needs the Python package bcrypt on the control node: pip install bcrypt (or hand the key to an SSH agent" in done.stdout
