"""What work inside a transaction reads: a measure that no machine's speed changes."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

READ = text("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")


def cost_of(connection: Connection, work: Callable[[Connection], Any]) -> int:
    """Rows that PostgreSQL reads, or instructions of SQLite's machine."""
    return (rows_read if connection.dialect.name == "postgresql" else steps_of)(connection, work)


def rows_read(connection: Connection, work: Callable[[Connection], Any]) -> int:
    """How many rows PostgreSQL reads, one way or another."""
    before = connection.execute(READ).scalar_one()
    work(connection)
    return int(connection.execute(READ).scalar_one() - before)


def steps_of(connection: Connection, work: Callable[[Connection], Any]) -> int:
    """Instructions of SQLite's machine."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    driver: Any = connection.connection.dbapi_connection
    driver.set_progress_handler(count, 1)
    work(connection)
    driver.set_progress_handler(None, 1)
    return steps
