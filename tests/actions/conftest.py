"""One local server for all fakes of a test run."""

from collections.abc import Iterator

import pytest

from tests.servers.asgi import LocalHost


@pytest.fixture(scope="session")
def local_host() -> Iterator[LocalHost]:
    """Loopback, where fakes are put under paths of their own."""
    host = LocalHost()
    yield host
    host.close()
