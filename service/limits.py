"""Rate limits: token buckets, one for each key, in bounded memory."""

from collections import OrderedDict

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
