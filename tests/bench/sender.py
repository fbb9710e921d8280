"""Packets sent in batches that are timed. What forwards them is in the same kernel, and works within the sender's system call."""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

BATCH = 64
PAYLOAD = 22  # with all headers the 64 bytes of a shortest Ethernet frame
SEGMENTS, SEGMENT = 10, 1448  # as many as TCP sends at once: with more, somebody has to wait


class _Address(ctypes.Structure):
    _fields_ = (("family", ctypes.c_uint16), ("port", ctypes.c_uint16), ("ip", ctypes.c_uint32), ("zero", ctypes.c_uint64))


class _Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """``mmsghdr``; the last two fields are shorter there, and padded."""

    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_size_t), ("parts", ctypes.c_void_p), ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t), ("flags", ctypes.c_size_t), ("sent", ctypes.c_size_t),
    )  # fmt: skip


class Datagrams:
    """Small datagrams to these ports of an address, one after the other, over and over again."""

    def __init__(self, sender: socket.socket, ip: str, ports: Sequence[int]) -> None:
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._descriptor = sender.fileno()
        batches = -(-len(ports) // BATCH)
        number = int.from_bytes(socket.inet_aton(ip), sys.byteorder)
        self._payload = ctypes.create_string_buffer(PAYLOAD)
        self._part = _Part(ctypes.addressof(self._payload), PAYLOAD)
        self._addresses = [
            _Address(socket.AF_INET, socket.htons(ports[at % len(ports)]), number, 0) for at in range(batches * BATCH)
        ]
        messages = [
            _Message(ctypes.addressof(one), ctypes.sizeof(one), ctypes.addressof(self._part), 1, None, 0, 0, 0)
            for one in self._addresses
        ]
        self._batches = [(_Message * BATCH)(*messages[at : at + BATCH]) for at in range(0, len(messages), BATCH)]
        self._next = 0

    @property
    def batches(self) -> int:
        """After so many it begins anew."""
        return len(self._batches)

    def send(self) -> int:
        """One batch in one system call; how many packets it had."""
        batch = self._batches[self._next]
        self._next = (self._next + 1) % len(self._batches)
        if self._send(self._descriptor, batch, BATCH, 0) != BATCH:
            raise OSError(ctypes.get_errno(), "sendmmsg sent less than a batch")
        return BATCH


class Stream:
    """Both ends of a TCP connection."""

    def __init__(self, far: socket.socket, near: socket.socket) -> None:
        self._far, self._near = far, near
        self._block = bytes(SEGMENTS * SEGMENT)

    def send(self) -> int:
        """A few full segments, and receive them; how many they were."""
        self._far.sendall(self._block)
        missing = len(self._block)
        while missing:
            missing -= len(self._near.recv(missing))
        return SEGMENTS

    def close(self) -> None:
        """Both ends."""
        self._near.close()
        self._far.close()


@dataclass(frozen=True)
class Timed:
    """Nanoseconds a packet, and how many packets there were."""

    each: float
    packets: int


def timed(send: Callable[[], int], seconds: float, batches: int = 8) -> Timed:
    """The lower quartile of all batches, for what else the machine does only adds. Before that, so many are not timed."""
    packets = sum(send() for _warm in range(batches))
    found: list[float] = []
    end = time.perf_counter() + seconds
    with undisturbed():
        while time.perf_counter() < end or len(found) < 20:
            start = time.perf_counter_ns()
            sent = send()
            found.append((time.perf_counter_ns() - start) / sent)
            packets += sent
    return Timed(statistics.quantiles(found, n=4)[0], packets)


@contextmanager
def undisturbed() -> Iterator[None]:
    """On one processor, so that all of the router's work is done there; and without Python's garbage collection."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.sched_setaffinity(0, before)
