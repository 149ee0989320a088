"""What was tried of write-backs and notifications, for people."""

from sqlalchemy import Connection, text

from service.store.look import Row, readable


def list_actions(connection: Connection, event_id: int | None, limit: int) -> list[Row]:
    """The newest tries, of one event where an id is given."""
    condition = "" if event_id is None else "WHERE event_id = :event_id"
    values = {"limit": limit} if event_id is None else {"limit": limit, "event_id": event_id}
    rows = connection.execute(
        text(f"SELECT * FROM actions {condition} ORDER BY id DESC LIMIT :limit"), values
    )
    return [readable(row) for row in rows.mappings()]


def why_of(row: Row) -> str:
    """What a try says of itself: the error it met, or what it did."""
    why = str(row["error"] or row["detail"])
    return f"{row['error_kind']}: {why}" if row["error_kind"] else why
