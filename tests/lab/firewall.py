# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall that the router's firmware makes, and the ways in which firmware makes it again."""

from __future__ import annotations

from collections.abc import Iterable

from .box import Box
from .spec import LabSpec

WAYS = ("rebuild", "insert", "replace")


def forward_rules(spec: LabSpec) -> list[str]:
    return [
        f"-A FORWARD -i {spec.lan} -j parental",
        "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",
        f"-A FORWARD -i {spec.lan} -j ACCEPT",
        "-A FORWARD -j DROP",
    ]


def rules(spec: LabSpec, *, ipv6: bool = False) -> dict[str, list[str]]:
    """By table, as iptables-restore reads them."""
    blocked = "2001:db8:1::250" if ipv6 else "192.168.1.250"
    parental = [":parental - [0:0]", f"-A parental -s {blocked} -p tcp --dport 80 -j DROP", "-A parental -j RETURN"]
    tables = {"filter": [*parental, *forward_rules(spec)]}
    clamp = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    tables["mangle"] = [f"-A FORWARD -o {spec.wan} {clamp}"]
    if not ipv6:
        tables["nat"] = [f"-A POSTROUTING -o {spec.wan} -j MASQUERADE"]
    return tables


def install(router: Box, spec: LabSpec, tables: Iterable[str] = ("filter", "mangle", "nat")) -> None:
    """Replace whole tables, whatever is in them."""
    for words, ipv6 in ((("iptables-restore",), False), *(((("ip6tables-restore",), True),) if spec.ipv6 else ())):
        wanted = rules(spec, ipv6=ipv6)
        text = "".join(_restore_text(table, wanted[table]) for table in tables if table in wanted)
        router.tool(*words, stdin=text)


def _restore_text(table: str, lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (f"*{table}", *lines, "COMMIT"))


def reload(router: Box, spec: LabSpec, way: str, table: str = "filter") -> None:
    """``rebuild`` flushes FORWARD and fills it again, ``insert`` puts rules above all others, ``replace`` takes a whole table."""
    if way == "rebuild":
        rebuilt = [line for line in rules(spec)[table] if line.startswith("-A FORWARD")]
        _run_commands(router, table, ["-F FORWARD", *rebuilt])
    elif way == "insert":
        accept, drop = (" -j ACCEPT", " -j DROP") if table == "filter" else ("", "")
        mail = f"-I FORWARD 1 -i {spec.lan} -p tcp --dport 25{drop}"
        _run_commands(router, table, [mail, f"-I FORWARD 1 -m state --state RELATED,ESTABLISHED{accept}"])
    elif way == "replace":
        install(router, spec, [table])
    else:
        raise ValueError(f"{way!r} is none of {', '.join(WAYS)}")


def _run_commands(router: Box, table: str, lines: Iterable[str]) -> None:
    """One after the other, as the scripts of firmware do it."""
    router.tool("sh", "-e", stdin="".join(f"iptables -t {table} {line}\n" for line in lines))


def foreign(router: Box, chain: str, table: str, *, counters: bool) -> str:
    """A table without ``chain``, its sub-chains and the jumps to them; ``counters``: those of what is forwarded."""
    lines = router.tool("iptables-save", *(["-c"] if counters else []), "-t", table).splitlines()
    kept = (line for line in lines if not line.startswith("#") and not _names(line, chain))
    # The other chains have policies that count what the router says by itself, such as who listens to which multicast group.
    return "".join(f"{line.split(' [')[0] if line[0] == ':' and not (counters and 'FORWARD' in line) else line}\n" for line in kept)


def _names(line: str, chain: str) -> bool:
    return any(word.lstrip(":").startswith(chain) for word in line.split())
