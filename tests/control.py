# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ansible against emulated routers: what a user types, and what comes back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.router import Router

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 120  # seconds for a run, far more than any takes

Variables = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished run."""

    status: int
    out: str

    def result(self, router: str = "home") -> dict[str, Any]:
        """An ad-hoc command's result for a router, with its state (``CHANGED``, ``UNREACHABLE!`` ...) as ``_state``."""
        found = re.search(rf"^{re.escape(router)} \| (\S+) => (\{{.*?^\}}|\{{.*?\}}$)", self.out, re.MULTILINE | re.DOTALL)
        assert found, self.out
        return {"_state": found.group(1), **json.loads(found.group(2))}

    def recap(self, router: str = "home") -> dict[str, int]:
        """The numbers of the recap."""
        found = re.search(rf"^{re.escape(router)}\s+: (.*)$", self.out, re.MULTILINE)
        assert found, self.out
        return {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", found.group(1))}


@dataclass(frozen=True)
class Place:
    """Where a router is that is not an emulated one of this process."""

    host: str
    port: int
    name: str = "home"
    password: str = "admin"
    """Empty: there is none."""


Routers = Router | Place | Iterable[Router | Place]


def places(routers: Routers) -> list[Place]:
    several = [routers] if isinstance(routers, (Router, Place)) else list(routers)
    return [
        one if isinstance(one, Place) else Place(one.host, one.port, one.spec.name, one.spec.password) for one in several
    ]


def _password(place: Place) -> Variables:
    return {"ansible_password": place.password} if place.password else {}


@dataclass(frozen=True)
class Control:
    """A control node with an inventory of these routers; reports go to its folder."""

    folder: Path

    def inventory(self, routers: Routers, variables: Variables) -> Path:
        hosts = {
            place.name: {"ansible_host": place.host, "ansible_port": place.port, **_password(place)} for place in places(routers)
        }
        common = {"ansible_connection": "homenet.traffic.telnet", "ansible_user": "admin", **variables}
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"routers": {"hosts": hosts, "vars": common}}), encoding="utf-8")
        return path

    def command(self, *words: str) -> Sequence[str]:
        """The command line for one of Ansible's programs."""
        return [str(Path(sys.executable).with_name(words[0])), *words[1:]]

    def run(self, *words: str, **settings: str) -> Run:
        """Run a command of Ansible's, with settings of Ansible's as environment variables."""
        keep = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environment = {
            **keep,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
            "ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
            **settings,
        }
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=environment, capture_output=True, timeout=LIMIT, check=False
        )
        return Run(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))

    def module(self, routers: Routers, name: str, *flags: str, **arguments: Any) -> Run:
        """Run one of our modules. Arguments that begin with ``ansible_`` or ``traffic_`` are variables."""
        variables = {key: value for key, value in arguments.items() if key.startswith(("ansible_", "traffic_"))}
        options = {key: value for key, value in arguments.items() if key not in variables}
        given = json.dumps(options) if options else ""
        inventory = self.inventory(routers, variables)
        return self.run("ansible", "routers", "-i", str(inventory), "-m", f"homenet.traffic.{name}", "-a", given, *flags)

    def playbook(self, routers: Routers, name: str, *flags: str, **variables: Any) -> Run:
        """Run one of our playbooks."""
        inventory = self.inventory(routers, variables)
        return self.run("ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / f"{name}.yml"), *flags)
