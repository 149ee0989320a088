"""What whoever runs the receiver sees of it: health, metrics, logs, its description."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from servers.receiver import RunningReceiver, Source, receiving, until
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service import logs
from service.receiving.app import stored
from service.store import Store, open_store

TOKEN = "let-me-in"
AFAR = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture(scope="module")
def stream() -> Iterator[io.StringIO]:
    """Where this module's log lines go."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    logs.set_up("debug", stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, stream: io.StringIO
) -> Iterator[RunningReceiver]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('operations') / 's'}")
    with receiving(store, {"a": Source("alertmanager")}, admin_token=TOKEN) as running:
        yield running
    store.close()


@pytest.fixture
def logged(stream: io.StringIO) -> io.StringIO:
    """Everything that is logged while the test runs."""
    stream.seek(0)
    stream.truncate()
    return stream


def lines_of(logged: io.StringIO) -> list[dict[str, Any]]:
    """The lines so far, read."""
    return [json.loads(line) for line in logged.getvalue().splitlines()]


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_operators_on_this_machine_are_answered(here: RunningReceiver, path: str) -> None:
    assert here.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_callers_behind_a_proxy_are_not(here: RunningReceiver, path: str, name: str) -> None:
    assert here.client.get(path, headers={name: "203.0.113.9"}).status_code == 401


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_callers_with_the_token_are_answered(here: RunningReceiver, path: str) -> None:
    headers = {**AFAR, "Authorization": f"Bearer {TOKEN}"}
    assert here.client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("token", ["", "Bearer let-me-i", "Basic bGV0", "Bearer \xff"])
def test_callers_with_a_wrong_token_are_not(here: RunningReceiver, token: str) -> None:
    headers = {**AFAR, "Authorization": token.encode("latin-1")}
    assert here.client.get("/metrics", headers=headers).status_code == 401


def test_health_is_told_to_everybody(here: RunningReceiver) -> None:
    assert here.client.get("/healthz", headers=AFAR).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "name",
    [
        "hooksift_deliveries_received_total",
        "hooksift_deliveries_refused_total",
        "hooksift_ack_seconds_bucket",
        "hooksift_queue_depth",
        "hooksift_queue_oldest_age_seconds",
    ],
)
def test_the_metrics_hold_what_the_receiver_did(here: RunningReceiver, name: str) -> None:
    here.send("a")
    here.client.post("/v1/webhooks/a")
    until(lambda: f"{name}{{" in here.client.get("/metrics").text)


def test_every_acknowledgement_is_in_the_histogram(store: Store) -> None:
    with receiving(store, {"b": Source()}) as here:
        for _ in range(3):
            here.send("b")
        until(lambda: here.metric("hooksift_ack_seconds_count", source="b") == 3)


def test_a_store_that_is_closed_is_not_ready(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 's'}")
    with receiving(store, {}) as here:
        for part in tmp_path.iterdir():
            part.unlink()
        store.engine.dispose()
        answer = here.client.get("/readyz")
    store.close()
    assert answer.status_code == 503


def test_the_description_holds_the_receive_operation(here: RunningReceiver) -> None:
    paths = here.client.get("/schema/openapi.json").json()["paths"]
    operation = paths["/v1/webhooks/{source}"]["post"]
    assert {"202", "200", "401", "413", "503"} <= operation["responses"].keys()


@pytest.mark.parametrize("page", ["", "/swagger", "/redoc", "/elements", "/rapidoc"])
def test_no_page_has_a_browser_load_foreign_scripts(here: RunningReceiver, page: str) -> None:
    assert "<script" not in here.client.get(f"/schema{page}").text


def test_a_delivery_is_one_line_of_json(here: RunningReceiver, logged: io.StringIO) -> None:
    told = here.send("a", here.sources["a"].delivery({"alerts": [{"fingerprint": "f1"}]})).json()
    (line,) = [line for line in lines_of(logged) if line["event"] == "accepted"]
    assert (line["source"], str(line["id"]), line["events"]) == ("a", told["id"], 1)
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_refused_deliveries_are_a_warning_with_their_count(
    tmp_path: Path, logged: io.StringIO
) -> None:
    wrong_secret = Source("github")
    store = open_store(f"sqlite:///{tmp_path / 's'}")
    with receiving(store, {"gh": Source("github")}) as running:
        for _ in range(3):
            running.send("gh", wrong_secret.delivery())
    store.close()
    lines = [line for line in lines_of(logged) if line.get("source") == "gh"]
    told = {(line["level"], line["event"], line["reason"]) for line in lines}
    assert told == {("warning", "refused", "signature_mismatch")}
    assert {line["address_prefix"] for line in lines} == {"127.0.0.0/24"}
    assert sum(line["count"] for line in lines) == 3


def test_logs_hold_no_secret_header_or_body(here: RunningReceiver, logged: io.StringIO) -> None:
    made = here.sources["a"].delivery(
        {"alerts": [{"fingerprint": "f2"}], "x": "the-body-text"},
        headers={"X-Odd": "the-header-text"},
    )
    here.send("a", made)
    here.send("a", made._replace(body=b"the-body-text"))
    here.send("a", made._replace(headers=[("Authorization", "Basic the-header-text")]))
    lines = logged.getvalue()
    secret = here.sources["a"].keys.receiver
    assert [s for s in (secret, "the-body-text", "the-header-text") if s in lines] == []


def test_a_receiver_without_a_source_warns(
    here: RunningReceiver, logged: io.StringIO, tmp_path: Path
) -> None:
    store = open_store(f"sqlite:///{tmp_path / 's'}")
    with receiving(store, {}):
        pass
    store.close()
    assert '"event":"no_source"' in logged.getvalue()


def test_what_is_not_http_leaves_nothing_in_the_log(
    here: RunningReceiver, logged: io.StringIO
) -> None:
    assert here.raw(b"GET / HTTP/9.9\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert [line for line in lines_of(logged) if line["event"] != "refused"] == []


def test_a_database_s_error_does_not_tell_the_values(here: RunningReceiver) -> None:
    statement = text("SELECT * FROM nowhere WHERE body = :body")
    with here.store.read() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(statement, {"body": "the-body-text"})
    assert "the-body-text" not in str(raised.value)


def test_counts_that_a_foreign_error_keeps_from_the_store_end_no_flushing(
    here: RunningReceiver, logged: io.StringIO
) -> None:
    def broken(*_: object) -> list[None]:
        raise RuntimeError("the-body-text")

    assert not asyncio.run(stored(here.store, broken, [1]))
    assert '"reason":"RuntimeError"' in logged.getvalue()
    assert "the-body-text" not in logged.getvalue()
