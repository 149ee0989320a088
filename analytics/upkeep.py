"""Keeping the history's files few and its old snapshots short-lived."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb
import structlog

from analytics.dictionary import TABLES, create_statement
from analytics.history import NAME, catalog_of
from analytics.place import Place
from analytics.scope import quoted
from analytics.settings import HistorySettings
from analytics.views import VIEWS

log = structlog.get_logger("landing")

# Files are merged among their like, so that a byte is rewritten a few times, not with each merge:
# those between one of these sizes and the next.
SIZES = (0, *(2**power for power in range(14, 27, 3)))  # 16 KB, 128 KB, 1, 8 and 64 MB
SMALL_BYTES = SIZES[3]
FEW_FILES, MANY_FILES = 8, 32
WORTH_ROWS = 8_000  # a tenth of a second of work
BYTES_A_ROW = 500  # in a file; a row that takes more counts as several
TARGET_SIZE = ("256MB", "256000000")  # as one says it, and as the catalog keeps it
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
SHARED = (
    "files that were never committed stay: they may be another history's; give each a folder of its"
    " own, or delete the mark of one that is gone"
)
FILES = "main/**/ducklake-*.parquet"  # in the folder of files
WRITTEN = "/ducklake-([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})[^/]*$"
NO_FILE_ID = 1 << 62  # above that of any file that the catalog knows
ROW_GROUP_SIZE = ("32MB", "32000000")  # of rows in memory: by their count, wide ones filled it


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what the dictionary says and an older history lacks: tables, columns, views, options.

    Never drops or changes a column: one that a newer program added stays, and reads as NULL here.
    """
    connection.execute("BEGIN")
    found = _columns(connection)
    for table in TABLES:
        if table.name not in found:
            connection.execute(create_statement(table))
        for column in table.columns:
            if column.name not in found.get(table.name, table.names):
                connection.execute(
                    f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {column.type}'
                )
        if table.apart_by:  # of new files; changes nothing where it is so already
            connection.execute(f"ALTER TABLE {table.name} SET PARTITIONED BY ({table.apart_by})")
    _define_views(connection)
    connection.execute("COMMIT")
    _set_options(connection)
    _mark_folder(connection)


def _mark_folder(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave a mark of this history in its folder, so that another one deletes nothing there."""
    folder, own = folder_of(connection)
    if own not in marks_in(connection, folder):
        if "://" not in folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        connection.execute(f"COPY (SELECT 'of Hooksift') TO {quoted(own)} (FORMAT csv)")


def folder_of(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    """The folder of the history's files, and the file there that is the history's mark."""
    row = connection.execute(
        f"SELECT data_path, (SELECT min(table_uuid)::VARCHAR FROM ducklake_table_info('{NAME}'))"
        f" FROM ducklake_settings('{NAME}')"
    ).fetchone()
    assert row is not None
    return row[0], f"{row[0]}history-{row[1]}.csv"


def literal(folder: str) -> str:
    """A folder's name as a pattern that means nothing else."""
    return re.sub(r"([*?[])", r"[\1]", folder)


def marks_in(connection: duckdb.DuckDBPyConnection, folder: str) -> list[str]:
    """The marks of all histories that have had this folder."""
    found = connection.execute("SELECT file FROM glob(?)", [literal(folder) + "history-*.csv"])
    return [file for (file,) in found.fetchall()]


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ?", [NAME]
    )
    for table, column in rows.fetchall():
        found.setdefault(table, set()).add(column)
    return found


def _set_options(connection: duckdb.DuckDBPyConnection) -> None:
    # Version 2 keeps ids and times as differences, which are read a third faster and are smaller.
    wanted = {
        "parquet_compression": ("zstd", "zstd"),
        "parquet_version": ("2", "V2"),
        "parquet_row_group_size_bytes": ROW_GROUP_SIZE,
        "target_file_size": TARGET_SIZE,
    }
    rows = connection.execute(f"SELECT option_name, value FROM ducklake_options('{NAME}')")
    found = dict(rows.fetchall())
    for name, (said, kept) in wanted.items():
        if found.get(name) != kept:
            connection.execute(f"CALL {NAME}.set_option('{name}', '{said}')")
    if "data_inlining_row_limit" not in found:
        # The row of `landings` is replaced with each landing: in the catalog, not in a file a time.
        connection.execute(
            f"CALL {NAME}.set_option('data_inlining_row_limit', '200', table_name => 'landings')"
        )


