"""The history in forms that other tools read: Parquet, CSV, one DuckDB file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from analytics.dictionary import FACTS
from analytics.errors import HistoryError
from analytics.history import NAME, connect
from analytics.merges import no_merges
from analytics.place import Place
from analytics.scope import quoted
from analytics.views import VIEWS

KINDS = ("parquet", "csv", "duckdb")
KIND_OF_ENDING = {"": "parquet", ".duckdb": "duckdb", ".db": "duckdb"}


def export_history(
    place: Place, target: Path, kind: str = "", tables: Sequence[str] = ()
) -> Iterator[tuple[str, int]]:
    """Write each table; yields its name and how many rows.

    All tables as of one moment. Parquet and CSV: a folder with a file for each table (CSV: lists
    as JSON). DuckDB: one file with the tables and the views. Refuses to overwrite.
    Raises HistoryError for an unknown kind, ending or table, or a target that exists.
    """
    kind = kind or _kind_of(target)
    wanted = list(tables) or [table.name for table in FACTS]
    _check(target, kind, wanted)
    with connect(place) as newest:
        version = newest.sql(f"SELECT id FROM ducklake_current_snapshot('{NAME}')").item()
    with connect(place, version=version) as history, no_merges(place):
        _make_folder(target.parent if kind == "duckdb" else target)
        if kind == "duckdb":
            history.connection.execute(f"ATTACH {quoted(str(target))} AS target")
        for name in wanted:
            if kind == "duckdb":
                statement = f"CREATE TABLE target.{name} AS SELECT * FROM {name} ORDER BY id"
            else:
                statement = _copy(name, target / f"{name}.{kind}", kind)
            history.connection.execute(statement)
            yield name, history.sql(f"SELECT count(id) AS n FROM {name}").item()
        if kind == "duckdb" and not tables:
            history.connection.execute("USE target")
            for name, query in VIEWS.items():
                history.connection.execute(f"CREATE VIEW target.{name} AS {query}")


def _kind_of(target: Path) -> str:
    """Parquet for a folder, which has no ending; what has one that nobody knows is a mistake."""
    kind = KIND_OF_ENDING.get(target.suffix)
    if kind is None:
        raise HistoryError(
            f"{target}: no form is known by {target.suffix}; end the file in .duckdb or .db, name"
            f" a folder without an ending, or say --as {', '.join(KINDS)}"
        )
    return kind


def _copy(table: str, file: Path, kind: str) -> str:
    columns = next(found for found in FACTS if found.name == table).columns
    if kind == "parquet":
        return (
            f"COPY (SELECT * FROM {table} ORDER BY id) TO {quoted(str(file))}"
            " (FORMAT parquet, COMPRESSION zstd)"
        )
    shown = ", ".join(
        f"to_json({column.name})::VARCHAR AS {column.name}"
        if column.type.endswith("[]")
        else column.name
        for column in columns
    )
    return f"COPY (SELECT {shown} FROM {table} ORDER BY id) TO {quoted(str(file))} (HEADER)"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryError(f"cannot write to {folder}: {error.strerror}") from error


def _check(target: Path, kind: str, tables: list[str]) -> None:
    if kind not in KINDS:
        raise HistoryError(f"cannot export as {kind}; one of {', '.join(KINDS)}")
    known = [table.name for table in FACTS]
    unknown = [name for name in tables if name not in known]
    if unknown:
        raise HistoryError(f"no table {unknown[0]}; one of {', '.join(known)}")
    if target.exists():
        raise HistoryError(f"{target} exists; name a new one")
