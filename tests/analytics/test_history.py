"""Opening a history: where it is found, what readers get, an older one, one that is moved."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from analytics.errors import HistoryError, HistoryMissing
from analytics.history import History, attach, cli_line, connect, packaged_extension
from analytics.landing import Lander
from analytics.lock import lock_of
from analytics.place import VARIABLE, Place, find, hand_over, place_of
from analytics.settings import HistorySettings, S3Settings
from service.store import Store
from tests.analytics.store_facts import put, put_events


def test_importing_analytics_loads_no_other_stage() -> None:
    """Neither the service nor enrichment, nor (until it is asked something) DuckDB or Polars."""
    script = (
        "import analytics, sys; names = {name.split('.')[0] for name in sys.modules};"
        "print(sorted(names & {'service', 'enrich', 'litestar', 'openai', 'duckdb', 'polars'}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_reading_loads_neither_service_nor_enrich(made_place: Place) -> None:
    script = (
        "import analytics, sys; analytics.outcomes(analytics.connect());"
        "names = {name.split('.')[0] for name in sys.modules};"
        "print(sorted(names & {'service', 'enrich', 'litestar', 'openai'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={VARIABLE: hand_over(made_place), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["ducklake", "sqlite_scanner", "postgres_scanner", "httpfs"])
def test_extensions_come_from_installed_packages(name: str) -> None:
    assert packaged_extension(name) is not None


def test_a_reader_cannot_write(made: History) -> None:
    with pytest.raises(duckdb.Error, match="read-only"):
        made.connection.execute("INSERT INTO history.main.labels (id) VALUES (1)")


def test_where_there_is_no_history_one_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HistoryMissing, match="hooksift demo"):
        find(None, {}, tmp_path)


def test_a_folder_without_a_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryMissing, match="nothing has been landed"):
        connect(tmp_path)


def test_the_environment_says_where(made_place: Place, tmp_path: Path) -> None:
    folder = str(Path(made_place.catalog).parent)
    assert find(None, {VARIABLE: folder}, tmp_path).catalog == made_place.catalog


def test_the_config_file_says_where(made_place: Place, tmp_path: Path) -> None:
    (tmp_path / "hooksift.toml").write_text(
        f"[history]\ncatalog = {json.dumps(made_place.catalog)}\n"
    )
    assert find(None, {}, tmp_path).catalog == made_place.catalog


def test_a_notebook_finds_the_data_folder_above_it(made_place: Place, tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(Path(made_place.catalog).parent, tmp_path / "hooksift-data" / "history")
    found = find(None, {}, tmp_path / "notebooks")
    assert found.catalog == str(tmp_path / "hooksift-data" / "history" / "catalog.sqlite")


def test_a_place_that_is_no_folder_is_handed_over_whole() -> None:
    place = Place("postgresql://me@db/history", "s3://bucket/history", S3Settings(key_id="k"))
    assert find(hand_over(place)) == place


ADDRESSES = {
    "postgresql://me@db/history": "?connect_timeout=5",
    "postgresql://me:so?so@db/history": "?connect_timeout=5",
    "postgres:///history?host=/run/postgresql": "&connect_timeout=5",
    "postgresql://db/history?application_name=me@here": "&connect_timeout=5",
    "postgresql://me:pw@db/history?connect_timeout=60": "",
    "history/catalog.sqlite": "",
}


@pytest.mark.parametrize("catalog", ADDRESSES)
def test_a_database_is_given_up_after_some_seconds_unless_its_address_says_another(
    catalog: str,
) -> None:
    assert Place(catalog).address == catalog + ADDRESSES[catalog]


def test_a_password_is_not_shown() -> None:
    assert str(Place("postgresql://me:secret@db/history")) == "postgresql://db/history"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hunter2@127.0.0.1:1/history",
        "postgresql://me:hunter2@here/or@there@127.0.0.1:1/history",
        "postgresql://127.0.0.1:1/history?user=me&password=hunter2",
    ],
)
def test_what_the_database_says_is_told_without_the_password(address: str) -> None:
    with pytest.raises(HistoryError, match="cannot be opened") as caught:
        connect(address)
    assert "hunter2" not in str(caught.value)


def test_a_lock_that_cannot_be_reached_tells_no_password() -> None:
    place = Place("postgresql://me:hunter2@127.0.0.1:notaport/history")
    with pytest.raises(HistoryError, match="cannot be reached") as caught:
        lock_of(place, "writer").take()
    assert "hunter2" not in str(caught.value)


def test_settings_say_env_for_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG", "postgresql://me@db/history")
    assert place_of(HistorySettings(catalog="env:CATALOG"), tmp_path).is_postgresql


def test_a_history_that_was_moved_opens_where_it_is(
    store: Store, lander: Lander, place: Place, tmp_path: Path
) -> None:
    put_events(store, 300)
    lander.land()
    lander.close()
    shutil.move(Path(place.catalog).parent, tmp_path / "elsewhere")
    with connect(tmp_path / "elsewhere") as history:
        assert history.sql("SELECT count(body) AS n FROM events").item() == 300


def test_the_printed_line_opens_it(made_place: Place) -> None:
    """Run in DuckDB itself, as its command line would."""
    command = shlex.split(cli_line(made_place))
    connection = duckdb.connect()
    for name in ("ducklake", "sqlite_scanner"):  # which the command line fetches by itself
        connection.execute(f"LOAD '{packaged_extension(name)}'")
    connection.execute(command[2])
    found = connection.execute("SELECT count(*) FROM wide_events").fetchone()
    connection.close()
    assert (command[:2], found is not None and found[0] > 19_000) == (["duckdb", "-cmd"], True)


def older(place: Place) -> None:
    """A history as a program without some tables and columns had left it."""
    lake = attach(place, read_only=False)
    lake.execute("CREATE TABLE events (id BIGINT, source VARCHAR, title VARCHAR)")
    lake.execute("INSERT INTO events VALUES (1, 'support', 'old')")
    lake.close()


def test_an_older_history_can_be_read(place: Place) -> None:
    Path(place.catalog).parent.mkdir(parents=True)
    older(place)
    with connect(place) as history:
        found = history.sql("SELECT id, title, category, outcome FROM wide_events").row(0)
    assert found == (1, "old", None, "waiting")


def test_landing_adds_the_columns_that_an_older_history_lacks(
    store: Store, open_lander: Callable[..., Lander], place: Place
) -> None:
    Path(place.catalog).parent.mkdir(parents=True)
    older(place)
    (new,) = put_events(store, 1, title="new")
    open_lander().land()
    with connect(place) as history:
        found = history.sql("SELECT id, title, preset FROM events ORDER BY id").rows()
    assert found == [(1, "old", None), (new, "new", "zendesk")]


def test_a_column_of_a_newer_program_is_kept(
    store: Store, lander: Lander, place: Place, open_lander: Callable[..., Lander]
) -> None:
    lander._lake.execute("ALTER TABLE labels ADD COLUMN mood VARCHAR")
    lander.close()
    put(store, "labels", {})
    open_lander().land()
    with connect(place) as history:
        assert history.sql("SELECT mood FROM history.main.labels").item() is None
