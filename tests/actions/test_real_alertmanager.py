"""A real Alertmanager takes what we send, and makes one alert of what is said twice."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from enrich.actions.adapters.contract import Message
from enrich.actions.settings import AlertmanagerTarget
from enrich.actions.targets import World, open_target
from tests.acceptance.test_alertmanager import alertmanager
from tests.servers.asgi import LOOPBACK

pytestmark = pytest.mark.heavy
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
VALUES = {"rule": "storm", "source": "errors", "category": "bug", "severity": "high"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "alertmanager.yml").write_text(CONFIG)
    with alertmanager(folder) as running:
        yield running


def alerts_after(url: str, *messages: Message) -> list[dict[str, Any]]:
    """What Alertmanager holds once it was sent these."""
    settings = AlertmanagerTarget(adapter="alertmanager", url=url, allow_addresses=LOOPBACK)
    messenger: Any = open_target("ops", settings, World(resolve=str)).adapter

    async def send() -> None:
        for message in messages:
            await messenger.send(message)
        await messenger.close()

    asyncio.run(send())
    held: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").json()
    return held


def message(fingerprint: str) -> Message:
    values = {**VALUES, "fingerprint": fingerprint}
    at = datetime.now(UTC)
    return Message("Checkout fails", "Since nine.", "msg_1", fingerprint, "high", values, at)


def test_the_same_said_twice_is_one_alert_with_its_words(url: str) -> None:
    first = message("f1")
    held = alerts_after(url, first, replace(first, key="msg_2", title="Checkout still fails"))
    found = [alert for alert in held if alert["labels"]["fingerprint"] == "f1"]
    assert [(a["labels"]["alertname"], a["annotations"]["summary"]) for a in found] == [
        ("storm", "Checkout still fails")
    ]


def test_another_fingerprint_is_another_alert(url: str) -> None:
    held = alerts_after(url, message("f2"), message("f3"))
    assert {"f2", "f3"} <= {alert["labels"]["fingerprint"] for alert in held}
