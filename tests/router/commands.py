# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the Broadcom CLI. A *system* answers what they ask: the emulated router, or this machine's kernel."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Protocol

from . import layouts

HELP = (
    "?", "help", "logout", "exit", "quit", "cat", "echo", "ifconfig", "sysinfo", "arp", "lanhosts", "route",
    "defaultgateway", "swversion", "uptime", "iptables",
)  # fmt: skip
LOG_OUT = ("exit", "logout", "quit")
LINE = "388"


class System(Protocol):
    """What a command may ask of the device."""

    def arp(self) -> list[layouts.ArpEntry]: ...
    def leases(self) -> list[layouts.LeaseEntry]: ...
    def routes(self) -> list[layouts.Route]: ...
    def interfaces(self) -> list[layouts.Interface]: ...
    def uptime(self) -> float: ...
    def iptables(self, words: list[str]) -> str | None: ...
    def option(self, name: str) -> str: ...
    def files(self) -> Mapping[str, str]: ...


def answer(system: System, line: str) -> str:
    """The output of one command, LF line ends; never the prompt, never a log-out."""
    words = line.split()
    if not words:
        return ""
    handlers: dict[str, Callable[[System, list[str], str], str]] = {
        "arp": _arp, "lanhosts": _lanhosts, "route": _route, "ifconfig": _ifconfig, "cat": _cat, "echo": _echo,
        "sysinfo": _sysinfo, "uptime": _uptime, "swversion": _swversion, "help": _help, "?": _help,
        "iptables": _iptables, "defaultgateway": _defaultgateway,
    }  # fmt: skip
    handler = handlers.get(words[0])
    return handler(system, words, line) if handler and words[0] != system.option("no_command") else unrecognized(system, line)


def unrecognized(system: System, line: str) -> str:
    return f"telnetd:error:{system.uptime():.3f}:processInput:{LINE}:unrecognized command {line.strip()}\n"


def _usage(*forms: str) -> str:
    return "\nUsage: " + "       ".join(f"{form}\n" for form in forms)


def _arp(system: System, words: list[str], line: str) -> str:
    if words[1:] != ["show"]:
        return _usage("arp add <IP address> <MAC address>", "arp delete <IP address>", "arp show", "arp --help")
    return layouts.arp_table(system.arp(), blank_line=system.option("arp_blank_line") == "yes")


def _lanhosts(system: System, words: list[str], line: str) -> str:
    if words[1:2] != ["show"] or len(words) != 3:
        return _usage("lanhosts show all", "lanhosts show <bridge name>", "lanhosts --help")
    bridge = system.option("lan")
    if words[2] not in ("all", bridge):
        return ""
    return layouts.lease_table(system.leases(), system.option("lanhosts_layout"), bridge)


def _route(system: System, words: list[str], line: str) -> str:
    if words[1:] != ["show"]:
        return _usage("route add <IP address> <subnet mask> [metric hops]", "route delete <IP address>", "route show")
    return layouts.route_table(system.routes())


def _ifconfig(system: System, words: list[str], line: str) -> str:
    items = system.interfaces()
    if words[1:] in ([], ["-a"]):
        return "".join(layouts.interface_text(item) for item in items)
    chosen = [item for item in items if item.name == words[1]]
    if not chosen:
        return f"ifconfig: {words[1]}: error fetching interface information: Device not found\n"
    return layouts.interface_text(chosen[0])


def _cat(system: System, words: list[str], line: str) -> str:
    files: dict[str, Callable[[], str]] = {
        "/proc/uptime": lambda: f"{system.uptime():.2f} {system.uptime() * 0.92:.2f}\n",
        "/proc/net/dev": lambda: layouts.proc_net_dev(system.interfaces()),
        "/proc/net/arp": lambda: layouts.proc_net_arp(system.arp()),
        **{name: lambda text=text: text for name, text in system.files().items()},
    }
    return "".join(
        files[name]() if name in files else f"cat: {name}: No such file or directory\n" for name in words[1:]
    )


def _echo(system: System, words: list[str], line: str) -> str:
    return line.strip()[len("echo") :].lstrip() + "\n"


def _sysinfo(system: System, words: list[str], line: str) -> str:
    return layouts.sysinfo_text(system.uptime())


def _uptime(system: System, words: list[str], line: str) -> str:
    return layouts.uptime_text(system.uptime())


def _swversion(system: System, words: list[str], line: str) -> str:
    return f"{system.option('software')}\n" if words[1:] in ([], ["show"]) else _usage("swversion show")


def _help(system: System, words: list[str], line: str) -> str:
    return "".join(f"{word}\n" for word in HELP)


def _defaultgateway(system: System, words: list[str], line: str) -> str:
    if words[1:] != ["show"]:
        return _usage(
            "defaultgateway config auto",
            "defaultgateway config static <[<IP address>] [<interface>]>",
            "defaultgateway show",
            "defaultgateway --help",
        )
    default = [route.interface for route in system.routes() if route.destination == "default"]
    return f"Default Gateway: {default[0]}\n" if default else "Default Gateway: none\n"


def _iptables(system: System, words: list[str], line: str) -> str:
    try:
        arguments = shlex.split(line)[1:]
    except ValueError:
        return "sh: syntax error: unterminated quoted string\n"
    text = system.iptables(arguments)
    return unrecognized(system, line) if text is None else text
