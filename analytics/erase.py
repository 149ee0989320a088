"""Removing a person from the history: tables, old snapshots, files and catalog."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from analytics.dictionary import EVENT, EVENTS, FACTS, TABLES, WORD
from analytics.errors import HistoryError, HistoryMissing, without_credentials
from analytics.history import METADATA, NAME, SCHEMA, attach, catalog_of, connect
from analytics.lock import held, lock_of
from analytics.merges import undisturbed
from analytics.place import Place
from analytics.scope import quoted
from analytics.upkeep import delete_uncommitted, expire, prepare
from service.lifecycle.erasure import wanted_words
from service.lifecycle.person_scan import PAGE_ROWS, WRITTEN_OTHERWISE, holds
from service.store.postgres import older_have_ended

WAIT_SECONDS = 120.0
MARK = "hooksift_erasure_begun"
# The tables with rows of an event: the column that says of which, and those that hold text.
OF_AN_EVENT = {
    table.name: (
        "id" if table is EVENTS else "event_id",
        tuple(column.name for column in table.columns if column.type.startswith(WORD)),
    )
    for table in FACTS
    if table is EVENTS or EVENT in table.columns
}


def erase_person(
    place: Place, words: Iterable[str], events: Collection[int] = ()
) -> dict[str, int]:
    """Remove every event in which one of `words` (an address, a name, a number) stands.

    `events`: ids of others that go, as the store's erasure found them where the history does not
    look, in headers. Looks into all text as that does, and removes the whole event with its
    attempts, enrichments, actions and labels, so that nothing of it stays in an older snapshot, a
    data file, whether committed or not, or a free page of the catalog. Old snapshots end:
    `AT VERSION` reaches back to the erasure only, and a reader in the middle of a query may have to
    ask again. A lander may run meanwhile.
    Returns how many rows of each table went. While the person is in the store, a landing or a
    rebuild brings them back: `hooksift erase` comes here after the store's erasure, which keeps
    `events` until this is done. What was cut off is finished by the next erasure, whomever it is
    of.
    Raises ErasureError for words of fewer than four letters, HistoryError where it was cut off.
    """
    wanted = wanted_words(words)
    if not place.is_postgresql and not Path(place.catalog).is_file():
        raise HistoryMissing(f"no history at {place}: nothing to erase")
    with held(lock_of(place, "writer"), WAIT_SECONDS):
        lake = attach(place, read_only=False)
        try:
            prepare(lake)
            was_cut_off = _begin(lake, place)
            delete_uncommitted(lake, place)
            gone = _delete(lake, wanted, events)
            to_forget = was_cut_off or any(gone.values())
            if to_forget:
                with held(lock_of(place, "merge"), WAIT_SECONDS):
                    _forget(lake, place)
            else:
                lake.execute(f"DROP TABLE {_mark_in(place)}")
        except duckdb.Error as error:
            said = without_credentials(error)
            raise HistoryError(f"the history at {place} cannot be changed: {said}") from error
        finally:
            lake.close()
        if to_forget:
            _shred_catalog(place)
    return gone


def count_person(
    place: Place, words: Iterable[str], events: Collection[int] = ()
) -> dict[str, int]:
    """How many rows of each table `erase_person` would remove. Raises as it does."""
    wanted = wanted_words(words)
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE {key} IN (SELECT id FROM erased)) AS {table}"
        for table, (key, _) in OF_AN_EVENT.items()
    )
    with connect(place) as history:
        lake = history.connection
        try:
            undisturbed(lake, place, METADATA, lambda: _find(lake, wanted, events))
        except duckdb.Error as error:
            said = without_credentials(error)
            raise HistoryError(f"the history cannot be looked through: {said}") from None
        return history.sql(f"SELECT {counts}").row(0, named=True)


def _find(lake: duckdb.DuckDBPyConnection, words: Sequence[str], events: Collection[int]) -> None:
    """Leave the ids of these events, and of those in which a word stands, in the table `erased`.

    Whether one stands in a text is said by the store's scan; DuckDB leaves out where none can.
    """
    found = set(events)
    plain = " OR ".join(f"contains(lower(text), {quoted(word)})" for word in words)
    for table, (key, columns) in OF_AN_EVENT.items():
        texts = ", ".join(f"CAST({column} AS VARCHAR)" for column in columns)
        rows = lake.execute(
            f"SELECT id, text FROM (SELECT {key} AS id, unnest([{texts}]) AS text FROM {table})"
            f" WHERE {plain} OR regexp_matches(text, '{WRITTEN_OTHERWISE}')"
        )
        while page := rows.fetchmany(PAGE_ROWS):
            found.update(event for event, text in page if holds(text, words))
    lake.execute(
        "CREATE OR REPLACE TEMP TABLE erased AS SELECT unnest(CAST(? AS BIGINT[])) AS id",
        [sorted(found)],
    )


def _mark_in(place: Place) -> str:
    """A table of the catalog that is there from an erasure's begin to its end."""
    return f"{catalog_of(place)}.{MARK}"


