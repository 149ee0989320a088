"""What people did to the store by command, kept in the store."""

import getpass
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

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
