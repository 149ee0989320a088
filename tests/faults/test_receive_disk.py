"""Full, read-only, damaged and foreign stores, and a file that two services share."""

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.counting import Count
from faults.senders import Stream, many, send_once
from servers.receiver import Source, receiving, rows, until
from sqlalchemy import text

from service.errors import SchemaError, StoreUnavailable
from service.store import Store, open_store
from tests.servers.process import Process

as_root = pytest.mark.heavy  # mounts a file system


def limit_pages(connection: Any, tx: int, payloads: Any) -> list[None]:
    """Let the database grow by no more than this many pages."""
    (more,) = payloads
    count = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {count + more}")
    return [None]


def test_a_full_database_is_answered_with_come_back_and_recovers(
    tmp_path: Path, count: Count
) -> None:
    store, source = open_store(f"sqlite:///{tmp_path / 's'}"), Source()
    with receiving(store, {"a": source}) as here:
        here.send("a")
        store.write_now(limit_pages, 0)
        before = send_once(here.url, many(source, 200))
        assert set(before.refused) == {503}
        store.write_now(limit_pages, 1_000_000)
        assert here.send("a").status_code == 202
    stored = {row.delivery_key: row.id for row in rows(store, "deliveries")}
    store.close()
    acknowledged = len(before.acknowledged) + 2
    count(acknowledged=acknowledged, refused=len(before.refused), stored=len(stored))
    assert before.acknowledged.items() <= stored.items()
    assert len(stored) == acknowledged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@as_root
def test_a_full_disk_is_answered_with_come_back_and_recovers(
    small_disk: Path, count: Count
) -> None:
    store, source = open_store(f"sqlite:///{small_disk / 's'}"), Source()
    filler = small_disk / "filler"
    with receiving(store, {"a": source}) as here, Stream(here.url, source) as stream:
        until(lambda: len(stream.acknowledged) > 20)
        fill(filler)
        until(lambda: 503 in stream.refused)
        filler.unlink()
        before = len(stream.acknowledged)
        until(lambda: len(stream.acknowledged) > before + 20)
    stored = {row.delivery_key: row.id for row in rows(store, "deliveries")}
    store.close()
    acknowledged, refused = len(stream.acknowledged), len(stream.refused)
    count(acknowledged=acknowledged, refused=refused, stored=len(stored))
    assert set(stream.refused) == {503}
    assert stream.acknowledged.items() <= stored.items()


def fill(path: Path) -> None:
    """Write until there is no more room."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            return


@as_root
def test_a_read_only_folder_is_refused_at_start(small_disk: Path) -> None:
    open_store(f"sqlite:///{small_disk / 's'}").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreUnavailable, match=r"readonly|unable to open"):
        open_store(f"sqlite:///{small_disk / 's'}").new_ids()


def test_a_folder_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open"):
        open_store(f"sqlite:///{tmp_path / 'nowhere' / 's'}")


def test_a_file_that_is_no_database_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"this is no database at all, " * 1000)
    with pytest.raises(SchemaError, match=r"damaged.*backup"):
        open_store(f"sqlite:///{tmp_path / 's'}")


def test_a_damaged_database_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "s"
    open_store(f"sqlite:///{path}").close()
    raw = bytearray(path.read_bytes())
    raw[100:8000] = b"\xa5" * 7900
    path.write_bytes(raw)
    with pytest.raises(SchemaError, match="damaged"):
        open_store(f"sqlite:///{path}")


def test_a_database_of_a_newer_program_is_refused_at_start(
    open_a_store: Callable[[], Store], store_url: str
) -> None:
    store = open_a_store()

    def age(connection: Any, tx: int, payloads: Any) -> list[None]:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        return [None]

    store.write_now(age, None)
    with pytest.raises(SchemaError, match=r"9999.*newer Hooksift"):
        open_a_store()


def test_a_refusal_at_start_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"this is no database at all, " * 1000)
    config = tmp_path / "hooksift.toml"
    config.write_text(f'data = "{tmp_path}"\n')
    command = [sys.executable, "-m", "hooksift", "--config", str(config), "receive"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert len([line for line in ended.stderr.splitlines() if line.startswith("hooksift:")]) == 1
    assert "Traceback" not in ended.stderr


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Source], Process]]:
    """Starts `hooksift receive` with one source named a."""
    started: list[Process] = []
    config = tmp_path / "hooksift.toml"

    def start_it(source: Source) -> Process:
        config.write_text(
            f'data = "{tmp_path / "data"}"\n[receive]\nport = 0\n'
            f'[sources.a]\npreset = "{source.preset}"\nsecret = "{source.keys.receiver}"\n'
        )
        started.append(Process(config, tmp_path / "log", "receive"))
        return started[-1]

    yield start_it
    for process in started:
        process.end()


def base_of(process: Process) -> str:
    return process.url.partition("/v1/")[0]


def test_two_services_on_one_file_store_everything_once(
    start: Callable[[Source], Process], tmp_path: Path, count: Count
) -> None:
    source = Source()
    one, two = start(source), start(source)
    with Stream(base_of(one), source, 4) as left, Stream(base_of(two), source, 4) as right:
        until(lambda: min(len(left.acknowledged), len(right.acknowledged)) > 60)
    connection = sqlite3.connect(tmp_path / "data" / "store.sqlite")
    stored = connection.execute("SELECT delivery_key, id FROM deliveries").fetchall()
    connection.close()
    acknowledged = left.acknowledged.keys() | right.acknowledged.keys()
    count(acknowledged=len(acknowledged), stored=len(stored))
    assert len(dict(stored)) == len(stored) == len({number for _, number in stored})
    shared = left.acknowledged.keys() & right.acknowledged.keys()
    assert shared
    assert all(left.acknowledged[key] == right.acknowledged[key] for key in shared)
    assert left.acknowledged.items() | right.acknowledged.items() <= set(stored)


@pytest.mark.heavy
def test_ten_thousand_idle_connections_leave_room_for_work(
    start: Callable[[Source], Process], count: Count
) -> None:
    import socket

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert hard > 11_000, f"needs 11,000 open files, {hard} are allowed"
    source = Source()
    process = start(source)
    host, _, port = base_of(process).removeprefix("http://").rpartition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(10_000)]
    try:
        outcome = send_once(base_of(process), many(source, 200))
        open_files = len(list(Path(f"/proc/{process.popen.pid}/fd").iterdir()))
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    count(acknowledged=len(outcome.acknowledged), refused=len(outcome.refused))
    assert len(outcome.acknowledged) == 200
    assert open_files > 10_000
