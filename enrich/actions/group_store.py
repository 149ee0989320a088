"""Groups of notifications in the store: who leads, who waits, how many are counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from enrich.actions.grouping import Group, Place, Role, join, open_group
from service.store.queue import ACT
from service.store.tables import from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True)
class Joining:
    """An event's notification asks for its place."""

    key: str
    event_id: int
    now: datetime
    window: timedelta


def take_place(connection: Connection, _tx: int, joinings: Sequence[Joining]) -> list[Place]:
    """Handler: each notification's place in its group."""
    return [_take_place(connection, joining) for joining in joinings]


def _take_place(connection: Connection, joining: Joining) -> Place:
    opened = open_group(joining.event_id, joining.now, joining.window)
    inserted = connection.execute(
        text(
            "INSERT INTO notification_groups"
            " (key, leader, closer, closing, held_count, closing_count, closes_at)"
            " VALUES (:key, :leader, NULL, NULL, 0, 0, :closes_at) ON CONFLICT (key) DO NOTHING"
        ),
        {
            "key": joining.key,
            "leader": opened.leader,
            "closes_at": to_microseconds(opened.closes_at),
        },
    )
    if inserted.rowcount == 1:
        return Place(Role.LEAD)
    # SQLite has one writer, so the row is ours; PostgreSQL must be asked for it.
    locking = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    row = connection.execute(
        text(
            "SELECT leader, closer, closing, held_count, closing_count, closes_at"
            f" FROM notification_groups WHERE key = :key{locking}"
        ),
        {"key": joining.key},
    ).one()
    before = _group_of(row)
    after, place = join(before, joining.event_id, joining.now, joining.window)
    if after != before:
        _save_group(connection, joining.key, after)
    return place


def _group_of(row: Row[Any]) -> Group:
    return Group(
        leader=row.leader,
        closes_at=from_microseconds(row.closes_at),
        closer=row.closer,
        closing=row.closing,
        held_count=row.held_count,
        closing_count=row.closing_count,
    )


def _save_group(connection: Connection, key: str, group: Group) -> None:
    connection.execute(
        text(
            "UPDATE notification_groups SET leader = :leader, closer = :closer,"
            " closing = :closing, held_count = :held_count, closing_count = :closing_count,"
            " closes_at = :closes_at WHERE key = :key"
        ),
        {
            "key": key,
            "leader": group.leader,
            "closer": group.closer,
            "closing": group.closing,
            "held_count": group.held_count,
            "closing_count": group.closing_count,
            "closes_at": to_microseconds(group.closes_at),
        },
    )


def sweep_groups(connection: Connection, _tx: int, moments: Sequence[datetime]) -> list[int]:
    """Handler: forget groups that closed a week ago and that no event waits to tell of."""
    deleted = connection.execute(
        text(
            "DELETE FROM notification_groups WHERE closes_at < :before AND NOT EXISTS"
            " (SELECT 1 FROM work_items WHERE event_id IN (closer, closing) AND kind = :act)"
        ),
        {"before": to_microseconds(max(moments) - timedelta(days=7)), "act": ACT},
    )
    return [deleted.rowcount] * len(moments)


def close_telling(connection: Connection, key: str, event_id: int) -> None:
    """The message that tells a group's count is out, or given up."""
    connection.execute(
        text(
            "UPDATE notification_groups SET closing = NULL, closing_count = 0"
            " WHERE key = :key AND closing = :event_id"
        ),
        {"key": key, "event_id": event_id},
    )
