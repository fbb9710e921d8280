# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to build a lab: root has it, and everybody else gets it in a user namespace where the kernel allows that.

``python tests/lab/privileges.py`` tries it, and says in one line what is missing.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, SUCCEED_WITHOUT_DOING = 0x7FFF0000, 0x00050000
SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "armv7l": 206, "i686": 206, "ppc64le": 81, "s390x": 206}


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(Instruction))]


def enter() -> None:
    """Make this process root of namespaces of its own, unless it is root. It must not have threads yet."""
    if os.geteuid() == 0:
        return
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "no user namespace")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "no mounts of its own")
    # For /run/netns and the lock of xtables.
    _check(libc.mount(b"lab", b"/run", b"tmpfs", ctypes.c_ulong(0), b"mode=0755"), "no /run of its own")
    _pretend_groups(libc)
    # Files in /tmp that are named after user 0 may be the real root's.
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="hnt-tmp-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def single_user() -> bool:
    """Whether there is nobody here but root, as in a namespace that a user made."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii").split()[2] == "1"


def missing() -> str:
    """One line about why no lab can be built here; empty when it can. Tried in a process of its own."""
    done = subprocess.run([sys.executable, "-I", __file__], capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else (done.stdout.strip() or done.stderr.strip().rpartition("\n")[2])


def _pretend_groups(libc: ctypes.CDLL) -> None:
    """Let setgroups() succeed and do nothing: login, dropbear and sshd insist on it, and here it is forbidden."""
    number = SETGROUPS[os.uname().machine]
    steps = ((LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, SUCCEED_WITHOUT_DOING), (RETURN, 0, 0, ALLOW))
    program = Program(len(steps), (Instruction * len(steps))(*(Instruction(*step) for step in steps)))
    _check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "no seccomp filter")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from lab.network import lab

    try:
        enter()
        with lab(hosts=1, servers=()) as network:
            assert network.ping(network.hosts[0]), "a ping got lost"
    except Exception as error:  # whatever it is, it is the reason
        print(f"no lab here, which needs root or a kernel that lets users make namespaces: {' '.join(str(error).split())}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
