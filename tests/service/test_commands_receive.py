"""hooksift receive: the HTTP stage as a process of its own."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.cli.receiving import changed
from service.settings import ReceiveSettings
from tests.servers.process import Process
from tests.servers.receiver import Source
from tests.service.command_line import CommandLine


@pytest.fixture
def source() -> Source:
    return Source("github")


@pytest.fixture
def command(source: Source, tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.configure(
        f'[receive]\nport = 0\n[sources.gh]\npreset = "github"\nsecret = "{source.keys.receiver}"\n'
    )
    return line


@pytest.fixture
def process(command: CommandLine, tmp_path: Path) -> Iterator[Process]:
    running = Process(command.config, tmp_path / "log", "receive")
    yield running
    running.end()


def test_it_stores_what_it_acknowledges_and_ends_in_zero_when_told(
    process: Process, source: Source, command: CommandLine
) -> None:
    made = source.delivery()
    answer = httpx.post(f"{process.url}/v1/webhooks/gh", headers=made.headers, content=made.body)
    assert answer.status_code == 202
    assert process.end() == 0
    assert [row["delivery_id"] for row in command.lines("events")] == [answer.json()["id"]]


def test_a_stop_is_logged_with_its_signal(process: Process, tmp_path: Path) -> None:
    process.end()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["signal"] for line in lines if line["event"] == "stopping"] == ["SIGTERM"]


def test_its_data_folder_is_its_owner_s_alone(process: Process, tmp_path: Path) -> None:
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_port_in_use_is_told_with_its_remedy(command: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = subprocess.run(
            [sys.executable, "-m", "hooksift", "--config", command.config, "receive", "--port",
             str(taken.getsockname()[1])],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert "choose another port" in ended.stderr


def test_a_port_that_is_none_is_told_with_its_limit(command: CommandLine) -> None:
    assert "less than or equal to 65535" in command.run("receive", "--port", 99999, code=2)


def test_the_command_line_wins_over_the_config() -> None:
    place = changed(ReceiveSettings(port=1, host="::1"), "", 0, "cert", "", "")
    assert (place.port, place.host, place.tls_cert) == (0, "::1", "cert")


def test_what_the_command_line_does_not_say_stays() -> None:
    settings = ReceiveSettings(port=7, max_body_bytes=5000)
    assert changed(settings, "", None, "", "", "") == settings