def _define_views(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "SELECT view_name, comment FROM duckdb_views() WHERE database_name = ?", [NAME]
    )
    found = dict(rows.fetchall())
    for name, query in VIEWS.items():
        if found.get(name) != " ".join(query.split()):
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
            comment = " ".join(query.split()).replace("'", "''")
            connection.execute(f"COMMENT ON VIEW {name} IS '{comment}'")


class SmallFiles(NamedTuple):
    """Files of one table that are alike in size; those of a partition become one."""

    table: str
    from_bytes: int
    below_bytes: int
    file_count: int  # of the partition that has most
    row_count: int  # of all

    def is_due(self, room_rows: float) -> bool:
        """Whether so many are worth a merge, and one of so many rows may be made now."""
        fits = WORTH_ROWS <= self.row_count <= room_rows
        return self.file_count >= (FEW_FILES if fits else MANY_FILES)

    @property
    def merge(self) -> str:
        """The statement that merges them, those of one partition and into one file at a time."""
        return (
            f"CALL ducklake_merge_adjacent_files('{NAME}', '{self.table}', max_compacted_files => 1"
            f", min_file_size => {self.from_bytes}, max_file_size => {self.below_bytes})"
        )


def small_files(connection: duckdb.DuckDBPyConnection, place: Place) -> list[SmallFiles]:
    """What could be merged, the smallest files first. One with deleted rows never is."""
    catalog = catalog_of(place)
    sizes = ", ".join(f"({low}, {high})" for low, high in pairwise(SIZES))
    found = connection.execute(
        "SELECT table_name, low, high, max(files)::BIGINT, sum(row_count)::BIGINT FROM ("
        " SELECT table_name, low, high, partition, count(*) AS files,"
        f" sum(greatest(record_count, file_size_bytes // {BYTES_A_ROW})) AS row_count"
        f" FROM {catalog}.ducklake_data_file file JOIN {catalog}.ducklake_table t USING (table_id)"
        " LEFT JOIN (SELECT data_file_id,"
        " string_agg(partition_value, '/' ORDER BY partition_key_index) AS partition"
        f" FROM {catalog}.ducklake_file_partition_value GROUP BY 1) USING (data_file_id)"
        f" JOIN (VALUES {sizes}) sizes(low, high)"
        " ON file_size_bytes >= low AND file_size_bytes < high"
        " WHERE file.end_snapshot IS NULL AND t.end_snapshot IS NULL AND data_file_id NOT IN"
        f" (SELECT data_file_id FROM {catalog}.ducklake_delete_file WHERE end_snapshot IS NULL)"
        " GROUP BY ALL HAVING count(*) > 1) GROUP BY ALL ORDER BY low, 5"
    )
    return [SmallFiles(*row) for row in found.fetchall()]


def first_due(found: Iterable[SmallFiles], room_rows: float) -> SmallFiles | None:
    """The first of them that is due."""
    return next((files for files in found if files.is_due(room_rows)), None)


def merges_of_small() -> Iterator[str]:
    """Statements that merge all files below 1 MB, one table's each."""
    for table in TABLES:
        yield (
            f"CALL ducklake_merge_adjacent_files('{NAME}', '{table.name}',"
            f" max_file_size => {SMALL_BYTES})"
        )


def tidying() -> tuple[str, ...]:
    """Statements that move inlined rows into files."""
    return (
        f"CALL ducklake_flush_inlined_data('{NAME}')",
        # A file with deleted rows is not merged, and the next landing deletes that of `landings`.
        f"CALL ducklake_rewrite_data_files('{NAME}', 'landings', delete_threshold => 0)",
    )


