# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: a playground of emulated routers, and the control of one that runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from .control import ControlClient, ControlError, ControlServer, describe
from .faults import Faults
from .real import login
from .server import Fleet
from .spec import RouterSpec, fleet, hostile_hosts

LOGIN_HELP = "log in with:   telnet {host} {port}      user {user}, password {password}"


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["control"]:
        return control(words[1:])
    if words[:1] == ["login"]:
        return login(words[1:])
    options = _parser().parse_args(words)
    try:
        return asyncio.run(_playground(options))
    except (OSError, ValueError) as error:
        print(f"python tests/router: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tests/router",
        description="Emulated Broadcom DSL routers on loopback, to try things on. "
        "'python tests/router control --help' steers one that runs.",
    )
    parser.add_argument("--routers", type=int, default=1, metavar="N", help="how many (1)")
    parser.add_argument("--hosts", type=int, default=15, metavar="N", help="hosts behind each (15)")
    parser.add_argument("--hostile", action="store_true", help="one host for every hostile name instead")
    parser.add_argument("--name", default="home", help="name of a single router (home)")
    parser.add_argument("--prefix", default="router", help="names of many: PREFIX0001 ... (router)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="first port; the others follow (any free ones)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same hosts (1)")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="admin")
    parser.add_argument("--prompt", default=" > ")
    parser.add_argument("--max-sessions", type=int, default=2, metavar="N", help="at once, 0 for any number (2)")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=JSON", help="see router/faults.py")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="write an Ansible inventory")
    parser.add_argument("--ready", type=Path, metavar="FILE", help="write addresses as JSON once everything listens")
    parser.add_argument("--pid-file", type=Path, metavar="FILE")
    parser.add_argument("--control-port", type=int, default=0, metavar="P", help="for the control socket (any free one)")
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="end after this time")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser


def _specs(options: argparse.Namespace) -> list[RouterSpec]:
    faults = Faults().changed(**dict(_fault(text) for text in options.fault))
    return fleet(
        options.routers,
        seed=options.seed,
        first_port=options.port,
        prefix=options.prefix,
        name=options.name,
        address=options.address,
        hosts=hostile_hosts() if options.hostile else options.hosts,
        user=options.user,
        password=options.password,
        prompt=options.prompt,
        max_sessions=options.max_sessions,
        faults=faults,
    )


def _fault(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        return name, True
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


async def _playground(options: argparse.Namespace) -> int:
    routers = Fleet(_specs(options))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = ControlServer(routers, stopping.set, options.control_port)
    await routers.start()
    await server.start()
    written = _write_files(options, routers, server.address)
    try:
        if not options.quiet:
            _tell(options, routers, server.address)
        try:
            await asyncio.wait_for(stopping.wait(), options.seconds)
        except asyncio.TimeoutError:
            pass
    finally:
        await server.stop()
        await routers.stop()
        for path in written:
            path.unlink(missing_ok=True)
    return 0


def _write_files(options: argparse.Namespace, routers: Fleet, control_address: tuple[str, int]) -> list[Path]:
    """The files that say "it runs" are taken away again at the end; the inventory stays."""
    if options.inventory:
        _write(options.inventory, inventory(routers))
    state = {
        "pid": os.getpid(),
        "control": list(control_address),
        "routers": [describe(router) for router in routers.routers],
    }
    written = []
    if options.pid_file:
        _write(options.pid_file, f"{os.getpid()}\n")
        written.append(options.pid_file)
    if options.ready:
        _write(options.ready, json.dumps(state, indent=1) + "\n")
        written.append(options.ready)
    return written


def _write(path: Path, text: str) -> None:
    """All at once: a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def inventory(routers: Fleet) -> str:
    """YAML by way of JSON's quoting, which YAML shares."""
    lines = ["---", "routers:", "  hosts:"]
    for router in routers.routers:
        spec = router.spec
        lines.append(f"    {json.dumps(spec.name)}:")
        lines.append(f"      ansible_host: {json.dumps(router.host)}")
        lines.append(f"      ansible_port: {router.port}")
    first = routers.routers[0].spec
    lines += [
        "  vars:",
        "    ansible_connection: homenet.traffic.telnet",
        f"    ansible_user: {json.dumps(first.user)}",
        f"    ansible_password: {json.dumps(first.password)}",
    ]
    return "\n".join(lines) + "\n"


def _tell(options: argparse.Namespace, routers: Fleet, control_address: tuple[str, int]) -> None:
    count = len(routers.routers)
    hosts = sum(host.complete for host in routers.routers[0].hosts.values())
    print(f"{count} emulated router{'s' if count > 1 else ''}, {hosts} hosts behind each:")
    for router in routers.routers[:5]:
        login = LOGIN_HELP.format(host=router.host, port=router.port, user=router.spec.user, password=router.spec.password)
        print(f"  {router.spec.name}   {login}")
    if count > 5:
        print(f"  ... {routers.routers[-1].spec.name} at {routers.routers[-1].host} {routers.routers[-1].port}")
    print("try there:       help, arp show, lanhosts show all, iptables -nvxL FORWARD, exit")
    print(f"let hosts use the link:  python tests/router control --at {control_address[1]} evening")
    if options.inventory:
        print(f"inventory:       {options.inventory}")
    print(f"stop:            Ctrl-C, or kill {os.getpid()}", flush=True)


def control(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python tests/router control",
        description="Steer running emulated routers. Actions: list, use, evening, own, truth, faults, iptables, "
        "firewall, transcript, restart, reconnect, stop; their arguments are in router/control.py.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--at", type=int, metavar="PORT", help="port of the control socket")
    where.add_argument("--ready", type=Path, metavar="FILE", help="the file that --ready wrote")
    parser.add_argument("--router", metavar="NAME", help="which one; not needed when there is one")
    parser.add_argument("action")
    parser.add_argument("arguments", nargs="*", metavar="NAME=JSON", help="for example host=192.168.1.2 download=1000 upload=10")
    options = parser.parse_args(words)
    arguments = dict(_fault(text) for text in options.arguments)
    if options.router:
        arguments["router"] = options.router
    try:
        port = options.at or json.loads(options.ready.read_text(encoding="utf-8"))["control"][1]
        with ControlClient(("127.0.0.1", port)) as client:
            result = client(options.action, **arguments)
    except (OSError, ValueError, ControlError) as error:
        print(f"python tests/router control: {error}", file=sys.stderr)
        return 1
    print(result if isinstance(result, str) else json.dumps(result, indent=1))
    return 0
