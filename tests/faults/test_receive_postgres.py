"""PostgreSQL goes away and comes back while deliveries arrive."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from faults.counting import Count
from faults.crashing_postgres import Server
from faults.senders import Stream
from servers.receiver import Source, receiving, rows, until

from service.store import Store, open_store


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


def check(stream: Stream, store: Store, count: Count) -> None:
    stored = [(row.delivery_key, row.id) for row in rows(store, "deliveries")]
    assert len(dict(stored)) == len(stored), "a delivery was stored twice"
    assert stream.acknowledged.items() <= dict(stored).items(), "an acknowledged one is missing"
    with store.read() as connection:
        works = connection.exec_driver_sql("SELECT count(*) FROM work_items").scalar_one()
    assert works == len(stored)
    assert set(stream.refused) <= {503}
    acknowledged, refused = len(stream.acknowledged), len(stream.refused)
    count(acknowledged=acknowledged, refused=refused, stored=len(stored))
    store.close()


def test_a_database_that_crashes_under_load_loses_nothing(server: Server, count: Count) -> None:
    check(*storm(server, 3, 1), count)


def test_no_free_connection_is_answered_with_come_back(server: Server, count: Count) -> None:
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
    count(acknowledged=2, refused=1, stored=len(rows(store, "deliveries")))
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


def test_an_exhausted_pool_does_not_stop_intake(postgres_url: str, count: Count) -> None:
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
    count(acknowledged=2, stored=len(rows(store, "deliveries")))
    store.close()


@pytest.mark.heavy  # switches off a network, as root, and waits 15 s
def test_a_server_that_vanished_without_a_word_is_given_up(postgres_url: str) -> None:
    """By itself Linux waits a quarter of an hour, and all senders with it."""
    script = Path(__file__).with_name("vanishing_server.py")
    here = subprocess.run(
        ["unshare", "--net", sys.executable, str(script), postgres_url],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (here.stdout.splitlines(), here.stderr) == (
        ["kept: t-before", "refused: the store cannot commit", "kept: t-after t-before"],
        "",
    )
