"""Refusals as data: counted in memory, written and logged each second, bounded whatever comes."""

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

import structlog
from sqlalchemy import Connection

from service.store.store import words_of
from service.store.tables import Rows

UNKNOWN_SOURCE = "(unknown)"
OTHER_ADDRESSES = "(other)"
MAX_ROWS = 20  # address prefixes told apart in one flush; the rest share a row
COLUMNS = ("id", "source", "reason", "address_prefix", "refused_count", "first_at", "last_at", "tx")

Key = tuple[str, str, str]
log = structlog.get_logger("hooksift.receive")


class RefusalCounter:
    """How often which source refused whom, and why, since the last flush."""

    def __init__(self) -> None:
        self._counts: dict[Key, list[int]] = {}

    def count(self, source: str, reason: str, address: str, at: int) -> None:
        """One more refusal at `at` (microseconds since 1970)."""
        self._add((source, reason, prefix_of(address)), 1, at, at)

    def _add(self, key: Key, count: int, first_at: int, last_at: int) -> None:
        if key not in self._counts and len(self._counts) >= MAX_ROWS:
            key = (*key[:2], OTHER_ADDRESSES)
        row = self._counts.get(key)
        if row is None:
            self._counts[key] = [count, first_at, last_at]
        else:
            row[0] += count
            row[1] = min(row[1], first_at)
            row[2] = max(row[2], last_at)

    def drain(self) -> list[tuple[Key, list[int]]]:
        """What was counted; the counter starts again."""
        counts, self._counts = self._counts, {}
        return list(counts.items())

    def give_back(self, rows: Sequence[tuple[Key, list[int]]]) -> None:
        """Count again what could not be written."""
        for key, (count, first_at, last_at) in rows:
            self._add(key, count, first_at, last_at)


def prefix_of(address: str) -> str:
    """The /24 of an IPv4 or the /48 of an IPv6 address: enough to see a sender, not a person."""
    head, dot, last = address.rpartition(".")
    if dot and last.isdigit() and ":" not in address:
        return f"{head}.0/24"
    try:
        parsed = ip_address(address)
    except ValueError:
        return "(none)"
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> 80 << 80)}/48"
    return f"{address}/32"


def say_refused(rows: Sequence[tuple[Key, list[int]]]) -> None:
    """A line in the log for each row that was stored."""
    for (source, reason, prefix), (count, *_) in rows:
        log.warning("refused", source=source, reason=reason, count=count, address_prefix=prefix)


def store_refusals(
    new_ids: Callable[[int], int],
) -> Callable[[Connection, int, Sequence[Any]], list[None]]:
    """The handler that writes drained counts."""

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        counts = [item for rows in payloads for item in rows]
        rows = [(new_ids(1), *key, *row, tx) for key, row in counts]
        words_of(connection).insert_rows(connection, Rows("refusals", COLUMNS, rows))
        return [None] * len(payloads)

    return handler
