"""Limits by key: how often (token buckets, in bounded memory) and how much at once."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

MAX_KEYS = 50_000  # the oldest are forgotten, which only ever lets a caller in


class RateLimit:
    """A bucket of `capacity` tokens for each key, refilled at `per_second`."""

    def __init__(self, per_second: float, capacity: float) -> None:
        self.per_second = per_second
        self.capacity = capacity
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, key: str, now: float) -> float:
        """Tokens the key has now; `now` in seconds of any steady clock."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return self.capacity
        tokens, at = bucket
        return min(self.capacity, tokens + (now - at) * self.per_second)

    def take(self, key: str, now: float) -> bool:
        """Take one token; False, and nothing taken, where there is none."""
        tokens = self.left(key, now)
        if tokens < 1:
            return False
        self._buckets[key] = (tokens - 1, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        return True

    def wait_seconds(self, key: str, now: float) -> float:
        """Until the key has a whole token."""
        return max(0.0, (1 - self.left(key, now)) / self.per_second)


class HeldBytes:
    """Bytes that many callers hold in memory: so many in all, a quarter of them for one key."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._by_key: Counter[str] = Counter()
        self._all = 0

    @contextmanager
    def share(self, key: str) -> Iterator["Share"]:
        """What one caller holds; given back at the end, whatever happened."""
        share = Share(self, key)
        try:
            yield share
        finally:
            self.add(key, -share.size)

    def add(self, key: str, count: int) -> bool:
        """Hold so many more for this key, or fewer; False, and nothing held, above a limit."""
        own = self._by_key[key] + count
        if count > 0 and (self._all + count > self.most_bytes or own > self.most_bytes // 4):
            return False
        self._all += count
        self._by_key[key] = own
        if not own:
            del self._by_key[key]
        return True


class Share:
    """One caller's part of `HeldBytes`."""

    def __init__(self, held: HeldBytes, key: str) -> None:
        self.size = 0
        self._held = held
        self._key = key

    def grow_to(self, size: int) -> bool:
        """Hold `size` bytes; False where the limit does not allow it."""
        if not self._held.add(self._key, size - self.size):
            return False
        self.size = size
        return True
