"""A store, and a receiver of one source, for what is said over the wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.receiver import RunningReceiver, Source, receiving

from service.store import Store, open_store


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield store
    store.close()


@pytest.fixture
def here(kept: Store) -> Iterator[RunningReceiver]:
    with receiving(kept, {"a": Source("github")}) as running:
        yield running
