"""Rows that go with the commit, on every database: as if they had been inserted at once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from busy_writer import write_in_a_row, write_together
from servers.cut_line import cut_line
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from service.errors import NotStorable, StoreUnavailable
from service.store import Store, open_store, writer
from service.store.store import words_of
from service.store.tables import Rows

COLUMNS = ("id", "delivery_id", "source", "received_at", "tx")


def rows(ids: Sequence[int], source: str = "a") -> Rows:
    return Rows("redeliveries", COLUMNS, [(number, 1, source, 0, 1) for number in ids])


def leave(connection: Connection, _tx: int, ids: Sequence[int]) -> Sequence[int]:
    """The handler that leaves a row for the commit."""
    words_of(connection).insert_at_commit(connection, rows(ids))
    return ids


def count(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[Any]:
    """The handler that counts the rows that its transaction sees."""
    found = connection.execute(text("SELECT count(*) FROM redeliveries")).scalar_one()
    return [found] * len(payloads)


def kept(store: Store, column: str = "id") -> list[Any]:
    with store.read() as connection:
        found = connection.execute(text(f"SELECT {column} FROM redeliveries ORDER BY id"))
        return list(found.scalars())


def test_they_are_there_after_the_commit(store: Store) -> None:
    store.write_now(leave, 1)
    assert kept(store) == [1]


def test_the_next_handler_of_the_transaction_sees_them(store: Store) -> None:
    assert asyncio.run(write_together(store, (leave, 1), (count, None))) == [1, 1]


def test_those_of_every_transaction_in_a_row_are_there(store: Store) -> None:
    asyncio.run(write_in_a_row(store, (leave, 1), (leave, 2), (leave, 3)))
    assert kept(store) == [1, 2, 3]


def test_a_handler_may_leave_some_twice(store: Store) -> None:
    def twice(connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        words_of(connection).insert_at_commit(connection, rows([1]))
        words_of(connection).insert_at_commit(connection, rows([2]))
        return payloads

    store.write_now(twice, None)
    assert kept(store) == [1, 2]


def test_more_than_a_socket_holds_goes_with_the_commit(store: Store) -> None:
    large = "x" * (20 << 20)

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        words_of(connection).insert_at_commit(connection, rows([1], large))
        return payloads

    store.write_now(handler, None)
    assert kept(store, "length(source)") == [len(large)]


def test_those_that_the_database_refuses_fail_alone(store: Store) -> None:
    store.write_now(leave, 2)
    results = asyncio.run(write_in_a_row(store, (leave, 1), (leave, 2), (leave, 3)))
    assert [isinstance(result, NotStorable) for result in results] == [False, True, False]
    assert kept(store) == [1, 2, 3]


def test_those_of_a_handler_that_breaks_are_let_go_of(store: Store) -> None:
    def broken(connection: Connection, tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        leave(connection, tx, payloads)
        raise LookupError("our own mistake")

    with pytest.raises(LookupError):
        store.write_now(broken, 1)
    store.write_now(leave, 2)
    assert kept(store) == [2]


def test_a_server_that_is_gone_at_the_commit_is_the_stores_fault(postgres_url: str) -> None:
    store = open_store(postgres_url)

    def end(connection: Connection, tx: int, ids: Sequence[int]) -> Sequence[int]:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        return leave(connection, tx, ids)

    store.write_now(leave, 0)
    with pytest.raises(StoreUnavailable):
        store.write_now(end, 1)
    store.write_now(leave, 2)
    assert kept(store) == [0, 2]
    store.close()


def test_a_line_that_breaks_after_the_commit_undoes_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL says that it has committed, and stops before it begins the next transaction."""
    monkeypatch.setattr(writer, "OFTEN_SECONDS", 0.0)  # it begins none after one that came alone
    with cut_line(postgres_url) as line:
        store = open_store(line.url)

        def leave_and_cut(connection: Connection, tx: int, ids: Sequence[int]) -> Sequence[int]:
            line.cuts = "after"
            return leave(connection, tx, ids)

        assert asyncio.run(write_in_a_row(store, (leave_and_cut, 1), (leave, 2))) == [1, 2]
        assert store.write_now(leave_and_cut, 3) == 3
        assert store.write_now(leave, 4) == 4
        assert line.cut_count == 2
        assert kept(store) == [1, 2, 3, 4]
        store.close()


def test_a_line_that_breaks_before_the_commit_is_told_leaves_it_open(postgres_url: str) -> None:
    """It is committed, which nobody here can know: whoever sent it must send it again."""
    with cut_line(postgres_url) as line:
        store = open_store(line.url)
        store.write_now(leave, 1)
        line.cuts = "before"
        with pytest.raises(StoreUnavailable):
            store.write_now(leave, 2)
        store.write_now(leave, 3)
        assert line.cut_count == 1
        assert kept(store) == [1, 2, 3]
        store.close()


def test_a_transaction_whose_failure_a_handler_hides_is_not_told_as_committed(
    postgres_url: str,
) -> None:
    store = open_store(postgres_url)

    def hide(connection: Connection, tx: int, ids: Sequence[int]) -> Sequence[int]:
        with suppress(DBAPIError):
            connection.execute(text("SELECT 1 / 0"))
        return ids

    with pytest.raises(StoreUnavailable, match="rolled back"):
        store.write_now(hide, 1)
    store.write_now(leave, 2)
    assert kept(store) == [2]
    store.close()
