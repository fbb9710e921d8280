# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readings to report on, as counters_info returns them, and names that want to be more than names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

NOW = datetime(2026, 11, 22, 13, 0, 5, tzinfo=timezone.utc)

HOSTILE_NAMES = [
    "",
    " ",
    "Living  Room TV",
    "n" * 4096,
    "日本語の名前" * 300,
    "<script>alert(1)</script>",
    "</style></td></table><img src=x onerror=alert(1)>",
    "\"><a href='//evil.example'>",
    "&lt;b&gt; &amp; &#60;",
    "{{ 7*7 }}",
    "{% for x in [1] %}{{ x }}{% endfor %}",
    "\x1b[2J\x1b[31mred",
    "one\x0btwo",
    "one\u2028two\u2029three",
    "one\r\ntwo\tthree\x00",
    "evil\u202egnp.exe",
    "zero\u200bwidth\ufeff",
    "z" + "\u0301" * 50,
    "\u0301",
    "$(reboot)",
    "`reboot`",
    "``two`` ```three```",
    "`",
    "=cmd()",
    " =cmd()",
    "\u3000=cmd()",
    "＝cmd()",
    "+1",
    "-1+1|cmd",
    "@SUM(1)",
    "x;=cmd()",
    '"=cmd()"',
    "'=cmd()",
    "a,b",
    'say "hi"',
    "| pipe | and \\| more \\",
    "\\",
    "|",
    "**bold** _it_ ~~gone~~",
    "[x](http://evil.example) ![y](http://evil.example/z.png)",
    "http://evil.example www.evil.example evil@evil.example",
    "@everyone #1 :smile:",
    "# heading",
    "- list",
    " > ",
    "\ud800 lone",
    "👨\u200d👩\u200d👧",
    "کامپیوتر علی",
]


def host(ip: str, name: str | None = None, mac: str | None = "00:11:22:33:44:55") -> dict[str, Any]:
    return {"ip": ip, "mac": mac, "name": name, "interface": "br0"}


def counter(ip: str, download: int | None, upload: int | None) -> dict[str, Any]:
    return {
        "ip": ip,
        "download_bytes": download,
        "download_packets": download and download // 1000,
        "upload_bytes": upload,
        "upload_packets": upload and upload // 100,
    }


def reading(
    hosts: Iterable[dict[str, Any]] = (),
    counters: Iterable[dict[str, Any]] = (),
    unattributed: tuple[int, int] | None = (0, 0),
    problems: Iterable[tuple[str, str]] = (),
    **more: Any,
) -> dict[str, Any]:
    rest = unattributed and {
        "download_bytes": unattributed[0], "download_packets": 0, "upload_bytes": unattributed[1], "upload_packets": 0
    }  # fmt: skip
    counters = list(counters)
    return {
        "changed": False,
        "hosts": list(hosts),
        "names": [],
        "counters": counters,
        "unattributed": rest,
        "wan": [{"interface": "ppp0", "received_bytes": 1, "sent_bytes": 1}],
        "chain": {
            "installed": True,
            "jump_position": 1,
            "references": 1,
            "hosts": len(counters),
            "problems": [{"code": code, "message": message} for code, message in problems],
        },
        "read_at": "2026-11-22T13:00:00+00:00",
        "uptime_seconds": 3600,
        "table": "filter",
        "profile": "broadcom",
        "marker": "127.0.0.1/127.0.0.2",
        **more,
    }


def hour_later(before: dict[str, Any], passed: tuple[int, int], *counters: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The reading an hour after another one, when so many bytes more had passed the WAN interface."""
    received, sent = passed
    wan = [{**one, "received_bytes": one["received_bytes"] + received, "sent_bytes": one["sent_bytes"] + sent} for one in before["wan"]]
    hours = {"read_at": "2026-11-22T14:00:00+00:00", "uptime_seconds": 7200}
    return {**before, **hours, "wan": wan, "counters": list(counters), **more}


def named(names: Iterable[str | None]) -> dict[str, Any]:
    """A reading in which every host has one of the names, and less traffic than the one before."""
    names = list(names)
    addresses = [f"192.168.{1 + number // 250}.{2 + number % 250}" for number in range(len(names))]
    return reading(
        [host(ip, name) for ip, name in zip(addresses, names, strict=True)],
        [counter(ip, 10_000 * (len(names) - at), 1000) for at, ip in enumerate(addresses)],
    )
