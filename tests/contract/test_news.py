"""News: each committed fact exactly once, whatever order transactions commit in."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from service.store import Store, open_store
from service.store.news import mark, news
from tests.contract.costs import cost_of

COLUMNS = "id, source, reason, address_prefix, refused_count, first_at, last_at, tx"


def insert(connection: Connection, tx: int, ids: Sequence[int]) -> None:
    for number in ids:
        connection.execute(
            text(f"INSERT INTO refusals ({COLUMNS}) VALUES (:id, 'a', 'r', 'p', 1, 0, 0, :tx)"),
            {"id": number, "tx": tx},
        )


def add(store: Store, *ids: int) -> None:
    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        for payload in payloads:
            insert(connection, tx, payload)
        return [None] * len(payloads)

    store.write_now(handler, ids)


def read(store: Store, since: str | None, after_id: int = 0, limit: int = 10_000) -> list[int]:
    return look(store, since, after_id, limit)[0]


def look(
    store: Store, since: str | None, after_id: int = 0, limit: int = 10_000
) -> tuple[list[int], str]:
    """New ids, and the cursor for the next look."""
    with store.read() as connection:
        now = mark(connection)
        rows = news(connection, "refusals", since, now, after_id, limit)
    return [row.id for row in rows], now


def test_without_a_cursor_everything_is_news(store: Store) -> None:
    add(store, 1, 2)
    add(store, 3)
    assert read(store, None) == [1, 2, 3]


def test_what_was_seen_is_no_news(store: Store) -> None:
    add(store, 1)
    _, seen = look(store, None)
    add(store, 2)
    assert read(store, seen) == [2]


def test_without_commits_there_is_no_news(store: Store) -> None:
    add(store, 1)
    _, seen = look(store, None)
    assert read(store, seen) == []


def test_what_came_after_the_mark_waits(store: Store) -> None:
    with store.read() as connection:
        until = mark(connection)
    add(store, 1)
    with store.read() as connection:
        assert list(news(connection, "refusals", None, until, 0, 10)) == []


def test_news_is_paged_by_id(store: Store) -> None:
    add(store, *range(1, 11))
    assert read(store, None, after_id=0, limit=4) == [1, 2, 3, 4]
    assert read(store, None, after_id=8, limit=4) == [9, 10]


def test_a_table_that_holds_no_facts_is_refused(store: Store) -> None:
    with store.read() as connection, pytest.raises(ValueError, match="no table of facts"):
        news(connection, "store_facts", None, mark(connection), 0, 1)


def test_every_fact_is_news_exactly_once(store: Store) -> None:
    seen: str | None = None
    found: list[int] = []
    for number in range(1, 60):
        add(store, number)
        if number % 7 == 0:
            ids, seen = look(store, seen)
            found += ids
    found += read(store, seen)
    assert found == list(range(1, 60))


def test_a_transaction_held_open_delays_nobody_and_is_not_missed(postgres_url: str) -> None:
    """PostgreSQL commits out of order: a thousand later ones are news at once, it when it ends."""
    store = open_store(postgres_url)
    held = store.engine.connect()
    held.begin()
    tx = held.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar_one()
    insert(held, tx, [5000])
    found: list[int] = []
    seen: str | None = None
    for number in range(1, 1001):
        add(store, number)
        if number % 100 == 0:
            ids, seen = look(store, seen)
            found += ids
    assert found == list(range(1, 1001))
    held.commit()
    held.close()
    late, seen = look(store, seen)
    assert late == [5000]
    assert read(store, seen) == []
    store.close()


def test_a_transaction_that_rolls_back_is_never_news(postgres_url: str) -> None:
    store = open_store(postgres_url)
    held = store.engine.connect()
    held.begin()
    tx = held.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar_one()
    insert(held, tx, [1])
    _, seen = look(store, None)
    held.rollback()
    held.close()
    assert read(store, seen) == []
    store.close()


def test_what_was_restored_into_a_younger_server_is_news_once(postgres_url: str) -> None:
    """Its transactions have numbers that the server has still to reach."""
    with closing(open_store(postgres_url)) as store:
        add(store, 1, 2)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE refusals SET tx = tx + 1000000000")
        assert read(store, None) == []
    with closing(open_store(postgres_url)) as store:
        found, seen = look(store, None)
        assert found == [1, 2]
        add(store, 3)
        assert read(store, seen) == [3]


def test_opening_a_store_leaves_its_facts_as_they_were_numbered(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as store:
        add(store, 1)
        _, seen = look(store, None)
    with closing(open_store(postgres_url)) as store:
        assert read(store, seen) == []


def test_who_may_only_read_opens_a_store(postgres_url: str) -> None:
    """A hot standby, for example."""
    with closing(open_store(postgres_url)) as store:
        add(store, 1)
    separator = "&" if "?" in postgres_url else "?"
    options = f"{separator}options=-c%20default_transaction_read_only%3Don"
    with closing(open_store(postgres_url + options)) as store:
        assert read(store, None) == [1]


@pytest.mark.parametrize("cursor", ["'; DROP TABLE events; --", "1:2", "a:b:c", "1:2:3;"])
def test_a_cursor_that_is_none_is_refused(postgres_url: str, cursor: str) -> None:
    store = open_store(postgres_url)
    with store.read() as connection, pytest.raises(ValueError, match="not a snapshot"):
        news(connection, "refusals", cursor, mark(connection), 0, 1)
    store.close()


def test_looking_for_news_costs_the_same_whatever_is_stored_already(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 's.sqlite'}")) as store:
        add(store, *range(1, 101))
        _, seen = look(store, None)
        add(store, 101)
        few = cost_of_a_look(store, seen)
        add(store, *range(102, 2_000))
        _, seen = look(store, None)
        add(store, 2_000)
        assert cost_of_a_look(store, seen) == few


def cost_of_a_look(store: Store, since: str) -> int:
    with store.read() as connection:
        now = mark(connection)
        return cost_of(connection, lambda c: news(c, "refusals", since, now, 0, 500))
