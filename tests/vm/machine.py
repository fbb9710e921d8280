# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine that only this machine's loopback reaches, and that ends with the process that started it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.namespaces import program

from . import image
from .kernel import QEMU, kernel

MEMORY = 320
BOOT = 60.0
TELNET, COMMANDS = 23, 2400
"""The machine's ports: a log-in, and a shell without one for each connection."""


class Machine:
    """A running one. Made by :func:`machine`."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, version: str) -> None:
        self.process = process
        self.kernel = version
        """Its version."""
        self._console = folder / "console"
        deadline = time.monotonic() + BOOT
        self._ports = self._forwarded(folder / "monitor", deadline)
        self._wait(deadline)

    def at(self, port: int) -> tuple[str, int]:
        """Host and port of this machine that lead to one of the virtual machine's."""
        return "127.0.0.1", self._ports[port]

    def run(self, script: str, timeout: float = 60.0) -> str:
        """Lines of shell, to their end; what they printed. Fails loudly."""
        with socket.create_connection(self.at(COMMANDS), timeout) as connection:
            connection.sendall(f"set -e\nexec 2>&1\ntrap 'echo \"exit $?\"' EXIT\n{script}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            chunks = iter(lambda: connection.recv(65536), b"")
            text, _mark, status = b"".join(chunks).decode(errors="replace").rpartition("exit ")
        if status.strip() != "0":
            raise RuntimeError(f"{script}: exit status {status}\n{text}\n{self._last_words()}")
        return text

    def _forwarded(self, monitor: Path, deadline: float) -> dict[int, int]:
        """The ports that QEMU was given by the kernel, which it tells on its monitor only."""
        while not monitor.exists():
            self._alive(deadline)
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(monitor))
            line.sendall(b"info usernet\n")
            text = ""
            while text.count("HOST_FORWARD") < 2:
                text += line.recv(4096).decode(errors="replace")
        found = re.findall(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)", text)
        return {int(inner): int(outer) for outer, inner in found}

    def _wait(self, deadline: float) -> None:
        while True:
            try:
                if "up" in self.run("echo up", timeout=10):
                    return
            except (OSError, RuntimeError):  # not yet
                self._alive(deadline)

    def _alive(self, deadline: float) -> None:
        if self.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the virtual machine did not start ({self.process.poll()}).\n{self._last_words()}")
        time.sleep(0.1)

    def _last_words(self) -> str:
        return self._console.read_text(errors="replace")[-3000:] if self._console.exists() else ""


@contextmanager
def machine() -> Iterator[Machine]:
    """Boot it, and end it by its pid. It dies with this process, too, however that ends."""
    found = kernel()
    folder = Path(tempfile.mkdtemp(prefix="hnt-vm-"))
    try:
        image.write(folder / "initrd", found)
        with (folder / "console").open("wb") as errors:
            process = subprocess.Popen(_command(folder, found.image), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            yield Machine(process, folder, found.version)
        finally:
            process.kill()
            process.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(folder: Path, linux: Path) -> Sequence[str]:
    ports = ",".join(f"hostfwd=tcp:127.0.0.1:0-:{port}" for port in (TELNET, COMMANDS))
    return [
        *(program("setpriv"), "--pdeathsig=KILL", "--", program(QEMU)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-accel", "tcg"),  # everywhere the same; KVM is seldom there where tests run, or does not work
        *("-cpu", "max", "-smp", "1", "-m", str(MEMORY)),
        *("-kernel", str(linux), "-initrd", str(folder / "initrd"), "-append", "console=ttyS0 quiet panic=-1 rdinit=/init"),
        *("-serial", "stdio", "-monitor", f"unix:{folder}/monitor,server=on,wait=off"),
        *("-netdev", f"user,id=management,restrict=on,ipv6=off,{ports}", "-device", "virtio-net-pci,netdev=management,romfile="),
    ]
