"""What people did to the store by command, kept in the store."""

import getpass
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.store import Store
from service.store.look import Row, readable
from service.store.tables import to_microseconds


def note(
    connection: Connection,
    entry_id: int,
    at: datetime,
    deed: str,
    asked: Mapping[str, Any],
    count: int,
) -> None:
    """Write down a deed in the transaction that does it. `asked` must hold no personal data."""
    connection.execute(
        text(
            "INSERT INTO audit (id, done_at, person, deed, detail, row_count)"
            " VALUES (:id, :at, :person, :deed, :detail, :count)"
        ),
        {
            "id": entry_id,
            "at": to_microseconds(at),
            "person": person(),
            "deed": deed,
            "detail": json.dumps({key: value for key, value in asked.items() if value}),
            "count": count,
        },
    )


def note_done(store: Store, at: datetime, deed: str, asked: Mapping[str, Any], count: int) -> int:
    """Write down a deed in a transaction of its own; the entry's id, for `note_more`."""
    entry_id = store.new_ids()

    def noted(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        note(connection, entry_id, at, deed, asked, count)
        return [None] * len(payloads)

    store.write_now(noted, None)
    return entry_id


def note_more(connection: Connection, entry_id: int, count: int) -> None:
    """Count on, in a transaction that does more of a deed."""
    connection.execute(
        text("UPDATE audit SET row_count = row_count + :count WHERE id = :id"),
        {"count": count, "id": entry_id},
    )


def person() -> str:
    """The user who runs this command, as the machine knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "(unknown)"


def list_deeds(connection: Connection, limit: int) -> list[Row]:
    """What was done, newest first."""
    rows = connection.execute(
        text("SELECT * FROM audit ORDER BY id DESC LIMIT :limit"), {"limit": limit}
    )
    return [readable(row) for row in rows.mappings()]
