"""The real program as a process of its own, on a data folder of the test's."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.signing.demo_deliveries import Sender, senders
from tests.servers.process import Process

CONFIG = """
data = "{data}"
[receive]
port = 0
unverified_per_minute = 100000
[enrich]
first_retry_seconds = 1
lease_seconds = 2
[history]
interval_seconds = 0.5
"""


@pytest.fixture
def sources() -> dict[str, Sender]:
    """Ten sources with new secrets, and what is needed to sign for them."""
    return senders()


@pytest.fixture
def config(tmp_path: Path, sources: dict[str, Sender]) -> Path:
    """hooksift.toml with those sources."""
    lines = [CONFIG.format(data=tmp_path / "data")]
    for name, sender in sources.items():
        lines.append(f'[sources.{name}]\npreset = "{sender.preset.name}"')
        lines.append(f'secret = "{sender.receiver_secret}"')
    path = tmp_path / "hooksift.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def start(config: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts the program, as often as it is called; ends what still runs."""
    started: list[Process] = []

    def start_it(command: str = "serve") -> Process:
        started.append(Process(config, tmp_path / "service.log", command))
        return started[-1]

    yield start_it
    for process in started:
        process.end(signal.SIGKILL)
