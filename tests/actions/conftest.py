"""One local server for all fakes of a test run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store import Store, open_store
from tests.actions.desk import quick_url
from tests.servers.asgi import LocalHost


@pytest.fixture(scope="session")
def local_host() -> Iterator[LocalHost]:
    """Loopback, where fakes are put under paths of their own."""
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def quick_store(tmp_path: Path) -> Iterator[Store]:
    """A store on SQLite alone, for facts that no database changes."""
    store = open_store(quick_url(tmp_path))
    yield store
    store.close()
