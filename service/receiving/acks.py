"""Acknowledgement times as data and as a metric: gathered in memory, written each second."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from prometheus_client import Histogram
from sqlalchemy import Connection

from service.store.store import words_of
from service.store.tables import Rows

MAX_TIMES = 50_000  # of one source between two flushes; beyond it none are kept or counted
COLUMNS = ("id", "source", "window_at", "ack_ms", "tx")


class AckTimes:
    """How long each accepted delivery waited, since the last flush.

    The histogram hears of them at the flush, all in one go: a microsecond each.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._times: dict[str, list[float]] = {}

    def add(self, source: str, seconds: float) -> None:
        """One more delivery."""
        times = self._times.setdefault(source, [])
        if len(times) < MAX_TIMES:
            times.append(seconds)

    def drain(self) -> list[tuple[str, list[float]]]:
        """What was gathered, in ms, and now in the histogram too; gathering starts again."""
        times, self._times = self._times, {}
        for source, waited in times.items():
            observe = self._histogram.labels(source).observe
            for seconds in waited:
                observe(seconds)
        return [
            (s, [int(t * 1_000_000 + 0.5) / 1000 for t in waited]) for s, waited in times.items()
        ]


def store_acks(
    new_ids: Callable[[int], int], window_at: int
) -> Callable[[Connection, int, Sequence[Any]], list[None]]:
    """The handler that writes drained times; `window_at` in microseconds since 1970."""

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        rows = [
            (new_ids(1), source, window_at, msgspec.json.encode(times).decode(), tx)
            for drained in payloads
            for source, times in drained
        ]
        words_of(connection).insert_rows(connection, Rows("acknowledgements", COLUMNS, rows))
        return [None] * len(payloads)

    return handler
