"""Rows that one transaction inserts, on every database: what comes back is what was written."""

import socket
from collections.abc import Sequence
from os import dup
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from enrich.tables import Spending
from service.errors import NotStorable, StoreUnavailable
from service.store import Store, open_store
from service.store.prepared import run_plain
from service.store.store import make_engine, words_of
from service.store.tables import Rows

WORDS = [
    "",
    " ",
    '"',
    "\\",
    "\\x41",
    "{a,b}",
    "NULL",
    "é 💥 ﷽",
    "a\nb\tc",
    "','",
    "%s",
    "x" * 100_000,
]
DELIVERY: dict[str, Any] = {
    "source": "a", "preset": "github", "received_at": 1, "method": "POST", "url": "/", "body": b"",
    "headers": "[]", "delivery_key": None, "address": "", "verified": True,
    "suspected_replay": False,
}  # fmt: skip


def deliveries(column: str, values: Sequence[Any]) -> Rows:
    """Deliveries that differ in one column."""
    rows = [{"id": number, **DELIVERY, column: value} for number, value in enumerate(values, 1)]
    return Rows("deliveries", tuple(rows[0]), [tuple(row.values()) for row in rows])


def insert(store: Store, *parts: Rows) -> None:
    def handler(connection: Connection, _tx: int, _payloads: Sequence[Any]) -> list[None]:
        words_of(connection).insert_rows(connection, *parts)
        return [None]

    store.write_now(handler, None)


def found(store: Store, column: str, table: str = "deliveries", by: str = "id") -> list[Any]:
    with store.read() as connection:
        return list(
            connection.execute(text(f"SELECT {column} FROM {table} ORDER BY {by}")).scalars()
        )


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("url", WORDS),
        ("delivery_key", [None, "a", None, ""]),
        ("body", [b"", bytes(range(256)), b"\\x41", b"\0" * 100_000]),
        ("received_at", [0, -1, 2**63 - 1, -(2**63)]),
        ("verified", [True, False]),
    ],
)
def test_values_come_back_as_they_were_written(
    store: Store, column: str, values: list[Any]
) -> None:
    insert(store, deliveries(column, values))
    assert found(store, column) == values


def test_fractions_come_back_as_they_were_written(store: Store) -> None:
    values = [0.1, 0, 1e308, -2.5e-308]
    rows = [("a", f"2026-03-0{day}", value, 1) for day, value in enumerate(values, 1)]
    insert(store, Rows(Spending.__tablename__, ("source", "day", "cost_usd", "call_count"), rows))
    assert found(store, "cost_usd", Spending.__tablename__, "day") == values


def test_rows_of_several_tables_are_inserted_together(store: Store) -> None:
    columns = ("id", "delivery_id", "source", "received_at", "tx")
    again = Rows("redeliveries", columns, [(7, 1, "a", 5, 1), (8, 2, "a", 6, 1)])
    insert(store, deliveries("url", ["/1", "/2"]), Rows("refusals", ("id",), []), again)
    assert (found(store, "url"), found(store, "id", "redeliveries")) == (["/1", "/2"], [7, 8])


@pytest.mark.parametrize(("column", "value"), [("received_at", 2**63), ("url", "\ud800")])
def test_a_value_that_no_database_holds_is_not_storable(
    store: Store, column: str, value: Any
) -> None:
    with pytest.raises(NotStorable):
        insert(store, deliveries(column, [value]))


def test_rows_are_inserted_after_a_refused_payload_however_often_others_ran(store: Store) -> None:
    """After a rollback psycopg drops every prepared statement, if it has prepared one itself."""

    def ask(connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        connection.execute(text("SELECT count(*) FROM deliveries WHERE id = :id"), {"id": 7})
        return payloads

    insert(store, deliveries("id", [1]))
    for _ in range(10):
        store.write_now(ask, None)
    with pytest.raises(NotStorable):
        insert(store, deliveries("url", ["\ud800"]))
    insert(store, deliveries("id", [2]))
    assert found(store, "id") == [1, 2]


def test_rows_are_inserted_again_after_the_server_lost_what_was_prepared(
    postgres_url: str,
) -> None:
    store = open_store(postgres_url)

    def forget(connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        connection.exec_driver_sql("DEALLOCATE ALL")
        return payloads

    insert(store, deliveries("id", [1]))
    store.write_now(forget, None)
    with pytest.raises(StoreUnavailable):
        insert(store, deliveries("id", [2]))
    insert(store, deliveries("id", [2]))
    assert found(store, "id") == [1, 2]
    store.close()


@pytest.mark.parametrize("name", ["insert_rows", "insert_at_commit"])
def test_rows_outside_of_a_transaction_are_refused(postgres_url: str, name: str) -> None:
    """They would be in one that nobody commits."""
    store = open_store(postgres_url)
    with store.read_once() as connection, pytest.raises(RuntimeError, match="no transaction"):
        getattr(words_of(connection), name)(connection, deliveries("id", [1]))
    store.close()


def test_a_statement_that_finds_the_server_gone_says_so(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        with pytest.raises(psycopg.OperationalError):
            run_plain(connection, "SELECT 1")
        connection.invalidate()
    engine.dispose()
