"""Names in a table, the simplest thing that a store's handler can write."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from service.store import Store


def put(connection: Connection, tx: int, names: Sequence[Any]) -> list[int]:
    """A handler: write each name down, once only; the number of the transaction that did."""
    for name in names:
        connection.execute(
            text("INSERT INTO store_facts (name, number, value) VALUES (:name, :tx, '')"),
            {"name": name, "tx": tx},
        )
    return [tx] * len(names)


def kept(store: Store, like: str = "t-%") -> list[str]:
    """The names that are written down."""
    with store.read() as connection:
        found = connection.execute(
            text("SELECT name FROM store_facts WHERE name LIKE :like ORDER BY name"), {"like": like}
        )
        return list(found.scalars())
