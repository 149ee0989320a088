"""A real Alertmanager, set up with the lines that we print for it, delivers an alert end to end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

import analytics
from analytics.errors import HistoryError
from tests.servers.process import Process

pytestmark = pytest.mark.heavy

PASSWORD = "correct-horse-battery"
SECONDS = 60
ROUTE = "route: {receiver: hooksift, group_wait: 0s, group_interval: 1s, group_by: ['...']}"
CONFIG = """
data = "{data}"
[receive]
port = 0
[history]
interval_seconds = 0.5
[sources.alertmanager]
preset = "alertmanager"
secret = "hooksift:{password}"
{more}
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Ask until it holds; fails after a minute."""
    deadline, pause = time.monotonic() + SECONDS, threading.Event()
    while not (held := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {SECONDS} s"
        pause.wait(0.1)
    return held


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def printed_setup(config: Path) -> list[str]:
    """The lines that `hooksift presets show alertmanager` prints for Alertmanager's own file."""
    shown = ["presets", "show", "alertmanager"]
    run = subprocess.run(
        [sys.executable, "-m", "hooksift", "--config", str(config), *shown],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "400"},
    )
    lines = [line.removeprefix("set-up") for line in run.stdout.splitlines()]
    first = next(n for n, line in enumerate(lines) if "receivers:" in line)
    last = next(n for n, line in enumerate(lines) if "The source's secret" in line)
    return [line.strip() for line in lines[first:last]]


class Scene(NamedTuple):
    """The program and an Alertmanager that delivers to it."""

    service: Process
    alertmanager: str
    data: Path

    def alert(self, name: str, **annotations: str) -> None:
        """Post an alert to Alertmanager's API, as Prometheus does."""
        alert = {
            "labels": {"alertname": name, "instance": "db-1:9100", "severity": "critical"},
            "annotations": annotations,
            "startsAt": datetime.now(UTC).isoformat(),
        }
        answer = httpx.post(f"{self.alertmanager}/api/v2/alerts", json=[alert])
        answer.raise_for_status()

    def enriched(self, title: str) -> dict[str, Any]:
        """The event of that title, with its enrichment, once both are in the history."""

        def found() -> dict[str, Any] | None:
            try:
                with analytics.connect(self.data) as history:
                    frame = history.sql(
                        "SELECT e.event_type, e.subject, e.level, e.text, n.category, n.severity,"
                        " n.summary FROM events e JOIN enrichments n ON n.event_id = e.id"
                        f" WHERE e.title = '{title}'"
                    )
            except HistoryError:
                return None
            return next(frame.iter_rows(named=True), None)

        row: dict[str, Any] = until(found, f"{title!r} enriched in the history")
        return row


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """Alertmanager with the configuration in this folder; its URL."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is not installed: apt-get install it")
    port, log = free_port(), folder / "alertmanager.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert running.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(ready, "Alertmanager ready")
        yield url
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=SECONDS)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """`hooksift serve` and Alertmanager, both on loopback, with their data in the test's folder."""
    config = tmp_path / "hooksift.toml"
    words = {"data": tmp_path / "data", "password": PASSWORD}
    config.write_text(CONFIG.format(**words, more=""))
    service = Process(config, tmp_path / "service.log")
    try:
        address = f"{service.url}/v1/webhooks/alertmanager"
        config.write_text(CONFIG.format(**words, more=f'public_url = "{address}"'))
        (tmp_path / "password").write_text(PASSWORD)
        snippet = "\n  ".join(printed_setup(config))
        snippet = snippet.replace("/etc/alertmanager/hooksift", str(tmp_path / "password"))
        (tmp_path / "alertmanager.yml").write_text(f"{ROUTE}\n{snippet}\n")
        with alertmanager(tmp_path) as url:
            yield Scene(service, url, tmp_path / "data")
    finally:
        service.end()


def test_an_alert_of_a_real_alertmanager_is_seen_enriched_in_the_history(scene: Scene) -> None:
    scene.alert("DiskWillFill", summary="Disk of db-1 is full in four hours")
    row = scene.enriched("Disk of db-1 is full in four hours")
    assert (row["event_type"], row["level"]) == ("firing", "critical")
    assert row["category"]
    assert row["summary"]


def test_each_alert_of_a_group_is_an_event_with_its_own_fingerprint(scene: Scene) -> None:
    scene.alert("HighLatency", summary="Checkout is slow")
    scene.alert("HighErrors", summary="Checkout fails")
    rows = [scene.enriched("Checkout is slow"), scene.enriched("Checkout fails")]
    alerts = httpx.get(f"{scene.alertmanager}/api/v2/alerts").json()
    assert {row["subject"] for row in rows} == {alert["fingerprint"] for alert in alerts}


def test_the_printed_lines_are_yaml_that_names_the_configured_url(tmp_path: Path) -> None:
    config = tmp_path / "hooksift.toml"
    more = 'public_url = "https://hooks.example.com/v1/webhooks/alertmanager"'
    config.write_text(CONFIG.format(data=tmp_path / "data", password=PASSWORD, more=more))
    read = yaml.safe_load("\n ".join(printed_setup(config)))
    hook = read["receivers"][0]["webhook_configs"][0]
    assert hook["url"] == "https://hooks.example.com/v1/webhooks/alertmanager"
    assert hook["http_config"]["basic_auth"]["username"] == "hooksift"
