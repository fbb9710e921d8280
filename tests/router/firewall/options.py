# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that ``-m MATCH`` and ``-j TARGET`` bring to the command line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .addresses import read_number
from .dialect import UsageError
from .extensions import (
    LOG_LEVELS,
    PERIODS,
    REJECTIONS,
    TICKS,
    LimitMatch,
    Match,
    PortMatch,
    StateMatch,
    Target,
    log_target,
    mss_target,
    read_flags,
    read_ports,
    read_rate,
    read_states,
    reject_target,
)
from .icmp import read_icmp

Given = list[tuple[str, str, bool]]
MATCH_OPTIONS: dict[str, dict[str, int]] = {
    "state": {"state": 1},
    "conntrack": {"ctstate": 1, "ctstatus": 1, "ctproto": 1, "ctorigsrc": 1, "ctorigdst": 1, "ctexpire": 1, "ctdir": 1},
    "tcp": {"source-port": 1, "sport": 1, "destination-port": 1, "dport": 1, "syn": 0, "tcp-flags": 1, "tcp-option": 1},
    "udp": {"source-port": 1, "sport": 1, "destination-port": 1, "dport": 1},
    "icmp": {"icmp-type": 1},
    "limit": {"limit": 1, "limit-burst": 1},
}
STATE_MISSING = 'state: option "--state" must be specified\n'
# Known by name, so that a shortened option is as ambiguous as on the real one, but not emulated.
NOT_EMULATED = {"ctstatus", "ctproto", "ctorigsrc", "ctorigdst", "ctexpire", "ctdir", "tcp-option"}
TARGET_OPTIONS: dict[str, dict[str, int]] = {
    "ACCEPT": {},
    "DROP": {},
    "QUEUE": {},
    "RETURN": {},
    "REJECT": {"reject-with": 1},
    "LOG": {"log-level": 1, "log-prefix": 1},
    "TCPMSS": {"set-mss": 1, "clamp-mss-to-pmtu": 0},
}


@dataclass
class Extension:
    """One ``-m`` or ``-j`` while its options are being collected."""

    name: str
    options: dict[str, int]
    given: Given = field(default_factory=list)

    def take(self, option: str, value: str, inverted: bool) -> None:
        if option in NOT_EMULATED:
            raise UsageError(f"the emulated router does not know --{option}")
        self.given.append((option, value, inverted))

    def build_match(self) -> Match:
        if self.name in ("state", "conntrack"):
            return _state(self.name, self.given)
        if self.name in ("tcp", "udp"):
            return _ports(self.name, self.given)
        return _icmp(self.given) if self.name == "icmp" else _limit(self.given)

    def build_target(self) -> Target | None:
        values = {option: value for option, value, inverted in self.given}
        if self.name == "LOG":
            return log_target(_log_level(values.get("log-level", "4")), values.get("log-prefix", "")[:29])
        if self.name == "REJECT":
            return reject_target(_rejection(values.get("reject-with", "icmp-port-unreachable")))
        return _mss(values) if self.name == "TCPMSS" else None


def open_match(name: str) -> Extension:
    if name not in MATCH_OPTIONS:
        raise UsageError(f"Couldn't load match `{name}':No such file or directory\n")
    return Extension(name, MATCH_OPTIONS[name])


def missing_target(name: str) -> UsageError:
    return UsageError(f"Couldn't load target `{name}':No such file or directory\n")


def _state(name: str, given: Given) -> Match:
    if not given:
        raise UsageError(STATE_MISSING if name == "state" else "conntrack: At least one option is required")
    option, value, inverted = given[-1]
    return StateMatch(name, read_states(option, value), inverted)


def _ports(name: str, given: Given) -> Match:
    match = PortMatch(name)
    for option, value, inverted in given:
        if option in ("sport", "source-port"):
            match = replace(match, source=read_ports(value, inverted))
        elif option in ("dport", "destination-port"):
            match = replace(match, destination=read_ports(value, inverted))
        else:
            mask, wanted = ("FIN,SYN,RST,ACK", "SYN") if option == "syn" else value.split("\n")
            match = replace(match, flag_mask=read_flags(mask), flag_value=read_flags(wanted), flags_inverted=inverted)
    return match


def _icmp(given: Given) -> Match:
    value, inverted = given[-1][1:] if given else ("any", False)
    return read_icmp(value, inverted)


def _limit(given: Given) -> Match:
    values = {option: value for option, value, inverted in given}
    burst = read_number(values.get("limit-burst", "5"), 0, 10000)
    if burst is None:
        raise UsageError(f'limit: Bad value for "--limit-burst" option: "{values["limit-burst"]}"')
    period = read_rate(values["limit"]) if "limit" in values else PERIODS["hour"] * TICKS // 3
    return LimitMatch(period, burst)


def _log_level(text: str) -> int:
    number = read_number(text, 0, 7)
    if number is not None:
        return number
    level = next((i for i, name in enumerate(LOG_LEVELS) if name.startswith(text.lower())), None)
    if level is None:
        raise UsageError(f'log-level "{text}" unknown')
    return level


def _rejection(text: str) -> str:
    found = next((name for name in REJECTIONS if name.startswith(text.lower())), None)
    if found is None:
        raise UsageError(f'unknown reject type "{text}"')
    return found


def _mss(values: dict[str, str]) -> Target:
    if not values:
        raise UsageError("TCPMSS: At least one option is required")
    return mss_target(read_number(values.get("set-mss", ""), 0, 0xFFFF))


__all__ = ["MATCH_OPTIONS", "TARGET_OPTIONS", "Extension", "Given", "missing_target", "open_match"]