def drop_old(
    connection: duckdb.DuckDBPyConnection, place: Place, settings: HistorySettings, now: datetime
) -> None:
    """Expire snapshots past their time, then delete files that nothing has read for a while.

    An SQLite catalog keeps times as text, and DuckLake compares them as text with one that has a T
    between date and time, so that its `older_than` takes the whole day. Hence snapshots are named
    one by one, and the times of files get their T first.
    """
    expire(connection, place, now - timedelta(hours=settings.snapshot_hours))
    if not place.is_postgresql:
        connection.execute(
            f"UPDATE {catalog_of(place)}.ducklake_files_scheduled_for_deletion"
            " SET schedule_start = replace(schedule_start, ' ', 'T')"
            " WHERE contains(schedule_start, ' ')"
        )
    clean = now - timedelta(hours=settings.file_hours)
    connection.execute(
        f"CALL ducklake_cleanup_old_files('{NAME}',"
        f" older_than => TIMESTAMPTZ '{clean.isoformat()}')"
    )
    delete_uncommitted(connection, place, clean)


def expire(connection: duckdb.DuckDBPyConnection, place: Place, before: datetime = FOREVER) -> None:
    """End every snapshot but the newest that was made before a time."""
    snapshots = f"{catalog_of(place)}.ducklake_snapshot"
    found = connection.execute(
        f"SELECT snapshot_id FROM {snapshots} WHERE snapshot_id <"
        f" (SELECT max(snapshot_id) FROM {snapshots})"
        " AND CAST(snapshot_time AS TIMESTAMPTZ) < ? ORDER BY 1",
        [before],
    ).fetchall()
    if found:
        expired = [snapshot_id for (snapshot_id,) in found]
        connection.execute(f"CALL ducklake_expire_snapshots('{NAME}', versions => {expired})")


def delete_uncommitted(
    connection: duckdb.DuckDBPyConnection, place: Place, before: datetime = FOREVER
) -> None:
    """Delete files written before a time by a process that was killed before it committed them.

    For who holds the writer lock: nobody else is writing. `ducklake_delete_orphaned_files` would
    delete every other Parquet file in the folder too. These are named as DuckLake names its own, by
    a UUID that begins with the time, and none is older than this history: that is of one that had
    the folder before. Each is put on DuckLake's list of what it is to delete. Where the folder has
    the mark of another history too, none is: that one's own files have the same names.
    """
    catalog = catalog_of(place)
    folder, own = folder_of(connection)
    if others := [mark for mark in marks_in(connection, folder) if mark != own]:
        log.warning("folder_is_shared", folder=folder, others=others, reason=SHARED)
        return
    milliseconds = f"{int(before.timestamp() * 1000):012x}"
    found = connection.execute(
        f"SELECT file FROM (SELECT file, regexp_extract(file, '{WRITTEN}', 1) AS uuid"
        " FROM glob(?))"
        f" WHERE uuid > (SELECT min(CAST(table_uuid AS VARCHAR)) FROM {catalog}.ducklake_table)"
        " AND uuid < ? AND parse_filename(file) NOT IN (SELECT parse_filename(path) FROM ("
        f" SELECT path FROM {catalog}.ducklake_data_file"
        f" UNION ALL SELECT path FROM {catalog}.ducklake_delete_file"
        f" UNION ALL SELECT path FROM {catalog}.ducklake_files_scheduled_for_deletion))",
        [literal(folder) + FILES, f"{milliseconds[:8]}-{milliseconds[8:]}"],
    ).fetchall()
    if found:
        connection.executemany(
            f"INSERT INTO {catalog}.ducklake_files_scheduled_for_deletion"
            " (data_file_id, path, path_is_relative, schedule_start)"
            " VALUES (?, ?, false, '1970-01-01T00:00:00+00:00')",
            [[NO_FILE_ID + number, file] for number, (file,) in enumerate(found)],
        )
        connection.execute(
            f"CALL ducklake_cleanup_old_files('{NAME}', older_than => TIMESTAMPTZ '1971-01-01')"
        )
