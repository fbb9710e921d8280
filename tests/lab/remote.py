# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for a lab from another process, over loopback. A file that only its user can read holds the port and the key."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any


def listen(file: Path, do: Callable[[Sequence[str]], Any]) -> None:
    """Do what others say, until this process is ended; the file is there meanwhile."""
    key = secrets.token_hex(16)
    with Listener(("127.0.0.1", 0), authkey=key.encode()) as listener:
        text = json.dumps({"port": listener.address[1], "key": key})
        _write(file, text)
        try:
            while True:
                _answer(listener, do)
        finally:
            file.unlink()


def _write(file: Path, text: str) -> None:
    """Whole from the moment it is there."""
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(0o600)
    unfinished.write_text(text, encoding="ascii")
    unfinished.rename(file)


def _answer(listener: Listener, do: Callable[[Sequence[str]], Any]) -> None:
    try:
        with listener.accept() as connection:
            words = connection.recv()
            try:
                answer = do(words)
            except Exception as error:  # whatever it is, the other one is to know
                answer = RuntimeError(f"{type(error).__name__}: {error}")
            connection.send(answer)
    except (AuthenticationError, OSError, EOFError):
        pass  # somebody else, or gone already


def ask(file: Path, words: Sequence[str]) -> Any:
    """The answer of the lab; an exception where it was none."""
    place = json.loads(file.read_text(encoding="ascii"))
    with Client(("127.0.0.1", place["port"]), authkey=place["key"].encode()) as connection:
        connection.send(list(words))
        return connection.recv()
