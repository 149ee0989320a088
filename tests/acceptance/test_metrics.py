"""Each process serves its own /metrics: those that receive nothing too, where they are told to."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers.process import Process
from tests.servers.receiver import Source, until

SOURCE = Source("github")
CONFIG = """
data = "{data}"
admin_token = "let-me-in"
[receive]
port = 0
[history]
interval_seconds = 0.1
[sources.gh]
preset = "github"
secret = "{secret}"
"""
AFAR = {"X-Forwarded-For": "203.0.113.9"}
Start = Callable[..., Process]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    path = folder / "hooksift.toml"
    path.write_text(CONFIG.format(data=folder / "data", secret=SOURCE.keys.receiver))
    return path


@pytest.fixture(scope="module")
def stages(config: Path) -> Iterator[dict[str, Process]]:
    """The three stages as processes of their own, after one delivery went through the first."""
    started = {"receive": Process(config, config.with_name("log"), "receive")}
    try:
        for stage in ("work", "land"):
            log = config.with_name("log")
            started[stage] = Process(config, log, stage, "--metrics-port", "0")
        sent, url = SOURCE.delivery(), f"{started['receive'].url}/v1/webhooks/gh"
        assert httpx.post(url, headers=sent.headers, content=sent.body).status_code == 202
        yield started
    finally:
        for process in started.values():
            process.end(signal.SIGKILL)


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("work", 'hooksift_attempts_total{outcome="enriched",source="gh"} 1.0'),
        ("land", 'hooksift_landed_rows_total{table="events"} 1.0'),
    ],
)
def test_a_stage_alone_tells_prometheus_what_it_did(
    stages: dict[str, Process], stage: str, line: str
) -> None:
    until(lambda: line in httpx.get(stages[stage].url).text.splitlines())


def test_a_stage_alone_says_whether_it_can_use_the_store(stages: dict[str, Process]) -> None:
    url = stages["work"].url.removesuffix("/metrics")
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(("token", "status"), [("", 401), ("Bearer let-me-in", 200)])
def test_a_stage_alone_answers_elsewhere_to_the_admin_token_only(
    stages: dict[str, Process], token: str, status: int
) -> None:
    headers = {**AFAR, "Authorization": token}
    assert httpx.get(stages["land"].url, headers=headers).status_code == status


@pytest.mark.parametrize("stage", ["work", "land"])
def test_a_port_in_use_is_told_in_one_line(stage: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refusal_to_start(tmp_path, stage, f"[metrics]\nport = {port}\n")
    assert told.startswith(f"hooksift: metrics.port: cannot listen on 127.0.0.1:{port}:")


def test_a_host_that_is_not_this_machine_is_told_in_one_line(tmp_path: Path) -> None:
    told = refusal_to_start(tmp_path, "work", '[metrics]\nport = 0\nhost = "192.0.2.1"\n')
    assert told.startswith("hooksift: metrics.host: cannot listen on 192.0.2.1:0:")


def test_a_model_s_key_that_is_not_set_is_told_in_one_line(tmp_path: Path) -> None:
    model = '[enrich]\nenrichers = ["m"]\n[enrich.models.m]\nmodel = "m"\n'
    source = f'[sources.gh]\npreset = "github"\nsecret = "{SOURCE.keys.receiver}"\n'
    told = refusal_to_start(tmp_path, "serve", f"[receive]\nport = 0\n{model}{source}")
    assert told.startswith("hooksift: env:OPENAI_API_KEY: environment variable")


def refusal_to_start(folder: Path, command: str, config: str) -> str:
    """The one line on standard error of a start that ended in exit code 2."""
    path = folder / "hooksift.toml"
    path.write_text(f'data = "{folder}"\n{config}')
    ended = subprocess.run(
        [sys.executable, "-m", "hooksift", "--config", path, command],
        env={name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    (told,) = ended.stderr.splitlines()
    return told


@pytest.mark.parametrize("stage", ["work", "land"])
def test_a_stage_that_serves_metrics_ends_in_zero_when_told(
    stages: dict[str, Process], stage: str
) -> None:
    assert stages[stage].end() == 0
