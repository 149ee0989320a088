"""SQLite's log: who copies it, and when it begins anew."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from servers.receiver import until
from sqlalchemy import Connection, Engine, make_url
from structlog.testing import capture_logs

from service.store import sqlite
from service.store.checkpoints import LONG_LOG_PAGES, Checkpoints

PAGE_BYTES = 8192


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    """A writer's connection, and a table to write into."""
    engine = sqlite.make_engine(make_url(f"sqlite:///{path}"))
    with engine.connect() as opened:
        write(opened, "CREATE TABLE t (body BLOB)")
        yield opened
    engine.dispose()


@pytest.fixture
def checkpoints(connection: Connection) -> Checkpoints:
    """Those of the same file; their thread is the test itself."""
    made = Checkpoints(connection.engine)
    made._thread = threading.current_thread()
    return made


def write(connection: Connection, statement: str) -> None:
    """One transaction."""
    with connection.begin():
        connection.exec_driver_sql(statement)


def fill(connection: Connection, pages: int) -> None:
    """One transaction that writes at least so many pages."""
    write(connection, f"INSERT INTO t VALUES (zeroblob({pages * PAGE_BYTES}))")


def logs_begun(path: Path) -> int:
    """How many times the log began anew, as its header counts."""
    return int.from_bytes(Path(f"{path}-wal").read_bytes()[12:16])


def begins_anew(connection: Connection, checkpoints: Checkpoints, path: Path, pages: int) -> bool:
    """Whether it does after a copy of a log of so many pages, during which one more came."""
    fill(connection, pages)
    checkpoints._copy()
    fill(connection, 1)
    before = logs_begun(path)
    checkpoints.committed(connection)
    fill(connection, 1)
    return logs_begun(path) != before


def test_a_long_log_begins_anew_although_transactions_follow_each_other(
    connection: Connection, checkpoints: Checkpoints, path: Path
) -> None:
    assert begins_anew(connection, checkpoints, path, LONG_LOG_PAGES)


class Failing:
    """An engine that has no connection the first few times."""

    def __init__(self, engine: Engine, times: int) -> None:
        self.engine = engine
        self.times = times

    def raw_connection(self) -> object:
        if self.times:
            self.times -= 1
            raise MemoryError
        return self.engine.raw_connection()


def test_a_copy_that_fails_is_said_once_and_made_later(connection: Connection, path: Path) -> None:
    checkpoints = Checkpoints(cast(Engine, Failing(connection.engine, 2)))
    with capture_logs() as lines:
        write(connection, "INSERT INTO t VALUES ('copied')")

        def is_copied() -> bool:
            checkpoints.committed(connection)
            return b"copied" in path.read_bytes()

        until(is_copied)
        checkpoints.close()
    assert [(line["event"], line["error"]) for line in lines] == [
        ("checkpoint_failed", "MemoryError")
    ]


def test_the_writer_copies_nothing_of_a_short_log(
    connection: Connection, checkpoints: Checkpoints, path: Path
) -> None:
    assert not begins_anew(connection, checkpoints, path, LONG_LOG_PAGES // 2)


def test_the_writer_copies_nothing_of_a_log_that_somebody_reads(
    connection: Connection, checkpoints: Checkpoints, path: Path
) -> None:
    """All of it would have to be copied at once when the reader has gone."""
    with connection.engine.connect() as reader, reader.begin():
        reader.exec_driver_sql("SELECT count(*) FROM t")
        fill(connection, LONG_LOG_PAGES)
        checkpoints._copy()
    assert not checkpoints._few_left
