# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's kernel for virtual machines, unpacked into the checkout's cache and nowhere else.

``python tests/vm/kernel.py`` gets it, and says in one line what is missing where that cannot be done.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "vm"
QEMU = "qemu-system-x86_64"
PACKAGE = "linux-image-cloud-amd64"  # depends on the package of today's version
REAL = re.compile(r"linux-image-\d[\w.+-]*-cloud-amd64")
SECONDS = 300


class Missing(Exception):
    """Why there can be no virtual machine here."""


class Kernel:
    """An unpacked package."""

    def __init__(self, folder: Path) -> None:
        (self.image,) = (folder / "boot").glob("vmlinuz-*")
        self._modules = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}

    @property
    def version(self) -> str:
        return self.image.name.removeprefix("vmlinuz-")

    def modules(self, wanted: Iterable[str]) -> list[Path]:
        """The files of these modules and of those that they need, in the order in which they can be loaded."""
        found: dict[str, Path] = {}
        for name in wanted:
            self._add(name, found)
        return list(found.values())

    def _add(self, name: str, found: dict[str, Path]) -> None:
        if name in found:
            return
        path = self._modules[name]
        needs = re.search(rb"\0depends=([\w,-]*)\0", path.read_bytes())
        for other in needs.group(1).decode().replace("-", "_").split(",") if needs else []:
            if other:
                self._add(other, found)
        found[name] = path


def kernel() -> Kernel:
    """Today's, or the one that is there already."""
    if not shutil.which(QEMU):
        raise Missing(f"there is no {QEMU} (on Debian: apt install --no-install-recommends qemu-system-x86)")
    here = sorted(CACHE.glob("linux-image-*"))
    if here:
        return Kernel(here[-1])
    for tool in ("apt-cache", "apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise Missing(f"no {tool}: the virtual router has Debian's kernel, and can be had on Debian only")
    return Kernel(_fetch())


def _fetch() -> Path:
    try:
        return _download()
    except Missing:
        if os.geteuid() != 0:
            raise
    _run("apt-get", "update", "-qq")  # its lists may be older than what the mirror has
    return _download()


def _download() -> Path:
    name = REAL.search(_run("apt-cache", "depends", PACKAGE))
    if not name:
        raise Missing(f"apt knows no {PACKAGE}: the virtual router has Debian's kernel for amd64")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        _run("apt-get", "download", "-qq", name.group(), folder=folder)
        (package,) = Path(folder).glob("*.deb")
        _run("dpkg-deb", "-x", str(package), f"{folder}/unpacked")
        return Path(f"{folder}/unpacked").rename(CACHE / name.group())


def _run(*words: str, folder: str | None = None) -> str:
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{' '.join(words)} took more than {SECONDS} s") from error
    if done.returncode:
        raise Missing(f"{' '.join(words)}: {done.stderr.strip().rpartition(chr(10))[2] or done.returncode}")
    return done.stdout


if __name__ == "__main__":
    try:
        kernel()
    except Missing as why:
        sys.exit(f"no virtual router here: {why}")
