"""Ids: 63-bit integers in the order of time, made without asking the database."""

import threading
import time
from collections.abc import Callable

ID_EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
NODE_BITS = 10
SEQUENCE_BITS = 12
SEQUENCE_LIMIT = 1 << SEQUENCE_BITS


class IdMaker:
    """41 bits of milliseconds, 10 of node, 12 of sequence. Never repeats, whatever the clock does.

    The store hands every process start that writes its own node, so two receivers cannot collide
    within 1,024 of them; after that a delivery whose id is taken is to be sent again, and what
    workers write is tried under another. A clock that steps back only makes ids run ahead of it.
    """

    def __init__(self, node: int, clock_ms: Callable[[], int] = lambda: time.time_ns() // 10**6):
        self._node = (node % (1 << NODE_BITS)) << SEQUENCE_BITS
        self._clock_ms = clock_ms
        self._last_ms = 0
        self._sequence = 0
        self._lock = threading.Lock()

    def take(self, count: int = 1) -> int:
        """The first of `count` consecutive ids (at most 4,096)."""
        if not 0 < count <= SEQUENCE_LIMIT:
            raise ValueError(f"asked for {count} ids at once; limit is {SEQUENCE_LIMIT}")
        with self._lock:
            now = self._clock_ms() - ID_EPOCH_MS
            if now > self._last_ms:
                self._last_ms, self._sequence = now, 0
            elif self._sequence + count > SEQUENCE_LIMIT:
                self._last_ms, self._sequence = self._last_ms + 1, 0
            first = self._sequence
            self._sequence += count
            return (self._last_ms << (NODE_BITS + SEQUENCE_BITS)) | self._node | first
