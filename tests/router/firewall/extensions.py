# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matches and targets that home routers' own firewalls use: state, conntrack, tcp, udp, limit, LOG, REJECT, TCPMSS."""

from __future__ import annotations

from dataclasses import dataclass, field

from .addresses import read_number
from .dialect import UsageError
from .packet import PROTOCOLS, Packet

STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED")  # in the order of listings
FLAGS = {"FIN": 0x01, "SYN": 0x02, "RST": 0x04, "PSH": 0x08, "ACK": 0x10, "URG": 0x20}
SERVICES = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68,
    "tftp": 69, "http": 80, "ntp": 123, "snmp": 161, "https": 443,
}  # fmt: skip
SERVICE_NAMES = {number: name for name, number in SERVICES.items()}
LOG_LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
REJECTIONS = (
    "icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
    "icmp-net-prohibited", "icmp-host-prohibited", "tcp-reset", "icmp-admin-prohibited",
)  # fmt: skip
PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
SHORT_PERIODS = {"second": "sec", "minute": "min"}
TICKS = 10000


@dataclass(frozen=True, slots=True)
class Match:
    @property
    def protocol(self) -> int:
        """The protocol without which the kernel refuses this match; 0 for any."""
        return 0

    def copy(self) -> Match:
        """Itself, unless it remembers something."""
        return self

    def applies_to(self, packet: Packet) -> bool:
        raise NotImplementedError

    def show(self, numeric: bool) -> str:
        raise NotImplementedError

    def save(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class StateMatch(Match):
    name: str
    states: frozenset[str]
    inverted: bool = False

    def applies_to(self, packet: Packet) -> bool:
        return (packet.ctstate in self.states) != self.inverted

    def _option(self) -> str:
        return "state" if self.name == "state" else "ctstate"

    def _list(self) -> str:
        return ",".join(state for state in STATES if state in self.states)

    def show(self, numeric: bool) -> str:
        return f" {'! ' if self.inverted else ''}{self._option()} {self._list()}"

    def save(self) -> str:
        return f" -m {self.name}{' !' if self.inverted else ''} --{self._option()} {self._list()}"


@dataclass(frozen=True, slots=True)
class Ports:
    low: int = 0
    high: int = 0xFFFF
    inverted: bool = False

    def contains(self, port: int) -> bool:
        return (self.low <= port <= self.high) != self.inverted

    def show(self, name: str, numeric: bool) -> str:
        if self == Ports():
            return ""
        names = {} if numeric else SERVICE_NAMES
        low, high = (str(names.get(port, port)) for port in (self.low, self.high))
        value = low if self.low == self.high else f"{low}:{high}"
        plural = "" if self.low == self.high else "s"
        return f" {name}{plural}:{'!' if self.inverted else ''}{value}"

    def save(self, name: str) -> str:
        if self == Ports():
            return ""
        value = str(self.low) if self.low == self.high else f"{self.low}:{self.high}"
        return f"{' !' if self.inverted else ''} --{name} {value}"


def flag_names(flags: int) -> str:
    return ",".join(name for name, bit in FLAGS.items() if flags & bit) or "NONE"


@dataclass(frozen=True, slots=True)
class PortMatch(Match):
    """``-p tcp`` or ``-p udp`` with ports; flags are tcp's only."""

    name: str
    source: Ports = Ports()
    destination: Ports = Ports()
    flag_mask: int = 0
    flag_value: int = 0
    flags_inverted: bool = False

    @property
    def protocol(self) -> int:
        return PROTOCOLS[self.name]

    def applies_to(self, packet: Packet) -> bool:
        if packet.protocol != self.name:
            return False
        flags_match = not self.flag_mask or (packet.tcp_flags & self.flag_mask == self.flag_value) != self.flags_inverted
        ports_match = self.source.contains(packet.source_port) and self.destination.contains(packet.destination_port)
        return ports_match and flags_match

    def show(self, numeric: bool) -> str:
        flags = ""
        if self.flag_mask or self.flags_inverted:
            mask, value = flag_names(self.flag_mask), flag_names(self.flag_value)
            pair = f"0x{self.flag_mask:02X}/0x{self.flag_value:02X}" if numeric else f"{mask}/{value}"
            flags = f" flags:{'!' if self.flags_inverted else ''}{pair}"
        ports = self.source.show("spt", numeric) + self.destination.show("dpt", numeric)
        return f" {self.name}{ports}{flags}"

    def save(self) -> str:
        flags = ""
        if self.flag_mask or self.flags_inverted:
            sign = " !" if self.flags_inverted else ""
            flags = f"{sign} --tcp-flags {flag_names(self.flag_mask)} {flag_names(self.flag_value)}"
        return f" -m {self.name}{self.source.save('sport')}{self.destination.save('dport')}{flags}"


@dataclass(frozen=True, slots=True)
class LimitMatch(Match):
    """Lets a burst through and then nothing more: time does not pass for the rule engine."""

    period: int = PERIODS["hour"] * TICKS // 3
    burst: int = 5
    used: list[int] = field(default_factory=lambda: [0], compare=False)

    def copy(self) -> LimitMatch:
        return LimitMatch(self.period, self.burst, list(self.used))

    def applies_to(self, packet: Packet) -> bool:
        self.used[0] += packet.count
        return self.used[0] <= self.burst

    def rate(self) -> str:
        """The smallest unit that still shows a whole-looking number, as iptables rounds it."""
        chosen = ""
        for name, seconds in reversed(PERIODS.items()):
            ticks = seconds * TICKS
            if chosen and (self.period > ticks or ticks // self.period < ticks % self.period):
                break
            chosen = f"{ticks // self.period}/{SHORT_PERIODS.get(name, name)}"
        return chosen

    def show(self, numeric: bool) -> str:
        return f" limit: avg {self.rate()} burst {self.burst}"

    def save(self) -> str:
        return f" -m limit --limit {self.rate()}" + (f" --limit-burst {self.burst}" if self.burst != 5 else "")


@dataclass(frozen=True, slots=True)
class Target:
    """A target extension with its options. One that does not terminate lets the walk go on."""

    name: str
    numeric: str
    words: str
    saved: str
    terminates: bool = False

    def show(self, numeric: bool) -> str:
        return self.numeric if numeric else self.words


def log_target(level: int, prefix: str) -> Target:
    shown = f' prefix "{prefix}"' if prefix else ""
    saved = f' --log-prefix "{prefix}"' if prefix else ""
    return Target(
        "LOG",
        numeric=f" LOG flags 0 level {level}{shown}",
        words=f" LOG level {LOG_LEVELS[level]}{shown}",
        saved=saved + (f" --log-level {level}" if level != 4 else ""),
    )


def reject_target(reply: str) -> Target:
    text = f" reject-with {reply}"
    return Target("REJECT", numeric=text, words=text, saved=f" --reject-with {reply}", terminates=True)


def mss_target(mss: int | None) -> Target:
    text = " TCPMSS clamp to PMTU" if mss is None else f" TCPMSS set {mss}"
    saved = " --clamp-mss-to-pmtu" if mss is None else f" --set-mss {mss}"
    return Target("TCPMSS", numeric=text, words=text, saved=saved)


def read_ports(text: str, inverted: bool) -> Ports:
    low, colon, high = text.partition(":")
    first = _read_port(low, 0)
    last = _read_port(high, 0xFFFF) if colon else first
    if first > last:
        raise UsageError("invalid portrange (min > max)")
    return Ports(first, last, inverted)


def _read_port(text: str, empty: int) -> int:
    if not text:
        return empty
    number = SERVICES.get(text, read_number(text, 0, 0xFFFF))
    if number is None:
        raise UsageError(f"invalid port/service `{text}' specified")
    return number


def read_flags(text: str) -> int:
    bits = 0
    for word in text.split(","):
        if word.upper() == "ALL":
            bits |= 0x3F
        elif word.upper() != "NONE":
            bits |= _flag(word)
    return bits


def _flag(word: str) -> int:
    if word.upper() not in FLAGS:
        raise UsageError(f"Unknown TCP flag `{word}'")
    return FLAGS[word.upper()]


def read_rate(text: str) -> int:
    count, slash, unit = text.partition("/")
    number = read_number(count, 1, TICKS)
    name = next((name for name in PERIODS if unit and name.startswith(unit.lower())), "" if slash else "second")
    if number is None or not name:
        raise UsageError(f'bad rate "{text}"\'')
    return PERIODS[name] * TICKS // number


def read_states(option: str, text: str) -> frozenset[str]:
    """A list of states; the beginning of a word will do."""
    words = text.upper().split(",")
    states = []
    for position, word in enumerate(words):
        # In the order in which iptables tries them; no two states share a first letter.
        found = next((state for state in STATES if word and state.startswith(word)), None)
        if not word and position == len(words) - 1:
            raise UsageError(f'"--{option}" requires a list of states with no spaces, e.g. ESTABLISHED,RELATED')
        if found is None:
            raise UsageError(f'Bad {option} "{",".join(text.split(",")[position:])}"')
        states.append(found)
    return frozenset(states)
