# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv4 addresses and masks, read and printed the way iptables does.

A partial dotted address is completed with zeros *at its end* and stays a host (``10.2`` is 10.2.0.0/32): a command
that was cut in the middle of an address is a valid command for another one. Numbers may be octal or hexadecimal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .dialect import UsageError

ALL_ONES = 0xFFFFFFFF
_NUMBER = re.compile(r"[ \t\n\v\f\r]*\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z")


def read_number(text: str, low: int, high: int) -> int | None:
    """What strtoumax(base 0) makes of it, or None when that is no whole number between the bounds."""
    found = _NUMBER.match(text)
    if not found:
        return None
    digits = found[1]
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    value = int(digits, base)
    return value if low <= value <= high else None


def _octets(text: str, *, complete: bool) -> int | None:
    parts = text[:19].split(".", 3)
    if len(parts) < 4 and not complete:
        return None
    value = 0
    for part in parts:
        octet = read_number(part, 0, 255)
        if octet is None:
            return None
        value = value << 8 | octet
    return value << 8 * (4 - len(parts))


@lru_cache(65536)
def read_address(text: str) -> int:
    value = _octets(text, complete=True)
    if value is None:
        raise UsageError(f"host/network `{text}' not found")
    return value


def read_mask(text: str) -> int:
    dotted = _octets(text, complete=False)
    if dotted is not None:
        return dotted
    bits = read_number(text, 0, 32)
    if bits is None:
        raise UsageError(f"invalid mask `{text}' specified")
    return ALL_ONES << (32 - bits) & ALL_ONES


@dataclass(frozen=True)
class Network:
    """An address with a mask; ``0.0.0.0/0`` is anywhere."""

    address: int = 0
    mask: int = 0

    def contains(self, address: int) -> bool:
        return address & self.mask == self.address

    def show(self, numeric: bool) -> str:
        if not self.mask and not numeric:
            return "anywhere"
        return dotted(self.address) + _mask_suffix(self.mask)

    def show_saved(self) -> str:
        return f"{dotted(self.address)}{_mask_suffix(self.mask) or '/32'}"


ANYWHERE = Network()


def read_networks(text: str) -> list[Network]:
    """A comma-separated list of ``address[/mask]``."""
    return [_read_network(item.lstrip(" \t\n\v\f\r")) for item in text.split(",")]


def _read_network(text: str) -> Network:
    name, slash, mask_text = text.rpartition("/")
    if not slash:
        return Network(read_address(text), ALL_ONES)
    mask = read_mask(mask_text)
    # A null mask makes the real tool ignore the name, whatever it is.
    return Network(read_address(name) & mask, mask) if mask else ANYWHERE


@lru_cache(65536)
def dotted(address: int) -> str:
    return ".".join(str(address >> shift & 0xFF) for shift in (24, 16, 8, 0))


@lru_cache(1024)
def _mask_suffix(mask: int) -> str:
    bits = bin(mask).count("1")
    if mask != ALL_ONES << (32 - bits) & ALL_ONES:
        return "/" + dotted(mask)
    return "" if bits == 32 else f"/{bits}"
