"""Ctrl-C while a command's service starts: what had begun ends in its order, without a traceback.

The signal comes from the process itself, while it imports what takes the longest, or in the middle
of a migration.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect

from service.store import open_store
from service.store.store import make_engine

INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from hooksift import main
main()
"""

MIGRATING = """
import os, signal
from sqlalchemy import Engine, event

@event.listens_for(Engine, "before_cursor_execute")
def interrupt(connection, cursor, statement, *_):
    if "own_tags_event" in statement:
        os.kill(os.getpid(), signal.SIGINT)

from hooksift import main
main()
"""


def interrupted(folder: Path, command: str, module: str) -> "subprocess.CompletedProcess[str]":
    """The command, to which Ctrl-C comes as it imports the module."""
    return run(folder, command, INTERRUPTED.format(module=module))


def run(
    folder: Path, command: str, code: str, store: str = ""
) -> "subprocess.CompletedProcess[str]":
    """The command, begun by this code."""
    (folder / "data").mkdir()
    config = folder / "hooksift.toml"
    where = f'store = "{store}"\n' if store else ""
    config.write_text(f'data = "{folder / "data"}"\n{where}[receive]\nport = 0\n')
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(config), command],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("serve", "litestar"),
        ("receive", "litestar"),
        ("work", "enrich.actions.worker"),
        ("land", "analytics.landing_task"),
    ],
)
def test_ctrl_c_while_it_starts_is_a_graceful_stop(
    tmp_path: Path, command: str, module: str
) -> None:
    ended = interrupted(tmp_path, command, module)
    assert (ended.returncode, '"event":"stopping"' in ended.stderr) == (0, True), ended.stderr


@pytest.mark.parametrize("command", ["serve", "receive", "work", "land"])
def test_ctrl_c_before_that_ends_it_without_a_traceback(tmp_path: Path, command: str) -> None:
    ended = interrupted(tmp_path, command, "service.stopping")
    assert (ended.returncode, "Traceback" in ended.stderr) == (130, False), ended.stderr


@pytest.fixture(params=["sqlite", "postgresql"])
def no_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not made yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    url: str = request.getfixturevalue("empty_database")
    return url


def tables_in(url: str) -> list[str]:
    engine = make_engine(url)
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
    engine.dispose()
    return names


def test_a_service_told_to_stop_in_a_migration_stops_right_after_it(
    tmp_path: Path, no_store: str
) -> None:
    ended = run(tmp_path, "receive", MIGRATING, no_store)
    assert (ended.returncode, '"event":"stopping"' in ended.stderr) == (0, True), ended.stderr
    open_store(no_store, upgrade=False).close()


def test_a_command_cut_short_in_a_migration_leaves_nothing_of_it(
    tmp_path: Path, no_store: str
) -> None:
    ended = run(tmp_path, "events", MIGRATING, no_store)
    assert (ended.returncode, tables_in(no_store)) == (130, []), ended.stderr
