# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy command that breaks: ``cut.py HOST PORT BYTES cut|mute`` carries so many bytes of the server, then ends or stays still."""

from __future__ import annotations

import selectors
import socket
import sys
import time


def main(host: str, port: str, left: int, how: str) -> None:
    server = socket.create_connection((host, int(port)))
    ours = socket.socket(fileno=0)
    waiting = selectors.DefaultSelector()
    waiting.register(server, selectors.EVENT_READ, ours)
    waiting.register(ours, selectors.EVENT_READ, server)
    while left > 0:
        for key, _events in waiting.select():
            source: socket.socket = key.fileobj  # type: ignore[assignment]
            data = source.recv(65536)
            if not data:
                return
            if source is server:
                data = data[:left]
                left -= len(data)
            key.data.sendall(data)
    if how == "mute":
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
