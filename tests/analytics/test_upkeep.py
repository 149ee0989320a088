"""A history's files stay few, old snapshots and replaced files go when their hours are over."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from analytics.history import NAME, History, catalog_of, connect
from analytics.landing import Lander
from analytics.place import Place
from analytics.settings import HistorySettings
from analytics.upkeep import (
    FEW_FILES,
    MANY_FILES,
    SIZES,
    WORTH_ROWS,
    SmallFiles,
    small_files,
)
from service.store import Store
from tests.analytics.store_facts import put, put_events

LANDINGS = 4
SETTINGS = HistorySettings(inline_rows=0, snapshot_hours=24, file_hours=6)


class Later:
    """A clock that stands some hours after the real one, by which the history dates its files."""

    hours = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self.hours)


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a new history is to be, with either catalog."""
    files = str(tmp_path / "files")
    if request.param == "postgresql":
        return Place(request.getfixturevalue("empty_database"), files)
    return Place(str(tmp_path / "catalog.sqlite"), files)


@pytest.fixture
def lander(store: Store, place: Place, later: Later) -> Iterator[Lander]:
    """A lander that has written each of four landings into a file of its own."""
    with Lander(store, place, SETTINGS, later) as opened:
        for _ in range(LANDINGS):
            put_events(store, 5)
            opened.land()
        yield opened


def data_files(history: History) -> set[str]:
    """Files of events that the newest snapshot reads."""
    found = history.sql(f"SELECT data_file FROM ducklake_list_files('{NAME}', 'events')")
    return set(found["data_file"])


def size_of(file: str) -> int:
    return Path(file).stat().st_size


def files_on_disk(place: Place) -> set[str]:
    return {str(file) for file in Path(place.files).rglob("*.parquet") if "/events/" in str(file)}


def versions(history: History) -> list[int]:
    return history.sql(f"FROM {NAME}.snapshots() ORDER BY 1")["snapshot_id"].to_list()


def events_at(history: History, version: int) -> int:
    found = history.sql(f"SELECT count(*) AS n FROM events AT (VERSION => {version})")
    return int(found.item())


def test_each_landing_is_a_file_of_its_own_until_files_are_merged(
    lander: Lander, history: History
) -> None:
    assert len(data_files(history)) == LANDINGS


def test_merging_leaves_one_file(lander: Lander, history: History) -> None:
    lander.maintain()
    assert len(data_files(history)) == 1


def test_merging_changes_nothing_that_is_read(lander: Lander, history: History) -> None:
    before = history.sql("FROM events ORDER BY id")
    lander.maintain()
    assert history.sql("FROM events ORDER BY id").equals(before)


def put_files(store: Store, lander: Lander, count: int, rows: int) -> None:
    """So many landings of so many events each."""
    for _ in range(count):
        put_events(store, rows)
        lander.land()


