# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual router's file system, made each time: BusyBox, a few programs of this machine, and the kernel's modules."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.namespaces import SYSTEM_PATH, program

from .kernel import Kernel

GUEST = Path(__file__).with_name("guest")
MODULES = (
    *("virtio_pci", "virtio_net"),
    *("veth", "bridge", "8021q"),
    *("nf_tables", "nft_objref", "nft_ct", "nft_chain_nat", "nft_masq", "nft_fib_inet", "nft_reject_inet", "nf_conntrack_netlink"),
    *("nft_flow_offload", "nf_flow_table_inet"),
)
PROGRAMS = ("nft", "iperf3")
"""They are in /usr/sbin, as is ``ip-full``: BusyBox has an ``ip`` of its own, which is the router's."""


def write(path: Path, kernel: Kernel) -> None:
    """As an archive that the kernel unpacks into memory."""
    with path.open("wb") as file:
        for number, entry in enumerate(_entries(kernel)):
            file.write(_record(number, *entry))
        file.write(_record(0, "TRAILER!!!", 0, b""))


Entry = tuple[str, int, bytes]


def _entries(kernel: Kernel) -> Iterator[Entry]:
    files = {"bin/busybox": program("busybox"), "usr/sbin/ip-full": program("ip")}
    files |= {f"usr/sbin/{name}": program(name) for name in PROGRAMS}
    for source in list(files.values()):
        files |= {library.lstrip("/"): library for library in _libraries(source)}
    order = kernel.modules(MODULES)
    files |= {f"modules/{path.name}": str(path) for path in order}
    contents = {name: (0o755, Path(source).read_bytes()) for name, source in files.items()}
    contents["modules/order"] = (0o644, "".join(f"{path.name}\n" for path in order).encode())
    for source in sorted(GUEST.rglob("*")):
        if source.is_file():
            name = str(source.relative_to(GUEST))
            contents[name] = (0o600 if name == "etc/shadow" else source.stat().st_mode & 0o777, source.read_bytes())
    folders = {str(parent) for name in (*contents, "proc/x", "sys/x", "dev/x", "tmp/x", "run/x", "root/x") for parent in Path(name).parents}
    yield from ((name, stat.S_IFDIR | 0o755, b"") for name in sorted(folders - {"."}))
    yield from ((name, stat.S_IFREG | mode, data) for name, (mode, data) in contents.items())
    yield "bin/sh", stat.S_IFLNK | 0o777, b"busybox"


def _libraries(source: str) -> list[str]:
    ldd = shutil.which("ldd", path=SYSTEM_PATH)
    assert ldd
    told = subprocess.run([ldd, source], capture_output=True, text=True, timeout=20, check=False).stdout
    return re.findall(r"(?:^|=>)\s*(/\S+)", told, re.MULTILINE)


def _record(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One entry in the format of cpio that is called newc."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return b"".join(part + bytes(-len(part) % 4) for part in (head, data))
