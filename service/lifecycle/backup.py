"""Copying the store while it runs, and putting a copy back.

SQLite is copied by SQLite itself within one read transaction, which blocks nobody: the copy is the
store as it was at one moment, without free space. PostgreSQL has pg_dump for that, which we call.
"""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, make_url

from service.errors import HooksiftError
from service.lifecycle.audit import note_done
from service.lifecycle.erasure import NEVER
from service.lifecycle.owed import OWED
from service.store import open_store
from service.store.ids import ID_EPOCH_MS

WAIT_SECONDS = 60.0
BEFORE = ".before-restore"
BY_PG_RESTORE = """PostgreSQL is put back by its own program, while the service is stopped:
  pg_restore --clean --if-exists --no-owner --dbname=URL FILE
That brings back who was erased since FILE was made, and replaces the audit. So write down first
when `hooksift audit` says that somebody was erased; it does not say who, the requests to you do.
Then, before the service starts again, run `hooksift erase` once more for each of them."""


class BackupError(HooksiftError):
    """The store cannot be copied, or the copy cannot be put back."""


def back_up(store_url: str, target: Path) -> int:
    """Copy the store into a new file, whole or not at all; its size in bytes.

    The file is the owner's alone: it holds everything that the store does. Raises BackupError.
    """
    if target.exists():
        raise BackupError(f"{target} exists; name a new file")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    url = make_url(store_url)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL, 0o600))
        if url.get_backend_name() == "sqlite":
            _copy_sqlite(Path(str(url.database)), part)
        else:
            _dump_postgresql(url.set(drivername="postgresql"), part)
        _to_disk(part)
        part.rename(target)
    except OSError as error:
        raise BackupError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _copy_sqlite(source: Path, part: Path) -> None:
    if not source.is_file():
        raise BackupError(f"no store at {source}; nothing to copy")
    try:
        with _opened(source) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        check_copy(part)
    except sqlite3.Error as error:
        raise BackupError(f"cannot copy {source}: {error}") from error


def check_copy(copy: Path) -> None:
    """Raises BackupError unless the file is a whole SQLite store of Hooksift."""
    if not copy.is_file():
        raise BackupError(f"{copy}: no such file; name one that `hooksift backup` wrote")
    try:
        with _opened(copy) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            known = connection.execute(
                "SELECT count(*) FROM store_facts WHERE name = 'identity'"
            ).fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{copy} is no copy of a store: {error}") from error
    if verdict != "ok" or known != (1,):
        raise BackupError(f"{copy} is damaged: {verdict}")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
        yield connection


def _dump_postgresql(url: URL, part: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError(
            "PostgreSQL is copied by pg_dump, which is not on the PATH; install the PostgreSQL"
            " client programs, or use your database service's own backups"
        )
    # Whoever is on this machine can read a program's arguments, but not its environment.
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    bare = URL.create(url.drivername, url.username, None, *url[3:])
    address = bare.render_as_string(hide_password=False)
    command = [program, "--format=custom", "--no-owner", f"--file={part}", f"--dbname={address}"]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        said = " ".join(line.strip() for line in done.stderr.splitlines()) or "no reason"
        if "version mismatch" in said:
            said += "; use a pg_dump at least as new as the server"
        raise BackupError(said if said.startswith("pg_dump") else f"pg_dump: {said}")


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


class Restored(NamedTuple):
    """How many deliveries erased since were left out, and where the store that was there is."""

    left_out: int
    beside: Path | None


def restore(copy: Path, store_url: str, ask: Callable[[int, Path], None] | None = None) -> Restored:
    """Put a copy back as the SQLite store.

    The service must be stopped. The store that is there is kept beside, under a name that is free;
    `ask` is told first how many deliveries it has, if any, and of that name, and raises to leave
    all as it is. What was erased from that store since the copy was made is erased from the copy
    too; its audit lives on, with the restore noted in it. Transactions are numbered on from the
    clock, so that the history takes all that is new for new.
    Raises BackupError, and SchemaError for a copy that a newer program made.
    """
    url = make_url(store_url)
    if url.get_backend_name() != "sqlite":
        raise BackupError(BY_PG_RESTORE)
    target = Path(str(url.database))
    check_copy(copy)
    _refuse_running(target)
    deliveries, beside = _deliveries_in(target), _beside(target)
    if ask is not None and deliveries:
        ask(deliveries, beside)
        _refuse_running(target)  # it may have been started meanwhile
    part = target.with_name(target.name + ".part")
    try:
        for file in _files_of(part):
            file.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copyfile(copy, part)
        lasting = _lasting(target)
        whole = url.set(database=str(part)).render_as_string(hide_password=False)
        with closing(open_store(whole)) as store:  # upgrades it before anything is changed
            _prepare(part, lasting)
            note_done(store, datetime.now(UTC), "restore", {}, len(lasting.deliveries))
        _to_disk(part)
        is_kept = _keep_beside(target, beside)
        part.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"cannot put {copy} back: {error}") from error
    finally:
        for file in _files_of(part):
            file.unlink(missing_ok=True)
    return Restored(len(lasting.deliveries), beside if is_kept else None)