def _begin(lake: duckdb.DuckDBPyConnection, place: Place) -> bool:
    """Leave the mark; whether an earlier erasure has left one."""
    try:
        lake.execute(f"SELECT 1 FROM {_mark_in(place)}")
    except duckdb.CatalogException:  # DuckDB does not list a history's catalog
        lake.execute(f"CREATE TABLE {_mark_in(place)} (begun_at VARCHAR)")
        return False
    return True


def _delete(
    lake: duckdb.DuckDBPyConnection, words: Sequence[str], events: Collection[int]
) -> dict[str, int]:
    lake.execute("BEGIN")
    _find(lake, words, events)
    gone = {}
    for table, (key, _) in OF_AN_EVENT.items():
        row = lake.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM erased)").fetchone()
        gone[table] = int(row[0]) if row else 0
    lake.execute("COMMIT")
    return gone


def _forget(lake: duckdb.DuckDBPyConnection, place: Place) -> None:
    """Rewrite what held deleted rows; end every older snapshot; delete the files they needed."""
    lake.execute(f"CALL ducklake_flush_inlined_data('{NAME}')")
    for table in TABLES:
        lake.execute(
            f"CALL ducklake_rewrite_data_files('{NAME}', '{table.name}', delete_threshold => 0)"
        )
    expire(lake, place)
    lake.execute(f"CALL ducklake_cleanup_old_files('{NAME}', cleanup_all => true)")
    _renew_extremes(lake, place)


def _renew_extremes(lake: duckdb.DuckDBPyConnection, place: Place) -> None:
    """The catalog keeps each text column's smallest and largest value, also of deleted rows."""
    catalog = catalog_of(place)
    known = lake.execute(
        f"SELECT t.table_id, t.table_name, c.column_id, c.column_name"
        f" FROM {catalog}.ducklake_table t JOIN {catalog}.ducklake_column c USING (table_id)"
        f" JOIN {catalog}.ducklake_table_column_stats s USING (table_id, column_id)"
        " WHERE t.end_snapshot IS NULL AND c.end_snapshot IS NULL AND c.column_type = 'varchar'"
    ).fetchall()
    for table_id, table, column_id, column in known:
        if table in OF_AN_EVENT and column in OF_AN_EVENT[table][1]:
            lake.execute(
                f"UPDATE {catalog}.ducklake_table_column_stats SET"
                f" min_value = (SELECT min({column}) FROM {table}),"
                f" max_value = (SELECT max({column}) FROM {table})"
                f" WHERE table_id = {int(table_id)} AND column_id = {int(column_id)}"
            )


def _shred_catalog(place: Place) -> None:
    """Overwrite the catalog's free space, where deleted rows would otherwise linger.

    Takes the mark away. Raises HistoryError.
    """
    import psycopg

    try:
        if place.is_postgresql:
            with psycopg.connect(place.address, autocommit=True) as session:
                if not older_have_ended(session, WAIT_SECONDS):
                    raise psycopg.OperationalError("an older transaction is still open")
                session.execute("VACUUM FULL")
                session.execute(f"DROP TABLE {SCHEMA}.{MARK}")
            return
        # DuckDB has let go of the file; its SQLite and Python's must never hold it at once.
        with closing(sqlite3.connect(place.catalog, timeout=WAIT_SECONDS)) as connection:
            connection.execute("VACUUM")
            is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:  # which SQLite tells in a row, after the timeout
                raise sqlite3.OperationalError("a reader keeps its log")
            connection.execute(f"DROP TABLE {MARK}")
    except (psycopg.Error, sqlite3.Error) as error:
        said = " ".join(without_credentials(error).split())
        raise HistoryError(
            f"no table of the history at {place} holds the person any more, but its catalog's free"
            f" space may: it could not be vacuumed ({said}); mend that, and erase once more"
        ) from error
