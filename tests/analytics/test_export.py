"""The history in other tools' forms."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from analytics.dictionary import FACTS
from analytics.errors import HistoryError
from analytics.export import export_history
from analytics.history import History
from analytics.place import Place


def test_parquet_holds_every_row_of_every_table(made_place: Place, tmp_path: Path) -> None:
    told = dict(export_history(made_place, tmp_path / "out"))
    read = {
        file.stem: pl.scan_parquet(file).select(pl.len()).collect().item()
        for file in (tmp_path / "out").glob("*.parquet")
    }
    assert (set(told), told) == ({table.name for table in FACTS}, read)


def test_csv_holds_every_row(made: History, made_place: Place, tmp_path: Path) -> None:
    told = dict(export_history(made_place, tmp_path / "out", "csv", ["labels"]))
    assert pl.read_csv(tmp_path / "out" / "labels.csv").height == told["labels"]


def test_one_duckdb_file_opens_by_itself_and_has_the_views(
    made: History, made_place: Place, tmp_path: Path
) -> None:
    list(export_history(made_place, tmp_path / "history.duckdb"))
    connection = duckdb.connect(str(tmp_path / "history.duckdb"), read_only=True)
    found = connection.execute(
        "SELECT count(*) FILTER (outcome = 'enriched') FROM wide_events"
    ).fetchone()
    connection.close()
    expected = made.sql("SELECT count(*) AS n FROM current_enrichments").item()
    assert found == (expected,)


def test_nothing_is_overwritten(made_place: Place, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="exists"):
        list(export_history(made_place, tmp_path))


def test_an_unknown_table_is_named(made_place: Place, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no table tickets"):
        list(export_history(made_place, tmp_path / "out", "", ["tickets"]))


def test_an_unknown_kind_is_named(made_place: Place, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="xlsx"):
        list(export_history(made_place, tmp_path / "out", "xlsx"))


@pytest.mark.parametrize("name", ["out.xyz", "out.csv"])
def test_an_ending_that_stands_for_no_form_is_told_with_those_that_do(
    made_place: Place, tmp_path: Path, name: str
) -> None:
    with pytest.raises(HistoryError, match=r"\.duckdb or \.db, name a folder without an ending"):
        list(export_history(made_place, tmp_path / name))
    assert not (tmp_path / name).exists()
