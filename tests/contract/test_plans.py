"""Statements that were prepared while tables were small touch few rows once these are large.

PostgreSQL keeps the plan of a prepared statement, and reading all of a small table is a good one.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from service.store import Store, open_store
from service.store.queue import (
    ENRICH,
    Claim,
    ClaimRequest,
    NewWork,
    claim,
    complete,
    enqueue,
    extend,
)
from service.store.store import words_of
from service.store.tables import to_microseconds
from tests.contract.costs import cost_of
from tests.servers.statistics import analyse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OFTEN = 10  # PostgreSQL plans anew the first five times
MANY = 5_000
LITTLE = 50


def inside(store: Store, work: Callable[[Connection], Any]) -> Any:
    """What `work` returns in a transaction of the store's writer."""

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[Any]:
        return [work(connection) for _ in payloads]

    return store.write_now(handler, None)


def add_work(connection: Connection, ids: range) -> None:
    enqueue(connection, [NewWork(n, ENRICH, "", "a", 1, to_microseconds(NOW)) for n in ids])


def add_keys(connection: Connection, ids: range) -> None:
    keys = [(b"%016d" % n, n, to_microseconds(NOW)) for n in ids]
    words_of(connection).claim_keys(connection, keys, 0)


def claimed(connection: Connection) -> list[Claim]:
    return claim(connection, ClaimRequest(ENRICH, 1, NOW, 60, 1))


def completing(connection: Connection) -> None:
    complete(connection, claimed(connection))


def extending(connection: Connection) -> None:
    extend(connection, claimed(connection), NOW + timedelta(hours=1))


def seeing_a_duplicate(connection: Connection) -> None:
    add_keys(connection, range(1))


def fill(store: Store, ids: range) -> None:
    inside(store, lambda connection: add_work(connection, ids))
    inside(store, lambda connection: add_keys(connection, ids))


@pytest.mark.parametrize("work", [completing, extending, seeing_a_duplicate])
def test_a_write_touches_little_of_a_table_that_was_small(
    postgres_url: str, work: Callable[[Connection], None]
) -> None:
    store = open_store(postgres_url)
    fill(store, range(OFTEN))
    analyse(store)
    for _ in range(OFTEN):
        inside(store, work)
    fill(store, range(MANY, 2 * MANY))
    assert inside(store, lambda connection: cost_of(connection, work)) < LITTLE
    store.close()
