# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is using the link right now, in words and a table for the terminal. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._rates import HostSpeed, Live, Speed, headline, live_of, share
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import (
    IP,
    NAME,
    SHARE,
    WIDTH,
    Column,
    Line,
    aligned,
    count_of,
    shown_name,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import cut, human_bits, visible, width, wrapped

NOT_COUNTED = (
    "What was not counted is the router's own traffic, or traffic that bypassed the counters, as acceleration (flow cache, flow "
    "offload) does, and IPv6 where it is not counted: ansible-playbook homenet.traffic.check tells what there is."
)

_DOWN = Column("DOWN", 12, right=True)
_UP = Column("UP", 12, right=True)


def live_text(router: str, result: Mapping[str, Any]) -> list[Line]:
    """Who is using a router's link right now: the answer, and then the rates, the heaviest host first."""
    live = live_of(router, result)
    lines = wrapped(f"{visible(live.router)}: {visible(headline(live))}", WIDTH, following="  ")
    lines.append(f"Measured over {live.seconds:.1f} s, until {live.read_at:%Y-%m-%d %H:%M:%S} UTC.")
    if live.whole.total:
        lines += _table(live)
    if live.idle:
        lines.append(_idle_hosts(live.idle))
    found = [(line, False) for line in lines]
    if live.uncounted.total:
        found += [(line, True) for line in wrapped(NOT_COUNTED, WIDTH, "! ", "  ")]
    for warning in live.warnings:
        found += [(line, False) for line in wrapped(visible(warning.message), WIDTH, "! ", "  ")]
    return found


def _table(live: Live) -> list[str]:
    rows = [_speed_row(live, shown_name(host.name), host.ip, host.speed) for host in live.active]
    if live.others and live.others.total:
        rows.append(_speed_row(live, "others (no counter)", "", live.others))
    if live.uncounted.total:
        rows.append(_speed_row(live, "not counted", "", live.uncounted))
    rows.append(_speed_row(live, f"all that passed {', '.join(live.interfaces)}", "", live.wan))
    return aligned((NAME, IP, _DOWN, SHARE, _UP, SHARE), rows, rules_before=[len(rows) - 1])


def _speed_row(live: Live, name: str, ip: str, speed: Speed) -> list[str]:
    return [
        name,
        ip,
        _rate(speed.download),
        share(speed.download, live.whole.download),
        _rate(speed.upload),
        share(speed.upload, live.whole.upload),
    ]


def _rate(rate: float | None) -> str:
    return "not known" if rate is None else human_bits(rate)


def _idle_hosts(idle: Sequence[HostSpeed]) -> str:
    """All of them in one line, named as far as it goes."""
    line = f"{count_of(len(idle), 'idle host')}: "
    for number, host in enumerate(idle):
        name = ("" if number == 0 else ", ") + cut(visible(host.label), 32)
        left = len(idle) - number - 1
        if width(line + name) + (len(f" and {left} more") if left else 0) > WIDTH:
            return f"{line} and {left + 1} more"
        line += name
    return line