def _deliveries_in(target: Path) -> int:
    """How many deliveries a store has; 0 where there is none that can be read."""
    if not target.is_file():
        return 0
    try:
        with _opened(target) as connection:
            return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])
    except sqlite3.Error:
        return 0  # damaged: that is why somebody restores


def _refuse_running(target: Path) -> None:
    """An exclusive lock shows that nobody has the store open. Raises BackupError."""
    if not target.is_file():
        return
    try:
        with _opened(target) as connection:
            connection.execute("PRAGMA busy_timeout = 1000")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        raise BackupError(f"{target} is in use ({error}); stop the service first") from error
    except sqlite3.DatabaseError:
        return  # damaged: that is why somebody restores


class Lasting(NamedTuple):
    """What outlives a restore: erased deliveries with the events of them that were kept, the dedup
    keys that hold for ever, the audit, and which events are yet to go from elsewhere."""

    deliveries: list[tuple[int, int, set[int]]]
    keys: list[tuple[bytes, int, int]]
    deeds: list[tuple[Any, ...]]
    owed: list[tuple[str, str]]


NOTHING = Lasting([], [], [], [])
DEED = "id, done_at, person, deed, detail, row_count"


def _lasting(target: Path) -> Lasting:
    """What outlives the store that is there; nothing where it cannot be read."""
    if not target.is_file():
        return NOTHING
    try:
        with _opened(target) as connection:
            rows = connection.execute("SELECT delivery_id, erased_at FROM tombstones").fetchall()
            kept = "SELECT id FROM events WHERE id BETWEEN ? AND ? AND delivery_id = ?"
            return Lasting(
                [
                    (d, at, {row[0] for row in connection.execute(kept, (d, d + 4095, d))})
                    for d, at in rows
                ],
                connection.execute(
                    "SELECT digest, delivery_id, expires_at FROM dedup_keys WHERE expires_at >= ?",
                    (NEVER,),
                ).fetchall(),
                connection.execute(f"SELECT {DEED} FROM audit").fetchall(),
                connection.execute(
                    "SELECT name, value FROM store_facts WHERE name LIKE ?", (f"{OWED}%",)
                ).fetchall(),
            )
    except sqlite3.Error:
        return NOTHING


def _prepare(part: Path, lasting: Lasting) -> None:
    floor = time.time_ns() // 10**6 - ID_EPOCH_MS  # fewer than 1,000 transactions a second till now
    with _opened(part) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE store_facts SET number = max(number, ?) WHERE name = 'transaction'", (floor,)
        )
        connection.executemany(
            "INSERT INTO dedup_keys (digest, delivery_id, expires_at) VALUES (?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET"
            " delivery_id = excluded.delivery_id, expires_at = excluded.expires_at",
            lasting.keys,
        )
        connection.executemany(
            f"INSERT OR REPLACE INTO audit ({DEED}) VALUES (?, ?, ?, ?, ?, ?)", lasting.deeds
        )
        connection.executemany(
            "INSERT OR REPLACE INTO store_facts (name, number, value) VALUES (?, 0, ?)",
            lasting.owed,
        )
        for delivery, erased_at, kept in lasting.deliveries:
            _leave_out(connection, delivery, erased_at, kept)
        connection.execute("COMMIT")


def _leave_out(
    connection: sqlite3.Connection, delivery: int, erased_at: int, kept: set[int]
) -> None:
    """Remove an erased delivery from the copy, and everything that its erased events left."""
    there = connection.execute(
        "SELECT id FROM events WHERE id BETWEEN ? AND ? AND delivery_id = ?",
        (delivery, delivery + 4095, delivery),
    )
    gone = [(row[0],) for row in there.fetchall() if row[0] not in kept]
    for (table,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
    ).fetchall():
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if "event_id" in columns:
            connection.executemany(f"DELETE FROM {table} WHERE event_id = ?", gone)
    connection.executemany("DELETE FROM events WHERE id = ?", gone)
    connection.execute("UPDATE deliveries SET body = x'' WHERE id = ?", (delivery,))
    if not kept:
        connection.execute("DELETE FROM redeliveries WHERE delivery_id = ?", (delivery,))
        connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery,))
    connection.execute(
        "INSERT OR IGNORE INTO tombstones (delivery_id, erased_at) VALUES (?, ?)",
        (delivery, erased_at),
    )


def _files_of(store: Path) -> list[Path]:
    """A store's file, and those of its log."""
    return [store.with_name(store.name + suffix) for suffix in ("", "-wal", "-shm")]


def _beside(target: Path) -> Path:
    """A name for the store that is there, of which nothing is kept yet."""
    names = chain([""], (f"-{number}" for number in count(2)))
    besides = (target.with_name(f"{target.name}{BEFORE}{name}") for name in names)
    return next(each for each in besides if not any(file.exists() for file in _files_of(each)))


def _keep_beside(target: Path, beside: Path) -> bool:
    """Move the store that is there out of the way, with its log; whether there is one."""
    there = target.exists()
    for path, kept in zip(_files_of(target), _files_of(beside), strict=True):
        if path.exists():
            path.chmod(0o600)  # as the copy that takes its place
            path.rename(kept)
    return there
