# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aligned ranges of addresses (CIDR), and how many addresses are shared out among few of them. Private to this collection. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError
from typing import Literal, NamedTuple

Family = Literal[4, 6]

_BITS: dict[Family, int] = {4: 32, 6: 128}


class Block(NamedTuple):
    """All addresses that begin with the same ``length`` bits. ``first`` is the lowest of them, as a number."""

    family: Family
    first: int
    length: int

    def __str__(self) -> str:
        address = IPv4Address(self.first) if self.family == 4 else IPv6Address(self.first)
        return f"{address}/{self.length}"

    @property
    def end(self) -> int:
        """The number behind the last address."""
        return self.first + (1 << _BITS[self.family] - self.length)

    def contains(self, other: Block) -> bool:
        """Whether all addresses of the other are of this one, too."""
        return self.first <= other.first and other.end <= self.end

    def part(self, numbers: Sequence[int]) -> slice:
        """Where the addresses of this block stand in a sorted sequence."""
        return slice(bisect_left(numbers, self.first), bisect_left(numbers, self.end))

    def halves(self) -> tuple[Block, Block]:
        """The two blocks that it is made of."""
        middle = (self.first + self.end) // 2
        return self._replace(length=self.length + 1), Block(self.family, middle, self.length + 1)


@lru_cache(maxsize=4096)
def block_of(text: str) -> Block | None:
    """The block that a text such as ``192.168.1.0/28`` names; None for everything else, single addresses included."""
    family: Family = 6 if ":" in text else 4
    try:
        network = IPv6Network(text) if family == 6 else IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
    block = Block(family, int(network.network_address), network.prefixlen)
    return block if str(block) == text and 0 < block.length < _BITS[family] else None


def everything(family: Family) -> Block:
    """The block of all addresses."""
    return Block(family, 0, 0)


def smallest(family: Family, numbers: Sequence[int]) -> Block:
    """The smallest block that holds all of a sorted sequence of addresses."""
    length = _BITS[family] - (numbers[0] ^ numbers[-1]).bit_length()
    shift = _BITS[family] - length
    return Block(family, numbers[0] >> shift << shift, length)


def shared_out(family: Family, numbers: Sequence[int], most: int) -> list[Block]:
    """At most ``most`` blocks that hold all of a sorted sequence of addresses, as evenly as halving makes them.

    A block is halved only while it holds more than ``most`` addresses, so the same addresses always give the same blocks, and an
    address that comes later mostly finds one that is there.
    """
    blocks = [(smallest(family, numbers), numbers)]
    while len(blocks) < most:
        largest = max(range(len(blocks)), key=lambda at: len(blocks[at][1]))
        if len(blocks[largest][1]) <= most:
            break
        blocks[largest : largest + 1] = _halved(blocks[largest][1], family)
    return [block for block, _numbers in blocks]


def _halved(numbers: Sequence[int], family: Family) -> list[tuple[Block, Sequence[int]]]:
    """Two blocks that both hold some of these addresses, which are different ones."""
    return [(half, numbers[half.part(numbers)]) for half in smallest(family, numbers).halves()]


def gaps(numbers: Iterable[int], within: Block, taken: Iterable[Block]) -> list[Block]:
    """The largest blocks inside of one that hold these addresses and none of the blocks that are taken."""
    found: list[Block] = []
    taken = list(taken)
    for number in numbers:
        if not any(block.first <= number < block.end for block in found):
            found.append(_gap(number, within, taken))
    return found


def _gap(number: int, block: Block, taken: Sequence[Block]) -> Block:
    while any(block.contains(one) for one in taken):
        block = next(half for half in block.halves() if half.first <= number < half.end)
    return block