def test_a_few_files_of_many_rows_are_merged_where_there_is_room_for_these(
    store: Store, lander: Lander, history: History
) -> None:
    put_files(store, lander, FEW_FILES, WORTH_ROWS // FEW_FILES)
    lander.merge(2 * WORTH_ROWS)
    assert len(data_files(history)) == 1


def test_a_few_files_of_many_rows_wait_for_room(
    store: Store, lander: Lander, history: History
) -> None:
    put_files(store, lander, FEW_FILES, WORTH_ROWS // FEW_FILES)
    lander.merge(WORTH_ROWS)
    waiting = len(data_files(history))
    lander.merge(2 * WORTH_ROWS)
    assert (waiting, len(data_files(history))) == (LANDINGS + FEW_FILES, 1)


def test_many_files_wait_for_no_room(store: Store, lander: Lander, history: History) -> None:
    put_files(store, lander, MANY_FILES - LANDINGS, 1)
    lander.merge(0)
    assert len(data_files(history)) == 1


@pytest.mark.parametrize(
    ("file_count", "row_count", "room_rows", "due"),
    [
        (FEW_FILES, WORTH_ROWS, WORTH_ROWS, True),
        (FEW_FILES - 1, WORTH_ROWS, inf, False),
        (FEW_FILES, WORTH_ROWS - 1, inf, False),
        (FEW_FILES, WORTH_ROWS, WORTH_ROWS - 1, False),
        (MANY_FILES - 1, WORTH_ROWS - 1, inf, False),
        (MANY_FILES, 2 * MANY_FILES, 0, True),
    ],
)
def test_when_small_files_are_to_be_merged(
    file_count: int, row_count: int, room_rows: float, due: bool
) -> None:
    files = SmallFiles("events", 0, SIZES[1], file_count, row_count)
    assert files.is_due(room_rows) is due


def test_files_of_different_partitions_are_not_counted_together(
    store: Store, place: Place, lander: Lander
) -> None:
    put_revisions(store)
    lander.land()
    found = small_files(lander._lake, place)
    assert {files.table for files in found} == {"events"}


def test_small_files_are_merged_among_their_like(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 1, text=token_hex(SIZES[1]))  # which no compression makes half as small
    lander.land()
    (large,) = data_files(history) - {f for f in data_files(history) if size_of(f) < SIZES[1]}
    for _ in range(2 * MANY_FILES):
        put_files(store, lander, 1, 1)
        lander.merge(inf)
    assert large in data_files(history)


def test_a_merge_that_fails_is_in_the_log_until_the_next_upkeep(
    store: Store, lander: Lander, history: History
) -> None:
    put_files(store, lander, MANY_FILES, 1)
    Path(data_files(history).pop()).unlink()
    with capture_logs() as logged:
        lander.merge(inf)
        lander.merge(inf)
    assert [(line["event"], line["table"]) for line in logged] == [("merge_failed", "events")]


def test_where_a_merge_fails_landing_goes_on(
    store: Store, lander: Lander, history: History
) -> None:
    put_files(store, lander, MANY_FILES, 1)
    Path(data_files(history).pop()).unlink()
    lander.merge(inf)
    put_events(store, 3)
    assert lander.land().rows == {"events": 3}


def put_revisions(store: Store) -> None:
    """An event that was enriched twice, its two revisions within one landing."""
    (event,) = put_events(store, 1)
    put(store, "enrichments", *({"event_id": event, "revision": number} for number in (1, 2)))


def revisions_of_files(history: History) -> list[list[int]]:
    """Which revisions stand in each file of enrichments."""
    files = history.sql(f"SELECT data_file FROM ducklake_list_files('{NAME}', 'enrichments')")
    read = "SELECT list_sort(list(DISTINCT revision)) FROM read_parquet('{}')"
    return sorted(history.sql(read.format(file)).item().to_list() for file in files["data_file"])


def test_later_revisions_are_in_files_of_their_own_after_a_merge_too(
    store: Store, lander: Lander, history: History
) -> None:
    for _ in range(2):
        put_revisions(store)
        lander.land()
    landed = revisions_of_files(history)
    lander.maintain()
    assert (landed, revisions_of_files(history)) == ([[1], [1], [2], [2]], [[1], [2]])


def test_files_of_a_history_that_kept_revisions_together_are_read_on(
    store: Store, place: Place, lander: Lander, history: History, later: Later
) -> None:
    lander._lake.execute("ALTER TABLE enrichments RESET PARTITIONED BY")
    put_revisions(store)
    lander.land()
    lander.close()
    with Lander(store, place, SETTINGS, later) as newer:
        put_revisions(store)
        newer.land()
        newer.maintain()
    found = history.sql("SELECT count(*) FROM current_enrichments").item()
    assert (revisions_of_files(history), found) == ([[1], [1, 2], [2]], 2)


def test_a_few_rows_wait_in_a_postgresql_catalog_and_are_then_moved_into_a_file(
    store: Store, place: Place
) -> None:
    with Lander(store, place, HistorySettings(inline_rows=200)) as lander, connect(place) as found:
        put_events(store, 5)
        lander.land()
        written = len(data_files(found))
        lander.maintain()
        assert (written, len(data_files(found))) == (0 if place.is_postgresql else 1, 1)


def test_the_row_that_each_landing_replaces_is_in_one_file_at_most(
    store: Store, lander: Lander, history: History
) -> None:
    for _ in range(2):
        put_events(store, 1)
        lander.land()
        lander.maintain()
    catalog = catalog_of(history.place)
    files = f"SELECT count(*) FROM {catalog}.ducklake_data_file JOIN {catalog}.ducklake_table t"
    of_landings = " USING (table_id) WHERE t.table_name = 'landings' AND "
    deletes = f"SELECT count(*) FROM {catalog}.ducklake_delete_file WHERE end_snapshot IS NULL"
    found = history.sql(
        f"SELECT ({files}{of_landings}ducklake_data_file.end_snapshot IS NULL), ({deletes})"
    )
    assert found.row(0) == (1, 0)


def test_landing_leaves_no_file_for_each_time_behind(lander: Lander, history: History) -> None:
    catalog = catalog_of(history.place)
    found = history.sql(
        f"SELECT count(*) FROM {catalog}.ducklake_data_file JOIN {catalog}.ducklake_table t"
        " USING (table_id) WHERE t.table_name = 'landings'"
    )
    assert found.item() == 0


def test_a_snapshot_within_its_hours_is_read_as_it_was(
    lander: Lander, history: History, later: Later
) -> None:
    kept = versions(history)[-LANDINGS:]
    later.hours = 23.9
    lander.maintain()
    assert [events_at(history, version) for version in kept] == [5, 10, 15, 20]


def test_a_snapshot_past_its_hours_is_gone(lander: Lander, history: History, later: Later) -> None:
    later.hours = 24.1
    lander.maintain()
    assert len(versions(history)) == 1


def test_what_is_current_is_read_when_every_older_snapshot_is_gone(
    lander: Lander, history: History, later: Later
) -> None:
    later.hours = 24.1
    lander.maintain()
    assert history.sql("SELECT count(*) AS n FROM events").item() == 5 * LANDINGS


@pytest.mark.parametrize(("hours", "stay"), [(5.9, True), (6.1, False)])
def test_a_replaced_file_stays_for_its_hours_only(
    hours: float, stay: bool, lander: Lander, history: History, place: Place, later: Later
) -> None:
    replaced = data_files(history)
    lander.maintain()
    later.hours = hours
    lander.maintain()
    assert (replaced <= files_on_disk(place)) is stay


def copied(file: str, name: str) -> str:
    """A file that no snapshot names, as a process leaves one that is killed before its commit."""
    return str(Path(shutil.copy(file, Path(file).with_name(name))))


def name_like(file: str) -> str:
    """A name that a history gives a file, written in the same millisecond as another one."""
    last = "1" if Path(file).stem.endswith("0") else "0"
    return f"{Path(file).stem[:-1]}{last}.parquet"


@pytest.mark.parametrize(("hours", "stays"), [(5.9, True), (6.1, False)])
def test_a_file_that_was_never_committed_stays_for_its_hours_only(
    hours: float, stays: bool, lander: Lander, history: History, place: Place, later: Later
) -> None:
    file = max(data_files(history))
    left = copied(file, name_like(file))
    later.hours = hours
    lander.maintain()
    assert (left in files_on_disk(place)) is stays


@pytest.mark.parametrize(
    "name", ["mine.parquet", "ducklake-00000000-0000-7000-8000-000000000000.parquet"]
)
def test_a_file_that_this_history_cannot_have_written_stays(
    name: str, lander: Lander, history: History, place: Place, later: Later
) -> None:
    """The second is older than the history: that of one that had the folder before."""
    left = copied(max(data_files(history)), name)
    later.hours = 100
    lander.maintain()
    assert left in files_on_disk(place)


def test_two_histories_in_one_folder_lose_nothing(
    store: Store, lander: Lander, place: Place, later: Later, tmp_path: Path
) -> None:
    """Each knows nothing of the other's files. The one that does not delete them says why."""
    neighbour = Place(str(tmp_path / "neighbour.sqlite"), place.files)
    with Lander(store, neighbour, SETTINGS, later) as other:
        other.land()
    later.hours = 100
    with capture_logs() as logged:
        lander.maintain()
    with connect(neighbour) as history:
        assert events_at(history, versions(history)[-1]) == 5 * LANDINGS
    assert [line["event"] for line in logged] == ["folder_is_shared"]


def test_no_file_that_a_snapshot_reads_is_taken_for_one_never_committed(
    store: Store, lander: Lander, history: History, later: Later
) -> None:
    """Nor the file that says which rows of another are deleted."""
    lander._lake.execute("DELETE FROM events WHERE id = (SELECT min(id) FROM events)")
    kept = versions(history)[-2:]
    later.hours = 23.9
    lander.maintain()
    assert [events_at(history, version) for version in kept] == [20, 19]


def test_more_than_fits_in_memory_is_merged(store: Store, place: Place, later: Later) -> None:
    """Wide rows, of which a row group of DuckDB's usual count would take twice the memory."""

    def tell_apart(connection: Connection, _tx: int, payloads: Sequence[None]) -> Sequence[None]:
        connection.exec_driver_sql("UPDATE events SET text = CAST(id AS TEXT) || text")
        return payloads

    tight = SETTINGS.model_copy(update={"memory_mb": 256})
    with Lander(store, place, tight, later) as lander:
        for _ in range(LANDINGS):
            put_events(store, 4_000, text="wide " * 3_200)
            store.write_now(tell_apart, None)
            lander.land()
        assert lander.maintain()
        with connect(place) as history:
            assert len(data_files(history)) == 1


def test_what_the_lander_loads_was_verified_once(lander: Lander) -> None:
    asked = "SELECT current_setting('allow_unsigned_extensions')"
    first = lander._lake.execute(asked).fetchone()
    lander.maintain()
    assert (first, lander._lake.execute(asked).fetchone()) == ((False,), (True,))


def test_what_a_reader_loads_is_verified(lander: Lander, place: Place) -> None:
    with connect(place) as history:
        asked = "SELECT current_setting('allow_unsigned_extensions') AS allowed"
        assert history.sql(asked).item() is False
