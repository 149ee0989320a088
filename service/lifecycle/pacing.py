"""Many small writing transactions, with room for others between them.

Each takes about 20 ms, and others may write for as long after it. On SQLite a command that writes
without a pause keeps the receiver from the lock that both need until that gives up.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from service.store import Store
from service.store.writer import Handler

LONGEST_SECONDS = 0.02  # a transaction should take; a longer one makes the next smaller
FIRST_ROWS = 20
MOST_ROWS = 500
Item = TypeVar("Item")


def next_limit(limit: int, took_seconds: float, most: int = MOST_ROWS) -> int:
    """How many rows to take next, by how long the last ones took."""
    if took_seconds > LONGEST_SECONDS:
        return max(1, limit // 2)
    return min(most, limit + max(1, limit // 4)) if took_seconds < LONGEST_SECONDS / 2 else limit


def timed(handler: Handler) -> Handler:
    """The handler, each of its results with the seconds that it took, without wait and commit.

    With these smaller pieces would wait as long.
    """

    def run(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[tuple[Any, float]]:
        began = time.perf_counter()
        results = handler(connection, tx, payloads)
        took = time.perf_counter() - began
        return [(result, took) for result in results]

    return run


def write_in_pieces(
    store: Store, handler: Handler, items: Sequence[Item], *more: Any
) -> Iterator[Any]:
    """Write the items piece by piece; what `handler` returns for each.

    The handler's payloads are tuples of a piece and of `more`.
    """
    start, limit = 0, FIRST_ROWS
    while start < len(items):
        began = time.perf_counter()
        piece = items[start : start + limit]
        result, took = store.write_now(timed(handler), (piece, *more))
        yield result
        start += limit
        limit = next_limit(limit, took)
        time.sleep(time.perf_counter() - began)
