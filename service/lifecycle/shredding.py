"""Overwriting what an erasure deleted, in the files of the store."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from service.errors import StoreUnavailable
from service.lifecycle.erasure import wanted_words
from service.lifecycle.person_scan import files_that_hold, tables_of
from service.store import Store
from service.store.faults import DATABASE_ERRORS, first_line
from service.store.postgres import older_have_ended

CHECKPOINT_SECONDS = 30.0
SMALL_BYTES = 64 << 20  # of a file that is rewritten in about half a second


def shred(store: Store, words: Iterable[str], *, rewrite: bool = False) -> list[str]:
    """Overwrite what deleted rows left in files; names of files where a word still stands.

    SQLite: the write-ahead log is emptied; the file is rewritten when asked, or where its free
    space still holds a word and it is small: nobody can write meanwhile. PostgreSQL: vacuumed;
    rewritten (and locked meanwhile) only when asked. Raises StoreUnavailable.
    """
    wanted = wanted_words(words)
    try:
        return _shred(store, wanted, rewrite=rewrite)
    except DATABASE_ERRORS as error:
        raise StoreUnavailable(
            f"the files cannot be overwritten: {first_line(error)}; where the disk is full, free"
            " as much space as the store takes; then erase again"
        ) from error


def _shred(store: Store, wanted: Sequence[str], *, rewrite: bool) -> list[str]:
    if store.dialect == "postgresql":
        _vacuum_postgresql(store, full=rewrite)
        return []
    path = Path(str(store.engine.url.database))
    files = [path, path.with_name(path.name + "-wal")]
    _empty_log(store)
    if rewrite or (path.stat().st_size <= SMALL_BYTES and files_that_hold(files, wanted)):
        _run_outside(store, "VACUUM")
        _empty_log(store)
    return files_that_hold(files, wanted)


def _empty_log(store: Store) -> None:
    """Write the log back into the file and cut it to nothing, once no reader needs it."""
    deadline = time.monotonic() + CHECKPOINT_SECONDS
    while _run_outside(store, "PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"the write-ahead log was in use for {CHECKPOINT_SECONDS:g} s and still holds what"
                " was deleted; stop long readers (a backup, a notebook) and erase again"
            )


def _run_outside(store: Store, statement: str) -> list[Any]:
    """Run a statement that no transaction may hold."""
    connection = store.engine.raw_connection()
    try:
        rows: list[Any] = connection.cursor().execute(statement).fetchall()
        return rows
    finally:
        connection.close()


def _vacuum_postgresql(store: Store, *, full: bool) -> None:
    """Vacuum all tables, once no transaction is open that could still see what was deleted."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        session: Any = connection.connection.driver_connection
        if not older_have_ended(session, CHECKPOINT_SECONDS):
            raise StoreUnavailable(
                f"a transaction has been open for {CHECKPOINT_SECONDS:g} s, and what was deleted"
                " stays in the files meanwhile; end it (a backup, a notebook, a session that is"
                " idle in transaction) and erase again"
            )
        for table in tables_of(connection):
            connection.execute(text(f"VACUUM {'(FULL)' if full else ''} {table.name}"))
