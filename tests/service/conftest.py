"""A receiver of one source, for what is said over the wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.receiver import RunningReceiver, Source, receiving

from service.store import open_store


@pytest.fixture
def here(tmp_path: Path) -> Iterator[RunningReceiver]:
    store = open_store(f"sqlite:///{tmp_path / 's'}")
    with receiving(store, {"a": Source("github")}) as running:
        yield running
    store.close()
