"""Copying the store while it runs, and putting a copy back.

SQLite is copied by SQLite itself within one read transaction, which blocks nobody: the copy is the
store as it was at one moment, without free space. PostgreSQL has pg_dump for that, which we call.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, make_url

from service.errors import HooksiftError
from service.lifecycle.audit import note_done
from service.lifecycle.lasting import opened, read_lasting, write_lasting
from service.store import open_store

BEFORE = ".before-restore"
BY_PG_RESTORE = """PostgreSQL is put back by its own program, while the service is stopped:
  pg_restore --clean --if-exists --no-owner --dbname=URL FILE
That brings back who was erased since FILE was made, and replaces the audit. So write down first
when `hooksift audit` says that somebody was erased; it does not say who, the requests to you do.
Then, before the service starts again, run `hooksift erase` once more for each of them.
A message that still had to be sent when FILE was made is sent again, at-most-once or not."""


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
        with opened(source) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        check_copy(part)
    except sqlite3.Error as error:
        raise BackupError(f"cannot copy {source}: {error}") from error


def check_copy(copy: Path) -> None:
    """Raises BackupError unless the file is a whole SQLite store of Hooksift."""
    if not copy.is_file():
        raise BackupError(f"{copy}: no such file; name one that `hooksift backup` wrote")
    try:
        with opened(copy) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            known = connection.execute(
                "SELECT count(*) FROM store_facts WHERE name = 'identity'"
            ).fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{copy} is no copy of a store: {error}") from error
    if verdict != "ok" or known != (1,):
        raise BackupError(f"{copy} is damaged: {verdict}")


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
    """Of how many deliveries something was left out, as it was erased since; where the store that
    was there is, and which of its tables that say what lasts could not be read.
    """

    left_out: int
    beside: Path | None
    unread: list[str]


def restore(copy: Path, store_url: str, ask: Callable[[int, Path], None] | None = None) -> Restored:
    """Put a copy back as the SQLite store.

    The service must be stopped. The store that is there is kept beside, under a name that is free;
    `ask` is told first how many deliveries it has, if any, and of that name, and raises to leave
    all as it is. What was erased from that store since the copy was made is erased from the copy
    too, as far as it can be read; its audit lives on, with the restore noted in it, and so does
    what is known of calls that must not be made twice. Transactions are numbered on from the
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
        lasting = read_lasting(target)
        whole = url.set(database=str(part)).render_as_string(hide_password=False)
        with closing(open_store(whole)) as store:  # upgrades it before anything is changed
            left_out = write_lasting(part, lasting)
            note_done(store, datetime.now(UTC), "restore", {}, left_out)
        _to_disk(part)
        is_kept = _keep_beside(target, beside)
        part.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"cannot put {copy} back: {error}") from error
    finally:
        for file in _files_of(part):
            file.unlink(missing_ok=True)
    return Restored(left_out, beside if is_kept else None, lasting.unread)


def _deliveries_in(target: Path) -> int:
    """How many deliveries a store has; 0 where there is none that can be read."""
    if not target.is_file():
        return 0
    try:
        with opened(target) as connection:
            return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])
    except sqlite3.Error:
        return 0  # damaged: that is why somebody restores


def _refuse_running(target: Path) -> None:
    """An exclusive lock shows that nobody has the store open. Raises BackupError."""
    if not target.is_file():
        return
    try:
        with opened(target) as connection:
            connection.execute("PRAGMA busy_timeout = 1000")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        raise BackupError(f"{target} is in use ({error}); stop the service first") from error
    except sqlite3.DatabaseError:
        return  # damaged: that is why somebody restores


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
