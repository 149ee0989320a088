"""Which enrichment stands for which fingerprint: remembered, looked up, and asked for only once.

While an event is being enriched, others of its fingerprint wait for it (single flight) instead of
asking too; `enrich.flights` holds the same between workers. Only plain answers are remembered:
never degraded, never suspicious.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from enrich.loading import Known

MAX_REMEMBERED = 20_000


class ReuseBook:
    """One worker's memory of the reuse table. Bounded; what was unused longest goes first."""

    def __init__(self, capacity: int = MAX_REMEMBERED) -> None:
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._leading: dict[bytes, asyncio.Event] = {}
        self._capacity = capacity

    def find(self, digest: bytes, now: int) -> Known | None:
        """What stands for the digest now (microseconds), if it is remembered."""
        known = self._known.get(digest)
        if known is None:
            return None
        if known.expires_at <= now:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known

    def unknown(self, digests: Iterable[bytes]) -> list[bytes]:
        """Those of the digests that the store must be asked about."""
        return [digest for digest in dict.fromkeys(digests) if digest not in self._known]

    def remember(self, digest: bytes, known: Known) -> None:
        """Let the enrichment stand for the digest."""
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """The enrichment was not recorded after all."""
        self._known.pop(digest, None)

    def clear(self) -> None:
        """Forget all: somebody edited what may be reused."""
        self._known.clear()

    def lead(self, digest: bytes) -> asyncio.Event | None:
        """None: the caller leads and must call `done`. Otherwise what to wait for."""
        under_way = self._leading.get(digest)
        if under_way is None:
            self._leading[digest] = asyncio.Event()
        return under_way

    def done(self, digest: bytes) -> None:
        """The leader finished, well or not: whoever waits looks again."""
        event = self._leading.pop(digest, None)
        if event is not None:
            event.set()
