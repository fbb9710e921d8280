# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH keys that are made for a lab and end with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .namespaces import program, run


class Keys:
    """The user's key, and host keys of both servers."""

    def __init__(self, folder: Path, types: Iterable[str]) -> None:
        self._folder = folder
        self._types = tuple(types)
        self.user = folder / "user_ed25519"
        """The private key; the public one stands beside it."""
        _generate(self.user, "ed25519")

    @property
    def authorized(self) -> str:
        return self.user.with_suffix(".pub").read_text(encoding="ascii")

    def host_keys(self, server: str) -> dict[str, Path]:
        """By type; made when they are first asked for. Those of ``dropbear`` are in its own format."""
        found = {kind: self._folder / f"{server}_{kind}" for kind in self._types}
        for kind, path in found.items():
            if not path.exists():
                _generate(path, kind)
        return found

    def in_dropbear_format(self, path: Path) -> Path:
        converted = path.with_suffix(".dropbear")
        if not converted.exists():
            run(program("dropbearconvert"), "openssh", "dropbear", str(path), str(converted))
        return converted

    def known_hosts(self, server: str, host: str, port: int) -> str:
        """Lines of a known_hosts file."""
        publics = (path.with_suffix(".pub") for path in self.host_keys(server).values())
        return "".join(f"[{host}]:{port} {' '.join(path.read_text(encoding='ascii').split()[:2])}\n" for path in publics)


def _generate(path: Path, kind: str) -> None:
    # Small for RSA, because it is the slow one; PEM, because dropbearconvert reads nothing newer.
    size = ("-b", "2048") if kind == "rsa" else ()
    run(program("ssh-keygen"), "-q", "-t", kind, *size, "-N", "", "-C", "lab", "-m", "PEM", "-f", str(path))
