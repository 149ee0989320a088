"""A catalog on PostgreSQL, files in a folder or on S3: the same promises, several machines."""

import asyncio
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

import analytics
from analytics.erase import MARK, erase_person
from analytics.errors import HistoryError
from analytics.history import attach, connect
from analytics.landing import Lander
from analytics.landing_task import run_landing
from analytics.landing_worker import LandingWorker
from analytics.lock import lock_of
from analytics.place import Place, find, hand_over
from analytics.settings import HistorySettings, S3Settings
from service.store import Store
from tests.analytics.store_facts import put, put_events

SETTINGS = HistorySettings(interval_seconds=0.01, standby_seconds=0.01)


@pytest.fixture
def shared(empty_database: str, tmp_path: Path) -> Place:
    """A history whose catalog several machines could share."""
    return Place(empty_database, str(tmp_path / "files"))


def ids_in(place: Place) -> list[int]:
    with connect(place) as history:
        return history.sql("SELECT id FROM events ORDER BY id")["id"].to_list()


def test_landing_merging_and_reading_work_as_with_sqlite(store: Store, shared: Place) -> None:
    ids = put_events(store, 300)
    put(store, "enrichments", {"event_id": ids[0], "tags": '["a", "b"]'})
    with Lander(store, shared, SETTINGS) as lander:
        lander.land()
        ids += put_events(store, 3, body=b'{"n": "\\u0000 and \xc3\xa9"}')  # inlined in PostgreSQL
        lander.land()
        lander.maintain()
    with connect(shared) as history:
        tags = history.sql("SELECT tags FROM enrichments")["tags"].to_list()
    assert (ids_in(shared), tags) == (ids, [["a", "b"]])


def test_another_process_finds_it_by_what_was_handed_over(store: Store, shared: Place) -> None:
    put_events(store, 2)
    with Lander(store, shared, SETTINGS) as lander:
        lander.land()
    with connect(find(hand_over(shared))) as history:
        assert analytics.outcomes(history)["events"].to_list() == [2]


def test_one_lander_leads_and_the_other_waits(shared: Place) -> None:
    first, second = lock_of(shared, "lander"), lock_of(shared, "lander")
    held = (first.take(), second.take())
    first.give_back()
    assert (held, second.take()) == ((True, False), True)
    second.give_back()


def test_the_standby_takes_over(store: Store, store_url: str, shared: Place) -> None:
    ids = put_events(store, 5)

    async def scene() -> None:
        stops = [asyncio.Event(), asyncio.Event()]
        landers = [
            asyncio.create_task(
                run_landing(LandingWorker(store_url, shared, SETTINGS), shared, SETTINGS, stop)
            )
            for stop in stops
        ]
        for stop, lander in zip(stops, landers, strict=True):
            ids.extend(put_events(store, 5))
            stop.set()
            await asyncio.wait_for(lander, 60)

    asyncio.run(scene())
    assert ids_in(shared) == ids


def test_a_lander_that_lost_its_lock_cannot_commit_what_another_landed(
    store: Store, shared: Place
) -> None:
    """Both read the same cursor; the second commit of the two fails instead of doubling rows."""
    with Lander(store, shared, SETTINGS) as one, Lander(store, shared, SETTINGS) as other:
        put_events(store, 3)
        one.land()
        ids = put_events(store, 3)
        with pytest.raises((HistoryError, duckdb.Error)):
            race(one, other)
        other._lake.execute("ROLLBACK") if in_transaction(other) else None
        one.land()
    assert ids_in(shared)[-3:] == ids
    assert len(ids_in(shared)) == 6


def test_landers_that_take_turns_land_each_row_once(store: Store, shared: Place) -> None:
    """Each remembers the cursor of its own last landing, and notices that another came since."""
    ids: list[int] = []
    with Lander(store, shared, SETTINGS) as one, Lander(store, shared, SETTINGS) as other:
        for lander in (one, other) * 3:
            ids += put_events(store, 2)
            lander.land()
    assert ids_in(shared) == ids


def race(one: Lander, other: Lander) -> None:
    """`other` has read the cursor and inserted its page when `one` commits the same page."""
    other._lake.execute("BEGIN")
    before = other._load()
    _, cursor, _ = other._pages(other._begin(before))
    other._save(cursor)
    one.land()
    other._lake.execute("COMMIT")


def in_transaction(lander: Lander) -> bool:
    try:
        lander._lake.execute("SELECT 1")
    except duckdb.Error:
        return True
    return False


def land_a_person(store: Store, shared: Place) -> None:
    """An event of somebody who is to be erased."""
    put_events(store, 1, customer="zoe.adler@mail.example")
    with Lander(store, shared, SETTINGS) as lander:
        lander.land()


