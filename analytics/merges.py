"""Merges beside readers, where the catalog is SQLite.

DuckLake reads an SQLite catalog by several connections, each at a moment of its own. What a landing
adds belongs to a later snapshot and does no harm; a merge takes away what a reader may be about to
look up, and its rows would be missing from the answer. So a reader looks whether a merge was
committed while it asked. Then it asks once more, and merges wait for it. A PostgreSQL catalog shows
a reader one state of itself, and needs none of this.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb

from analytics.lock import held, lock_of
from analytics.place import Place

WAIT_SECONDS = 60.0
NEWEST = """SELECT snapshot_id FROM ducklake_snapshot_changes
WHERE changes_made LIKE '%merge_adjacent%' OR changes_made LIKE '%rewrite_delete%'
   OR changes_made LIKE '%inline_flush%'
ORDER BY snapshot_id DESC LIMIT 1"""

Answer = TypeVar("Answer")


def undisturbed(
    connection: duckdb.DuckDBPyConnection, place: Place, catalog: str, ask: Callable[[], Answer]
) -> Answer:
    """What `ask` returns when no merge came into it. `catalog`: the name DuckDB knows it by."""
    if place.is_postgresql:
        return ask()
    before = _newest_merge(connection, catalog)
    answer = ask()
    if _newest_merge(connection, catalog) == before:
        return answer
    with no_merges(place):
        return ask()


@contextmanager
def no_merges(place: Place) -> Iterator[None]:
    """Merges wait for as long as the block runs. Raises HistoryBusy where one takes a minute."""
    if place.is_postgresql:
        yield
        return
    with held(lock_of(place, "merge", shared=True), WAIT_SECONDS):
        yield


def _newest_merge(connection: duckdb.DuckDBPyConnection, catalog: str) -> object:
    """The snapshot that the newest merge made. SQLite is asked itself: that takes a millisecond.

    All rows are fetched, of one: DuckDB keeps SQLite's read transaction open until the last.
    """
    found = connection.execute("SELECT * FROM sqlite_query(?, ?)", [catalog, NEWEST])
    return found.fetchall()
