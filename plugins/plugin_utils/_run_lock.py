# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change at a time on a router, as far as this control node goes. Private to this collection.

Two runs that both find a host missing would both add its rules. (The second rule would never count, and the next run
would take it away, but it is better not to be there.)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

PATIENCE = 60.0  # seconds; a set-up of a large network over a slow line takes about half of it
PAUSE = 0.1


@contextmanager
def only_run(where: str, patience: float = PATIENCE) -> Iterator[None]:
    """Wait until no other run changes this router. Raises TrafficError when one still does after ``patience`` seconds."""
    try:
        descriptor = os.open(_lock_file(where), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise TrafficError(
            f"{where}: the lock of this run cannot be put into {_folder()}: {error.strerror}. Remove what is there, or set TMPDIR."
        ) from error
    try:
        deadline = time.monotonic() + patience
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise TrafficError(
                    f"{where}: another run on this machine has been changing this router for {patience:g} s. Nothing was "
                    "changed by this one; run it again."
                )
            time.sleep(PAUSE)
        yield
    finally:
        os.close(descriptor)


def _folder() -> Path:
    return Path(tempfile.gettempdir(), f"homenet-traffic-{os.getuid()}")


def _lock_file(where: str) -> Path:
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise TrafficError(f"The folder {folder} belongs to somebody else, so the lock of this run cannot be put there.")
    return folder / hashlib.sha256(where.encode()).hexdigest()[:32]


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
