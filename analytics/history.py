"""Opening the history: DuckDB with a DuckLake attached, to read or (the lander only) to write."""

import importlib.util
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb

from analytics.dictionary import TABLES
from analytics.errors import HistoryError, without_credentials
from analytics.merges import undisturbed
from analytics.place import Place, find, nothing_at
from analytics.views import VIEWS

if TYPE_CHECKING:
    import polars as pl  # which the lander does without

NAME = "history"
METADATA = f"__ducklake_metadata_{NAME}"  # what DuckLake attaches its catalog as
SCHEMA = "hooksift_history"  # of the catalog's tables, in a PostgreSQL that may hold more
EXTENSIONS = {"sqlite": "sqlite_scanner", "postgres": "postgres_scanner"}


class History:
    """An open history. `sql` answers any query; the functions of `analytics` ask the usual ones.

    One thread at a time. Every query sees one snapshot; the next query sees what was landed since.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, place: Place) -> None:
        self.connection = connection
        self.place = place

    def sql(
        self, query: str, values: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> "pl.DataFrame":
        """The rows of a query as a Polars frame; `values` fill its ? or $name marks."""

        def ask() -> "pl.DataFrame":
            return self.connection.execute(query, values).pl()

        try:
            return undisturbed(self.connection, self.place, METADATA, ask)
        except duckdb.IOException as error:
            said = without_credentials(error)  # and none of it in a notebook's traceback
            raise HistoryError(f"the history at {self.place} cannot be read: {said}") from None

    @property
    def cli_line(self) -> str:
        """The line that opens this history in the plain DuckDB command line."""
        return cli_line(self.place)

    def close(self) -> None:
        """Let go of the history."""
        self.connection.close()

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    where: str | Path | Place | None = None,
    *,
    threads: int | None = None,
    memory_mb: int = 2048,
    version: int | None = None,
) -> History:
    """Open a history for reading, also while a lander writes it.

    `where`: its folder, catalog file or postgresql:// address; by default what
    $HOOKSIFT_HISTORY_PATH says, then hooksift.toml, then ./hooksift-data. Never writes.
    `version`: stay at that snapshot, whatever is landed or merged meanwhile. (An open transaction
    is not enough: once small files are merged, it sees what was landed after it began.)
    Raises HistoryMissing where there is none.
    """
    place = where if isinstance(where, Place) else find(where)
    if not place.is_postgresql and not Path(place.catalog).is_file():
        raise nothing_at(place)
    connection = attach(
        place, read_only=True, threads=threads, memory_mb=memory_mb, version=version
    )
    _define_views(connection)
    return History(connection, place)


def attach(
    place: Place,
    *,
    read_only: bool,
    threads: int | None = None,
    memory_mb: int = 2048,
    inline_rows: int = 0,
    version: int | None = None,
    verify_extensions: bool = True,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with the history attached and in use. Creates it unless `read_only`.

    To verify the signatures of the extensions is nearly all of its work, a third of a second: a
    process that has done so need not do it again.
    """
    connection = duckdb.connect(config={"allow_unsigned_extensions": not verify_extensions})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{int(memory_mb)}MB'")
        connection.execute("SET preserve_insertion_order = false")
        # DuckDB's own choice is a folder in whatever directory the reader happens to stand in.
        spill = Path(tempfile.gettempdir()) / f"hooksift-duckdb-{os.getpid()}"
        connection.execute(f"SET temp_directory = '{spill}'")
        if threads is not None:
            connection.execute(f"SET threads = {int(threads)}")
        load_extensions(connection, place)
        options = _options(place, read_only=read_only, inline_rows=inline_rows)
        options += "" if version is None else f", SNAPSHOT_VERSION {int(version)}"
        connection.execute(f"ATTACH {_quoted(_address(place))} AS {NAME} ({options})")
        connection.execute(f"USE {NAME}")
    except duckdb.Error as error:
        connection.close()
        said = without_credentials(error)
        # FATAL: it is the database or its user that does not exist.
        if read_only and "does not exist" in said and "FATAL" not in said:
            raise nothing_at(place) from None
        raise HistoryError(f"the history at {place} cannot be opened: {said}") from None
    return connection