def test_an_erased_person_is_in_no_table_of_the_catalog(store: Store, shared: Place) -> None:
    import psycopg

    put_events(store, 1, customer="zoe.adler@mail.example")
    put_events(store, 1)
    with Lander(store, shared, SETTINGS) as lander:
        lander.land()
    erase_person(shared, ["zoe.adler@mail.example"])
    with psycopg.connect(shared.catalog) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'hooksift_history'"
        ).fetchall()
        held = [
            table
            for schema, table in tables
            for row in connection.execute(f'SELECT t::text FROM "{schema}"."{table}" t')  # type: ignore[call-overload]
            if "zoe" in row[0] or b"zoe".hex() in row[0]
        ]
    assert held == []


def test_a_catalog_that_cannot_be_vacuumed_is_told_until_it_can(
    store: Store, shared: Place
) -> None:
    import psycopg

    impatient = replace(shared, catalog=f"{shared.catalog}&options=-c%20lock_timeout%3D100")
    land_a_person(store, shared)
    with psycopg.connect(shared.catalog) as somebody:
        somebody.execute("CREATE TABLE theirs (x INT)")
        somebody.commit()
        somebody.execute("SELECT * FROM theirs")
        for _ in range(2):
            with pytest.raises(
                HistoryError, match=r"lock timeout.*; mend that, and erase once more"
            ):
                erase_person(impatient, ["zoe.adler@mail.example"])
        marks_before = marks_in(shared)
    erase_person(impatient, ["zoe.adler@mail.example"])
    assert (marks_before, marks_in(shared)) == (1, 0)


def test_a_catalog_is_not_vacuumed_while_somebody_could_see_what_was_deleted(
    store: Store, shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr("analytics.erase.WAIT_SECONDS", 1.0)
    land_a_person(store, shared)
    with psycopg.connect(shared.catalog) as somebody:
        somebody.execute("SELECT pg_current_xact_id()")
        with pytest.raises(HistoryError, match=r"older transaction.*erase once more"):
            erase_person(shared, ["zoe.adler@mail.example"])
        assert marks_in(shared) == 1
    erase_person(shared, ["zoe.adler@mail.example"])
    assert marks_in(shared) == 0


def test_a_reader_that_asks_nothing_is_in_no_erasure_s_way(
    store: Store, shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.erase.WAIT_SECONDS", 1.0)
    land_a_person(store, shared)
    with connect(shared) as history:
        history.sql("SELECT count(*) FROM events")
        erase_person(shared, ["zoe.adler@mail.example"])
    assert marks_in(shared) == 0


def marks_in(place: Place) -> int:
    """How many marks of an erasure that has begun and not ended are in the catalog."""
    import psycopg

    with psycopg.connect(place.catalog) as connection:
        found = connection.execute("SELECT FROM pg_tables WHERE tablename = %s", (MARK,))
        return len(found.fetchall())


# S3: a real server speaking its protocol, from the package index.


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """host:port of a local S3 server with one bucket, `history`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr is not None
            while b"Running on" not in server.stderr.readline():
                assert server.poll() is None
            make_bucket(f"http://127.0.0.1:{port}/history")
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def make_bucket(url: str) -> None:
    import httpx

    httpx.put(url).raise_for_status()


@pytest.fixture
def on_s3(shared: Place, s3_server: str) -> Place:
    """Catalog on PostgreSQL, files on S3."""
    s3 = S3Settings(endpoint=s3_server, key_id="me", secret="secret", tls=False)
    return replace(shared, files=f"s3://history/{uuid.uuid4().hex}", s3=s3)


@pytest.mark.heavy
def test_files_on_s3(store: Store, on_s3: Place) -> None:
    ids = []
    with Lander(store, on_s3, SETTINGS) as lander:
        for _ in range(3):
            ids += put_events(store, 300)
            lander.land()
        lander.maintain()
    with connect(on_s3) as history:
        bodies = history.sql("SELECT count(body) AS n FROM events").item()
    assert (ids_in(on_s3), bodies) == (ids, 900)


@pytest.mark.heavy
def test_erasure_reaches_files_on_s3(store: Store, on_s3: Place) -> None:
    put_events(store, 300, customer="zoe.adler@mail.example")
    kept = put_events(store, 300)
    with Lander(store, on_s3, SETTINGS) as lander:
        lander.land()
    erase_person(on_s3, ["zoe.adler@mail.example"])
    assert ids_in(on_s3) == kept
    lake = attach(on_s3, read_only=True)
    files = lake.execute(f"SELECT file FROM glob('{on_s3.files}/**/*.parquet')").fetchall()
    held = [
        file
        for (file,) in files
        if lake.execute(
            f"SELECT count(*) FROM '{file}' x WHERE contains(x::VARCHAR, 'zoe.adler')"
        ).fetchone()
        != (0,)
    ]
    lake.close()
    assert (bool(files), held) == (True, [])
