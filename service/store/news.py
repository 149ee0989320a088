"""What is new in the store since a reader last looked, whatever order transactions committed in."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from service.store.store import words_of
from service.store.tables import FACTS


def mark(connection: Connection) -> str:
    """An opaque cursor: everything committed now."""
    cursor: str = words_of(connection).mark(connection)
    return cursor


def follows(connection: Connection, state: str, earlier: str) -> bool:
    """Whether what was committed between two marks is known: not where a copy was put back."""
    found: bool = words_of(connection).follows(state, earlier)
    return found


def news(
    connection: Connection, table: str, since: str | None, until: str, after_id: int, limit: int
) -> Sequence[Any]:
    """Rows of a fact table committed after `since` (None: ever) and up to `until`.

    In the order of their ids, those above `after_id` only, at most `limit`: page on with the last
    id until fewer than `limit` come back.
    """
    if table not in FACTS:
        raise ValueError(f"{table} is no table of facts; one of {', '.join(FACTS)}")
    condition = words_of(connection).news_condition(since, until)
    # With the plus the index on tx leads to the news; a planner that knows neither the limit nor
    # how few they are would rather read the whole table, which is in the order of ids already. The
    # ids alone are in that index: of a large backlog no row is read before its page comes.
    key = "id" if since is None else "+id"
    ids = f"SELECT id FROM {table} WHERE {condition} AND {key} > :after_id ORDER BY {key}"
    statement = f"SELECT * FROM {table} WHERE id IN ({ids} LIMIT :limit) ORDER BY id"
    return connection.execute(text(statement), {"after_id": after_id, "limit": limit}).all()