def load_extensions(connection: duckdb.DuckDBPyConnection, place: Place) -> None:
    """Load DuckLake and what the place needs, from the installed packages."""
    names = ["ducklake", EXTENSIONS["postgres" if place.is_postgresql else "sqlite"]]
    for name in [*names, "httpfs"] if place.is_s3 else names:
        load_extension(connection, name)
    if place.is_s3:
        _set_up_s3(connection, place)


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load one extension from its package; from DuckDB's repository only where there is none."""
    file = packaged_extension(name)
    if file is not None:
        connection.execute(f"LOAD {_quoted(str(file))}")
        return
    connection.execute(f"INSTALL {name}")
    connection.execute(f"LOAD {name}")


def packaged_extension(name: str) -> Path | None:
    """The extension's file in its installed package, if it fits this DuckDB."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
        if file.is_file():
            return file
    return None


def _set_up_s3(connection: duckdb.DuckDBPyConnection, place: Place) -> None:
    s3 = place.s3
    parts = ["TYPE s3", f"REGION {_quoted(s3.region)}", f"URL_STYLE {_quoted(s3.url_style)}"]
    if s3.key_id:
        parts += [f"KEY_ID {_quoted(s3.key_id)}", f"SECRET {_quoted(s3.secret)}"]
    if s3.endpoint:
        parts += [f"ENDPOINT {_quoted(s3.endpoint)}", f"USE_SSL {str(s3.tls).lower()}"]
    connection.execute(f"CREATE OR REPLACE SECRET history_files ({', '.join(parts)})")


def _address(place: Place) -> str:
    return f"ducklake:{'postgres' if place.is_postgresql else 'sqlite'}:{place.address}"


def _options(place: Place, *, read_only: bool, inline_rows: int) -> str:
    parts = []
    if place.files:
        # The folder is given on every opening, so that a history can be moved or copied.
        folder = place.files if place.is_s3 else str(Path(place.files).absolute())
        parts += [f"DATA_PATH {_quoted(folder.rstrip('/') + '/')}", "OVERRIDE_DATA_PATH true"]
    if place.is_postgresql:
        parts.append(f"METADATA_SCHEMA {_quoted(SCHEMA)}")
    else:
        parts.append("META_JOURNAL_MODE 'WAL'")  # readers and the lander never wait for another
    if read_only:
        parts.append("READ_ONLY")
    else:
        # Inlined rows are read last, long after the list of files: too late where a merge comes
        # in between, of which the plain DuckDB command line takes no notice.
        parts.append(f"DATA_INLINING_ROW_LIMIT {inline_rows if place.is_postgresql else 0}")
    return ", ".join(parts)


def catalog_of(place: Place) -> str:
    """Where SQL finds DuckLake's own tables of an attached history."""
    return f"{METADATA}.{SCHEMA if place.is_postgresql else 'main'}"


def cli_line(place: Place) -> str:
    """A shell line that opens the history in the plain DuckDB command line (1.5 or newer)."""
    return f"duckdb -cmd {shlex.quote(opening_statement(place))}"


def opening_statement(place: Place) -> str:
    """The SQL with which a plain DuckDB (1.5 or newer) opens the history for reading.

    Unlike `History.sql` it does not notice a merge that comes into a query (`analytics.merges`).
    """
    catalog = place.catalog if place.is_postgresql else str(Path(place.catalog).absolute())
    shown = Place(catalog, place.files)
    options = _options(shown, read_only=True, inline_rows=0)
    return f"ATTACH {_quoted(_address(shown))} AS {NAME} ({options}); USE {NAME};"


def _define_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Temporary views on top: what is derived, and NULL for columns an older history lacks."""
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ?", [NAME]
    ).fetchall():
        found.setdefault(table, set()).add(column)
    for table in TABLES:
        has = found.get(table.name, set())
        if has.issuperset(table.names):
            continue
        columns = ", ".join(
            c.name if c.name in has else f"CAST(NULL AS {c.type}) AS {c.name}"
            for c in table.columns
        )
        rows = f"{NAME}.main.{table.name}" if has else "(SELECT 1 WHERE false)"
        connection.execute(f"CREATE TEMP VIEW {table.name} AS SELECT {columns} FROM {rows}")
    for name, query in VIEWS.items():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
