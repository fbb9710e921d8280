# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual router to play with: ``python tests/vm``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TESTS = str(Path(__file__).resolve().parents[1])
sys.path[0] = TESTS  # and not this folder, whose modules have everyday names

from vm.fw4 import OFF, OPENWRT  # noqa: E402  the path has to be there first
from vm.kernel import Missing  # noqa: E402
from vm.router import DEVICES, Flow, VirtualRouter, virtual_router  # noqa: E402

CHOICES = {"off": OFF, **OPENWRT}
HELP = f"""Type here:
  traffic [MB]      a download and an upload of the first device (10)
  truth             what passed, counted on the devices
  offload WHAT      software flow offloading as OpenWrt had it: {", ".join(CHOICES)}
  reload, restart   the firewall, as fw4 does it
  Ctrl-D            end"""


def main() -> int:
    argparse.ArgumentParser(prog="python tests/vm", description="A virtual router until Ctrl-D, on this machine's loopback.").parse_args()
    try:
        with virtual_router() as router:
            host, port = router.telnet
            print(f"Linux {router.machine.kernel}\nInventory: {_inventory(host, port)}")
            print(f"Log in:    telnet {host} {port}   (root, admin)\n{HELP}")
            for line in sys.stdin:
                _obey(router, line.split())
    except Missing as why:
        print(f"no virtual router here: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _inventory(host: str, port: int) -> str:
    options = {"ansible_host": host, "ansible_port": port, "ansible_user": "root", "ansible_password": "admin"}
    words = " ".join(f"{key}={value}" for key, value in options.items())
    return f"home {words} ansible_connection=homenet.traffic.telnet    (in a group [routers])"


def _obey(router: VirtualRouter, words: list[str]) -> None:
    try:
        match words:
            case ["traffic", *size]:
                amount = int(size[0] if size else 10) * 1_000_000
                device = next(iter(DEVICES))
                router.flows(Flow(device, amount), Flow(device, amount, "up"))
            case ["truth"]:
                for address, passed in router.settle().items():
                    print(f"  {address:18} {passed}")
            case ["offload", what] if what in CHOICES:
                router.load(CHOICES[what])
            case ["reload"]:
                router.reload()
            case ["restart"]:
                router.restart()
            case []:
                pass
            case _:
                print(HELP)
    except (RuntimeError, TimeoutError, ValueError) as error:
        print(error)


if __name__ == "__main__":
    sys.exit(main())
