"""Tables of actions for people at a terminal."""

from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection
from sqlmodel import col, select

from enrich.tables import Action


def actions_table(connection: Connection, event_id: int | None, limit: int) -> Table:
    """The newest actions, of one event where an id is given."""
    query = select(*Action.__table__.columns)  # type: ignore[attr-defined]
    if event_id is not None:
        query = query.where(col(Action.event_id) == event_id)
    table = Table("event", "action", "target", "try", "outcome", "why", "finished (UTC)")
    rows = connection.execute(query.order_by(col(Action.id).desc()).limit(limit))
    for row in rows:
        why = row.error or row.detail
        table.add_row(
            str(row.event_id),
            escape(row.name),
            escape(row.target),
            str(row.number),
            row.outcome,
            escape(f"{row.error_kind}: {why}" if row.error_kind else why),
            row.finished_at.strftime("%Y-%m-%d %H:%M:%S"),
        )
    return table
